//! Native histograms, beside Prometheus itself.
//!
//! Both get the same write request, and are asked the same. Where Prometheus 3 answers otherwise than 2.42, which is the
//! peer, this crate answers as 3 does, and only it is asked: quantiles and fractions within a bucket, increases from zero,
//! and what 2.42 makes a 0 of: averages, `last_over_time`, `label_replace`, operators other than `+`.

use std::collections::BTreeMap;
use std::sync::Arc;

use prograde_observe::evaluate::{self, InstantVector, Options, Value};
use prograde_observe::histogram::{Bucket, Edges, Hint};
use prograde_observe::remote_write::{decode, receive};
use prograde_observe::tsdb::{self, Database};
use prograde_observe::{Histogram, HistogramSample, Labels, Memory, Sample, Series, promql};
use serde_json::Value as Json;

use super::peer::Prometheus;
use super::remote_write;

const BEGIN_MS: i64 = 1_600_000_000_000;
const STEP_MS: i64 = 15_000;
const STEPS: i64 = 80;

fn buckets(all: &[(i32, f64)]) -> Vec<Bucket> {
    all.iter().map(|(index, count)| Bucket { index: *index, count: *count }).collect()
}

/// A histogram that counts up from many on, in `schema`, with more buckets from time to time; it begins anew at step 50.
fn counted(step: i64, schema: i32, zero_threshold: f64) -> Histogram {
    let since = f64::from(i32::try_from(step % 50).unwrap());
    let first = if step < 50 { 1000.0 } else { 5.0 };
    let positive = buckets(&[(-3, first), (0, first + since), (1, first + 2.0 * since), (5, 3.0 + since)]);
    let negative = if step % 50 < 10 { Vec::new() } else { buckets(&[(1, since - 9.0), (2, 2.0)]) };
    let zero_count = 7.0 + since;
    let count = positive.iter().chain(&negative).map(|bucket| bucket.count).sum::<f64>() + zero_count;
    let sum = count * 0.75;
    Histogram { schema, zero_threshold, zero_count, count, sum, positive, negative, hint: Hint::Unknown }
}

fn series(name: &str, path: &str, of: impl Fn(i64) -> Option<Histogram>) -> Series {
    let labels: Labels = [("__name__", name), ("path", path)].into_iter().collect();
    let at = |step: i64| {
        let histogram = Arc::new(of(step)?);
        Some(HistogramSample { timestamp: BEGIN_MS + step * STEP_MS, histogram })
    };
    Series { labels, samples: Vec::new(), histograms: (0..STEPS).filter_map(at).collect() }
}

fn corpus() -> Vec<Series> {
    let gauge = |step: i64| {
        let up = f64::from(i32::try_from(step % 7).unwrap());
        let positive = buckets(&[(0, up + 0.5), (3, 2.25)]);
        let count = positive.iter().map(|bucket| bucket.count).sum();
        Some(Histogram { count, sum: 1.5 - up, schema: -1, positive, hint: Hint::Gauge, ..Histogram::default() })
    };
    let ends = |step: i64| match step {
        0..40 => Some(counted(step, 3, 0.001)),
        40 => Some(Histogram::stale()),
        _ => None,
    };
    vec![
        series("h", "/a", |step| Some(counted(step, 3, 0.001))),
        series("h", "/b", |step| Some(counted(step + 7, 1, 0.001))),
        series("h", "/c", |step| (step % 3 != 1).then(|| counted(step, 2, 0.3))),
        series("g", "/a", gauge),
        series("gone", "/a", ends),
    ]
}

/// What an API shows of a histogram: its count and sum, and its buckets by their bounds.
type Shown = (Vec<f64>, Vec<Vec<f64>>);

fn of_ours(histogram: &Histogram) -> Shown {
    let rule = |edges| match edges {
        Edges::Upper => 0.0,
        Edges::Lower => 1.0,
        Edges::Both => 3.0,
    };
    let buckets = histogram.buckets().map(|one| vec![rule(one.edges), one.lower, one.upper, one.count]);
    (vec![histogram.count, histogram.sum], buckets.collect())
}

fn number(json: &Json) -> f64 {
    let text = json.as_str().unwrap();
    text.replace("Inf", "inf").parse().unwrap_or_else(|_| panic!("{text}"))
}

fn of_theirs(json: &Json) -> Shown {
    let bucket = |one: &Json| {
        let rule = f64::from(u32::try_from(one[0].as_u64().unwrap()).unwrap());
        vec![rule, number(&one[1]), number(&one[2]), number(&one[3])]
    };
    let buckets = json["buckets"].as_array().map(|all| all.iter().map(bucket).collect()).unwrap_or_default();
    (vec![number(&json["count"]), number(&json["sum"])], buckets)
}

fn agrees(one: &[f64], other: &[f64]) -> bool {
    let near = |(a, b): (&f64, &f64)| {
        (a - b).abs() <= 1e-12 * a.abs().max(b.abs()).max(1e-6)
            || a.to_bits() == b.to_bits()
            || a.is_nan() && b.is_nan()
    };
    one.len() == other.len() && one.iter().zip(other).all(near)
}

/// By labels and time: a number as a histogram without buckets whose sum is missing.
type Answer = BTreeMap<(String, i64), Shown>;

fn ours(store: &impl prograde_observe::Store, query: &str) -> Answer {
    let expression = promql::parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
    let options = Options::default();
    let mut answer = Answer::new();
    let mut add = |labels: &Labels, timestamp, shown| {
        assert!(answer.insert((labels.to_string(), timestamp), shown).is_none());
    };
    let end = BEGIN_MS + (STEPS + 30) * STEP_MS;
    for series in evaluate::range(&expression, store, BEGIN_MS, end, STEP_MS, &options).unwrap() {
        for sample in &series.samples {
            add(&series.labels, sample.timestamp, (vec![sample.value], Vec::new()));
        }
        for sample in &series.histograms {
            add(&series.labels, sample.timestamp, of_ours(&sample.histogram));
        }
    }
    let instant = evaluate::instant(&expression, store, BEGIN_MS + 1000, &options).unwrap();
    let Value::Vector(InstantVector { floats, histograms }) = instant else { panic!("{query}") };
    for (labels, sample) in &floats {
        add(labels, 0, (vec![sample.value], Vec::new()));
    }
    for (labels, sample) in &histograms {
        add(labels, 0, of_ours(&sample.histogram));
    }
    answer
}

fn theirs(prometheus: &Prometheus, query: &str) -> Answer {
    let mut answer = Answer::new();
    let labels = |metric: &Json| -> Labels {
        metric.as_object().unwrap().iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect()
    };
    let encoded: String = query.bytes().fold(String::new(), |out, byte| out + &format!("%{byte:02x}"));
    let (start, end) = (BEGIN_MS / 1000, (BEGIN_MS + (STEPS + 30) * STEP_MS) / 1000);
    let path = format!("/api/v1/query_range?query={encoded}&start={start}&end={end}&step={}", STEP_MS / 1000);
    let range = prometheus.get(&path);
    let time = |point: &Json| {
        let seconds = point[0].as_f64().unwrap();
        #[expect(clippy::cast_possible_truncation, reason = "a time of the test")]
        let ms = (seconds * 1000.0).round() as i64;
        ms
    };
    for series in range["result"].as_array().unwrap() {
        let name = labels(&series["metric"]).to_string();
        for point in series["values"].as_array().into_iter().flatten() {
            answer.insert((name.clone(), time(point)), (vec![number(&point[1])], Vec::new()));
        }
        for point in series["histograms"].as_array().into_iter().flatten() {
            answer.insert((name.clone(), time(point)), of_theirs(&point[1]));
        }
    }
    let instant = prometheus.get(&format!("/api/v1/query?query={encoded}&time={}", BEGIN_MS / 1000 + 1));
    for series in instant["result"].as_array().unwrap() {
        let name = labels(&series["metric"]).to_string();
        let shown = match series.get("histogram") {
            Some(point) => of_theirs(&point[1]),
            None => (vec![number(&series["value"][1])], Vec::new()),
        };
        answer.insert((name, 0), shown);
    }
    answer
}

const QUERIES: [&str; 33] = [
    "h",
    "g",
    "gone",
    "h offset 1m",
    "{path=\"/a\"}",
    "rate(h{path!=\"/c\"}[2m])",
    "increase(h{path=\"/a\"}[5m])",
    "rate(gone[2m])",
    "delta(g[3m])",
    "sum(h)",
    "sum by (path) (h)",
    "sum(rate(h{path!=\"/c\"}[2m]))",
    "h{path=\"/a\"} + on() h{path=\"/b\"}",
    "h{path=\"/a\"} + on() h{path=\"/c\"}",
    "histogram_count(h)",
    "histogram_sum(rate(h{path!=\"/c\"}[2m]))",
    "histogram_sum(h) / histogram_count(h)",
    "histogram_fraction(-Inf, 2, h)",
    "histogram_fraction(-0.001, +Inf, h{path=\"/a\"})",
    "histogram_fraction(-Inf, +Inf, h)",
    "histogram_quantile(-0.1, h)",
    "histogram_quantile(1.1, sum(h))",
    "histogram_quantile(NaN, h)",
    "histogram_quantile(1, h)",
    "histogram_count(up)",
    "timestamp(h)",
    "present_over_time(h[1m])",
    "absent(h)",
    "absent(gone)",
    "h and on(path) g",
    "h unless on(path) g",
    "count_over_time(h[1m])",
    "count(h)",
];

#[test]
fn prometheus_gives_the_same_answers_of_histograms() {
    let Some(prometheus) = Prometheus::start_as("scrape_configs: []\n", &["--enable-feature=native-histograms"]) else {
        return;
    };
    let corpus = corpus();
    prometheus.write(&corpus);
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(tsdb::Options::new(folder.path(), BEGIN_MS + 3_600_000)).unwrap();
    let body = remote_write::request(&corpus);
    assert_eq!(receive(&body, &database).unwrap().left_out(), 0);
    let sent = decode(&body).unwrap();
    assert!(sent.iter().zip(&corpus).all(|(sent, of)| sent.labels == of.labels));
    let mut differences = Vec::new();
    for query in QUERIES {
        let (ours, theirs) = (ours(&database, query), theirs(&prometheus, query));
        let keys: Vec<_> = ours.keys().collect();
        if keys != theirs.keys().collect::<Vec<_>>() {
            differences.push(format!("{query}: {} of ours, {} of theirs", ours.len(), theirs.len()));
            continue;
        }
        let differs = ours.iter().zip(theirs.values()).find(|((_, one), other)| {
            let same = one.1.len() == other.1.len() && one.1.iter().zip(&other.1).all(|(a, b)| agrees(a, b));
            !agrees(&one.0, &other.0) || !same
        });
        if let Some(((at, one), other)) = differs {
            differences.push(format!("{query} at {at:?}:\n  ours:   {one:?}\n  theirs: {other:?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// What only Prometheus 3 knows, at the first second of the series.
#[track_caller]
fn check(query: &str, wanted: &str) {
    let mut memory = Memory::default();
    let put = |memory: &mut Memory, name: &str, step: i64, positive: &[(i32, f64)], sum: f64| {
        let labels: Labels = [("__name__", name), ("path", "/a")].into_iter().collect();
        let positive = buckets(positive);
        let count = positive.iter().map(|bucket| bucket.count).sum();
        let histogram = Arc::new(Histogram { count, sum, positive, ..Histogram::default() });
        memory.push_histogram(&labels, HistogramSample { timestamp: step * STEP_MS, histogram });
    };
    for (step, count) in [(0, 2.0), (1, 4.0), (2, 1.0), (3, 3.0)] {
        put(&mut memory, "h", step, &[(1, count), (2, count)], 4.0 * count);
        put(&mut memory, "i", step, &[(1, 1.0)], 1.5);
        put(&mut memory, "mixed", step, &[(1, 1.0)], 1.5);
    }
    for (name, step) in [("f", 3), ("mixed", 4)] {
        let labels: Labels = [("__name__", name), ("path", "/a")].into_iter().collect();
        memory.push(&labels, Sample { timestamp: step * STEP_MS, value: 5.0 });
    }
    let expression = promql::parse(query).unwrap();
    let answer = evaluate::instant(&expression, &memory, 3 * STEP_MS, &Options::default()).unwrap();
    let Value::Vector(InstantVector { floats, histograms }) = answer else { panic!("{query}") };
    let floats = floats.iter().map(|(labels, sample)| format!("{labels} {}", sample.value));
    let told: Vec<String> =
        floats.chain(histograms.iter().map(|(labels, sample)| format!("{labels} {}", sample.histogram))).collect();
    assert_eq!(told.join("\n"), wanted, "{query}");
}

#[test]
fn operators_are_those_that_make_sense() {
    check("h", r#"h{path="/a"} {count:6, sum:12, (1,2]:3, (2,4]:3}"#);
    check("-h", r#"{path="/a"} {count:-6, sum:-12, (1,2]:-3, (2,4]:-3}"#);
    check("h * 2", r#"{path="/a"} {count:12, sum:24, (1,2]:6, (2,4]:6}"#);
    check("2 * h", r#"{path="/a"} {count:12, sum:24, (1,2]:6, (2,4]:6}"#);
    check("h / 2", r#"{path="/a"} {count:3, sum:6, (1,2]:1.5, (2,4]:1.5}"#);
    check("h - on(path) i", r#"{path="/a"} {count:5, sum:10.5, (1,2]:2, (2,4]:3}"#);
    check("h * on(path) f", r#"{path="/a"} {count:30, sum:60, (1,2]:15, (2,4]:15}"#);
    check("h / on(path) f", r#"{path="/a"} {count:1.2, sum:2.4, (1,2]:0.6, (2,4]:0.6}"#);
    check("h == h", r#"h{path="/a"} {count:6, sum:12, (1,2]:3, (2,4]:3}"#);
    check("h != bool on(path) i", r#"{path="/a"} 1"#);
    check("h == bool h", r#"{path="/a"} 1"#);
    for nothing in
        ["2 / h", "h + 1", "h ^ 2", "h > h", "h == 1", "h != h", "h * on(path) i", "f / on(path) h", "f == on(path) h"]
    {
        check(nothing, "");
    }
}

#[test]
fn functions_are_those_that_make_sense() {
    check("avg(h)", "{} {count:6, sum:12, (1,2]:3, (2,4]:3}");
    check("last_over_time(h[1m])", r#"h{path="/a"} {count:6, sum:12, (1,2]:3, (2,4]:3}"#);
    check("sum_over_time(h[30s])", r#"{path="/a"} {count:16, sum:32, (1,2]:8, (2,4]:8}"#);
    check("avg_over_time(h[15s])", r#"{path="/a"} {count:4, sum:8, (1,2]:2, (2,4]:2}"#);
    check("count_over_time(h[30s])", r#"{path="/a"} 3"#);
    check("resets(h[45s])", r#"{path="/a"} 1"#);
    check("changes(h[45s])", r#"{path="/a"} 3"#);
    check(
        "irate(h[45s])",
        r#"{path="/a"} {count:0.26666666666666666, sum:0.5333333333333333, (1,2]:0.13333333333333333, (2,4]:0.13333333333333333}"#,
    );
    check("idelta(h[45s])", r#"{path="/a"} {count:4, sum:8, (1,2]:2, (2,4]:2}"#);
    check("increase(h[45s])", r#"{path="/a"} {count:10, sum:20, (1,2]:5, (2,4]:5}"#);
    check("histogram_avg(h)", r#"{path="/a"} 2"#);
    check("histogram_quantile(0.5, h)", r#"{path="/a"} 2"#);
    check("histogram_quantile(0, h)", r#"{path="/a"} 1"#);
    check("histogram_fraction(1, 2, h)", r#"{path="/a"} 0.5"#);
    check("group(h)", "{} 1");
    check("count_values(\"v\", i)", r#"{v="{count:1, sum:1.5, (1,2]:1}"} 1"#);
    check("sort(f or h)", r#"f{path="/a"} 5"#);
    check("label_replace(i, \"x\", \"1\", \"\", \"\")", r#"i{path="/a", x="1"} {count:1, sum:1.5, (1,2]:1}"#);
    check("rate(mixed[1m] offset -15s)", "");
    check("sum(label_replace(f, \"x\", \"1\", \"\", \"\") or i)", "");
    check("scalar(h) + f", r#"{path="/a"} NaN"#);
    for nothing in [
        "abs(h)",
        "max(h)",
        "topk(1, h)",
        "quantile(0.5, h)",
        "stddev(h)",
        "deriv(h[1m])",
        "max_over_time(h[1m])",
        "histogram_sum(f)",
        "clamp(h, 1, 2)",
    ] {
        check(nothing, "");
    }
}
