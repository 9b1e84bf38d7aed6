//! Silences: people keep alerts quiet for a while, and say why.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Fingerprint;
use crate::labels::Labels;
use crate::matcher::Matcher;

/// How long nothing that a silence matches may have fired before one that ends with its alerts does: an alert that is gone
/// for a moment must not come back loud.
pub(super) const SETTLE: SignedDuration = SignedDuration::from_mins(5);

/// How long a silence is remembered after its end, as in Alertmanager.
pub(super) const KEPT: SignedDuration = SignedDuration::from_hours(120);

/// A silence as people set it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Silence {
    /// What it is known by.
    pub id: String,
    /// The alerts that all of these accept are quiet.
    pub matchers: Vec<Matcher>,
    /// From when on.
    pub starts_at: Timestamp,
    /// Until when at the latest.
    pub ends_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Who set it.
    pub created_by: String,
    /// Why.
    pub comment: String,
    /// Whether it also ends once alerts that it matched have all ended, for five minutes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ends_with_alerts: bool,
}

/// Where a silence stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SilenceState {
    /// It has not begun.
    Pending,
    /// It keeps alerts quiet.
    Active,
    /// It is over.
    Expired,
}

/// Why a silence can't be set or ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SilenceError {
    /// There is none of this id.
    #[error("there is no silence {0:?}")]
    NotFound(String),
    /// It is over already.
    #[error("silence {0:?} has ended already")]
    Expired(String),
    /// It would match any alert, also one without labels.
    #[error("a silence needs a matcher that does not accept an empty value, or it would silence everything")]
    Everything,
    /// It would end before it begins, or has ended already.
    #[error("a silence must end after it begins and after now")]
    Times,
    /// There are too many.
    #[error("there are {0} silences, which is as many as are kept: end some that are not needed")]
    TooMany(usize),
}

impl Silence {
    /// Where it stands at a time.
    pub fn state(&self, at: Timestamp) -> SilenceState {
        if at >= self.ends_at {
            SilenceState::Expired
        } else if at < self.starts_at {
            SilenceState::Pending
        } else {
            SilenceState::Active
        }
    }

    /// Whether it is about an alert with these labels.
    pub fn matches(&self, labels: &Labels) -> bool {
        Matcher::accept_all(&self.matchers, labels)
    }

    /// Whether it can be set at a time.
    pub(super) fn check(&self, now: Timestamp) -> Result<(), SilenceError> {
        if self.matchers.iter().all(|matcher| matcher.accepts("")) {
            return Err(SilenceError::Everything);
        }
        if self.ends_at <= self.starts_at || self.ends_at <= now {
            return Err(SilenceError::Times);
        }
        Ok(())
    }

    /// Whether another may take its place under the same id: what it is about and what has passed stay.
    pub(super) fn can_become(&self, other: &Self, now: Timestamp) -> bool {
        let begins_alike = match self.state(now) {
            SilenceState::Expired => return false,
            SilenceState::Active => self.starts_at.as_second() == other.starts_at.as_second(),
            SilenceState::Pending => other.starts_at >= now,
        };
        self.matchers == other.matchers && begins_alike && other.ends_at >= now
    }

    /// The same, ended now; one that has not begun never will.
    #[must_use]
    pub(super) fn ended(&self, now: Timestamp) -> Self {
        Self { starts_at: self.starts_at.min(now), ends_at: now, updated_at: now, ..self.clone() }
    }
}

/// A silence and what it has seen.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Watched {
    pub(super) silence: Silence,
    matched: BTreeSet<Fingerprint>,
    pub(super) idle_since: Option<Timestamp>,
}

impl Watched {
    pub(super) fn new(silence: Silence, firing: impl Iterator<Item = (Fingerprint, Labels)>) -> Self {
        let ends = silence.ends_with_alerts;
        let about = firing.filter(|(_, labels)| ends && silence.matches(labels));
        let matched = about.map(|(fingerprint, _)| fingerprint).collect();
        Self { silence, matched, idle_since: None }
    }

    /// An alert began to fire.
    pub(super) fn fires(&mut self, fingerprint: Fingerprint, labels: &Labels) {
        if self.silence.ends_with_alerts && self.silence.matches(labels) {
            self.matched.insert(fingerprint);
            self.idle_since = None;
        }
    }

    /// An alert does not fire any more.
    pub(super) fn ends(&mut self, fingerprint: Fingerprint, at: Timestamp) {
        if self.matched.remove(&fingerprint) && self.matched.is_empty() {
            self.idle_since = Some(at);
        }
    }

    /// When it ends by itself for want of alerts, as far as is known now.
    pub(super) fn ends_idle_at(&self) -> Option<Timestamp> {
        let due = self.idle_since?.saturating_add(SETTLE).ok()?.max(self.silence.starts_at);
        (due < self.silence.ends_at).then_some(due)
    }
}
