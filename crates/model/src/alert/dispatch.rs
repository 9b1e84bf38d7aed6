//! The state machine: all alerts, silences and groups, and what every receiver knows.
//!
//! Invariant: everything here is the fold of [`AlertEvent`]s. What is recorded of them is enough to go on after a restart:
//! alerts fire until it is recorded that they do not, so inhibition is known before the first group is looked at, and the
//! log of what was told keeps anybody from being told twice. When groups are looked at need not be recorded; one that was
//! due meanwhile is looked at right away.

mod decide;
mod take;
mod views;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::event::{AlertEvent, Told};
use super::group::{Acknowledgement, Group};
use super::inhibit::Inhibitor;
use super::log::{Entry, Log, Notification, NotificationKey};
use super::route::{Routing, Tree};
use super::silence::{self, SilenceState, Watched};
use super::{Alert, Fingerprint};
use crate::labels::Labels;

pub use take::{Limits, Posted, Refused};

/// How long an alert that has ended is kept for receivers that could not be told.
const ENDED_KEPT: SignedDuration = SignedDuration::from_hours(24);

/// A route and the labels that name a group of it.
type GroupId = (usize, Labels);

/// An alert, whether it fires, and where it is told of.
#[derive(Debug, Clone)]
struct Known {
    alert: Alert,
    fires: bool,
    groups: Vec<GroupId>,
}

/// All of it.
#[derive(Debug, Clone)]
pub struct Dispatcher {
    routing: Arc<Routing>,
    tree: Tree,
    limits: Limits,
    alerts: BTreeMap<Fingerprint, Known>,
    /// Those that fire, by when they end if nobody says anything more.
    ends: BTreeSet<(Timestamp, Fingerprint)>,
    /// Those that have ended, by when they are forgotten at the latest.
    ended: BTreeSet<(Timestamp, Fingerprint)>,
    inhibitor: Inhibitor,
    silences: BTreeMap<String, Watched>,
    groups: BTreeMap<GroupId, Group>,
    due: BTreeSet<(Timestamp, GroupId)>,
    by_key: BTreeMap<String, BTreeSet<GroupId>>,
    acknowledged: BTreeMap<String, Acknowledgement>,
    outstanding: BTreeMap<NotificationKey, Notification>,
    log: Log,
}

/// A time so much later; the last one there is where that would be past it.
fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}

impl Dispatcher {
    /// Nothing known yet.
    pub fn new(routing: Routing, limits: Limits) -> Self {
        Self {
            tree: Tree::new(&routing.root),
            inhibitor: Inhibitor::new(&routing.inhibitions),
            routing: Arc::new(routing),
            limits,
            alerts: BTreeMap::new(),
            ends: BTreeSet::new(),
            ended: BTreeSet::new(),
            silences: BTreeMap::new(),
            groups: BTreeMap::new(),
            due: BTreeSet::new(),
            by_key: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            outstanding: BTreeMap::new(),
            log: Log::default(),
        }
    }

    /// The state after a fact. Total: a fact about what is not there changes nothing.
    pub fn apply(&mut self, event: &AlertEvent, at: Timestamp) {
        match event {
            AlertEvent::Received { alerts } => alerts.iter().for_each(|alert| self.take(alert.clone(), at)),
            AlertEvent::Prolonged { alerts } => alerts.iter().for_each(|one| self.prolong(one)),
            AlertEvent::RanOut { alerts } => alerts.iter().for_each(|alert| self.run_out(*alert, at)),
            AlertEvent::SilenceSet(silence) => {
                let kept_since = at.saturating_sub(silence::KEPT).unwrap_or(Timestamp::MIN);
                self.silences.retain(|_, watched| watched.silence.ends_at > kept_since);
                let firing = self.alerts.iter().filter(|(_, known)| known.fires);
                let firing = firing.map(|(fingerprint, known)| (*fingerprint, known.alert.labels.clone()));
                let watched = Watched::new(silence.clone(), firing);
                self.silences.insert(silence.id.clone(), watched);
            }
            AlertEvent::SilenceEnded { id, .. } => {
                if let Some(watched) = self.silences.get_mut(id)
                    && watched.silence.state(at) != SilenceState::Expired
                {
                    watched.silence = watched.silence.ended(at);
                }
            }
            AlertEvent::Acknowledged { group, by, comment } => {
                let is_firing = self.groups_of(group).any(|group| !group.firing.is_empty());
                if is_firing {
                    let taken = Acknowledgement { by: by.clone(), comment: comment.clone(), at };
                    self.acknowledged.insert(group.clone(), taken);
                }
            }
            AlertEvent::AcknowledgementWithdrawn { group, .. } => {
                self.acknowledged.remove(group);
            }
            AlertEvent::Flushed { route, labels } => self.flush(&(*route, labels.clone()), at),
            AlertEvent::Sent(told) => self.told(told),
            AlertEvent::Failed { key, .. } => self.finished(key, true),
            AlertEvent::Resumed => self.resume(at),
        }
        self.sweep(at);
    }

    /// Decides by another configuration from now on. Groups that are in both keep their rhythm; what is being sent to
    /// receivers is left to end.
    pub fn reconfigure(&mut self, routing: Routing, at: Timestamp) {
        let before = std::mem::replace(self, Self::new(routing, self.limits));
        self.silences = before.silences;
        self.acknowledged = before.acknowledged;
        self.log = before.log;
        self.ended = before.ended;
        for (fingerprint, known) in before.alerts {
            if known.fires {
                self.inhibitor.insert(fingerprint, &known.alert.labels);
                self.ends.insert((known.alert.ends_at, fingerprint));
            }
            let groups = self.join_groups(fingerprint, &known.alert, known.fires, at);
            self.alerts.insert(fingerprint, Known { groups, ..known });
        }
        for old in before.groups.into_values() {
            for id in self.by_key.get(&old.key).cloned().unwrap_or_default() {
                self.reschedule(&id, old.flush_at, old.has_flushed);
            }
        }
    }

    /// After a time in which nobody could say that alerts go on, their senders get time to do so.
    fn resume(&mut self, at: Timestamp) {
        let patience = later(at, self.routing.resolve_timeout);
        self.ends.clear();
        for (fingerprint, known) in self.alerts.iter_mut().filter(|(_, known)| known.fires) {
            known.alert.ends_at = known.alert.ends_at.max(patience);
            self.ends.insert((known.alert.ends_at, *fingerprint));
        }
    }

    /// Looks at a group: what has to be told is outstanding from now on, and it is looked at again after its interval.
    fn flush(&mut self, id: &GroupId, at: Timestamp) {
        let Some(group) = self.groups.get(id) else { return };
        if group.firing.is_empty() && group.ended.is_empty() && group.outstanding.is_empty() {
            self.remove_group(id);
            return;
        }
        let (notifications, _) = self.look(id, group, at);
        let ended = group.ended.clone();
        let interval = self.tree.get(id.0).map(|placed| placed.route.group_interval).unwrap_or_default();
        self.reschedule(id, later(at, interval), true);
        let Some(group) = self.groups.get_mut(id) else { return };
        for notification in notifications {
            group.outstanding.insert(notification.key.integration.clone(), ended.clone());
            self.outstanding.insert(notification.key.clone(), notification);
        }
        if group.outstanding.is_empty() {
            self.leave_group(id, &ended);
        }
    }

    /// A receiver knows more than before.
    fn told(&mut self, told: &Told) {
        let entry = Entry {
            firing: told.firing.clone(),
            resolved: told.resolved.clone(),
            at: told.decided_at,
            until: told.until,
        };
        self.log.insert(told.key.clone(), entry);
        // When this is read again after a restart, nothing says that the group was looked at but this.
        for id in self.by_key.get(&told.key.group).cloned().unwrap_or_default() {
            let interval = self.tree.get(id.0).map(|placed| placed.route.group_interval).unwrap_or_default();
            let next = self.groups.get(&id).map(|group| group.flush_at.max(later(told.decided_at, interval)));
            if let Some(next) = next {
                self.reschedule(&id, next, true);
            }
        }
        if told.cause.is_some() {
            self.finished(&told.key, false);
        }
    }

    /// A notification is no longer outstanding. Once none of a look is, and none failed, what has ended is no longer needed.
    fn finished(&mut self, key: &NotificationKey, failed: bool) {
        self.outstanding.remove(key);
        for id in self.by_key.get(&key.group).cloned().unwrap_or_default() {
            let Some(group) = self.groups.get_mut(&id) else { continue };
            let Some(ended) = group.outstanding.remove(&key.integration) else { continue };
            group.has_failed |= failed;
            if group.outstanding.is_empty() && !std::mem::take(&mut group.has_failed) {
                self.leave_group(&id, &ended);
            }
        }
    }

    fn reschedule(&mut self, id: &GroupId, flush_at: Timestamp, has_flushed: bool) {
        let Some(group) = self.groups.get_mut(id) else { return };
        self.due.remove(&(group.flush_at, id.clone()));
        (group.flush_at, group.has_flushed) = (flush_at, has_flushed);
        self.due.insert((flush_at, id.clone()));
    }

    /// Takes alerts that have ended out of a group, and forgets those that nobody needs any more.
    fn leave_group(&mut self, id: &GroupId, ended: &BTreeSet<Fingerprint>) {
        let Some(group) = self.groups.get_mut(id) else { return };
        for fingerprint in ended.iter().filter(|fingerprint| group.ended.remove(fingerprint)) {
            let Some(known) = self.alerts.get_mut(fingerprint) else { continue };
            known.groups.retain(|other| other != id);
            if known.groups.is_empty() && !known.fires {
                self.ended.remove(&(later(known.alert.ends_at, ENDED_KEPT), *fingerprint));
                self.alerts.remove(fingerprint);
            }
        }
    }

    fn remove_group(&mut self, id: &GroupId) {
        let Some(group) = self.groups.remove(id) else { return };
        self.due.remove(&(group.flush_at, id.clone()));
        if let Some(ids) = self.by_key.get_mut(&group.key) {
            ids.remove(id);
            if ids.is_empty() {
                self.by_key.remove(&group.key);
                self.acknowledged.remove(&group.key);
            }
        }
    }

    /// Forgets what was kept only for receivers that could not be told for a day, and words to groups that are gone.
    fn sweep(&mut self, at: Timestamp) {
        while let Some((_, fingerprint)) = self.ended.pop_first_due(at) {
            let ids = self.alerts.get(&fingerprint).map(|known| known.groups.clone()).unwrap_or_default();
            for id in ids {
                self.leave_group(&id, &BTreeSet::from([fingerprint]));
                let is_idle = |group: &Group| group.firing.is_empty() && group.ended.is_empty() && group.flush_at <= at;
                if self.groups.get(&id).is_some_and(is_idle) {
                    self.remove_group(&id);
                }
            }
        }
        let by_key = &self.by_key;
        self.log.sweep(at, |group| by_key.contains_key(group));
    }

    fn groups_of(&self, key: &str) -> impl Iterator<Item = &Group> {
        self.by_key.get(key).into_iter().flatten().filter_map(|id| self.groups.get(id))
    }
}

/// A set ordered by time, of which what is due is taken.
trait PopDue {
    /// The first, if its time has come.
    fn pop_first_due(&mut self, at: Timestamp) -> Option<(Timestamp, Fingerprint)>;
}

impl PopDue for BTreeSet<(Timestamp, Fingerprint)> {
    fn pop_first_due(&mut self, at: Timestamp) -> Option<(Timestamp, Fingerprint)> {
        let first = self.first().copied().filter(|(due, _)| *due <= at)?;
        self.remove(&first);
        Some(first)
    }
}
