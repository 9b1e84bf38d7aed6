//! Feature flags, asked for by OpenFeature's own client, toggled by people and taken back by the judge.

use serde_json::{Value, json};

use crate::world::events::label;
use crate::world::load::Load;
use crate::world::openfeature::Client;
use crate::world::repository::Repository;
use crate::world::wait::until;
use crate::world::{Said, World, text};

const FLAGS: &str = include_str!("fixture/flags.json");
/// Requests a second.
const RATE: u32 = 200;

/// A service with flags, not pushed yet.
fn declared(world: &World) -> Repository {
    let repository = Repository::create(world, "echo");
    repository.edit("prograde.yaml", "manifests: deploy\n", "manifests: deploy\nflags: flags.json\n");
    repository.write("flags.json", FLAGS);
    repository
}

/// A flag's order, such as `["set", "banner", "--variant", "new"]`.
fn order(world: &World, words: &[&str]) -> Said {
    let place = ["-s", "echo", "-e", "production", "--by", "Ada", "--reason", "we want to see"];
    world.cli(&[&["flag"], words, &place].concat())
}

fn base(world: &World) -> String {
    format!("{}/ofrep/production/echo", world.url())
}

#[test]
fn an_openfeature_client_sees_a_toggle() {
    let world = World::new();
    let repository = declared(&world);
    world.ended(&repository.push("greeting=hello", "Serve"), "landed");
    let token = world.cli(&["flag", "token"]).stdout;
    assert_ne!(token.trim(), world.token());
    let Some(mut client) = Client::start(&base(&world), token.trim(), &repository.path("flags.json")) else { return };
    let mut banner = |user: &str| client.ask("banner", user, &json!({"email": format!("{user}@example.net")}));
    assert_eq!(banner("ada")["value"], "old banner");
    assert_eq!(order(&world, &["set", "banner", "--variant", "new"]).code, 0);
    let seen = until("the client sees it", || Some(banner("ada")).filter(|answer| answer["value"] == "new banner"));
    assert_eq!((text(&seen, "variant"), text(&seen, "reason")), ("new", "STATIC"));
    let again = order(&world, &["set", "banner", "--variant", "new"]);
    assert!(again.code == 1 && again.stderr.contains("is set so already in production, by Ada"), "{again:?}");

    // It holds when a later release serves, which takes users to judge it by, and over a restart.
    let load = Load::start(world.address("echo", "production"), RATE);
    let mut world = world;
    world.ended(&repository.push("greeting=again", "Serve again"), "landed");
    world.stop();
    world.start();
    assert_eq!(banner("bob")["value"], "new banner");
    assert_eq!(order(&world, &["set", "banner", "--state", "disabled"]).code, 0);
    let off = until("it is off", || Some(banner("bob")).filter(|answer| answer["value"] == "the code's"));
    assert_eq!(text(&off, "error"), "FLAG_NOT_FOUND");
    assert_eq!(order(&world, &["unset", "banner"]).code, 0);
    until("Git has it again", || (banner("bob")["value"] == "old banner").then_some(()));

    // A default in Git flies like any commit.
    repository.edit("flags.json", "\"defaultVariant\": \"old\"", "\"defaultVariant\": \"new\"");
    let flight = world.ended(&repository.push("greeting=again", "Turn it on in Git"), "landed");
    until("the flight brought it", || (banner("bob")["value"] == "new banner").then_some(()));
    assert_eq!(world.serves_alone("echo", "production")["flight"], flight["id"]);
    load.stop();
    drop(client);
    world.end();
}

#[test]
fn users_keep_the_variants_that_flagd_gave_them() {
    let world = World::new();
    let repository = declared(&world);
    world.ended(&repository.push("greeting=hello", "Serve"), "landed");
    let definitions = repository.path("flags.json");
    let Some(mut client) = Client::start(&base(&world), world.token(), &definitions) else { return };
    let mut counts = std::collections::BTreeMap::new();
    for number in 0..300 {
        let user = format!("user-{number}-ü");
        let region = ["eu", "us", "ch"][number % 3];
        let domain = ["example.org", "example.net"][number % 2];
        let version = format!("v1.{}", number % 20);
        let context = json!({"email": format!("{user}@{domain}"), "region": region, "version": version});
        for flag in ["banner", "colour", "by-mail", "closed"] {
            let answer = client.ask(flag, &user, &context);
            assert_eq!(answer["value"], answer["flagd"], "{flag} {user} {context}");
            *counts.entry(format!("{flag} {}", text(&answer, "value"))).or_insert(0) += 1;
        }
    }
    assert_eq!(counts.len(), 8, "every variant was given: {counts:?}");
    drop(client);
    world.end();
}

#[test]
fn the_protocol_is_kept() {
    let world = World::new();
    let repository = declared(&world);
    world.ended(&repository.push("greeting=hello", "Serve"), "landed");
    let one =
        |key: &str, body: &Value| world.post(&format!("/ofrep/production/echo/ofrep/v1/evaluate/flags/{key}"), body);
    let (status, answer) = one("banner", &json!({"context": {"email": "ada@example.org"}}));
    let expected = json!({
        "key": "banner", "reason": "TARGETING_MATCH", "variant": "new", "value": "new banner", "metadata": {}
    });
    assert_eq!((status, answer), (200, expected));
    for (key, body, status, code) in [
        ("nope", json!({}), 404, "FLAG_NOT_FOUND"),
        ("closed", json!({}), 404, "FLAG_NOT_FOUND"),
        ("banner", json!([]), 400, "PARSE_ERROR"),
        ("banner", json!({"context": "ada"}), 400, "INVALID_CONTEXT"),
        ("banner", json!({"context": {"targetingKey": 7}}), 400, "INVALID_CONTEXT"),
        ("banner", json!({"context": {"big": "x".repeat(70_000)}}), 400, "INVALID_CONTEXT"),
    ] {
        let (answered, answer) = one(key, &body);
        assert_eq!((answered, text(&answer, "errorCode"), text(&answer, "key")), (status, code, key), "{answer}");
    }

    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let bulk = |token: &str, tag: &str| {
        let asked = agent.post(format!("{}/ofrep/v1/evaluate/flags", base(&world))).header("x-api-key", token);
        asked.header("if-none-match", tag).send_json(json!({"context": {"targetingKey": "ada"}})).unwrap()
    };
    assert_eq!(bulk("nothing", "").status(), 401);
    let mut first = bulk(world.token(), "\"other\"");
    let tag = first.headers()["etag"].to_str().unwrap().to_owned();
    let all: Value = first.body_mut().read_json().unwrap();
    let keys: Vec<&str> = all["flags"].as_array().unwrap().iter().map(|flag| text(flag, "key")).collect();
    assert_eq!((first.status().as_u16(), keys), (200, vec!["banner", "by-mail", "colour"]));
    assert_eq!(bulk(world.token(), &tag).status(), 304);
    assert_eq!(order(&world, &["set", "banner", "--variant", "new"]).code, 0);
    let changed = bulk(world.token(), &tag);
    assert!(changed.status() == 200 && changed.headers()["etag"] != tag);
    // The token for flags opens nothing else.
    let token = world.cli(&["flag", "token"]).stdout;
    assert_eq!(bulk(token.trim(), "").status(), 200);
    let status = agent.get(format!("{}/api/v1/status", world.url()));
    assert_eq!(status.header("authorization", format!("Bearer {}", token.trim())).call().unwrap().status(), 401);
    world.end();
}

#[test]
fn what_harms_is_taken_back() {
    let world = World::new();
    let repository = declared(&world);
    repository.edit("prograde.yaml", "watch: 1s", "watch: 10m");
    let commit = repository.push("greeting=hello failures=40 well=1000", "Serve, and fail later");
    world.flight_when(&commit, "is watched", |flight| flight["stage"] == "watching");
    let load = Load::start(world.address("echo", "production"), RATE);
    until("users are answered", || (load.tally().of("hello").good > 200).then_some(()));
    assert_eq!(order(&world, &["set", "banner", "--variant", "new"]).code, 0);
    assert_eq!(load.tally().failed(), 0, "nothing has failed yet");
    let flight = world.flight_when(&commit, "has its flag back", |flight| {
        flight["events"].as_array().unwrap().iter().any(|event| event["type"] == "flag.unset")
    });
    load.stop();
    let of_flags = |event: &&Value| text(event, "type").starts_with("flag.");
    let events: Vec<&Value> = flight["events"].as_array().unwrap().iter().filter(of_flags).collect();
    assert_eq!(
        events.iter().map(|e| label(e)).collect::<Vec<_>>(),
        ["flag.set production", "flag.watched production", "flag.unset production"]
    );
    assert!(text(&events[1]["data"], "limit").ends_with('%'), "{events:#?}");
    assert_eq!(text(&events[2]["data"], "by"), "judge", "{events:#?}");
    let listed: Value = serde_json::from_str(&world.cli(&["flag", "list", "--json"]).stdout).unwrap();
    let banner = |view: &&Value| view["flag"] == "banner" && view["environment"] == "production";
    assert_eq!(listed.as_array().unwrap().iter().find(banner).unwrap()["set"], Value::Null);
    until("people are told", || world.log().contains("was taken back by judge").then_some(()));
    world.end();
}

#[test]
fn flags_that_cannot_be_used_are_refused_before_anything_runs() {
    let world = World::new();
    let repository = declared(&world);
    repository.edit("flags.json", "\"defaultVariant\": \"red\"", "\"defaultVariant\": \"purple\"");
    let flight = world.ended(&repository.push("greeting=hello", "Serve"), "refused");
    assert!(text(&flight, "detail").contains("flags.json:12:7: default \"purple\" is no variant"), "{flight:#}");
    let path = repository.path("");
    let checked = world.cli(&["check", path.to_str().unwrap()]);
    assert!(checked.code == 2 && checked.stdout.contains("[PG0106]"), "{checked:?}");
    let unknown = order(&world, &["set", "banner", "--variant", "new"]);
    assert!(unknown.code == 2 && unknown.stderr.contains("nothing serves in"), "{unknown:?}");
    world.end();
}
