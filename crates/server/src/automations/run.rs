//! One automation, carried out: files of a branch brought up to what was chosen, as a commit of the branch that it names.
//! Invariant: nothing that somebody else has pushed is lost, and a crash at any point leaves what the next look finishes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use prograde_apps::Objects;
use prograde_apps::image::marker::ImageRef;
use prograde_apps::image::message::message;
use prograde_apps::image::objects::ImageUpdateAutomation;
use prograde_apps::image::update::{self, Plan, Text, Updated};
use prograde_gitops::git::{GitError, MAIN, Marked, Repository, Rewrite};
use prograde_model::Diagnostic;
use prograde_model::ids::CommitId;

use super::marks::TEXTS;
use crate::events::chain;

/// How often it is begun anew because somebody has pushed meanwhile.
const TRIES: u32 = 5;
/// Who commits where the automation does not say.
const NOBODY: (&str, &str) = ("Prograde", "prograde@localhost");

/// What an automation is given.
#[derive(Clone)]
pub(super) struct Given {
    pub(super) objects: Arc<Objects>,
    /// What policies choose, by their markers.
    pub(super) images: Arc<BTreeMap<String, ImageRef>>,
    /// Policies that choose nothing now.
    pub(super) left: Arc<BTreeSet<String>>,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Done {
    /// The commit that was made.
    pub(super) commit: Option<CommitId>,
    pub(super) changes: usize,
    /// Markers and files that can't be followed; the others were.
    pub(super) problems: Vec<Diagnostic>,
}

/// Why an automation is not carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotRun {
    #[error(transparent)]
    Git(#[from] GitError),
    #[error("{0}")]
    Wrong(Diagnostic),
    #[error("the branch `{0}` is not there: push it, or name another in `git.checkout.ref.branch`")]
    NoBranch(String),
    #[error(
        "the branch `{0}` has commits of somebody else: merge or remove it, and it is made again when there is something new"
    )]
    Taken(String),
    #[error("somebody has pushed each of the {TRIES} times that it was tried")]
    Moved,
    #[error("the files can't be read: {0}")]
    Stopped(String),
}

/// The branch that an automation reads, and the one that it pushes to.
pub(super) fn branches(automation: &ImageUpdateAutomation) -> (&str, &str) {
    let read = if automation.branch.is_empty() { MAIN } else { &automation.branch };
    (read, if automation.push_branch.is_empty() { read } else { &automation.push_branch })
}

/// By whom the log of a branch says that it was moved.
pub(super) fn mover(automation: &ImageUpdateAutomation) -> String {
    format!("image automation {}/{}", automation.metadata.namespace, automation.metadata.name)
}

/// Carries out an automation. What is known of branches is used, and known afterwards.
pub(super) async fn run(
    repository: &Repository,
    automation: &ImageUpdateAutomation,
    given: &Given,
    known: &mut BTreeMap<String, Arc<Marked>>,
    now: Timestamp,
) -> Result<Done, NotRun> {
    automation.carried_out().map_err(NotRun::Wrong)?;
    let (branch, push) = branches(automation);
    for _ in 0..TRIES {
        let head = repository.head(branch).await?.ok_or_else(|| NotRun::NoBranch(branch.to_owned()))?;
        let marked = at(repository, branch, &head, known).await?;
        let Updated { files, changes, problems, .. } = updated(automation, given, &marked).await?;
        if files.is_empty() {
            return Ok(Done { commit: None, changes: 0, problems });
        }
        let said = message(automation, &changes).map_err(NotRun::Wrong)?;
        let files = files.into_iter().map(|(file, _, after)| (file, after)).collect();
        let (name, email) = &automation.author;
        let author = (or(name, NOBODY.0), or(email, NOBODY.1));
        let rewrite = Rewrite { base: &head, files: &files, author, at: now, message: &said };
        let put = if push == branch {
            put(repository, push, &rewrite, automation).await
        } else {
            put_beside(repository, push, rewrite, automation).await
        };
        match put {
            Ok(commit) => return Ok(Done { changes: commit.as_ref().map_or(0, |_| changes.len()), commit, problems }),
            Err(NotRun::Git(GitError::Moved { .. })) => {}
            Err(error) => return Err(error),
        }
    }
    Err(NotRun::Moved)
}

fn or<'a>(said: &'a str, otherwise: &'a str) -> &'a str {
    if said.is_empty() { otherwise } else { said }
}

/// The marked files of a branch's newest commit.
async fn at(
    repository: &Repository,
    branch: &str,
    head: &CommitId,
    known: &mut BTreeMap<String, Arc<Marked>>,
) -> Result<Arc<Marked>, GitError> {
    let before = known.get(branch);
    if let Some(before) = before.filter(|before| before.commit == *head) {
        return Ok(Arc::clone(before));
    }
    let marked = Arc::new(repository.marked(head, &TEXTS, before.map(|before| &**before)).await?);
    known.insert(branch.to_owned(), Arc::clone(&marked));
    Ok(marked)
}

async fn updated(automation: &ImageUpdateAutomation, given: &Given, marked: &Arc<Marked>) -> Result<Updated, NotRun> {
    let (automation, given, marked) = (automation.clone(), given.clone(), Arc::clone(marked));
    let update = move || {
        let policies = &given.objects.policies;
        let plan = Plan { automations: &[&automation], policies, images: &given.images, left: &given.left };
        update::update(marked.files.iter().map(|(file, text)| Text { file, path: file, text }), &plan)
    };
    tokio::task::spawn_blocking(update).await.map_err(|error| NotRun::Stopped(chain(&error)))
}

/// Puts a commit onto the branch whose files were read.
async fn put(
    repository: &Repository,
    branch: &str,
    rewrite: &Rewrite<'_>,
    automation: &ImageUpdateAutomation,
) -> Result<Option<CommitId>, NotRun> {
    let commit = repository.rewrite(rewrite).await?;
    repository.point(branch, Some(rewrite.base), &commit, &mover(automation)).await?;
    Ok(Some(commit))
}

/// Puts a commit onto a branch of its own, which always is the one that was read and this commit. What somebody else has put
/// there stays.
async fn put_beside(
    repository: &Repository,
    branch: &str,
    rewrite: Rewrite<'_>,
    automation: &ImageUpdateAutomation,
) -> Result<Option<CommitId>, NotRun> {
    let (base, by) = (rewrite.base, mover(automation));
    let current = repository.head(branch).await?;
    let mut at = rewrite.at;
    if let Some(current) = &current {
        let info = repository.commit_info(current).await?;
        if info.parents.as_slice() == std::slice::from_ref(base) {
            // The same commit again, if there is nothing new.
            at = info.time;
        }
    }
    let commit = repository.rewrite(&Rewrite { at, ..rewrite }).await?;
    if current.as_ref() == Some(&commit) {
        return Ok(None);
    }
    if let Some(current) = &current {
        let is_ours = repository.pointed_by(branch, &by).await?.as_ref() == Some(current);
        if !is_ours && !repository.is_ancestor(current, base).await? {
            return Err(NotRun::Taken(branch.to_owned()));
        }
    }
    repository.point(branch, current.as_ref(), &commit, &by).await?;
    Ok(Some(commit))
}
