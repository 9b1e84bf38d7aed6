//! The smart HTTP protocol with the real client.

use std::path::Path;
use std::sync::atomic::Ordering;

use prograde_gitops::git::{GitService, PushRules, Repositories, Repository, RpcOptions};

use crate::client::{Server, commit, git, git_ok, serve};

struct Setup {
    dir: tempfile::TempDir,
    repository: Repository,
    server: Server,
}

impl Setup {
    async fn new(rules: PushRules) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let repositories = Repositories::open(dir.path().join("repos")).await.unwrap();
        let repository = repositories.ensure(&"pad".parse().unwrap()).await.unwrap();
        let server = serve(repository.clone(), rules).await;
        Self { dir, repository, server }
    }

    /// A clone by the name of `name`.
    async fn clone(&self, name: &str, flags: &[&str]) -> std::path::PathBuf {
        let mut arguments = vec!["clone", "-q"];
        arguments.extend(flags);
        arguments.extend([self.server.url.as_str(), name]);
        git_ok(self.dir.path(), &arguments).await;
        self.dir.path().join(name)
    }
}

/// Bytes that don't compress.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut out = Vec::with_capacity(bytes);
    while out.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend(state.to_le_bytes());
    }
    out.truncate(bytes);
    out
}

async fn push(dir: &Path, arguments: &[&str]) -> crate::client::Said {
    let mut all = vec!["push", "-q", "origin"];
    all.extend(arguments);
    git(dir, &all).await
}

#[tokio::test]
async fn clone_push_and_fetch_small_and_large() {
    let setup = Setup::new(PushRules::default()).await;
    let one = setup.clone("one", &[]).await;
    let first = commit(&one, "a.txt", "hello", "First").await;
    assert!(push(&one, &["HEAD:main"]).await.ok);
    assert_eq!(setup.repository.head("main").await.unwrap(), Some(first));
    let second = commit(&one, "big.bin", noise(3 << 20), "Second").await;
    let said = push(&one, &["HEAD:main"]).await;
    assert!(said.ok, "{}", said.text);
    assert_eq!(setup.repository.head("main").await.unwrap(), Some(second));
    assert!(setup.server.seen.chunked.load(Ordering::Relaxed) > 0, "a large push is sent in chunks");
    let two = setup.clone("two", &[]).await;
    assert_eq!(std::fs::read(two.join("big.bin")).unwrap(), noise(3 << 20));
    assert!(setup.server.seen.version_2.load(Ordering::Relaxed) > 0, "clients speak version 2 by default");
    // A client with another history says all that it has.
    let other = setup.dir.path().join("other");
    git_ok(setup.dir.path(), &["init", "-q", "other"]).await;
    for n in 0..60 {
        git_ok(&other, &["commit", "-q", "--allow-empty", "-m", &format!("Other {n}")]).await;
    }
    git_ok(&other, &["fetch", "-q", &setup.server.url, "main"]).await;
    git_ok(&other, &["cat-file", "-e", "FETCH_HEAD:big.bin"]).await;
    assert!(setup.server.seen.gzip.load(Ordering::Relaxed) > 0, "a long negotiation is compressed");
}

#[tokio::test]
async fn shallow_and_old_clients() {
    let setup = Setup::new(PushRules::default()).await;
    let one = setup.clone("one", &[]).await;
    for n in 0..3 {
        commit(&one, "a.txt", format!("{n}"), "Change").await;
    }
    assert!(push(&one, &["HEAD:main"]).await.ok);
    let shallow = setup.clone("shallow", &["--depth", "1"]).await;
    assert_eq!(git_ok(&shallow, &["rev-list", "--count", "HEAD"]).await, "1");
    commit(&shallow, "a.txt", "from a shallow clone", "Shallow").await;
    let said = push(&shallow, &["HEAD:main"]).await;
    assert!(said.ok, "{}", said.text);
    for version in ["0", "1"] {
        let flag = format!("protocol.version={version}");
        let old = setup.clone(&format!("v{version}"), &["-c", &flag]).await;
        assert_eq!(std::fs::read_to_string(old.join("a.txt")).unwrap(), "from a shallow clone");
    }
    let partial = setup.clone("partial", &["--filter=blob:none"]).await;
    assert!(partial.join("a.txt").exists());
}

#[tokio::test]
async fn main_only_moves_forward_and_other_branches_are_free() {
    let setup = Setup::new(PushRules::default()).await;
    let one = setup.clone("one", &[]).await;
    let first = commit(&one, "a.txt", "1", "First").await;
    let second = commit(&one, "a.txt", "2", "Second").await;
    assert!(push(&one, &["HEAD:main", "HEAD:topic"]).await.ok);
    let back = format!("{first}:refs/heads/main");
    let said = push(&one, &["--force", &back]).await;
    assert!(!said.ok && said.text.contains("non-fast-forward"), "{}", said.text);
    let said = push(&one, &["--delete", "main"]).await;
    assert!(!said.ok && said.text.contains("deletion prohibited"), "{}", said.text);
    assert_eq!(setup.repository.head("main").await.unwrap(), Some(second));
    assert!(push(&one, &["--force", &format!("{first}:refs/heads/topic")]).await.ok);
    assert_eq!(setup.repository.head("topic").await.unwrap(), Some(first));
    assert!(push(&one, &["--delete", "topic"]).await.ok);
    assert_eq!(setup.repository.head("topic").await.unwrap(), None);
}

#[tokio::test]
async fn large_packs_and_crafted_trees_are_refused() {
    let setup = Setup::new(PushRules { pack_bytes_max: 64 * 1024, ..PushRules::default() }).await;
    let one = setup.clone("one", &[]).await;
    let first = commit(&one, "a.txt", "1", "First").await;
    assert!(push(&one, &["HEAD:main"]).await.ok);
    commit(&one, "big.bin", noise(512 << 10), "Big").await;
    let said = push(&one, &["HEAD:main"]).await;
    assert!(!said.ok && said.text.contains("exceeds maximum allowed size"), "{}", said.text);
    git_ok(&one, &["reset", "-q", "--hard", first.as_str()]).await;
    let blob = git_ok(&one, &["rev-parse", "HEAD:a.txt"]).await;
    let crafted = one.join("crafted");
    std::fs::write(&crafted, format!("100644 blob {blob}\t.git\n")).unwrap();
    let tree = git_ok(&one, &["-c", "alias.make=!git mktree < crafted", "make"]).await;
    let bad = git_ok(&one, &["commit-tree", "-p", first.as_str(), "-m", "Bad", &tree]).await;
    let said = push(&one, &[&format!("{bad}:refs/heads/main")]).await;
    assert!(!said.ok && said.text.contains("hasDotgit"), "{}", said.text);
    assert_eq!(setup.repository.head("main").await.unwrap(), Some(first));
}

#[tokio::test]
async fn hooks_never_run() {
    let setup = Setup::new(PushRules::default()).await;
    let hooks = setup.repository.path().join("hooks");
    std::fs::create_dir_all(&hooks).unwrap();
    let hook = hooks.join("pre-receive");
    std::fs::write(&hook, "#!/bin/sh\nexit 1\n").unwrap();
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let one = setup.clone("one", &[]).await;
    commit(&one, "a.txt", "1", "First").await;
    let said = push(&one, &["HEAD:main"]).await;
    assert!(said.ok, "{}", said.text);
}

#[tokio::test]
async fn nonsense_is_refused_and_a_dropped_request_ends_its_process() {
    let setup = Setup::new(PushRules::default()).await;
    let nonsense = std::io::Cursor::new(b"not a pkt-line".to_vec());
    let refused = setup.repository.rpc(GitService::ReceivePack, nonsense, RpcOptions::default()).await;
    assert!(refused.unwrap_err().to_string().contains("four hex digits"));
    let protocol = Some("version=2\nevil".to_owned());
    let options = RpcOptions { protocol, ..RpcOptions::default() };
    assert!(setup.repository.rpc(GitService::UploadPack, tokio::io::empty(), options).await.is_err());
    // A body that never ends: the process waits for it until the request is dropped.
    let (client, body) = tokio::io::duplex(64);
    let rpc = setup.repository.rpc(GitService::UploadPack, body, RpcOptions::default()).await.unwrap();
    let served = setup.repository.path().to_str().unwrap().to_owned();
    let processes = |served: &str| {
        std::fs::read_dir("/proc").unwrap().filter_map(Result::ok).any(|entry| {
            std::fs::read(entry.path().join("cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(served))
        })
    };
    let until = async |is_there: bool| {
        let looking = async {
            while processes(&served) != is_there {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_mins(1), looking).await.unwrap();
    };
    // What a process was started with is to be seen a moment after its start.
    until(true).await;
    drop(rpc);
    until(false).await;
    drop(client);
}
