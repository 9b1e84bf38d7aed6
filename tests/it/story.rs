//! The whole story of an incident: a release turns bad after it has all traffic, and what comes of that, from the first
//! symptom to the next release.

use serde_json::{Value, json};

use crate::oncall::visit;
use crate::world::load::Load;
use crate::world::mailbox::Mailbox;
use crate::world::repository::Repository;
use crate::world::wait::until;
use crate::world::{Said, World, text};

const PROMETHEUS: &str = "global: { evaluation_interval: 500ms }\n";
/// Of the series that the server itself writes down.
const OBJECTIVES: &str = "\
version: prometheus/v1
service: echo
labels: { prograde_environment: production }
slos:
- name: availability
  objective: 99
  description: Whoever calls is answered.
  sli:
    events:
      error_query: sum(rate(prograde_failed_requests_total{service='echo',environment='production'}[{{.window}}]))
      total_query: sum(rate(prograde_requests_total{service='echo',environment='production'}[{{.window}}]))
  alerting: { name: EchoAvailability, page_alert: { labels: { team: calls } } }
";
const ROTA: &str = "\
version: 1
people: { ann: { receiver: ann }, bob: { receiver: bob } }
schedules:
  - name: primary
    time_zone: UTC
    layers: [{ name: all, from: 2020-01-01T00:00, every: 1w, people: [ann] }]
  - name: secondary
    time_zone: UTC
    layers: [{ name: all, from: 2020-01-01T00:00, every: 1w, people: [bob] }]
escalations:
  echo: { steps: [{ schedules: [primary], wait: 2s }, { schedules: [secondary], wait: 1h }] }
";

fn routing(ann: &str, bob: &str) -> String {
    format!(
        "route:\n  receiver: nobody\n  group_wait: 100ms\n  group_interval: 500ms\n  routes:\n\
         \x20 - {{ receiver: pagers, matchers: ['severity=\"page\"'], group_by: [alertname] }}\n\
         receivers:\n\
         - name: nobody\n\
         - name: pagers\n  oncall_configs: [{{ escalation: echo }}]\n\
         - name: ann\n  webhook_configs: [{{ url: '{ann}' }}]\n\
         - name: bob\n  webhook_configs: [{{ url: '{bob}' }}]\n"
    )
}

#[track_caller]
fn done(said: &Said) -> &str {
    assert_eq!(said.code, 0, "{said:?}");
    said.stdout.trim()
}

/// A service whose releases take over at once, so that no judge sees what users see.
fn unjudged(world: &World) -> Repository {
    let repository = Repository::create(world, "echo");
    repository.enter_at_once();
    repository
}

#[test]
fn from_a_bad_release_to_the_next_good_one() {
    let (ann, bob) = (Mailbox::open(), Mailbox::open());
    let files = [
        ("prometheus.yml", PROMETHEUS),
        ("slo.yml", OBJECTIVES),
        ("oncall.yaml", ROTA),
        ("alertmanager.yml", &*routing(&ann.url(), &bob.url())),
    ];
    let arguments = [
        ["--prometheus-config", "prometheus.yml"],
        ["--objectives", "slo.yml"],
        ["--metrics-retention", "800h"],
        ["--alertmanager-config", "alertmanager.yml"],
        ["--oncall", "oncall.yaml"],
    ];
    let world = World::with_files(&files, arguments.as_flattened());
    let repository = unjudged(&world);
    let good = world.ended(&repository.push("greeting=good", "Serve"), "landed");
    let load = Load::start(world.address("echo", "production"), 50);
    let bad = world.ended(&repository.push("greeting=bad failures=50", "Serve more"), "landed");

    // The symptom pages the primary, who does not answer; the secondary does.
    let firing = |mailbox: &Mailbox| mailbox.all().into_iter().find(|letter| letter["status"] == "firing");
    let letter = until("the primary is paged", || firing(&ann));
    let page = text(&letter["page"], "id").to_owned();
    assert!(text(&letter["page"], "title").starts_with("EchoAvailability"), "{letter}");
    let letter = until("nobody answers, and the secondary is paged", || firing(&bob));

    // One command declares, one takes the release back; whoever takes the page is told which may.
    let place = ["-s", "echo", "-e", "production", "--severity", "SEV1", "--by", "bob"];
    let incident = world.cli(&[&["incident", "declare", "half of the calls fail"][..], &place].concat());
    let incident = done(&incident).to_owned();
    done(&world.cli(&["incident", "link", &incident, "--page", &page, "--by", "bob"]));
    let address = text(&letter["page"], "acknowledgeURL").to_owned();
    let (path, form) = address.split_once('?').unwrap();
    let (status, shown) = visit(path, Some(form));
    assert!(status == 200 && shown.contains(&format!("{page} is yours, bob")), "{shown}");
    let offered = format!("incident mitigate {incident} --rollback --flight {}", &text(&bad, "id")[..8]);
    assert!(shown.contains("what may end it") && shown.contains(&offered), "{shown}");
    let suspects = world.get(&format!("/api/v1/incidents/{incident}/suspects"));
    assert_eq!((&suspects[0]["flight"], &suspects[0]["commit"]), (&bad["id"], &bad["commit"]), "{suspects}");
    done(&world.cli(&["incident", "mitigate", &incident, "--rollback", "--by", "bob"]));
    until("the harm has ended", || {
        world.get(&format!("/api/v1/incidents/{incident}"))["mitigated_at"].is_string().then_some(())
    });
    assert_eq!(world.serves_alone("echo", "production")["flight"], good["id"]);
    let budget = world.get("/api/v1/budgets?service=echo")[0].clone();
    assert_eq!(text(&budget, "state"), "spent", "{budget}");
    done(&world.cli(&[
        "incident",
        "resolve",
        &incident,
        "--cause",
        "the release fails every second call",
        "--by",
        "bob",
    ]));

    learn(&world, &incident, &page, &bad);
    next(&world, &repository, &incident);
    load.stop();
    world.end();
}

/// The draft names the commit, and the timeline tells who was paged when.
fn learn(world: &World, incident: &str, page: &str, bad: &Value) {
    let timeline = world.cli(&["incident", "timeline", incident]);
    let told = done(&timeline);
    let place = |part: &str| told.find(part).unwrap_or_else(|| panic!("no {part:?} in {told}"));
    let order = [
        place(&format!("{page} reached ann")),
        place(&format!("{page} reached bob")),
        place(&format!("{incident} declared SEV1")),
        place(&format!("{page} taken by bob")),
        place("mitigated"),
        place("resolved"),
    ];
    assert!(order.is_sorted(), "{told}");
    let draft = world.cli(&["postmortem", "draft", incident]);
    assert!(done(&draft).contains(text(bad, "commit")), "{draft:?}");
}

/// What is to be done holds the next release, and the measures know of the failure.
fn next(world: &World, repository: &Repository, incident: &str) {
    let item = ["--title", "test every call", "--owner", "ann", "--due", "2999-01-31", "--kind", "prevent", "--gate"];
    let item = world.cli(&[&["action", "add", incident, "--by", "bob"][..], &item].concat());
    let item = done(&item).to_owned();
    let commit = repository.push("greeting=better", "Serve better");
    let holds = |flight: &Value| -> Vec<String> {
        let holds = flight["environments"][1]["holds"].as_array().cloned().unwrap_or_default();
        holds.iter().map(|hold| text(hold, "id").to_owned()).collect()
    };
    let action = format!("action/{item}");
    let waits = |flight: &Value| holds(flight).contains(&action);
    world.flight_when(&commit, "waits for the action item and the budget", |flight| {
        waits(flight) && holds(flight).contains(&"budget/echo-availability".to_owned())
    });
    done(&world.cli(&["action", "done", &item, "--note", "every call is tested", "--by", "ann"]));
    let flight = world.flight_when(&commit, "waits for the budget alone", |flight| !waits(flight));
    let over = ["--override", "budget/echo-availability", "--reason", "it mends what was spent", "--by", "bob"];
    done(&world.cli(&[&["approve", text(&flight, "id")][..], &over].concat()));
    world.ended(&commit, "landed");
    let measures: Value = serde_json::from_str(done(&world.cli(&["dora", "--json"]))).unwrap();
    let failures = &measures["total"]["failures"];
    assert_eq!((&failures["n"], &failures["of"]), (&json!(1), &json!(3)), "{measures:#}");
    assert_eq!(measures["total"]["unrecovered"], json!(0), "{measures:#}");
}
