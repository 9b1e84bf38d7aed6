//! Real programs, run by path. One that is missing is told by name, and in CI that is a failure.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program of a folder of Python packages that `scripts/test-peers.sh` makes.
pub(crate) fn python(folder: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers").join(folder).join("bin/python");
    path.is_file().then_some(path)
}

pub(crate) fn missing(what: &str) {
    let ci = std::env::vars().any(|(name, value)| name == "CI" && value == "true");
    assert!(!ci, "{what} is missing: run scripts/test-peers.sh");
    eprintln!("left out: {what} is not installed");
}

/// The program with this name, where the system has it.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::vars_os().find(|(key, _)| key == "PATH")?.1;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// What a program writes when it reads this.
pub(crate) fn answer(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
