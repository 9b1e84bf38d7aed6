//! Branches of another repository that are moved from here.

use std::path::Path;

use prograde_gitops::git::{GitError, Repositories, Upstream};
use prograde_model::CommitId;

use crate::client::{commit, git_ok};

#[tokio::test]
async fn a_branch_of_a_host_is_moved_from_where_it_was_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let repositories = Repositories::open(dir.path().join("repos")).await.unwrap();
    let repository = repositories.ensure(&"pad".parse().unwrap()).await.unwrap();
    git_ok(dir.path(), &["init", "-q", "--bare", "host.git"]).await;
    git_ok(dir.path(), &["clone", "-q", repository.path().to_str().unwrap(), "work"]).await;
    let work = dir.path().join("work");
    let url = dir.path().join("host.git").display().to_string();
    let to = |branch: &str| Upstream { url: url.clone(), branch: branch.into(), credential: None, ca_file: None };
    let bot = to("bot");
    let first = commit(&work, "a", "1", "First").await;
    let second = commit(&work, "a", "2", "Second").await;
    git_ok(&work, &["push", "-q", "origin", "HEAD:main"]).await;
    git_ok(&work, &["checkout", "-q", "--detach", first.as_str()]).await;
    let theirs = commit(&work, "a", "3", "Theirs").await;

    let there = async || repository.look_upstream(&bot).await.unwrap();
    let point = async |from: Option<&CommitId>, to: &CommitId| repository.point_upstream(&bot, from, to).await;
    assert_eq!(there().await, None);
    assert!(matches!(point(Some(&first), &second).await, Err(GitError::Moved { .. })), "it is not there");
    point(None, &second).await.unwrap();
    // Forwards or not; and what is there already is no failure, as after an answer that was lost.
    point(Some(&second), &first).await.unwrap();
    point(Some(&second), &first).await.unwrap();
    push(&work, &url, "HEAD:bot").await;
    let late = point(Some(&first), &second).await;
    assert!(matches!(&late, Err(GitError::Moved { branch }) if branch == "bot"), "{late:?}");
    assert_eq!(there().await, Some(theirs.clone()));

    // What keeps the host from moving it is told in its words.
    let hook = dir.path().join("host.git/hooks/update");
    std::fs::write(&hook, "#!/bin/sh\necho this branch is protected >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let refused = point(Some(&theirs), &second).await.unwrap_err().to_string();
    assert!(refused.contains("this branch is protected"), "{refused}");
    let name = repository.point_upstream(&to("a:refs/heads/main"), None, &second).await;
    assert!(matches!(name, Err(GitError::Name { .. })), "{name:?}");
    std::fs::rename(dir.path().join("host.git"), dir.path().join("away.git")).unwrap();
    let away = point(Some(&theirs), &second).await;
    assert!(matches!(away, Err(GitError::Failed { .. })), "{away:?}");
}

async fn push(work: &Path, url: &str, what: &str) {
    git_ok(work, &["push", "-q", url, &what.replace(':', ":refs/heads/")]).await;
}
