//! The corpus: text files with series and with queries about them.
//!
//! ```text
//! load 1m                        # samples this far apart, from the beginning of time on
//!   up{job="pad"} 1x5 0 _ stale  # 1 six times, 0, nothing, the marker of staleness
//!   served_total 0+10x30         # 0, 10, ... 300
//! eval 10m, 0s to 30m by 1m      # each as an instant query, and as a range query
//!   rate(served_total[5m])
//! fail 10m, 0s to 30m by 1m      # each must fail, both ways
//!   rate(served_total)
//! instant 10m                    # each as an instant query only
//!   served_total[5m]
//! ```
//!
//! A `#` in the first column begins a comment.

use std::fs;
use std::path::Path;

use prograde_observe::labels::{Labels, METRIC_NAME};
use prograde_observe::{Sample, Series};

/// When the corpus begins: no multiple of a minute, so that steps of subqueries lie beside the samples.
pub(crate) const BEGIN_MS: i64 = 1_600_000_007_000;

/// When queries are asked, in milliseconds.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    pub(crate) at: i64,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) step: i64,
}

/// How a query is asked.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Ask {
    Both,
    InstantOnly,
    /// Both ways, and neither has an answer.
    Failing,
    /// Both ways, and either may fail.
    Whatever,
}

pub(crate) struct Case {
    /// File and line.
    pub(crate) place: String,
    pub(crate) query: String,
    pub(crate) times: Times,
    pub(crate) ask: Ask,
}

#[derive(Default)]
pub(crate) struct Corpus {
    pub(crate) series: Vec<Series>,
    pub(crate) cases: Vec<Case>,
}

enum Section {
    None,
    Load(i64),
    Ask(Times, Ask),
}

/// All files of the corpus together; their series have different names.
pub(crate) fn read() -> Corpus {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut corpus = Corpus::default();
    for path in paths {
        let name = path.file_name().unwrap().to_str().unwrap();
        add(&mut corpus, name, &fs::read_to_string(&path).unwrap());
    }
    corpus
}

fn add(corpus: &mut Corpus, name: &str, text: &str) {
    let mut section = Section::None;
    for (number, line) in text.lines().enumerate() {
        let place = format!("{name}:{}", number + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if !line.starts_with(' ') {
            let (word, rest) = line.split_once(' ').unwrap();
            section = match word {
                "load" => Section::Load(duration_ms(rest)),
                "eval" => Section::Ask(times(rest), Ask::Both),
                "fail" => Section::Ask(times(rest), Ask::Failing),
                "instant" => Section::Ask(times(&format!("{rest}, 0s to 0s by 1s")), Ask::InstantOnly),
                other => panic!("{place}: what is {other}?"),
            };
            continue;
        }
        match section {
            Section::Load(interval) => corpus.series.push(series(line.trim(), interval)),
            Section::Ask(times, ask) => {
                corpus.cases.push(Case { place, query: line.trim().to_owned(), times, ask });
            }
            Section::None => panic!("{place}: belongs to nothing"),
        }
    }
}

/// `10m, 0s to 30m by 1m`
fn times(text: &str) -> Times {
    let (at, rest) = text.split_once(", ").unwrap();
    let (start, rest) = rest.split_once(" to ").unwrap();
    let (end, step) = rest.split_once(" by ").unwrap();
    Times {
        at: BEGIN_MS + duration_ms(at),
        start: BEGIN_MS + duration_ms(start),
        end: BEGIN_MS + duration_ms(end),
        step: duration_ms(step),
    }
}

fn duration_ms(text: &str) -> i64 {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        other => panic!("{other} is no unit"),
    };
    digits.parse::<i64>().unwrap() * unit
}

/// `name{a="b"} values`; label values have no spaces and no commas.
fn series(text: &str, interval: i64) -> Series {
    let (name, values) = text.split_once(' ').unwrap();
    let (metric, rest) = name.split_once('{').unwrap_or((name, "}"));
    let mut pairs = vec![(METRIC_NAME, metric.to_owned())];
    for pair in rest.strip_suffix('}').unwrap().split(',').filter(|pair| !pair.is_empty()) {
        let (label, value) = pair.split_once('=').unwrap();
        pairs.push((label, value.trim_matches('"').to_owned()));
    }
    let labels: Labels = pairs.into_iter().collect();
    let mut samples = Vec::new();
    let mut timestamp = BEGIN_MS;
    for value in values.split_whitespace().flat_map(expanded) {
        samples.extend(value.map(|value| Sample { timestamp, value }));
        timestamp += interval;
    }
    Series::of_floats(labels, samples)
}

/// `5`, `5x3`, `5+2x3`, `5-2x3`, `_`, `_x3`, `stale`: `x3` means three more.
fn expanded(text: &str) -> Vec<Option<f64>> {
    if text == "stale" {
        return vec![Some(Sample::stale(0).value)];
    }
    let (value, more) = text.split_once('x').unwrap_or((text, "0"));
    let more: u32 = more.parse().unwrap();
    if value == "_" {
        return (0..=more).map(|_| None).collect();
    }
    if let Ok(constant) = value.parse::<f64>() {
        return (0..=more).map(|_| Some(constant)).collect();
    }
    let (split, _) = value.char_indices().skip(1).find(|(_, c)| matches!(c, '+' | '-')).unwrap();
    let (first, change) = (value[..split].parse::<f64>().unwrap(), value[split..].parse::<f64>().unwrap());
    (0..=more).map(|index| Some(first + change * f64::from(index))).collect()
}
