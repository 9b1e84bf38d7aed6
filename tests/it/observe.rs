//! The embedded time series: what is scraped, what rules make of it, and what Prometheus' own client gets to see.

use std::fmt::Write as _;
use std::process::Command;

use serde_json::{Value, json};

use crate::canary::under_load;
use crate::world::http;
use crate::world::prometheus::{Exporter, Prometheus};
use crate::world::wait::until;
use crate::world::{Said, World, said, said_by_peer, text};

pub(crate) const RULES: &str = "\
groups:
- name: queues
  interval: 500ms
  rules:
  - record: queue_depth:max
    expr: max(queue_depth)
  - alert: QueueIsDeep
    expr: queue_depth > 100
    for: 1s
    labels: { severity: page }
    annotations:
      summary: 'Queue {{ $labels.commit }} holds {{ $value | humanize }} of {{ with query \"count(up)\" }}{{ . | first | value }}{{ end }}'
";

pub(crate) fn config(address: &str) -> String {
    format!(
        "global: {{ scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms }}\n\
         rule_files: [rules.yml]\n\
         scrape_configs: [{{ job_name: queues, static_configs: [{{ targets: ['{address}'] }}] }}]\n"
    )
}

fn scraping() -> (Exporter, World) {
    let exporter = Exporter::open();
    exporter.set("a1", 3);
    let files = [("prometheus.yml", &*config(&exporter.address())), ("rules.yml", RULES)];
    let world = World::with_files(&files, &["--prometheus-config", "prometheus.yml"]);
    (exporter, world)
}

impl World {
    /// The values of an instant query, by the labels that are not the target's.
    pub(crate) fn ask(&self, query: &str) -> Vec<(Value, String)> {
        let answer = self.get(&format!("/prometheus/api/v1/query?query={}", escaped(query)));
        let result = answer["data"]["result"].as_array().unwrap().clone();
        let one = |series: &Value| (series["metric"].clone(), series["value"][1].as_str().unwrap().to_owned());
        result.iter().map(one).collect()
    }

    /// What promtool says, given this server as its Prometheus.
    fn promtool(&self, arguments: &[&str]) -> Option<Said> {
        let url = self.url().replace("http://", &format!("http://anyone:{}@", self.token()));
        let mut command = Command::new("promtool");
        command.args(&arguments[..2]).arg(format!("{url}/prometheus")).args(&arguments[2..]);
        said_by_peer("promtool", &mut command)
    }
}

pub(crate) fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        write!(escaped, "%{byte:02X}").unwrap();
        escaped
    })
}

#[test]
fn what_is_scraped_can_be_asked_for_and_outlives_a_kill() {
    let (exporter, mut world) = scraping();
    let depth = |world: &World| world.ask("queue_depth").first().map(|(_, value)| value.clone());
    until("the exporter is scraped", || depth(&world).filter(|depth| depth == "3"));
    let metric = json!({"__name__": "queue_depth", "commit": "a1", "instance": exporter.address(), "job": "queues"});
    assert_eq!(world.ask("queue_depth")[0].0, metric);
    assert_eq!(world.ask("up{job='queues'}")[0].1, "1");
    until("the rule has recorded", || world.ask("queue_depth:max").pop());

    let targets = world.get("/prometheus/api/v1/targets");
    let target = &targets["data"]["activeTargets"][0];
    assert_eq!((text(target, "health"), text(target, "scrapePool")), ("up", "queues"));
    let series = world.get("/prometheus/api/v1/series?match[]=queue_depth");
    assert_eq!(series["data"], json!([metric]));
    let names = world.get("/prometheus/api/v1/label/__name__/values?match[]=%7Bjob%3D%22queues%22%7D");
    assert!(names["data"].as_array().unwrap().contains(&json!("up")), "{names}");

    // What Prometheus' own client makes of it.
    if let Some(said) = world.promtool(&["query", "instant", "max(queue_depth) * 2"]) {
        assert!(said.stdout.starts_with("{} => 6 @["), "{said:?}");
        let said = world.promtool(&["query", "series", "--match", "queue_depth"]).unwrap();
        assert!(said.stdout.contains("commit=\"a1\""), "{said:?}");
        let said = world.promtool(&["query", "labels", "commit"]).unwrap();
        assert_eq!(said.stdout.trim(), "a1", "{said:?}");
        let said = world.promtool(&["query", "range", "--step", "1s", "up{job='queues'}"]).unwrap();
        assert!(said.stdout.contains("1 @["), "{said:?}");
        let said = world.promtool(&["query", "instant", "sum("]).unwrap();
        assert!(said.code != 0 && said.stderr.contains("bad_data"), "{said:?}");
    }

    let before = world.ask("count_over_time(queue_depth[1h])");
    world.kill();
    world.start();
    let after = world.ask("count_over_time(queue_depth[1h])");
    let count = |answer: &[(Value, String)]| answer[0].1.parse::<u64>().unwrap();
    assert!(count(&after) >= count(&before), "{before:?} {after:?}");
    world.end();
}

#[test]
fn alerts_fire_and_are_told_with_their_texts() {
    let (exporter, mut world) = scraping();
    until("the exporter is scraped", || world.ask("queue_depth").pop());
    exporter.set("b2", 5_120);
    let firing = |world: &World| {
        let alerts = world.get("/prometheus/api/v1/alerts")["data"]["alerts"].clone();
        alerts.as_array().unwrap().iter().find(|alert| alert["state"] == "firing").cloned()
    };
    let alert = until("the alert fires", || firing(&world));
    assert_eq!(text(&alert["annotations"], "summary"), "Queue b2 holds 5.12k of 1");
    assert_eq!((&alert["labels"]["alertname"], &alert["labels"]["severity"]), (&json!("QueueIsDeep"), &json!("page")));
    let rules = world.get("/prometheus/api/v1/rules?type=alert");
    let rule = &rules["data"]["groups"][0]["rules"][0];
    assert_eq!((text(rule, "state"), text(rule, "health"), text(rule, "query")), ("firing", "ok", "queue_depth > 100"));
    assert_eq!(world.ask("ALERTS{alertstate='firing'}").len(), 1);

    // After a restart it goes on where it was.
    let since = alert["activeAt"].clone();
    world.kill();
    world.start();
    let again = until("the alert fires again", || firing(&world));
    assert_eq!(again["labels"], alert["labels"]);
    let at = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let apart = at(&again["activeAt"]).duration_since(at(&since)).abs();
    assert!(apart.as_secs() < 60, "the time in which nothing ran does not count, but for that: {apart}");
    exporter.set("b2", 1);
    until("the alert is resolved", || firing(&world).is_none().then_some(()));
    world.end();
}

#[test]
fn a_configuration_that_can_not_be_used_keeps_the_server_from_starting_and_a_reload_from_changing_anything() {
    let (_exporter, mut world) = scraping();
    until("the exporter is scraped", || world.ask("queue_depth").pop());
    std::fs::write(world.dir().join("rules.yml"), RULES.replace("max(queue_depth)", "max(")).unwrap();
    let (status, answer) = world.post("/prometheus/-/reload", &Value::Null);
    assert_eq!(status, 400);
    assert!(text(&answer, "error").contains("rules.yml:6"), "{answer}");
    until("rules are still evaluated", || world.ask("queue_depth:max").pop());
    world.stop();
    let mut command = world.serve(&world.data(), std::net::SocketAddr::from(([127, 0, 0, 1], 0)));
    let said = said(&mut command);
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("rules.yml:6") && said.stderr.contains("PG06"), "{}", said.stderr);
}

#[test]
fn what_another_prometheus_writes_is_taken_in() {
    let world = World::new();
    let token = world.token().to_owned();
    let write = format!(
        "remote_write: [{{ url: {}/prometheus/api/v1/write, authorization: {{ credentials: {token} }} }}]\n",
        world.url()
    );
    let Some(prometheus) = Prometheus::with(&write) else { return };
    prometheus.exporter.set("c3", 7);
    let found = until("its samples arrive", || world.ask("queue_depth{commit='c3'}").pop());
    assert_eq!((&found.0["job"], found.1.as_str()), (&json!("pad"), "7"));
    world.end();
}

#[test]
fn what_the_proxy_counts_is_a_series_of_its_own() {
    let world = World::new();
    let (_repository, load) = under_load(&world);
    let requests = || world.ask("sum by (environment) (prograde_requests_total{service='echo'})");
    let counted = |answer: &[(Value, String)]| {
        let production = answer.iter().find(|(metric, _)| metric["environment"] == "production")?;
        production.1.parse::<f64>().ok().filter(|count| *count > 20.0)
    };
    until("requests are counted", || counted(&requests()));
    let quantile = "histogram_quantile(0.5, sum by (le) (rate(prograde_request_duration_seconds_bucket[1m])))";
    let median = until("how long they took is known", || world.ask(quantile).pop());
    assert!(median.1.parse::<f64>().unwrap() < 5.0, "{median:?}");
    let exposed = world.text("/metrics");
    assert!(exposed.contains("# TYPE prograde_requests_total counter"), "{exposed}");
    assert_eq!(load.stop().failed(), 0);
    world.end();
}

#[test]
fn questions_that_make_no_sense_are_refused() {
    let world = World::new();
    for (path, kind, status) in [
        ("query?query=sum(", "bad_data", 400),
        ("query", "bad_data", 400),
        ("query?query=up&time=yesterday", "bad_data", 400),
        ("query_range?query=up&start=0&end=1&step=0", "bad_data", 400),
        ("query_range?query=up&start=2&end=1&step=1", "bad_data", 400),
        ("query_range?query=up&start=0&end=1e9&step=1ms", "bad_data", 400),
        ("series", "bad_data", 400),
        ("series?match[]=%7B%7D", "bad_data", 400),
        ("label/a-b/values", "bad_data", 400),
        ("targets?state=sleeping", "bad_data", 400),
        ("rules?type=golden", "bad_data", 400),
    ] {
        let (found, answer) = world.try_get(&format!("/prometheus/api/v1/{path}"));
        assert_eq!((found, answer["errorType"].as_str()), (status, Some(kind)), "{path}: {answer}");
    }
    let (status, _) = http::get(world.listen(), "/prometheus/api/v1/query?query=1").unwrap();
    assert_eq!(status, 401, "nobody asks without the token");
    world.end();
}
