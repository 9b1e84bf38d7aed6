//! One automation, carried out: files of a branch brought up to what was chosen, as a commit of the branch that it names.
//! Invariant: nothing that somebody else has pushed is lost, and a crash at any point leaves what the next look finishes.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use prograde_apps::Objects;
use prograde_apps::image::marker::ImageRef;
use prograde_apps::image::message::message;
use prograde_apps::image::objects::{ImagePolicy, ImageUpdateAutomation};
use prograde_apps::image::update::{self, Plan, Text, Updated};
use prograde_gitops::git::{GitError, MAIN, Marked, Repository, Rewrite};
use prograde_model::Diagnostic;
use prograde_model::ids::CommitId;
use sha2::{Digest as _, Sha256};

use super::keeper::Key;
use super::marks::TEXTS;
use crate::events::chain;
use crate::upstream::{Origin, OriginError};

/// How often it is begun anew because somebody has pushed meanwhile.
const TRIES: u32 = 5;
/// Who commits where the automation does not say.
const NOBODY: (&str, &str) = ("Prograde", "prograde@localhost");

/// How the log of a branch names automations.
const MOVER: &str = "image automation";
/// The longest such name.
const MOVER_BYTES_MAX: usize = 180;

/// What an automation is given.
#[derive(Clone)]
pub(super) struct Given {
    pub(super) objects: Arc<Objects>,
    /// What policies choose that choose something.
    pub(super) images: Arc<BTreeMap<Key, ImageRef>>,
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
    #[error(transparent)]
    Origin(OriginError),
    #[error("of the host only `{followed}` is read, not `{asked}`: leave `git.checkout.ref.branch` out")]
    NotRead { asked: String, followed: String },
    #[error(
        "`main` is what the host's `{0}` is called here, so nothing can be pushed to the host's `main`: name another `git.push.branch`"
    )]
    NotPushed(String),
    #[error(
        "the repository follows {0}, where nothing is committed: write `image_updates: true` for it in the file of `--upstreams`, with a token that may push, or let a pipeline there run `prograde image update --push`"
    )]
    Follows(String),
    #[error("the branch `{0}` is not there: push it, or name another in `git.checkout.ref.branch`")]
    NoBranch(String),
    #[error(
        "the branch `{0}` has commits of somebody else: merge or remove it, and it is made again when there is something new"
    )]
    Taken(String),
    #[error("it would undo what the {0} has committed: give each another `update.path`")]
    Undoes(String),
    #[error("somebody has pushed each of the {TRIES} times that it was tried")]
    Moved,
    #[error("the files can't be read: {0}")]
    Stopped(String),
}

impl From<OriginError> for NotRun {
    fn from(error: OriginError) -> Self {
        // Whoever has pushed, here or there: it is begun anew.
        if let OriginError::Git(error) = error { Self::Git(error) } else { Self::Origin(error) }
    }
}

/// The repository of an automation: here, and on the host that it follows, if it does.
pub(super) struct Home<'a> {
    pub(super) repository: &'a Repository,
    pub(super) origin: Option<Origin>,
}

impl Home<'_> {
    /// What the branch is called where people push to it that is `main` here.
    pub(super) fn main(&self) -> &str {
        self.origin.as_ref().map_or(MAIN, Origin::branch)
    }

    /// The branches here that an automation reads, and that has what it pushes.
    pub(super) fn branches<'a>(&self, automation: &'a ImageUpdateAutomation) -> Result<(&'a str, &'a str), NotRun> {
        let Some(origin) = &self.origin else { return Ok(branches(automation, MAIN)) };
        let followed = origin.branch();
        let read = or(&automation.branch, followed);
        if read != followed {
            return Err(NotRun::NotRead { asked: read.to_owned(), followed: followed.to_owned() });
        }
        match automation.push_branch.as_str() {
            "" => Ok((MAIN, MAIN)),
            push if push == followed => Ok((MAIN, MAIN)),
            MAIN => Err(NotRun::NotPushed(followed.to_owned())),
            push => Ok((MAIN, push)),
        }
    }

    /// Takes over what somebody has pushed meanwhile.
    async fn catch_up(&self) -> Result<(), OriginError> {
        let Some(origin) = &self.origin else { return Ok(()) };
        origin.catch_up().await
    }

    /// Moves the branch that was read.
    async fn advance(&self, branch: &str, from: &CommitId, to: &CommitId, by: &str) -> Result<(), NotRun> {
        match &self.origin {
            None => Ok(self.repository.point(branch, Some(from), to, by).await?),
            Some(origin) => Ok(origin.advance(self.repository, from, to, by).await?),
        }
    }
}

/// The branch that an automation reads, and the one that it pushes to, as people call them; `main` is what it reads if it says
/// nothing.
pub(super) fn branches<'a>(automation: &'a ImageUpdateAutomation, main: &'a str) -> (&'a str, &'a str) {
    let read = or(&automation.branch, main);
    (read, or(&automation.push_branch, read))
}

/// By whom the log of a branch says that it was moved.
pub(super) fn mover(automation: &ImageUpdateAutomation) -> String {
    let (namespace, name) = (&automation.metadata.namespace, &automation.metadata.name);
    let text = format!("{MOVER} {namespace}/{name} in {}", automation.place.file);
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./ ".contains(letter);
    if text.len() <= MOVER_BYTES_MAX && text.chars().all(is_plain) {
        return text;
    }
    // A log takes no longer names, and not all letters.
    format!("{MOVER} {}", hex::encode(Sha256::digest(&text)))
}

/// Carries out an automation. What is known of branches is used, and known afterwards.
pub(super) async fn run(
    home: &Home<'_>,
    automation: &ImageUpdateAutomation,
    given: &Given,
    known: &mut BTreeMap<String, Arc<Marked>>,
    now: Timestamp,
) -> Result<Done, NotRun> {
    automation.carried_out().map_err(NotRun::Wrong)?;
    if let Some(origin) = home.origin.as_ref().filter(|origin| !origin.takes_image_updates()) {
        return Err(NotRun::Follows(origin.url().to_owned()));
    }
    let (repository, (branch, push)) = (home.repository, home.branches(automation)?);
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
            put(home, push, &rewrite, automation).await
        } else {
            put_beside(home, push, rewrite, automation).await
        };
        match put {
            Ok(commit) => return Ok(Done { changes: commit.as_ref().map_or(0, |_| changes.len()), commit, problems }),
            Err(NotRun::Git(GitError::Moved { .. })) => home.catch_up().await?,
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
        let all = &given.objects.policies;
        let (policies, mut problems) = update::in_view(&automation, all);
        let image = |policy: &&ImagePolicy| Some((policy.marker(), given.images.get(&Key::of_policy(policy))?.clone()));
        let images: BTreeMap<String, ImageRef> = policies.iter().filter_map(image).collect();
        let left = all.iter().map(ImagePolicy::marker).filter(|policy| !images.contains_key(policy)).collect();
        let plan = Plan { automations: &[&automation], policies: &policies, images: &images, left: &left };
        let texts = marked.files.iter().map(|(file, text)| Text { file, path: file, text });
        let mut updated = update::update(texts, &plan);
        problems.append(&mut updated.problems);
        Updated { problems, ..updated }
    };
    tokio::task::spawn_blocking(update).await.map_err(|error| NotRun::Stopped(chain(&error)))
}

/// Puts a commit onto the branch whose files were read.
async fn put(
    home: &Home<'_>,
    branch: &str,
    rewrite: &Rewrite<'_>,
    automation: &ImageUpdateAutomation,
) -> Result<Option<CommitId>, NotRun> {
    let repository = home.repository;
    let (commit, by) = (repository.rewrite(rewrite).await?, mover(automation));
    if let Some(other) = repository.mover(branch).await?.filter(|other| other.starts_with(MOVER) && *other != by) {
        // Two that want different values of the same would go on for ever.
        let info = repository.commit_info(rewrite.base).await?;
        if let [parent] = info.parents.as_slice()
            && repository.is_same_tree(&commit, parent).await?
        {
            return Err(NotRun::Undoes(other));
        }
    }
    home.advance(branch, rewrite.base, &commit, &by).await?;
    Ok(Some(commit))
}

/// Puts a commit onto a branch of its own, which always is the one that was read and this commit. What somebody else has put
/// there stays. On a host it is there after it is here: so a crash between the two leaves no commit there that is not known.
async fn put_beside(
    home: &Home<'_>,
    branch: &str,
    rewrite: Rewrite<'_>,
    automation: &ImageUpdateAutomation,
) -> Result<Option<CommitId>, NotRun> {
    let (repository, base, by) = (home.repository, rewrite.base, mover(automation));
    let current = repository.head(branch).await?;
    let there = match &home.origin {
        None => current.clone(),
        Some(origin) => origin.look(repository, branch).await?,
    };
    let mut at = rewrite.at;
    if let Some(current) = &current {
        let info = repository.commit_info(current).await?;
        if info.parents.as_slice() == std::slice::from_ref(base) {
            // The same commit again, if there is nothing new.
            at = info.time;
        }
    }
    let commit = repository.rewrite(&Rewrite { at, ..rewrite }).await?;
    if there.as_ref() == Some(&commit) {
        return Ok(None);
    }
    if let Some(there) = &there {
        let is_ours = repository.pointed_by(branch, &by).await?.contains(there);
        if !is_ours && !is_merged(repository, there, base).await? {
            return Err(NotRun::Taken(branch.to_owned()));
        }
    }
    if current.as_ref() != Some(&commit) {
        repository.point(branch, current.as_ref(), &commit, &by).await?;
    }
    if let Some(origin) = &home.origin {
        origin.point(repository, (branch, there.as_ref()), &commit).await?;
    }
    Ok(Some(commit))
}

/// Whether a commit is in a branch that ends at another. One that has never come here is not.
async fn is_merged(repository: &Repository, commit: &CommitId, base: &CommitId) -> Result<bool, GitError> {
    match repository.is_ancestor(commit, base).await {
        Err(GitError::NoCommit(_)) => Ok(false),
        answer => answer,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use prograde_gitops::git::Repositories;

    use super::*;

    fn git(dir: &Path, arguments: &[&str]) {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=Ann", "-c", "user.email=ann@example.org"]).args(arguments).current_dir(dir);
        let output = command.env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The objects of a cluster's folder.
    fn objects(folder: &str, into: &mut Objects) {
        let object = |kind: &str, spec: &str| {
            format!(
                "apiVersion: image.toolkit.fluxcd.io/v1\nkind: {kind}\nmetadata: {{name: app, namespace: f}}\nspec: {spec}\n---\n"
            )
        };
        let policy = object("ImagePolicy", "{imageRepositoryRef: {name: app}, policy: {semver: {range: '*'}}}");
        let spec = "{interval: 1m, sourceRef: {kind: GitRepository, name: r}, git: {commit: {author: {email: b@e}}}}";
        let automation = object("ImageUpdateAutomation", spec);
        prograde_apps::read(&format!("{folder}/app.yaml"), &[policy, automation].concat(), into);
    }

    async fn repository(dir: &Path) -> Repository {
        let repositories = Repositories::open(dir.join("repos")).await.unwrap();
        let repository = repositories.ensure(&"fleet".parse().unwrap()).await.unwrap();
        git(dir, &["clone", "--quiet", repository.path().to_str().unwrap(), "work"]);
        let work = dir.join("work");
        std::fs::write(work.join("app.yaml"), "image: h/app:0 # {\"$imagepolicy\": \"f:app\"}\n").unwrap();
        git(&work, &["add", "."]);
        git(&work, &["commit", "--quiet", "--message", "Begin"]);
        git(&work, &["push", "--quiet", "origin", "HEAD:main", "HEAD:live"]);
        repository
    }

    fn now() -> Timestamp {
        "2026-02-01T12:00:00Z".parse().unwrap()
    }

    /// Clusters `a` and `b`, each with a policy that chooses its own tag.
    fn given() -> Given {
        let mut read = Objects::default();
        objects("a", &mut read);
        objects("b", &mut read);
        assert!(read.problems.is_empty(), "{:?}", read.problems);
        let image = |policy: &ImagePolicy| {
            let tag = policy.place.file.split('/').next().unwrap().to_owned();
            (Key::of_policy(policy), ImageRef { name: "h/app".into(), tag, digest: String::new(), keeps: None })
        };
        let images = Arc::new(read.policies.iter().map(image).collect());
        Given { objects: Arc::new(read), images }
    }

    #[tokio::test]
    async fn two_that_want_different_values_do_not_go_on_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let (repository, given, mut known) = (repository(dir.path()).await, given(), BTreeMap::new());
        let home = Home { repository: &repository, origin: None };
        let [a, b] = given.objects.automations.as_slice() else { panic!("two automations") };
        let now = now();
        for (automation, tag) in [(a, "h/app:a"), (b, "h/app:b")] {
            let done = run(&home, automation, &given, &mut known, now).await.unwrap();
            let commit = done.commit.unwrap();
            assert_eq!(repository.head(MAIN).await.unwrap().as_ref(), Some(&commit));
            let text = repository.read_file(&commit, "app.yaml").await.unwrap().unwrap();
            assert!(String::from_utf8(text).unwrap().contains(tag), "{tag}");
            assert_eq!(repository.commit_info(&commit).await.unwrap().author_name, NOBODY.0);
            // There is nothing to do twice.
            assert_eq!(run(&home, automation, &given, &mut known, now).await.unwrap().commit, None);
        }
        let undone = run(&home, a, &given, &mut known, now).await.unwrap_err().to_string();
        assert!(
            undone.contains("it would undo what the image automation f/app in b/app.yaml has committed"),
            "{undone}"
        );
    }

    #[tokio::test]
    async fn another_branch_may_be_read_and_must_be_there() {
        let dir = tempfile::tempdir().unwrap();
        let (repository, given, mut known) = (repository(dir.path()).await, given(), BTreeMap::new());
        let home = Home { repository: &repository, origin: None };
        let main = repository.head(MAIN).await.unwrap();
        let mut automation = given.objects.automations[0].clone();
        "live".clone_into(&mut automation.branch);
        let done = run(&home, &automation, &given, &mut known, now()).await.unwrap();
        assert_eq!((repository.head("live").await.unwrap(), repository.head(MAIN).await.unwrap()), (done.commit, main));
        "gone".clone_into(&mut automation.branch);
        let gone = run(&home, &automation, &given, &mut known, now()).await.unwrap_err();
        assert!(matches!(gone, NotRun::NoBranch(_)), "{gone}");
    }
}
