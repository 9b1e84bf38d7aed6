//! A series over the steps of a query.

use std::collections::HashMap;
use std::sync::Arc;

use super::budget::Budget;
use super::error::EvaluateError;
use super::timeline::Timeline;
use crate::histogram::{Histogram, HistogramSample};
use crate::labels::Labels;
use crate::sample::{Sample, Series};

/// One series with its value at each step, where it has one. A track without any value is not kept.
#[derive(Debug, Clone)]
pub(super) struct Track {
    pub(super) labels: Labels,
    /// As many as the timeline has steps.
    pub(super) values: Vec<Option<f64>>,
    /// As many, or none at all, which is so for nearly all tracks; where there is one, there is no value.
    pub(super) histograms: Vec<Option<Arc<Histogram>>>,
}

/// What a track has at a step.
#[derive(Debug, Clone, Copy)]
pub(super) enum Datum<'a> {
    Float(f64),
    Histogram(&'a Arc<Histogram>),
}

impl Track {
    pub(super) fn of_floats(labels: Labels, values: Vec<Option<f64>>) -> Self {
        Self { labels, values, histograms: Vec::new() }
    }

    /// True if it has a value or a histogram at any step.
    pub(super) fn has_values(&self) -> bool {
        self.values.iter().any(Option::is_some) || self.histograms.iter().any(Option::is_some)
    }

    pub(super) fn at(&self, step: usize) -> Option<Datum<'_>> {
        let value = self.values.get(step).copied().flatten().map(Datum::Float);
        value.or_else(|| self.histogram_at(step).map(Datum::Histogram))
    }

    pub(super) fn histogram_at(&self, step: usize) -> Option<&Arc<Histogram>> {
        self.histograms.get(step)?.as_ref()
    }

    /// Sets a histogram at a step. To be called where there is no value.
    pub(super) fn put_histogram(&mut self, step: usize, histogram: Arc<Histogram>) {
        if self.histograms.is_empty() {
            self.histograms = vec![None; self.values.len()];
        }
        if let Some(slot) = self.histograms.get_mut(step) {
            *slot = Some(histogram);
        }
    }

    pub(super) fn into_series(self, timeline: &Timeline) -> Series {
        let values = self.values.into_iter().zip(timeline.iter());
        let samples = values.filter_map(|(value, timestamp)| Some(Sample { timestamp, value: value? }));
        let histograms = self.histograms.into_iter().zip(timeline.iter());
        let histograms = histograms.filter_map(|(one, timestamp)| Some(HistogramSample { timestamp, histogram: one? }));
        Series { labels: self.labels, samples: samples.collect(), histograms: histograms.collect() }
    }
}

/// At which steps any of the tracks has a value.
pub(super) fn any_present(tracks: &[Track], steps: usize) -> Vec<bool> {
    let mut present = vec![false; steps];
    for track in tracks {
        mark_present(&mut present, track);
    }
    present
}

pub(super) fn mark_present(present: &mut [bool], track: &Track) {
    for (present, value) in present.iter_mut().zip(&track.values) {
        *present |= value.is_some();
    }
    for (present, histogram) in present.iter_mut().zip(&track.histograms) {
        *present |= histogram.is_some();
    }
}

/// Refuses two tracks of the same labels, at whatever steps they have values.
pub(super) fn check_unique(tracks: &[Track]) -> Result<(), EvaluateError> {
    let mut seen = std::collections::HashSet::with_capacity(tracks.len());
    for track in tracks {
        if !seen.insert(&track.labels) {
            return Err(EvaluateError::SameLabels(track.labels.clone()));
        }
    }
    Ok(())
}

/// Puts tracks together out of values: values of the same labels belong to the same track, and none may come twice at the
/// same step.
pub(super) struct Collector<'a> {
    steps: usize,
    budget: &'a Budget<'a>,
    places: HashMap<Labels, usize>,
    tracks: Vec<Track>,
}

impl<'a> Collector<'a> {
    pub(super) fn new(timeline: &Timeline, budget: &'a Budget<'a>) -> Self {
        Self { steps: timeline.count(), budget, places: HashMap::new(), tracks: Vec::new() }
    }

    /// Where values of these labels go.
    pub(super) fn place(&mut self, labels: Labels) -> Result<usize, EvaluateError> {
        if let Some(place) = self.places.get(&labels) {
            return Ok(*place);
        }
        self.budget.spend(self.steps)?;
        let place = self.tracks.len();
        self.places.insert(labels.clone(), place);
        self.tracks.push(Track::of_floats(labels, vec![None; self.steps]));
        Ok(place)
    }

    pub(super) fn put(&mut self, place: usize, step: usize, value: f64) -> Result<(), EvaluateError> {
        let Some(track) = self.tracks.get_mut(place) else { return Ok(()) };
        if track.histogram_at(step).is_some() {
            return Err(EvaluateError::SameLabels(track.labels.clone()));
        }
        match track.values.get_mut(step) {
            Some(slot @ None) => *slot = Some(value),
            Some(Some(_)) => return Err(EvaluateError::SameLabels(track.labels.clone())),
            None => {}
        }
        Ok(())
    }

    pub(super) fn put_histogram(
        &mut self,
        place: usize,
        step: usize,
        histogram: Arc<Histogram>,
    ) -> Result<(), EvaluateError> {
        let Some(track) = self.tracks.get_mut(place) else { return Ok(()) };
        if track.at(step).is_some() {
            return Err(EvaluateError::SameLabels(track.labels.clone()));
        }
        self.budget.spend(histogram.size())?;
        track.put_histogram(step, histogram);
        Ok(())
    }

    /// Takes in a whole track; of labels that are new without going through its values.
    pub(super) fn push(&mut self, track: Track) -> Result<(), EvaluateError> {
        if let Some(&place) = self.places.get(&track.labels) {
            for (step, value) in track.values.iter().enumerate() {
                if let Some(value) = value {
                    self.put(place, step, *value)?;
                }
            }
            for (step, histogram) in track.histograms.into_iter().enumerate() {
                if let Some(histogram) = histogram {
                    self.put_histogram(place, step, histogram)?;
                }
            }
            return Ok(());
        }
        self.places.insert(track.labels.clone(), self.tracks.len());
        self.tracks.push(track);
        Ok(())
    }

    /// The tracks, in the order in which their labels came up first.
    pub(super) fn finish(self) -> Vec<Track> {
        self.tracks.into_iter().filter(Track::has_values).collect()
    }
}
