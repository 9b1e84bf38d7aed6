//! The corpus, asked of Prometheus itself: started for the test on a port of its own, given the same samples, and asked over
//! its HTTP API.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use prograde_observe::{Memory, Series};
use proptest::strategy::{Strategy, ValueTree as _};
use proptest::test_runner::TestRunner;
use serde_json::Value as Json;
use tempfile::TempDir;

use super::corpus::{Ask, BEGIN_MS, Case, Times};
use super::{answers, corpus, generator, remote_write};

/// A Prometheus that scrapes nothing and takes what is written to it.
pub(crate) struct Prometheus {
    child: Child,
    dir: TempDir,
    url: String,
    agent: ureq::Agent,
}

impl Prometheus {
    /// `None` where it is not installed, which is a failure in CI.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with("scrape_configs: []\n")
    }

    /// The same with a configuration.
    pub(crate) fn start_with(config: &str) -> Option<Self> {
        Self::start_as(config, &[])
    }

    /// The same with more arguments.
    pub(crate) fn start_as(config: &str, arguments: &[&str]) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("prometheus.yml"), config).unwrap();
        let log = File::create(dir.path().join("log")).unwrap();
        let child = Command::new("prometheus")
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--storage.tsdb.retention.time=99y"])
            .args(["--web.listen-address=127.0.0.1:0", "--web.enable-remote-write-receiver"])
            .args(arguments)
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        let child = match child {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                missing("prometheus");
                return None;
            }
            Err(error) => panic!("prometheus can't be started: {error}"),
        };
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let agent = config.timeout_global(Some(Duration::from_mins(2))).build().into();
        let mut this = Self { child, dir, url: String::new(), agent };
        this.url = this.wait("it listens", Self::listens);
        // It listens before it is ready, and says so meanwhile.
        this.wait("it is ready", |this| {
            let answer = this.agent.get(format!("{}/-/ready", this.url)).call().ok()?;
            answer.status().is_success().then_some(())
        });
        Some(this)
    }

    fn listens(&self) -> Option<String> {
        let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        let line = log.lines().find(|line| line.contains("Listening on"))?;
        Some(format!("http://{}", line.split("address=").nth(1)?.split_whitespace().next()?))
    }

    /// What its API answers, without what is around the data.
    pub(crate) fn get(&self, path: &str) -> Json {
        let body: Json = self.agent.get(format!("{}{path}", self.url)).call().unwrap().body_mut().read_json().unwrap();
        assert_eq!(body["status"], "success", "{path}: {body}");
        body["data"].clone()
    }

    /// Tries until a condition holds.
    #[expect(clippy::disallowed_methods, reason = "a thread of a test may sleep")]
    pub(crate) fn wait<T>(&self, what: &str, condition: impl Fn(&Self) -> Option<T>) -> T {
        for _ in 0..6_000 {
            if let Some(found) = condition(self) {
                return found;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("not in time that {what}:\n{}", fs::read_to_string(self.dir.path().join("log")).unwrap_or_default());
    }

    /// Takes in samples. The earliest must come first: it decides how far back it looks for more.
    pub(crate) fn write(&self, series: &[Series]) {
        let request = self.agent.post(format!("{}/api/v1/write", self.url));
        let request = request.header("content-encoding", "snappy").header("content-type", "application/x-protobuf");
        let mut answer = request.send(&remote_write::request(series)[..]).unwrap();
        let said = answer.body_mut().read_to_string().unwrap();
        assert_eq!(answer.status(), 204, "{said}");
    }

    fn ask(&self, path: &str, form: &[(&str, &str)]) -> answers::Answer {
        let answer = self.agent.post(format!("{}{path}", self.url)).send_form(form.iter().copied());
        let body: Json = answer.unwrap().body_mut().read_json().unwrap();
        answers::theirs(&body)
    }

    /// Its answers to an instant and to a range query.
    pub(crate) fn answers(&self, query: &str, times: Times) -> (answers::Answer, answers::Answer) {
        let seconds = |ms: i64| format!("{}.{:03}", ms.div_euclid(1000), ms.rem_euclid(1000));
        let instant = self.ask("/api/v1/query", &[("query", query), ("time", &seconds(times.at))]);
        let (start, end, step) = (seconds(times.start), seconds(times.end), seconds(times.step));
        let form = [("query", query), ("start", &start), ("end", &end), ("step", &step)];
        (instant, self.ask("/api/v1/query_range", &form))
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Says that a peer is not installed, which is a failure in CI.
#[expect(clippy::print_stderr, reason = "whoever runs the tests should know which they did not run")]
pub(crate) fn missing(peer: &str) {
    let ci = std::env::vars().any(|(name, value)| name == "CI" && value == "true");
    assert!(!ci, "{peer} is missing: run scripts/test-peers.sh");
    eprintln!("left out: {peer} is not installed");
}

fn memory_of(series: &[Series]) -> Memory {
    let mut memory = Memory::default();
    for series in series {
        for sample in &series.samples {
            memory.push(&series.labels, *sample);
        }
    }
    memory
}

/// Asks both, and tells what differs.
struct Comparison {
    prometheus: Prometheus,
    memory: Memory,
    differences: Vec<String>,
}

impl Comparison {
    fn start() -> Option<Self> {
        let corpus = corpus::read();
        let prometheus = Prometheus::start()?;
        prometheus.write(&corpus.series);
        Some(Self { prometheus, memory: memory_of(&corpus.series), differences: Vec::new() })
    }

    fn compare(&mut self, case: &Case) {
        let (instant, range) = answers::ours(&self.memory, &case.query, case.times);
        let (their_instant, their_range) = self.prometheus.answers(&case.query, case.times);
        let ordered = ["sort", "topk", "bottomk"].iter().any(|function| case.query.starts_with(function));
        let mut differs = |why: &str, ours: &answers::Answer, theirs: &answers::Answer| {
            let difference = format!("{} {why}: {}\n  ours:   {ours:?}\n  theirs: {theirs:?}", case.place, case.query);
            self.differences.push(difference);
        };
        if !answers::agree(&instant, &their_instant, ordered) {
            differs("instant", &instant, &their_instant);
        }
        if case.ask != Ask::InstantOnly && !answers::agree(&range, &their_range, false) {
            differs("range", &range, &their_range);
        }
        let failed = their_instant.is_err() && their_range.is_err();
        if matches!(case.ask, Ask::Both | Ask::Failing) && failed != (case.ask == Ask::Failing) {
            differs("fails otherwise than the corpus says", &instant, &their_instant);
        }
    }

    fn finish(self) {
        assert!(
            self.differences.is_empty(),
            "{} differences:\n{}",
            self.differences.len(),
            self.differences.join("\n")
        );
    }
}

#[test]
fn prometheus_gives_the_same_answers() {
    let corpus = corpus::read();
    assert!(corpus.cases.len() >= 1000, "the corpus has only {} queries", corpus.cases.len());
    let Some(mut comparison) = Comparison::start() else { return };
    for case in &corpus.cases {
        comparison.compare(case);
    }
    comparison.finish();
}

/// Asks for so many queries out of a strategy, the same ones each time.
fn compare_generated(queries: impl Strategy<Value = String>, count: i64) {
    let Some(mut comparison) = Comparison::start() else { return };
    let mut runner = TestRunner::deterministic();
    for index in 0..count {
        let query = queries.new_tree(&mut runner).unwrap().current();
        let at = BEGIN_MS + 61_000 * (index % 40);
        let times = Times { at, start: BEGIN_MS, end: BEGIN_MS + 2_400_000, step: 67_000 };
        // See `modifiers.test`.
        let moves = ["predict_linear", "quantile_over_time"].iter().any(|function| query.contains(function));
        let is_wrong_there = moves && query.contains('@');
        let ask = if is_wrong_there { Ask::InstantOnly } else { Ask::Whatever };
        comparison.compare(&Case { place: format!("query {index}"), query, times, ask });
    }
    comparison.finish();
}

#[test]
fn prometheus_gives_the_same_answers_to_queries_out_of_a_grammar() {
    compare_generated(generator::vector(), 1000);
}

#[test]
fn prometheus_takes_and_refuses_the_same_texts() {
    compare_generated(generator::slipped(), 1000);
}

#[test]
fn prometheus_matches_the_same_values() {
    compare_generated(generator::matched(), 300);
}
