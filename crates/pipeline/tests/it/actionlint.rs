//! A second opinion: what the checker of GitHub's users takes for a workflow, and what we do.
//!
//! `actionlint` is installed by `scripts/test-peers.sh`. Without it the test is left out by name, except in CI.

use std::path::{Path, PathBuf};
use std::process::Command;

use prograde_pipeline::Workflows;

fn actionlint() -> Option<PathBuf> {
    let variable = |wanted: &str| std::env::vars().find(|(name, _)| name == wanted).map(|(_, value)| value);
    let go = variable("HOME").map(|home| format!("{home}/go/bin")).unwrap_or_default();
    let path = format!("{}:{go}", variable("PATH").unwrap_or_default());
    let found = path.split(':').map(|own| Path::new(own).join("actionlint")).find(|file| file.is_file());
    if found.is_none() {
        assert_ne!(variable("CI").as_deref(), Some("true"), "actionlint is missing: run scripts/test-peers.sh");
        eprintln!("left out: actionlint is not installed; scripts/test-peers.sh installs it");
    }
    found
}

fn fixtures(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/workflows").join(folder);
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.display().to_string(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

/// What actionlint has to say; nothing where it is content.
fn opinion(actionlint: &Path, text: &str) -> String {
    use std::io::Write as _;
    let mut child = Command::new(actionlint)
        .args(["-no-color", "-oneline", "-shellcheck=", "-pyflakes=", "-"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_we_take_actionlint_takes() {
    for (path, text) in fixtures("good") {
        let ours = Workflows::load(&[(path.clone(), text.clone())]);
        assert!(ours.is_ok(), "{}", ours.unwrap_err());
        let Some(actionlint) = actionlint() else { return };
        assert_eq!(opinion(&actionlint, &text), "", "{path}");
    }
}

#[test]
fn what_actionlint_refuses_we_refuse() {
    for (path, text) in fixtures("bad") {
        assert!(Workflows::load(&[(path.clone(), text.clone())]).is_err(), "{path}");
        let Some(actionlint) = actionlint() else { return };
        assert_ne!(opinion(&actionlint, &text), "", "{path}");
    }
}
