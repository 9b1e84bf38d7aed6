//! Asked of Prometheus itself, started for the test on a port of its own.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use prograde_control::ports::{MeasureError, Measurement};
use prograde_control::{Clock as _, SystemClock};
use prograde_model::metric::{Found, MetricSource, PrometheusQuery};
use tempfile::TempDir;

use super::tests::measurement;

/// A Prometheus that scrapes nothing: every query below brings its own numbers.
struct Prometheus {
    child: Child,
    dir: TempDir,
}

impl Prometheus {
    /// `None` where it is not installed, which is a failure in CI.
    fn start() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("prometheus.yml"), "scrape_configs: []\n").unwrap();
        let log = File::create(dir.path().join("log")).unwrap();
        let child = Command::new("prometheus")
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address=127.0.0.1:0"])
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        match child {
            Ok(child) => Some(Self { child, dir }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let ci = std::env::var_os("CI");
                assert_ne!(ci.as_deref(), Some("true".as_ref()), "prometheus is missing: run scripts/test-peers.sh");
                eprintln!("left out: prometheus is not installed");
                None
            }
            Err(error) => panic!("prometheus can't be started: {error}"),
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Where it listens, once it has said so.
    async fn url(&self) -> String {
        for _ in 0..6_000 {
            let log = self.log();
            let line = log.lines().find(|line| line.contains("Listening on"));
            if let Some(address) = line.and_then(|line| line.split("address=").nth(1)) {
                return format!("http://{}", address.split_whitespace().next().unwrap());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("prometheus does not listen:\n{}", self.log());
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

async fn ask(url: &str, query: &str) -> Result<Found, MeasureError> {
    let source = PrometheusQuery { url: Some(url.to_owned()), query: query.to_owned(), bearer_token_file: None };
    let asked = Measurement { at: SystemClock.now(), ..measurement(MetricSource::Prometheus(source)) };
    super::tests::measure(asked).await
}

#[tokio::test]
async fn prometheus_itself_answers_as_we_read_it() {
    let Some(prometheus) = Prometheus::start() else { return };
    let url = prometheus.url().await;
    // It listens before it is ready, and says 503 meanwhile.
    while matches!(ask(&url, "1").await, Err(MeasureError::Refused { status: 503, .. })) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut told = String::new();
    for query in [
        "1.5",
        "vector(1e6)",
        "max(label_replace(vector(3), \"a\", \"é&+ %\", \"\", \"\"))",
        "1 / 0",
        "-1 / 0",
        "vector(0) / 0",
        "up{job=\"none\"}",
        "vector(1) or label_replace(vector(2), \"a\", \"b\", \"\", \"\")",
        "\"text\"",
        "up[5m]",
    ] {
        let found = ask(&url, query).await.map_or_else(|error| error.to_string(), |found| format!("{found:?}"));
        told.extend([query, " => ", &found, "\n"]);
    }
    insta::assert_snapshot!(told, @r#"
    1.5 => Value(1.5)
    vector(1e6) => Value(1000000.0)
    max(label_replace(vector(3), "a", "é&+ %", "", "")) => Value(3.0)
    1 / 0 => Infinite { positive: true }
    -1 / 0 => Infinite { positive: false }
    vector(0) / 0 => Nothing { why: "not a number (NaN), as when nothing is divided by nothing" }
    up{job="none"} => Nothing { why: "the query gave no series" }
    vector(1) or label_replace(vector(2), "a", "b", "", "") => the answer has 2 series; aggregate them to one, such as with `max(...)`
    "text" => the answer is a string, not a number
    up[5m] => the answer is a range of samples; use an instant query, such as with `avg_over_time`
    "#);
    // Its words differ from version to version; that there are some does not.
    for wrong in ["max(", "no_function(1)"] {
        let error = ask(&url, wrong).await.unwrap_err();
        let MeasureError::Refused { status: 400, detail } = &error else { panic!("{error:?}") };
        assert!(detail.contains("parse error"), "{detail}");
    }
}
