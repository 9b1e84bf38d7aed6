//! Reading series from the store: their values at each step, or their samples over some time before it.

use std::sync::Arc;

use super::Evaluation;
use super::error::EvaluateError;
use super::instant::seconds;
use super::timeline::Timeline;
use super::track::Track;
use crate::histogram::{Histogram, HistogramSample};
use crate::matcher::Matcher;
use crate::promql::expression::{At, Range, Selector, Shift, Vector};
use crate::sample::{Sample, Series};

/// When a selector looks, at each step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reference {
    /// Always at this time.
    fixed: Option<i64>,
    offset_ms: i64,
}

impl Reference {
    pub(super) fn at(&self, step: i64) -> i64 {
        self.fixed.unwrap_or(step).saturating_sub(self.offset_ms)
    }
}

/// What is shown of a sample.
enum Found {
    Float(f64),
    Histogram(Arc<Histogram>),
}

fn put(track: &mut Track, step: usize, found: Found) {
    match found {
        Found::Float(value) => {
            if let Some(slot) = track.values.get_mut(step) {
                *slot = Some(value);
            }
        }
        Found::Histogram(histogram) => track.put_histogram(step, histogram),
    }
}

/// A series' latest sample.
enum Latest<'a> {
    Float(&'a Sample),
    Histogram(&'a HistogramSample),
}

/// The latest of both kinds in a time, unless it says that the series has ended.
fn latest<'a>(
    samples: &'a [Sample],
    histograms: &'a [HistogramSample],
    from_ms: i64,
    to_ms: i64,
) -> Option<Latest<'a>> {
    let sample = samples.partition_point(|sample| sample.timestamp <= to_ms).checked_sub(1);
    let sample = sample.and_then(|at| samples.get(at));
    let histogram = histograms.partition_point(|sample| sample.timestamp <= to_ms).checked_sub(1);
    let histogram = histogram.and_then(|at| histograms.get(at));
    let is_later = histogram.map(|one| one.timestamp) > sample.map(|one| one.timestamp);
    if is_later {
        let fits = |one: &&HistogramSample| one.timestamp >= from_ms && !one.histogram.is_stale();
        return histogram.filter(fits).map(Latest::Histogram);
    }
    sample.filter(|one| one.timestamp >= from_ms && !one.is_stale()).map(Latest::Float)
}

/// Series with all samples that any step of a range needs.
pub(super) struct Samples {
    /// By labels; without markers of staleness, which are no values.
    pub(super) series: Vec<Series>,
    /// When the range ends.
    pub(super) ends: Reference,
    pub(super) range_ms: i64,
}

impl Evaluation<'_> {
    pub(super) fn reference(&self, shift: Shift) -> Reference {
        let fixed = shift.at.map(|at| match at {
            At::Time(ms) => ms,
            At::Start => self.start_ms,
            At::End => self.end_ms,
        });
        Reference { fixed, offset_ms: shift.offset_ms }
    }

    /// The selected series' values at each step.
    pub(super) fn selected(&self, selector: &Selector, timeline: &Timeline) -> Result<Vec<Track>, EvaluateError> {
        self.looked_up(
            selector,
            timeline,
            |sample| sample.value,
            |histogram| Found::Histogram(Arc::clone(&histogram.histogram)),
        )
    }

    /// When the sample was taken that is each series' value at each step.
    pub(super) fn times(&self, selector: &Selector, timeline: &Timeline) -> Result<Vec<Track>, EvaluateError> {
        let of_histogram = |sample: &HistogramSample| Found::Float(seconds(sample.timestamp));
        self.looked_up(selector, timeline, |sample| seconds(sample.timestamp), of_histogram)
    }

    /// Something of the sample that is each series' value at each step: the latest that is not older than the lookback,
    /// unless it says that the series has ended.
    fn looked_up(
        &self,
        selector: &Selector,
        timeline: &Timeline,
        of: impl Fn(&Sample) -> f64,
        of_histogram: impl Fn(&HistogramSample) -> Found,
    ) -> Result<Vec<Track>, EvaluateError> {
        let reference = self.reference(selector.shift);
        let (first, last) = (reference.at(timeline.first()), reference.at(timeline.last()));
        let series = self.load(&selector.matchers, first.saturating_sub(self.lookback_ms), last)?;
        let mut tracks = Vec::with_capacity(series.len());
        for Series { labels, samples, histograms } in series {
            self.budget.spend(timeline.count())?;
            if !histograms.is_empty() {
                let mut track = Track::of_floats(labels, vec![None; timeline.count()]);
                for (step, now) in timeline.iter().map(|step| reference.at(step)).enumerate() {
                    let found = match latest(&samples, &histograms, now.saturating_sub(self.lookback_ms), now) {
                        Some(Latest::Float(sample)) => Found::Float(of(sample)),
                        Some(Latest::Histogram(sample)) => of_histogram(sample),
                        None => continue,
                    };
                    put(&mut track, step, found);
                }
                tracks.push(track);
                continue;
            }
            let mut passed = 0;
            let value_at = |step: i64| {
                let now = reference.at(step);
                let later = samples.get(passed..).unwrap_or_default();
                passed += later.iter().take_while(|sample| sample.timestamp <= now).count();
                let latest = samples.get(passed.checked_sub(1)?)?;
                let is_value = latest.timestamp >= now.saturating_sub(self.lookback_ms) && !latest.is_stale();
                is_value.then(|| of(latest))
            };
            tracks.push(Track::of_floats(labels, timeline.iter().map(value_at).collect()));
        }
        tracks.retain(Track::has_values);
        Ok(tracks)
    }

    /// The samples that a range needs at all steps.
    pub(super) fn samples(&self, range: &Range, timeline: &Timeline) -> Result<Samples, EvaluateError> {
        match range {
            Range::Selected { selector, range_ms } => {
                let ends = self.reference(selector.shift);
                let from = ends.at(timeline.first()).saturating_sub(*range_ms);
                let mut series = self.load(&selector.matchers, from, ends.at(timeline.last()))?;
                for series in &mut series {
                    series.samples.retain(|sample| !sample.is_stale());
                    series.histograms.retain(|sample| !sample.histogram.is_stale());
                }
                Ok(Samples { series, ends, range_ms: *range_ms })
            }
            Range::Subquery { of, range_ms, step_ms, shift } => {
                let ends = self.reference(*shift);
                let step_ms = step_ms.unwrap_or(self.subquery_step_ms);
                let series = self.subquery(of, &ends, *range_ms, step_ms, timeline)?;
                Ok(Samples { series, ends, range_ms: *range_ms })
            }
        }
    }

    /// An expression's values at the multiples of a step, over all of the time that any outer step needs.
    fn subquery(
        &self,
        of: &Vector,
        ends: &Reference,
        range_ms: i64,
        step_ms: i64,
        timeline: &Timeline,
    ) -> Result<Vec<Series>, EvaluateError> {
        let from = ends.at(timeline.first()).saturating_sub(range_ms);
        let to = ends.at(timeline.last());
        let count_max = self.budget.left();
        let inner = match Timeline::aligned(from, to, step_ms, count_max) {
            Ok(Some(inner)) => inner,
            Ok(None) => return Ok(Vec::new()),
            Err(EvaluateError::TooManySteps { .. }) => return Err(self.budget.exhausted()),
            Err(other) => return Err(other),
        };
        let mut series: Vec<Series> =
            self.vector(of, &inner)?.into_iter().map(|track| track.into_series(&inner)).collect();
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(series)
    }

    fn load(&self, matchers: &[Matcher], from_ms: i64, to_ms: i64) -> Result<Vec<Series>, EvaluateError> {
        let mut series = self.store.select(matchers, from_ms, to_ms)?;
        for series in &series {
            let of_histograms: usize = series.histograms.iter().map(|sample| sample.histogram.size()).sum();
            self.budget.spend(series.samples.len().saturating_add(of_histograms))?;
        }
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(series)
    }
}
