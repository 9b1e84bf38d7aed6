//! What the process's exit status says. Scripts rely on these numbers: they never change their meaning.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did what was asked.
    Done = 0,
    /// The product's rules refuse it, such as a gate, a quarantine or a release that was taken back.
    Refused = 1,
    /// A mistake: bad input, something that does not exist, a server that does not answer, or a defect of ours.
    Mistake = 2,
    /// The user stopped it.
    Cancelled = 3,
    /// The server does not accept the token.
    Unauthorised = 4,
    /// It was waited for and has not happened yet.
    Pending = 5,
}

impl Exit {
    /// The status as a number.
    pub(crate) fn number(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

/// What `--help` says about exit codes.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done
  1  refused by the product's rules, or the release was taken back
  2  a mistake: bad input, not found, or the server can't be reached
  3  cancelled, such as by Ctrl-C
  4  unauthorised: the server does not accept the token
  5  pending: what was waited for has not happened in time

`prograde explain CODE` says more about an error's code.";
