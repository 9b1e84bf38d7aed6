//! Error budgets of real requests: they are spent, somebody is paged, features wait, fixes pass, and people may decide otherwise.

use serde_json::{Value, json};

use crate::world::load::Load;
use crate::world::repository::Repository;
use crate::world::wait::until;
use crate::world::{World, text};

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

fn world() -> World {
    let files = [("prometheus.yml", PROMETHEUS), ("slo.yml", OBJECTIVES)];
    let arguments = ["--prometheus-config", "prometheus.yml", "--objectives", "slo.yml", "--metrics-retention", "800h"];
    World::with_files(&files, &arguments)
}

/// A service whose releases take over at once, so that nobody judges them.
fn unjudged(world: &World) -> Repository {
    let repository = Repository::create(world, "echo");
    let config = std::fs::read_to_string(repository.path("prograde.yaml")).unwrap();
    let (before, _) = config.split_once("environments:").unwrap();
    let environments = "environments:\n  - name: test\n  - name: production\n    gate: { overrides_by: [Ada] }\n";
    repository.write("prograde.yaml", &format!("{before}{environments}"));
    repository
}

fn budget(world: &World) -> Value {
    world.get("/api/v1/budgets?service=echo")[0].clone()
}

fn firing(world: &World, alert: &str) -> Option<Value> {
    let alerts = world.get("/prometheus/api/v1/alerts")["data"]["alerts"].clone();
    let is_it = |one: &&Value| one["state"] == "firing" && one["labels"]["alertname"] == alert;
    alerts.as_array().unwrap().iter().find(is_it).cloned()
}

#[test]
fn a_spent_budget_pages_and_holds_features_and_lets_fixes_pass() {
    let mut world = world();
    let repository = unjudged(&world);
    world.ended(&repository.push("greeting=bad failures=50", "Break it"), "landed");
    assert_eq!(text(&budget(&world), "state"), "unknown");
    let load = Load::start(world.address("echo", "production"), 50);

    let page = until("somebody is paged", || firing(&world, "EchoAvailability"));
    let labels = ["severity", "slo", "service", "team"].map(|label| text(&page["labels"], label));
    assert_eq!(labels, ["page", "availability", "echo", "calls"]);
    until("the team is warned", || firing(&world, "ErrorBudgetHalfSpent"));
    let spent = until("the budget is spent", || Some(budget(&world)).filter(|budget| budget["state"] == "spent"));
    assert!(spent["spent"].as_f64().unwrap() > 1.0 && spent["events_bad"].as_f64().unwrap() > 0.0, "{spent}");
    assert_eq!(text(&spent, "hold"), "budget/echo-availability");
    let said = world.cli(&["budget", "echo", "--explain"]);
    assert!(said.code == 0 && said.stdout.contains("spent = bad / budget"), "{said:?}");

    // What is wrong is still wrong after a crash, before anything is decided.
    world.kill();
    world.start();
    let feature = repository.push("greeting=more", "Add more");
    let reason = "held: 100% of the error budget of echo-availability is spent; fixes pass";
    let waits = |commit: &str| {
        world.flight_when(commit, "is held", |flight| flight["environments"][1]["missing"] == json!([reason]))
    };
    let flight = waits(&feature);
    assert_eq!(text(&flight["environments"][1]["holds"][0], "id"), "budget/echo-availability");
    assert!(world.cli(&["status"]).stdout.contains(reason));

    let fix = repository.push("greeting=mended", "fix: Answer everybody");
    world.ended(&fix, "landed");
    world.ended(&feature, "superseded");
    load.stop();

    let second = waits(&repository.push("greeting=second", "Add a second thing"));
    let id = text(&second, "id");
    let arguments = ["approve", id, "--override", "budget/echo-availability", "--reason", "it was announced", "--by"];
    let refused = world.cli(&[&arguments[..], &["Eve"]].concat());
    assert!(refused.code == 1 && refused.stderr.contains("only Ada may"), "{refused:?}");
    assert_eq!(world.cli(&[&arguments[..], &["Ada"]].concat()).code, 0);
    let landed = world.ended(text(&second, "commit"), "landed");
    let events = landed["events"].as_array().unwrap();
    let overridden = events.iter().find(|event| event["type"] == "gate.overridden").unwrap();
    assert_eq!(overridden["data"]["reason"], "it was announced");
    world.end();
}

#[test]
fn files_that_can_not_be_used_keep_the_server_from_starting_and_name_the_place() {
    let mut world = World::new();
    world.stop();
    std::fs::write(world.dir().join("slo.yml"), OBJECTIVES.replace("objective: 99", "objective: 100")).unwrap();
    let refused = |world: &World, more: &[&str]| {
        let mut command = world.command();
        command.args(["serve", "--listen", "127.0.0.1:0", "--objectives", "slo.yml"]).args(more);
        command.current_dir(world.dir());
        crate::world::said(&mut command)
    };
    let said = refused(&world, &["--metrics-retention", "800h"]);
    assert!(said.code == 2 && said.stderr.contains("slo.yml:6") && said.stderr.contains("PG0680"), "{said:?}");
    std::fs::write(world.dir().join("slo.yml"), OBJECTIVES).unwrap();
    let said = refused(&world, &[]);
    assert!(
        said.code == 2 && said.stderr.contains("PG0683") && said.stderr.contains("--metrics-retention"),
        "{said:?}"
    );
}
