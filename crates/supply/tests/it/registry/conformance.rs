//! The specification's own conformance suite (`github.com/opencontainers/distribution-spec/conformance`), all of it.

use std::path::Path;
use std::process::Command;

use super::{Served, TOKEN};

/// Runs the suite for one version of the specification; gives what it says about what did not pass.
fn failures(version: &str, tool: &Path) -> Vec<String> {
    let served = Served::new();
    let results = tempfile::tempdir().unwrap();
    let output = Command::new(tool)
        .current_dir(results.path())
        .env("OCI_VERSION", version)
        .env("OCI_RESULTS_DIR", results.path())
        .env("OCI_REGISTRY", served.address.to_string())
        .env("OCI_TLS", "disabled")
        .env("OCI_USERNAME", "any")
        .env("OCI_PASSWORD", TOKEN)
        .env("OCI_API_BLOBS_DIGEST_HEADER", "true")
        .env("OCI_API_BLOBS_UPLOAD_CANCEL", "true")
        .env("OCI_API_MANIFESTS_DIGEST_HEADER", "true")
        .env("OCI_API_MANIFESTS_TAG_PARAM", "true")
        .output()
        .unwrap();
    let text = std::fs::read_to_string(results.path().join("junit.xml")).unwrap_or_default();
    assert!(text.contains("<testcase"), "no report: {output:?}");
    assert!(text.matches("<testcase").count() > 200, "the suite was cut short: {}", text.matches("<testcase").count());
    let mut failures: Vec<String> = text
        .split("<testcase ")
        .skip(1)
        .filter(|case| case.contains("<failure") || case.contains("<error") || case.contains("<skipped"))
        .map(|case| case.chars().take(600).collect())
        .collect();
    if !output.status.success() {
        failures.push(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    failures
}

#[test]
fn the_conformance_suite_passes() {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/conformance/conformance");
    if !tool.exists() {
        let test = "the_conformance_suite_passes needs the suite: scripts/test-peers.sh conformance";
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{test}");
        eprintln!("left out: {test}");
        return;
    }
    for version in ["1.1", "dev"] {
        let failures = failures(version, &tool);
        assert!(failures.is_empty(), "{version}: {} did not pass:\n{}", failures.len(), failures.join("\n"));
    }
}
