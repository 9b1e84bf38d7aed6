//! Facts about applications that the server keeps.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{CommitId, SetName};
use crate::stored::Fact;

/// One application of a set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct ApplicationId {
    /// The set.
    pub set: SetName,
    /// The application's name, with its namespace before it where that is not Argo CD's own.
    pub application: String,
}

impl fmt::Display for ApplicationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.set, self.application)
    }
}

/// Why a sync begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// What Git says is new.
    Revision,
    /// It failed, and something that it depends on has changed.
    Changed,
    /// Somebody changed it in the cluster.
    Drift,
    /// A person ordered it.
    Order,
    /// It was broken off by the server's end.
    Resumed,
}

/// How a sync failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Something was refused, or has failed.
    Failed,
    /// Something was not healthy in time.
    Late,
    /// The cluster did not answer any more.
    NoAnswer,
    /// What is wanted can't be.
    NotPossible,
}

/// How well an application is: as its worst object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// What was asked for has come about.
    Healthy,
    /// It was stopped on purpose.
    Suspended,
    /// It is on its way.
    Progressing,
    /// Something is not there.
    Missing,
    /// Something has failed.
    Degraded,
    /// It can't be told.
    Unknown,
}

/// What a sync did, in numbers of objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// That were made.
    pub created: u64,
    /// That were changed.
    pub changed: u64,
    /// That were deleted.
    pub pruned: u64,
    /// That were as they should be.
    pub unchanged: u64,
    /// That Git names no longer, and nobody asked to delete.
    pub left: u64,
}

/// How an object differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It should be there, and is not.
    Missing,
    /// It is not as it should be.
    Changed,
    /// It is there, and Git names it no longer.
    Extra,
}

/// A field that is not as Git says. Its value is not told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Field {
    /// Where.
    pub path: String,
    /// The field manager that wrote it, where that can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When it was written, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub at: Option<Timestamp>,
}

/// An object that is not as Git says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Differing {
    /// Which.
    pub object: String,
    /// How.
    pub what: What,
    /// The first fields that differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
}

/// An object that is not deleted until a person says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Held {
    /// Which.
    pub object: String,
    /// Why it is asked for.
    pub why: String,
}

/// A fact about an application that the server keeps in a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ApplicationFact {
    /// A person ordered a sync.
    #[serde(rename = "application.sync_ordered")]
    SyncOrdered {
        /// Which application.
        #[serde(flatten)]
        of: ApplicationId,
        /// Whether what Git names no longer is deleted.
        prune: bool,
        /// Whether all of it may go.
        confirm_prune: bool,
        /// Who.
        by: String,
    },
    /// A sync is about to begin. It may begin again after a crash.
    #[serde(rename = "application.sync_started")]
    SyncStarted {
        /// Which application.
        #[serde(flatten)]
        of: ApplicationId,
        /// The commit that it was read from.
        commit: CommitId,
        /// The digest of what is wanted: its objects, and how they are synchronised.
        revision: String,
        /// Whether hooks are run.
        hooks: bool,
        /// Whether what Git names no longer is deleted.
        prune: bool,
        /// Whether a person has said that all of it may go.
        confirm_prune: bool,
        /// Why.
        because: Because,
    },
    /// It is as Git says, and healthy.
    #[serde(rename = "application.synced")]
    Synced {
        /// Which application.
        #[serde(flatten)]
        of: ApplicationId,
        /// The digest of what was wanted.
        revision: String,
        /// What was done.
        counts: Counts,
    },
    /// It could not be brought to what Git says.
    #[serde(rename = "application.sync_failed")]
    SyncFailed {
        /// Which application.
        #[serde(flatten)]
        of: ApplicationId,
        /// The digest of what was wanted.
        revision: String,
        /// How it failed.
        ending: Ending,
        /// Why.
        why: String,
        /// What was done before.
        counts: Counts,
        /// A digest of the state of all that it depended on: it is tried again once that is another.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        depended_on: Option<String>,
    },
    /// What is in the cluster is not what Git says.
    #[serde(rename = "application.drifted")]
    Drifted {
        /// Which application.
        #[serde(flatten)]
        of: ApplicationId,
        /// The commit that it was compared with.
        commit: CommitId,
        /// The digest of what is wanted.
        revision: String,
        /// How many objects differ.
        objects: u64,
        /// The first of them.
        first: Vec<Differing>,
    },
    /// What is in the cluster is what Git says, without a sync.
    #[serde(rename = "application.in_step")]
    InStep {
        /// Which application.
        #[serde(flatten)]
        of: ApplicationId,
        /// The commit that it was compared with.
        commit: CommitId,
        /// The digest of what is wanted.
        revision: String,
    },
    /// Objects that Git names no longer are not deleted until a person says so.
    #[serde(rename = "application.prune_held")]
    PruneHeld {
        /// Which application.
        #[serde(flatten)]
        of: ApplicationId,
        /// The digest of what is wanted.
        revision: String,
        /// How many objects.
        objects: u64,
        /// The first of them.
        first: Vec<Held>,
    },
    /// It is better or worse than before.
    #[serde(rename = "application.health_changed")]
    HealthChanged {
        /// Which application.
        #[serde(flatten)]
        of: ApplicationId,
        /// How well it is.
        health: Health,
        /// The first objects that make it so.
        first: Vec<String>,
    },
    /// What its files say can't be used; what they said before goes on.
    #[serde(rename = "application.unusable")]
    Unusable {
        /// Which application.
        #[serde(flatten)]
        of: ApplicationId,
        /// The commit.
        commit: CommitId,
        /// Why, with file and line.
        why: String,
    },
    /// What its files say can be used again.
    #[serde(rename = "application.usable")]
    Usable {
        /// Which application.
        #[serde(flatten)]
        of: ApplicationId,
        /// The commit.
        commit: CommitId,
    },
    /// Its files say whether what it has in the cluster goes with it once Git names it no longer.
    #[serde(rename = "application.deletion_set")]
    DeletionSet {
        /// Which application.
        #[serde(flatten)]
        of: ApplicationId,
        /// The commit.
        commit: CommitId,
        /// Whether it goes.
        deletes: bool,
        /// Whether it goes by a person's order alone, because it does not follow Git by itself.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        by_order: bool,
        /// The application that deploys it, if one does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<String>,
    },
    /// Git names it no longer, and what it has in the cluster is being deleted.
    #[serde(rename = "application.leaving")]
    Leaving {
        /// Which application.
        #[serde(flatten)]
        of: ApplicationId,
        /// The commit that does not name it.
        commit: CommitId,
        /// A commit that names it as it was last.
        named_in: CommitId,
        /// Whether a person has to say so first: more left at once than go without asking.
        asks: bool,
    },
    /// Git names it again before all of it was deleted.
    #[serde(rename = "application.returned")]
    Returned {
        /// Which application.
        #[serde(flatten)]
        of: ApplicationId,
        /// The commit that names it.
        commit: CommitId,
    },
    /// Git names it no longer, and nothing is left of it but what is not to be deleted.
    #[serde(rename = "application.deleted")]
    Deleted {
        /// Which application.
        #[serde(flatten)]
        of: ApplicationId,
    },
    /// It is in no file any more, and is left in the cluster as it is.
    #[serde(rename = "application.released")]
    Released {
        /// Which application.
        #[serde(flatten)]
        of: ApplicationId,
    },
}

impl ApplicationFact {
    /// The application that it is about.
    pub fn of(&self) -> &ApplicationId {
        match self {
            Self::SyncOrdered { of, .. }
            | Self::SyncStarted { of, .. }
            | Self::Synced { of, .. }
            | Self::SyncFailed { of, .. }
            | Self::Drifted { of, .. }
            | Self::InStep { of, .. }
            | Self::PruneHeld { of, .. }
            | Self::HealthChanged { of, .. }
            | Self::Unusable { of, .. }
            | Self::Usable { of, .. }
            | Self::DeletionSet { of, .. }
            | Self::Leaving { of, .. }
            | Self::Returned { of, .. }
            | Self::Deleted { of }
            | Self::Released { of } => of,
        }
    }
}

impl Fact for ApplicationFact {
    const SUBJECT: &'static str = "applications";
    const VERSION: u32 = 1;
}
