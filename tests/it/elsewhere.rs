//! A team's own Prometheus in place of the embedded time series.

use crate::world::prometheus::Prometheus;
use crate::world::wait::until;
use crate::world::{World, text};

/// Half of the budget of 1% is spent while the queue holds five.
const OBJECTIVE: &str = "\
version: prometheus/v1
service: pad
slos:
- name: queue
  objective: 99
  sli: { raw: { error_ratio_query: 'avg_over_time(queue_depth{commit=\"a1\"}[{{.window}}]) / 1000' } }
  alerting: { name: QueueIsLong, page_alert: {}, ticket_alert: {} }
";

#[test]
fn queries_and_budgets_are_asked_of_another_prometheus() {
    let Some(prometheus) = Prometheus::start() else { return };
    prometheus.exporter.set("a1", 5);
    let arguments = ["--prometheus-url", prometheus.url(), "--objectives", "slo.yml"];
    let world = World::with_files(&[("slo.yml", OBJECTIVE)], &arguments);
    let depth = until("it has scraped", || world.ask("queue_depth").pop());
    assert_eq!((text(&depth.0, "commit"), depth.1.as_str()), ("a1", "5"));
    let said = world.cli(&["query", "max_over_time(queue_depth[1m])"]);
    assert!(said.stdout.contains("commit=\"a1\""), "{said:?}");
    let said = world.cli(&["query", "rate(queue_depth)"]);
    assert_eq!(said.code, 2, "{said:?}");
    let jobs = world.get("/prometheus/api/v1/label/job/values");
    assert_eq!(jobs["data"], serde_json::json!(["pad"]));

    let budget = || world.get("/api/v1/budgets")[0].clone();
    until("the budget is measured there", || budget()["spent"].as_f64().filter(|spent| (spent - 0.5).abs() < 1e-9));
    // What it recorded or evaluates is not this server's affair.
    assert!(world.get("/prometheus/api/v1/rules")["data"]["groups"].as_array().unwrap().is_empty());

    // While it is away, what was measured holds, and whoever asks is told why.
    drop(prometheus);
    until("that is noticed", || budget()["problem"].as_str().filter(|why| why.contains("not reached")).map(drop));
    assert!((budget()["spent"].as_f64().unwrap() - 0.5).abs() < 1e-9);
    let said = world.cli(&["query", "queue_depth"]);
    assert!(
        said.code == 2 && said.stderr.contains("PG0602") && said.stderr.contains("the Prometheus that is asked"),
        "{said:?}"
    );
    world.end();
}
