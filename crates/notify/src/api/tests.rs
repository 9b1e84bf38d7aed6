//! Requests that `amtool` does not send.

use jiff::Timestamp;
use prograde_model::alert::{Dispatcher, Limits, SilenceState};
use serde_json::json;

use super::*;

const CONFIG: &str = "route: { receiver: a, group_by: [alertname] }\nreceivers: [{ name: a, console_configs: [{}] }]\n";

fn now() -> Timestamp {
    "2023-01-01T00:00:00Z".parse().unwrap()
}

fn ask(dispatcher: &mut Dispatcher, method: &str, path: &str, query: &[(&str, &str)], body: &str) -> Answer {
    let names = ["a".to_owned()];
    let new_id = format!("id-{}", dispatcher.silences().count() + 1);
    let status = Status { config: "{}", receivers: &names, started: now(), new_id: &new_id };
    let query: Vec<(String, String)> = query.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect();
    let request = Request { method, path, query: &query, body: body.as_bytes() };
    let answer = answer(dispatcher, &status, &request, now());
    answer.facts.iter().for_each(|fact| dispatcher.apply(fact, now()));
    answer
}

fn dispatcher() -> Dispatcher {
    Dispatcher::new(crate::parse("alertmanager.yml", CONFIG).unwrap().routing, Limits { alerts: 2, silences: 1 })
}

#[test]
fn what_is_good_of_a_post_is_taken_and_what_is_not_is_told() {
    let mut state = dispatcher();
    let body = r#"[{"labels":{"alertname":"A","empty":""},"startsAt":"0001-01-01T00:00:00.000Z"},{"labels":{"a-b":"c"}},{"labels":{"x":""}}]"#;
    let answer = ask(&mut state, "POST", "/alerts", &[], body);
    assert_eq!(answer.status, 400);
    assert_eq!(answer.body, Some(json!("invalid name \"a-b\"; at least one label pair required")));
    let listed = ask(&mut state, "GET", "/alerts", &[], "").body.unwrap();
    assert_eq!(listed[0]["labels"], json!({"alertname": "A"}));
    assert_eq!(listed[0]["startsAt"], "2023-01-01T00:00:00.000Z");
    assert_eq!(listed[0]["endsAt"], "2023-01-01T00:05:00.000Z");
    assert_eq!(listed[0]["receivers"], json!([{"name": "a"}]));
    let more = r#"[{"labels":{"alertname":"B"}},{"labels":{"alertname":"C"}}]"#;
    assert_eq!(ask(&mut state, "POST", "/alerts", &[], more).status, 503);
}

#[test]
fn malformed_requests_are_refused() {
    let mut state = dispatcher();
    let deep = "[".repeat(100_000);
    for (method, path, query, body, status) in [
        ("POST", "/alerts", vec![], "{", 400),
        ("POST", "/alerts", vec![], deep.as_str(), 400),
        ("POST", "/alerts", vec![], r#"[{"labels":{"a":"b"},"endsAt":"soon"}]"#, 400),
        (
            "POST",
            "/alerts",
            vec![],
            r#"[{"labels":{"a":"b"},"startsAt":"2023-01-02T00:00:00Z","endsAt":"2023-01-01T00:00:00Z"}]"#,
            400,
        ),
        ("GET", "/alerts", vec![("filter", "a")], "", 400),
        ("GET", "/alerts", vec![("receiver", "(")], "", 400),
        ("GET", "/alerts", vec![("active", "maybe")], "", 422),
        ("GET", "/nothing", vec![], "", 404),
        ("PUT", "/alerts", vec![], "", 405),
        ("GET", "/silence/x", vec![], "", 404),
        ("DELETE", "/silence/x", vec![], "", 404),
        ("POST", "/silences", vec![], "{}", 400),
        ("POST", "/alerts/groups/acknowledge", vec![], r#"{"groupKey":"x","by":"ada"}"#, 404),
        ("POST", "/alerts/groups/acknowledge", vec![], r#"{"groupKey":"x","by":""}"#, 400),
    ] {
        assert_eq!(ask(&mut state, method, path, &query, body).status, status, "{method} {path} {query:?}");
    }
}

#[test]
fn groups_are_acknowledged_and_silences_end_with_alerts() {
    let mut state = dispatcher();
    ask(&mut state, "POST", "/alerts", &[], r#"[{"labels":{"alertname":"A"}}]"#);
    let groups = ask(&mut state, "GET", "/alerts/groups", &[], "").body.unwrap();
    let key = groups[0]["groupKey"].as_str().unwrap().to_owned();
    let body = json!({"groupKey": key, "by": "ada", "comment": "on it"}).to_string();
    assert_eq!(ask(&mut state, "POST", "/alerts/groups/acknowledge", &[], &body).status, 200);
    let groups = ask(&mut state, "GET", "/alerts/groups", &[], "").body.unwrap();
    assert_eq!(groups[0]["acknowledged"]["by"], "ada");
    let silence = json!({
        "matchers": [{"name": "alertname", "value": "A", "isRegex": false}],
        "startsAt": "2023-01-01T00:00:00Z", "endsAt": "2023-01-02T00:00:00Z",
        "createdBy": "ada", "comment": "known", "endsWithAlerts": true,
    });
    assert_eq!(
        ask(&mut state, "POST", "/silences", &[], &silence.to_string()).body,
        Some(json!({"silenceID": "id-1"}))
    );
    assert_eq!(ask(&mut state, "GET", "/silences", &[], "").body.unwrap()[0]["endsWithAlerts"], true);
    assert_eq!(ask(&mut state, "POST", "/silences", &[], &silence.to_string()).status, 503);
    assert_eq!(state.silence("id-1").unwrap().state(now()), SilenceState::Active);
    let quiet = ask(&mut state, "GET", "/alerts", &[("silenced", "false")], "").body;
    assert_eq!(quiet, Some(json!([])));
    assert_eq!(ask(&mut state, "DELETE", "/silence/id-1", &[], "").status, 200);
    assert_eq!(ask(&mut state, "DELETE", "/silence/id-1", &[], "").status, 500);
    assert_eq!(ask(&mut state, "GET", "/status", &[], "").body.unwrap()["versionInfo"]["version"], VERSION);
}
