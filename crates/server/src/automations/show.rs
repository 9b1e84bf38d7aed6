//! How a repository's images stand, for people.

use std::collections::BTreeMap;

use prograde_apps::image::objects::{ImagePolicy, ImageRepository, ImageUpdateAutomation};
use prograde_model::ids::ServiceName;

use super::keeper::{Keeper, Trouble, Work, key, subject};
use super::run::branches;
use crate::api::types::{
    AutomatedRepositoryView, ImageAutomationView, ImagePolicyView, ImageTroubleView, ScannedImageView,
};

type Troubles = BTreeMap<String, Trouble>;

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
            trouble: troubles.get("").map(told),
            ..AutomatedRepositoryView::new(keeper.name.clone())
        }
    }

    fn image(&self, repository: &ImageRepository) -> ScannedImageView {
        let (namespace, name) = key(&repository.metadata);
        let found = self.images.get(&key(&repository.metadata)).and_then(|scanning| scanning.found.as_ref());
        ScannedImageView {
            namespace,
            name,
            image: repository.image.clone(),
            suspended: repository.suspend,
            tags: found.and_then(|(_, found)| found.tags),
            looked_at: found.map(|(_, found)| found.at),
        }
    }

    fn policy(&self, policy: &ImagePolicy, troubles: &Troubles) -> ImagePolicyView {
        let (namespace, name) = key(&policy.metadata);
        let repository = policy.repository_in(&self.objects.repositories).ok();
        let scanning = repository.and_then(|repository| self.images.get(&key(&repository.metadata)));
        let found = scanning.and_then(|scanning| scanning.found.as_ref()).map(|(_, found)| found);
        let chosen = found.and_then(|found| found.chosen.get(&policy.marker())?.as_ref().ok());
        let image = chosen.map(|chosen| &chosen.image);
        ImagePolicyView {
            namespace,
            name,
            image: repository.map(|repository| repository.image.clone()),
            tag: image.map(|image| image.tag.clone()),
            digest: image.map(|image| image.digest.clone()).filter(|digest| !digest.is_empty()),
            suspended: policy.suspend || repository.is_some_and(|repository| repository.suspend),
            looked_at: found.map(|found| found.at),
            trouble: troubles.get(&policy.marker()).map(told),
        }
    }

    fn automation(&self, automation: &ImageUpdateAutomation, troubles: &Troubles) -> ImageAutomationView {
        let (namespace, name) = key(&automation.metadata);
        let known = self.automations.get(&key(&automation.metadata));
        let last = known.and_then(|known| known.last.clone());
        ImageAutomationView {
            namespace,
            name,
            branch: branches(automation).1.to_owned(),
            suspended: automation.suspend,
            looked_at: known.and_then(|known| known.ran_at),
            last_commit: last.as_ref().map(|(commit, _)| commit.clone()),
            last_commit_at: last.map(|(_, at)| at),
            trouble: troubles.get(&subject(automation)).map(told),
        }
    }
}
