//! The repositories that this server hosts, as the controllers' source of commits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use async_trait::async_trait;
use prograde_control::config::FILE;
use prograde_control::ports::{Files, Head, PortError, Source};
use prograde_gitops::git::{GitError, MAIN, Repositories, Repository};
use prograde_model::event::{Opened, Person};
use prograde_model::ids::{CommitId, ServiceName};
use prograde_model::work::Work;
use prograde_model::{Diagnostic, Diagnostics};

use crate::automations::marks::{Heads, Marks};
use crate::events::chain;

/// The repositories that applications in clusters are read from. A commit of one of them flies only if it has a
/// `prograde.yaml`; elsewhere that this is missing is told to its author. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct ReadFrom(Arc<RwLock<BTreeSet<ServiceName>>>);

impl ReadFrom {
    /// These and no others.
    pub(crate) fn set(&self, names: BTreeSet<ServiceName>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = names;
    }

    /// These too.
    pub(crate) fn add(&self, names: impl Iterator<Item = ServiceName>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).extend(names);
    }

    fn has(&self, name: &ServiceName) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(name)
    }
}

pub(crate) struct HostedSource {
    repositories: Repositories,
    read_from: ReadFrom,
    /// Is told of the newest commits, and knows which of them have automations of images.
    marks: Marks,
    /// What the newest commits are that were looked at.
    looked: Mutex<BTreeMap<ServiceName, Kind>>,
}

/// What a commit is.
#[derive(Clone)]
struct Kind {
    commit: CommitId,
    /// Whether it has a `prograde.yaml`.
    is_service: bool,
    /// Whether it has none, and says which images are kept up to date.
    is_automated: bool,
}

impl HostedSource {
    pub(crate) fn new(repositories: Repositories, read_from: ReadFrom, marks: Marks) -> Self {
        Self { repositories, read_from, marks, looked: Mutex::default() }
    }

    async fn repository(&self, service: &ServiceName) -> Result<Repository, PortError> {
        self.repositories.get(service).await.map_err(|error| from_git(&error))
    }
}

/// What a Git error means for whoever asked.
pub(crate) fn from_git(error: &GitError) -> PortError {
    match error {
        GitError::Symlink { path } => {
            let found = Diagnostic::file("PG0104", path, chain(error), "commit a plain file in its place");
            PortError::Input(Diagnostics::from(found))
        }
        GitError::TooLarge { .. }
        | GitError::NoRepository(_)
        | GitError::NoCommit(_)
        | GitError::Name { .. }
        | GitError::Export { .. } => PortError::Final(chain(error)),
        GitError::NotInstalled
        | GitError::TooOld { .. }
        | GitError::Start { .. }
        | GitError::Pipe { .. }
        | GitError::Timeout { .. }
        | GitError::Failed { .. }
        | GitError::Answer { .. }
        | GitError::Disk { .. }
        | GitError::Moved { .. } => PortError::Passing(chain(error)),
    }
}

#[async_trait]
impl Source for HostedSource {
    async fn heads(&self) -> Result<Vec<Head>, PortError> {
        let (mut heads, mut all, mut unknown) = (Vec::new(), Heads::new(), BTreeSet::new());
        for service in self.repositories.list().await.map_err(|error| from_git(&error))? {
            // A repository that went away or is damaged must not keep the others from flying.
            match self.newest(&service).await {
                Ok(Some(commit)) => {
                    all.insert(service.clone(), commit.clone());
                    if self.flies(&service, &commit).await {
                        heads.push(Head { service, branch: MAIN.to_owned(), commit });
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%service, "the repository can't be read: {error}");
                    unknown.insert(service);
                }
            }
        }
        self.marks.seen(all, &unknown);
        Ok(heads)
    }

    async fn opened(&self, head: &Head) -> Result<Opened, PortError> {
        let info =
            self.repository(&head.service).await?.commit_info(&head.commit).await.map_err(|error| from_git(&error))?;
        Ok(Opened {
            service: head.service.clone(),
            commit: head.commit.clone(),
            branch: head.branch.clone(),
            subject: info.subject.chars().take(200).collect(),
            author: Person { name: info.author_name, email: info.author_email },
            committed_at: info.time,
            work: Work::of_message(&info.message),
        })
    }

    async fn file(&self, service: &ServiceName, commit: &CommitId, path: &str) -> Result<Option<Vec<u8>>, PortError> {
        self.repository(service).await?.read_file(commit, path).await.map_err(|error| from_git(&error))
    }

    async fn files(&self, service: &ServiceName, commit: &CommitId, folder: &str) -> Result<Files, PortError> {
        let tree = self.repository(service).await?.tree(commit, folder).await.map_err(|error| from_git(&error))?;
        if let Some((link, _)) = tree.links().next() {
            let found =
                Diagnostic::file("PG0104", link, "a symbolic link is not followed", "commit a plain file in its place");
            return Err(Diagnostics::from(found).into());
        }
        if let Some((file, bytes)) = tree.left_out().next() {
            let message = format!("the file has {bytes} bytes, more than there is room for among all manifests");
            let found =
                Diagnostic::file("PG0104", file, message, "keep it outside of the folder that `manifests` names");
            return Err(Diagnostics::from(found).into());
        }
        Ok(tree.files().map(|(path, content)| (path.to_owned(), content.to_vec())).collect())
    }
}

impl HostedSource {
    /// Whether a commit is a service's, and not one that only says what applications want, or which images are kept up to date.
    async fn flies(&self, name: &ServiceName, commit: &CommitId) -> bool {
        let looked = || self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let known = looked().get(name).filter(|known| known.commit == *commit).cloned();
        let kind = match known {
            Some(known) => known,
            None => match self.look(name, commit).await {
                Ok(kind) => {
                    looked().insert(name.clone(), kind.clone());
                    kind
                }
                // Whoever reads it next tells what is wrong.
                Err(()) => return true,
            },
        };
        kind.is_service || !(kind.is_automated || self.read_from.has(name))
    }

    async fn look(&self, name: &ServiceName, commit: &CommitId) -> Result<Kind, ()> {
        let is_service = self.file(name, commit, FILE).await.map_err(drop)?.is_some();
        let is_automated = !is_service && self.marks.is_automated(name, commit).await.map_err(drop)?;
        Ok(Kind { commit: commit.clone(), is_service, is_automated })
    }

    async fn newest(&self, service: &ServiceName) -> Result<Option<CommitId>, PortError> {
        self.repository(service).await?.head(MAIN).await.map_err(|error| from_git(&error))
    }
}
