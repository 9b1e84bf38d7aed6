//! Looks through commits of hosted repositories.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use prograde_control::ports::{PortError, Scanner};
use prograde_control::{Clock as _, SystemClock};
use prograde_gitops::git::{Repositories, Repository};
use prograde_model::Diagnostics;
use prograde_model::ids::{CommitId, ServiceName};
use prograde_model::scan::ScanReport;
use prograde_scan::commit::{Limits, look};
use prograde_scan::secret::Commits;
use prograde_scan::walk::Ignored;
use tempfile::TempDir;

use super::source::from_git;

/// How many notes are kept of a commit.
const NOTES_MAX: usize = 20;

/// Looks through a commit in a folder of its own, which goes away with the call.
pub(crate) struct CommitScanner {
    pub(crate) repositories: Repositories,
    pub(crate) limits: Limits,
    /// Where those folders are.
    pub(crate) scratch: PathBuf,
}

#[async_trait]
impl Scanner for CommitScanner {
    async fn scan(
        &self,
        service: &ServiceName,
        commit: &CommitId,
        since: Option<&CommitId>,
    ) -> Result<ScanReport, PortError> {
        let repository = self.repositories.get(service).await.map_err(|error| from_git(&error))?;
        let files = files(&repository, commit, &self.scratch).await?;
        // A commit that a rewritten history has left may be gone; the files are looked through all the same.
        let known = match since {
            Some(since) => repository.commit_info(since).await.is_ok(),
            None => false,
        };
        let commits =
            since.filter(|_| known).map(|since| Commits::Between { since: since.clone(), until: commit.clone() });
        let (path, limits) = (repository.path().to_owned(), self.limits.clone());
        let looked = tokio::task::spawn_blocking(move || {
            let history = commits.as_ref().map(|commits| (path.as_path(), commits));
            look(files.path(), Ignored::LookedAt, history, &limits, SystemClock.now())
        });
        let looked = looked.await.map_err(|error| PortError::Passing(error.to_string()))?;
        if !looked.refused.is_empty() {
            return Err(PortError::Input(Diagnostics(looked.refused)));
        }
        let notes = looked.told.iter().take(NOTES_MAX).map(ToString::to_string).collect();
        Ok(ScanReport { notes, ..looked.report })
    }
}

/// A commit's files in a folder that goes away when it is dropped.
pub(super) async fn files(repository: &Repository, commit: &CommitId, scratch: &Path) -> Result<TempDir, PortError> {
    let folder = tempfile::Builder::new().prefix("commit-").tempdir_in(scratch);
    let folder = folder.map_err(|error| PortError::Passing(format!("no folder could be made: {error}")))?;
    repository.export(commit, folder.path()).await.map_err(|error| from_git(&error))?;
    Ok(folder)
}
