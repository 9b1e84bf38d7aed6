//! Aggregations over series.
//!
//! Source: Prometheus documentation, "Operators", "Aggregation operators".

use std::collections::HashMap;

use super::Evaluation;
use super::error::EvaluateError;
use super::matching::key;
use super::timeline::Timeline;
use super::top::{self, Order};
use super::track::{Collector, Datum, Track};
use crate::functions::fold::Accumulator;
use crate::functions::quantile::quantile;
use crate::labels::Labels;
use crate::promql::expression::{Aggregation, Fold, LabelList, Scalar, Vector};

/// Series that are aggregated to one.
struct Group {
    labels: Labels,
    tracks: Vec<Track>,
}

/// In the order in which they come up.
fn groups(tracks: Vec<Track>, grouping: &LabelList) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut places: HashMap<Labels, usize> = HashMap::new();
    for track in tracks {
        let labels = key(grouping, &track.labels);
        let place = *places.entry(labels.clone()).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.tracks.push(track),
            None => groups.push(Group { labels, tracks: vec![track] }),
        }
    }
    groups
}

impl Group {
    fn has_histograms(&self) -> bool {
        self.tracks.iter().any(|track| !track.histograms.is_empty())
    }

    /// The values at a step, with where they come from.
    fn at(&self, step: usize) -> impl Iterator<Item = (usize, f64)> {
        self.tracks
            .iter()
            .enumerate()
            .filter_map(move |(index, track)| Some((index, track.values.get(step).copied().flatten()?)))
    }
}

impl Evaluation<'_> {
    pub(super) fn aggregated(
        &self,
        aggregation: &Aggregation,
        of: &Vector,
        grouping: &LabelList,
        timeline: &Timeline,
    ) -> Result<Vec<Track>, EvaluateError> {
        let groups = groups(self.vector(of, timeline)?, grouping);
        let samples = groups.iter().map(|group| group.tracks.len()).sum::<usize>().saturating_mul(timeline.count());
        self.budget.work(u64::try_from(samples).unwrap_or(u64::MAX))?;
        match aggregation {
            Aggregation::Fold(fold) => self.folded(*fold, &groups, timeline),
            Aggregation::Quantile(of) => self.quantiles(of, &groups, timeline),
            Aggregation::TopK(count) => self.first(Order::Largest, count, &groups, timeline),
            Aggregation::BottomK(count) => self.first(Order::Smallest, count, &groups, timeline),
            Aggregation::CountValues(label) => self.counted(label, grouping, &groups, timeline),
        }
    }

    fn folded(&self, fold: Fold, groups: &[Group], timeline: &Timeline) -> Result<Vec<Track>, EvaluateError> {
        let mut tracks = Vec::with_capacity(groups.len());
        for group in groups {
            self.budget.spend(timeline.count())?;
            let mut accumulators = vec![Accumulator::default(); timeline.count()];
            // By labels, so that a sum is the same to the last bit in an instant and in a range query, whose series come
            // in other orders where they have been calculated.
            let mut tracks_by_labels: Vec<&Track> = group.tracks.iter().collect();
            tracks_by_labels.sort_by(|a, b| a.labels.cmp(&b.labels));
            for track in tracks_by_labels {
                for (accumulator, value) in accumulators.iter_mut().zip(&track.values) {
                    if let Some(value) = value {
                        accumulator.add(fold, *value);
                    }
                }
            }
            let values = accumulators.iter().map(|accumulator| accumulator.result(fold)).collect();
            let mut track = Track::of_floats(group.labels.clone(), values);
            if group.has_histograms() {
                self.fold_histograms(fold, &group.tracks, &mut track)?;
            }
            tracks.push(track);
        }
        tracks.retain(Track::has_values);
        Ok(tracks)
    }

    fn quantiles(&self, of: &Scalar, groups: &[Group], timeline: &Timeline) -> Result<Vec<Track>, EvaluateError> {
        let shares = self.scalar(of, timeline)?;
        let mut tracks = Vec::with_capacity(groups.len());
        for group in groups {
            self.budget.spend(timeline.count())?;
            let at = |(step, share): (usize, &f64)| {
                let mut values: Vec<f64> = group.at(step).map(|(_, value)| value).collect();
                (!values.is_empty()).then(|| quantile(*share, &mut values))
            };
            tracks.push(Track::of_floats(group.labels.clone(), shares.iter().enumerate().map(at).collect()));
        }
        tracks.retain(Track::has_values);
        Ok(tracks)
    }

    /// The largest or smallest of each group, as they are called.
    fn first(
        &self,
        order: Order,
        count: &Scalar,
        groups: &[Group],
        timeline: &Timeline,
    ) -> Result<Vec<Track>, EvaluateError> {
        let counts = self.scalar(count, timeline)?;
        let counts = counts.into_iter().map(top::count).collect::<Result<Vec<usize>, _>>()?;
        let mut collector = Collector::new(timeline, &self.budget);
        for group in groups {
            for (step, count) in counts.iter().enumerate() {
                for (index, value) in top::first(order, *count, group.at(step)) {
                    if let Some(track) = group.tracks.get(index) {
                        let place = collector.place(track.labels.clone())?;
                        collector.put(place, step, value)?;
                    }
                }
            }
        }
        Ok(collector.finish())
    }

    /// How many series have each value, which becomes a label.
    fn counted(
        &self,
        label: &str,
        grouping: &LabelList,
        groups: &[Group],
        timeline: &Timeline,
    ) -> Result<Vec<Track>, EvaluateError> {
        let keeps_label = match grouping {
            LabelList::Only(_) => true,
            LabelList::AllBut(names) => !names.iter().any(|name| **name == *label),
        };
        let mut counts: HashMap<(Labels, usize), f64> = HashMap::new();
        let mut order = Vec::new();
        for group in groups {
            for step in 0..timeline.count() {
                let written = group.tracks.iter().filter_map(|track| match track.at(step)? {
                    Datum::Float(value) => Some(written(value)),
                    Datum::Histogram(histogram) => Some(histogram.to_string()),
                });
                for text in written {
                    let labels = if keeps_label { group.labels.with(label, &text) } else { group.labels.clone() };
                    let counted = (labels, step);
                    if !counts.contains_key(&counted) {
                        self.budget.spend(1)?;
                        order.push(counted.clone());
                    }
                    *counts.entry(counted).or_insert(0.0) += 1.0;
                }
            }
        }
        let mut collector = Collector::new(timeline, &self.budget);
        for counted in order {
            let count = counts.get(&counted).copied().unwrap_or(0.0);
            let place = collector.place(counted.0)?;
            collector.put(place, counted.1, count)?;
        }
        Ok(collector.finish())
    }
}

/// A value as the text of a label: never with an exponent, as few digits as tell it apart.
fn written(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() };
    }
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::written;

    #[test]
    fn values_are_written_without_exponents() {
        let all = [1.0, 0.1, 1e21, 1e-7, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -0.0].map(written);
        assert_eq!(all, ["1", "0.1", "1000000000000000000000", "0.0000001", "+Inf", "-Inf", "NaN", "-0"]);
    }
}
