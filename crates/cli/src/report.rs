//! An error as its reader sees it: a code, what went wrong, why, and what to do about it.

use std::error::Error;
use std::io;

use prograde_model::{Diagnostic, Diagnostics};
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::wire::ErrorBody;

/// The server can't be reached.
pub(crate) const UNREACHABLE: &str = "PG0901";
/// No server is known.
pub(crate) const NO_SERVER: &str = "PG0902";
/// There is no token to show, or it can't be read.
pub(crate) const NO_TOKEN: &str = "PG0903";
/// What answers is not a Prograde server, or one of another version.
pub(crate) const STRANGE_ANSWER: &str = "PG0904";
/// A file can't be read or written.
pub(crate) const FILE: &str = "PG0905";
/// A file is in the way.
pub(crate) const EXISTS: &str = "PG0906";
/// An argument or a setting can't be used.
pub(crate) const ARGUMENT: &str = "PG0907";
/// What was waited for has not happened in time.
pub(crate) const PENDING: &str = "PG0908";
/// Generated files are not what the code says.
pub(crate) const STALE: &str = "PG0909";
/// The user stopped the command.
pub(crate) const CANCELLED: &str = "PG0910";
/// Files of a repository were checked and are not good.
pub(crate) const CHECK: &str = "PG0911";
/// Configuration is in the wrong place.
pub(crate) const MISPLACED: &str = "PG0916";
/// Tests of rules found something that is not as expected.
pub(crate) const RULE_TESTS: &str = "PG0642";
/// Files of rules were checked and are not good.
pub(crate) const RULES: &str = "PG0643";
/// Tests of policies found something that is not as expected.
pub(crate) const POLICY_TESTS: &str = "PG1105";
/// Policies refuse what they were applied to.
pub(crate) const POLICY_REFUSES: &str = "PG1106";
/// Policies or resources can't be used.
pub(crate) const POLICY_INPUT: &str = "PG1107";
/// The system refuses something that the command can't do without.
pub(crate) const SYSTEM: &str = "PG0912";
/// The simulator found a promise broken.
pub(crate) const SIM: &str = "PG0915";
/// The demonstration did not go as it should.
pub(crate) const DEMO: &str = "PG0914";

/// What the reader is told when a command fails.
#[derive(Debug)]
pub(crate) struct Report {
    /// The exit status.
    pub(crate) exit: Exit,
    /// The stable code, with a page in `docs/errors/`.
    pub(crate) code: String,
    /// What went wrong.
    pub(crate) summary: String,
    /// Why, the nearest cause first.
    pub(crate) causes: Vec<String>,
    /// What can be run or pasted.
    pub(crate) hints: Vec<String>,
}

/// What is wrong with files that people wrote: a line each, with its place, and each way out once.
impl From<Diagnostics> for Report {
    fn from(found: Diagnostics) -> Self {
        let code = found.0.first().map_or(CHECK, |first| first.code.as_str());
        let line = |one: &Diagnostic| Diagnostic { hint: String::new(), ..one.clone() }.to_string();
        let summary: Vec<String> = found.0.iter().map(line).collect();
        let mut report = Self::new(code, summary.join("\n"));
        for one in &found.0 {
            if !report.hints.contains(&one.hint) {
                report = report.hint(&one.hint);
            }
        }
        report
    }
}

impl Report {
    /// A mistake with the exit status 2.
    pub(crate) fn new(code: &str, summary: impl Into<String>) -> Self {
        Self { exit: Exit::Mistake, code: code.into(), summary: summary.into(), causes: Vec::new(), hints: Vec::new() }
    }

    /// With another exit status.
    #[must_use]
    pub(crate) fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// With a cause and what caused that.
    #[must_use]
    pub(crate) fn because(mut self, cause: &(dyn Error + 'static)) -> Self {
        self.causes.push(cause.to_string());
        self.caused_by(cause)
    }

    /// With the causes of an error that is itself the summary.
    #[must_use]
    pub(crate) fn caused_by(mut self, error: &(dyn Error + 'static)) -> Self {
        let mut next = error.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            // Transparent layers repeat what is below them.
            if self.causes.last() != Some(&text) {
                self.causes.push(text);
            }
            next = cause.source();
        }
        self
    }

    /// With something to do about it.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        if !hint.is_empty() {
            self.hints.push(hint);
        }
        self
    }

    /// The server's answer, with the exit status that its HTTP status stands for.
    pub(crate) fn from_answer(status: u16, body: ErrorBody) -> Self {
        let exit = match status {
            401 | 403 => Exit::Unauthorised,
            409 => Exit::Refused,
            _ => Exit::Mistake,
        };
        Self::new(&body.code, body.message).exit(exit).hint(body.hint)
    }

    /// A file that can't be read or written.
    pub(crate) fn file(what: &str, path: &std::path::Path, error: &io::Error) -> Self {
        Self::new(FILE, format!("can't {what} {}", path.display())).because(error)
    }

    /// The reader of our output is gone. That is no error: `prograde flight list | head` ends well.
    pub(crate) fn output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new("", "").exit(Exit::Done);
        }
        Self::new(FILE, "can't write the output").because(error)
    }

    /// The user stopped the command.
    pub(crate) fn cancelled() -> Self {
        Self::new(CANCELLED, "cancelled").exit(Exit::Cancelled)
    }

    /// Whether there is nothing to tell.
    pub(crate) fn is_silent(&self) -> bool {
        self.code.is_empty()
    }

    /// The form of `--json`.
    pub(crate) fn to_json(&self) -> Value {
        json!({"error": {
            "code": self.code,
            "message": self.summary,
            "causes": self.causes,
            "hints": self.hints,
            "exit": self.exit.number(),
        }})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16) -> Exit {
        let body = ErrorBody { code: "PG0503".into(), message: "no".into(), hint: String::new() };
        Report::from_answer(status, body).exit
    }

    #[test]
    fn the_http_status_decides_the_exit_status() {
        assert_eq!(answer(409), Exit::Refused);
        assert_eq!(answer(401), Exit::Unauthorised);
        assert_eq!(answer(404), Exit::Mistake);
        assert_eq!(answer(500), Exit::Mistake);
    }

    #[test]
    fn a_reader_that_went_away_is_no_error() {
        let report = Report::output(&io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(report.is_silent() && report.exit == Exit::Done);
        assert!(!Report::output(&io::Error::from(io::ErrorKind::StorageFull)).is_silent());
    }
}
