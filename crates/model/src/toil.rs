//! What people had to do by hand, counted from the journal: approvals, orders, lifted quarantines,
//! flags, flights that were let past what holds releases, silences, and steps of runbooks.
//!
//! Toil is work that is manual, repetitive and could be automated (Beyer and others, *Site Reliability Engineering*, chapter 5).
//! The journal can't know whether an approval was worth its time; it knows how many there were.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::alert::AlertEvent;
use crate::event::{Event, Outcome as FlightOutcome, Recorded};
use crate::ids::FlightId;
use crate::rollout::{Cause, RolloutEvent};
use crate::runbook::{Outcome, RunbookFact};

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
    /// Set a silence.
    Silenced,
    /// Ran a step of a runbook.
    RanStep,
    /// Gave a version another number of replicas.
    Scaled,
}

impl Act {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 9] = [
        Self::Approved,
        Self::Overrode,
        Self::Ended,
        Self::RolledBack,
        Self::Lifted,
        Self::Flagged,
        Self::Silenced,
        Self::RanStep,
        Self::Scaled,
    ];

    /// How many minutes of somebody's time it is taken for where nobody measured it: an estimate, for comparing weeks.
    pub fn minutes(self) -> f64 {
        match self {
            Self::Approved => 2.0,
            Self::Flagged | Self::Silenced | Self::Scaled => 5.0,
            Self::Overrode | Self::Ended | Self::RolledBack | Self::Lifted => 10.0,
            Self::RanStep => 1.0,
        }
    }
}

/// Who did what, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// When.
    pub at: Timestamp,
    /// Who, as they gave their name.
    pub by: String,
    /// What.
    pub act: Act,
    /// How long it took, where that was measured: a step of a runbook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

impl Done {
    /// How many minutes it took, or is taken for.
    pub fn minutes(&self) -> f64 {
        let waited = self.seconds.map_or(0.0, |seconds| seconds / 60.0);
        // Somebody reads a step and decides before it runs.
        self.act.minutes() + waited
    }
}

/// What somebody did in a time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sum {
    /// How often what.
    pub acts: BTreeMap<Act, u64>,
    /// How many minutes all of it took, or is taken for.
    pub minutes: f64,
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
            self.done.push(Done { at: recorded.at, by: by.to_owned(), act, seconds: None });
        }
    }

    /// Takes in a fact about alerts.
    pub fn apply_alert(&mut self, fact: &AlertEvent, at: Timestamp) {
        if let AlertEvent::SilenceSet(silence) = fact {
            self.done.push(Done { at, by: silence.created_by.clone(), act: Act::Silenced, seconds: None });
        }
    }

    /// Takes in a fact about a run of a runbook.
    pub fn apply_run(&mut self, fact: &RunbookFact, at: Timestamp) {
        if let RunbookFact::Stepped { stepped, .. } = fact
            && stepped.outcome != Outcome::Skipped
        {
            let by = stepped.by.clone();
            self.done.push(Done { at, by, act: Act::RanStep, seconds: Some(stepped.seconds) });
        }
    }

    /// Everything that was done; those about one kind of facts in order.
    pub fn into_done(self) -> Vec<Done> {
        self.done
    }
}

/// From so many times on, something is repeated.
const REPEATED: u64 = 3;

/// Five questions about what people do by hand. Five times yes is toil; a no says what it is instead.
///
/// Source: Beyer and others, *Site Reliability Engineering*, chapter 5, "Toil Defined": manual, repetitive, automatable,
/// tactical, no enduring value. That it grows with the service is the sixth there; a count over weeks shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Questions {
    /// Did a person do it? Always yes: what prograde does is not counted.
    pub manual: bool,
    /// Was it done three times or more?
    pub repetitive: bool,
    /// Could a machine do it as well? Not where a person weighs what no rule holds.
    pub automatable: bool,
    /// Did something else ask for it, so that it interrupted?
    pub tactical: bool,
    /// Was everything as before once it was done?
    pub without_lasting_value: bool,
}

impl Questions {
    /// What is true of an act that was done so often.
    pub fn of(act: Act, times: u64) -> Self {
        let (automatable, tactical, without_lasting_value) = match act {
            Act::Approved | Act::RolledBack | Act::Silenced | Act::RanStep | Act::Scaled => (true, true, true),
            // Somebody takes a risk, and says why.
            Act::Overrode | Act::Lifted => (false, true, true),
            // Planned work: a release or a feature is decided on.
            Act::Ended | Act::Flagged => (false, false, false),
        };
        Self { manual: true, repetitive: times >= REPEATED, automatable, tactical, without_lasting_value }
    }

    /// Whether it is toil.
    pub fn is_toil(self) -> bool {
        self.manual && self.repetitive && self.automatable && self.tactical && self.without_lasting_value
    }
}

impl Act {
    /// What does it instead, where something can.
    pub fn instead(self) -> Option<&'static str> {
        match self {
            Self::Approved => {
                Some("let checks and a soak time decide where nobody ever refuses, and take `approvals` or `merge` out")
            }
            Self::RolledBack => {
                Some("give `analysis` the metric that people looked at, so that the judge takes it back")
            }
            Self::Silenced => Some("mend the rule, or inhibit it; `prograde alerts lint` names it"),
            Self::RanStep => Some("let the step be a job of the service, or mend what it mends"),
            Self::Scaled => Some("declare a HorizontalPodAutoscaler"),
            Self::Overrode | Self::Ended | Self::Lifted | Self::Flagged => None,
        }
    }
}

/// What each did, of what `counts` says.
pub fn by_person<'a>(
    done: impl IntoIterator<Item = &'a Done>,
    counts: impl Fn(&Done) -> bool,
) -> BTreeMap<String, Sum> {
    let mut by: BTreeMap<String, Sum> = BTreeMap::new();
    for done in done.into_iter().filter(|done| counts(done)) {
        let sum = by.entry(done.by.clone()).or_default();
        *sum.acts.entry(done.act).or_default() += 1;
        sum.minutes += done.minutes();
    }
    by
}

/// What a person does with a fact, if a person does it.
fn act(event: &Event) -> Option<(&str, Act)> {
    match event {
        Event::Approved { by, .. }
        | Event::Merged { by, .. }
        | Event::Rollout { event: RolloutEvent::StepPassed { by: Some(by), .. }, .. } => Some((by, Act::Approved)),
        Event::Rollout { event: RolloutEvent::Failed { cause: Cause::Ordered { by, .. }, .. }, .. }
        | Event::Migrated { by: Some(by), .. }
        | Event::Ended { outcome: FlightOutcome::Aborted { by, .. } } => Some((by, Act::Ended)),
        Event::RollbackOrdered { by, .. } => Some((by, Act::RolledBack)),
        Event::Overridden { by, .. } => Some((by, Act::Overrode)),
        Event::QuarantineLifted { by, .. } => Some((by, Act::Lifted)),
        Event::FlagSet { by, .. } | Event::FlagUnset { by, .. } => Some((by, Act::Flagged)),
        Event::Scaled { by: Some(by), .. } => Some((by, Act::Scaled)),
        Event::Rollout { .. }
        | Event::Migrated { by: None, .. }
        | Event::Ended { .. }
        | Event::Opened(_)
        | Event::Configured { .. }
        | Event::Scanned(_)
        | Event::JobStarted { .. }
        | Event::JobFinished { .. }
        | Event::PipelineFinished { .. }
        | Event::ReleaseRecorded(_)
        | Event::Proposed { .. }
        | Event::GatePassed { .. }
        | Event::Unchanged { .. }
        | Event::Deployed { .. }
        | Event::MigrationStarted { .. }
        | Event::Checked { .. }
        | Event::Quarantined { .. }
        | Event::Reverted { .. }
        | Event::Scaled { by: None, .. }
        | Event::FlagWatched { .. }
        | Event::AuthorNotified { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runbook::{RunId, Stepped};
    use crate::testing::{Ill, Story, two_environments};

    fn told(story: &Story) -> String {
        let mut toil = Toil::default();
        story.journal.iter().for_each(|fact| toil.apply(fact));
        toil.into_done().iter().map(|done| format!("{}:{:?}", done.by, done.act)).collect::<Vec<_>>().join(" ")
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
    fn silences_and_steps_of_runbooks_count_and_steps_with_their_time() {
        let at = Timestamp::UNIX_EPOCH;
        let mut toil = Toil::default();
        let silence = serde_json::json!({"id": "s", "matchers": [], "starts_at": at, "ends_at": at, "updated_at": at,
            "created_by": "ann", "comment": "known"});
        toil.apply_alert(&AlertEvent::SilenceSet(serde_json::from_value(silence).unwrap()), at);
        for outcome in [Outcome::Done { exit: 1 }, Outcome::Skipped] {
            let [title, command, output, by] = ["Look", "uptime", "", "ann"].map(str::to_owned);
            let stepped = Stepped { step: 1, title, command, outcome, seconds: 120.0, output, by };
            toil.apply_run(&RunbookFact::Stepped { run: RunId::new(1), stepped }, at);
        }
        let sum = &by_person(&toil.into_done(), |_| true)["ann"];
        assert_eq!(sum.acts, BTreeMap::from([(Act::Silenced, 1), (Act::RanStep, 1)]), "what is left out is no work");
        assert!((sum.minutes - 8.0).abs() < 1e-9, "5 for the silence, 1 and 2 for the step: {}", sum.minutes);
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
        let done = toil.into_done();
        let sum = &by_person(&done, |_| true)["ann"];
        assert_eq!(sum.acts, BTreeMap::from([(Act::Ended, 1), (Act::RolledBack, 1)]));
        assert!((sum.minutes - 20.0).abs() < 1e-9, "{}", sum.minutes);
        assert!(by_person(&done, |_| false).is_empty());
    }

    #[test]
    fn five_times_yes_is_toil() {
        for (act, times, is_toil) in [
            (Act::Approved, 3, true),
            (Act::Approved, 2, false),
            (Act::Silenced, 10, true),
            (Act::Overrode, 10, false),
            (Act::Flagged, 10, false),
        ] {
            assert_eq!(Questions::of(act, times).is_toil(), is_toil, "{act:?} {times}");
            assert!(!is_toil || act.instead().is_some(), "{act:?}");
        }
    }
}
