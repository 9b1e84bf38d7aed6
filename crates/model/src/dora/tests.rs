//! Journals whose numbers are known: told by hand, and flown by the model itself.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::event::{Event, Opened, Outcome, Person, Place, Recorded};
use crate::ids::{CommitId, FlightId, Weight};
use crate::judge::Sample;
use crate::rollout::{Cause, RolloutEvent, Start, Strategy as Takeover};
use crate::runtime::{Counters, Tally};
use crate::testing::{Ill, Story, digest, environment, id, production, two_environments};

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn question(from: &str, until: &str, by: By) -> Question {
    let span = Span { from: time(from), until: time(until) };
    Question { service: None, environment: None, span, by, zone: TimeZone::UTC, levels: None }
}

/// A journal told by hand, in minutes from the first of January 2026.
#[derive(Default)]
struct Told {
    facts: Vec<Recorded>,
}

fn flight(number: u32) -> FlightId {
    format!("{:032x}", number + 1).parse().unwrap()
}

fn at(minute: i64) -> Timestamp {
    time("2026-01-01T00:00:00Z") + SignedDuration::from_mins(minute)
}

impl Told {
    fn fact(&mut self, number: u32, minute: i64, event: Event) -> &mut Self {
        let sequence = self.facts.len() as u64 + 1;
        self.facts.push(Recorded { sequence, at: at(minute), flight: flight(number), event });
        self
    }

    /// A commit that was made `committed` minutes after the beginning is pushed.
    fn push(&mut self, number: u32, service: &str, committed: i64, minute: i64) -> &mut Self {
        let commit: CommitId = format!("{number:040x}").parse().unwrap();
        let author = Person { name: "Ann".into(), email: "ann@example.com".into() };
        let opened = Opened {
            service: service.parse().unwrap(),
            commit,
            branch: "main".into(),
            subject: format!("Change {number}"),
            author,
            committed_at: at(committed),
            work: None,
        };
        let config = json!({"version": 1, "service": service, "image": {"artifact": "a", "binary": "b"},
            "environments": [{"name": "test"}, {"name": "production"}]});
        let configured = Event::Configured {
            service: Box::new(serde_json::from_value(config).unwrap()),
            notices: Vec::new(),
            manifests: std::collections::BTreeMap::new(),
            group: std::collections::BTreeMap::new(),
            flags: std::collections::BTreeMap::new(),
            policies: crate::policy::PolicyAnswers::default(),
        };
        self.fact(number, minute, Event::Opened(opened)).fact(number, minute, configured)
    }

    fn rollout(&mut self, number: u32, minute: i64, event: RolloutEvent) -> &mut Self {
        self.fact(number, minute, Event::Rollout { place: production_place(), event })
    }

    fn deploy(&mut self, number: u32, minute: i64, stable: Option<u32>, strategy: Takeover) -> &mut Self {
        let commit: CommitId = "c".repeat(40).parse().unwrap();
        let start = Start {
            candidate: flight(number),
            stable: stable.map(flight),
            strategy,
            watch: None,
            replicas: 1,
            stable_replicas: u32::from(stable.is_some()),
            autoscaled: None,
            caution: None,
            progress_deadline_s: 60,
            segments: 0,
        };
        self.fact(
            number,
            minute,
            Event::Deployed { place: production_place(), commit, policies: crate::policy::PolicyAnswers::default() },
        )
        .rollout(number, minute, RolloutEvent::Started(start))
    }

    fn step(&mut self, number: u32, minute: i64, percent: u8) -> &mut Self {
        let none = Tally::default();
        self.rollout(
            number,
            minute,
            RolloutEvent::StepEntered {
                step: 0,
                weight: Weight::new(percent).unwrap(),
                candidate: none.clone(),
                stable: none.clone(),
                mirrored: none,
                restarts: 0,
            },
        )
    }

    fn promote(&mut self, number: u32, minute: i64) -> &mut Self {
        self.rollout(number, minute, RolloutEvent::Promoted { candidate: Tally::default(), stable: Tally::default() })
    }

    fn fail(&mut self, number: u32, minute: i64, cause: Cause) -> &mut Self {
        let event = RolloutEvent::Failed { cause, evidence: Sample::default(), metrics: Vec::new(), serves_on: false };
        self.rollout(number, minute, event)
    }

    fn withdraw(&mut self, number: u32, minute: i64) -> &mut Self {
        self.rollout(number, minute, RolloutEvent::Withdrawn { candidate: Counters::default() })
    }

    /// It goes well: all traffic after ten minutes.
    fn good(&mut self, number: u32, service: &str, pushed: i64) -> &mut Self {
        self.push(number, service, pushed - 5, pushed);
        self.deploy(number, pushed + 1, Some(0), canary()).step(number, pushed + 2, 10).promote(number, pushed + 10)
    }

    fn history(&self) -> History {
        let mut history = History::default();
        self.facts.iter().for_each(|fact| history.apply(fact));
        history
    }

    /// The measures of production in the year 2026.
    fn year(&self) -> Measures {
        let asked = question("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z", By::Service);
        report(&self.history(), &asked).unwrap().total
    }
}

fn production_place() -> Place {
    Place { environment: environment("production"), service: None }
}

fn canary() -> Takeover {
    serde_json::from_value(json!({"strategy": "canary", "steps": [], "analysis": {}})).unwrap()
}

fn crashing() -> Cause {
    Cause::Crashing { restarts: 3, detail: None }
}

const MINUTE: u64 = 60_000;

#[test]
fn an_empty_journal_says_nothing_and_nothing_wrong() {
    let measures = Told::default().year();
    assert_eq!((measures.deployments, measures.failures.of, measures.failures.share), (0, 0, None));
    assert_eq!((measures.lead_time, measures.recovery), (Spread::default(), Spread::default()));
    assert_eq!(measures.failures.interval, None);
    let mut asked = question("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", By::Period(Every::Week));
    asked.levels = Some(Year::Y2024);
    let answer = report(&History::default(), &asked).unwrap();
    assert_eq!(answer.rows.len(), 5);
    assert_eq!(answer.total.levels, Some(Levels::default()));
}

#[test]
fn lead_time_is_from_commit_to_all_traffic() {
    let mut told = Told::default();
    for number in 1..=10 {
        let pushed = i64::from(number) * 100;
        told.push(number, "pad", pushed - i64::from(number), pushed);
        told.deploy(number, pushed + 1, None, canary()).step(number, pushed + 2, 10).promote(number, pushed + 10);
    }
    let measures = told.year();
    assert_eq!(measures.deployments, 10);
    assert_eq!((measures.lead_time.n, measures.lead_time.median_ms), (10, Some(15 * MINUTE)));
    assert_eq!(measures.lead_time.p90_ms, Some(19 * MINUTE));
    assert_eq!(measures.from_push.median_ms, Some(10 * MINUTE));
    assert_eq!((measures.failures.n, measures.rework.n), (0, 0));
}

#[test]
fn a_superseded_commit_arrives_with_the_flight_that_took_its_place() {
    let mut told = Told::default();
    let superseded = |by| Event::Ended { outcome: Outcome::Superseded { by: flight(by) } };
    told.push(1, "pad", 0, 1).push(2, "pad", 10, 11).fact(1, 11, superseded(2));
    told.push(3, "pad", 20, 21).fact(2, 21, superseded(3));
    told.deploy(3, 30, None, canary()).step(3, 31, 100).promote(3, 40);
    let lead = told.year().lead_time;
    assert_eq!((lead.n, lead.median_ms, lead.p90_ms), (3, Some(30 * MINUTE), Some(40 * MINUTE)));
}

#[test]
fn a_failed_canary_is_stopped_early_and_recovered_from_when_it_is_gone() {
    let mut told = Told::default();
    told.good(1, "pad", 0).push(2, "pad", 90, 100);
    told.deploy(2, 101, Some(1), canary()).step(2, 102, 1).fail(2, 104, crashing()).withdraw(2, 105);
    told.good(3, "pad", 200).good(4, "pad", 300);
    let measures = told.year();
    assert_eq!((measures.deployments, measures.failures.n, measures.failures.of), (3, 1, 4));
    assert_eq!((measures.stopped_early, measures.unrecovered), (1, 0));
    assert_eq!(measures.recovery.median_ms, Some(3 * MINUTE), "from its first request");
    assert_eq!(measures.rework.n, 1, "what comes next after a failure is a repair, what comes then is not");
}

#[test]
fn without_anything_to_go_back_to_only_the_next_good_one_recovers() {
    let mut told = Told::default();
    told.push(1, "pad", 0, 1).deploy(1, 2, None, canary()).step(1, 3, 100).fail(1, 5, crashing()).withdraw(1, 6);
    assert_eq!(told.year().unrecovered, 1);
    told.good(2, "pad", 93);
    let measures = told.year();
    assert_eq!((measures.unrecovered, measures.recovery.median_ms), (0, Some(100 * MINUTE)));
}

#[test]
fn what_people_take_out_before_it_had_a_request_is_no_deployment() {
    let mut told = Told::default();
    let ordered = Cause::Ordered { by: "ann".into(), reason: "not today".into() };
    told.push(1, "pad", 0, 1).deploy(1, 2, None, canary()).fail(1, 3, ordered.clone()).withdraw(1, 4);
    assert_eq!(told.year().failures.of, 0);
    told.push(2, "pad", 9, 10).deploy(2, 11, None, canary()).step(2, 12, 0).fail(2, 13, ordered.clone());
    assert_eq!(told.year().failures.of, 0, "copies of requests are no requests");
    told.push(3, "pad", 19, 20).deploy(3, 21, None, canary()).step(3, 22, 1).fail(3, 23, ordered);
    assert_eq!(told.year().failures.n, 1);
}

#[test]
fn what_goes_on_is_counted_nowhere_until_it_ends() {
    let mut told = Told::default();
    told.push(1, "pad", 0, 1).deploy(1, 2, None, canary()).step(1, 3, 50);
    let asked = question("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z", By::Service);
    let answer = report(&told.history(), &asked).unwrap();
    assert_eq!((answer.on_their_way, answer.rows.len(), answer.total.failures.of), (1, 0, 0));
}

#[test]
fn a_clock_that_was_set_back_is_told_and_no_duration_is_negative() {
    let mut told = Told::default();
    told.push(1, "pad", 500, 510).deploy(1, 20, None, canary()).step(1, 21, 50).promote(1, 30);
    let asked = question("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z", By::Service);
    let answer = report(&told.history(), &asked).unwrap();
    assert_eq!(answer.clock_set_back, 1);
    assert_eq!((answer.total.lead_time.n, answer.total.lead_time.left_out), (0, 1));
    assert_eq!((answer.total.from_push.n, answer.total.from_push.left_out), (0, 1));
}

#[test]
fn facts_that_fit_nothing_are_passed_over() {
    let mut told = Told::default();
    told.promote(7, 1).withdraw(7, 2).step(7, 3, 10).fail(7, 4, crashing());
    told.fact(7, 5, Event::Ended { outcome: Outcome::Superseded { by: flight(8) } });
    told.push(8, "pad", 0, 6).promote(8, 7);
    assert_eq!(told.year().failures.of, 0);
}

#[test]
fn environments_are_apart_and_production_is_the_last() {
    let mut told = Told::default();
    told.good(1, "pad", 0);
    for fact in &mut told.facts {
        if let Event::Rollout { place, .. } | Event::Deployed { place, .. } = &mut fact.event {
            place.environment = environment("test");
        }
    }
    assert_eq!(told.year().deployments, 0);
    let mut asked = question("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z", By::Service);
    asked.environment = Some(environment("test"));
    assert_eq!(report(&told.history(), &asked).unwrap().total.deployments, 1);
}

#[test]
fn nothing_is_made_of_time_before_the_records_begin() {
    let mut told = Told::default();
    told.good(1, "pad", 0).good(2, "pad", 60);
    let asked = question("2025-01-01T00:00:00Z", "2026-01-03T00:00:00Z", By::Service);
    let answer = report(&told.history(), &asked).unwrap();
    assert_eq!(answer.from, "2026-01-01T00:00:00Z");
    assert!((answer.total.deployments_per_day - 1.0).abs() < 1e-9, "{answer:?}");
}

#[test]
fn few_deployments_have_no_level_and_a_wide_interval_has_many() {
    let mut told = Told::default();
    (1..=4).for_each(|number| {
        told.good(number, "pad", i64::from(number) * 1000);
    });
    let mut asked = question("2026-01-01T00:00:00Z", "2026-01-05T00:00:00Z", By::Service);
    asked.levels = Some(Year::Y2023);
    let levels = report(&told.history(), &asked).unwrap().total.levels.unwrap();
    assert_eq!(levels.lead_time, Placed::default());
    assert_eq!(levels.failures_interval.to_string(), "elite to low");
    told.good(5, "pad", 5000);
    let levels = report(&told.history(), &asked).unwrap().total.levels.unwrap();
    assert_eq!((levels.lead_time.to_string(), levels.frequency.to_string()), ("elite".into(), "high".into()));
    assert_eq!((levels.failures.to_string(), levels.recovery.to_string()), ("elite".into(), "too few to say".into()));
}

/// What the model itself writes of a story, measured.
fn flown(story: &Story) -> Measures {
    let mut history = History::default();
    story.journal.iter().for_each(|fact| history.apply(fact));
    let asked = question("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z", By::Service);
    report(&history, &asked).unwrap().total
}

#[test]
fn flights_of_the_model_are_measured() {
    let mut story = Story::new(&production());
    story.push('a').run();
    story.push_ill('b', Ill::Requests).run();
    story.push('c').run();
    let measures = flown(&story);
    assert_eq!((measures.deployments, measures.failures.n, measures.failures.of), (2, 1, 3));
    assert_eq!((measures.recovery.n, measures.unrecovered, measures.rework.n), (1, 0, 1));
    assert_eq!(measures.lead_time.n, 2);
}

#[test]
fn a_rollback_after_all_traffic_is_a_failure_until_what_was_before_is_back() {
    let mut story = Story::new(&production());
    story.push('a').run();
    story.push('b').run();
    story.roll_back('b', "production", None).unwrap();
    assert_eq!(flown(&story).unrecovered, 1);
    story.run();
    let measures = flown(&story);
    assert_eq!((measures.deployments, measures.failures.n, measures.stopped_early), (2, 1, 0));
    assert_eq!((measures.recovery.n, measures.unrecovered), (1, 0));
}

#[test]
fn an_abort_during_the_rollout_is_a_failure_and_one_before_is_nothing() {
    let mut story = Story::new(&two_environments(1));
    story.push('a').run();
    story.abort('a').unwrap();
    story.run();
    assert_eq!(flown(&story).failures.of, 0);
    story.push('b').run();
    story.approve('b', "ann").unwrap();
    story.run();
    assert_eq!((flown(&story).deployments, flown(&story).failures.n), (1, 0));
}

#[test]
fn a_release_that_is_kept_lasts_until_the_next_good_one() {
    let mut story = Story::new(&json!([
        {"name": "production", "strategy": "canary", "gate": {"approvals": 1}, "analysis": {"wait_max": "2m"}, "watch": "60s",
         "steps": [{"weight": 100, "bake": "10s"}]}
    ]));
    story.push('a').run();
    story.approve('a', "ann").unwrap();
    story.run();
    story.migrate(true).push_ill('b', Ill::Late).run();
    story.approve('b', "ann").unwrap();
    story.run();
    let measures = flown(&story);
    assert_eq!((measures.failures.n, measures.unrecovered), (1, 1), "{}", story.told('b'));
    story.stay().push('c').run();
    story.approve('c', "ann").unwrap();
    story.run();
    let measures = flown(&story);
    assert_eq!((measures.unrecovered, measures.recovery.n, measures.rework.n), (0, 1, 1), "{}", story.told('c'));
}

#[test]
fn of_a_group_only_what_failed_has_failed() {
    let mut story = Story::group(&production());
    story.push('a').run();
    story.push_ill_service('b', "web", Ill::Requests).run();
    let mut history = History::default();
    story.journal.iter().for_each(|fact| history.apply(fact));
    let asked = question("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z", By::Service);
    let answer = report(&history, &asked).unwrap();
    let rows: Vec<_> = answer
        .rows
        .iter()
        .map(|row| (row.service.clone().unwrap().to_string(), row.measures.deployments, row.measures.failures.n))
        .collect();
    assert_eq!(rows, [("api".into(), 2, 0), ("web".into(), 1, 1)]);
    assert_ne!(digest('a'), digest('b'));
    assert_eq!(id('a').short(), "aaaaaaaa");
}

fn borders(every: Every, from: &str, until: &str, name: &str) -> Vec<String> {
    let span = Span { from: time(from), until: time(until) };
    let cut = every.cut(span, &zone(name), 100).unwrap();
    assert_eq!(cut.first().map(|first| first.from), Some(span.from));
    assert_eq!(cut.last().map(|last| last.until), Some(span.until));
    assert!(cut.windows(2).all(|two| two[0].until == two[1].from), "{cut:?}");
    cut.iter().map(|period| period.until.to_string()).collect()
}

#[test]
fn periods_have_the_borders_of_their_zone_through_daylight_saving() {
    // Clocks go from 2 to 3 on 29 March and from 3 to 2 on 25 October.
    let spring = borders(Every::Day, "2026-03-28T23:00:00Z", "2026-03-30T22:00:00Z", "Europe/Berlin");
    assert_eq!(spring, ["2026-03-29T22:00:00Z", "2026-03-30T22:00:00Z"], "a day of 23 hours");
    let autumn = borders(Every::Day, "2026-10-24T22:00:00Z", "2026-10-26T23:00:00Z", "Europe/Berlin");
    assert_eq!(autumn, ["2026-10-25T23:00:00Z", "2026-10-26T23:00:00Z"], "a day of 25 hours");
    let week = borders(Every::Week, "2026-03-25T00:00:00Z", "2026-04-01T00:00:00Z", "Europe/Berlin");
    assert_eq!(week, ["2026-03-29T22:00:00Z", "2026-04-01T00:00:00Z"], "a week begins on Monday");
    let quarter = borders(Every::Quarter, "2026-02-15T00:00:00Z", "2026-12-31T23:00:00Z", "Europe/Berlin");
    assert_eq!(
        quarter,
        ["2026-03-31T22:00:00Z", "2026-06-30T22:00:00Z", "2026-09-30T22:00:00Z", "2026-12-31T23:00:00Z"]
    );
    let month = borders(Every::Month, "2028-02-10T00:00:00Z", "2028-03-02T00:00:00Z", "UTC");
    assert_eq!(month, ["2028-03-01T00:00:00Z", "2028-03-02T00:00:00Z"]);
    // In Santiago, clocks go forward at midnight: the day begins at 1.
    let late = borders(Every::Day, "2026-09-05T12:00:00Z", "2026-09-06T12:00:00Z", "America/Santiago");
    assert_eq!(late, ["2026-09-06T04:00:00Z", "2026-09-06T12:00:00Z"]);
    // Apia skipped 30 December 2011.
    let skipped = borders(Every::Day, "2011-12-29T20:00:00Z", "2011-12-31T20:00:00Z", "Pacific/Apia");
    assert_eq!(skipped, ["2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z", "2011-12-31T20:00:00Z"]);
}

#[test]
fn a_range_of_too_many_periods_is_refused() {
    let span = Span { from: time("1900-01-01T00:00:00Z"), until: time("2026-01-01T00:00:00Z") };
    assert_eq!(Every::Day.cut(span, &TimeZone::UTC, 4_000), None);
    let empty = Span { from: span.until, until: span.from };
    assert_eq!(Every::Day.cut(empty, &TimeZone::UTC, 4_000), Some(Vec::new()));
}

fn made_up() -> impl Strategy<Value = Vec<(u8, i64, bool)>> {
    proptest::collection::vec((0_u8..4, 0_i64..500_000, any::<bool>()), 0..60)
}

/// A journal of these deployments: service, minute, and whether it fails. Each is told whole, so clocks go back and forth.
fn journal(deployments: &[(u8, i64, bool)]) -> Told {
    let mut told = Told::default();
    for (number, (service, minute, fails)) in deployments.iter().enumerate() {
        let (number, service) = (u32::try_from(number).unwrap() + 1, format!("s{service}"));
        told.push(number, &service, minute - 7, *minute).deploy(number, minute + 1, Some(0), canary());
        told.step(number, minute + 2, 10);
        if *fails {
            told.fail(number, minute + 3, crashing()).withdraw(number, minute + 4);
        } else {
            told.promote(number, minute + 9);
        }
    }
    told
}

proptest! {
    #[test]
    fn counts_add_up_over_periods_and_services(deployments in made_up(), every in 0_usize..4, zone_index in 0_usize..4) {
        let every = [Every::Day, Every::Week, Every::Month, Every::Quarter][every];
        let zone = zone(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"][zone_index]);
        let history = journal(&deployments).history();
        let mut asked = question("2026-01-01T00:00:00Z", "2026-12-31T00:00:00Z", By::Period(every));
        asked.zone = zone;
        let by_period = report(&history, &asked).unwrap();
        asked.by = By::Service;
        let by_service = report(&history, &asked).unwrap();
        prop_assert_eq!(&by_period.total, &by_service.total);
        for answer in [&by_period, &by_service] {
            let sum = |of: fn(&Measures) -> u64| answer.rows.iter().map(|row| of(&row.measures)).sum::<u64>();
            prop_assert_eq!(sum(|m| m.deployments), answer.total.deployments);
            prop_assert_eq!(sum(|m| m.failures.n), answer.total.failures.n);
            prop_assert_eq!(sum(|m| m.failures.of), answer.total.failures.of);
            prop_assert_eq!(sum(|m| m.rework.n), answer.total.rework.n);
            prop_assert_eq!(sum(|m| m.recovery.n), answer.total.recovery.n);
            prop_assert_eq!(sum(|m| m.unrecovered), answer.total.unrecovered);
        }
        prop_assert_eq!(by_period.total.failures.of, deployments.len() as u64);
    }

    #[test]
    fn services_do_not_depend_on_each_others_order(deployments in made_up()) {
        let mut apart = deployments.clone();
        apart.sort_by_key(|(service, ..)| *service);
        let asked = question("2026-01-01T00:00:00Z", "2026-12-31T00:00:00Z", By::Service);
        let of = |list: &[(u8, i64, bool)]| {
            // The journal's beginning is that of the first fact, which the order decides.
            let found = journal(list).history().deployments();
            super::of(&found, None, &asked).unwrap().rows
        };
        prop_assert_eq!(of(&deployments), of(&apart));
    }
}
