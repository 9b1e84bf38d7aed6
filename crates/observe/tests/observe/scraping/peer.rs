//! Bodies, scraped by Prometheus itself as well: the same are taken, and the same samples come of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use prograde_observe::Labels;
use prograde_observe::scrape::Clock as _;
use prograde_observe::scrape::state::Health;
use serde_json::Value as Json;

use super::site::Site;
use super::{Scraper, SystemClock};
use crate::peer::Prometheus;

const TEXT: &str = "text/plain; version=0.0.4";
const OPEN: &str = "application/openmetrics-text; version=1.0.0";

/// Bodies of the text format; `NOW` stands for a time that is not long ago, in milliseconds.
const TEXTS: [&[u8]; 66] = [
    b"a 1\n",
    b"a 1",
    b"",
    b"\n\n",
    b"a{} 1\n",
    b"a{b=\"1\",c=\"2\"} 1\n",
    b"a{b=\"1\",c=\"2\",} 1\n",
    b"a{b=\"1\" c=\"2\"} 1\n",
    b"a{,b=\"1\"} 1\n",
    b"a{b=\"1\",,c=\"2\"} 1\n",
    b"a { b = \"1\" , c = \"2\" } 1\n",
    b"a\t{b=\"1\"}\t1\n",
    b"a{b=\"1\"}1\n",
    b"a{b=\"\"} 1\n",
    b"a{b=\"\\\\ \\n \\\" \\x\"} 1\n",
    b"a{b=\"line\nbreak\"} 1\n",
    b"a{b=\"\xc3\xa9\"} 1\n",
    b"a{b=\"\xff\"} 1\n",
    b"a{b=\"1\",b=\"2\"} 1\n",
    b"a{b='1'} 1\n",
    b"a{b=1} 1\n",
    b"a{b} 1\n",
    b"a{1=\"b\"} 1\n",
    b"a{b:c=\"1\"} 1\n",
    b"a{b=\"1\" 1\n",
    b"a{b=\"1} 1\n",
    b"a:b:c 1\n:d 2\n_e 3\n",
    b"1a 1\n",
    b"a.b 1\n",
    b"\xc3\xa9 1\n",
    b"a\n",
    b"a \n",
    b"a 1 \n",
    b"a 1\r\n",
    b"a +1\nb -1.5e-3\nc .5\nd 5.\ne 1E3\n",
    b"a NaN\nb nan\nc Inf\nd +Inf\ne -Inf\nf infinity\ng -INF\n",
    b"a +NaN\n",
    b"a 0x10\n",
    b"a 0x1p4\n",
    b"a 1_000\n",
    b"a 1e400\n",
    b"a 1e-400\n",
    b"a one\n",
    b"a .\n",
    b"a 1 NOW\n",
    b"a 1 NOW.5\n",
    b"a 1 -NOW\n",
    b"a 1 NOW 2\n",
    b"a 1 99999999999999999999\n",
    b"# a comment\na 1\n",
    b"#a comment\n#\n# \na 1\n",
    b"# HELP a Some \\\\ help \\n.\n# TYPE a counter\na 1\n",
    b"# HELP a\n# HELP b \n# TYPE a untyped\na 1\n",
    b"#  HELP  a  x\n#\tTYPE\ta gauge\na 1\n",
    b"# HELP\na 1\n",
    b"# HELP 1a x\na 1\n",
    b"# HELP a \xff\na 1\n",
    b"# HELPER a x\na 1\n",
    b"# TYPE a meter\na 1\n",
    b"# TYPE a\na 1\n",
    b"# TYPE a counter \na 1\n",
    b"# TYPE a  counter\na 1\n",
    b"# UNIT a b\na 1\n",
    b"# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n",
    b"a 1\na 1\n",
    b"a{job=\"x\",instance=\"y\"} 1\n",
];

/// Bodies of OpenMetrics.
const OPENS: [&[u8]; 43] = [
    b"a 1\n# EOF\n",
    b"a 1\n# EOF",
    b"a 1\n",
    b"a 1",
    b"# EOF\n",
    b"",
    b"# EOF\n\n",
    b"# EOF\na 1\n",
    b"\na 1\n# EOF\n",
    b"a{} 1\n# EOF\n",
    b"a{b=\"1\",c=\"2\"} 1\n# EOF\n",
    b"a{b=\"1\",} 1\n# EOF\n",
    b"a{b=\"1\"c=\"2\"} 1\n# EOF\n",
    b"a{b=\"1\", c=\"2\"} 1\n# EOF\n",
    b"a{b=\"\\\\ \\n \\\" \\x\"} 1\n# EOF\n",
    b"a{b=\"line\nbreak\"} 1\n# EOF\n",
    b"a{b=\"\xff\"} 1\n# EOF\n",
    b"a  1\n# EOF\n",
    b"a\t1\n# EOF\n",
    b" a 1\n# EOF\n",
    b"a 1 \n# EOF\n",
    b"a 1 NOWs\n# EOF\n",
    b"a 1 SECONDS\n# EOF\n",
    b"a 1 SECONDS.25\n# EOF\n",
    b"a 1 NaN\n# EOF\n",
    b"a 1 +Inf\n# EOF\n",
    b"a_total 1 # {t=\"x\"} 0.5\n# EOF\n",
    b"a_total 1 # {t=\"x\"} 0.5 SECONDS.5\n# EOF\n",
    b"a_total 1 SECONDS # {} 0.5\n# EOF\n",
    b"a_total 1 # {t=\"x\"}\n# EOF\n",
    b"a_total 1 # {t=\"x\",} 1\n# EOF\n",
    b"a_total 1 # {t=\"x\"} 0.5 NaN\n# EOF\n",
    b"a_total 1 # t\n# EOF\n",
    b"# TYPE a_seconds counter\n# UNIT a_seconds seconds\n# HELP a_seconds x\na_seconds_total 1\n# EOF\n",
    b"# UNIT a seconds\n# EOF\n",
    b"# UNIT a_seconds \n# EOF\n",
    b"# TYPE a untyped\n# EOF\n",
    b"# TYPE a unknown\n# TYPE b info\n# TYPE c stateset\n# TYPE d gaugehistogram\n# EOF\n",
    b"# TYPE a\n# EOF\n",
    b"# HELP a\n# EOF\n",
    b"# HELP a \n# EOF\n",
    b"# a comment\n# EOF\n",
    b"#HELP a x\n# EOF\n",
];

/// A sample's value, and its time where the target has said it.
type Samples = BTreeMap<String, (String, Option<i64>)>;

/// Series about the scrape itself.
fn is_report(labels: &Labels) -> bool {
    let name = labels.get("__name__");
    name == "up" || name.starts_with("scrape_")
}

fn number(value: f64) -> String {
    if value.is_nan() { "NaN".to_owned() } else { format!("{value:?}") }
}

fn theirs(prometheus: &Prometheus, job: &str, own_time: i64) -> Samples {
    let found = prometheus.get(&format!("/api/v1/query?query=%7Bjob%3D%22{job}%22%7D%5B30m%5D"));
    let mut samples = Samples::new();
    for series in found["result"].as_array().unwrap() {
        let labels: Labels =
            series["metric"].as_object().unwrap().iter().map(|(name, value)| (name, value.as_str().unwrap())).collect();
        if is_report(&labels) {
            continue;
        }
        let last: &Json = series["values"].as_array().unwrap().last().unwrap();
        #[expect(clippy::cast_possible_truncation, reason = "milliseconds")]
        let at = (last[0].as_f64().unwrap() * 1000.0).round() as i64;
        let value: f64 = last[1].as_str().unwrap().parse().unwrap();
        samples.insert(labels.to_string(), (number(value), Some(at).filter(|at| (at - own_time).abs() < 1000)));
    }
    samples
}

fn ours(scraper: &Scraper, job: &str, own_time: i64) -> Samples {
    let written = scraper.recorder.0.lock().unwrap();
    let kept = written.iter().filter(|(labels, _)| labels.get("job") == job && !is_report(labels));
    let told = kept.map(|(labels, sample)| {
        let at = Some(sample.timestamp).filter(|at| (at - own_time).abs() < 1000);
        (labels.to_string(), (number(sample.value), at))
    });
    told.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_takes_the_same_samples() {
    let own_time = SystemClock.now_ms() - 60_000;
    let filled = |body: &[u8]| {
        // Bodies need not be UTF-8; what is replaced is.
        let mut out = body.to_vec();
        for (word, number) in [("NOW", own_time.to_string()), ("SECONDS", (own_time / 1000).to_string())] {
            while let Some(at) = out.windows(word.len()).position(|window| window == word.as_bytes()) {
                out.splice(at..at + word.len(), number.bytes());
            }
        }
        out
    };
    let texts = TEXTS.iter().map(|body| (TEXT, *body));
    let bodies: Vec<(String, &'static str, Vec<u8>)> = texts
        .chain(OPENS.iter().map(|body| (OPEN, *body)))
        .enumerate()
        .map(|(index, (kind, body))| (format!("/{index}"), kind, filled(body)))
        .collect();
    let site = Site::of_bodies(bodies.clone());
    let mut text = "global: { scrape_interval: 2s }\nscrape_configs:\n".to_owned();
    for (path, ..) in &bodies {
        let name = path.trim_start_matches('/');
        let address = site.address;
        writeln!(
            text,
            "- {{ job_name: b{name}, metrics_path: {path}, static_configs: [{{ targets: ['{address}'] }}] }}"
        )
        .unwrap();
    }
    let Some(prometheus) = Prometheus::start_with(&text) else { return };
    let scraper = Scraper::start(&text).await;
    let targets = scraper.scraped().await;
    let their_targets = prometheus.wait("all targets are scraped", |prometheus| {
        let targets = prometheus.get("/api/v1/targets")["activeTargets"].as_array().unwrap().clone();
        let all = targets.len() == bodies.len() && targets.iter().all(|target| target["health"] != "unknown");
        all.then_some(targets)
    });
    scraper.handle.stop().await;
    let mut differences = String::new();
    for (index, (_, _, body)) in bodies.iter().enumerate() {
        let job = format!("b{index}");
        let our = &targets.iter().find(|target| target.job == job).unwrap().status;
        let their = their_targets.iter().find(|target| target["scrapePool"] == job.as_str()).unwrap();
        let (our_samples, their_samples) = (ours(&scraper, &job, own_time), theirs(&prometheus, &job, own_time));
        let same = (our.health == Health::Up) == (their["health"] == "up") && our_samples == their_samples;
        if !same {
            let body = String::from_utf8_lossy(body);
            writeln!(
                differences,
                "{job} {body:?}\n  ours:   {} {our_samples:?}\n  theirs: {} {their_samples:?}",
                our.last_error, their["lastError"]
            )
            .unwrap();
        }
    }
    assert!(differences.is_empty(), "{differences}");
}
