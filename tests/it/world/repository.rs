//! The author's side: a service's repository on this machine, pushed with the real `git`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread::JoinHandle;

use super::World;

/// The service's files; `SERVICE` stands for its name.
const FILES: [(&str, &str); 9] = [
    ("prograde.yaml", include_str!("../fixture/prograde.yaml")),
    (".github/workflows/ci.yml", include_str!("../fixture/ci.yml")),
    ("deploy/base/kustomization.yaml", include_str!("../fixture/deploy/base/kustomization.yaml")),
    ("deploy/base/deployment.yaml", include_str!("../fixture/deploy/base/deployment.yaml")),
    ("deploy/base/service.yaml", include_str!("../fixture/deploy/base/service.yaml")),
    ("deploy/overlays/test/kustomization.yaml", include_str!("../fixture/deploy/overlays/test/kustomization.yaml")),
    ("deploy/overlays/test/deployment.yaml", include_str!("../fixture/deploy/overlays/test/deployment.yaml")),
    (
        "deploy/overlays/production/kustomization.yaml",
        include_str!("../fixture/deploy/overlays/production/kustomization.yaml"),
    ),
    (
        "deploy/overlays/production/deployment.yaml",
        include_str!("../fixture/deploy/overlays/production/deployment.yaml"),
    ),
];
/// Who commits.
pub(crate) const AUTHOR: (&str, &str) = ("Ada Example", "ada@example.org");

/// A working tree with its repository.
pub(crate) struct Repository {
    dir: PathBuf,
    /// The service's name.
    pub(crate) service: String,
}

impl Repository {
    /// A new service, with the files of the fixture and nothing committed.
    pub(crate) fn create(world: &World, service: &str) -> Self {
        let this = Self { dir: world.dir().join("work").join(service), service: service.to_owned() };
        fs::create_dir_all(&this.dir).unwrap();
        this.git(&["init", "--quiet", "--initial-branch=main"]);
        this.git(&["config", "http.extraHeader", &format!("Authorization: Bearer {}", world.token())]);
        this.git(&["remote", "add", "origin", &format!("{}/git/{service}.git", world.url())]);
        for (path, text) in FILES {
            this.write(path, &text.replace("SERVICE", service));
        }
        this
    }

    /// One that was created before.
    pub(crate) fn again(world: &World, service: &str) -> Self {
        Self { dir: world.dir().join("work").join(service), service: service.to_owned() }
    }

    /// Where a file of it is.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.dir.join(path)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn remove(&self, path: &str) {
        fs::remove_file(self.path(path)).unwrap();
    }

    /// Replaces a text that must be in the file.
    pub(crate) fn edit(&self, path: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(path)).unwrap();
        assert!(text.contains(from), "{path} does not contain {from:?}");
        self.write(path, &text.replace(from, to));
    }

    /// Lets releases enter both environments at once, with nothing asked of them.
    pub(crate) fn enter_at_once(&self) {
        let config = fs::read_to_string(self.path("prograde.yaml")).unwrap();
        let (before, _) = config.split_once("environments:").unwrap();
        self.write("prograde.yaml", &format!("{before}environments:\n  - name: test\n  - name: production\n"));
    }

    /// Commits everything and returns the commit's id.
    pub(crate) fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
        self.head()
    }

    /// The commit that is checked out.
    pub(crate) fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// Commits a behaviour without pushing it.
    pub(crate) fn commit_behaviour(&self, behaviour: &str, message: &str) -> String {
        self.write("behaviour", behaviour);
        self.commit(message)
    }

    /// Commits a behaviour and pushes it.
    pub(crate) fn push(&self, behaviour: &str, message: &str) -> String {
        let commit = self.commit_behaviour(behaviour, message);
        self.send();
        commit
    }

    /// Pushes what was committed.
    #[track_caller]
    pub(crate) fn send(&self) {
        self.git(&["push", "--quiet", "origin", "HEAD:refs/heads/main"]);
    }

    /// Pushes what was committed to another branch.
    #[track_caller]
    pub(crate) fn send_to(&self, branch: &str) {
        self.git(&["push", "--quiet", "origin", &format!("HEAD:refs/heads/{branch}")]);
    }

    /// Puts a branch back to a commit.
    pub(crate) fn force(&self, commit: &str, branch: &str) {
        self.git(&["push", "--quiet", "--force", "origin", &format!("{commit}:refs/heads/{branch}")]);
    }

    /// Takes the files of a branch of the server, and gives its commit; nothing where there is no such branch.
    pub(crate) fn pull(&self, branch: &str) -> Option<String> {
        let fetched = run(
            &self.dir,
            &["fetch", "--quiet", "origin", &format!("+refs/heads/{branch}:refs/remotes/origin/{branch}")],
        );
        if !fetched.status.success() {
            return None;
        }
        self.git(&["reset", "--quiet", "--hard", &format!("origin/{branch}")]);
        Some(self.head())
    }

    /// The commits of a branch that was pulled, the newest first: who has made them, and what they say.
    pub(crate) fn log(&self, branch: &str) -> Vec<String> {
        let log = self.git(&["log", "--format=%an <%ae> %s", &format!("origin/{branch}")]);
        log.lines().map(str::to_owned).collect()
    }

    /// Tries to push what was committed.
    pub(crate) fn try_send(&self) -> Output {
        run(&self.dir, &["push", "--quiet", "origin", "HEAD:refs/heads/main"])
    }

    /// Pushes beside what else is done; whether the push is answered does not matter.
    pub(crate) fn start_sending(&self) -> JoinHandle<Output> {
        let dir = self.dir.clone();
        std::thread::spawn(move || run(&dir, &["push", "--quiet", "origin", "HEAD:refs/heads/main"]))
    }

    #[track_caller]
    fn git(&self, arguments: &[&str]) -> String {
        git(&self.dir, arguments)
    }
}

/// A commit of the deployment repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deployed {
    pub(crate) commit: String,
    pub(crate) message: String,
}

impl Deployed {
    /// The value of a trailer in its message.
    pub(crate) fn trailer(&self, name: &str) -> Option<&str> {
        self.message.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// The deployment repository as a person has it to change it, at its newest commit.
pub(crate) struct Desk(PathBuf);

impl Desk {
    pub(crate) fn open(world: &World) -> Self {
        deployments(world);
        let dir = world.dir().join("deployments");
        git(&dir, &["checkout", "--quiet", "-B", "desk", "FETCH_HEAD"]);
        Self(dir)
    }

    /// Another one, cloned by somebody who says who they are.
    pub(crate) fn clone_as(world: &World, name: &str) -> Self {
        let url = world.url().replace("http://", &format!("http://{name}:{}@", world.token()));
        git(world.dir(), &["clone", "--quiet", &format!("{url}/git/deployments.git"), name]);
        Self(world.dir().join(name))
    }

    /// One cloned from another place than the server.
    pub(crate) fn clone_of(world: &World, host: &Path, name: &str) -> Self {
        git(world.dir(), &["clone", "--quiet", &host.display().to_string(), name]);
        Self(world.dir().join(name))
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    /// Runs the client there.
    #[track_caller]
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        git(&self.0, arguments)
    }

    /// Tries to push to where it was cloned from; what was said where it was refused.
    pub(crate) fn push_origin(&self, what: &str) -> Result<(), String> {
        let output = run(&self.0, &["push", "--quiet", "origin", what]);
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }

    /// Takes a commit back.
    pub(crate) fn revert(&self, commit: &str) {
        git(&self.0, &["revert", "--no-edit", commit]);
    }

    /// Writes into a file and commits it.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        git(&self.0, &["add", "--all"]);
        git(&self.0, &["commit", "--quiet", "--message", "Edit by hand"]);
    }

    /// Tries to push what was committed to a branch; what was said where it was refused.
    pub(crate) fn push(&self, world: &World, branch: &str) -> Result<(), String> {
        let url = format!("{}/git/deployments.git", world.url());
        let output = run(&self.0, &["push", "--quiet", &url, &format!("HEAD:refs/heads/{branch}")]);
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }

    /// Puts what was committed where a push would have put it, past the server.
    pub(crate) fn sneak(&self, world: &World) {
        let repository = world.data().join("deployments/deployments.git");
        git(&self.0, &["push", "--quiet", repository.to_str().unwrap(), "HEAD:refs/heads/main"]);
    }
}

/// Fetches the deployment repository as anyone would and reads its log, the newest commit first.
pub(crate) fn deployments(world: &World) -> Vec<Deployed> {
    let dir = world.dir().join("deployments");
    if !dir.exists() {
        fs::create_dir(&dir).unwrap();
        git(&dir, &["init", "--quiet"]);
        git(&dir, &["config", "http.extraHeader", &format!("Authorization: Bearer {}", world.token())]);
    }
    let url = format!("{}/git/deployments.git", world.url());
    if git(&dir, &["ls-remote", &url, "HEAD"]).trim().is_empty() {
        return Vec::new();
    }
    git(&dir, &["fetch", "--quiet", &url, "HEAD"]);
    let log = git(&dir, &["log", "--format=%H%n%B%x00", "FETCH_HEAD"]);
    let entries = log.split('\0').filter_map(|entry| entry.trim().split_once('\n'));
    entries.map(|(commit, message)| Deployed { commit: commit.to_owned(), message: message.to_owned() }).collect()
}

#[track_caller]
fn git(dir: &Path, arguments: &[&str]) -> String {
    let output = run(dir, arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {}: {error}", arguments.join(" "));
    String::from_utf8(output.stdout).unwrap()
}

/// Neither the user's settings nor the system's have a say.
fn run(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("git");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"GIT_")) {
        command.env_remove(name);
    }
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), AUTHOR.0).env(format!("GIT_{who}_EMAIL"), AUTHOR.1);
    }
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_TERMINAL_PROMPT", "0");
    command.env("LC_ALL", "C").args(["-c", "http.proxy="]).args(arguments).current_dir(dir).output().unwrap()
}
