//! Alerts: from what is posted by Prometheus or a person to whom is told what, and when.
//!
//! ```text
//!  posted ──▶ Received ──▶ routes ──▶ groups ──▶ (inhibited? silenced? muted at this time?) ──▶ log ──▶ Notification
//!                                       ▲                                                        │
//!                                       └─ group_wait, then every group_interval                 └─ told already? repeat?
//! ```
//!
//! What a route, a group, an inhibition and a silence are is Alertmanager's; [`Dispatcher`] is the state machine:
//! [`Dispatcher::decide`] says what follows at a time, [`Dispatcher::apply`] takes it in, [`Dispatcher::plan`] says what is to
//! be sent, and [`Dispatcher::wake_at`] when to ask again. It differs from Alertmanager in that all of its state is the fold
//! of facts, so that a restart neither forgets an alert that inhibits nor tells anything twice.
//!
//! Source: Alertmanager documentation, "Configuration", "Alertmanager"; behaviour of Alertmanager 0.25.

mod dispatch;
mod event;
mod group;
mod inhibit;
mod interval;
mod log;
mod matchers;
mod order;
mod retry;
mod route;
mod silence;

#[cfg(test)]
mod dispatch_tests;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::labels::Labels;

pub use dispatch::{Dispatcher, Limits, Posted, Refused};
pub use event::{AlertEvent, Prolonged, Told};
pub use group::{Acknowledgement, Group, Mutes};
pub use inhibit::Inhibition;
pub use interval::{DayOfMonth, Span, TimeInterval};
pub use log::{Cause, Notification, NotificationKey};
pub use matchers::{MatcherError, matcher, matchers, written};
pub use order::sorted;
pub use retry::{Attempt, Failure, Retry};
pub use route::{GroupBy, Integration, Receiver, Route, Routing};
pub use silence::{Silence, SilenceError, SilenceState};

/// The label that holds an alert's name.
pub const ALERT_NAME: &str = "alertname";

/// One alert as it was last heard of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// What it is: two alerts with the same labels are the same.
    pub labels: Labels,
    /// What people are told.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Since when it fires.
    pub starts_at: Timestamp,
    /// When it ended, or will have if nobody says anything more.
    pub ends_at: Timestamp,
    /// Whether its sender left the end open, so that `ends_at` is our own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub timeout: bool,
    /// When it was last heard of.
    pub updated_at: Timestamp,
    /// Where it can be looked at.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub generator_url: String,
}

impl Alert {
    /// What it is known by in the API and in records.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.labels)
    }

    /// Its name, if it has one.
    pub fn name(&self) -> &str {
        self.labels.get(ALERT_NAME)
    }

    /// Whether it ends, or ended, by then.
    pub fn has_ended(&self, at: Timestamp) -> bool {
        self.ends_at <= at
    }

    /// What is known after both: `newer` came later than this. The earlier start holds if they are one stretch of time.
    #[must_use]
    pub fn merged(&self, newer: Self, now: Timestamp) -> Self {
        let overlap = (newer.ends_at > self.starts_at && newer.ends_at < self.ends_at)
            || (newer.starts_at > self.starts_at && newer.starts_at < self.ends_at);
        if !overlap {
            return newer;
        }
        let later_end = match (newer.has_ended(now), self.has_ended(now)) {
            // Both have ended: the last word on when holds.
            (true, true) => self.ends_at > newer.ends_at,
            (true, false) => false,
            // An end that was said goes before one that we made up.
            (false, _) => self.ends_at > newer.ends_at && !self.timeout,
        };
        let starts_at = newer.starts_at.min(self.starts_at);
        let ends_at = if later_end { self.ends_at } else { newer.ends_at };
        Self { starts_at, ends_at, ..newer }
    }
}

/// What an alert is known by: a hash of its labels, the same that Alertmanager shows.
///
/// FNV-1a with 64 bits over names and values, each followed by a byte that no text in UTF-8 holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(u64);

impl Fingerprint {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    const SEPARATOR: u8 = 0xff;

    /// Of a set of labels.
    pub fn of(labels: &Labels) -> Self {
        let texts = labels.iter().flat_map(|label| [&label.name, &label.value]);
        let bytes = texts.flat_map(|text| text.bytes().chain([Self::SEPARATOR]));
        Self(bytes.fold(Self::OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(Self::PRIME)))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Fingerprint {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = std::num::ParseIntError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> String {
        fingerprint.to_string()
    }
}
