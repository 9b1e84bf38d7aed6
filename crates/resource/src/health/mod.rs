//! How well an object is: what a person asked for has come about, is on its way, or has failed.
//!
//! Asked in this order: a script in Lua that the user brings, an expression in CEL that the user brings, what is known of
//! Kubernetes' own kinds ([`builtin`]), and conditions as kstatus reads them ([`conditions`]). Invariant: the same object,
//! rules and time have the same health, and no object or rule makes it run for long.

mod builtin;
mod conditions;
mod expression;
mod lua;
mod pattern;
mod pod;
mod scripts;
mod strings;
mod workload;

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::json::{at, text};
use crate::object::group_of;

pub use expression::Expressions;
pub use lua::{LuaError, MEMORY_BYTES_MAX, STEPS_MAX, Script};
pub use scripts::Scripts;
pub(crate) use scripts::is_like;

/// How well an object is, best first: the health of many is that of the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Status {
    /// What was asked for has come about.
    Healthy,
    /// It was stopped on purpose.
    Suspended,
    /// It is on its way.
    Progressing,
    /// It is not there.
    Missing,
    /// It has failed.
    Degraded,
    /// It can't be told.
    Unknown,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Healthy => "Healthy",
            Self::Suspended => "Suspended",
            Self::Progressing => "Progressing",
            Self::Missing => "Missing",
            Self::Degraded => "Degraded",
            Self::Unknown => "Unknown",
        })
    }
}

impl Status {
    /// The status that Argo CD spells so.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Healthy, Self::Suspended, Self::Progressing, Self::Missing, Self::Degraded, Self::Unknown];
        all.into_iter().find(|status| status.to_string() == text)
    }
}

/// A status and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// How well it is.
    pub status: Status,
    /// Why; may be empty.
    pub message: String,
}

impl Health {
    /// A status and why.
    pub fn new(status: Status, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    fn healthy(message: impl Into<String>) -> Self {
        Self::new(Status::Healthy, message)
    }

    fn progressing(message: impl Into<String>) -> Self {
        Self::new(Status::Progressing, message)
    }

    fn degraded(message: impl Into<String>) -> Self {
        Self::new(Status::Degraded, message)
    }
}

/// What users bring to tell health by. Read once, used for many objects.
#[derive(Debug, Default)]
pub struct Rules {
    /// Scripts in Lua.
    pub scripts: Scripts,
    /// Expressions in CEL.
    pub expressions: Expressions,
}

/// What is being deleted waits for this finalizer of Argo CD's hooks until the sync has ended; it is no deletion.
const HOOK_FINALIZER: &str = "argocd.argoproj.io/hook-finalizer";

/// The health of an object that is there. `now` is what scripts are told that the time is.
pub fn assess(object: &Value, rules: &Rules, now: Timestamp) -> Health {
    let group = group_of(text(object, &["apiVersion"]));
    let kind = text(object, &["kind"]);
    let finalizers = at(object, &["metadata", "finalizers"]).and_then(Value::as_array);
    let is_hook = finalizers.is_some_and(|all| all.iter().any(|one| one == HOOK_FINALIZER));
    // A script sees that an object is being deleted, and those of Argo CD say what that means for their kinds.
    if let Some(script) = rules.scripts.of(group, kind) {
        return script.health(object, now).unwrap_or_else(|error| Health::new(Status::Unknown, error.to_string()));
    }
    if at(object, &["metadata", "deletionTimestamp"]).is_some_and(|at| !at.is_null()) && !is_hook {
        return Health::progressing(deletion_message(object));
    }
    if let Some(health) = rules.expressions.health(object, now) {
        return health;
    }
    builtin::health(group, kind, object).unwrap_or_else(|| conditions::health(object))
}

fn deletion_message(object: &Value) -> String {
    let finalizers: Vec<&str> =
        crate::json::items(object, &["metadata", "finalizers"]).iter().filter_map(Value::as_str).take(5).collect();
    if finalizers.is_empty() {
        return "it is being deleted".to_owned();
    }
    format!("it is being deleted, and waits for {}", finalizers.join(", "))
}

/// The health of many: that of the worst; of none, healthy.
pub fn worst(all: impl IntoIterator<Item = Status>) -> Status {
    all.into_iter().max().unwrap_or(Status::Healthy)
}

#[cfg(test)]
mod tests;
