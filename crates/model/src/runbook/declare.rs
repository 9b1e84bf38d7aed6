//! What a runbook's file declares.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::quantity::Period;

/// How long a command may take where its block does not say.
pub const TIMEOUT: Duration = Duration::from_mins(10);

/// What to do, step by step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Runbook {
    /// Its name: the file's, without its ending.
    pub name: String,
    /// Its first heading.
    pub title: String,
    /// The alerts that it is for.
    pub alerts: Vec<String>,
    /// How often it is to be gone through although nothing is wrong.
    pub drill_every: Option<Period>,
    /// What its commands are given, as environment variables.
    pub parameters: BTreeMap<String, Parameter>,
    /// In order.
    pub steps: Vec<Step>,
}

/// Something that a command needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// What it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// What it is unless somebody says otherwise; without one, somebody has to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

/// One command, with what surrounds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The heading that it stands under.
    pub title: String,
    /// The text between the block before and this one.
    pub about: String,
    /// What shows what it would do, and changes nothing.
    pub rehearsal: Option<Command>,
    /// What it does.
    pub command: Command,
    /// What is only good if it worked.
    pub check: Option<Command>,
}

/// A block of shell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Command {
    /// Its line in the file.
    pub line: u32,
    /// The shell that runs it: `sh` or `bash`.
    pub shell: String,
    /// The text.
    pub text: String,
    /// How long it may take, in seconds.
    pub timeout_secs: u64,
    /// Whether what it prints is kept.
    pub is_recorded: bool,
}
