//! Bases of other repositories, asked of a real one.

use std::fs;
use std::path::Path;
use std::process::Command;

use prograde_gitops::git::RemoteBases;
use prograde_kustomize::{FileTree, RemoteBase, Remotes as _};
use tokio::runtime::Runtime;

const OBJECT: &str = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}";

/// A repository with two commits, and a folder where bases are kept.
struct Place {
    folder: tempfile::TempDir,
    commits: Vec<String>,
    runtime: Runtime,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let repository = folder.path().join("team/shared");
        fs::create_dir_all(repository.join("deploy")).unwrap();
        git(&repository, &["init", "--quiet", "--initial-branch", "main"]);
        let commits = ["one", "two"].map(|content| {
            fs::write(repository.join("deploy/kustomization.yaml"), "resources: [a.yaml]").unwrap();
            fs::write(repository.join("deploy/a.yaml"), OBJECT.replace("name: a", &["name: ", content].concat()))
                .unwrap();
            git(&repository, &["add", "."]);
            git(&repository, &["commit", "--quiet", "--message", content]);
            git(&repository, &["rev-parse", "HEAD"])
        });
        Self { folder, commits: commits.to_vec(), runtime: Runtime::new().unwrap() }
    }

    fn bases(&self) -> RemoteBases {
        RemoteBases::new(self.folder.path().join("kept"), self.runtime.handle().clone())
    }

    fn base(&self, commit: &str) -> RemoteBase {
        let url = format!("file://{}/team/shared//deploy?ref={commit}", self.folder.path().display());
        RemoteBase::parse(&url).unwrap()
    }

    fn kept(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path().join("kept")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

fn git(dir: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]).args(arguments).current_dir(dir);
    let out = command.output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

fn content(tree: &FileTree) -> &str {
    std::str::from_utf8(tree.get("deploy/a.yaml").unwrap()).unwrap()
}

#[test]
fn a_commit_is_fetched_once_and_kept() {
    let place = Place::new();
    for (commit, name) in place.commits.iter().zip(["name: one", "name: two"]) {
        assert!(content(&place.bases().fetch(&place.base(commit)).unwrap()).contains(name));
    }
    fs::remove_dir_all(place.folder.path().join("team")).unwrap();
    let again = place.bases().offline(true).fetch(&place.base(&place.commits[0])).unwrap();
    assert!(content(&again).contains("name: one"));
    assert_eq!(place.kept().len(), 2);
}

#[test]
fn what_can_not_be_had_says_why_and_leaves_nothing() {
    let place = Place::new();
    let nowhere = "0123456789abcdef0123456789abcdef01234567";
    let error = place.bases().fetch(&place.base(nowhere)).unwrap_err();
    assert!(error.contains(nowhere), "{error}");
    let mut elsewhere = place.base(&place.commits[0]);
    elsewhere.repository.push_str("-gone");
    let error = place.bases().fetch(&elsewhere).unwrap_err();
    assert!(error.contains("could not fetch the commit"), "{error}");
    let error = place.bases().offline(true).fetch(&place.base(&place.commits[0])).unwrap_err();
    assert!(error.contains("not fetched before"), "{error}");
    elsewhere.repository = "ext::touch /tmp/x".to_owned();
    assert!(place.bases().fetch(&elsewhere).unwrap_err().contains("not allowed"));
    assert_eq!(place.kept(), [""; 0]);
}

#[test]
fn several_may_ask_for_the_same_at_once() {
    let place = Place::new();
    let (bases, base) = (place.bases(), place.base(&place.commits[1]));
    std::thread::scope(|scope| {
        let asked: Vec<_> = (0..4).map(|_| scope.spawn(|| bases.fetch(&base))).collect();
        for one in asked {
            assert!(content(&one.join().unwrap().unwrap()).contains("name: two"));
        }
    });
    assert_eq!(place.kept().len(), 1);
}

#[test]
fn nothing_of_the_repository_is_run() {
    let place = Place::new();
    let hooks = place.folder.path().join("team/shared/.git/hooks");
    fs::create_dir_all(&hooks).unwrap();
    let mark = place.folder.path().join("ran");
    for hook in ["post-checkout", "reference-transaction", "post-merge"] {
        let path = hooks.join(hook);
        fs::write(&path, format!("#!/bin/sh\ntouch {}\n", mark.display())).unwrap();
        let mut mode = fs::metadata(&path).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
        fs::set_permissions(&path, mode).unwrap();
    }
    place.bases().fetch(&place.base(&place.commits[0])).unwrap();
    assert!(!mark.exists());
}
