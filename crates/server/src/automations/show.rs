//! How a repository's images stand, for people.

use std::collections::BTreeMap;

use prograde_apps::image::objects::{ImagePolicy, ImageRepository, ImageUpdateAutomation};
use prograde_model::ids::ServiceName;

use super::keeper::{Keeper, Key, Subject, Trouble, Work};
use super::run::branches;
use crate::api::types::{
    AutomatedRepositoryView, ImageAutomationView, ImagePolicyView, ImageTroubleView, ScannedImageView,
};

type Troubles = BTreeMap<Subject, Trouble>;

impl AutomatedRepositoryView {
    /// One of which nothing is known yet.
    pub(super) fn new(repository: ServiceName) -> Self {
        Self {
            repository,
            commit: None,
            read_at: None,
            images: Vec::new(),
            policies: Vec::new(),
            automations: Vec::new(),
            trouble: None,
        }
    }

    pub(super) fn troubled(&mut self, trouble: Option<&Trouble>) {
        self.trouble = trouble.map(told);
    }
}

fn told(trouble: &Trouble) -> ImageTroubleView {
    ImageTroubleView { since: trouble.since, text: trouble.text.clone() }
}

impl Work {
    /// How everything stands now.
    pub(super) fn view(&self, keeper: &Keeper) -> AutomatedRepositoryView {
        let troubles = keeper.troubles().clone();
        let objects = &self.objects;
        AutomatedRepositoryView {
            commit: self.commit.clone(),
            read_at: self.read_at,
            images: objects.repositories.iter().map(|one| self.image(one)).collect(),
            policies: objects.policies.iter().map(|one| self.policy(one, &troubles)).collect(),
            automations: objects.automations.iter().map(|one| self.automation(one, &troubles)).collect(),
            trouble: troubles.get(&Subject::Files).map(told),
            ..AutomatedRepositoryView::new(keeper.name.clone())
        }
    }

    fn image(&self, repository: &ImageRepository) -> ScannedImageView {
        let key = Key::of_image(repository);
        let found = self.images.get(&key).and_then(|scanning| scanning.found.as_ref());
        let Key { namespace, name, file } = key;
        ScannedImageView {
            namespace,
            name,
            file,
            image: repository.image.clone(),
            suspended: repository.suspend,
            tags: found.and_then(|(_, found)| found.tags),
            looked_at: found.map(|(_, found)| found.at),
        }
    }

    fn policy(&self, policy: &ImagePolicy, troubles: &Troubles) -> ImagePolicyView {
        let key = Key::of_policy(policy);
        let repository = policy.repository_in(&self.objects.repositories).ok();
        let scanning = repository.and_then(|repository| self.images.get(&Key::of_image(repository)));
        let found = scanning.and_then(|scanning| scanning.found.as_ref()).map(|(_, found)| found);
        let chosen = found.and_then(|found| found.chosen.get(&key)?.as_ref().ok());
        let image = chosen.map(|chosen| &chosen.image);
        ImagePolicyView {
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            file: key.file.clone(),
            image: repository.map(|repository| repository.image.clone()),
            tag: image.map(|image| image.tag.clone()),
            digest: image.map(|image| image.digest.clone()).filter(|digest| !digest.is_empty()),
            suspended: policy.suspend || repository.is_some_and(|repository| repository.suspend),
            looked_at: found.map(|found| found.at),
            trouble: troubles.get(&Subject::Policy(key)).map(told),
        }
    }

    fn automation(&self, automation: &ImageUpdateAutomation, troubles: &Troubles) -> ImageAutomationView {
        let key = Key::of_automation(automation);
        let known = self.automations.get(&key);
        let last = known.and_then(|known| known.last.clone());
        ImageAutomationView {
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            file: key.file.clone(),
            branch: branches(automation, &self.main).1.to_owned(),
            suspended: automation.suspend,
            looked_at: known.and_then(|known| known.ran_at),
            last_commit: last.as_ref().map(|(commit, _)| commit.clone()),
            last_commit_at: last.map(|(_, at)| at),
            trouble: troubles.get(&Subject::Automation(key)).map(told),
        }
    }
}
