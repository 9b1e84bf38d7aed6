//! What must always be true, and what the checks remember to tell whether it is.

use std::collections::BTreeMap;
use std::fmt;

use prograde_model::entry::Entry;
use prograde_model::event::{Event, Recorded};
use prograde_model::fleet::Fleet;
use prograde_model::ids::{FlightId, Target};
use prograde_model::rollout::RolloutEvent;
use serde::Serialize;

/// A promise of the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Invariant {
    /// Weights sum to 100, and no share rises for a version that is not seen to be ready.
    Weights,
    /// A candidate that failed has no traffic within one tick, and never gets any again.
    FailedTraffic,
    /// The stable version keeps the capacity for the traffic that it may be given back.
    Capacity,
    /// Only a Pass promotes, only a Fail or time that ran out takes back.
    Judgment,
    /// What fails is in quarantine from the same moment, and what is in quarantine gets no traffic.
    Quarantine,
    /// Everything ends, once the world answers.
    Ends,
    /// At rest Git, the journal and the runtime agree, and every revert says why.
    Agreement,
    /// The journal's fold is the fleet in memory; nothing acknowledged is missing after a crash.
    Memory,
    /// Asked again, the controllers ask with the same words, and do nothing twice.
    Idempotent,
    /// The author is told of bad news.
    Told,
    /// A good release is taken back only when something in the story explains it.
    Blame,
    /// A bad release is not left serving where it was judged.
    BadServes,
    /// The services of a group follow one another, and go back together in reverse.
    Together,
    /// Nothing runs of a release before its migration is done, which is not run any more after.
    Migrations,
    /// What can't be undone is begun only where somebody approved, and is not gone back over without a person.
    Returns,
    /// What is held stays out, unless it is a fix that may pass.
    Held,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Weights => "weights sum to 100 and rise only for what is ready",
            Self::FailedTraffic => "a failed candidate has no traffic",
            Self::Capacity => "the stable version keeps its capacity",
            Self::Judgment => "only a Pass promotes, only a Fail or time takes back",
            Self::Quarantine => "what failed is in quarantine and gets no traffic",
            Self::Ends => "everything ends",
            Self::Agreement => "Git, journal and runtime agree at rest",
            Self::Memory => "nothing acknowledged is forgotten",
            Self::Idempotent => "what is asked again is asked in the same words",
            Self::Told => "the author is told of bad news",
            Self::Blame => "a good release is not taken back without a reason",
            Self::BadServes => "a bad release is not left serving",
            Self::Together => "a group comes in order and goes back together in reverse",
            Self::Migrations => "nothing runs before its migration, and none is run after",
            Self::Returns => "nobody but people passes a point of no return",
            Self::Held => "what is held stays out",
        })
    }
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// When, in milliseconds of the world's own time.
    pub at_ms: i64,
    /// Which.
    pub invariant: Invariant,
    /// How.
    pub text: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.text)
    }
}

/// What the checks remember.
#[derive(Debug, Clone)]
pub struct Checker {
    /// Every promise that was broken.
    pub broken: Vec<Broken>,
    /// Whether the controllers were ever shown something other than what is.
    pub misled: bool,
    /// Whether a call ever failed or took long, or the process died.
    pub disturbed: bool,
    /// The fold of the facts that the controllers of this life know of.
    pub(crate) known: Fleet,
    /// When the controllers knew that a candidate had failed.
    pub(crate) failed_at: BTreeMap<(Target, FlightId), i64>,
    /// Until when a delay is not the controllers' fault.
    pub(crate) excused_until_ms: i64,
    pub(crate) compared: u64,
    /// Every fact that the controllers of any life were told to be recorded.
    acknowledged: Vec<Recorded>,
    busy_ms: i64,
}

impl Checker {
    pub(crate) fn new(busy_ms: i64) -> Self {
        Self {
            broken: Vec::new(),
            misled: false,
            disturbed: false,
            known: Fleet::default(),
            failed_at: BTreeMap::new(),
            excused_until_ms: 0,
            compared: 0,
            acknowledged: Vec::new(),
            busy_ms,
        }
    }

    pub(crate) fn broke(&mut self, at_ms: i64, invariant: Invariant, text: String) {
        self.broken.push(Broken { at_ms, invariant, text });
    }

    /// A life begins: it knows nothing.
    pub(crate) fn forget(&mut self, now_ms: i64) {
        self.known = Fleet::default();
        self.compared = 0;
        self.excuse(now_ms);
    }

    /// A call was held up until then; whatever waits for it needs two more ticks.
    pub(crate) fn excuse(&mut self, until_ms: i64) {
        self.excused_until_ms = self.excused_until_ms.max(until_ms.saturating_add(self.grace_ms()));
    }

    /// The last fact that was acknowledged in any life.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.last().map_or(0, |fact| fact.sequence)
    }

    /// How long anything may take that is done at the next tick.
    pub(crate) fn grace_ms(&self) -> i64 {
        2 * self.busy_ms + 100
    }

    /// The controllers know of these facts from now on.
    pub(crate) fn acknowledge(&mut self, facts: &[Recorded], now_ms: i64) {
        for fact in facts {
            let place = usize::try_from(fact.sequence).unwrap_or(usize::MAX).saturating_sub(1);
            match self.acknowledged.get(place) {
                None => self.acknowledged.push(fact.clone()),
                Some(before) if before == fact => {}
                Some(_) => self.broke(now_ms, Invariant::Memory, format!("fact {} is another one now", fact.sequence)),
            }
            // A life that could not be begun reads all of it again.
            if fact.sequence <= self.known.sequence() {
                continue;
            }
            if let Err(conflict) = self.known.apply(fact) {
                self.broke(now_ms, Invariant::Memory, format!("fact {}: {conflict}", fact.sequence));
            }
            let Event::Rollout { place, event: RolloutEvent::Failed { .. } } = &fact.event else { continue };
            let Some(flight) = self.known.flight(&fact.flight) else { continue };
            // One that served is taken back by a rollout of what served before.
            let out = |e: &Entry| e.rollback.is_none() && e.rollout.as_ref().is_some_and(|r| r.failure().is_some());
            let target = flight.target(place);
            if flight.entry(&target).is_some_and(out) {
                self.failed_at.entry((target, fact.flight.clone())).or_insert(now_ms);
            }
        }
    }
}
