//! The programs that the demo can't do without; looked for before anything is started.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::report::{self, Report};

/// How long a program may take to tell its version.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A program, the arguments that make it tell its version, and what it is needed for.
type Tool = (&'static str, &'static [&'static str], &'static str);

const TOOLS: [Tool; 3] = [
    ("git", &["--version"], "commits are pushed with Git: install it, and see that it is in PATH"),
    ("cargo", &["--version"], "the demo's service is written in Rust: install it from https://rustup.rs"),
    ("cargo", &["fmt", "--version"], "the service's CI checks its format: `rustup component add rustfmt`"),
];

/// Whether all of them are there.
pub(crate) async fn look_for_all() -> Result<(), Report> {
    for tool in TOOLS {
        look_for(tool).await?;
    }
    Ok(())
}

async fn look_for((program, arguments, hint): Tool) -> Result<(), Report> {
    let called = format!("{program} {}", arguments.join(" "));
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let report = match timeout(TIMEOUT, command.status()).await {
        Ok(Ok(status)) if status.success() => return Ok(()),
        Ok(Ok(status)) => Report::new(report::DEMO, format!("`{called}` ended with {status}")),
        Ok(Err(error)) => Report::new(report::DEMO, format!("`{called}` can't be run")).because(&error),
        Err(_) => Report::new(report::DEMO, format!("`{called}` did not end within {} s", TIMEOUT.as_secs())),
    };
    Err(report.hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_missing_or_broken_is_named_with_the_way_out() {
        assert!(look_for(("git", &["--version"], "hint")).await.is_ok());
        let report = look_for(("prograde-no-such-program", &["--version"], "install it")).await.unwrap_err();
        assert_eq!(report.summary, "`prograde-no-such-program --version` can't be run");
        assert_eq!(report.hints, ["install it"]);
        let report = look_for(("git", &["no-such-command"], "hint")).await.unwrap_err();
        assert_eq!(report.summary, "`git no-such-command` ended with exit status: 1");
    }
}
