//! `and`, `or` and `unless`.
//!
//! Source: Prometheus documentation, "Operators", "Logical/set binary operators".

use std::collections::HashMap;

use super::Evaluation;
use super::error::EvaluateError;
use super::matching::key;
use super::timeline::Timeline;
use super::track::{Collector, Track, mark_present};
use crate::labels::Labels;
use crate::promql::expression::{LabelList, SetOperator};

/// At which steps there is any series of each match group.
type Presence = HashMap<Labels, Vec<bool>>;

fn presence(tracks: &[Track], matching: &LabelList, steps: usize) -> Presence {
    let mut groups = Presence::new();
    for track in tracks {
        let present = groups.entry(key(matching, &track.labels)).or_insert_with(|| vec![false; steps]);
        mark_present(present, track);
    }
    groups
}

/// The track where the other side has a series of its group, or where it has none.
fn filtered(mut track: Track, others: &Presence, matching: &LabelList, wanted: bool) -> Track {
    let other = others.get(&key(matching, &track.labels));
    for (step, value) in track.values.iter_mut().enumerate() {
        let is_there = other.and_then(|present| present.get(step)).copied().unwrap_or(false);
        *value = value.filter(|_| is_there == wanted);
    }
    for (step, histogram) in track.histograms.iter_mut().enumerate() {
        let is_there = other.and_then(|present| present.get(step)).copied().unwrap_or(false);
        histogram.take_if(|_| is_there != wanted);
    }
    track
}

impl Evaluation<'_> {
    pub(super) fn set(
        &self,
        operator: SetOperator,
        left: Vec<Track>,
        right: Vec<Track>,
        matching: &LabelList,
        timeline: &Timeline,
    ) -> Result<Vec<Track>, EvaluateError> {
        self.budget.spend((left.len() + right.len()).saturating_mul(timeline.count()))?;
        let of_others = if operator == SetOperator::Or { &left } else { &right };
        let others = presence(of_others, matching, timeline.count());
        let mut collector = Collector::new(timeline, &self.budget);
        match operator {
            SetOperator::And | SetOperator::Unless => {
                let wanted = operator == SetOperator::And;
                for track in left {
                    collector.push(filtered(track, &others, matching, wanted))?;
                }
            }
            SetOperator::Or => {
                for track in left {
                    collector.push(track)?;
                }
                for track in right {
                    collector.push(filtered(track, &others, matching, false))?;
                }
            }
        }
        Ok(collector.finish())
    }
}
