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

/// The branch that an automation reads, and the one that it pushes to.
pub(super) fn branches(automation: &ImageUpdateAutomation) -> (&str, &str) {
    let read = if automation.branch.is_empty() { MAIN } else { &automation.branch };
    (read, if automation.push_branch.is_empty() { read } else { &automation.push_branch })
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
    repository: &Repository,
    branch: &str,
    rewrite: &Rewrite<'_>,
    automation: &ImageUpdateAutomation,
) -> Result<Option<CommitId>, NotRun> {
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
    repository.point(branch, Some(rewrite.base), &commit, &by).await?;
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
        let [a, b] = given.objects.automations.as_slice() else { panic!("two automations") };
        let now = now();
        for (automation, tag) in [(a, "h/app:a"), (b, "h/app:b")] {
            let done = run(&repository, automation, &given, &mut known, now).await.unwrap();
            let commit = done.commit.unwrap();
            assert_eq!(repository.head(MAIN).await.unwrap().as_ref(), Some(&commit));
            let text = repository.read_file(&commit, "app.yaml").await.unwrap().unwrap();
            assert!(String::from_utf8(text).unwrap().contains(tag), "{tag}");
            assert_eq!(repository.commit_info(&commit).await.unwrap().author_name, NOBODY.0);
            // There is nothing to do twice.
            assert_eq!(run(&repository, automation, &given, &mut known, now).await.unwrap().commit, None);
        }
        let undone = run(&repository, a, &given, &mut known, now).await.unwrap_err().to_string();
        assert!(
            undone.contains("it would undo what the image automation f/app in b/app.yaml has committed"),
            "{undone}"
        );
    }

    #[tokio::test]
    async fn another_branch_may_be_read_and_must_be_there() {
        let dir = tempfile::tempdir().unwrap();
        let (repository, given, mut known) = (repository(dir.path()).await, given(), BTreeMap::new());
        let main = repository.head(MAIN).await.unwrap();
        let mut automation = given.objects.automations[0].clone();
        "live".clone_into(&mut automation.branch);
        let done = run(&repository, &automation, &given, &mut known, now()).await.unwrap();
        assert_eq!((repository.head("live").await.unwrap(), repository.head(MAIN).await.unwrap()), (done.commit, main));
        "gone".clone_into(&mut automation.branch);
        let gone = run(&repository, &automation, &given, &mut known, now()).await.unwrap_err();
        assert!(matches!(gone, NotRun::NoBranch(_)), "{gone}");
    }
}
