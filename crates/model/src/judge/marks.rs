//! Marks: what a step had shown by some moments of it, so that it can be asked whether trouble began within the step.
//!
//! A mark is taken by what was known until then alone, so that what is multiplied from it on is a supermartingale that
//! begins at 1, as it is from a step's beginning on. The weight of each is fixed before the step by its ordinal, and those
//! of all that may ever be taken sum to [`MARKS_PART`]: Ville's inequality holds for the average as it did before. Leaving
//! a mark out only lowers the average, so a step that is held for hours keeps every second one and takes them half as often.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::thresholds::Thresholds;
use super::{Analysis, Evidence, Sample, float};
use crate::ids::Weight;
use crate::quantity::Period;
use crate::runtime::Tally;

/// Into how many parts a step is cut at most.
pub const SEGMENTS: u32 = 8;
/// A step of many parts is no better judged than one of these.
const SEGMENTS_MAX: u32 = 64;
/// The part of a step's weight that "it began within the step" has; the rest is "it began with the step".
pub(super) const MARKS_PART: f64 = 0.1;
/// The part of it that belongs to the marks of a step that is not held.
const FIRST_PART: f64 = 0.75;
/// A mark is worth its place in the journal after so many requests of the candidate.
const REQUESTS_MIN: u64 = 20;
/// No mark follows the one before sooner, in milliseconds.
const SPACING_MIN_MS: u64 = 5_000;

/// What a step had shown by some moment of it, from its beginning on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Mark {
    /// When, in milliseconds from the step's beginning.
    pub elapsed_ms: u64,
    /// The candidate's requests.
    pub candidate: Count,
    /// The stable version's.
    #[serde(default, skip_serializing_if = "Count::is_empty")]
    pub stable: Count,
}

/// Requests of one version by a mark.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Count {
    /// All.
    pub requests: u64,
    /// Those that failed.
    pub failures: u64,
    /// Those of which it is known how long they took.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub timed: u64,
    /// Those that lie in a bucket of the histogram of latencies or above it, for the buckets from which on a request counts
    /// as slow in this step.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub slow: BTreeMap<u16, u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Count {
    fn of(tally: &Tally, buckets: Option<[usize; 4]>) -> Self {
        let counted = buckets.map(|buckets| buckets.into_iter().zip(tally.latencies.at_least_each(buckets)));
        let slow = counted.into_iter().flatten().filter_map(|(at, count)| Some((u16::try_from(at).ok()?, count)));
        let timed = if buckets.is_some() { tally.latencies.total() } else { 0 };
        Self { requests: tally.requests, failures: tally.failures, timed, slow: slow.collect() }
    }

    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// How many of `now` took as long as `bucket` or longer since then; none where that was not counted, or where a
    /// counter went back.
    pub(super) fn slow_since(&self, bucket: usize, now: f64) -> Option<f64> {
        let then = self.slow.get(&u16::try_from(bucket).ok()?)?;
        since(now, *then)
    }

    /// Failed and all requests since then; none where a counter went back or they contradict each other.
    pub(super) fn since(&self, now: &Tally) -> Option<(u64, u64)> {
        let failures = now.failures.checked_sub(self.failures)?;
        let requests = now.requests.checked_sub(self.requests)?;
        (failures <= requests).then_some((failures, requests))
    }
}

/// What was counted since `then`, if it did not go back.
pub(super) fn since(now: f64, then: u64) -> Option<f64> {
    let more = now - float(then);
    (more >= 0.0).then_some(more)
}

/// The marks of a step, or of the watch after the last one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marks {
    /// How many are kept at most; even.
    most: u32,
    /// How many were taken.
    taken: u32,
    /// Those that are kept, each with how many were taken before it.
    kept: Vec<(u32, Mark)>,
}

impl Marks {
    /// None yet, for a step that is cut into so many parts at most; nothing for a step that is judged as a whole.
    pub fn new(segments: u32) -> Option<Self> {
        let most = segments.min(SEGMENTS_MAX) / 2 * 2;
        (most > 0).then_some(Self { most, taken: 0, kept: Vec::new() })
    }

    /// Whether it is time for one, in a step that bakes so long.
    pub fn is_due(&self, bake: Period, now: &Sample) -> bool {
        let bake_ms = u64::try_from(bake.duration().as_millis()).unwrap_or(0);
        let spacing_ms = (bake_ms / u64::from(self.most)).max(SPACING_MIN_MS);
        let spacing_ms = spacing_ms.saturating_mul(1u64.checked_shl(self.thinned(self.taken)).unwrap_or(u64::MAX));
        let (last_ms, requests) = self.kept.last().map_or((0, 0), |(_, m)| (m.elapsed_ms, m.candidate.requests));
        now.elapsed_ms >= last_ms.saturating_add(spacing_ms)
            && now.candidate.requests.saturating_sub(requests) >= REQUESTS_MIN
    }

    /// Keeps one more; where that would be too many, every second.
    pub fn add(&mut self, mark: Mark) {
        self.kept.push((self.taken, mark));
        self.taken = self.taken.saturating_add(1);
        if self.kept.len() >= usize::try_from(self.most).unwrap_or(usize::MAX) {
            let mut second = true;
            self.kept.retain(|_| {
                second = !second;
                second
            });
        }
    }

    /// The marks, in order.
    pub(super) fn kept(&self) -> impl Iterator<Item = &Mark> {
        self.kept.iter().map(|(_, mark)| mark)
    }

    /// The marks with their weights, in order.
    pub(super) fn weighted(&self) -> impl Iterator<Item = (f64, &Mark)> {
        self.kept.iter().map(|(ordinal, mark)| (self.weight(*ordinal), mark))
    }

    /// How often every second one had been left out before the mark of an ordinal was taken.
    fn thinned(&self, ordinal: u32) -> u32 {
        let half = (self.most / 2).max(1);
        (ordinal / half).saturating_sub(1)
    }

    /// The weight of "it began with this mark": those of all ordinals sum to [`MARKS_PART`], as `1 / (n (n + 1))` do to 1.
    fn weight(&self, ordinal: u32) -> f64 {
        let most = f64::from(self.most);
        match self.thinned(ordinal) {
            0 => MARKS_PART * FIRST_PART / most,
            n => MARKS_PART * (1.0 - FIRST_PART) / (most / 2.0) / (f64::from(n) * f64::from(n.saturating_add(1))),
        }
    }
}

/// The mark that a step leaves now. What counts as slow is fixed before the step, so it is the same at every mark.
pub fn mark(analysis: &Analysis, evidence: &Evidence<'_>) -> Mark {
    let thresholds = Thresholds::new(analysis, evidence);
    let now = evidence.now;
    let beside = now.weight < Weight::ALL;
    let ours = thresholds.map(|thresholds| if beside { thresholds.beside } else { thresholds.alone });
    let theirs = thresholds.filter(|_| beside).map(|thresholds| thresholds.stable);
    Mark {
        elapsed_ms: now.elapsed_ms,
        candidate: Count::of(&now.candidate, ours),
        stable: Count::of(&now.stable, theirs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(elapsed_ms: u64, requests: u64) -> Sample {
        Sample { elapsed_ms, candidate: Tally { requests, ..Tally::default() }, ..Sample::default() }
    }

    /// A look every second at ten requests a second.
    fn looked(seconds: u64) -> (Marks, Vec<u64>) {
        let mut marks = Marks::new(SEGMENTS).unwrap();
        let mut taken = Vec::new();
        for second in 1..=seconds {
            let now = at(1_000 * second, 10 * second);
            if marks.is_due(Period::seconds(300), &now) {
                marks.add(Mark {
                    elapsed_ms: now.elapsed_ms,
                    candidate: Count::of(&now.candidate, None),
                    ..Mark::default()
                });
                taken.push(second);
            }
            assert!(marks.kept.len() < usize::try_from(SEGMENTS).unwrap());
        }
        (marks, taken)
    }

    #[test]
    fn a_step_is_cut_into_parts_and_one_that_is_held_for_hours_into_longer_ones() {
        assert_eq!(looked(300).1, [38, 76, 114, 152, 190, 228, 266]);
        let (marks, taken) = looked(6 * 3_600);
        assert_eq!(taken.len(), 32, "a handful of facts for six hours: {taken:?}");
        let kept: Vec<u64> = marks.kept.iter().map(|(_, mark)| mark.elapsed_ms / 1_000).collect();
        assert!((4..8).contains(&kept.len()) && kept.last() == taken.last(), "{kept:?}");
    }

    #[test]
    fn the_weights_of_all_marks_that_may_be_taken_are_within_their_part() {
        for segments in [2, 3, 8, 64, u32::MAX] {
            let marks = Marks::new(segments).unwrap();
            let sum: f64 = (0..1_000_000).map(|ordinal| marks.weight(ordinal)).sum();
            assert!(sum <= MARKS_PART && sum > 0.99 * MARKS_PART, "{segments}: {sum}");
        }
        assert_eq!(Marks::new(0), None);
    }

    #[test]
    fn a_clock_that_goes_back_and_a_version_that_nobody_asks_leave_no_mark() {
        let mut marks = Marks::new(SEGMENTS).unwrap();
        let bake = Period::seconds(300);
        assert!(!marks.is_due(bake, &at(3_600_000, 19)) && marks.is_due(bake, &at(3_600_000, 20)));
        marks.add(Mark { elapsed_ms: 60_000, ..Mark::default() });
        assert!(!marks.is_due(bake, &at(0, 1_000)), "back to the step's beginning");
        assert!(!marks.is_due(bake, &at(97_000, 1_000)) && marks.is_due(bake, &at(97_500, 1_000)));
        assert!(!marks.is_due(Period::seconds(0), &at(64_999, 1_000)), "however short a step is");
        assert!(marks.is_due(Period::seconds(0), &at(u64::MAX, u64::MAX)));
    }
}
