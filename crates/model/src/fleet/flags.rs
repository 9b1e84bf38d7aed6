//! Feature flags where they are evaluated: those of the flight that serves, and what people have set beside them.
//!
//! A setting belongs to the place, not to the flight: it holds when a later flight serves, until it is unset. The last
//! change of a place is watched as a release is, and taken back by the judge if the version that serves begins to fail.

use std::sync::Arc;

use jiff::Timestamp;

use super::Fleet;
use crate::event::{Event, Recorded};
use crate::flag::{Flags, Setting, Toggle};
use crate::flight::Refusal;
use crate::ids::{FlightId, Target, Weight};
use crate::judge::{self, Evidence, Sample, Verdict};
use crate::rollout::Watch;
use crate::runtime::{Observation, Tally, VersionSeen};

/// A flag's change that is being watched.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FlagWatch {
    /// The flight that serves.
    flight: FlightId,
    /// The flag.
    flag: String,
    /// What it was set to before, if it was.
    back: Option<Setting>,
    since: Timestamp,
    /// The version's requests until then.
    before: Tally,
}

impl Fleet {
    /// The flags of the flight that serves somewhere.
    pub fn flags(&self, target: &Target) -> Option<&Arc<Flags>> {
        let flight = self.flight(self.current(target)?)?;
        let service = flight.service_config()?;
        flight.flags.get(service.flags_file(service.environment(&target.environment)?)?)
    }

    /// What people have set a flag to somewhere, if they have.
    pub fn toggle(&self, target: &Target, flag: &str) -> Option<&Toggle> {
        self.toggles.get(target)?.get(flag)
    }

    /// All that people have set somewhere, by flag.
    pub fn toggles(&self, target: &Target) -> impl Iterator<Item = (&String, &Toggle)> {
        self.toggles.get(target).into_iter().flatten()
    }

    /// The places where a flag's change is watched, and the flight that serves there.
    pub fn flag_watches(&self) -> impl Iterator<Item = (&Target, &FlightId)> {
        self.flag_watches.iter().map(|(target, watch)| (target, &watch.flight))
    }

    /// A person sets a flag where a flight serves, or with `None` leaves it to Git again. The facts are that flight's.
    pub fn change_flag(
        &self,
        target: &Target,
        flag: &str,
        to: Option<&Setting>,
        (by, reason): (&str, &str),
        seen: &Observation,
        now: Timestamp,
    ) -> Result<Vec<Event>, Refusal> {
        let environment = &target.environment;
        let (key, by, reason) = (flag.to_owned(), by.to_owned(), reason.to_owned());
        let set = self.toggle(target, flag);
        if let Some(to) = to {
            let no_flag = || Refusal::NoFlag { flag: key.clone(), environment: environment.clone() };
            let declared = self.flags(target).and_then(|flags| flags.get(flag)).ok_or_else(no_flag)?;
            if let Setting::Variant(variant) = to
                && !declared.variants.contains_key(variant)
            {
                let known = declared.variants.keys().cloned().collect::<Vec<_>>().join(", ");
                return Err(Refusal::NoVariant { flag: key, variant: variant.clone(), known });
            }
            if let Some(set) = set.filter(|set| set.to == *to) {
                return Err(Refusal::FlagSetBefore { flag: key, environment: environment.clone(), by: set.by.clone() });
            }
        } else if set.is_none() {
            return Err(Refusal::FlagNotSet { flag: key, environment: environment.clone() });
        }
        let before = self.flag_watch_rules(target).map(|_| self.tally(target, seen));
        let mut events: Vec<Event> = self.end_flag_watch(target, None, seen, now).into_iter().collect();
        events.push(match to.cloned() {
            Some(to) => Event::FlagSet { environment: environment.clone(), flag: key, to, by, reason, before },
            None => Event::FlagUnset { environment: environment.clone(), flag: key, by, reason, before },
        });
        Ok(events)
    }

    /// What follows for a flag's change that is watched: it is taken back, or it stays.
    pub fn decide_flags(&self, target: &Target, seen: &Observation, now: Timestamp) -> Vec<Event> {
        let Some(watch) = self.flag_watches.get(target) else { return Vec::new() };
        let Some(rules) = self.flag_watch_rules(target) else {
            return self.end_flag_watch(target, None, seen, now).into_iter().collect();
        };
        let sample = self.flag_sample(target, watch, seen, now);
        let evidence = Evidence { reference: &watch.before, earlier: &[], now: &sample, marks: None, next: None };
        let verdict = judge::judge(&rules.analysis, &evidence);
        match &verdict {
            Verdict::Fail { limit, .. } => {
                let reason = format!("since flag {} was changed: {verdict}", watch.flag);
                let ended = self.end_flag_watch(target, Some(*limit), seen, now);
                let (environment, flag, by) = (target.environment.clone(), watch.flag.clone(), "judge".to_owned());
                // What the judge does is not watched: it is what was there before.
                let back = match watch.back.clone() {
                    Some(to) => Event::FlagSet { environment, flag, to, by, reason, before: None },
                    None => Event::FlagUnset { environment, flag, by, reason, before: None },
                };
                ended.into_iter().chain([back]).collect()
            }
            Verdict::Pass | Verdict::Inconclusive { .. } | Verdict::Error { .. } => {
                let over = u128::from(sample.elapsed_ms) >= rules.period.duration().unsigned_abs().as_millis();
                if over { self.end_flag_watch(target, None, seen, now).into_iter().collect() } else { Vec::new() }
            }
        }
    }

    /// How a change there is watched: as a release of the flight that serves is.
    fn flag_watch_rules(&self, target: &Target) -> Option<Watch> {
        self.flight(self.current(target)?)?.service_config()?.environment(&target.environment)?.watch()
    }

    fn end_flag_watch(
        &self,
        target: &Target,
        limit: Option<crate::quantity::Share>,
        seen: &Observation,
        now: Timestamp,
    ) -> Option<Event> {
        let watch = self.flag_watches.get(target)?;
        let evidence = self.flag_sample(target, watch, seen, now);
        Some(Event::FlagWatched { environment: target.environment.clone(), flag: watch.flag.clone(), limit, evidence })
    }

    fn flag_sample(&self, target: &Target, watch: &FlagWatch, seen: &Observation, now: Timestamp) -> Sample {
        Sample {
            synthetic: None,
            weight: Weight::ALL,
            candidate: self.tally(target, seen).since(&watch.before),
            // What the version suffered before is not the flag's fault.
            stable: watch.before.clone(),
            elapsed_ms: u64::try_from(now.duration_since(watch.since).as_millis()).unwrap_or(0),
        }
    }

    /// The requests so far of the version that serves.
    fn tally(&self, target: &Target, seen: &Observation) -> Tally {
        self.current(target).and_then(|flight| seen.version(flight)).map(VersionSeen::tally).unwrap_or_default()
    }

    pub(super) fn apply_flag(&mut self, target: Target, recorded: &Recorded) {
        let watch = |flag: &str, back: Option<Toggle>, before: &Option<Tally>| {
            before.clone().map(|before| FlagWatch {
                flight: recorded.flight.clone(),
                flag: flag.to_owned(),
                back: back.map(|toggle| toggle.to),
                since: recorded.at,
                before,
            })
        };
        let opened = match &recorded.event {
            Event::FlagSet { flag, to, by, reason, before, .. } => {
                let toggle = Toggle {
                    to: to.clone(),
                    by: by.clone(),
                    reason: reason.clone(),
                    since: recorded.at,
                    flight: recorded.flight.clone(),
                };
                let back = self.toggles.entry(target.clone()).or_default().insert(flag.clone(), toggle);
                watch(flag, back, before)
            }
            Event::FlagUnset { flag, before, .. } => {
                let back = self.toggles.get_mut(&target).and_then(|toggles| toggles.remove(flag));
                watch(flag, back, before)
            }
            Event::FlagWatched { .. } => None,
            Event::Opened(_)
            | Event::Configured { .. }
            | Event::Scanned(_)
            | Event::JobStarted { .. }
            | Event::JobFinished { .. }
            | Event::PipelineFinished { .. }
            | Event::ReleaseRecorded(_)
            | Event::Approved { .. }
            | Event::Proposed { .. }
            | Event::Merged { .. }
            | Event::Overridden { .. }
            | Event::GatePassed { .. }
            | Event::Unchanged { .. }
            | Event::Deployed { .. }
            | Event::MigrationStarted { .. }
            | Event::Migrated { .. }
            | Event::Rollout { .. }
            | Event::Checked { .. }
            | Event::RollbackOrdered { .. }
            | Event::Quarantined { .. }
            | Event::QuarantineLifted { .. }
            | Event::Scaled { .. }
            | Event::Reverted { .. }
            | Event::AuthorNotified { .. }
            | Event::Ended { .. } => return,
        };
        match opened {
            Some(opened) => self.flag_watches.insert(target, opened),
            None => self.flag_watches.remove(&target),
        };
    }
}

#[cfg(test)]
mod tests;
