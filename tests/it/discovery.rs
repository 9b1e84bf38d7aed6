//! Replicas are found and scraped, and alerts that are posted elsewhere.

use serde_json::{Value, json};

use crate::observe;
use crate::world::peer::Peer;
use crate::world::prometheus::Exporter;
use crate::world::repository::Repository;
use crate::world::wait::until;
use crate::world::{World, http, text};

const ANNOTATIONS: &str = "    metadata:
      annotations: { prometheus.io/scrape: 'true', prometheus.io/port: '8080' }
";

/// A service whose replicas ask to be scraped.
fn annotated(world: &World) -> (Repository, String) {
    let repository = Repository::create(world, "echo");
    repository.edit("deploy/base/deployment.yaml", "    metadata:\n", ANNOTATIONS);
    let commit = repository.push("greeting=hello", "Greet");
    world.ended(&commit, "landed");
    (repository, commit)
}

/// How many series a query gives, once it gives some.
fn found(world: &World, query: &str) -> Vec<(Value, String)> {
    until("there is an answer", || Some(world.ask(query)).filter(|answer| !answer.is_empty()))
}

#[test]
fn replicas_that_ask_for_it_are_scraped_without_a_configuration() {
    let mut world = World::new();
    let (repository, commit) = annotated(&world);
    until("both replicas of production are scraped", || {
        let series = world.ask("asked_total{environment='production'}");
        (series.len() == 2).then_some(())
    });
    http::get(world.address("echo", "production"), "/").unwrap();
    until("the request is counted", || {
        (world.ask("sum(asked_total{environment='production'})").first()?.1 == "1").then_some(())
    });
    let (labels, _) = &world.ask("asked_total{environment='test'}")[0];
    let id = text(&world.flight_of(&commit), "id").to_owned();
    assert_eq!((text(labels, "service"), text(labels, "commit"), text(labels, "flight")), ("echo", &*commit, &*id));

    world.kill();
    world.start();
    // Nobody asks for anything, so that the canary stays: both versions are there.
    let again = repository.push("greeting=again", "Greet again");
    until("both versions are scraped", || {
        let up = world.ask("sum by (commit) (up{job='replicas', environment='production'})");
        let of = |commit: &str| up.iter().any(|(labels, up)| labels["commit"] == *commit && up != "0");
        (of(&commit) && of(&again)).then_some(())
    });
    world.end();
}

#[test]
fn a_configuration_that_discovers_pods_finds_replicas() {
    let config = "\
global: { scrape_interval: 500ms, scrape_timeout: 500ms }
scrape_configs:
- job_name: pods
  kubernetes_sd_configs: [{ role: pod, namespaces: { names: [production] } }]
  relabel_configs:
  - { source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_scrape], regex: 'true', action: keep }
  - source_labels: [__address__, __meta_kubernetes_pod_annotation_prometheus_io_port]
    regex: '([^:]+)(?::\\d+)?;(\\d+)'
    replacement: $1:$2
    target_label: __address__
  - { source_labels: [__meta_kubernetes_pod_name], target_label: pod }
  - { regex: __meta_kubernetes_pod_label_(.+), action: labelmap }
";
    let world = World::with_files(&[("prometheus.yml", config)], &["--prometheus-config", "prometheus.yml"]);
    annotated(&world);
    until("both replicas of production are scraped", || (world.ask("asked_total").len() == 2).then_some(()));
    let (labels, _) = &found(&world, "asked_total")[0];
    assert_eq!((text(labels, "app"), text(labels, "job")), ("echo", "pods"));
    assert!(world.ask("up{job='replicas'}").is_empty(), "the file discovers replicas itself");
    world.end();
}

#[test]
fn an_alert_is_known_after_a_scrape_however_seldom_rules_are_evaluated() {
    let exporter = Exporter::open();
    exporter.set("a1", 3);
    let config = observe::config(&exporter.address()).replace("evaluation_interval: 500ms", "evaluation_interval: 5s");
    let rules = observe::RULES.replace("  interval: 500ms\n", "  interval: 5s\n");
    let files = [("prometheus.yml", &*config), ("rules.yml", &*rules)];
    let world = World::with_files(&files, &["--prometheus-config", "prometheus.yml"]);
    let last = |world: &World| {
        let groups = world.get("/prometheus/api/v1/rules");
        let rules = groups["data"]["groups"][0]["rules"].as_array().unwrap().clone();
        let of = |rule: &Value| rule["lastEvaluation"].as_str().unwrap().to_owned();
        (of(&rules[0]), of(&rules[1]))
    };
    // What records is evaluated each five seconds, and what alerts many times in between.
    until("alerts are evaluated in between", || {
        let (before, after) = (last(&world), last(&world));
        let (recorded, alerted) = &after;
        (before.0 == *recorded && alerted > recorded && !recorded.starts_with("0001")).then_some(())
    });
    exporter.set("b2", 5_120);
    until("the alert fires", || world.ask("ALERTS{alertstate='firing'}").pop());
    world.end();
}

#[test]
fn alerts_are_sent_to_the_alertmanagers_of_the_configuration() {
    let port = prograde_ports::free();
    let exporter = Exporter::open();
    exporter.set("a1", 3);
    let config = format!(
        "{}alerting: {{ alertmanagers: [{{ static_configs: [{{ targets: ['127.0.0.1:{port}'] }}] }}] }}\n",
        observe::config(&exporter.address())
    );
    let files = [("prometheus.yml", &*config), ("rules.yml", observe::RULES)];
    let world = World::with_files(&files, &["--prometheus-config", "prometheus.yml"]);
    until("the exporter is scraped", || world.ask("queue_depth").pop());
    exporter.set("b2", 5_120);
    until("the alert fires", || world.ask("ALERTS{alertstate='firing'}").pop());
    // It was not there when the alert began, and is told nevertheless.
    let Some(alertmanager) = Peer::alertmanager(port) else { return };
    let alert = until("it has the alert", || alertmanager.alerts().pop());
    let labels = json!({"alertname": "QueueIsDeep", "commit": "b2", "instance": exporter.address(), "job": "queues", "severity": "page"});
    assert_eq!(alert["labels"], labels);
    assert_eq!(text(&alert["annotations"], "summary"), "Queue b2 holds 5.12k of 1");
    exporter.set("b2", 1);
    until("it knows of the end", || alertmanager.alerts().is_empty().then_some(()));
    world.end();
}
