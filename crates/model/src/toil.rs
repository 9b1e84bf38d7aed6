//! What people had to do by hand, counted from the journal: approvals, orders, lifted quarantines,
//! flags, flights that were let past what holds releases.
//!
//! Toil is work that is manual, repetitive and could be automated (Beyer and others, *Site Reliability Engineering*, chapter 5).
//! The journal can't know whether an approval was worth its time; it knows how many there were.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::event::{Event, Outcome, Recorded};
use crate::ids::FlightId;
use crate::rollout::{Cause, RolloutEvent};

/// The parts of prograde that order things in their own name.
const PARTS: [&str; 3] = ["judge", "checks", "group"];

/// Something that a person did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Let a flight into an environment, or a step pass that could not be judged.
    Approved,
    /// Let a flight past something that keeps releases out.
    Overrode,
    /// Ended a flight on its way.
    Ended,
    /// Took a release back that served.
    RolledBack,
    /// Let a digest in again.
    Lifted,
    /// Set a flag, or left it to Git again.
    Flagged,
}

/// Who did what, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// When.
    pub at: Timestamp,
    /// Who, as they gave their name.
    pub by: String,
    /// What.
    pub act: Act,
}

/// What people did: a fold over facts.
#[derive(Debug, Clone, Default)]
pub struct Toil {
    done: Vec<Done>,
    /// Flights that a person has ended in one place: that they end is no second act.
    ended: BTreeSet<FlightId>,
}

impl Toil {
    /// Takes in a fact.
    pub fn apply(&mut self, recorded: &Recorded) {
        let Some((by, act)) = act(&recorded.event) else { return };
        if PARTS.contains(&by) {
            return;
        }
        let is_first = act != Act::Ended || self.ended.insert(recorded.flight.clone());
        if act == Act::RolledBack {
            self.ended.insert(recorded.flight.clone());
        }
        if is_first {
            self.done.push(Done { at: recorded.at, by: by.to_owned(), act });
        }
    }

    /// Everything that was done, in order.
    pub fn done(&self) -> &[Done] {
        &self.done
    }

    /// How often each did what, of what `counts` says.
    pub fn by_person(&self, counts: impl Fn(&Done) -> bool) -> BTreeMap<String, BTreeMap<Act, u64>> {
        let mut by: BTreeMap<String, BTreeMap<Act, u64>> = BTreeMap::new();
        for done in self.done.iter().filter(|done| counts(done)) {
            *by.entry(done.by.clone()).or_default().entry(done.act).or_default() += 1;
        }
        by
    }
}

/// What a person does with a fact, if a person does it.
fn act(event: &Event) -> Option<(&str, Act)> {
    match event {
        Event::Approved { by, .. } | Event::Rollout { event: RolloutEvent::StepPassed { by: Some(by), .. }, .. } => {
            Some((by, Act::Approved))
        }
        Event::Rollout { event: RolloutEvent::Failed { cause: Cause::Ordered { by, .. }, .. }, .. }
        | Event::Migrated { by: Some(by), .. }
        | Event::Ended { outcome: Outcome::Aborted { by, .. } } => Some((by, Act::Ended)),
        Event::RollbackOrdered { by, .. } => Some((by, Act::RolledBack)),
        Event::Overridden { by, .. } => Some((by, Act::Overrode)),
        Event::QuarantineLifted { by, .. } => Some((by, Act::Lifted)),
        Event::FlagSet { by, .. } | Event::FlagUnset { by, .. } => Some((by, Act::Flagged)),
        Event::Rollout { .. }
        | Event::Migrated { by: None, .. }
        | Event::Ended { .. }
        | Event::Opened(_)
        | Event::Configured { .. }
        | Event::JobStarted { .. }
        | Event::JobFinished { .. }
        | Event::PipelineFinished { .. }
        | Event::ReleaseRecorded(_)
        | Event::GatePassed { .. }
        | Event::Unchanged { .. }
        | Event::Deployed { .. }
        | Event::MigrationStarted { .. }
        | Event::Checked { .. }
        | Event::Quarantined { .. }
        | Event::Reverted { .. }
        | Event::Scaled { .. }
        | Event::FlagWatched { .. }
        | Event::AuthorNotified { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Ill, Story, two_environments};

    fn told(story: &Story) -> String {
        let mut toil = Toil::default();
        story.journal.iter().for_each(|fact| toil.apply(fact));
        toil.done().iter().map(|done| format!("{}:{:?}", done.by, done.act)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_people_did_is_counted_once_and_what_prograde_did_is_not() {
        let mut story = Story::new(&two_environments(2));
        story.push('a').run();
        story.approve('a', "ann").unwrap();
        story.approve('a', "bob").unwrap();
        story.run();
        assert_eq!(told(&story), "ann:Approved bob:Approved");
        story.push('b').run();
        story.abort('b').unwrap();
        story.run();
        story.push_ill('c', Ill::Checks).run();
        assert_eq!(told(&story), "ann:Approved bob:Approved ann:Ended", "checks are nobody's work");
        story.roll_back('a', "production", None).unwrap_err();
        story.lift('c', "test");
        assert!(told(&story).ends_with("ann:Lifted"));
    }

    #[test]
    fn a_rollout_that_a_person_ends_is_one_act_and_so_is_a_rollback() {
        let mut story = Story::new(&crate::testing::production());
        story.push('a').run();
        story.push('b');
        for _ in 0..4 {
            story.step();
        }
        story.abort('b').unwrap();
        story.run();
        assert_eq!(told(&story), "ann:Ended");
        story.push('c').run();
        story.roll_back('c', "production", None).unwrap();
        story.run();
        assert_eq!(told(&story), "ann:Ended ann:RolledBack");
        let mut toil = Toil::default();
        story.journal.iter().for_each(|fact| toil.apply(fact));
        assert_eq!(toil.by_person(|_| true)["ann"], BTreeMap::from([(Act::Ended, 1), (Act::RolledBack, 1)]));
        assert!(toil.by_person(|_| false).is_empty());
    }
}
