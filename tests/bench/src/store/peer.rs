//! Debian's Prometheus, given the same samples and asked the same queries.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use prograde_observe::Series;
use serde_json::Value;

use super::remote_write;
use crate::harness::pause;

/// A Prometheus that scrapes nothing and takes what is written to it. Ended when dropped.
pub(super) struct Prometheus {
    child: Child,
    folder: tempfile::TempDir,
    url: String,
    agent: ureq::Agent,
}

impl Prometheus {
    /// `None` where it is not installed.
    pub(super) fn start() -> anyhow::Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("prometheus.yml"), "scrape_configs: []\n")?;
        let log = File::create(folder.path().join("log"))?;
        let started = Command::new("prometheus")
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--storage.tsdb.retention.time=99y"])
            .args(["--web.listen-address=127.0.0.1:0", "--web.enable-remote-write-receiver"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        let child = match started {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context("starting prometheus"),
        };
        let agent = ureq::Agent::config_builder().timeout_global(Some(Duration::from_mins(2))).build().into();
        let mut this = Self { child, folder, url: String::new(), agent };
        for _ in 0..3000 {
            pause(Duration::from_millis(20));
            let log = fs::read_to_string(this.folder.path().join("log"))?;
            let address =
                log.lines().find(|line| line.contains("Listening on")).and_then(|line| line.split("address=").nth(1));
            let Some(address) = address.and_then(|rest| rest.split_whitespace().next()) else { continue };
            this.url = format!("http://{address}");
            if this.agent.get(format!("{}/-/ready", this.url)).call().is_ok() {
                return Ok(Some(this));
            }
        }
        bail!("prometheus does not become ready")
    }

    pub(super) fn write(&self, series: &[Series]) -> anyhow::Result<()> {
        let request = self.agent.post(format!("{}/api/v1/write", self.url));
        let request = request.header("content-encoding", "snappy").header("content-type", "application/x-protobuf");
        let status = request.send(&remote_write::request(series)[..])?.status();
        ensure!(status == 204, "prometheus answers a write with {status}");
        Ok(())
    }

    /// The body of its answer to a range query.
    pub(super) fn query(&self, query: &str, start_ms: i64, end_ms: i64, step_ms: i64) -> anyhow::Result<Value> {
        let seconds = |ms: i64| format!("{}.{:03}", ms / 1000, ms % 1000);
        let form = [
            ("query", query.to_owned()),
            ("start", seconds(start_ms)),
            ("end", seconds(end_ms)),
            ("step", seconds(step_ms)),
        ];
        let answer = self.agent.post(format!("{}/api/v1/query_range", self.url)).send_form(form);
        let body = answer?.body_mut().with_config().limit(1 << 30).read_to_vec()?;
        Ok(serde_json::from_slice(&body)?)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
