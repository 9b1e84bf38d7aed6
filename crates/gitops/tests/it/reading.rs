//! Reading repositories: commits, files, trees, exports.

use std::path::Path;

use prograde_gitops::FileTree;
use prograde_gitops::git::{GitError, Repositories, Repository};

use crate::client::{commit, git_ok};

/// A repository with what `fill` commits in a clone.
async fn repository(dir: &Path) -> (Repository, std::path::PathBuf) {
    let repositories = Repositories::open(dir.join("repos")).await.unwrap();
    let repository = repositories.ensure(&"pad".parse().unwrap()).await.unwrap();
    git_ok(dir, &["clone", "-q", repository.path().to_str().unwrap(), "work"]).await;
    (repository, dir.join("work"))
}

#[tokio::test]
async fn repositories_are_made_once_and_listed() {
    let dir = tempfile::tempdir().unwrap();
    let repositories = Repositories::open(dir.path().join("repos")).await.unwrap();
    let [pad, web] = ["pad", "web"].map(|name| name.parse().unwrap());
    assert!(matches!(repositories.get(&pad).await, Err(GitError::NoRepository(_))));
    let (one, two) = tokio::join!(repositories.ensure(&pad), repositories.ensure(&pad));
    assert_eq!(one.unwrap().path(), two.unwrap().path());
    repositories.ensure(&web).await.unwrap();
    assert_eq!(repositories.get(&pad).await.unwrap().head("main").await.unwrap(), None);
    // What a crash left behind is neither listed nor kept.
    std::fs::create_dir_all(dir.path().join("repos/.new-half/objects")).unwrap();
    let again = Repositories::open(dir.path().join("repos")).await.unwrap();
    assert_eq!(again.list().await.unwrap(), [pad, web]);
    assert!(!dir.path().join("repos/.new-half").exists());
}

#[tokio::test]
async fn commits_and_files_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let (repository, work) = repository(dir.path()).await;
    let first = commit(&work, "k8s/a b.yaml", "one", "First\n\nWhy.").await;
    std::os::unix::fs::symlink("a b.yaml", work.join("k8s/link")).unwrap();
    let second = commit(&work, "top.txt", "two", "Second").await;
    git_ok(&work, &["push", "-q", "origin", "HEAD:main", "HEAD:a/topic"]).await;

    assert_eq!(repository.head("main").await.unwrap().as_ref(), Some(&second));
    assert_eq!(repository.head("a/topic").await.unwrap().as_ref(), Some(&second));
    for bad in ["", "-x", "a..b", "a b", "main^{commit}", "@{-1}", "a:b", "/a", "x.lock", "\n"] {
        assert!(matches!(repository.head(bad).await, Err(GitError::Name { .. })), "{bad:?}");
    }
    let info = repository.commit_info(&first).await.unwrap();
    assert_eq!((info.author_name.as_str(), info.author_email.as_str()), ("Ada", "ada@example.org"));
    assert_eq!((info.subject.as_str(), info.message.as_str()), ("First", "First\n\nWhy."));
    assert_eq!((info.time.as_second(), info.parents.len()), (1_700_000_000, 0));
    assert_eq!(repository.commit_info(&second).await.unwrap().parents, std::slice::from_ref(&first));

    assert_eq!(repository.read_file(&second, "k8s/a b.yaml").await.unwrap().as_deref(), Some(&b"one"[..]));
    assert_eq!(repository.read_file(&first, "top.txt").await.unwrap(), None);
    assert_eq!(repository.read_file(&first, "k8s").await.unwrap(), None);
    assert!(matches!(repository.read_file(&second, "k8s/link").await, Err(GitError::Symlink { .. })));
    assert!(matches!(repository.read_file(&second, "../x").await, Err(GitError::Name { .. })));
    assert_eq!(repository.list_files(&second, "k8s").await.unwrap(), ["a b.yaml", "link"]);
    assert_eq!(repository.list_files(&second, "nowhere").await.unwrap(), [""; 0]);
    assert_eq!(repository.list_files(&second, "top.txt").await.unwrap(), [""; 0]);

    let tree = repository.tree(&second, "k8s").await.unwrap();
    assert_eq!(tree.get("a b.yaml"), Some(&b"one"[..]));
    assert_eq!(tree.links().collect::<Vec<_>>(), [("link", "a b.yaml")]);
    assert_eq!(repository.changed_paths(&first, &second).await.unwrap(), ["k8s/link", "top.txt"]);
    assert!(repository.is_ancestor(&first, &second).await.unwrap());
    assert!(!repository.is_ancestor(&second, &first).await.unwrap());

    let nobody = "0123456789012345678901234567890123456789".parse().unwrap();
    assert!(matches!(repository.commit_info(&nobody).await, Err(GitError::NoCommit(_))));
    assert!(matches!(repository.tree(&nobody, "").await, Err(GitError::NoCommit(_))));
    repository.maintain().await.unwrap();
}

#[tokio::test]
async fn a_tree_is_read_again_as_far_as_it_is_other() {
    let dir = tempfile::tempdir().unwrap();
    let (repository, work) = repository(dir.path()).await;
    std::os::unix::fs::symlink("a.txt", work.join("link")).unwrap();
    commit(&work, "gone/x.txt", "gone", "One").await;
    let first = commit(&work, "a.txt", "same", "Two").await;
    std::fs::remove_file(work.join("link")).unwrap();
    git_ok(&work, &["mv", "gone/x.txt", "moved \u{e4}.txt"]).await;
    commit(&work, "link", "a file now", "Three").await;
    let second = commit(&work, "b/c.txt", "new", "Four").await;
    git_ok(&work, &["push", "-q", "origin", "HEAD:main"]).await;
    let (old, new) = (repository.tree(&first, "").await.unwrap(), repository.tree(&second, "").await.unwrap());
    let after = repository.tree_after(&second, (&first, &old)).await.unwrap();
    assert_eq!(after, new);
    assert!(std::sync::Arc::ptr_eq(&after.share("a.txt").unwrap(), &old.share("a.txt").unwrap()));
    assert_eq!(repository.tree_after(&first, (&second, &new)).await.unwrap(), old);
    // A commit that was rewritten and collected is known no longer.
    let nobody = "0123456789012345678901234567890123456789".parse().unwrap();
    assert_eq!(repository.tree_after(&second, (&nobody, &old)).await.unwrap(), new);
    assert!(matches!(repository.tree_after(&nobody, (&first, &old)).await, Err(GitError::NoCommit(_))));
}

#[tokio::test]
async fn exports_have_all_files_and_nothing_of_git() {
    let dir = tempfile::tempdir().unwrap();
    let (repository, work) = repository(dir.path()).await;
    // Attributes would change what `git archive` writes; an export is what was committed.
    std::fs::write(work.join(".gitattributes"), "*.txt export-ignore export-subst\n").unwrap();
    std::fs::write(work.join("run.sh"), "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(work.join("run.sh"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::create_dir(work.join("deep")).unwrap();
    std::os::unix::fs::symlink("../run.sh", work.join("deep/link")).unwrap();
    let head = commit(&work, "a.txt", "$Format:%H$", "All").await;
    git_ok(&work, &["push", "-q", "origin", "HEAD:main"]).await;
    let into = dir.path().join("out");
    repository.export(&head, &into).await.unwrap();
    assert_eq!(std::fs::read_to_string(into.join("a.txt")).unwrap(), "$Format:%H$");
    assert_eq!(std::fs::read_to_string(into.join("deep/link")).unwrap(), "#!/bin/sh\n");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(into.join("run.sh")).unwrap().permissions());
    assert_eq!(mode & 0o111, 0o111);
    assert!(!into.join(".git").exists());
    assert!(matches!(repository.export(&head, &into).await, Err(GitError::Export { .. })), "not over other files");
}

#[tokio::test]
async fn exports_never_leave_their_directory() {
    let dir = tempfile::tempdir().unwrap();
    let (repository, work) = repository(dir.path()).await;
    commit(&work, "a.txt", "1", "First").await;
    std::os::unix::fs::symlink("../../outside", work.join("link")).unwrap();
    git_ok(&work, &["add", "-A"]).await;
    git_ok(&work, &["commit", "-q", "-m", "Link"]).await;
    git_ok(&work, &["push", "-q", "origin", "HEAD:main"]).await;
    let head = repository.head("main").await.unwrap().unwrap();
    let error = repository.export(&head, &dir.path().join("out")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "`link` can't be exported: it is a symbolic link that may lead out of the repository"
    );
}

#[tokio::test]
async fn of_a_large_repository_the_largest_files_are_left_out_and_whoever_reads_them_is_told() {
    const MIB: usize = 1 << 20;
    let dir = tempfile::tempdir().unwrap();
    let (repository, work) = repository(dir.path()).await;
    for at in 0..10 {
        std::fs::write(work.join(format!("film-{at}.bin")), vec![at; 10 * MIB + usize::from(at)]).unwrap();
    }
    std::fs::write(work.join("kustomization.yaml"), "resources: [settings.yaml]\n").unwrap();
    let settings = |value: &str| {
        format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: settings}}, data: {{mode: {value}}}}}\n")
    };
    let first = commit(&work, "settings.yaml", settings("slow"), "A hundred megabytes").await;
    let second = commit(&work, "settings.yaml", settings("fast"), "Faster").await;
    let generator = "resources: [settings.yaml]\nconfigMapGenerator: [{name: film, files: [film-9.bin]}]\n";
    let third = commit(&work, "kustomization.yaml", generator, "Show a film").await;
    std::fs::remove_file(work.join("film-9.bin")).unwrap();
    for at in 0..5 {
        std::fs::remove_file(work.join(format!("film-{at}.bin"))).unwrap();
    }
    let fourth = commit(&work, "kustomization.yaml", "resources: [settings.yaml]\n", "Show none").await;
    git_ok(&work, &["push", "-q", "origin", "HEAD:main"]).await;

    // What is left out depends on the commit alone, not on what was read before it.
    let mut before = (first.clone(), repository.tree(&first, "").await.unwrap());
    for (commit, left) in [(&second, 4), (&third, 4), (&fourth, 0), (&first, 4)] {
        let tree = repository.tree_after(commit, (&before.0, &before.1)).await.unwrap();
        assert_eq!(tree.left_out().count(), left);
        assert!(tree == repository.tree(commit, "").await.unwrap());
        before = (commit.clone(), tree);
    }
    assert_eq!(before.1.left_out().next(), Some(("film-6.bin", 10 * MIB as u64 + 6)));
    let text = |tree: &FileTree| prograde_kustomize::render(tree, "").and_then(|found| found.to_yaml());
    assert!(text(&repository.tree(&second, "").await.unwrap()).unwrap().contains("mode: fast"));
    let refused = text(&repository.tree(&third, "").await.unwrap()).unwrap_err().0;
    let found = &refused[0];
    assert_eq!((found.file.as_str(), found.line), ("kustomization.yaml", 2));
    assert!(found.message.contains("`film-9.bin` can't be read: it has 10485769 bytes"), "{}", found.message);
}
