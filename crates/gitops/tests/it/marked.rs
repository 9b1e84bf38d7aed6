//! Marked files of a commit, and commits with other contents of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use prograde_gitops::git::{GitError, MAIN, Marked, Repositories, Repository, Rewrite};
use prograde_model::CommitId;

use crate::client::{commit, git_ok};

const TEXTS: [&str; 2] = ["$mark", "other.mark/"];

async fn repository(dir: &Path) -> (Repository, PathBuf) {
    let repositories = Repositories::open(dir.join("repos")).await.unwrap();
    let repository = repositories.ensure(&"pad".parse().unwrap()).await.unwrap();
    git_ok(dir, &["clone", "-q", repository.path().to_str().unwrap(), "work"]).await;
    (repository, dir.join("work"))
}

async fn push(work: &Path) {
    git_ok(work, &["push", "-q", "origin", "HEAD:main"]).await;
}

fn paths(marked: &Marked) -> Vec<&str> {
    marked.files.keys().map(String::as_str).collect()
}

#[tokio::test]
async fn only_marked_files_are_read_and_after_that_only_what_differs() {
    let dir = tempfile::tempdir().unwrap();
    let (repository, work) = repository(dir.path()).await;
    commit(&work, "a b/one.yaml", "a: 1 # $mark\n", "One").await;
    commit(&work, "plain.yaml", "a: 1\n", "Plain").await;
    commit(&work, "notes.txt", "$mark\n", "Notes").await;
    std::os::unix::fs::symlink("a b/one.yaml", work.join("link.yaml")).unwrap();
    let first = commit(&work, "two.yml", "other.mark/v1", "Two").await;
    push(&work).await;
    let marked = repository.marked(&first, &TEXTS, None).await.unwrap();
    assert_eq!((paths(&marked), &marked.commit), (vec!["a b/one.yaml", "two.yml"], &first));
    assert_eq!(repository.marked(&first, &["nowhere"], None).await.unwrap().files.len(), 0);

    std::fs::remove_file(work.join("two.yml")).unwrap();
    std::fs::write(work.join("a b/one.yaml"), "a: 1\n").unwrap();
    let second = commit(&work, "plain.yaml", "a: 2 # $mark\n", "Move the mark").await;
    push(&work).await;
    let known = repository.marked(&second, &TEXTS, Some(&marked)).await.unwrap();
    assert_eq!(paths(&known), ["plain.yaml"]);
    assert_eq!(known, repository.marked(&second, &TEXTS, None).await.unwrap());
    // What is known of a commit that is gone helps nobody.
    let gone = Marked { commit: "a".repeat(40).parse().unwrap(), files: marked.files };
    assert_eq!(known, repository.marked(&second, &TEXTS, Some(&gone)).await.unwrap());
}

async fn rewritten(repository: &Repository, base: &CommitId, files: &BTreeMap<String, String>) -> CommitId {
    let at = "2026-02-01T12:00:00Z".parse().unwrap();
    let rewrite = Rewrite { base, files, author: ("Bot", "bot@example.org"), at, message: "Update" };
    repository.rewrite(&rewrite).await.unwrap()
}

#[tokio::test]
async fn a_commit_has_other_contents_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (repository, work) = repository(dir.path()).await;
    commit(&work, "deep/er/one.yaml", "1", "One").await;
    std::fs::write(work.join("deep/run.yaml"), "x").unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(work.join("deep/run.yaml"), executable).unwrap();
    let base = commit(&work, "top.yaml", "t", "Top").await;
    push(&work).await;
    let files =
        [("deep/er/one.yaml", "2"), ("deep/run.yaml", "y")].map(|(path, text)| (path.to_owned(), text.to_owned()));
    let files: BTreeMap<String, String> = files.into();
    let made = rewritten(&repository, &base, &files).await;
    assert_eq!(made, rewritten(&repository, &base, &files).await);
    assert_eq!(repository.changed_paths(&base, &made).await.unwrap(), ["deep/er/one.yaml", "deep/run.yaml"]);
    let info = repository.commit_info(&made).await.unwrap();
    assert_eq!((info.author_name.as_str(), info.message.as_str(), info.parents), ("Bot", "Update", vec![base.clone()]));
    // No branch has it yet, and none has moved meanwhile.
    assert_eq!(repository.head(MAIN).await.unwrap().as_ref(), Some(&base));
    repository.point(MAIN, Some(&base), &made, "bot f/a").await.unwrap();
    let late = repository.point(MAIN, Some(&base), &made, "bot f/a").await;
    assert!(matches!(late, Err(GitError::Moved { .. })), "{late:?}");
    git_ok(&work, &["pull", "-q", "origin", "main"]).await;
    git_ok(&work, &["diff", "--exit-code", "--quiet", base.as_str(), "HEAD", "--", "top.yaml"]).await;
    let permissions =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(work.join("deep/run.yaml")).unwrap().permissions());
    assert_eq!(permissions & 0o111, 0o111);

    // Who moved a branch is known by its log, also when somebody else has moved it since.
    assert_eq!(repository.pointed_by(MAIN, "bot f/a").await.unwrap(), std::slice::from_ref(&made));
    commit(&work, "top.yaml", "theirs", "Theirs").await;
    push(&work).await;
    assert_eq!(repository.pointed_by(MAIN, "bot f/a").await.unwrap(), std::slice::from_ref(&made));
    assert_eq!(repository.pointed_by(MAIN, "bot f/b").await.unwrap(), []);
    assert_eq!(repository.pointed_by("nowhere", "bot f/a").await.unwrap(), []);
    // A file that is not there is not made.
    let missing = [("new.yaml".to_owned(), "1".to_owned())].into();
    let rewrite = Rewrite { base: &base, files: &missing, author: ("", ""), at: info.time, message: "" };
    assert!(repository.rewrite(&rewrite).await.is_err());
}
