//! What releases do to their data before they run, and the checks of when that is done. What is true is what was done
//! here, not what the controllers were told of it.

use std::collections::BTreeSet;
use std::fmt;

use prograde_control::ports::{JobEnd, RunVersion};
use prograde_model::event::{Event, Outcome, Place};
use prograde_model::flight::Flight;
use prograde_model::ids::{CommitId, FlightId, Target, Weight};
use prograde_model::migration::MigrationFailure;
use prograde_model::rollout::RolloutEvent;

use super::{Mutant, State};
use crate::check::Invariant;
use crate::story::{Kind, named};

type Found = (Invariant, String);

/// How long a migration may take, in milliseconds.
const TIMEOUT_MS: i64 = 15_000;

/// What a commit's release does to its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrating {
    /// How long it takes, in milliseconds.
    pub takes_ms: i64,
    /// Whether it fails in the end, each time.
    pub fails: bool,
    /// Whether what it does can't be undone.
    pub for_good: bool,
}

impl Migrating {
    /// What stands of it in `prograde.yaml`.
    fn text(self) -> String {
        let (seconds, for_good) = (TIMEOUT_MS / 1_000, self.for_good);
        format!("migration: {{ args: [migrate], timeout: {seconds}s, point_of_no_return: {for_good} }}\n")
    }

    fn is_good(self) -> bool {
        !self.fails && self.takes_ms < TIMEOUT_MS
    }
}

impl fmt::Display for Migrating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "migrates in {} ms{}", self.takes_ms, if self.for_good { " for good" } else { "" })?;
        f.write_str(if self.fails { ", and fails" } else { "" })
    }
}

/// What was done to data so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Migrated(BTreeSet<(Target, FlightId)>);

impl State {
    /// The text of a commit's `prograde.yaml`.
    pub(crate) fn config_of(&self, commit: &CommitId) -> String {
        let migrating = self.push_of(commit).and_then(|push| push.migrating);
        let for_good = |m: Migrating| m.for_good && self.mutant != Some(Mutant::HidesPoints);
        let shown = migrating.map(|m| Migrating { for_good: for_good(m), ..m }.text());
        let line = if self.config.ends_with('\n') { "" } else { "\n" };
        match shown {
            // Each service of a group does the same.
            Some(text) if self.service.is_group() => {
                self.config.replace("} }\n", &format!("}}, {} }}\n", text.trim_end()))
            }
            shown => format!("{}{line}{}", self.config, shown.unwrap_or_default()),
        }
    }

    fn migrating(&self, flight: &Flight) -> Option<Migrating> {
        self.push_of(flight.commit()).and_then(|push| push.migrating)
    }

    fn is_for_good(&self, flight: &Flight) -> bool {
        let declared = self.service.has_point_of_no_return();
        declared || self.migrating(flight).is_some_and(|m| m.for_good)
    }

    /// Whether a release has done something to its data in a place that can't be undone, and serves there.
    pub(crate) fn is_past_return(&self, flight: &Flight, target: &Target) -> bool {
        let rollout = flight.entry(target).and_then(|entry| entry.rollout.as_ref());
        let promoted = rollout.is_some_and(|r| r.is_over() && r.failure().is_none());
        promoted && self.is_for_good(flight)
    }

    /// A migration is begun; how long it takes until it ends.
    pub(crate) fn begin_migration(&mut self, target: &Target, id: &FlightId) -> i64 {
        self.tell(Kind::Runtime, || format!("{target}: {} migrates", named(id)));
        let flight = self.check.known.flight(id);
        let is_here = |place: &Place| flight.is_some_and(|flight| flight.target(place) == *target);
        let started = |e: &Event| matches!(e, Event::MigrationStarted { place, .. } if is_here(place));
        if !self.journal.iter().any(|r| r.flight == *id && started(&r.event)) {
            self.broke(Invariant::Migrations, format!("{target}: {} migrates and nobody has said so", id.short()));
        }
        let Some(flight) = self.check.known.flight(id) else { return 0 };
        let entry = flight.entry(target);
        let takes_ms = self.migrating(flight).map_or(0, |m| m.takes_ms);
        if entry.is_some_and(|e| e.rollout.is_some() || e.rollback.is_some()) {
            self.broke(Invariant::Migrations, format!("{target}: {} migrates and runs already", id.short()));
        }
        takes_ms.min(TIMEOUT_MS)
    }

    /// It has come to its end.
    pub(crate) fn end_migration(&mut self, target: &Target, id: &FlightId) -> JobEnd {
        let migrating = self.check.known.flight(id).and_then(|flight| self.migrating(flight));
        let good = migrating.is_none_or(Migrating::is_good);
        if self.mutant == Some(Mutant::SkipsMigrations) {
            return JobEnd::Passed;
        }
        if good {
            self.migrated.0.insert((target.clone(), id.clone()));
            return JobEnd::Passed;
        }
        let late = migrating.is_some_and(|m| m.takes_ms >= TIMEOUT_MS);
        let reason = if late { "did not end within 15 s" } else { "exit status 1: no such table" };
        JobEnd::Failed { reason: reason.to_owned() }
    }

    /// The facts that the controllers want to record of what can't be undone.
    pub(super) fn wrong_migration_facts(&self, flight: &Flight, events: &[Event]) -> Vec<Found> {
        let id = flight.id.short();
        let mut found = Vec::new();
        for event in events {
            if let Event::MigrationStarted { place, .. } = event {
                if flight.entry(&flight.target(place)).is_some_and(|e| e.migration.is_some()) {
                    found.push((Invariant::Idempotent, format!("{id} is said twice to migrate in {place}")));
                }
                if self.is_for_good(flight) && flight.approvals.get(&place.environment).is_none_or(Vec::is_empty) {
                    found.push((Invariant::Returns, format!("{id} migrates {place} and nobody approved")));
                }
            }
            if let Event::RollbackOrdered { place, by, .. } = event
                && ["judge", "checks", "group"].contains(&by.as_str())
                && self.is_past_return(flight, &flight.target(place))
            {
                found.push((Invariant::Returns, format!("{id} is taken back from {place} by the {by}")));
            }
        }
        found
    }

    /// Nothing runs of a release whose migration was not done, or has failed by the controllers' own account.
    pub(super) fn unmigrated(&self, target: &Target, asked: &[RunVersion]) -> Vec<Found> {
        let runs = asked.iter().filter(|v| v.replicas > 0 || v.weight != Weight::ZERO);
        let unmigrated = runs.filter_map(|version| {
            let flight = self.check.known.flight(&version.flight)?;
            let declared = flight.migration(target).is_some();
            let done = self.migrated.0.contains(&(target.clone(), version.flight.clone()));
            let failed = flight.entry(target)?.migration_failure();
            match (declared && !done, failed) {
                (_, Some(why)) => Some(format!("{target}: {} runs, and {why}", version.flight.short())),
                (true, None) => Some(format!("{target}: {} runs before its migration", version.flight.short())),
                (false, None) => None,
            }
        });
        unmigrated.map(|text| (Invariant::Migrations, text)).collect()
    }

    /// A good migration is not said to have failed, unless nobody came through to it.
    pub(super) fn wrong_migration_ends(&self, flight: &Flight) -> Vec<Found> {
        let good = self.migrating(flight).is_none_or(Migrating::is_good);
        let failed = |entry: &prograde_model::entry::Entry| {
            matches!(entry.migration_failure(), Some(MigrationFailure::Failed(_)))
        };
        let blamed = flight.entries.iter().filter(|(_, entry)| good && failed(entry) && !self.check.disturbed);
        let blame = |name| format!("flight {}'s migration is good and failed in {name}", flight.id.short());
        let mut found: Vec<Found> = blamed.map(|(name, _)| (Invariant::Blame, blame(name))).collect();
        if let Some(Outcome::Kept { environment, .. }) = &flight.outcome
            && !flight.places_in(environment).any(|target| self.is_past_return(flight, target))
        {
            found.push((Invariant::BadServes, format!("flight {} failed and may be taken back", flight.id.short())));
        }
        found
    }

    /// What a defect runs of releases whose migration has failed.
    pub(super) fn unmigrated_runs(&self, target: &Target, asked: &[RunVersion]) -> Option<RunVersion> {
        let failed = |f: &&Flight| f.entry(target).is_some_and(|e| e.migration_failure().is_some());
        let flight = self.check.known.flights().find(failed)?;
        let version = asked.first()?.clone();
        Some(RunVersion { flight: flight.id.clone(), weight: Weight::ZERO, replicas: 1, ..version })
    }

    /// A defect runs it once more when the release serves.
    pub(super) fn migrate_again(&mut self, id: &FlightId, events: &[Event]) {
        for event in events {
            let Event::Rollout { place, event: RolloutEvent::Promoted { .. } } = event else { continue };
            let flight = self.check.known.flight(id).filter(|f| self.migrating(f).is_some());
            if let Some(target) = flight.map(|f| f.target(place)) {
                self.begin_migration(&target, id);
            }
        }
    }
}
