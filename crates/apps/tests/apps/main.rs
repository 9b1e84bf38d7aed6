//! Comparisons with the real programs, and properties.
#![cfg(test)]
#![allow(clippy::print_stderr, reason = "whoever runs the tests should know which they did not run")]

mod argo;
mod memory;
mod properties;
mod semver;

/// Says that a peer is missing, which is a failure in CI.
fn missing(peer: &str) {
    let ci = std::env::vars().any(|(name, value)| name == "CI" && value == "true");
    assert!(!ci, "{peer} is missing: run scripts/test-peers.sh");
    eprintln!("left out: {peer} is not installed");
}

/// Where `scripts/test-peers.sh` puts a peer.
fn peer(path: &str) -> Option<std::path::PathBuf> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers").join(path);
    root.is_file().then_some(root)
}
