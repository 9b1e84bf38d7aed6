//! `prograde image update` with the real binary and the real Git.
#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const POLICIES: &str = "apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImageRepository\nmetadata: {name: app, namespace: f}\nspec: {image: registry.example/app}\n---\n\
    apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImagePolicy\nmetadata: {name: app, namespace: f}\nspec:\n  imageRepositoryRef: {name: app}\n  policy: {semver: {range: 1.x}}\n";
const AUTOMATION: &str = "apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImageUpdateAutomation\nmetadata: {name: bot, namespace: f}\nspec:\n  interval: 1h\n  \
    sourceRef: {kind: GitRepository, name: r}\n  git:\n    commit:\n      author: {name: Bot, email: bot@example.org}\n      messageTemplate: 'Update {{ len .Changed.Changes }} image'\n    push: {branch: main}\n";
const DEPLOYED: &str = "image: registry.example/app:1.0.0 # {\"$imagepolicy\": \"f:app\"}\n";

struct Ran {
    code: i32,
    out: String,
    err: String,
}

/// A clone, and where it is pushed to.
struct Place {
    dir: TempDir,
    clone: PathBuf,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clone = dir.path().join("clone");
        let place = Self { dir, clone };
        git(place.dir.path(), &["init", "--quiet", "--bare", "--initial-branch=main", "origin.git"]);
        git(place.dir.path(), &["clone", "--quiet", "origin.git", "clone"]);
        place.write("policies.yaml", POLICIES);
        place.write("app/deploy.yaml", DEPLOYED);
        place.write("tags.yaml", "registry.example/app: [1.0.0, 1.2.0, 2.0.0]\n");
        place.commit("First");
        git(&place.clone, &["push", "--quiet", "origin", "HEAD:main"]);
        place
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.clone.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn commit(&self, message: &str) {
        git(&self.clone, &["add", "--all"]);
        git(&self.clone, &["-c", "user.name=Ann", "-c", "user.email=a@e", "commit", "--quiet", "-m", message]);
    }

    fn read(&self) -> String {
        fs::read_to_string(self.clone.join("app/deploy.yaml")).unwrap()
    }

    fn update(&self, more: &[&str]) -> Ran {
        let Output { status, stdout, stderr } = self.run(more);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
    }

    /// Whether it was killed.
    fn killed(&self, more: &[&str]) -> bool {
        std::os::unix::process::ExitStatusExt::signal(&self.run(more).status) == Some(9)
    }

    fn run(&self, more: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_prograde"));
        command.args(["image", "update", "--tags", "tags.yaml"]).args(more).current_dir(&self.clone);
        command.env_clear().env("HOME", self.dir.path()).env("PATH", env!("PATH")).stdin(Stdio::null());
        command.output().unwrap()
    }

    /// What was committed last at the origin: author, message, and the files.
    fn pushed(&self) -> String {
        git(&self.dir.path().join("origin.git"), &["log", "-1", "--format=%an <%ae> %s", "--name-only", "main"])
    }
}

fn git(dir: &Path, args: &[&str]) -> String {
    let output =
        Command::new("git").args(args).current_dir(dir).env("HOME", dir).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn images_are_committed_and_pushed_as_the_automation_says() {
    let place = Place::new();
    place.write("automation.yaml", AUTOMATION);
    place.commit("Automate");
    let shown = place.update(&[]);
    assert!(shown.code == 0 && shown.out.contains("+image: registry.example/app:1.2.0 #"), "{}", shown.err);
    assert_eq!(place.read(), DEPLOYED);
    // What somebody else is at work on stays out of the commit, also if it is staged.
    place.write("notes.txt", "mine");
    git(&place.clone, &["add", "notes.txt"]);
    let pushed = place.update(&["--push", "--json"]);
    assert_eq!(pushed.code, 0, "{}", pushed.err);
    let told: Value = serde_json::from_str(&pushed.out).unwrap();
    assert_eq!((&told["pushed"], &told["written"]), (&Value::from("main"), &Value::from(true)));
    assert_eq!(place.pushed(), "Bot <bot@example.org> Update 1 image\n\napp/deploy.yaml\n");
    assert_eq!(git(&place.clone, &["rev-parse", "HEAD"]).trim(), told["commit"]);
    assert_eq!(git(&place.clone, &["status", "--porcelain"]), "A  notes.txt\n");
    // There is nothing more to do, and so no commit.
    let again = place.update(&["--push", "--json"]);
    let told: Value = serde_json::from_str(&again.out).unwrap();
    assert_eq!((again.code, &told["commit"], &told["written"]), (0, &Value::Null, &Value::from(false)));
}

#[test]
fn nothing_is_committed_where_that_would_take_something_along() {
    let place = Place::new();
    place.write("app/deploy.yaml", &format!("# mine\n{DEPLOYED}"));
    let refused = place.update(&["--commit"]);
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("PG1383") && refused.err.contains("`app/deploy.yaml` has changes"), "{}", refused.err);
    assert!(place.read().contains("1.0.0"));
    git(&place.clone, &["checkout", "--quiet", "app"]);

    // A policy that chooses nothing keeps everything as it is.
    place.write("more.yaml", &POLICIES.replace("name: app", "name: other").replace("1.x", "9.x"));
    let refused = place.update(&["--commit"]);
    assert!(refused.code == 2 && refused.err.contains("chooses nothing"), "{}", refused.err);
    assert!(place.read().contains("1.0.0") && !refused.err.contains("Updated"), "{}", refused.err);
    fs::remove_file(place.clone.join("more.yaml")).unwrap();

    // Nobody is known as the author.
    let refused = place.update(&["--commit"]);
    assert!(refused.code == 2 && refused.err.contains("PG1383"), "{}", refused.err);

    let two = format!("{AUTOMATION}---\n{}", AUTOMATION.replace("name: bot", "name: other"));
    place.write("automation.yaml", &two);
    let refused = place.update(&["--commit"]);
    assert!(refused.err.contains("both `bot` and `other` say how to commit"), "{}", refused.err);
}

#[test]
fn what_no_automation_takes_stays_as_it_is() {
    let place = Place::new();
    let selector = "  policySelector: {matchLabels: {keep: 'yes'}}\n";
    place.write("automation.yaml", &format!("{AUTOMATION}{selector}"));
    let none = place.update(&["--write"]);
    assert!(none.code == 0 && place.read().contains("1.0.0"), "{}", none.err);
    place.write(
        "policies.yaml",
        &POLICIES.replace("ImagePolicy\nmetadata: {", "ImagePolicy\nmetadata: {labels: {keep: 'yes'}, "),
    );
    let taken = place.update(&["--write"]);
    assert!(taken.code == 0 && place.read().contains("1.2.0"), "{}", taken.err);
    // A suspended policy is no mistake.
    place.write(
        "policies.yaml",
        &POLICIES.replace("spec:\n  imageRepositoryRef", "spec:\n  suspend: true\n  imageRepositoryRef"),
    );
    let suspended = place.update(&["--write"]);
    assert!(suspended.code == 0 && place.read().contains("1.2.0"), "{}", suspended.err);
    // Nor is a suspended image, of which no tags are known.
    place.write(
        "policies.yaml",
        &POLICIES.replace("{image: registry.example/app}", "{image: nowhere/app, suspend: true}"),
    );
    let suspended = place.update(&["--write"]);
    assert!(suspended.code == 0 && place.read().contains("1.2.0"), "{}", suspended.err);
}

#[test]
fn a_branch_that_has_moved_on_is_not_overwritten() {
    let place = Place::new();
    place.write("automation.yaml", AUTOMATION);
    place.commit("Automate");
    git(place.dir.path(), &["clone", "--quiet", "origin.git", "other"]);
    let other = place.dir.path().join("other");
    git(&other, &["-c", "user.name=B", "-c", "user.email=b@e", "commit", "--quiet", "--allow-empty", "-m", "Theirs"]);
    git(&other, &["push", "--quiet", "origin", "HEAD:main"]);
    let refused = place.update(&["--push"]);
    assert!(refused.code == 2 && refused.err.contains("Git pushes nothing"), "{}", refused.err);
    assert!(refused.err.contains("git pull --rebase") && place.pushed().contains("Theirs"), "{}", refused.err);
    // The commit is not forgotten.
    assert_eq!(place.update(&["--push"]).code, 2);
    git(&place.clone, &["-c", "user.name=A", "-c", "user.email=a@e", "pull", "--quiet", "--rebase"]);
    let pushed = place.update(&["--push"]);
    assert!(pushed.code == 0 && place.pushed().contains("Update 1 image"), "{}", pushed.err);
}

/// A hook of Git that kills who started Git.
fn killing(place: &Place, hook: &str) -> PathBuf {
    let file = place.clone.join(".git/hooks").join(hook);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "#!/bin/sh\nkill -9 $(cut -d' ' -f4 /proc/$PPID/stat)\nexit 1\n").unwrap();
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    file
}

#[test]
fn what_was_broken_off_is_gone_on_with_or_told() {
    let place = Place::new();
    place.write("automation.yaml", AUTOMATION);
    place.commit("Automate");
    // Killed when the files are written, and before they are committed.
    let hook = killing(&place, "pre-commit");
    assert!(place.killed(&["--push"]));
    fs::remove_file(hook).unwrap();
    assert!(place.read().contains("1.2.0"));
    let told = place.update(&["--push"]);
    assert!(told.code == 2 && told.err.contains("`app/deploy.yaml` has changes"), "{}", told.err);
    git(&place.clone, &["checkout", "--quiet", "HEAD", "--", "app"]);
    // Killed when they are committed, and before that is pushed.
    let hook = killing(&place, "pre-push");
    assert!(place.killed(&["--push"]));
    fs::remove_file(hook).unwrap();
    assert!(!place.pushed().contains("Update 1 image"));
    let pushed = place.update(&["--push", "--json"]);
    let told: Value = serde_json::from_str(&pushed.out).unwrap();
    assert_eq!((&told["commit"], &told["pushed"]), (&Value::Null, &Value::from("main")), "{}", pushed.err);
    assert!(place.pushed().contains("Update 1 image"));
}
