//! Schedules through daylight saving and leap days, and pages that are never lost.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::page::{Page, PageEvent, PageRefusal, State};
use super::*;
use crate::dora::Span;

fn zones(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn span(from: &str, until: &str) -> Span {
    Span { from: time(from), until: time(until) }
}

fn schedule(zone: &str, rest: &Value) -> Schedule {
    let mut whole = json!({"name": "primary", "time_zone": zone});
    whole.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    serde_json::from_value(whole).unwrap()
}

fn weekly(people: &[&str]) -> Value {
    json!({"name": "week", "from": "2026-01-05T09:00", "every": "1w", "people": people})
}

/// Shifts as `person from..until`.
fn told(schedule: &Schedule, when: Span) -> Vec<String> {
    let shifts = schedule.shifts(when, &zones).unwrap();
    assert!(shifts.windows(2).all(|two| two[0].span.until <= two[1].span.from), "{shifts:?}");
    shifts.iter().map(|s| format!("{} {}..{}", s.person, s.span.from, s.span.until)).collect()
}

#[test]
fn hand_overs_stay_at_the_wall_clocks_time() {
    let rota = schedule("Europe/Berlin", &json!({"layers": [weekly(&["ann", "bob"])]}));
    let told = told(&rota, span("2026-03-22T00:00:00Z", "2026-04-06T00:00:00Z"));
    assert_eq!(
        told,
        [
            "ann 2026-03-22T00:00:00Z..2026-03-23T08:00:00Z",
            // Clocks go forward on the 29th: an hour less.
            "bob 2026-03-23T08:00:00Z..2026-03-30T07:00:00Z",
            "ann 2026-03-30T07:00:00Z..2026-04-06T00:00:00Z",
        ]
    );
}

#[test]
fn a_hand_over_in_a_skipped_hour_is_when_the_clock_is_set_and_in_a_repeated_one_it_is_the_first() {
    let layer = json!({"name": "day", "from": "2026-01-01T02:30", "every": "1d", "people": ["ann", "bob"]});
    let rota = schedule("Europe/Berlin", &json!({"layers": [layer]}));
    let spring = told(&rota, span("2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z"));
    assert_eq!(spring[0].split("..").nth(1), Some("2026-03-29T01:00:00Z"), "3:00, as there is no 2:30");
    let autumn = told(&rota, span("2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z"));
    assert_eq!(autumn[0].split("..").nth(1), Some("2026-10-25T00:30:00Z"), "the first 2:30");
    let layer = json!({"name": "hour", "from": "2026-01-01T00:00", "every": "1h", "people": ["ann", "bob"]});
    let rota = schedule("Europe/Berlin", &json!({"layers": [layer]}));
    let hours = told(&rota, span("2026-03-29T00:00:00Z", "2026-03-29T02:00:00Z"));
    assert_eq!(
        hours,
        ["bob 2026-03-29T00:00:00Z..2026-03-29T02:00:00Z"],
        "ann's turn would have been the skipped hour"
    );
}

#[test]
fn later_layers_cover_earlier_ones_then_holidays_swaps_and_overrides() {
    let rota = schedule(
        "UTC",
        &json!({
            "layers": [
                weekly(&["ann", "bob"]),
                {"name": "nights", "from": "2026-01-05T20:00", "every": "1d", "people": ["cem"], "only": [{"from": "20:00", "until": "06:00"}]},
            ],
            "holidays": {"dates": ["2026-01-06"], "layer":
                {"name": "holiday", "from": "2026-01-01T00:00", "every": "1w", "people": ["dora"]}},
            "swaps": [{"between": ["ann", "bob"], "from": "2026-01-07T12:00", "until": "2026-01-07T13:00"}],
            "overrides": [{"person": "eve", "from": "2026-01-07T12:30", "until": "2026-01-07T14:00"}],
        }),
    );
    assert_eq!(
        told(&rota, span("2026-01-05T09:00:00Z", "2026-01-07T20:00:00Z")),
        [
            "ann 2026-01-05T09:00:00Z..2026-01-05T20:00:00Z",
            "cem 2026-01-05T20:00:00Z..2026-01-06T00:00:00Z",
            "dora 2026-01-06T00:00:00Z..2026-01-07T00:00:00Z",
            "cem 2026-01-07T00:00:00Z..2026-01-07T06:00:00Z",
            "ann 2026-01-07T06:00:00Z..2026-01-07T12:00:00Z",
            "bob 2026-01-07T12:00:00Z..2026-01-07T12:30:00Z",
            "eve 2026-01-07T12:30:00Z..2026-01-07T14:00:00Z",
            "ann 2026-01-07T14:00:00Z..2026-01-07T20:00:00Z",
        ]
    );
}

#[test]
fn holes_are_found_and_who_is_on_call_is_nobody_there() {
    let layer = json!({"name": "office", "from": "2026-01-05T09:00", "every": "1w", "people": ["ann"],
        "only": [{"days": ["mon", "tue", "wed", "thu", "fri"], "from": "09:00", "until": "17:00"}]});
    let rota = schedule("Europe/Berlin", &json!({"layers": [layer]}));
    let holes = rota.holes(span("2026-01-09T08:00:00Z", "2026-01-12T08:00:00Z"), &zones).unwrap();
    assert_eq!(holes, [Hole(span("2026-01-09T16:00:00Z", "2026-01-12T08:00:00Z"))]);
    assert_eq!(rota.on_call(time("2026-01-10T12:00:00Z"), &zones).unwrap(), None);
    assert_eq!(rota.on_call(time("2026-01-09T15:59:59Z"), &zones).unwrap().unwrap().person, "ann");
    assert_eq!(rota.on_call(time("2026-01-09T16:00:00Z"), &zones).unwrap(), None);
}

#[test]
fn the_sun_is_followed_without_holes_through_ten_years_of_daylight_saving() {
    // Each has the hours from 8 to 16 in UTC's terms of winter; where clocks differ in summer, layers overlap or a base covers.
    let layer = |name: &str, zone: &str, from: &str, until: &str, people: [&str; 2]| {
        json!({"name": name, "time_zone": zone, "from": "2024-01-01T00:00", "every": "1w", "people": people,
            "only": [{"from": from, "until": until}]})
    };
    let base = json!({"name": "base", "from": "2024-01-01T00:00", "every": "1d", "people": ["ann", "bob", "cem"]});
    let rota = schedule(
        "UTC",
        &json!({"layers": [base,
            layer("sydney", "Australia/Sydney", "09:00", "17:00", ["syd", "sue"]),
            layer("berlin", "Europe/Berlin", "09:00", "17:00", ["ben", "bea"]),
            layer("chicago", "America/Chicago", "09:00", "17:00", ["chuck", "chris"]),
        ]}),
    );
    let decade = span("2026-01-01T00:00:00Z", "2036-01-01T00:00:00Z");
    assert_eq!(rota.holes(decade, &zones).unwrap(), []);
    let shifts = rota.shifts(decade, &zones).unwrap();
    let mut by_layer: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for shift in shifts.iter().filter(|shift| shift.by == "chicago") {
        // The last layer is never covered: it begins at 9 and ends at 17 on its own wall clock every day, in all ten years.
        let local = |at: Timestamp| at.to_zoned(zones("America/Chicago").unwrap()).time().to_string();
        by_layer.entry("begins").or_default().insert(local(shift.span.from));
        by_layer.entry("ends").or_default().insert(local(shift.span.until));
    }
    assert_eq!(by_layer["begins"], BTreeSet::from(["09:00:00".to_owned()]));
    assert_eq!(by_layer["ends"], BTreeSet::from(["17:00:00".to_owned()]));
    let leap = "2028-02-29T16:00:00Z";
    assert_eq!(rota.on_call(time(leap), &zones).unwrap().unwrap().by, "chicago");
    assert!(rota.shifts(span("2026-01-01T00:00:00Z", "2040-01-01T00:00:00Z"), &zones).is_err());
}

#[test]
fn load_counts_hours_nights_weekends_and_pages_where_people_live() {
    let rota = schedule("UTC", &json!({"layers": [weekly(&["ann", "bob"])]}));
    // From Monday 9:00 to the next.
    let when = span("2026-01-05T09:00:00Z", "2026-01-19T09:00:00Z");
    let homes = [("ann", "UTC"), ("bob", "Asia/Tokyo"), ("cem", "UTC")];
    let homes = homes.into_iter().map(|(name, zone)| (name.to_owned(), zones(zone).unwrap())).collect();
    let pages = [time("2026-01-06T03:00:00Z"), time("2026-01-06T12:00:00Z"), time("2026-01-13T03:00:00Z")];
    let found = loads(&rota.shifts(when, &zones).unwrap(), &homes, &pages);
    let of = |name: &str| (found[name].hours, found[name].night_hours, found[name].weekend_hours);
    assert_eq!(of("ann"), (168.0, 56.0, 48.0));
    assert_eq!(of("bob"), (168.0, 56.0, 48.0));
    assert_eq!(of("cem"), (0.0, 0.0, 0.0));
    assert_eq!((found["ann"].pages, found["ann"].night_pages), (2, 1));
    assert_eq!((found["bob"].pages, found["bob"].night_pages), (1, 0), "at noon in Tokyo");
    assert_eq!(fairness(&[168.0, 168.0]), Some(1.0));
    assert!((fairness(&[168.0, 168.0, 0.0]).unwrap() - 2.0 / 3.0).abs() < 1e-12);
    assert_eq!(fairness(&[0.0, 0.0]), None);
    assert_eq!(fairness(&[]), None);
}

#[test]
fn turns_are_whole_hours_days_or_weeks() {
    for (text, hours) in [("12h", 12), ("1d", 24), ("2w", 336), ("36h", 36)] {
        assert_eq!(text.parse::<Every>().unwrap().hours(), hours);
        assert_eq!(text.parse::<Every>().unwrap().to_string().parse::<Every>().unwrap().hours(), hours);
    }
    for bad in ["", "h", "0h", "-1d", "1.5d", "53w", "1m", "99999999999h"] {
        assert!(bad.parse::<Every>().is_err(), "{bad}");
    }
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let rota: Rota = serde_json::from_value(json!({
        "version": 2,
        "people": {"ann": {"time_zone": "Mars/Olympus"}},
        "schedules": [
            {"name": "p", "time_zone": "UTC", "layers": [
                {"name": "l", "from": "2026-01-05T09:00", "until": "2026-01-05T09:00", "every": "1w", "people": ["bob"]}],
             "swaps": [{"between": ["ann", "ann"], "from": "2026-01-05T09:00", "until": "2026-01-05T10:00"}],
             "overrides": [{"person": "ann", "from": "2026-01-05T09:00", "until": "2026-01-05T08:00"}]},
            {"name": "p", "time_zone": "Nowhere", "layers": []},
        ],
        "escalations": {"pad": {"steps": [{"schedules": ["q"], "wait": "0s"}, {}], "repeat": 1000}},
    }))
    .unwrap();
    let found = rota.problems(&zones);
    let places: Vec<_> = found.iter().map(|problem| problem.path.join(".")).collect();
    assert_eq!(
        places,
        [
            "version",
            "people.ann.time_zone",
            "schedules.0.layers.0.people",
            "schedules.0.layers.0.until",
            "schedules.0.swaps.0",
            "schedules.0.overrides.0",
            "schedules.1.name",
            "schedules.1.time_zone",
            "schedules.1.layers",
            "escalations.pad.repeat",
            "escalations.pad.steps.0.wait",
            "escalations.pad.steps.0.schedules",
            "escalations.pad.steps.1",
        ]
    );
}

#[test]
fn a_calendar_has_short_lines_and_no_stray_characters() {
    let rota: Rota = serde_json::from_value(json!({
        "version": 1,
        "people": {"ann": {"name": "Ann, \u{fc}ber\n; \\ Ex\u{7}ample".to_owned() + &"\u{1f600}".repeat(30), "email": "ann@example.com"}},
        "schedules": [{"name": "primary", "time_zone": "UTC", "layers": [weekly(&["ann"])]}],
    }))
    .unwrap();
    let shifts = rota.schedules[0].shifts(span("2026-01-05T09:00:00Z", "2026-01-12T09:00:00Z"), &zones).unwrap();
    let text = calendar(&rota, &rota.schedules[0], &shifts, time("2026-01-01T00:00:00Z"));
    assert!(text.split("\r\n").all(|line| line.len() <= 75 && !line.contains(['\n', '\u{7}'])), "{text}");
    let unfolded = text.replace("\r\n ", "");
    assert!(unfolded.contains("DTSTART:20260105T090000Z\r\nDTEND:20260112T090000Z\r\n"), "{unfolded}");
    assert!(unfolded.contains("SUMMARY:Ann\\, \u{fc}ber\\n\\; \\\\ Example\u{1f600}"), "{unfolded}");
}

fn policy(steps: &Value, repeat: u32) -> Escalation {
    serde_json::from_value(json!({"steps": steps, "repeat": repeat})).unwrap()
}

/// A page and everything that came of it.
struct Story {
    page: Page,
    policy: Escalation,
    now: Timestamp,
    events: Vec<(Timestamp, PageEvent)>,
}

impl Story {
    fn new(policy: Escalation) -> Self {
        Self { page: Page::default(), policy, now: time("2026-01-01T00:00:00Z"), events: Vec::new() }
    }

    fn take(&mut self, events: Vec<PageEvent>) {
        for event in events {
            self.page.apply(&event, self.now);
            self.events.push((self.now, event));
        }
    }

    /// Everything that follows now, until it comes to rest.
    fn settle(&mut self, on_call: impl Fn(&str) -> Option<PersonName>) {
        for _ in 0..10_000 {
            let events = self.page.decide(&self.policy, &on_call, None, self.now);
            if events.is_empty() {
                return;
            }
            self.take(events);
        }
        panic!("it does not come to rest: {:?}", self.page);
    }

    fn told(&self) -> Vec<String> {
        let start = self.events.first().map_or(self.now, |(at, _)| *at);
        let minutes = |at: &Timestamp| at.duration_since(start).as_mins();
        let told = self.events.iter().filter_map(|(at, event)| match event {
            PageEvent::Told { person, .. } => Some(format!("{} {person}", minutes(at))),
            PageEvent::Exhausted => Some(format!("{} exhausted", minutes(at))),
            PageEvent::StepTaken { .. }
            | PageEvent::Escalated { .. }
            | PageEvent::Deferred { .. }
            | PageEvent::QuietEnded
            | PageEvent::Acknowledged { .. }
            | PageEvent::Snoozed { .. }
            | PageEvent::Awoke
            | PageEvent::Opened(_)
            | PageEvent::Changed { .. }
            | PageEvent::Reached { .. }
            | PageEvent::Missed { .. }
            | PageEvent::EndTold { .. }
            | PageEvent::Rated { .. }
            | PageEvent::Resolved { .. } => None,
        });
        told.collect()
    }
}

#[expect(clippy::unnecessary_wraps, reason = "it stands where others find nobody")]
fn by_name(name: &str) -> Option<PersonName> {
    Some(format!("{name}-person"))
}

#[test]
fn a_page_reaches_the_next_person_every_five_minutes_and_stays_open() {
    let steps = json!([{"schedules": ["primary"]}, {"schedules": ["secondary"]}, {"people": ["boss"], "wait": "10m"}]);
    let mut story = Story::new(policy(&steps, 1));
    story.settle(by_name);
    while let Some(at) = story.page.wake_at(&story.policy) {
        story.now = at;
        story.settle(by_name);
    }
    assert_eq!(
        story.told(),
        [
            "0 primary-person",
            "5 secondary-person",
            "10 boss",
            "20 primary-person",
            "25 secondary-person",
            "30 boss",
            "40 exhausted",
        ]
    );
    assert!(story.page.acknowledge("ann").is_ok(), "it is not lost");
}

#[test]
fn nobody_on_call_is_not_waited_for() {
    let steps = json!([{"schedules": ["primary"]}, {"people": ["boss"]}]);
    let mut story = Story::new(policy(&steps, 0));
    story.settle(|_| None);
    assert_eq!(story.told(), ["0 boss"]);
    let mut story = Story::new(policy(&json!([{"schedules": ["primary"]}]), 5));
    story.settle(|_| None);
    assert_eq!(story.page.state, State::Exhausted);
}

#[test]
fn in_quiet_hours_what_can_wait_waits_and_what_can_not_does_not() {
    let rules: Escalation = serde_json::from_value(json!({
        "steps": [{"schedules": ["primary"]}],
        "quiet": [{"severities": ["low"], "time_zone": "Europe/Berlin", "hours": [{"from": "22:00", "until": "07:00"}]}],
    }))
    .unwrap();
    let night = time("2026-03-29T00:30:00Z");
    let until = rules.quiet_until("low", night, &zones).unwrap();
    assert_eq!(until, Some(time("2026-03-29T05:00:00Z")), "seven in summer time");
    assert_eq!(rules.quiet_until("high", night, &zones).unwrap(), None);
    assert_eq!(rules.quiet_until("low", time("2026-03-29T05:00:00Z"), &zones).unwrap(), None);
    let mut page = Page::default();
    let events = page.decide(&rules, by_name, until, night);
    assert_eq!(events, [PageEvent::Deferred { until: until.unwrap() }]);
    page.apply(&events[0], night);
    assert_eq!(page.wake_at(&rules), until);
    assert_eq!(page.decide(&rules, by_name, until, night), []);
    let woken = page.decide(&rules, by_name, None, until.unwrap());
    assert_eq!(woken, [PageEvent::QuietEnded]);
    page.apply(&woken[0], until.unwrap());
    assert!(matches!(page.decide(&rules, by_name, None, until.unwrap())[0], PageEvent::Told { .. }));
}

#[test]
fn an_hourly_rotation_of_ten_years_is_calculated_at_once() {
    let layer = json!({"name": "hour", "from": "2026-01-01T00:00", "every": "1h", "people": ["ann", "bob", "cem"],
        "only": [{"from": "08:00", "until": "20:00"}, {"from": "10:00", "until": "12:00"}]});
    let rota = schedule("America/New_York", &json!({"layers": [layer]}));
    let shifts = rota.shifts(span("2026-01-01T05:00:00Z", "2036-01-01T05:00:00Z"), &zones).unwrap();
    assert_eq!(shifts.len(), 3652 * 12);
}

#[test]
fn who_acknowledges_may_put_it_off_and_it_begins_again() {
    let mut story = Story::new(policy(&json!([{"schedules": ["primary"]}]), 2));
    story.settle(by_name);
    story.take(vec![story.page.acknowledge("ann").unwrap()]);
    assert_eq!(story.page.acknowledge("bob"), Err(PageRefusal::Acknowledged { by: "ann".into() }));
    assert!(story.page.snooze("bob", story.now + SignedDuration::from_mins(1), story.now).is_err());
    assert_eq!(story.page.snooze("ann", story.now, story.now), Err(PageRefusal::Past));
    let until = story.now + SignedDuration::from_hours(1);
    story.take(vec![story.page.snooze("ann", until, story.now).unwrap()]);
    assert_eq!(story.page.wake_at(&story.policy), Some(until));
    story.now = until;
    story.settle(by_name);
    assert_eq!(story.told(), ["0 primary-person", "60 primary-person"]);
    story.take(vec![story.page.resolve("ann").unwrap()]);
    assert_eq!(story.page.resolve("ann"), Err(PageRefusal::Resolved));
    assert_eq!(story.page.wake_at(&story.policy), None);
}

/// What people and time do to a page.
#[derive(Debug, Clone)]
enum Act {
    Wait(i64),
    Acknowledge,
    Snooze(i64),
    Resolve,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0_i64..20).prop_map(Act::Wait),
        1 => Just(Act::Acknowledge),
        1 => (1_i64..60).prop_map(Act::Snooze),
        1 => Just(Act::Resolve),
    ]
}

proptest! {
    #[test]
    fn pages_keep_their_promises(
        acts in proptest::collection::vec(act(), 0..60),
        steps in 1_usize..4,
        repeat in 0_u32..4,
        absent in 0_usize..6,
    ) {
        let names: Vec<Value> = (0..steps).map(|n| json!({"schedules": [format!("s{n}"), "s0"], "wait": format!("{}m", n + 1)})).collect();
        let mut story = Story::new(policy(&json!(names), repeat));
        let start = story.now;
        // Who is on call changes every seven minutes, and at times nobody is.
        let on_call = |at: Timestamp| move |name: &str| {
            let turn = usize::try_from(at.duration_since(start).as_mins() / 7).unwrap();
            (turn % 6 != absent).then(|| format!("{name}-{}", turn % 3))
        };
        story.settle(on_call(story.now));
        for act in acts {
            match act {
                Act::Wait(minutes) => story.now += SignedDuration::from_mins(minutes),
                Act::Acknowledge => { let event = story.page.acknowledge("ann"); story.take(event.into_iter().collect()); }
                Act::Snooze(minutes) => {
                    let event = story.page.snooze("ann", story.now + SignedDuration::from_mins(minutes), story.now);
                    story.take(event.into_iter().collect());
                }
                Act::Resolve => { let event = story.page.resolve("ann"); story.take(event.into_iter().collect()); }
            }
            story.settle(on_call(story.now));
            // None is lost: it waits for a time, for people to look, or it is in somebody's hands.
            let waits = story.page.wake_at(&story.policy).is_some_and(|at| at > story.now);
            prop_assert!(waits || !matches!(story.page.state, State::At { .. } | State::Snoozed { .. }), "{:?}", story.page);
        }
        let mut told = BTreeSet::new();
        let mut held = false;
        for (at, event) in &story.events {
            match event {
                PageEvent::Told { pass, step, person } => {
                    prop_assert!(told.insert((*pass, *step, person.clone())), "told twice: {event:?}");
                    prop_assert!(!held, "told after somebody took it: {event:?}");
                    let there = on_call(*at);
                    let on = [format!("s{step}"), "s0".to_owned()].iter().any(|name| there(name).as_ref() == Some(person));
                    prop_assert!(on, "not on call: {event:?}");
                }
                PageEvent::Escalated { .. } | PageEvent::StepTaken { .. } | PageEvent::Exhausted => prop_assert!(!held, "{event:?}"),
                PageEvent::Acknowledged { .. } | PageEvent::Resolved { .. } | PageEvent::Snoozed { .. } => held = true,
                PageEvent::Awoke => held = false,
                PageEvent::Opened(_)
                | PageEvent::Changed { .. }
                | PageEvent::Reached { .. }
                | PageEvent::Missed { .. }
                | PageEvent::EndTold { .. }
                | PageEvent::Rated { .. } => prop_assert!(false, "nothing tells it: {event:?}"),
                PageEvent::Deferred { .. } | PageEvent::QuietEnded => prop_assert!(false, "there are no quiet hours"),
            }
        }
    }

    #[test]
    fn shifts_are_those_of_the_last_layer_that_has_somebody(
        starts in proptest::collection::vec((0_i64..400, 1_i64..200), 0..12),
        zone in 0_usize..3,
        at in 0_i64..(24 * 60),
    ) {
        let name = ["Europe/Berlin", "America/Santiago", "Australia/Lord_Howe"][zone];
        let first = jiff::civil::date(2026, 3, 1).at(0, 0, 0, 0);
        let hour = |hours: i64| first.checked_add(SignedDuration::from_hours(hours)).unwrap();
        let overrides: Vec<Override> = starts.iter().enumerate().map(|(n, (from, length))| Override {
            person: format!("p{n}"), from: When::Wall(hour(*from)), until: When::Wall(hour(from + length)),
        }).collect();
        let mut rota = schedule(name, &json!({"layers": [weekly(&["ann", "bob"])]}));
        rota.overrides = overrides.clone();
        let when = span("2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z");
        let shifts = rota.shifts(when, &zones).unwrap();
        prop_assert!(shifts.windows(2).all(|two| two[0].span.until == two[1].span.from), "{:?}", shifts);
        prop_assert_eq!(rota.holes(when, &zones).unwrap(), Vec::new());
        let at = when.from + SignedDuration::from_mins(at * 31);
        let local = at.to_zoned(zones(name).unwrap());
        // Away from clocks that are set, the wall clock alone decides.
        let wall = |when: When| match when {
            When::Wall(at) => at,
            When::Instant(at) => at.to_zoned(zones(name).unwrap()).datetime(),
        };
        let over = overrides.iter().rev().find(|said| wall(said.from) <= local.datetime() && local.datetime() < wall(said.until));
        let found = shifts.iter().find(|shift| shift.span.contains(at)).unwrap();
        let is_set = local.time_zone().following(at - SignedDuration::from_hours(3)).next().is_some_and(|t| t.timestamp() < at + SignedDuration::from_hours(3));
        if let (Some(said), false) = (over, is_set) {
            prop_assert_eq!(&found.person, &said.person);
        }
        prop_assert_eq!(rota.on_call(at, &zones).unwrap().map(|s| s.person), Some(found.person.clone()));
    }
}
