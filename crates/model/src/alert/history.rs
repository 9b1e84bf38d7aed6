//! How alerts have behaved: how often and how long each fired, and what people did about it, from the journal's facts.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{ALERT_NAME, AlertEvent, Fingerprint};
use crate::oncall::PageFact;
use crate::oncall::page::PageEvent;

/// A stretch of firing that is shorter is a flap: nobody could have done anything about it.
const FLAP_MAX: SignedDuration = SignedDuration::from_mins(5);

/// How one alert has behaved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behaviour {
    /// How often it began to fire, each set of labels by itself.
    pub fired: u64,
    /// For how long some set of its labels fired, in seconds.
    pub firing_seconds: u64,
    /// Stretches of firing that were over within five minutes.
    pub flaps: u64,
    /// Pages that it opened, tests apart.
    pub pages: u64,
    /// Of these, the ones that somebody took.
    pub taken: u64,
    /// Of these, the ones that were over by themselves, before anybody took them.
    pub passed: u64,
    /// Pages that somebody called useful.
    pub useful: u64,
    /// Pages that somebody called noise.
    pub noise: u64,
}

/// How alerts have behaved in a stretch of time. Folds facts in the order in which they were recorded.
#[derive(Debug, Clone)]
pub struct History {
    from: Timestamp,
    by_name: BTreeMap<String, Behaviour>,
    /// Since when each set of labels fires.
    firing: BTreeMap<Fingerprint, (String, Timestamp)>,
    /// How many sets of labels of a name fire, and since when some do.
    some: BTreeMap<String, (u64, Timestamp)>,
    /// The alert of each page, and whether somebody took it.
    pages: BTreeMap<crate::oncall::PageId, (String, bool)>,
}

impl History {
    /// From a time on; what happened before is only followed, not counted.
    pub fn since(from: Timestamp) -> Self {
        Self { from, by_name: BTreeMap::new(), firing: BTreeMap::new(), some: BTreeMap::new(), pages: BTreeMap::new() }
    }

    /// Takes a fact about alerts in.
    pub fn alerts(&mut self, fact: &AlertEvent, at: Timestamp) {
        match fact {
            AlertEvent::Received { alerts } => {
                for alert in alerts {
                    if alert.has_ended(at) {
                        self.ended(alert.fingerprint(), alert.ends_at.min(at));
                    } else {
                        self.began(alert.fingerprint(), alert.name(), at);
                    }
                }
            }
            AlertEvent::RanOut { alerts } => alerts.iter().for_each(|alert| self.ended(*alert, at)),
            AlertEvent::Prolonged { .. }
            | AlertEvent::SilenceSet(_)
            | AlertEvent::SilenceEnded { .. }
            | AlertEvent::Acknowledged { .. }
            | AlertEvent::AcknowledgementWithdrawn { .. }
            | AlertEvent::Flushed { .. }
            | AlertEvent::Sent(_)
            | AlertEvent::Failed { .. }
            | AlertEvent::Resumed => {}
        }
    }

    fn began(&mut self, alert: Fingerprint, name: &str, at: Timestamp) {
        if self.firing.contains_key(&alert) {
            return;
        }
        self.firing.insert(alert, (name.to_owned(), at));
        self.some.entry(name.to_owned()).or_insert((0, at)).0 += 1;
        if at >= self.from {
            self.by_name.entry(name.to_owned()).or_default().fired += 1;
        }
    }

    fn ended(&mut self, alert: Fingerprint, at: Timestamp) {
        let Some((name, since)) = self.firing.remove(&alert) else { return };
        let Some((left, some_since)) = self.some.get_mut(&name) else { return };
        *left = left.saturating_sub(1);
        let over = (*left == 0).then_some(*some_since);
        if over.is_some() {
            self.some.remove(&name);
        }
        if at < self.from {
            return;
        }
        let behaviour = self.by_name.entry(name).or_default();
        behaviour.flaps += u64::from(at.duration_since(since) < FLAP_MAX);
        behaviour.firing_seconds += over.map_or(0, |since| seconds(since.max(self.from), at));
    }

    /// Takes a fact about pages in.
    pub fn pages(&mut self, fact: &PageFact, at: Timestamp) {
        if let PageEvent::Opened(about) = &fact.event {
            let name = about.alerts.first().map(|alert| alert.labels.get(ALERT_NAME)).unwrap_or_default();
            if at >= self.from && !about.test && !name.is_empty() {
                self.by_name.entry(name.to_owned()).or_default().pages += 1;
                self.pages.insert(fact.page, (name.to_owned(), false));
            }
            return;
        }
        let Some((name, taken)) = self.pages.get_mut(&fact.page) else { return };
        let behaviour = self.by_name.entry(name.clone()).or_default();
        match &fact.event {
            PageEvent::Acknowledged { .. } | PageEvent::Snoozed { .. } if !*taken => {
                *taken = true;
                behaviour.taken += 1;
            }
            PageEvent::Resolved { .. } if !*taken => behaviour.passed += 1,
            PageEvent::Rated { useful: true, .. } => behaviour.useful += 1,
            PageEvent::Rated { useful: false, .. } => behaviour.noise += 1,
            PageEvent::Opened(_)
            | PageEvent::Changed { .. }
            | PageEvent::Told { .. }
            | PageEvent::Reached { .. }
            | PageEvent::Missed { .. }
            | PageEvent::StepTaken { .. }
            | PageEvent::Escalated { .. }
            | PageEvent::Deferred { .. }
            | PageEvent::QuietEnded
            | PageEvent::Exhausted
            | PageEvent::Acknowledged { .. }
            | PageEvent::Snoozed { .. }
            | PageEvent::Awoke
            | PageEvent::EndTold { .. }
            | PageEvent::Resolved { .. } => {}
        }
    }

    /// By the alerts' names, until now. What still fires counts until then.
    pub fn behaviours(mut self, now: Timestamp) -> BTreeMap<String, Behaviour> {
        for (name, (_, since)) in std::mem::take(&mut self.some) {
            self.by_name.entry(name).or_default().firing_seconds += seconds(since.max(self.from), now);
        }
        self.by_name
    }
}

fn seconds(from: Timestamp, until: Timestamp) -> u64 {
    u64::try_from(until.duration_since(from).as_secs()).unwrap_or(0)
}
