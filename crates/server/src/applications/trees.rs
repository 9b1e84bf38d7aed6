//! The files of repositories that the server holds, as they are in the newest commit: read when something asks for them, and
//! again only once there is a newer commit.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use prograde_apps::Repositories as Addresses;
use prograde_apps::repository::address_key;
use prograde_gitops::git::{MAIN, Repositories, Repository};
use prograde_kustomize::helm::Charts;
use prograde_kustomize::{FileTree, Files, Surrounded};
use prograde_model::ids::{CommitId, ServiceName};
use tokio::runtime::Handle;

use crate::bases::Meanwhile;
use crate::events::chain;

/// The repository that says what should run.
pub(super) const DEPLOYMENTS: &str = "deployments";

/// Trees that were read, each with its commit.
pub(super) type Read = BTreeMap<ServiceName, AtCommit>;
/// A tree, and the commit that it is of: none where nothing was pushed yet, and the tree is empty.
type AtCommit = (Option<CommitId>, Arc<FileTree>);

/// The repositories that the server holds.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) repositories: Repositories,
    pub(super) deployments: Repository,
    pub(super) bases: Arc<Meanwhile>,
}

impl Held {
    /// The newest commit of a repository; none where there is no such repository, or nothing in it.
    pub(super) async fn head(&self, name: &ServiceName) -> Result<Option<CommitId>, String> {
        match self.open(name).await {
            Ok(repository) => repository.head(MAIN).await.map_err(|error| chain(&error)),
            Err(_) => Ok(None),
        }
    }

    async fn open(&self, name: &ServiceName) -> Result<Repository, String> {
        if name.as_str() == DEPLOYMENTS {
            return Ok(self.deployments.clone());
        }
        self.repositories.get(name).await.map_err(|error| chain(&error))
    }

    /// A repository's files at a commit, or at its newest.
    async fn read(&self, name: &ServiceName, at: Option<&CommitId>, before: &Read) -> Result<AtCommit, String> {
        let repository = self.open(name).await?;
        let head = match at {
            Some(commit) => Some(commit.clone()),
            None => repository.head(MAIN).await.map_err(|error| chain(&error))?,
        };
        let Some(head) = head else { return Ok((None, Arc::default())) };
        let tree = match before.get(name) {
            Some((Some(commit), tree)) if *commit == head => return Ok((Some(head), Arc::clone(tree))),
            Some((Some(commit), tree)) => repository.tree_after(&head, (commit, tree)).await,
            Some((None, _)) | None => repository.tree(&head, "").await,
        };
        let tree = tree.map_err(|error| format!("the repository `{name}` can't be read: {}", chain(&error)))?;
        Ok((Some(head), Arc::new(tree)))
    }
}

/// A repository's files.
struct Here {
    at: AtCommit,
    tree: Surrounded<Arc<FileTree>, Arc<Meanwhile>, Arc<Meanwhile>>,
}

/// Repositories by their addresses, for one reading. Each is read when it is asked for first. Used off the runtime.
pub(super) struct Trees {
    held: Held,
    runtime: Handle,
    before: Read,
    /// The repository that is read at another commit than its newest.
    at: Option<(ServiceName, CommitId)>,
    known: BTreeMap<String, ServiceName>,
    /// The keys of addresses that were asked for.
    keys: Mutex<HashMap<String, String>>,
    read: BTreeMap<ServiceName, OnceLock<Option<Here>>>,
    wrong: Mutex<Vec<String>>,
}

impl Trees {
    /// `known` has the repositories by the keys of their addresses.
    pub(super) fn new(held: Held, own: &ServiceName, known: BTreeMap<String, ServiceName>, before: Read) -> Self {
        let names = known.values().chain([own]);
        let read = names.map(|name| (name.clone(), OnceLock::new())).collect();
        let (keys, wrong) = (Mutex::default(), Mutex::default());
        Self { held, runtime: Handle::current(), before, at: None, known, keys, read, wrong }
    }

    /// The same with one repository as it was at a commit.
    pub(super) fn at(self, name: &ServiceName, commit: CommitId) -> Self {
        Self { at: Some((name.clone(), commit)), ..self }
    }

    /// The files of a repository.
    pub(super) fn of(&self, name: &ServiceName) -> Option<&AtCommit> {
        Some(&self.here(name)?.at)
    }

    fn here(&self, name: &ServiceName) -> Option<&Here> {
        let at = self.at.as_ref().filter(|(other, _)| other == name).map(|(_, commit)| commit);
        let read = || match self.runtime.block_on(self.held.read(name, at, &self.before)) {
            Ok(at) => {
                let bases = &self.held.bases;
                let charts = bases.charts().map(|_| Arc::clone(bases));
                let tree = Surrounded { files: Arc::clone(&at.1), remotes: Some(Arc::clone(bases)), charts };
                Some(Here { at, tree })
            }
            Err(why) => {
                self.wrong.lock().unwrap_or_else(PoisonError::into_inner).push(why);
                None
            }
        };
        self.read.get(name)?.get_or_init(read).as_ref()
    }

    /// The repository of an address.
    pub(super) fn named(&self, url: &str) -> Option<&ServiceName> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = keys.get(url) {
            return self.known.get(key);
        }
        let key = address_key(url);
        let found = self.known.get(&key);
        keys.insert(url.to_owned(), key);
        found
    }

    /// What could not be read.
    pub(super) fn wrong(&self) -> Option<String> {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        (!wrong.is_empty()).then(|| wrong.join("; "))
    }

    /// What was read; or what could not be.
    pub(super) fn finish(self) -> Result<Read, String> {
        if let Some(wrong) = self.wrong() {
            return Err(wrong);
        }
        Ok(self.read.into_iter().filter_map(|(name, found)| Some((name, found.into_inner()??.at))).collect())
    }
}

impl Addresses for Trees {
    fn find(&self, url: &str) -> Option<&dyn Files> {
        Some(&self.here(self.named(url)?)?.tree as &dyn Files)
    }

    fn charts(&self) -> Option<&dyn Charts> {
        self.held.bases.charts().map(|bases| bases as &dyn Charts)
    }
}
