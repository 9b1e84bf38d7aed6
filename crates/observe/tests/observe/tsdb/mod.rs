//! The embedded store as its users meet it: through its interface, its files, and its process's death.

mod appending;
mod crash;
mod damage;
mod golden;
mod histograms;
mod model;

use prograde_observe::matcher::{Comparison, Matcher};
use prograde_observe::pattern::Pattern;
use prograde_observe::tsdb::{Database, Options};
use prograde_observe::{Append as _, Appended, Incoming, Labels, Sample, Series, Store};
use tempfile::TempDir;

/// When all of it happens.
pub(crate) const NOW_MS: i64 = 1_600_000_000_000;

/// A database in a folder of its own.
struct Fixture {
    folder: TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn options(&self) -> Options {
        Options::new(self.folder.path(), NOW_MS)
    }

    fn open(&self) -> Database {
        Database::open(self.options()).unwrap()
    }
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().copied().collect()
}

fn append(database: &Database, labels: &Labels, samples: &[(i64, f64)]) -> Appended {
    let sample = |(timestamp, value): &(i64, f64)| Sample { timestamp: *timestamp, value: *value };
    let batch: Vec<Incoming<'_>> = samples.iter().map(|pair| Incoming { labels, sample: sample(pair) }).collect();
    database.append(&batch).unwrap()
}

/// All of a store, or what some matchers accept, sorted and to the bit.
fn all(store: &impl Store, matchers: &[Matcher], from_ms: i64, to_ms: i64) -> Vec<(String, Vec<(i64, u64)>)> {
    let bits = |series: Series| {
        let samples = series.samples.iter().map(|sample| (sample.timestamp, sample.value.to_bits()));
        (series.labels.to_string(), samples.collect())
    };
    let mut found: Vec<_> = store.select(matchers, from_ms, to_ms).unwrap().into_iter().map(bits).collect();
    found.sort();
    found
}

fn matcher(name: &str, operator: &str, value: &str) -> Matcher {
    let comparison = match operator {
        "=" => Comparison::Equal(value.to_owned()),
        "!=" => Comparison::NotEqual(value.to_owned()),
        "=~" => Comparison::Matches(Pattern::new(value).unwrap()),
        "!~" => Comparison::MatchesNot(Pattern::new(value).unwrap()),
        other => panic!("no operator {other}"),
    };
    Matcher { name: name.to_owned(), comparison }
}
