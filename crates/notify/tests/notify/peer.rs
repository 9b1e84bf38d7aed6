//! Programs that are asked the same.

use std::io::ErrorKind;
use std::process::{Command, Output, Stdio};

/// Says that a peer is not installed, which is a failure in CI.
pub(crate) fn missing(peer: &str) {
    let ci = std::env::vars().any(|(name, value)| name == "CI" && value == "true");
    assert!(!ci, "{peer} is missing: run scripts/test-peers.sh");
    eprintln!("left out: {peer} is not installed");
}

/// What `amtool` says; `None` where it is not installed, which is a failure in CI.
pub(crate) fn amtool(arguments: &[&str]) -> Option<Output> {
    match Command::new("amtool").args(arguments).stdin(Stdio::null()).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            missing("amtool");
            None
        }
        Err(error) => panic!("amtool can't be started: {error}"),
    }
}

/// What it prints where it succeeds.
pub(crate) fn printed(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    out.into_owned()
}
