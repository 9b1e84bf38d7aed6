//! Where series come from.

use std::collections::{BTreeMap, BTreeSet};

use crate::histogram::HistogramSample;
use crate::labels::Labels;
use crate::matcher::Matcher;
use crate::sample::{Sample, Series};

/// Why a store could not answer. Opaque: a query can do nothing about it but say it.
#[derive(Debug, thiserror::Error)]
#[error("the series can't be read")]
pub struct StoreError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl StoreError {
    /// Keeps what the store itself says as its source.
    pub fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

/// What series are read from.
///
/// A query asks once for each selector in it, whatever the number of its steps, so that each series is decoded once. The
/// answer is all in memory, which the caller's limit bounds after the fact; a store whose own bound is lower answers with
/// an error.
pub trait Store {
    /// All series that every matcher accepts, with their samples from `from_ms` to `to_ms`, both included, and with the
    /// markers of staleness. Series come in any order, without one twice; one without samples may be left out.
    fn select(&self, matchers: &[Matcher], from_ms: i64, to_ms: i64) -> Result<Vec<Series>, StoreError>;

    /// The labels of all series that every matcher accepts and that have samples from `from_ms` to `to_ms`, sorted. A store
    /// that keeps samples in larger pieces may also name series whose samples are close by.
    fn series(&self, matchers: &[Matcher], from_ms: i64, to_ms: i64) -> Result<Vec<Labels>, StoreError> {
        let mut found: Vec<Labels> =
            self.select(matchers, from_ms, to_ms)?.into_iter().map(|series| series.labels).collect();
        found.sort_unstable();
        Ok(found)
    }

    /// The names of the labels that these series have, sorted.
    fn label_names(&self, matchers: &[Matcher], from_ms: i64, to_ms: i64) -> Result<Vec<String>, StoreError> {
        let series = self.series(matchers, from_ms, to_ms)?;
        let names: BTreeSet<&str> = series.iter().flat_map(Labels::iter).map(|label| &*label.name).collect();
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    /// The values that a label has in these series, sorted.
    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<String>, StoreError> {
        let series = self.series(matchers, from_ms, to_ms)?;
        let values: BTreeSet<&str> = series.iter().map(|labels| labels.get(name)).collect();
        Ok(values.into_iter().filter(|value| !value.is_empty()).map(str::to_owned).collect())
    }
}

/// A store that holds all of its series in memory, as tests do and as recent samples may.
#[derive(Debug, Default)]
pub struct Memory {
    series: BTreeMap<Labels, Held>,
}

/// The samples of a series.
#[derive(Debug, Default)]
struct Held {
    floats: Vec<Sample>,
    histograms: Vec<HistogramSample>,
}

/// Puts a sample where it belongs by its time, in the place of one that is there.
fn put<T>(samples: &mut Vec<T>, sample: T, time: impl Fn(&T) -> i64) {
    let at = samples.partition_point(|present| time(present) < time(&sample));
    match samples.get_mut(at) {
        Some(present) if time(present) == time(&sample) => *present = sample,
        Some(_) | None => samples.insert(at, sample),
    }
}

fn inside<T: Clone>(samples: &[T], (from_ms, to_ms): (i64, i64), time: impl Fn(&T) -> i64) -> Vec<T> {
    let from = samples.partition_point(|sample| time(sample) < from_ms);
    let to = samples.partition_point(|sample| time(sample) <= to_ms);
    samples.get(from..to).unwrap_or_default().to_vec()
}

impl Memory {
    /// Takes in a sample. One at a time that the series has already is replaced.
    pub fn push(&mut self, labels: &Labels, sample: Sample) {
        let held = self.series.entry(labels.clone()).or_default();
        held.histograms.retain(|present| present.timestamp != sample.timestamp);
        put(&mut held.floats, sample, |sample| sample.timestamp);
    }

    /// Takes in a histogram. A sample at a time that the series has already is replaced.
    pub fn push_histogram(&mut self, labels: &Labels, sample: HistogramSample) {
        let held = self.series.entry(labels.clone()).or_default();
        held.floats.retain(|present| present.timestamp != sample.timestamp);
        put(&mut held.histograms, sample, |sample| sample.timestamp);
    }
}

impl Store for Memory {
    fn select(&self, matchers: &[Matcher], from_ms: i64, to_ms: i64) -> Result<Vec<Series>, StoreError> {
        let wanted = self.series.iter().filter(|(labels, _)| Matcher::accept_all(matchers, labels));
        let found = wanted.map(|(labels, held)| Series {
            labels: labels.clone(),
            samples: inside(&held.floats, (from_ms, to_ms), |sample| sample.timestamp),
            histograms: inside(&held.histograms, (from_ms, to_ms), |sample| sample.timestamp),
        });
        Ok(found.filter(|series| !series.is_empty()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_gives_the_samples_of_a_time_with_both_ends() {
        let mut memory = Memory::default();
        let labels: Labels = [("__name__", "a")].into_iter().collect();
        for (timestamp, value) in [(3, 3.0), (1, 1.0), (2, 9.0), (2, 2.0)] {
            memory.push(&labels, Sample { timestamp, value });
        }
        let found = memory.select(&[Matcher::equal("__name__", "a")], 2, 3).unwrap();
        let values: Vec<f64> = found[0].samples.iter().map(|sample| sample.value).collect();
        assert_eq!(values, [2.0, 3.0]);
        assert!(memory.select(&[Matcher::equal("__name__", "a")], 4, 9).unwrap().is_empty());
        assert!(memory.select(&[Matcher::equal("a", "b")], 0, 9).unwrap().is_empty());
    }

    #[test]
    fn names_and_values_of_labels_are_those_of_the_series_that_match() {
        let mut memory = Memory::default();
        for (timestamp, job, path) in [(1, "pad", "/"), (2, "pad", ""), (3, "sat", "/")] {
            let labels: Labels = [("__name__", "up"), ("job", job), ("path", path)].into_iter().collect();
            memory.push(&labels, Sample { timestamp, value: 1.0 });
        }
        let pad = [Matcher::equal("job", "pad")];
        assert_eq!(memory.label_names(&pad, 0, 9).unwrap(), ["__name__", "job", "path"]);
        assert_eq!(memory.label_names(&pad, 2, 9).unwrap(), ["__name__", "job"]);
        assert_eq!(memory.label_values("job", &[], 0, 9).unwrap(), ["pad", "sat"]);
        assert_eq!(memory.label_values("path", &[], 0, 9).unwrap(), ["/"]);
        let series: Vec<String> = memory.series(&[], 2, 3).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(series, [r#"up{job="pad"}"#, r#"up{job="sat", path="/"}"#]);
    }
}
