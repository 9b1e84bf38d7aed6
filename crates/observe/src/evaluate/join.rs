//! Operators between two vectors: which series meet, and what their results are called.
//!
//! One side is unique in each match group, the "one"; the other, the "many", is so as well unless `group_left` or
//! `group_right` says otherwise. As in Prometheus it is an error if it isn't so at a step, but only where both sides have
//! any series at all at that step.
//!
//! Source: Prometheus documentation, "Operators", "Vector matching".

use std::collections::HashMap;
use std::sync::Arc;

use super::Evaluation;
use super::error::EvaluateError;
use super::histograms::{self, Joined};
use super::matching::key;
use super::timeline::Timeline;
use super::track::{Collector, Datum, Track, any_present};
use crate::functions::arithmetic;
use crate::labels::{Labels, METRIC_NAME};
use crate::promql::expression::{Cardinality, LabelList, Operator};

/// A match group of the side that is unique.
struct Group {
    /// Which track of that side it is at each step.
    one: Vec<Option<usize>>,
    /// At which steps a series of the other side has had a result.
    matched: Vec<bool>,
}

/// What is joined with what, and how.
struct Join<'a> {
    operator: Operator,
    matching: &'a LabelList,
    is_one_to_one: bool,
    /// The "one" stands left of the operator.
    one_is_left: bool,
    /// Labels that results get from the "one".
    included: &'a [Arc<str>],
}

impl Join<'_> {
    fn value(&self, many: f64, one: f64) -> Option<f64> {
        let (left, right) = if self.one_is_left { (one, many) } else { (many, one) };
        arithmetic::apply(self.operator, left, right)
    }

    fn with_histogram(&self, many: Datum<'_>, one: Datum<'_>) -> Option<Joined> {
        let (left, right) = if self.one_is_left { (one, many) } else { (many, one) };
        histograms::joined(self.operator, left, right)
    }

    fn labels(&self, many: &Labels, one: &Labels) -> Labels {
        let drops_name = arithmetic::drops_metric_name(self.operator) || matches!(self.operator, Operator::Truth(_));
        let listed = |names: &[Arc<str>], name: &str| names.iter().any(|listed| **listed == *name);
        let mut labels = many.retain(|name| {
            let matches = match self.matching {
                LabelList::Only(names) => listed(names, name),
                LabelList::AllBut(names) => !listed(names, name),
            };
            (matches || !self.is_one_to_one) && !(drops_name && name == METRIC_NAME)
        });
        for name in self.included {
            labels = labels.with(name, one.get(name));
        }
        labels
    }
}

impl Evaluation<'_> {
    pub(super) fn joined(
        &self,
        operator: Operator,
        left: Vec<Track>,
        right: Vec<Track>,
        matching: &LabelList,
        cardinality: &Cardinality,
        timeline: &Timeline,
    ) -> Result<Vec<Track>, EvaluateError> {
        let nothing: &[Arc<str>] = &[];
        let (is_one_to_one, one_is_left, included) = match cardinality {
            Cardinality::OneToOne => (true, false, nothing),
            Cardinality::ManyToOne(included) => (false, false, included.as_slice()),
            Cardinality::OneToMany(included) => (false, true, included.as_slice()),
        };
        let (many, one) = if one_is_left { (right, left) } else { (left, right) };
        let join = Join { operator, matching, is_one_to_one, one_is_left, included };
        let mut groups = self.groups(&join, &one, &any_present(&many, timeline.count()))?;
        let mut collector = Collector::new(timeline, &self.budget);
        for track in &many {
            if let Some(group) = groups.get_mut(&key(matching, &track.labels)) {
                join_track(&join, track, &one, group, &mut collector)?;
            }
        }
        Ok(collector.finish())
    }

    /// The match groups of the side that must be unique, which is checked where the other side has anything.
    fn groups(
        &self,
        join: &Join<'_>,
        one: &[Track],
        checked: &[bool],
    ) -> Result<HashMap<Labels, Group>, EvaluateError> {
        let mut groups: HashMap<Labels, Group> = HashMap::with_capacity(one.len());
        for (index, track) in one.iter().enumerate() {
            self.budget.spend(checked.len())?;
            let key = key(join.matching, &track.labels);
            let group = groups
                .entry(key.clone())
                .or_insert_with(|| Group { one: vec![None; checked.len()], matched: vec![false; checked.len()] });
            for (step, (slot, checked)) in group.one.iter_mut().zip(checked).enumerate() {
                if track.at(step).is_none() || !checked {
                    continue;
                }
                if slot.replace(index).is_some() {
                    let side = if join.one_is_left { "left" } else { "right" };
                    return Err(EvaluateError::ManyToMany { side, group: key });
                }
            }
        }
        Ok(groups)
    }
}

/// Joins one track of the "many" with those of the "one" that it meets.
fn join_track(
    join: &Join<'_>,
    track: &Track,
    one: &[Track],
    group: &mut Group,
    collector: &mut Collector<'_>,
) -> Result<(), EvaluateError> {
    // Most often it meets the same track at all steps.
    let mut met: Option<(usize, usize)> = None;
    for step in 0..track.values.len() {
        let Some(index) = group.one.get(step).copied().flatten() else { continue };
        let Some(other) = one.get(index) else { continue };
        let (Some(value), Some(other_value)) = (track.at(step), other.at(step)) else { continue };
        let result = match (value, other_value) {
            (Datum::Float(many), Datum::Float(one)) => join.value(many, one).map(Joined::Float),
            (many, one) => join.with_histogram(many, one),
        };
        let Some(result) = result else { continue };
        if join.is_one_to_one
            && let Some(matched) = group.matched.get_mut(step)
            && std::mem::replace(matched, true)
        {
            return Err(EvaluateError::ManyToOne(key(join.matching, &track.labels)));
        }
        let place = match met {
            Some((last, place)) if last == index => place,
            Some(_) | None => collector.place(join.labels(&track.labels, &other.labels))?,
        };
        met = Some((index, place));
        match result {
            Joined::Float(value) => collector.put(place, step, value)?,
            Joined::Histogram(histogram) => collector.put_histogram(place, step, histogram)?,
        }
    }
    Ok(())
}
