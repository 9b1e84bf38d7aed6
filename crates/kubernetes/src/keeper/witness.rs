//! Who is told what a keeper does.

use std::collections::BTreeMap;

use async_trait::async_trait;
use prograde_resource::keep::Because;
use prograde_resource::{Drift, Identity, Status};

use crate::refused::Refused;
use crate::sync::{Report, Stopped};
use crate::target::Target;

/// A sync that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begin {
    /// The application.
    pub name: String,
    /// What is wanted, in short.
    pub revision: String,
    /// What that was read from.
    pub origin: String,
    /// Whether hooks are run.
    pub hooks: bool,
    /// Why.
    pub because: Because,
    /// Whether what Git names no longer is deleted.
    pub prune: bool,
    /// Whether a person has said that all of it may go.
    pub confirmed: bool,
    /// Whether it leaves: Git names it no longer, and what it has is deleted.
    pub leaves: bool,
}

/// How an application stands.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// How it differs.
    pub drifts: Vec<(Identity, Drift)>,
    /// How well each object is.
    pub health: BTreeMap<Identity, Status>,
}

/// Is told what a keeper does. What it does not return from is waited for: a sync whose beginning can't be recorded does
/// not begin. All of it may be left at any time.
#[async_trait]
pub trait Witness: Send + Sync {
    /// Something happens, for people: a verb, and of what.
    fn tells(&self, verb: &'static str, text: String);

    /// The cluster does not answer.
    fn away(&self, refused: &Refused) {
        self.tells("Waiting", refused.to_string());
    }

    /// A sync is about to begin.
    async fn begins(&self, _begin: &Begin) {}

    /// A sync has ended. Where it failed, `mark` stands for what it depended on.
    async fn ended(&self, _begin: &Begin, _outcome: &Result<Report, Stopped>, _mark: Option<&str>) {}

    /// An application was compared with what is there.
    async fn looked(&self, _target: &Target, _origin: &str, _seen: Result<&Seen, &Refused>) {}
}

#[async_trait]
impl<F: Fn(&'static str, String) + Send + Sync> Witness for F {
    fn tells(&self, verb: &'static str, text: String) {
        self(verb, text);
    }
}
