//! The facts that the alerts' state is made of.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::log::{Cause, NotificationKey};
use super::silence::Silence;
use super::{Alert, Fingerprint};
use crate::labels::Labels;
use crate::stored::Fact;

/// A fact about alerts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum AlertEvent {
    /// Alerts were posted that say something new: they begin, end, or read otherwise than before.
    #[serde(rename = "alert.received")]
    Received {
        /// Each as it is known from now on.
        alerts: Vec<Alert>,
    },
    /// Alerts were posted again with nothing new but that they go on. Not recorded.
    #[serde(rename = "alert.prolonged")]
    Prolonged {
        /// Which, and until when.
        alerts: Vec<Prolonged>,
    },
    /// Nothing more was heard of alerts, and their end has come.
    #[serde(rename = "alert.ran_out")]
    RanOut {
        /// Which.
        alerts: BTreeSet<Fingerprint>,
    },
    /// A silence was set or changed.
    #[serde(rename = "silence.set")]
    SilenceSet(Silence),
    /// A silence was ended before its time.
    #[serde(rename = "silence.ended")]
    SilenceEnded {
        /// Which.
        id: String,
        /// Whether it ended because the alerts that it matched have.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        with_alerts: bool,
    },
    /// Somebody has taken a group on: it is not repeated any more.
    #[serde(rename = "alert.acknowledged")]
    Acknowledged {
        /// The group's key.
        group: String,
        /// Who.
        by: String,
        /// What they say to it.
        comment: String,
    },
    /// A group is repeated again.
    #[serde(rename = "alert.acknowledgement_withdrawn")]
    AcknowledgementWithdrawn {
        /// The group's key.
        group: String,
        /// Who says so.
        by: String,
    },
    /// A group was looked at. Not recorded: what was told is.
    #[serde(rename = "alert.group_flushed")]
    Flushed {
        /// Which route it is of, by its place in the tree.
        route: usize,
        /// The labels that it is named by.
        labels: Labels,
    },
    /// A receiver was told, or had to be told nothing.
    #[serde(rename = "notification.sent")]
    Sent(Told),
    /// A receiver could not be told before it was time to look at the group again.
    #[serde(rename = "notification.failed")]
    Failed {
        /// Who, and of what.
        key: NotificationKey,
        /// Why not.
        why: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// The server began after a time in which nothing could be posted.
    #[serde(rename = "alert.resumed")]
    Resumed,
}

/// That an alert goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prolonged {
    /// Which.
    pub fingerprint: Fingerprint,
    /// Until when.
    pub ends_at: Timestamp,
    /// Whether that is our own guess.
    pub timeout: bool,
    /// When its sender last said so.
    pub updated_at: Timestamp,
}

/// What a receiver was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Who, and of what.
    #[serde(flatten)]
    pub key: NotificationKey,
    /// Why; absent where nothing was sent because the receiver does not want to hear of alerts that have ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// When the group was looked at.
    pub decided_at: Timestamp,
    /// The firing alerts that it knows of from now on.
    pub firing: BTreeSet<Fingerprint>,
    /// The alerts that it knows have ended.
    pub resolved: BTreeSet<Fingerprint>,
    /// Until when this has to be remembered.
    pub until: Timestamp,
}

impl Fact for AlertEvent {
    const SUBJECT: &'static str = "alerts";
    const VERSION: u32 = 1;
}

impl AlertEvent {
    /// Whether it must outlast a restart.
    pub fn is_recorded(&self) -> bool {
        match self {
            Self::Prolonged { .. } | Self::Flushed { .. } => false,
            Self::Received { .. }
            | Self::RanOut { .. }
            | Self::SilenceSet(_)
            | Self::SilenceEnded { .. }
            | Self::Acknowledged { .. }
            | Self::AcknowledgementWithdrawn { .. }
            | Self::Sent(_)
            | Self::Failed { .. }
            | Self::Resumed => true,
        }
    }
}
