//! `PagerDuty`.

use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use prograde_import::Source;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{findings, moments, ours, run, wall, zone};

fn user(id: &str, name: &str) -> Value {
    json!({"id": id, "type": "user", "summary": name, "name": name, "email": format!("{}@example.com", name.to_lowercase()),
        "time_zone": "Europe/Berlin", "role": "user", "avatar_url": "https://example.com/a.png", "self": null})
}

fn member(id: &str) -> Value {
    json!({"user": {"id": id, "type": "user_reference", "summary": format!("User {id}")}})
}

fn users() -> Value {
    json!({"users": [user("PA", "Ann"), user("PB", "Bob"), user("PC", "Cem"), user("PD", "Dan")], "limit": 25, "offset": 0, "more": false})
}

#[test]
fn an_export_becomes_a_file() {
    let schedule = json!({"schedule": {
        "id": "PI7DH85", "type": "schedule", "summary": "Daily", "name": "Daily", "time_zone": "America/New_York",
        "description": "", "self": "https://api.pagerduty.com/schedules/PI7DH85",
        "schedule_layers": [
            {"id": "L2", "name": "Office", "start": "2026-01-05T09:00:00-05:00", "end": null,
             "rotation_virtual_start": "2026-01-05T09:00:00-05:00", "rotation_turn_length_seconds": 86_400,
             "users": [member("PC")],
             "restrictions": [{"type": "daily_restriction", "start_time_of_day": "09:00:00", "duration_seconds": 28_800}]},
            {"id": "L1", "name": "Week", "start": "2026-01-05T09:00:00-05:00", "end": null,
             "rotation_virtual_start": "2026-01-05T09:00:00-05:00", "rotation_turn_length_seconds": 604_800,
             "users": [member("PA"), member("PB")], "restrictions": []}],
        "overrides_subschedule": {"name": "Overrides", "rendered_schedule_entries": [
            {"start": "2026-02-01T10:00:00-05:00", "end": "2026-02-01T12:00:00-05:00", "user": {"id": "PB", "summary": "Bob"}}]},
    }});
    let policies = json!({"escalation_policies": [{
        "id": "PANZZEQ", "type": "escalation_policy", "name": "Pad", "num_loops": 3, "services": [{"id": "S"}], "teams": [],
        "escalation_rules": [
            {"id": "R1", "escalation_delay_in_minutes": 10, "targets": [{"id": "PI7DH85", "type": "schedule_reference"}]},
            {"id": "R2", "escalation_delay_in_minutes": 30, "targets": [{"id": "PD", "type": "user_reference"}]}]}]});
    let imported = run(Source::PagerDuty, &[("s.json", schedule), ("p.json", policies), ("u.json", users())]).unwrap();
    assert_eq!(findings(&imported), Vec::<String>::new());
    let schedule = &imported.rota.schedules[0];
    assert_eq!((&*schedule.name, &*schedule.layers[0].name, &*schedule.layers[1].name), ("Daily", "Week", "Office"));
    let at = |time: &str| {
        let at: Timestamp = time.parse().unwrap();
        schedule.on_call(at, &zone).unwrap().map(|shift| shift.person)
    };
    assert_eq!(at("2026-01-06T10:00:00-05:00").as_deref(), Some("cem"));
    assert_eq!(at("2026-01-06T20:00:00-05:00").as_deref(), Some("ann"));
    assert_eq!(at("2026-07-13T08:59:00-04:00").as_deref(), Some("ann"));
    assert_eq!(at("2026-07-13T18:00:00-04:00").as_deref(), Some("bob"));
    assert_eq!(at("2026-02-01T11:00:00-05:00").as_deref(), Some("bob"));
    let pad = &imported.rota.escalations["Pad"];
    assert_eq!(
        (pad.repeat, pad.steps[0].wait.to_string(), &*pad.steps[1].people),
        (3, "10m".into(), &["dan".to_owned()][..])
    );
    assert_eq!(imported.rota.people["ann"].email.as_deref(), Some("ann@example.com"));
    assert!(imported.text.starts_with("version: 1\n"), "{}", imported.text);
}

#[test]
fn every_loss_is_told_with_its_place() {
    let layer = |more: Value| {
        let mut layer = json!({"id": "L", "name": "L", "start": "2026-01-05T09:00:00Z", "end": null,
            "rotation_virtual_start": "2026-01-05T09:00:00Z", "rotation_turn_length_seconds": 86_400,
            "users": [member("PA"), member("PB")]});
        layer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        layer
    };
    let schedule = |layers: Vec<Value>| json!({"schedules": [{"id": "S", "type": "schedule", "name": "S", "time_zone": "UTC", "schedule_layers": layers}]});
    for (layers, place, says) in [
        (
            vec![layer(json!({})), layer(json!({"rotation_turn_length_seconds": 5_400}))],
            "schedule_layers[1].rotation_turn_length_seconds",
            "5400 s",
        ),
        (vec![layer(json!({})), layer(json!({"users": []}))], "schedules[0].schedule_layers[1]:", "nobody takes turns"),
        (
            vec![layer(json!({"frobnicate": 7}))],
            "schedules[0].schedule_layers[0]:",
            "`frobnicate` of a layer is not known",
        ),
        (
            vec![layer(json!({})), layer(json!({"end": "2026-01-01T00:00:00Z"}))],
            "schedule_layers[1]",
            "ends before it begins",
        ),
    ] {
        let imported = run(Source::PagerDuty, &[("s.json", schedule(layers)), ("u.json", users())]).unwrap();
        let told = findings(&imported).join("\n");
        assert!(told.starts_with("s.json: ") && told.contains(place) && told.contains(says), "{told}");
        assert!(told.contains("[PG0674]"), "{told}");
    }
    // Without users, references tell the names, and that nothing else is known is said.
    let imported = run(Source::PagerDuty, &[("s.json", schedule(vec![layer(json!({}))]))]).unwrap();
    let told = findings(&imported).join("\n");
    assert!(
        imported.rota.people.contains_key("user-pa") && told.contains("no mail address is known of user-pa"),
        "{told}"
    );
}

#[test]
fn the_order_of_layers_is_proved_by_the_rendered_shifts() {
    let layer = |name: &str, user: &str| {
        json!({"id": name, "name": name, "start": "2026-01-05T09:00:00Z", "rotation_virtual_start": "2026-01-05T09:00:00Z",
            "rotation_turn_length_seconds": 86_400, "users": [member(user)]})
    };
    let with = |person: &str| {
        let entry = json!({"start": "2026-01-06T09:00:00Z", "end": "2026-01-08T09:00:00Z", "user": {"id": person}});
        json!({"schedule": {"id": "S", "name": "S", "time_zone": "UTC", "schedule_layers": [layer("one", "PA"), layer("two", "PB")],
            "final_schedule": {"rendered_schedule_entries": [entry]}}})
    };
    for (person, top, findings_expected) in [("PA", "one", 0), ("PB", "two", 0), ("PC", "one", 1)] {
        let imported = run(Source::PagerDuty, &[("s.json", with(person)), ("u.json", users())]).unwrap();
        assert_eq!(imported.rota.schedules[0].layers.last().unwrap().name, top, "{person}");
        assert_eq!(findings(&imported).len(), findings_expected, "{:?}", findings(&imported));
    }
}

#[test]
fn a_schedule_that_is_in_a_list_and_by_itself_is_one() {
    let schedule = |more: Value, turn: u32| {
        let mut layer = json!({"name": "L", "start": "2026-01-05T09:00:00Z", "rotation_turn_length_seconds": turn, "users": [member("PA")]});
        layer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"id": "S", "type": "schedule", "name": "S", "time_zone": "UTC", "schedule_layers": [layer]})
    };
    let list = json!({"schedules": [schedule(json!({}), 86_400), {"id": "T", "type": "schedule", "name": "T"}]});
    let both = |one: Value| {
        let other = json!({"schedule": {"id": "T", "name": "T", "time_zone": "UTC", "schedule_layers": schedule(json!({}), 3_600)["schedule_layers"]}});
        run(
            Source::PagerDuty,
            &[("l.json", list.clone()), ("o.json", json!({"schedule": one})), ("t.json", other), ("u.json", users())],
        )
    };
    let imported = both(schedule(json!({"rendered_coverage_percentage": 100.0}), 86_400)).unwrap();
    assert_eq!(imported.rota.schedules.len(), 2);
    let told = both(schedule(json!({}), 3_600)).unwrap_err();
    assert!(told.contains("o.json: schedule: it is another one in l.json at schedules[0]"), "{told}");
}

/// A layer as the API answers it, in numbers.
#[derive(Debug, Clone)]
struct Layer {
    virtual_start: DateTime,
    /// Minutes after the virtual start.
    start: i64,
    /// Hours after the start.
    end: Option<i64>,
    turn_h: i64,
    users: Vec<usize>,
    /// Day of the week (daily where none), minute of the day, minutes.
    restrictions: Vec<(Option<i64>, i64, i64)>,
}

const PEOPLE: [&str; 4] = ["ann", "bob", "cem", "dan"];
const IDS: [&str; 4] = ["PA", "PB", "PC", "PD"];

impl Layer {
    fn start(&self) -> DateTime {
        self.virtual_start + SignedDuration::from_mins(self.start)
    }

    fn json(&self, zone: &TimeZone) -> Value {
        let instant = |at: DateTime| at.to_zoned(zone.clone()).unwrap().timestamp().to_string();
        let restrictions: Vec<Value> = self
            .restrictions
            .iter()
            .map(|(day, minute, length)| {
                let time = format!("{:02}:{:02}:00", minute / 60, minute % 60);
                match day {
                    None => {
                        json!({"type": "daily_restriction", "start_time_of_day": time, "duration_seconds": length * 60})
                    }
                    Some(day) => {
                        json!({"type": "weekly_restriction", "start_day_of_week": day + 1, "start_time_of_day": time,
                    "duration_seconds": length * 60})
                    }
                }
            })
            .collect();
        json!({"id": "L", "name": "Layer", "start": instant(self.start()),
            "end": self.end.map(|end| instant(self.start() + SignedDuration::from_hours(end))),
            "rotation_virtual_start": instant(self.virtual_start), "rotation_turn_length_seconds": self.turn_h * 3_600,
            "users": self.users.iter().map(|user| member(IDS[*user])).collect::<Vec<_>>(), "restrictions": restrictions})
    }

    /// Who is on call by it at a time of the wall clock: whose turn has come since the virtual start, in force and within the
    /// restrictions.
    fn on_call(&self, at: DateTime) -> Option<usize> {
        let minutes = |from: DateTime| at.duration_since(from).as_mins();
        if minutes(self.start()) < 0 || self.end.is_some_and(|end| minutes(self.start()) >= end * 60) {
            return None;
        }
        let turn = minutes(self.virtual_start).div_euclid(self.turn_h * 60);
        let week = i64::from(at.weekday().to_monday_zero_offset()) * 1_440
            + at.time().duration_since(Time::midnight()).as_mins();
        let open = |(day, minute, length): &(Option<i64>, i64, i64)| match day {
            Some(day) => (week - (day * 1_440 + minute)).rem_euclid(7 * 1_440) < *length,
            None => (week - minute).rem_euclid(1_440) < *length,
        };
        let is_open = self.restrictions.is_empty() || self.restrictions.iter().any(open);
        is_open.then(|| self.users[usize::try_from(turn).unwrap() % self.users.len()])
    }
}

fn layer() -> impl Strategy<Value = Layer> {
    let restriction = (proptest::option::of(0..7_i64), 0..48_i64, 1..48_i64).prop_map(|(day, half, length)| {
        // A daily restriction is shorter than a day; a weekly one may span several.
        (day, half * 30, if day.is_some() { length * 120 } else { length.min(47) * 30 })
    });
    (
        (0..200_i64, 0..24_i64),
        prop_oneof![Just(0), 0..60 * 24 * 60_i64],
        proptest::option::of(1..6_000_i64),
        prop_oneof![Just(24), Just(168), Just(12), Just(8), Just(336), Just(1), 1..200_i64],
        proptest::collection::vec(0..4_usize, 1..5),
        proptest::collection::vec(restriction, 0..4),
    )
        .prop_map(|((day, hour), start, end, turn_h, users, restrictions)| {
            let virtual_start =
                "2025-11-01T00:00".parse::<DateTime>().unwrap() + SignedDuration::from_hours(day * 24 + hour);
            Layer { virtual_start, start, end, turn_h, users, restrictions }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_same_person_is_on_call_at_every_half_hour_of_a_year(
        layers in proptest::collection::vec(layer(), 1..4),
        name in prop_oneof![Just("Europe/Berlin"), Just("America/New_York"), Just("UTC"), Just("Asia/Kolkata"), Just("Australia/Sydney")],
    ) {
        let zone = TimeZone::get(name).unwrap();
        // A start in the hour that the clock skips or repeats has no single moment.
        let is_plain = |at: DateTime| !zone.to_ambiguous_timestamp(at).is_ambiguous();
        for layer in &layers {
            prop_assume!(is_plain(layer.virtual_start) && is_plain(layer.start()));
            prop_assume!(layer.end.is_none_or(|end| is_plain(layer.start() + SignedDuration::from_hours(end))));
        }
        let json: Vec<Value> = layers.iter().map(|layer| layer.json(&zone)).collect();
        let export = json!({"schedule": {"id": "S", "name": "S", "time_zone": name, "schedule_layers": json}});
        let imported = run(Source::PagerDuty, &[("s.json", export), ("u.json", users())]).unwrap();
        let from: Timestamp = "2025-12-01T00:00:00Z".parse().unwrap();
        let on_call = ours(&imported.rota.schedules[0], from, 366 * 24);
        for at in moments(from, 366 * 24) {
            let Some(shown) = wall(at, &zone) else { continue };
            // The first of the answer is on top.
            let theirs = layers.iter().find_map(|layer| layer.on_call(shown)).map(|user| PEOPLE[user]);
            prop_assert_eq!(on_call.get(&at).map(String::as_str), theirs, "at {} {}", at, shown);
        }
    }
}
