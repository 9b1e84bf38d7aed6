//! Which of the repositories that the server holds have automations of images, and the files that say so. A repository without
//! any costs a search when it is seen first, and after that a comparison for each push.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use prograde_gitops::git::{GitError, Marked, Repositories};
use prograde_model::ids::{CommitId, ServiceName};
use tokio::sync::watch;

use crate::options::Automated;

/// What stands in every file that is read.
pub(super) const TEXTS: [&str; 2] = [GROUP, "$imagepolicy"];
const GROUP: &str = "image.toolkit.fluxcd.io/";
const KIND: &str = "ImageUpdateAutomation";

/// The newest commits of all repositories.
pub(crate) type Heads = BTreeMap<ServiceName, CommitId>;

/// What was found in repositories. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Marks(Arc<Inner>);

struct Inner {
    repositories: Repositories,
    automated: Automated,
    known: Mutex<BTreeMap<ServiceName, Arc<Marked>>>,
    heads: watch::Sender<Heads>,
}

impl Marks {
    pub(crate) fn new(repositories: Repositories, automated: Automated) -> Self {
        let heads = watch::Sender::new(Heads::new());
        Self(Arc::new(Inner { repositories, automated, known: Mutex::default(), heads }))
    }

    /// These are the newest commits now. Of repositories that could not be read, it is the one that is known.
    pub(crate) fn seen(&self, mut heads: Heads, unknown: &BTreeSet<ServiceName>) {
        self.known().retain(|name, _| heads.contains_key(name) || unknown.contains(name));
        self.0.heads.send_if_modified(|before| {
            let kept = before.iter().filter(|(name, _)| unknown.contains(*name));
            heads.extend(kept.map(|(name, head)| (name.clone(), head.clone())));
            let is_new = *before != heads;
            *before = heads;
            is_new
        });
    }

    pub(super) fn heads(&self) -> watch::Receiver<Heads> {
        self.0.heads.subscribe()
    }

    /// The marked files of a commit.
    pub(super) async fn at(&self, name: &ServiceName, commit: &CommitId) -> Result<Arc<Marked>, GitError> {
        let known = self.known().get(name).cloned();
        if let Some(known) = known.as_ref().filter(|known| known.commit == *commit) {
            return Ok(Arc::clone(known));
        }
        let repository = self.0.repositories.get(name).await?;
        let marked = Arc::new(repository.marked(commit, &TEXTS, known.as_deref()).await?);
        self.known().insert(name.clone(), Arc::clone(&marked));
        Ok(marked)
    }

    /// Whether a commit has automations that are carried out here.
    pub(crate) async fn is_automated(&self, name: &ServiceName, commit: &CommitId) -> Result<bool, GitError> {
        Ok(self.0.automated.has(name) && has_automation(&*self.at(name, commit).await?))
    }

    /// Whether automations of a repository are carried out.
    pub(super) fn takes(&self, name: &ServiceName) -> bool {
        self.0.automated.has(name)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<ServiceName, Arc<Marked>>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether one of the files seems to have an automation.
pub(super) fn has_automation(marked: &Marked) -> bool {
    marked.files.values().any(|text| text.contains(GROUP) && text.contains(KIND))
}
