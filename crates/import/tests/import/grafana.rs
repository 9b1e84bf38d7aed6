//! Grafana `OnCall`.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use prograde_import::Source;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{findings, moments, ours, run, wall};

fn users() -> Value {
    let one = |id: &str, name: &str| json!({"id": id, "username": name, "email": format!("{name}@example.com"), "role": "user"});
    json!({"count": 4, "next": null, "previous": null, "results": [one("UA", "ann"), one("UB", "bob"), one("UC", "cem"), one("UD", "dan")]})
}

fn calendar(shifts: &[&str], name: &str) -> Value {
    json!({"results": [{"id": "S", "type": "calendar", "name": "Pad", "team_id": null, "time_zone": name, "on_call_now": ["UA"],
        "shifts": shifts, "ical_url_overrides": null, "slack": {"channel_id": "C"}}]})
}

fn shifts_of(shifts: &[Value]) -> Value {
    json!({"count": shifts.len(), "next": null, "previous": null, "results": shifts})
}

#[test]
fn an_export_becomes_a_file() {
    let shifts = shifts_of(&[
        json!({"id": "O1", "name": "week", "type": "rolling_users", "time_zone": null, "level": 0, "start": "2026-01-05T09:00:00",
            "duration": 604_800, "frequency": "weekly", "interval": 1, "week_start": "MO", "by_day": ["MO"],
            "rolling_users": [["UA"], ["UB"]], "start_rotation_from_user_index": 1}),
        json!({"id": "O2", "name": "nights", "type": "recurrent_event", "level": 1, "start": "2026-01-05T22:00:00", "duration": 28_800,
            "frequency": "weekly", "interval": 1, "week_start": "SU", "by_day": ["MO", "WE"], "users": ["UC"]}),
        json!({"id": "O3", "name": "once", "type": "single_event", "level": 2, "start": "2026-03-01T00:00:00", "duration": 3_600,
            "users": ["UD"]}),
        json!({"id": "O4", "name": "cover", "type": "override", "start": "2026-03-02T12:00:00", "duration": 3_600,
            "rolling_users": [["UD"]], "time_zone": "UTC"}),
    ]);
    let chains = json!({"results": [{"id": "F", "name": "default", "team_id": null}]});
    let policies = json!({"results": [
        {"id": "E3", "escalation_chain_id": "F", "position": 2, "type": "notify_persons", "important": false, "persons_to_notify": ["UB"]},
        {"id": "E1", "escalation_chain_id": "F", "position": 0, "type": "notify_on_call_from_schedule", "notify_on_call_from_schedule": "S"},
        {"id": "E2", "escalation_chain_id": "F", "position": 1, "type": "wait", "duration": 900},
        {"id": "E4", "escalation_chain_id": "F", "position": 3, "type": "repeat_escalation"}]});
    let files = [
        ("s.json", calendar(&["O1", "O2", "O3", "O4"], "Europe/Berlin")),
        ("o.json", shifts),
        ("c.json", chains),
        ("p.json", policies),
        ("u.json", users()),
    ];
    let imported = run(Source::Grafana, &files).unwrap();
    assert_eq!(findings(&imported), Vec::<String>::new());
    let schedule = &imported.rota.schedules[0];
    let at = |time: &str| {
        let at: Timestamp = time.parse().unwrap();
        schedule.on_call(at, &super::zone).unwrap().map(|shift| shift.person).unwrap_or_default()
    };
    for (time, person) in [
        ("2026-01-05T10:00:00+01:00", "bob"),
        ("2026-01-12T10:00:00+01:00", "ann"),
        ("2026-07-06T10:00:00+02:00", "bob"),
        ("2026-01-07T23:00:00+01:00", "cem"),
        ("2026-01-08T05:59:00+01:00", "cem"),
        ("2026-01-08T06:01:00+01:00", "bob"),
        ("2026-03-01T00:30:00+01:00", "dan"),
        ("2026-03-02T13:30:00+01:00", "dan"),
        ("2026-03-02T14:30:00+01:00", "bob"),
    ] {
        assert_eq!(at(time), person, "{time}");
    }
    let escalation = &imported.rota.escalations["default"];
    assert_eq!((escalation.repeat, escalation.steps.len(), escalation.steps[0].wait.to_string()), (5, 2, "15m".into()));
}

#[test]
fn every_loss_is_told_with_its_place() {
    let shift = |more: Value| {
        let mut shift = json!({"id": "O", "name": "O", "type": "rolling_users", "start": "2026-01-05T09:00:00", "duration": 86_400,
            "frequency": "daily", "rolling_users": [["UA"], ["UB"]]});
        shift.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        shift
    };
    let whole = json!({"id": "W", "name": "W", "type": "recurrent_event", "start": "2026-01-05T09:00:00", "duration": 604_800,
        "frequency": "weekly", "users": ["UD"], "level": 5});
    for (more, says) in [
        (json!({"frequency": "monthly"}), "the frequency \"monthly\" can't be said"),
        (json!({"by_month": [1]}), "`by_month`"),
        (json!({"interval": 3}), "an event every 3 days, with a break"),
        (json!({"duration": 100_000}), "goes on when the next one begins"),
        (json!({"rolling_users": [["UA", "UC"], ["UB"]]}), "2 people are on call at once"),
        (json!({"rolling_users": [["UA"], []]}), "a turn that nobody has"),
        (json!({"level": 5}), "it is at once with another shift of level 5"),
        (json!({"rotation_start": "2026-02-05T09:00:00"}), "taken to begin at `start`"),
        (json!({"colour": "red"}), "`colour` of a shift is not known"),
        (json!({"frequency": "hourly", "interval": 5, "duration": 3_600}), "not at the same time each day"),
    ] {
        let files = [
            ("s.json", calendar(&["O", "W"], "UTC")),
            ("o.json", shifts_of(&[shift(more.clone()), whole.clone()])),
            ("u.json", users()),
        ];
        let told = findings(&run(Source::Grafana, &files).unwrap()).join("\n");
        assert!(told.contains("o.json: results[") && told.contains(says), "{more}: {told}");
    }
    let ical =
        json!({"results": [{"id": "I", "type": "ical", "name": "I", "ical_url_primary": "https://example.com/c.ics"}]});
    let files =
        [("i.json", ical), ("s.json", calendar(&["W"], "UTC")), ("o.json", shifts_of(&[whole])), ("u.json", users())];
    let told = findings(&run(Source::Grafana, &files).unwrap()).join("\n");
    assert!(told.contains("i.json: results[0]: the shifts of the calendar in `ical_url_primary`"), "{told}");
}

/// A shift in numbers.
#[derive(Debug, Clone)]
struct Shift {
    start: DateTime,
    level: i64,
    frequency: &'static str,
    interval: i64,
    /// In half hours.
    length: i64,
    /// Days since Monday.
    by_day: Vec<i8>,
    week_start: i8,
    /// Hours after the start, in UTC.
    until: Option<i64>,
    groups: Vec<usize>,
    first: usize,
    zone: &'static str,
}

const DAYS: [&str; 7] = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];
const IDS: [&str; 4] = ["UA", "UB", "UC", "UD"];
const PEOPLE: [&str; 4] = ["ann", "bob", "cem", "dan"];

impl Shift {
    fn json(&self, id: &str) -> Value {
        let by_day: Vec<&str> = self.by_day.iter().map(|day| DAYS[usize::try_from(*day).unwrap()]).collect();
        let until = self.until.map(|hours| (self.start + SignedDuration::from_hours(hours)).to_string());
        json!({"id": id, "name": id, "type": "rolling_users", "time_zone": self.zone, "level": self.level, "start": self.start.to_string(),
            "duration": self.length * 1_800, "frequency": self.frequency, "interval": self.interval, "until": until,
            "week_start": DAYS[usize::try_from(self.week_start).unwrap()], "by_day": if by_day.is_empty() { Value::Null } else { json!(by_day) },
            "rolling_users": self.groups.iter().map(|user| vec![IDS[*user]]).collect::<Vec<_>>(),
            "start_rotation_from_user_index": self.first})
    }

    fn is_on(&self, at: DateTime) -> bool {
        self.by_day.is_empty() || self.by_day.contains(&at.weekday().to_monday_zero_offset())
    }

    /// All events, one after the other: when each begins on the wall clock, and whose it is. The group changes with each hour or day
    /// that has an event, or with each week.
    fn events(&self, last: DateTime) -> Vec<(DateTime, usize)> {
        let days_into_week = |at: DateTime| (at.weekday().to_monday_zero_offset() - self.week_start).rem_euclid(7);
        let mut at = self.start;
        if !self.is_on(at) {
            // The first of the days in the week, whenever it comes next.
            let first = self.by_day.iter().map(|day| (day - self.week_start).rem_euclid(7)).min().unwrap();
            while days_into_week(at) != first {
                at += 1.day();
            }
        }
        let until = self.until.map(|hours| self.start + SignedDuration::from_hours(hours));
        let zone = TimeZone::get(self.zone).unwrap();
        let mut events = Vec::new();
        let mut turn = self.first;
        while at < last {
            let in_utc = at.to_zoned(zone.clone()).unwrap().with_time_zone(TimeZone::UTC).datetime();
            if until.is_some_and(|until| in_utc > until) {
                break;
            }
            events.push((at, self.groups[turn % self.groups.len()]));
            let before = at;
            match self.frequency {
                "hourly" => at += SignedDuration::from_hours(self.interval),
                "daily" => {
                    at += self.interval.days();
                    while !self.is_on(at) {
                        at += 1.day();
                    }
                }
                _ if self.by_day.is_empty() => at += self.interval.weeks(),
                _ => {
                    at += 1.day();
                    while !self.is_on(at) {
                        at += 1.day();
                    }
                }
            }
            let is_new_week = days_into_week(at) <= days_into_week(before);
            turn += usize::from(self.frequency != "weekly" || self.by_day.is_empty() || is_new_week);
        }
        events
    }
}

fn shift(level: i64) -> impl Strategy<Value = Shift> {
    let days = prop_oneof![Just(Vec::new()), proptest::sample::subsequence((0..7_i8).collect::<Vec<_>>(), 1..7)];
    // Frequency, interval, the longest event in half hours, whether days can be named.
    let kind = prop_oneof![
        Just(("hourly", 1_i64, 2_i64, false)),
        Just(("hourly", 6, 12, false)),
        Just(("hourly", 5, 10, false)),
        Just(("daily", 1, 48, true)),
        Just(("daily", 3, 144, false)),
        Just(("weekly", 1, 48, true)),
        Just(("weekly", 1, 336, false)),
        Just(("weekly", 2, 672, false)),
    ];
    let zone = prop_oneof![Just("Europe/Berlin"), Just("UTC"), Just("America/New_York"), Just("Asia/Kolkata")];
    (
        (0..100_i64, 0..48_i64),
        kind,
        (days, 0..7_i8),
        (1..49_i64, any::<bool>()),
        proptest::option::of(0..4_000_i64),
        proptest::collection::vec(0..4_usize, 1..5),
        0..4_usize,
        zone,
    )
        .prop_map(
            move |(
                (day, half),
                (frequency, interval, longest, named),
                (days, week_start),
                (length, whole),
                until,
                groups,
                first,
                zone,
            )| {
                let start = "2025-12-01T00:00".parse::<DateTime>().unwrap()
                    + SignedDuration::from_mins(day * 1_440 + half * 30);
                let breaks = interval == 1 || (frequency == "hourly" && 24 % interval == 0);
                let length = if whole || !breaks { longest } else { length.min(longest) };
                let by_day = if named { days } else { Vec::new() };
                // A week without days that are named goes on until the next.
                let length = if frequency == "weekly" && by_day.is_empty() && length > 48 { longest } else { length };
                let first = first % groups.len();
                Shift { start, level, frequency, interval, length, by_day, week_start, until, groups, first, zone }
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, ..ProptestConfig::default() })]

    #[test]
    fn the_same_person_is_on_call_at_every_half_hour_of_a_year(one in shift(1), two in shift(3)) {
        let files = [
            ("s.json", calendar(&["O2", "O1"], "Europe/London")),
            ("o.json", shifts_of(&[one.json("O1"), two.json("O2")])),
            ("u.json", users()),
        ];
        let imported = run(Source::Grafana, &files);
        let imported = imported.unwrap();
        let lost: Vec<String> = findings(&imported).into_iter().filter(|told| told.contains("is left out")).collect();
        // What ends before its first event has none.
        prop_assert!(lost.iter().all(|told| told.contains("ends before it begins")), "{:?}", lost);
        let from: Timestamp = "2025-12-01T00:00:00Z".parse().unwrap();
        let on_call = ours(&imported.rota.schedules[0], from, 366 * 24);
        let last: DateTime = "2027-01-01T00:00".parse().unwrap();
        let all: Vec<_> = [&two, &one].into_iter().map(|shift| (shift, TimeZone::get(shift.zone).unwrap(), shift.events(last))).collect();
        'moments: for at in moments(from, 366 * 24) {
            let mut theirs = None;
            for (shift, zone, events) in &all {
                let Some(shown) = wall(at, zone) else { continue 'moments };
                let next = events.partition_point(|(begin, _)| *begin <= shown);
                let event = next.checked_sub(1).map(|index| events[index]);
                let event = event.filter(|(begin, _)| shown < *begin + SignedDuration::from_mins(shift.length * 30));
                theirs = theirs.or(event.map(|(_, user)| PEOPLE[user]));
            }
            prop_assert_eq!(on_call.get(&at).map(String::as_str), theirs, "at {}", at);
        }
    }
}
