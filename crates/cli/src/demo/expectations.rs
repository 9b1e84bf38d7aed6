//! What must have happened, each judged from the record alone. An expectation that could not be looked at is not met.

use prograde_model::event::{Event, Outcome};
use prograde_model::rollout::{Cause, RolloutEvent};
use serde::Serialize;

use super::chapter::Chapter;
use super::record::{Flown, PRODUCTION, Record, TEST};
use super::repository::AUTHOR;
use super::tally::{Count, Failure};
use crate::sentence::{answered, policies, scanned};
use crate::text::counted;

/// Something that was expected, and whether it happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Expectation {
    /// What was expected, as a sentence.
    pub(crate) name: &'static str,
    /// Whether it happened.
    pub(crate) met: bool,
    /// How, or what happened instead.
    pub(crate) detail: String,
}

/// What speaks for it, or what against.
type Finding = Result<String, String>;
type OfFlight = (&'static str, fn(&Flown) -> Finding);

const FIRST: &[OfFlight] = &[
    ("the first commit lands in test, then in production", lands_in_order),
    ("users are served by it", |flown| only(flown, Chapter::First)),
];

const GOOD: &[OfFlight] = &[
    ("the good commit lands", lands),
    ("it was looked through, its image is signed and attested, and it meets the policies", vouched_for),
    ("it gets 1%, 10% and 100% of the traffic, each step judged", every_step_is_judged),
    ("no request fails while it rolls out", |flown| no_failures(flown, None)),
    ("users are served by it", |flown| only(flown, Chapter::Good)),
];

const FAILING: &[OfFlight] = &[
    ("the failing commit is stopped at 1% of the traffic", stopped_at_the_first_step),
    ("all traffic is back on the good version", back_on_the_good_version),
    ("no request fails but those that it answered", |flown| no_failures(flown, Some(Chapter::Failing))),
    ("the deployment repository has a commit that reverts it", reverted_in_git),
    ("its digest is in quarantine", in_quarantine),
    ("its author is told", author_told),
];

const CRASHING: &[OfFlight] = &[
    ("the crashing commit is taken back in test", taken_back_in_test),
    ("it never gets a request", never_asked),
    ("no request fails meanwhile", |flown| no_failures(flown, None)),
    ("its author is told", author_told),
];

/// What is expected of a chapter's flight.
pub(crate) fn of_chapter(chapter: Chapter, record: &Record) -> Vec<Expectation> {
    let expected = match chapter {
        Chapter::First => FIRST,
        Chapter::Good => GOOD,
        Chapter::Failing => FAILING,
        Chapter::Crashing => CRASHING,
    };
    let not_flown = || Err(record.cut_short.clone().unwrap_or_else(|| "it was not flown".to_owned()));
    let judged = expected.iter().map(|(name, judge)| {
        let finding = record.flown.get(&chapter).map_or_else(not_flown, judge);
        expectation(name, finding)
    });
    judged.collect()
}

/// What is expected of all flights together.
pub(crate) fn of_all(record: &Record) -> Vec<Expectation> {
    let journal = match &record.journal {
        Some(Ok(events)) => Ok(format!("{events} events, each bound to the one before by its hash")),
        Some(Err(why)) => Err(why.clone()),
        None => Err("it was not verified".to_owned()),
    };
    vec![
        expectation("every user's request was sent when it was due", all_sent(record)),
        expectation("the journal is whole", journal),
    ]
}

fn expectation(name: &'static str, finding: Finding) -> Expectation {
    let met = finding.is_ok();
    let (Ok(detail) | Err(detail)) = finding;
    Expectation { name, met, detail }
}

fn all_sent(record: &Record) -> Finding {
    let unsent = record.users.failures.get(&Failure::Unsent).copied().unwrap_or_default();
    match (record.users.all.requests, unsent) {
        (0, _) => Err("there were no users".to_owned()),
        (requests, 0) => Ok(format!("{requests} requests")),
        (requests, unsent) => Err(format!("{unsent} of {requests} were not sent: too many waited for answers")),
    }
}

fn lands(flown: &Flown) -> Finding {
    match flown.outcome() {
        Some(Outcome::Landed) => Ok(format!("flight {}", flown.view.summary.id.short())),
        _ => Err(instead(flown)),
    }
}

fn lands_in_order(flown: &Flown) -> Finding {
    let promoted: Vec<&str> = flown
        .facts(|event| {
            if let Event::Rollout { place, event: RolloutEvent::Promoted { .. } } = event {
                Some(place.environment.as_str())
            } else {
                None
            }
        })
        .collect();
    if promoted != [TEST, PRODUCTION] {
        return Err(format!("it was promoted in {promoted:?}; {}", instead(flown)));
    }
    lands(flown)
}

/// What came of the scan, and what vouches for the image.
fn vouched_for(flown: &Flown) -> Finding {
    let scans = flown.facts(|event| if let Event::Scanned(report) = event { Some(report) } else { None });
    let scan = scans.last().ok_or("the journal knows of no scan")?;
    let releases = flown.facts(|event| if let Event::ReleaseRecorded(release) = event { Some(release) } else { None });
    let evidence = releases.last().and_then(|release| release.evidence.as_ref()).ok_or("the image is not signed")?;
    let attested = evidence.attestations.len() as u64;
    let key = evidence.key_id.get(..8).unwrap_or_default();
    let attested = counted(attested, "attestation");
    let asked = passed_in(flown, PRODUCTION)?;
    Ok(format!("{}; signed by key {key}, {attested}; {asked} passed", scanned(scan)))
}

/// How many policies were asked before it was deployed, all of which hold.
fn passed_in(flown: &Flown, environment: &str) -> Result<String, String> {
    let answers = flown.facts(|event| {
        if let Event::Deployed { place, policies, .. } = event {
            (place.environment.as_str() == environment).then_some(policies)
        } else {
            None
        }
    });
    let answers = answers.last().ok_or_else(|| format!("it was not deployed to {environment}"))?;
    if answers.passed.is_empty() || !answers.violated.is_empty() {
        return Err(format!("not all policies passed in {environment}: {}", answered(answers)));
    }
    Ok(policies(answers.passed.len()))
}

/// How it ended, in the server's words.
fn instead(flown: &Flown) -> String {
    let summary = &flown.view.summary;
    let environment = summary.environment.as_ref().map(|name| format!(" in {name}")).unwrap_or_default();
    format!("it is {}{environment}: {}", summary.stage, summary.detail.lines().next().unwrap_or_default())
}

fn only(flown: &Flown, chapter: Chapter) -> Finding {
    let Count { requests, failures } = flown.aftermath.all;
    let own = flown.aftermath.version(chapter.name()).requests;
    match (requests, requests - own.min(requests), failures) {
        (0, _, _) => Err("users sent no request once it was over".to_owned()),
        (_, 0, 0) => Ok(format!("{requests} requests since, none failed, all answered by {}", chapter.name())),
        (_, others, failures) => Err(format!(
            "of {requests} requests since, {failures} failed and {others} were not answered by {}",
            chapter.name()
        )),
    }
}

fn every_step_is_judged(flown: &Flown) -> Finding {
    let weights = flown.weights();
    if weights != [1, 10, 100] {
        return Err(format!("its shares of the traffic were {weights:?}"));
    }
    let passed = flown.rollout(PRODUCTION).filter_map(|event| {
        if let RolloutEvent::StepPassed { evidence, .. } = event { Some(evidence.candidate.requests) } else { None }
    });
    let judged: Vec<u64> = passed.collect();
    match judged.as_slice() {
        [a, b, c] if judged.iter().all(|requests| *requests > 0) => Ok(format!("on {a}, {b} and {c} requests")),
        _ => Err(format!("its steps were passed on so many requests: {judged:?}")),
    }
}

/// No user saw a failure, but for those that one version may cause.
fn no_failures(flown: &Flown, may_fail: Option<Chapter>) -> Finding {
    let users = &flown.users;
    let allowed = may_fail.map_or(0, |chapter| users.version(chapter.name()).failures);
    match (users.all.requests, users.all.failures - allowed.min(users.all.failures)) {
        (0, _) => Err("users sent no request".to_owned()),
        (requests, 0) => Ok(format!("{requests} requests, {allowed} harmed")),
        (requests, others) => Err(format!("{others} of {requests} requests failed: {}", users.troubles())),
    }
}

fn stopped_at_the_first_step(flown: &Flown) -> Finding {
    let weights = flown.weights();
    if weights != [1] {
        return Err(format!("its shares of the traffic were {weights:?}; {}", instead(flown)));
    }
    let failed = flown.rollout(PRODUCTION).filter_map(|event| {
        if let RolloutEvent::Failed { cause, evidence, .. } = event { Some((cause, &evidence.candidate)) } else { None }
    });
    match failed.last() {
        Some((Cause::Judged { step: 0, .. }, seen)) if rolled_back(flown, PRODUCTION) => {
            Ok(format!("after {} requests, {} of which failed", seen.requests, seen.failures))
        }
        Some((cause, _)) => Err(format!("{cause}; {}", instead(flown))),
        None => Err(instead(flown)),
    }
}

fn rolled_back(flown: &Flown, name: &str) -> bool {
    matches!(flown.outcome(), Some(Outcome::RolledBack { environment, .. }) if environment.as_str() == name)
}

fn back_on_the_good_version(flown: &Flown) -> Finding {
    let own = &flown.view.summary.id;
    let weights: Vec<u8> = flown.production.iter().filter(|v| v.flight != *own).map(|v| v.weight).collect();
    let own_weight = flown.production.iter().find(|v| v.flight == *own).map_or(0, |v| v.weight);
    if weights != [100] || own_weight != 0 {
        return Err(format!("the other versions have {weights:?}% of the traffic, it has {own_weight}%"));
    }
    only(flown, Chapter::Good)
}

fn reverted_in_git(flown: &Flown) -> Finding {
    let reverted = flown.facts(|event| {
        if let Event::Reverted { place, commit } = event {
            (place.environment.as_str() == PRODUCTION).then_some(commit)
        } else {
            None
        }
    });
    let commit = reverted.last().ok_or("the journal knows of no revert")?;
    let entry = flown.deployments.iter().find(|entry| entry.id == commit.as_str());
    let entry = entry.ok_or_else(|| format!("commit {commit} is not in the repository that was fetched"))?;
    if !entry.message.contains(flown.view.summary.id.as_str()) {
        return Err(format!("commit {} does not name the flight: {:?}", commit.short(), entry.message));
    }
    Ok(format!("{} {:?}", commit.short(), entry.message.lines().next().unwrap_or_default()))
}

fn in_quarantine(flown: &Flown) -> Finding {
    let digest = flown.view.digest.as_ref().ok_or("it has no digest")?;
    let found = flown.quarantines.iter().find(|q| q.digest == *digest && q.environment.as_str() == PRODUCTION);
    found
        .map(|q| format!("sha256:{}: {}", digest.short(), q.reason))
        .ok_or_else(|| format!("sha256:{} is not among the {} that are", digest.short(), flown.quarantines.len()))
}

fn author_told(flown: &Flown) -> Finding {
    let letter = flown.letter.as_ref().ok_or("nothing about it came to the mailbox")?;
    let text = |pointer: &str| letter.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or_default();
    if text("/author/email") == AUTHOR.1 {
        Ok(format!("{}: {:?}", AUTHOR.1, text("/text")))
    } else {
        Err(format!("the letter is addressed to {:?}", text("/author/email")))
    }
}

fn taken_back_in_test(flown: &Flown) -> Finding {
    if rolled_back(flown, TEST) { Ok(flown.view.summary.detail.clone()) } else { Err(instead(flown)) }
}

fn never_asked(flown: &Flown) -> Finding {
    let seen = flown.users.version(Chapter::Crashing.name()).requests;
    let counted: u64 = flown.view.environments.iter().map(|entry| entry.requests.requests).sum();
    let entered = flown.rollout(PRODUCTION).count();
    match (seen, counted, entered) {
        (0, 0, 0) => Ok("neither the server nor a user saw one, and production did not see the version".to_owned()),
        _ => Err(format!(
            "users had {seen} answers from it, the server counted {counted} requests, and production has {entered} events of it"
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{flight, moment, saw, story};
    use super::*;

    fn unmet(record: &Record) -> Vec<&'static str> {
        let flights = Chapter::ALL.into_iter().flat_map(|chapter| of_chapter(chapter, record));
        flights.chain(of_all(record)).filter(|e| !e.met).map(|e| e.name).collect()
    }

    /// What is not met once a chapter has gone otherwise.
    fn unmet_when(chapter: Chapter, spoil: impl FnOnce(&mut Flown)) -> Vec<&'static str> {
        let mut record = story();
        spoil(record.flown.get_mut(&chapter).unwrap());
        unmet(&record)
    }

    #[test]
    fn a_story_that_goes_well_meets_them_all() {
        assert_eq!(unmet(&story()), Vec::<&str>::new());
    }

    #[test]
    fn nothing_is_met_where_nothing_was_seen() {
        let mut record = Record { cut_short: Some("the first commit: no flight".into()), ..Record::default() };
        let expected = FIRST.len() + GOOD.len() + FAILING.len() + CRASHING.len() + 2;
        assert_eq!(unmet(&record).len(), expected);
        assert_eq!(of_chapter(Chapter::Good, &record)[0].detail, "the first commit: no flight");
        record.flown = story().flown;
        for flown in record.flown.values_mut() {
            flown.moments.clear();
            (flown.users, flown.aftermath) = Default::default();
            (flown.production, flown.quarantines, flown.deployments) = Default::default();
            flown.letter = None;
        }
        // A version that nobody saw was not asked either.
        assert_eq!(unmet(&record).len(), expected - 1);
    }

    #[test]
    fn a_good_commit_must_land_step_by_step_without_a_failure() {
        let land = |flown: &mut Flown| flown.moments.retain(|m| !matches!(m.event, Event::Ended { .. }));
        assert_eq!(unmet_when(Chapter::First, land), ["the first commit lands in test, then in production"]);
        assert_eq!(unmet_when(Chapter::Good, land), ["the good commit lands"]);
        let skip = |flown: &mut Flown| flown.moments.retain(|m| m.view.event_type != "rollout.step_passed");
        assert_eq!(unmet_when(Chapter::Good, skip), ["it gets 1%, 10% and 100% of the traffic, each step judged"]);
        let reorder = |flown: &mut Flown| flown.moments.reverse();
        assert_eq!(unmet_when(Chapter::First, reorder), ["the first commit lands in test, then in production"]);
        let harm = |flown: &mut Flown| flown.users = saw(&[(Chapter::Good, 3000, 1)]);
        assert_eq!(unmet_when(Chapter::Good, harm), ["no request fails while it rolls out"]);
        let stay = |flown: &mut Flown| flown.aftermath = saw(&[(Chapter::First, 1, 0), (Chapter::Good, 999, 0)]);
        assert_eq!(unmet_when(Chapter::Good, stay), ["users are served by it"]);
        let fail = |flown: &mut Flown| flown.aftermath = saw(&[(Chapter::First, 999, 1)]);
        assert_eq!(unmet_when(Chapter::First, fail), ["users are served by it"]);
    }

    #[test]
    fn a_failing_commit_must_be_stopped_at_the_first_step() {
        let step = json!({"environment": "production", "step": 1, "weight": 10, "restarts": 0,
            "candidate": {"requests": 0, "failures": 0, "latency_us_sum": 0},
            "stable": {"requests": 0, "failures": 0, "latency_us_sum": 0}});
        let further = |flown: &mut Flown| {
            flown.moments.insert(3, moment(Chapter::Failing, 95, "rollout.step_entered", step));
        };
        assert_eq!(unmet_when(Chapter::Failing, further), ["the failing commit is stopped at 1% of the traffic"]);
        let ordered = json!({"environment": "production", "cause": {"cause": "ordered", "by": "eve", "reason": "r"},
            "evidence": {"candidate": {"requests": 9, "failures": 0, "latency_us_sum": 0},
                "stable": {"requests": 9, "failures": 0, "latency_us_sum": 0}, "elapsed_ms": 1}});
        let otherwise = |flown: &mut Flown| flown.moments[3] = moment(Chapter::Failing, 95, "rollout.failed", ordered);
        assert_eq!(unmet_when(Chapter::Failing, otherwise), ["the failing commit is stopped at 1% of the traffic"]);
    }

    #[test]
    fn a_failing_commit_must_leave_nothing_behind() {
        let name = "all traffic is back on the good version";
        let linger = |flown: &mut Flown| flown.production[0].weight = 99;
        assert_eq!(unmet_when(Chapter::Failing, linger), [name]);
        let keep = |flown: &mut Flown| {
            let mut own = flown.production[0].clone();
            (own.flight, own.weight) = (flight(Chapter::Failing), 1);
            flown.production.push(own);
        };
        assert_eq!(unmet_when(Chapter::Failing, keep), [name]);
        let answer = |flown: &mut Flown| flown.aftermath = saw(&[(Chapter::Good, 999, 0), (Chapter::Failing, 1, 0)]);
        assert_eq!(unmet_when(Chapter::Failing, answer), [name]);
        let spread = |flown: &mut Flown| flown.users = saw(&[(Chapter::Good, 8000, 1), (Chapter::Failing, 12, 3)]);
        assert_eq!(unmet_when(Chapter::Failing, spread), ["no request fails but those that it answered"]);
        let drop_it = |flown: &mut Flown| flown.users.all.failures += 1;
        assert_eq!(unmet_when(Chapter::Failing, drop_it), ["no request fails but those that it answered"]);
    }

    #[test]
    fn a_failing_commit_must_be_reverted_quarantined_and_told() {
        let git = "the deployment repository has a commit that reverts it";
        assert_eq!(unmet_when(Chapter::Failing, |flown| flown.deployments.clear()), [git]);
        assert_eq!(unmet_when(Chapter::Failing, |flown| flown.deployments[0].message = "Revert it".into()), [git]);
        let quarantine = "its digest is in quarantine";
        assert_eq!(unmet_when(Chapter::Failing, |flown| flown.quarantines.clear()), [quarantine]);
        let elsewhere = |flown: &mut Flown| flown.quarantines[0].environment = "test".parse().unwrap();
        assert_eq!(unmet_when(Chapter::Failing, elsewhere), [quarantine]);
        assert_eq!(unmet_when(Chapter::Failing, |flown| flown.letter = None), ["its author is told"]);
        let astray = |flown: &mut Flown| flown.letter = Some(json!({"author": {"email": "eve@example.org"}}));
        assert_eq!(unmet_when(Chapter::Crashing, astray), ["its author is told"]);
    }

    #[test]
    fn a_crashing_commit_must_never_be_asked() {
        let asked = "it never gets a request";
        let answer = |flown: &mut Flown| flown.users = saw(&[(Chapter::Good, 7000, 0), (Chapter::Crashing, 1, 0)]);
        assert_eq!(unmet_when(Chapter::Crashing, answer), [asked]);
        let count = |flown: &mut Flown| {
            let entry = json!({"environment": "test", "standing": "gone", "missing": [], "approvals": [], "weight": 0,
                "step": null, "verdict": null, "evidence": null, "deploy_commit": null, "reverted": null, "failure": null,
                "requests": {"requests": 1, "failures": 1, "latency_us_sum": 0}});
            flown.view.environments = vec![serde_json::from_value(entry).unwrap()];
        };
        assert_eq!(unmet_when(Chapter::Crashing, count), [asked]);
        let late = |flown: &mut Flown| {
            let last = flown.moments.len() - 1;
            let ended = json!({"outcome": {"outcome": "rolled_back", "environment": "production", "reason": "r"}});
            flown.moments[last] = moment(Chapter::Crashing, 130, "flight.ended", ended);
        };
        assert_eq!(unmet_when(Chapter::Crashing, late), ["the crashing commit is taken back in test"]);
        let harm = |flown: &mut Flown| flown.users = saw(&[(Chapter::Good, 7000, 1)]);
        assert_eq!(unmet_when(Chapter::Crashing, harm), ["no request fails meanwhile"]);
    }

    #[test]
    fn all_users_must_be_there_and_the_journal_whole() {
        let mut record = story();
        record.users.failures.insert(Failure::Unsent, 1);
        assert_eq!(unmet(&record), ["every user's request was sent when it was due"]);
        record = Record { journal: Some(Err("event 7 was changed".into())), ..story() };
        assert_eq!(unmet(&record), ["the journal is whole"]);
    }
}
