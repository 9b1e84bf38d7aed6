//! The same directories through `kustomize build`: the same bytes, or an error on both sides.

use std::path::{Path, PathBuf};
use std::process::Command;

use prograde_kustomize::FileTree;

use crate::fixture;
use crate::grammar;
use crate::texts;

/// Kustomize as `scripts/test-peers.sh` installs it; nothing where it is not, which is a failure in CI.
fn peer() -> Option<PathBuf> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/kustomize/kustomize");
    if place.is_file() {
        return Some(place);
    }
    let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!ci, "kustomize 5.8.2 is not installed: run scripts/test-peers.sh kustomize");
    eprintln!("left out: kustomize 5.8.2 is not installed; scripts/test-peers.sh kustomize does it");
    None
}

/// What is different; nothing when both sides agree. What is rendered is `top`, or `production`, or the root.
fn difference(peer: &Path, name: &str, tree: &FileTree) -> Option<String> {
    let dir = ["top", "production"].into_iter().find(|dir| tree.has_directory(dir)).unwrap_or_default();
    let disk = tempfile::tempdir().unwrap();
    fixture::write(tree, disk.path());
    let output = Command::new(peer).arg("build").arg(disk.path().join(dir)).output().unwrap();
    let theirs = String::from_utf8(output.stdout).unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    match (fixture::rendered(tree, dir), output.status.success()) {
        (Ok(ours), true) if ours == theirs => None,
        (Err(_), false) => None,
        (Ok(ours), true) => Some(format!("{name}: ours\n{ours}\ntheirs\n{theirs}")),
        (Ok(_), false) => Some(format!("{name}: only the peer refuses: {complaint}")),
        (Err(error), true) => Some(format!("{name}: only ours refuses: {error}")),
    }
}

fn check(cases: &[(String, FileTree)]) {
    let Some(peer) = peer() else { return };
    let half = cases.len().div_ceil(2).max(1);
    let found: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = cases
            .chunks(half)
            .map(|part| {
                let peer = &peer;
                scope.spawn(move || {
                    part.iter().filter_map(|(name, tree)| difference(peer, name, tree)).collect::<Vec<_>>()
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert!(found.is_empty(), "{} of {} differ:\n{}", found.len(), cases.len(), found.join("\n\n"));
}

#[test]
fn written_cases() {
    let text = include_str!("written.txt");
    let cases: Vec<(String, FileTree)> = text
        .split("##### ")
        .skip(1)
        .map(|case| {
            let (name, files) = case.split_once('\n').unwrap();
            (name.to_owned(), fixture::tree(files))
        })
        .collect();
    assert!(cases.len() >= 20);
    let failing = |(name, _): &&(String, FileTree)| name.starts_with("must fail");
    for (name, tree) in cases.iter().filter(failing) {
        assert!(fixture::rendered(tree, "top").is_err(), "{name}");
    }
    check(&cases);
}

#[test]
fn larger_cases() {
    let cases = [
        ("overlay", include_str!("../../../gitops/tests/kustomize/overlay.txt")),
        ("merging", include_str!("merging.txt")),
        ("names", include_str!("names.txt")),
        ("generators", include_str!("generators.txt")),
    ];
    check(&cases.map(|(name, text)| (name.to_owned(), fixture::tree(text))));
}

#[test]
fn generated_texts() {
    let cases: Vec<(String, FileTree)> = (0..300).map(|seed| (format!("text {seed}"), texts::case(seed))).collect();
    let rendered = cases.iter().filter(|(_, tree)| fixture::rendered(tree, "top").is_ok()).count();
    assert!(rendered >= 200, "{rendered} can be rendered");
    check(&cases);
}

#[test]
fn generated_cases() {
    let cases: Vec<(String, FileTree)> = (0..320).map(|seed| (format!("seed {seed}"), grammar::case(seed))).collect();
    check(&cases);
}
