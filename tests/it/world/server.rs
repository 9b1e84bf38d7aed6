//! The real server as a child process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use serde_json::Value;

use super::wait::try_until;

/// A server that has been started and listens.
pub(crate) struct Running {
    pub(super) child: Child,
    pub(super) token: String,
}

impl Running {
    /// Starts it and waits until it has said where it listens.
    pub(super) fn start(mut command: Command, data: &Path) -> Result<Self, String> {
        let mut child = command.spawn().unwrap();
        let token = try_until(|| match child.try_wait().unwrap() {
            Some(status) => Some(Err(format!("the server ended with {status}"))),
            None => announced(data, child.id()).map(Ok),
        });
        match token.unwrap_or_else(|| Err("the server did not listen".to_owned())) {
            Ok(token) => Ok(Self { child, token }),
            Err(what) => {
                drop(child.kill());
                drop(child.wait());
                Err(what)
            }
        }
    }
}

/// The token, once that very process listens. Read as the process sees it: its data may lie in a file system of its own.
fn announced(data: &Path, pid: u32) -> Option<String> {
    let seen = |file: &str| fs::read(format!("/proc/{pid}/root{}/{file}", data.display())).ok();
    let announcement: Value = serde_json::from_slice(&seen("server.json")?).ok()?;
    let token = String::from_utf8(seen("token")?).ok()?;
    (announcement["pid"] == pid).then(|| token.trim().to_owned())
}

/// The binary under test, which lies beside this one.
pub(super) fn program() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let program = this.parent().and_then(Path::parent).unwrap().join("prograde");
    assert!(program.is_file(), "{} is missing; run `cargo build -p prograde-cli`", program.display());
    program
}
