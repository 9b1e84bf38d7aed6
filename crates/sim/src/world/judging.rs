//! The checks of what the controllers record and ask for, and of what is so at rest. Each is written from what the
//! product promises, not from how the controllers keep it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use prograde_control::ports::RunVersion;
use prograde_model::entry::{Entry, Standing};
use prograde_model::event::{Event, Outcome};
use prograde_model::fleet::Fleet;
use prograde_model::flight::Flight;
use prograde_model::ids::{Digest, FlightId, Target, Weight};
use prograde_model::judge::{Analysis, Evidence, Sample, Undecided, Verdict, judge};
use prograde_model::rollout::{Cause, Phase, Promoted, Rollout, RolloutEvent, Strategy, Watched};
use prograde_model::runtime::{Observation, Routing, Tally};
use prograde_model::service::Step;

use super::{Mutant, State};
use crate::check::Invariant;

type Found = (Invariant, String);

impl State {
    /// The facts that the controllers want to record.
    pub(super) fn check_facts(&mut self, id: &FlightId, at: Timestamp, events: &[Event]) {
        let Some(flight) = self.check.known.flight(id) else { return };
        let mut found = self.wrong_migration_facts(flight, events);
        for event in events {
            let Event::Rollout { place, event } = event else { continue };
            let target = flight.target(place);
            let Some(entry) = flight.entry(&target) else { continue };
            found.extend(
                out_of_order(&self.check.known, flight, &target, event).map(|text| (Invariant::Together, text)),
            );
            if let Some(rollout) = entry.moving() {
                let shown = self.shown(&target);
                let sized = self.check.known.sized(rollout, &target);
                found.extend(wrong_fact(&sized, event, &shown).map(|text| (Invariant::Judgment, text)));
            }
            let kept = self.is_past_return(flight, &target);
            let failed = matches!(event, RolloutEvent::Failed { cause, .. } if !matches!(cause, Cause::Ordered { .. }));
            let quarantined = events.iter().any(|e| matches!(e, Event::Quarantined { .. }))
                || self.check.known.bar(&target, flight).is_some()
                || is_twin(&self.check.known, flight, entry, &target);
            if failed && entry.rollback.is_none() && !quarantined && !kept {
                found.push((Invariant::Quarantine, format!("{} failed at {at} and is not in quarantine", id.short())));
            }
        }
        self.break_all(found);
    }

    fn break_all(&mut self, found: Vec<Found>) {
        for (invariant, text) in found {
            self.broke(invariant, text);
        }
    }

    /// What the controllers ask the runtime for, at the moment in which they ask.
    pub(crate) fn check_asked(&mut self, target: &Target, asked: &[RunVersion], routing: &Routing) {
        let mover = moving(&self.check.known, target);
        let gap = mover.is_some_and(|r| r.start.strategy == Strategy::Recreate && r.failure().is_none());
        let mut found = wrong_weights(target, asked, gap);
        found.extend(self.unmigrated(target, asked));
        let running = self.cluster.running(target);
        let shown = self.shown(target);
        let known = &self.check.known;
        let current = known.current(target);
        for version in asked.iter().filter(|v| v.weight != Weight::ZERO) {
            let shares = || format!("{target}: {} gets {}", version.flight.short(), version.weight);
            if failed_at(known, &version.flight, target) {
                found.push((Invariant::FailedTraffic, shares()));
            }
            let before = running.iter().find(|(f, _)| *f == version.flight).map_or(Weight::ZERO, |(_, w)| *w);
            let ready = shown.version(&version.flight).map_or(0, |v| v.ready);
            let alone = asked.len() == 1 || current == Some(&version.flight);
            if version.weight > before && ready == 0 && !alone {
                found.push((Invariant::Weights, format!("{} and is not ready", shares())));
            }
            let leaving = known.flight(&version.flight).and_then(|f| f.entry(target)).is_some_and(|e| {
                e.rollback.is_some() // It serves until what it gives way to is there.
            });
            let set = known.quarantine(target, &version.digest).filter(|q| q.flight == version.flight);
            if set.is_some() && !leaving && version.weight > before {
                found.push((Invariant::Quarantine, format!("{} and is in quarantine", shares())));
            }
        }
        let told_apart = routing.audiences.iter().map(|a| &a.version).chain(routing.mirror.iter().map(|m| &m.version));
        for version in told_apart {
            if failed_at(known, version, target) || !asked.iter().any(|v| v.flight == *version) {
                found.push((Invariant::FailedTraffic, format!("{target}: {} gets requests", version.short())));
            }
        }
        let sized = mover.map(|rollout| known.sized(rollout, target));
        found.extend(sized.and_then(|rollout| wrong_capacity(&rollout, target, asked, &shown)));
        self.break_all(found);
    }

    /// What must be true at every tick. `fleet` is the one that the controllers have in memory.
    pub(crate) fn check_tick(&mut self, fleet: &Fleet) {
        if fleet.sequence() < self.check.acknowledged() {
            let text =
                format!("facts after {} are missing, {} were recorded", fleet.sequence(), self.check.acknowledged());
            self.broke(Invariant::Memory, text);
        }
        if fleet.sequence() != self.check.compared {
            self.check.compared = fleet.sequence();
            if *fleet != self.check.known {
                let text = format!("the fleet in memory is not the fold of the journal at {}", fleet.sequence());
                self.broke(Invariant::Memory, text);
            }
        }
        let grace_ms = self.check.grace_ms();
        if self.check.failed_at.is_empty() || self.now_ms <= self.check.excused_until_ms {
            return;
        }
        let late = self.check.failed_at.iter().filter(|(_, at)| self.now_ms > **at + grace_ms).map(|(key, _)| key);
        let found: Vec<Found> = late
            .filter(|(target, flight)| {
                self.cluster.running(target).iter().any(|(f, w)| f == flight && *w != Weight::ZERO)
            })
            .map(|(target, flight)| (Invariant::FailedTraffic, format!("{target}: {} still serves", flight.short())))
            .collect();
        self.check.failed_at.retain(|_, at| self.now_ms <= *at + grace_ms);
        self.break_all(found);
    }

    /// Whether what runs is what the journal says.
    pub(crate) fn agrees(&self, fleet: &Fleet) -> bool {
        fleet.targets().all(|target| disagreement(self, fleet, target).is_none())
    }

    /// What must be true once nothing more happens.
    pub(crate) fn check_rest(&mut self, fleet: &Fleet) {
        let mut found: Vec<Found> = fleet
            .targets()
            .filter_map(|target| disagreement(self, fleet, target))
            .map(|text| (Invariant::Agreement, text))
            .collect();
        let silent = self.git.commits.iter().filter(|c| c.wrote == super::Wrote::Revert && c.reason.trim().is_empty());
        found.extend(silent.map(|c| (Invariant::Agreement, format!("revert {} does not say why", c.id.short()))));
        let mut folded = Fleet::default();
        let unfit = self.journal.iter().filter_map(|r| folded.apply(r).err().map(|e| format!("{}: {e}", r.sequence)));
        found.extend(unfit.map(|text| (Invariant::Memory, text)).collect::<Vec<_>>());
        if folded != *fleet {
            found.push((Invariant::Memory, "the whole journal's fold is not the fleet in memory".to_owned()));
        }
        for flight in fleet.flights() {
            found.extend(self.wrong_end(flight));
            found.extend(torn(fleet, flight).map(|text| (Invariant::Together, text)));
        }
        self.break_all(found);
    }

    fn wrong_end(&self, flight: &Flight) -> Vec<Found> {
        let id = flight.id.short();
        let Some(outcome) = &flight.outcome else {
            return vec![(Invariant::Ends, format!("flight {id} has no outcome"))];
        };
        let mut found = Vec::new();
        let news = !matches!(outcome, Outcome::Landed | Outcome::Superseded { .. });
        let given_up = self.journal.iter().any(|r| {
            r.flight == flight.id && matches!(&r.event, Event::AuthorNotified { failures, .. } if !failures.is_empty())
        });
        if news && !given_up && !self.notices.iter().any(|n| n.flight == flight.id) {
            found.push((Invariant::Told, format!("nobody was told how flight {id} ended")));
        }
        found.extend(self.wrong_migration_ends(flight));
        let is_ours = |of: &Digest| flight.releases.values().any(|release| release.digest == *of);
        let image_set =
            self.journal.iter().any(|r| matches!(&r.event, Event::Quarantined { digest, .. } if is_ours(digest)));
        // Every commit here has the same manifests, which serve, so they are never to blame.
        if matches!(outcome, Outcome::Stopped { .. }) && !image_set {
            found.push((Invariant::Blame, format!("flight {id} was not let in, and its image has never failed")));
        }
        for (name, entry) in &flight.entries {
            let Some(release) = flight.release(name) else { continue };
            let character = self.character(&release.digest);
            let canary = self.service.environment(&name.environment).filter(|_| judged(entry.rollout.as_ref()));
            let promoted = matches!(entry.rollout.as_ref().map(|r| &r.phase), Some(Phase::Promoted(_)));
            let bad = canary.is_some_and(|e| character.is_clearly_bad(e.analysis.failure_share_detect.ratio()));
            if bad && promoted && !self.check.misled {
                found.push((Invariant::BadServes, format!("flight {id}, {character}, was promoted in {name}")));
            }
            let cause = entry.rollout.as_ref().and_then(cause_of);
            if character.is_good() && cause.is_some_and(|c| !self.explains(c)) {
                let why = cause.map(ToString::to_string).unwrap_or_default();
                found.push((Invariant::Blame, format!("flight {id} is good and left {name}: {why}")));
            }
        }
        found
    }

    /// Whether something in the story explains that a good release was taken back. A judge who errs as often as he says is
    /// counted, not blamed here.
    fn explains(&self, cause: &Cause) -> bool {
        match cause {
            // What a team measures is not simulated: only whether it is over a limit.
            Cause::Judged { .. } | Cause::NotJudged { .. } | Cause::Ordered { .. } | Cause::Metric { .. } => true,
            Cause::Crashing { .. } => self.check.misled,
            // No world declares one.
            Cause::NeverAvailable { .. } | Cause::CheckFailed { .. } => self.check.misled || self.check.disturbed,
        }
    }

    /// The facts that the controllers would have recorded, had they this defect.
    pub(super) fn mutated_facts(&self, events: &[Event]) -> Vec<Event> {
        let mut events = events.to_vec();
        if self.mutant == Some(Mutant::ForgetsQuarantine) {
            events.retain(|e| !matches!(e, Event::Quarantined { .. }));
        }
        for event in &mut events {
            if self.mutant == Some(Mutant::ForgetsGroup)
                && let Event::RollbackOrdered { by, reason, place, .. } = &event
                && by == "group"
            {
                let (environment, reason) = (place.environment.clone(), reason.clone());
                *event = Event::Ended { outcome: Outcome::RolledBack { environment, reason } };
            }
            if self.mutant == Some(Mutant::PassesUnseen)
                && let Event::Rollout { event: RolloutEvent::StepPassed { evidence, .. }, .. } = event
            {
                evidence.candidate = Tally::default();
            }
        }
        events
    }

    /// What the controllers would have asked for, had they this defect.
    pub(crate) fn mutated(&self, target: &Target, mut asked: Vec<RunVersion>) -> Vec<RunVersion> {
        let Some(mutant) = self.mutant else { return asked };
        if mutant == Mutant::RunsUnmigrated {
            asked.extend(self.unmigrated_runs(target, &asked));
        }
        let known = &self.check.known;
        for version in &mut asked {
            let percent = version.weight.percent();
            let (failed, stable) =
                (failed_at(known, &version.flight, target), known.current(target) == Some(&version.flight));
            if mutant == Mutant::LosesTraffic {
                version.weight = Weight::new(percent.saturating_sub(1)).unwrap_or_default();
            } else if mutant == Mutant::KeepsFailed && failed {
                version.weight = Weight::new(1).unwrap_or_default();
            } else if mutant == Mutant::ShrinksStable && stable {
                version.replicas = version.replicas.saturating_sub(1);
            } else if mutant == Mutant::StartsNothing && !stable {
                version.replicas = 0;
            }
        }
        asked
    }
}

/// Whether a rollout was one that is judged.
pub(crate) fn judged(rollout: Option<&Rollout>) -> bool {
    rollout.is_some_and(|r| r.start.stable.is_some() && r.start.strategy.analysis().is_some())
}

/// Why a rollout took its candidate back, before it had all traffic or while it was watched after.
pub(crate) fn cause_of(rollout: &Rollout) -> Option<&Cause> {
    match &rollout.phase {
        Phase::Promoted(Promoted { watched: Watched::Failed { cause }, .. }) => Some(cause),
        Phase::Promoted(_)
        | Phase::Preparing { .. }
        | Phase::Baking(_)
        | Phase::Withdrawing { .. }
        | Phase::Withdrawn { .. } => rollout.failure(),
    }
}

/// Whether nothing differs from what served before, so that nothing can be to blame.
fn is_twin(fleet: &Fleet, flight: &Flight, entry: &Entry, target: &Target) -> bool {
    let before = entry.replaces.as_ref().and_then(|id| fleet.flight(id));
    let image = |f: &Flight| f.release(target).map(|r| r.digest.clone());
    before.is_some_and(|b| image(b) == image(flight) && b.manifests.get(target) == flight.manifests.get(target))
}

/// How the rollout of a group's service starts out of order, if it does.
fn out_of_order(fleet: &Fleet, flight: &Flight, target: &Target, event: &RolloutEvent) -> Option<String> {
    let RolloutEvent::Started(start) = event else { return None };
    let back = start.strategy == Strategy::Return;
    let all: Vec<&Target> = flight.places_in(&target.environment).collect();
    let at = all.iter().position(|other| *other == target)?;
    let (before, after) = (all.get(..at)?, all.get(at + 1..)?);
    let not_yet = |other: &&&Target| !matches!(flight.standing(other), Standing::Settled | Standing::Unchanged);
    let still = |other: &&&Target| {
        !matches!(flight.standing(other), Standing::Unreverted | Standing::Gone)
            && fleet.current(other) == Some(&flight.id)
    };
    let wrong = if back { after.iter().find(still) } else { before.iter().find(not_yet) };
    wrong.map(|other| format!("{target} starts while {other} is {:?}", flight.standing(other)))
}

/// The services of a group that went back and stayed at the same time, if there are any.
fn torn(fleet: &Fleet, flight: &Flight) -> Option<String> {
    // What is past a point of no return stays until a person says otherwise.
    let for_good = |at: &Target| flight.entry(at).is_some_and(Entry::is_past_return);
    let may_leave = |at: &&Target| !flight.places_in(&at.environment).any(for_good);
    flight.places.iter().filter(|at| fleet.current(at) == Some(&flight.id)).filter(may_leave).find_map(|stays| {
        let left = flight.places_in(&stays.environment).find(|at| flight.standing(at) == Standing::Gone)?;
        Some(format!("flight {} left {left} and serves in {stays}", flight.id.short()))
    })
}

/// The rollout that moves traffic at a target now.
fn moving<'a>(fleet: &'a Fleet, target: &Target) -> Option<&'a Rollout> {
    fleet.active().find_map(|f| {
        let entry = f.entry(target)?;
        entry.moving().filter(|r| !r.is_over())
    })
}

fn failed_at(fleet: &Fleet, flight: &FlightId, target: &Target) -> bool {
    let entry = fleet.flight(flight).and_then(|f| f.entry(target));
    entry.and_then(|e| e.rollout.as_ref()).is_some_and(|r| r.failure().is_some())
}

fn wrong_weights(target: &Target, asked: &[RunVersion], gap: bool) -> Vec<Found> {
    let sum: u32 = asked.iter().map(|v| u32::from(v.weight.percent())).sum();
    let distinct: BTreeSet<_> = asked.iter().map(|v| &v.flight).collect();
    let mut found = Vec::new();
    // Nobody serves only where there is nobody else, a first release that waits or leaves, or where all of the old is to
    // be gone before the new begins.
    if sum != 100 && (sum != 0 || (asked.len() > 1 && !gap)) {
        found.push((Invariant::Weights, format!("{target}: weights sum to {sum}")));
    }
    if distinct.len() != asked.len() {
        found.push((Invariant::Weights, format!("{target}: a version is named twice")));
    }
    found
}

/// The stable version's capacity, while a rollout goes on.
fn wrong_capacity(rollout: &Rollout, target: &Target, asked: &[RunVersion], shown: &Observation) -> Option<Found> {
    let stable = rollout.start.stable.as_ref()?;
    let kept = asked.iter().find(|v| v.flight == *stable).map_or(0, |v| v.replicas);
    let needed = match (rollout.failure(), &rollout.start.strategy) {
        (None, Strategy::Rolling { unavailable, .. }) => {
            let available = shown.version(&rollout.start.candidate).map_or(0, |v| v.available);
            let least = rollout.start.replicas.saturating_sub(*unavailable).saturating_sub(available);
            least.min(rollout.start.stable_replicas)
        }
        (None, Strategy::Recreate) => 0,
        (Some(_), Strategy::Rolling { .. } | Strategy::Recreate)
        | (_, Strategy::Canary { .. } | Strategy::BlueGreen { .. } | Strategy::Return) => rollout.start.stable_replicas,
    };
    let text = || format!("{target}: {} has {kept} replicas, {needed} are needed", stable.short());
    (kept < needed).then(|| (Invariant::Capacity, text()))
}

/// What is wrong with a fact about a rollout, if anything is.
fn wrong_fact(rollout: &Rollout, event: &RolloutEvent, shown: &Observation) -> Option<String> {
    let available = shown.version(&rollout.start.candidate).map_or(0, |v| v.available);
    if let RolloutEvent::Promoted { .. } = event
        && available < rollout.start.replicas
    {
        return Some(format!("promoted with {available} of {} replicas", rollout.start.replicas));
    }
    let analysis = rollout.start.strategy.analysis().filter(|_| rollout.start.stable.is_some())?;
    match event {
        RolloutEvent::StepEntered { step, weight, .. } => {
            let at = rollout.step(*step)?;
            let share = u64::from(rollout.start.replicas) * u64::from(at.weight.percent());
            let enough = u64::from(available) * 100 >= share;
            (at.weight != *weight || !enough)
                .then(|| format!("step {} is {} and was entered with {weight} on {available}", step + 1, at.weight))
        }
        RolloutEvent::StepPassed { step, by: Some(_), .. } => {
            (analysis.undecided != Undecided::Ask).then(|| format!("step {} was let pass where nobody may", step + 1))
        }
        RolloutEvent::StepPassed { step, evidence, by: None, .. } => {
            let at = rollout.step(*step)?;
            let looked_at =
                at.weight > Weight::ZERO || at.mirror > Weight::ZERO || rollout.start.strategy.audience().is_some();
            let good = !looked_at || verdict(analysis, rollout, *step, evidence) == Verdict::Pass;
            (!good || baked(&at, evidence) < 0).then(|| format!("step {} passed on {evidence:?}", step + 1))
        }
        RolloutEvent::Failed { cause: Cause::Judged { step, .. }, evidence, .. } => {
            let watched = rollout.start.watch.as_ref().filter(|_| rollout.is_over()).map(|w| &w.analysis);
            let verdict = verdict(watched.unwrap_or(analysis), rollout, *step, evidence);
            (!matches!(verdict, Verdict::Fail { .. })).then(|| format!("step {} failed on {evidence:?}", step + 1))
        }
        RolloutEvent::Failed { cause: Cause::NotJudged { step, .. }, evidence, .. } => {
            let late = i128::from(baked(&rollout.step(*step)?, evidence)) >= analysis.wait_max.duration().as_millis();
            (!late).then(|| format!("step {} was given up on {evidence:?}", step + 1))
        }
        RolloutEvent::Promoted { .. } => {
            let all = matches!(&rollout.phase, Phase::Preparing { step, .. } if rollout.step(*step).is_none());
            (!all).then(|| format!("promoted while {:?}", rollout.phase))
        }
        RolloutEvent::Started(_)
        | RolloutEvent::Marked { .. }
        | RolloutEvent::StepHeld { .. }
        | RolloutEvent::Failed { .. }
        | RolloutEvent::Watched { .. }
        | RolloutEvent::Withdrawn { .. } => None,
    }
}

fn verdict(analysis: &Analysis, rollout: &Rollout, step: u32, now: &Sample) -> Verdict {
    let next = rollout.step(step.saturating_add(1)).map(|next| next.weight);
    let (reference, earlier) = (&rollout.reference, &rollout.passed);
    judge(analysis, &Evidence { reference, earlier, now, marks: rollout.marks(), next })
}

/// How long a step has gone on after its bake time, in milliseconds.
fn baked(step: &Step, evidence: &Sample) -> i64 {
    let bake_ms = i64::try_from(step.bake.duration().as_millis()).unwrap_or(i64::MAX);
    i64::try_from(evidence.elapsed_ms).unwrap_or(i64::MAX).saturating_sub(bake_ms)
}

/// How Git, the journal and the runtime differ at a target.
fn disagreement(state: &State, fleet: &Fleet, target: &Target) -> Option<String> {
    let current = fleet.current(target);
    let named = state.git.named(target);
    if named.as_ref() != current {
        let short = |id: Option<&FlightId>| id.map_or("nothing", FlightId::short).to_owned();
        return Some(format!("{target}: Git names {}, the journal {}", short(named.as_ref()), short(current)));
    }
    let running: Vec<_> = state.cluster.versions(target).filter(|v| v.wanted).collect();
    let wanted = current.map(|id| (id, Weight::ALL, fleet.replicas(id, target).unwrap_or(1)));
    let same = running.iter().map(|v| (&v.flight, v.weight, v.replicas_wanted)).eq(wanted);
    let is = || running.iter().map(|v| format!("{} {} on {}", v.flight.short(), v.weight, v.replicas_wanted));
    (!same).then(|| {
        format!("{target}: the runtime runs [{}], the journal says {wanted:?}", is().collect::<Vec<_>>().join(", "))
    })
}
