//! What is posted: taken in, merged with what is known, and put into groups.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{Dispatcher, ENDED_KEPT, GroupId, Known, later};
use crate::alert::event::{AlertEvent, Prolonged};
use crate::alert::group::{self, Group};
use crate::alert::silence::{Silence, SilenceError, SilenceState};
use crate::alert::{Alert, Fingerprint};
use crate::labels::Labels;

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many alerts, those included that have ended and of which somebody has still to be told.
    pub alerts: usize,
    /// How many silences, those included that are over.
    pub silences: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { alerts: 100_000, silences: 10_000 }
    }
}

/// Why alerts are not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There would be too many.
    #[error("there would be {found} alerts, more than the {limit} that are kept: end some, or give them fewer labels")]
    TooMany {
        /// How many there would be.
        found: usize,
        /// The limit.
        limit: usize,
    },
}

/// An alert as its sender has it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Posted {
    /// What it is.
    pub labels: Labels,
    /// What people are told.
    pub annotations: BTreeMap<String, String>,
    /// When it began; if not said, now.
    pub starts_at: Option<Timestamp>,
    /// When it ended or will; if not said, `resolve_timeout` from now.
    pub ends_at: Option<Timestamp>,
    /// Where it can be looked at.
    pub generator_url: String,
}

impl Dispatcher {
    /// The facts that follow from a post.
    pub fn receive(&self, posted: Vec<Posted>, now: Timestamp) -> Result<Vec<AlertEvent>, Refused> {
        let mut latest: BTreeMap<Fingerprint, Alert> = BTreeMap::new();
        for alert in posted {
            let alert = self.dated(alert, now);
            let fingerprint = alert.fingerprint();
            let known = latest.get(&fingerprint).or_else(|| self.alerts.get(&fingerprint).map(|known| &known.alert));
            let merged = known.map(|known| known.merged(alert.clone(), now));
            latest.insert(fingerprint, merged.unwrap_or(alert));
        }
        let new = latest.keys().filter(|fingerprint| !self.alerts.contains_key(fingerprint)).count();
        let (found, limit) = (self.alerts.len() + new, self.limits.alerts);
        if new > 0 && found > limit {
            return Err(Refused::TooMany { found, limit });
        }
        let (mut alerts, mut prolonged) = (Vec::new(), Vec::new());
        for (fingerprint, alert) in latest {
            if self.is_news(fingerprint, &alert, now) {
                alerts.push(alert);
            } else {
                let Alert { ends_at, timeout, updated_at, .. } = alert;
                prolonged.push(Prolonged { fingerprint, ends_at, timeout, updated_at });
            }
        }
        let received = (!alerts.is_empty()).then_some(AlertEvent::Received { alerts });
        let prolonged = (!prolonged.is_empty()).then_some(AlertEvent::Prolonged { alerts: prolonged });
        Ok(received.into_iter().chain(prolonged).collect())
    }

    fn dated(&self, posted: Posted, now: Timestamp) -> Alert {
        let Posted { labels, annotations, starts_at, ends_at, generator_url } = posted;
        let starts_at = starts_at.or(ends_at).unwrap_or(now);
        let timeout = ends_at.is_none();
        let ends_at = ends_at.unwrap_or_else(|| later(now, self.routing.resolve_timeout));
        Alert { labels, annotations, starts_at, ends_at, timeout, updated_at: now, generator_url }
    }

    /// Whether it says more than that a known alert goes on firing.
    fn is_news(&self, fingerprint: Fingerprint, alert: &Alert, now: Timestamp) -> bool {
        let Some(known) = self.alerts.get(&fingerprint) else { return true };
        let before = &known.alert;
        alert.has_ended(now)
            || !known.fires
            || before.annotations != alert.annotations
            || before.starts_at != alert.starts_at
            || before.generator_url != alert.generator_url
    }

    /// The facts that follow from setting a silence, and the id that it has then. A changed silence keeps its id where
    /// what it is about stays the same; else the old one ends and there is a new one.
    pub fn set_silence(
        &self,
        asked: Silence,
        new_id: &str,
        now: Timestamp,
    ) -> Result<(String, Vec<AlertEvent>), SilenceError> {
        let mut silence = Silence { updated_at: now, ..asked };
        let mut facts = Vec::new();
        if silence.id.is_empty() {
            new_id.clone_into(&mut silence.id);
        } else {
            let known = self.silences.get(&silence.id).map(|watched| &watched.silence);
            let known = known.ok_or_else(|| SilenceError::NotFound(silence.id.clone()))?;
            if !known.can_become(&silence, now) {
                if known.state(now) != SilenceState::Expired {
                    facts.push(AlertEvent::SilenceEnded { id: known.id.clone(), with_alerts: false });
                }
                new_id.clone_into(&mut silence.id);
            }
        }
        let is_new = !self.silences.contains_key(&silence.id);
        if is_new {
            silence.starts_at = silence.starts_at.max(now);
        }
        silence.check(now)?;
        if is_new && self.silences.len() >= self.limits.silences {
            return Err(SilenceError::TooMany(self.silences.len()));
        }
        let id = silence.id.clone();
        facts.push(AlertEvent::SilenceSet(silence));
        Ok((id, facts))
    }

    /// The fact that follows from ending a silence.
    pub fn end_silence(&self, id: &str, now: Timestamp) -> Result<AlertEvent, SilenceError> {
        let watched = self.silences.get(id).ok_or_else(|| SilenceError::NotFound(id.to_owned()))?;
        if watched.silence.state(now) == SilenceState::Expired {
            return Err(SilenceError::Expired(id.to_owned()));
        }
        Ok(AlertEvent::SilenceEnded { id: id.to_owned(), with_alerts: false })
    }

    pub(super) fn take(&mut self, alert: Alert, at: Timestamp) {
        let fingerprint = alert.fingerprint();
        let fires = !alert.has_ended(at);
        let before = self.alerts.remove(&fingerprint);
        if let Some(known) = &before {
            self.ends.remove(&(known.alert.ends_at, fingerprint));
            self.ended.remove(&(later(known.alert.ends_at, ENDED_KEPT), fingerprint));
        }
        let did_fire = before.is_some_and(|known| known.fires);
        if fires {
            self.ends.insert((alert.ends_at, fingerprint));
        } else {
            self.ended.insert((later(alert.ends_at, ENDED_KEPT), fingerprint));
        }
        if fires && !did_fire {
            self.inhibitor.insert(fingerprint, &alert.labels);
            self.silences.values_mut().for_each(|watched| watched.fires(fingerprint, &alert.labels));
        }
        if did_fire && !fires {
            self.inhibitor.remove(fingerprint, &alert.labels);
            self.silences.values_mut().for_each(|watched| watched.ends(fingerprint, at));
        }
        let groups = self.join_groups(fingerprint, &alert, fires, at);
        self.alerts.insert(fingerprint, Known { alert, fires, groups });
    }

    pub(super) fn prolong(&mut self, prolonged: &Prolonged) {
        let Some(known) = self.alerts.get_mut(&prolonged.fingerprint).filter(|known| known.fires) else { return };
        self.ends.remove(&(known.alert.ends_at, prolonged.fingerprint));
        known.alert.ends_at = prolonged.ends_at;
        known.alert.timeout = prolonged.timeout;
        known.alert.updated_at = prolonged.updated_at;
        self.ends.insert((prolonged.ends_at, prolonged.fingerprint));
    }

    pub(super) fn run_out(&mut self, fingerprint: Fingerprint, at: Timestamp) {
        let Some(known) = self.alerts.get(&fingerprint).filter(|known| known.fires) else { return };
        let ends_at = known.alert.ends_at.min(at);
        let alert = Alert { ends_at, ..known.alert.clone() };
        self.take(alert, at);
    }

    /// Puts an alert into its groups, which are made where there are none.
    pub(super) fn join_groups(
        &mut self,
        fingerprint: Fingerprint,
        alert: &Alert,
        fires: bool,
        at: Timestamp,
    ) -> Vec<GroupId> {
        let routes = self.tree.matching(&alert.labels);
        let mut ids = Vec::with_capacity(routes.len());
        for route in routes {
            let Some(id) = self.group_for(route, &alert.labels, at) else { continue };
            let Some(group) = self.groups.get_mut(&id) else { continue };
            let (is_in, is_not_in) =
                if fires { (&mut group.firing, &mut group.ended) } else { (&mut group.ended, &mut group.firing) };
            is_in.insert(fingerprint);
            is_not_in.remove(&fingerprint);
            if group.firing.is_empty() {
                self.acknowledged.remove(&group.key);
            }
            // One that has fired for long enough elsewhere waits no longer here.
            let wait = self.tree.get(route).map(|placed| placed.route.group_wait).unwrap_or_default();
            if !group.has_flushed && later(alert.starts_at, wait) < at && group.flush_at > at {
                self.reschedule(&id, at, false);
            }
            ids.push(id);
        }
        ids
    }

    fn group_for(&mut self, route: usize, labels: &Labels, at: Timestamp) -> Option<GroupId> {
        let placed = self.tree.get(route)?;
        let named_by = placed.route.group_by.labels(labels);
        let id = (route, named_by);
        let wait = placed.route.group_wait;
        // After a restart there may be a group that would have been looked at and found empty: it begins anew.
        let is_over = |group: &Group| group.firing.is_empty() && group.outstanding.is_empty() && group.flush_at <= at;
        if self.groups.get(&id).is_some_and(is_over) {
            self.reschedule(&id, later(at, wait), false);
            return Some(id);
        }
        if !self.groups.contains_key(&id) {
            let group = Group {
                route,
                labels: id.1.clone(),
                key: group::key(&placed.key, &id.1),
                receiver: placed.route.receiver.clone(),
                firing: BTreeSet::new(),
                ended: BTreeSet::new(),
                flush_at: later(at, wait),
                has_flushed: false,
                outstanding: BTreeMap::new(),
                has_failed: false,
            };
            self.due.insert((group.flush_at, id.clone()));
            self.by_key.entry(group.key.clone()).or_default().insert(id.clone());
            self.groups.insert(id.clone(), group);
        }
        Some(id)
    }
}
