//! A rollback that did not help: the judge took a release back, what served before serves again, and its requests fail as
//! well. Then it was not the release, and a person has to look.

use jiff::{SignedDuration, Timestamp};

use super::Incidents;
use super::orders::Declare;
use super::refusal::Limit;
use super::state::{Origin, Severity};
use crate::entry::Rollback;
use crate::fleet::Fleet;
use crate::flight::Flight;
use crate::ids::{Target, Weight};
use crate::judge::{self, Evidence, Sample, Verdict};
use crate::rollout::Phase;
use crate::runtime::{Observation, Tally, VersionSeen};

/// For how long what serves again is looked at.
const WATCHED: SignedDuration = SignedDuration::from_mins(15);
/// Who takes releases back without a person.
const PARTS: [&str; 2] = ["judge", "checks"];

impl Incidents {
    /// The incidents that are to be declared as a rollback did not help, one for each rollback. What serves again is judged as a
    /// release is that has all traffic, by its requests since it came back.
    pub fn unhelped(&self, fleet: &Fleet, seen: impl Fn(&Target) -> Observation, now: Timestamp) -> Vec<Declare> {
        let entries = fleet.flights().flat_map(|flight| flight.entries.iter().map(move |entry| (flight, entry)));
        let found = entries.filter_map(|(flight, (target, entry))| {
            let rollback = entry.rollback.as_ref().filter(|rollback| PARTS.contains(&rollback.by.as_str()))?;
            let said = Origin::Judge { flight: flight.id.clone() };
            let is_new = || self.incidents().all(|known| known.origin != said || known.target != *target);
            let why = failing(fleet, flight, (target, rollback), &seen, now).filter(|_| is_new())?;
            Some(Declare {
                title: title(&format!("flight {} was taken back and it did not help: {why}", flight.id.short())),
                severity: Severity::Sev2,
                target: target.clone(),
                since: entry.failed_at(),
                origin: said,
            })
        });
        found.collect()
    }
}

/// As much of a sentence as a title may have.
pub(super) fn title(text: &str) -> String {
    let end = text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= Limit::TITLE).last();
    text.get(..end.unwrap_or(0)).unwrap_or_default().to_owned()
}

/// In what the version that serves again is bad, if it is.
fn failing(
    fleet: &Fleet,
    flight: &Flight,
    (target, rollback): (&Target, &Rollback),
    seen: &impl Fn(&Target) -> Observation,
    now: Timestamp,
) -> Option<String> {
    let back = rollback.to.as_ref().filter(|to| fleet.current(target) == Some(to))?;
    let Phase::Promoted(promoted) = &rollback.rollout.as_ref()?.phase else { return None };
    let passed = now.duration_since(promoted.since);
    if passed > WATCHED {
        return None;
    }
    let analysis = &flight.service_config()?.environment(&target.environment)?.analysis;
    let requests = seen(target).version(back).map(VersionSeen::tally).unwrap_or_default();
    let nothing = Tally::default();
    let sample = Sample {
        synthetic: None,
        weight: Weight::ALL,
        candidate: requests.since(&promoted.before),
        stable: Tally::default(),
        elapsed_ms: u64::try_from(passed.as_millis()).unwrap_or(0),
    };
    let evidence = Evidence { reference: &nothing, earlier: &[], now: &sample, next: None, marks: None };
    match judge::judge(analysis, &evidence) {
        verdict @ Verdict::Fail { .. } => Some(verdict.to_string()),
        Verdict::Pass | Verdict::Inconclusive { .. } | Verdict::Error { .. } => None,
    }
}
