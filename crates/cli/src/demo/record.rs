//! What was found out while the story was told; expectations and the summary are made from this alone.

use std::collections::BTreeMap;

use prograde_model::event::{Event, Outcome};
use prograde_model::ids::FlightId;
use prograde_model::rollout::RolloutEvent;
use prograde_model::runtime::Counters;
use serde_json::Value;

use super::chapter::Chapter;
use super::feed::Moment;
use super::latency::Latency;
use super::repository::LogEntry;
use super::tally::Tally;
use crate::wire::{FlightView, QuarantineView, VersionView};

/// The environment that users use.
pub(crate) const PRODUCTION: &str = "production";
/// The one before.
pub(crate) const TEST: &str = "test";

/// A flight that came to its end.
#[derive(Debug, Clone)]
pub(crate) struct Flown {
    /// Its facts, in order.
    pub(crate) moments: Vec<Moment>,
    /// What the server says of it at its end.
    pub(crate) view: FlightView,
    /// What users saw from the push until all was quiet again.
    pub(crate) users: Tally,
    /// The last part of that: what users saw once it was over.
    pub(crate) aftermath: Tally,
    /// What serves in production once it is over.
    pub(crate) production: Vec<VersionView>,
    /// What is in quarantine.
    pub(crate) quarantines: Vec<QuarantineView>,
    /// The deployment repository's log, fetched with Git.
    pub(crate) deployments: Vec<LogEntry>,
    /// What the author was told.
    pub(crate) letter: Option<Value>,
}

impl Flown {
    /// Its facts of one kind.
    pub(crate) fn facts<'a, T>(&'a self, of: impl Fn(&'a Event) -> Option<T> + 'a) -> impl Iterator<Item = T> + 'a {
        self.moments.iter().filter_map(move |moment| of(&moment.event))
    }

    /// The facts of its rollout in one environment.
    pub(crate) fn rollout(&self, name: &'static str) -> impl Iterator<Item = &RolloutEvent> {
        self.facts(move |event| {
            if let Event::Rollout { place, event } = event {
                (place.environment.as_str() == name).then_some(event)
            } else {
                None
            }
        })
    }

    /// How it ended.
    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        self.facts(|event| if let Event::Ended { outcome } = event { Some(outcome) } else { None }).last()
    }

    /// The shares of production's traffic that it was given, in percent.
    pub(crate) fn weights(&self) -> Vec<u8> {
        let entered = self.rollout(PRODUCTION).filter_map(|event| {
            if let RolloutEvent::StepEntered { weight, .. } = event { Some(weight.percent()) } else { None }
        });
        entered.collect()
    }
}

/// The whole story.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// The flights that came to their end.
    pub(crate) flown: BTreeMap<Chapter, Flown>,
    /// Why there is not more, if there is not.
    pub(crate) cut_short: Option<String>,
    /// Every fact.
    pub(crate) moments: Vec<Moment>,
    /// Production's requests by flight, as the server counted them last.
    pub(crate) counters: BTreeMap<FlightId, Counters>,
    /// What users saw in all.
    pub(crate) users: Tally,
    /// How long good answers took.
    pub(crate) latency: Latency,
    /// How many events the journal has, if its hash chain holds; or why it does not.
    pub(crate) journal: Option<Result<u64, String>>,
}

impl Record {
    /// Which chapter a flight is.
    pub(crate) fn chapter_of(&self, flight: &FlightId) -> Option<Chapter> {
        self.flown.iter().find(|(_, flown)| flown.view.summary.id == *flight).map(|(chapter, _)| *chapter)
    }
}
