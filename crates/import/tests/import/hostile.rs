//! Input that is broken, huge or contradicts itself.

use prograde_import::{FILE_BYTES_MAX, Source, import};
use serde_json::json;

use super::{run, zone};

fn told(source: Source, text: &str) -> String {
    import(source, &[("x.json".to_owned(), text.to_owned())], &zone).unwrap_err().to_string()
}

#[test]
fn what_is_no_export_is_an_error_with_its_place() {
    for source in [Source::PagerDuty, Source::Grafana] {
        for (text, says) in [
            (String::new(), "x.json:1"),
            ("{\"a\": ".to_owned(), "it is no JSON"),
            ("[".repeat(100_000), "recursion limit"),
            (" ".repeat(FILE_BYTES_MAX + 1), "more than the 16777216"),
            ("{}".to_owned(), "neither"),
            ("[1, 2]".to_owned(), "[0]"),
            ("null".to_owned(), "neither"),
            ("[]".to_owned(), "no schedule could be made"),
        ] {
            let told = told(source, &text);
            assert!(told.starts_with("x.json") && told.contains(says) && told.contains("[PG0673]"), "{told}");
        }
    }
}

#[test]
fn references_to_nothing_are_errors_with_their_place() {
    let layer = |more: serde_json::Value| {
        let mut layer = json!({"start": "2026-01-05T09:00:00Z", "rotation_turn_length_seconds": 86_400,
            "users": [{"user": {"id": "PA", "summary": "Ann"}}]});
        layer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"schedule": {"id": "S", "name": "S", "time_zone": "UTC", "schedule_layers": [layer]}})
    };
    let policy = json!({"escalation_policy": {"id": "P", "name": "P",
        "escalation_rules": [{"targets": [{"id": "NONE", "type": "schedule_reference"}]}]}});
    let users = json!({"users": [{"id": "PX", "name": "X"}]});
    for (files, place, says) in [
        (vec![layer(json!({})), policy], "escalation_policy.escalation_rules[0].targets[0]", "no schedule \"NONE\""),
        (vec![layer(json!({})), users], "schedule.schedule_layers[0].users[0].user", "no user \"PA\""),
        (vec![layer(json!({"start": "soon"}))], "schedule.schedule_layers[0].start", "\"soon\" is no time"),
        (vec![layer(json!({"users": 7}))], "schedule.schedule_layers[0].users", "expected a list, found a number"),
        (vec![layer(json!({"users": [{"user": {"id": "Q"}}]}))], "users[0].user", "no user \"Q\""),
        (vec![layer(json!({"rotation_turn_length_seconds": 0}))], "rotation_turn_length_seconds", "from 1 to"),
        (
            vec![layer(json!({"restrictions": [{"type": "yearly"}]}))],
            "restrictions[0]",
            "`start_time_of_day` is missing",
        ),
        (vec![json!({"schedule": {"id": "S", "time_zone": "UTC"}})], "schedule", "`schedule_layers` is missing"),
        (
            vec![json!({"schedule": {"id": "S", "time_zone": "Mars/Base", "schedule_layers": []}})],
            "schedule.time_zone",
            "no time zone \"Mars/Base\"",
        ),
    ] {
        let files: Vec<_> = files.into_iter().map(|file| ("x.json", file)).collect();
        let told = run(Source::PagerDuty, &files).unwrap_err();
        assert!(told.contains(place) && told.contains(says), "{told}");
    }
    let shift = json!({"id": "O", "type": "rolling_users", "start": "2026-01-05T09:00:00", "duration": 3600, "frequency": "daily",
        "rolling_users": [["U"]]});
    for (files, place, says) in [
        (vec![json!({"id": "S", "type": "calendar", "name": "S", "shifts": ["O"]})], "shifts[0]", "no shift \"O\""),
        (
            vec![json!([{"id": "S", "type": "calendar", "name": "S", "shifts": ["O"]}, shift])],
            "[1].rolling_users[0][0]",
            "no user \"U\"",
        ),
        (vec![json!([{"id": "E", "escalation_chain_id": "F", "type": "wait"}])], "[0]", "no escalation chain \"F\""),
    ] {
        let files: Vec<_> = files.into_iter().map(|file| ("x.json", file)).collect();
        let told = run(Source::Grafana, &files).unwrap_err();
        assert!(told.contains(place) && told.contains(says), "{told}");
    }
}

#[test]
fn hostile_texts_and_numbers_end_in_time() {
    let many = json!({"schedule": {"id": "S", "name": "a: b\n# {", "time_zone": "UTC", "schedule_layers":
        (0..2_000).map(|_| json!({"start": "2026-01-05T09:00:00Z", "rotation_turn_length_seconds": 3_600,
            "users": [{"user": {"id": "PA", "summary": "yes"}}]})).collect::<Vec<_>>()}});
    assert!(run(Source::PagerDuty, &[("x.json", many)]).unwrap_err().contains("at most 1000 layers"));
    for (time, turn) in
        [("9999-12-31T23:00:00Z", 31_449_600), ("-009999-01-02T00:00:00Z", 3_600), ("2026-01-05T09:00:00Z", 1)]
    {
        for name in ["yes", "~", "a: b", "'", "\u{202e}x", "- ", "1e3", "null", "#"] {
            let export = json!({"schedule": {"id": "S", "name": name, "time_zone": "UTC", "schedule_layers": [
                {"start": time, "rotation_virtual_start": "2026-01-05T09:00:00Z", "rotation_turn_length_seconds": turn,
                 "users": [{"user": {"id": "PA", "summary": name}}, {"user": {"id": "PB", "summary": name}}]}]}});
            // Whatever it is, it is an answer.
            let _ =
                run(Source::PagerDuty, &[("x.json", export)]).map_err(|told| assert!(told.contains("PG067"), "{told}"));
        }
    }
}
