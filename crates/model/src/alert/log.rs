//! What each receiver was told last of each group, and whether it has to be told now.
//!
//! This is what keeps a restart, a reload and every flush from telling the same thing again. Source: Alertmanager 0.25,
//! notification log and deduplication.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Alert, Fingerprint};
use crate::labels::Labels;

/// One way of telling one receiver about one group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NotificationKey {
    /// The group's key.
    pub group: String,
    /// The receiver's name.
    pub receiver: String,
    /// The integration's name, such as `webhook/0`.
    pub integration: String,
}

/// Why somebody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Nothing was told of the group before.
    First,
    /// There are alerts that were not told of.
    Changed,
    /// Alerts have ended.
    Resolved,
    /// Nothing has changed for as long as `repeat_interval`.
    Repeat,
}

/// What is to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Notification {
    /// To whom, and of what.
    pub key: NotificationKey,
    /// Why.
    pub cause: Cause,
    /// The labels that the group is named by.
    pub group_labels: Labels,
    /// The alerts to tell of, in order, and whether each fires.
    pub alerts: Vec<(Alert, bool)>,
    /// When it was decided.
    pub at: Timestamp,
    /// When trying to send it ends: the group is looked at again then.
    pub give_up_at: Timestamp,
    /// All firing alerts of the group that are not kept quiet.
    pub firing: BTreeSet<Fingerprint>,
    /// All that have ended.
    pub resolved: BTreeSet<Fingerprint>,
}

/// What was told last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) firing: BTreeSet<Fingerprint>,
    pub(super) resolved: BTreeSet<Fingerprint>,
    pub(super) at: Timestamp,
    /// From when on it may be forgotten, once the group is gone.
    pub(super) until: Timestamp,
}

/// What is known when a group is looked at.
pub(super) struct Now<'a> {
    pub(super) firing: &'a BTreeSet<Fingerprint>,
    pub(super) resolved: &'a BTreeSet<Fingerprint>,
    pub(super) send_resolved: bool,
    pub(super) repeat_interval: SignedDuration,
    pub(super) is_acknowledged: bool,
    pub(super) at: Timestamp,
}

/// Why somebody has to be told now, if they have to.
pub(super) fn cause(entry: Option<&Entry>, now: &Now<'_>) -> Option<Cause> {
    let Some(entry) = entry else {
        // Of what began and ended between two looks nobody needs to know.
        return (!now.firing.is_empty()).then_some(Cause::First);
    };
    if !now.firing.is_subset(&entry.firing) {
        return Some(Cause::Changed);
    }
    if now.firing.is_empty() {
        return (!entry.firing.is_empty()).then_some(Cause::Resolved);
    }
    if now.send_resolved && !now.resolved.is_subset(&entry.resolved) {
        return Some(Cause::Resolved);
    }
    let is_due = entry.at.saturating_add(now.repeat_interval).is_ok_and(|due| due <= now.at);
    (is_due && !now.is_acknowledged).then_some(Cause::Repeat)
}

/// The last word to each receiver.
#[derive(Debug, Clone, Default)]
pub(super) struct Log {
    entries: BTreeMap<NotificationKey, Entry>,
    by_end: BTreeSet<(Timestamp, NotificationKey)>,
}

impl Log {
    pub(super) fn get(&self, key: &NotificationKey) -> Option<&Entry> {
        self.entries.get(key)
    }

    pub(super) fn insert(&mut self, key: NotificationKey, entry: Entry) {
        self.by_end.insert((entry.until, key.clone()));
        if let Some(old) = self.entries.insert(key.clone(), entry)
            && self.entries.get(&key).is_some_and(|new| new.until != old.until)
        {
            self.by_end.remove(&(old.until, key));
        }
    }

    /// Forgets what nobody asks for any more: of groups that are gone, after twice the time in which they are repeated.
    pub(super) fn sweep(&mut self, at: Timestamp, is_there: impl Fn(&str) -> bool) {
        while let Some((until, key)) = self.by_end.first().filter(|(until, _)| *until <= at).cloned() {
            self.by_end.remove(&(until, key.clone()));
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            if is_there(&key.group) {
                // Looked at again later; the group may live for as long as its alerts do.
                entry.until = at.saturating_add(SignedDuration::from_hours(24)).unwrap_or(Timestamp::MAX);
                self.by_end.insert((entry.until, key));
            } else {
                self.entries.remove(&key);
            }
        }
    }
}
