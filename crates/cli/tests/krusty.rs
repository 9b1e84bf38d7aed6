//! Each kustomization that Kustomize's own tests (`api/krusty`) render is rendered by `prograde render` as well, with the same
//! text, in both orders of objects.
#![cfg(test)]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::Deserialize;

/// What one of them came to, as tests/peers/krusty/compare.go writes it.
#[derive(Debug, Deserialize)]
struct Compared {
    test: String,
    order: String,
    outcome: String,
    /// Whether the test lets programs run.
    plugins: bool,
    theirs: String,
    ours: String,
}

impl Compared {
    /// What differs for a reason that is no fault of the rendering.
    fn is_other(&self) -> bool {
        // Programs are not run.
        (self.outcome == "ours refuses" && self.plugins && self.ours.contains("PG1003"))
            // The library calls itself `(devel)`.
            || (self.test == "TestAddManagedbyLabel" && self.theirs.replace("(devel)", "v5.8.2") == self.ours)
            // What has no kustomization is taken for a directory of objects here.
            || (self.test == "TestTargetMustHaveKustomizationFile" && self.outcome == "theirs refuses")
            // In memory `..` of the root is the root; on disk it is the directory above.
            || (self.test == "TestNameReferenceDeploymentIssue3489" && self.ours.contains("`../ov1`"))
    }
}

#[test]
fn kustomize_s_own_tests_see_no_difference() {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/krusty");
    let Ok(program) = fs::canonicalize(place.join("krusty.test")) else {
        assert!(std::env::var_os("CI").is_none(), "Kustomize's tests are missing: `scripts/test-peers.sh krusty`");
        eprintln!("left out: Kustomize's tests are missing: `scripts/test-peers.sh krusty`");
        return;
    };
    let Ok(helm) = fs::canonicalize(place.join("../helm/helm")) else {
        assert!(std::env::var_os("CI").is_none(), "Helm is missing: `scripts/test-peers.sh helm`");
        eprintln!("left out: Helm is missing: `scripts/test-peers.sh helm`");
        return;
    };
    let scratch = tempfile::tempdir().unwrap();
    // They know it by another name.
    for name in ["helm", "helmV3"] {
        std::os::unix::fs::symlink(&helm, scratch.path().join(name)).unwrap();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(scratch.path().to_owned()).chain(std::env::split_paths(&path));
    let path = std::env::join_paths(path).unwrap();
    let report = scratch.path().join("report.jsonl");
    // Some of them need charts of other machines, containers or plugins of their own and fail; what counts is what they report.
    Command::new(program)
        .current_dir(place.join("krusty"))
        .envs([("PROGRADE", env!("CARGO_BIN_EXE_prograde")), ("TMPDIR", scratch.path().to_str().unwrap())])
        .env("PATH", path)
        .env("REPORT", &report)
        .args(["-test.parallel=2", "-test.timeout=9m"])
        .stdout(Stdio::null())
        .status()
        .unwrap();
    let lines = fs::read_to_string(&report).unwrap();
    let all: Vec<Compared> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let count = |outcome: &str| all.iter().filter(|one| one.outcome == outcome).count();
    let (same, refused) = (count("same"), count("both refuse"));
    println!("same: {same}, both refuse: {refused}, of {}", all.len());
    let wrong = all.iter().filter(|one| !["same", "both refuse"].contains(&one.outcome.as_str()) && !one.is_other());
    let wrong: Vec<String> = wrong
        .map(|one| {
            format!("{} ({}): {}\n--- theirs\n{}--- ours\n{}", one.test, one.order, one.outcome, one.theirs, one.ours)
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(same >= 552 && refused >= 74, "some were not rendered: same: {same}, both refuse: {refused}");
}
