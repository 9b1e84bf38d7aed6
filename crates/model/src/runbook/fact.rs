//! Facts about runs of runbooks.

use serde::{Deserialize, Serialize};

use crate::ids::numbered;
use crate::incident::IncidentId;
use crate::stored::Fact;

numbered!(
    /// A run's name, such as `R-4`: runs are numbered in the order in which they began.
    RunId,
    "run",
    "R",
    "`R-` and a number, such as `R-4`"
);

/// What a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// To end the harm of an incident.
    Incident(IncidentId),
    /// To see whether it works, and to know it when it is needed.
    Drill,
    /// Neither.
    Other,
}

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Its command ended by itself with this exit code, and so did its check.
    Done {
        /// 0 is good.
        exit: i32,
    },
    /// It did what it does, and its check says that it did not help.
    CheckFailed {
        /// The check's exit code.
        exit: i32,
    },
    /// It took longer than it may and was ended.
    TimedOut,
    /// A signal ended it.
    Killed,
    /// A person left it out.
    Skipped,
}

impl Outcome {
    /// Whether the next step may follow without anybody saying so.
    pub fn is_good(self) -> bool {
        self == Self::Done { exit: 0 }
    }
}

/// A step that was gone through.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stepped {
    /// Which, from 1.
    pub step: u32,
    /// The heading that it stands under.
    pub title: String,
    /// The text of its command.
    pub command: String,
    /// What came of it.
    pub outcome: Outcome,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// The end of what it printed; empty where it is not to be kept.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub output: String,
    /// Who let it run.
    pub by: String,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// All steps were gone through.
    Completed,
    /// Somebody stopped it.
    GivenUp {
        /// Why.
        reason: String,
    },
}

/// A fact about one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum RunbookFact {
    /// Somebody began to go through a runbook.
    #[serde(rename = "runbook.begun")]
    Begun {
        /// The run.
        run: RunId,
        /// The runbook's name.
        runbook: String,
        /// Its title.
        title: String,
        /// SHA-256 of its file, in hexadecimal digits: which version it was.
        sha256: String,
        /// How many steps it has.
        steps: u32,
        /// What for.
        purpose: Purpose,
        /// Who.
        by: String,
    },
    /// A step was gone through.
    #[serde(rename = "runbook.stepped")]
    Stepped {
        /// The run.
        run: RunId,
        /// What came of it.
        #[serde(flatten)]
        stepped: Stepped,
    },
    /// The run ended.
    #[serde(rename = "runbook.ended")]
    Ended {
        /// The run.
        run: RunId,
        /// How.
        end: End,
        /// Who said so.
        by: String,
    },
}

impl Fact for RunbookFact {
    const SUBJECT: &'static str = "runbooks";
    const VERSION: u32 = 1;
}
