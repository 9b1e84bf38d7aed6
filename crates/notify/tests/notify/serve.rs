//! The service behind HTTP, as `amtool` and Prometheus use it.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use prograde_model::alert::{AlertEvent, Limits, Retry};
use prograde_model::stored::NotKept;
use prograde_notify::api::{BODY_BYTES_MAX, Request};
use prograde_notify::{Handle, Options, Records};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::peer::{amtool, missing, printed};

/// Facts in memory, which outlive the service.
#[derive(Default)]
pub(crate) struct Memory(Mutex<Vec<(Timestamp, AlertEvent)>>);

#[async_trait]
impl Records for Memory {
    async fn append(&self, facts: &[AlertEvent], at: Timestamp) -> Result<(), NotKept<AlertEvent>> {
        // As they would be read back.
        let stored =
            facts.iter().map(|fact| (at, serde_json::from_str(&serde_json::to_string(fact).unwrap()).unwrap()));
        self.0.lock().unwrap().extend(stored);
        Ok(())
    }
}

/// A served service.
pub(crate) struct Served {
    pub(crate) runtime: Runtime,
    pub(crate) url: String,
    pub(crate) handle: Handle,
    pub(crate) records: Arc<Memory>,
    pub(crate) folder: TempDir,
}

impl Served {
    pub(crate) fn start(config: &str) -> Self {
        Self::resume(config, Arc::default())
    }

    pub(crate) fn resume(config: &str, records: Arc<Memory>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("alertmanager.yml");
        fs::write(&file, config).unwrap();
        let runtime = Runtime::new().unwrap();
        let options = Options {
            config: prograde_notify::parse("alertmanager.yml", config).unwrap(),
            file,
            external_url: "http://prograde.example.org".into(),
            history: records.0.lock().unwrap().clone(),
            records: Arc::clone(&records) as _,
            clock: Arc::new(now),
            pager: None,
            limits: Limits::default(),
            retry: Retry::default(),
        };
        let handle = runtime.block_on(options.start()).unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router =
            Router::new().fallback(answer).layer(DefaultBodyLimit::max(BODY_BYTES_MAX)).with_state(handle.clone());
        runtime.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { runtime, url, handle, records, folder }
    }

    pub(crate) fn amtool(&self, arguments: &[&str]) -> Option<std::process::Output> {
        let url = format!("--alertmanager.url={}", self.url);
        amtool(&[&[url.as_str()], arguments].concat())
    }

    pub(crate) fn stop(self) -> Arc<Memory> {
        self.runtime.block_on(self.handle.shutdown());
        self.records
    }
}

#[expect(clippy::disallowed_methods, reason = "the edge of a test")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

async fn answer(
    State(handle): State<Handle>,
    method: Method,
    uri: Uri,
    Query(query): Query<Vec<(String, String)>>,
    body: Bytes,
) -> Response {
    let Some(path) = uri.path().strip_prefix("/api/v2") else { return StatusCode::NOT_FOUND.into_response() };
    let request = Request { method: method.as_str(), path, query: &query, body: &body };
    let answer = handle.answer(&request).await;
    let status = StatusCode::from_u16(answer.status).unwrap();
    match answer.body {
        Some(body) => (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response(),
        None => status.into_response(),
    }
}

/// Waits until there is something.
#[expect(clippy::disallowed_methods, reason = "a thread of a test may sleep")]
pub(crate) fn wait<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    for _ in 0..6_000 {
        if let Some(found) = condition() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("not in time: {what}");
}

const CONFIG: &str = "
route: { receiver: all, group_by: [alertname], routes: [{ match: { team: db }, receiver: db }] }
receivers: [{ name: all }, { name: db }]
inhibit_rules: [{ source_matchers: [ alertname = Down ], target_matchers: [ alertname = Slow ], equal: [zone] }]
";

fn json(output: &std::process::Output) -> Value {
    serde_json::from_str(&printed(output)).unwrap()
}

#[test]
fn amtool_adds_and_queries_alerts() {
    let served = Served::start(CONFIG);
    let Some(added) = served.amtool(&["alert", "add", "alertname=Down", "zone=a", "--annotation=summary=it is down"])
    else {
        return;
    };
    printed(&added);
    for labels in [["Slow", "zone=a", "team=db"], ["Slow", "zone=b", "team=web"]] {
        printed(&served.amtool(&[&["alert", "add"], &labels[..]].concat()).unwrap());
    }
    let names = |arguments: &[&str]| {
        let found = json(&served.amtool(&[&["-o", "json", "alert", "query"], arguments].concat()).unwrap());
        let names = found.as_array().unwrap().iter().map(|alert| {
            format!("{}/{}", alert["labels"]["alertname"].as_str().unwrap(), alert["labels"]["zone"].as_str().unwrap())
        });
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    };
    // `amtool` asks for those that nothing keeps quiet unless it is told otherwise.
    assert_eq!(names(&[]), ["Down/a", "Slow/b"]);
    assert_eq!(names(&["--inhibited"]), ["Slow/a"]);
    assert_eq!(names(&["zone=b"]), ["Slow/b"]);
    assert_eq!(names(&["alertname=~D.*"]), ["Down/a"]);
    assert_eq!(names(&["--receiver=db", "--inhibited"]), ["Slow/a"]);
    let extended = printed(&served.amtool(&["-o", "extended", "alert", "query"]).unwrap());
    assert!(extended.contains("it is down"), "{extended}");
    served.stop();
}

#[test]
fn amtool_sets_and_ends_silences() {
    let served = Served::start(CONFIG);
    let Some(set) = served.amtool(&["silence", "add", "-c", "known", "-a", "ada", "-d", "1h", "alertname=Down"]) else {
        return;
    };
    let id = printed(&set).trim().to_owned();
    printed(&served.amtool(&["alert", "add", "alertname=Down", "zone=a"]).unwrap());
    let query = |arguments: &[&str]| json(&served.amtool(&[&["-o", "json"], arguments].concat()).unwrap());
    assert_eq!(query(&["alert", "query"]).as_array().unwrap().len(), 0);
    assert_eq!(query(&["alert", "query", "--silenced"])[0]["status"]["silencedBy"][0], id.as_str());
    let silence = &query(&["silence", "query"])[0];
    assert_eq!((&silence["createdBy"], &silence["status"]["state"]), (&"ada".into(), &"active".into()));
    assert_eq!(query(&["silence", "query", "alertname=Down"])[0]["id"], id.as_str());
    assert_eq!(query(&["silence", "query", "alertname=Slow"]).as_array().unwrap().len(), 0);
    let updated = printed(&served.amtool(&["silence", "update", "-d", "2h", "-c", "still", &id]).unwrap());
    assert!(updated.contains(&id) && updated.contains("still"), "{updated}");
    // Over a restart.
    let served = Served::resume(CONFIG, served.stop());
    let query = |arguments: &[&str]| json(&served.amtool(&[&["-o", "json"], arguments].concat()).unwrap());
    assert_eq!(query(&["silence", "query"])[0]["comment"], "still");
    assert_eq!(query(&["alert", "query", "--silenced"]).as_array().unwrap().len(), 1);
    printed(&served.amtool(&["silence", "expire", &id]).unwrap());
    assert_eq!(query(&["silence", "query"]).as_array().unwrap().len(), 0);
    assert_eq!(query(&["silence", "query", "--expired"]).as_array().unwrap().len(), 1);
    assert!(!served.amtool(&["silence", "expire", &id]).unwrap().status.success());
    assert!(!served.amtool(&["silence", "add", "-c", "all", "alertname=~.*"]).unwrap().status.success());
    served.stop();
}

#[test]
fn amtool_shows_the_configuration_without_secrets() {
    let config = CONFIG.replace("{ name: db }", "{ name: db, slack_configs: [{ api_url: 'http://x/hidden' }], webhook_configs: [{ url: 'http://me:hidden@x/hidden' }] }");
    let served = Served::start(&config);
    let Some(shown) = served.amtool(&["config", "show"]) else { return };
    let shown = printed(&shown);
    assert!(shown.contains("<secret>") && !shown.contains("hidden"), "{shown}");
    assert!(printed(&served.amtool(&["cluster", "show"]).unwrap()).contains("disabled"));
    served.stop();
}

/// A program that is ended with the test.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn prometheus(folder: &Path, target: &str) -> Option<Running> {
    let config = format!(
        "global: {{ evaluation_interval: 200ms }}\nrule_files: [rules.yml]\nalerting: {{ alertmanagers: [{{ api_version: v2, static_configs: [{{ targets: ['{target}'] }}] }}] }}\n"
    );
    fs::write(folder.join("prometheus.yml"), config).unwrap();
    let rules = "groups: [{ name: g, rules: [{ alert: Always, expr: vector(1), labels: { zone: a }, annotations: { summary: '{{ $value }}' } }] }]\n";
    fs::write(folder.join("rules.yml"), rules).unwrap();
    let child = Command::new("prometheus")
        .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address=127.0.0.1:0"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(folder.join("log")).unwrap())
        .spawn();
    match child {
        Ok(child) => Some(Running(child)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            missing("prometheus");
            None
        }
        Err(error) => panic!("prometheus can't be started: {error}"),
    }
}

#[test]
fn prometheus_sends_its_alerts() {
    let served = Served::start(CONFIG);
    let Some(_running) = prometheus(served.folder.path(), served.url.trim_start_matches("http://")) else { return };
    let alert = wait("Prometheus sends its alert", || {
        let query = vec![("filter".to_owned(), "alertname=Always".to_owned())];
        let request = Request { method: "GET", path: "/alerts", query: &query, body: b"" };
        let answer = served.runtime.block_on(served.handle.answer(&request));
        answer.body.and_then(|body| body.get(0).cloned())
    });
    assert_eq!((&alert["labels"]["zone"], &alert["annotations"]["summary"]), (&"a".into(), &"1".into()));
    assert!(alert["generatorURL"].as_str().unwrap().contains("/graph"), "{alert}");
    served.stop();
}
