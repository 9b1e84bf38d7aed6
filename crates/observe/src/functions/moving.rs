//! What a function remembers of a series while its range moves along it, so that a window costs less than going through its
//! samples again: where a counter was reset is found once, and the largest of an hour is not looked for each minute.
//!
//! Answers are to the last bit those of each window by itself. How sums and averages are rounded depends on where they begin:
//! they are carried on from one window to the next only where nothing is rounded.

use std::collections::VecDeque;

use super::range::Window;
use crate::promql::expression::RangeFunction;
use crate::sample::Sample;

/// What is remembered.
#[derive(Debug)]
pub(crate) enum Memory {
    /// Nothing.
    None,
    /// Which samples are lower than the one before, or other than it; ascending.
    Turns(Vec<usize>),
    /// What all samples before each, and all of them, add up to.
    Sums(Vec<f64>),
    /// Samples that are the best from some place in the window on: the best of all of it first.
    Best {
        /// Whether a value is better than another.
        better: fn(f64, f64) -> bool,
        /// Their places, ascending.
        places: VecDeque<usize>,
        /// Up to which place samples have been looked at.
        seen: usize,
    },
}

impl Memory {
    /// What a function needs to know of all samples of a series.
    pub(crate) fn new(function: &RangeFunction, samples: &[Sample]) -> Self {
        let turns = |is_turn: fn(f64, f64) -> bool| {
            let pairs = samples.windows(2).enumerate();
            let turn = |(place, pair): (usize, &[Sample])| match pair {
                [before, after] if is_turn(before.value, after.value) => Some(place + 1),
                _ => None,
            };
            Self::Turns(pairs.filter_map(turn).collect())
        };
        let best = |better| Self::Best { better, places: VecDeque::new(), seen: 0 };
        match function {
            RangeFunction::Rate | RangeFunction::Increase | RangeFunction::Resets => turns(falls),
            RangeFunction::Changes => turns(moves),
            RangeFunction::Sum => exact_sums(samples).map_or(Self::None, Self::Sums),
            RangeFunction::Min => best(|one, other| one < other),
            RangeFunction::Max => best(|one, other| one > other),
            RangeFunction::Delta
            | RangeFunction::InstantRate
            | RangeFunction::InstantDelta
            | RangeFunction::Derivative
            | RangeFunction::PredictLinear(_)
            | RangeFunction::HoltWinters { .. }
            | RangeFunction::Average
            | RangeFunction::Count
            | RangeFunction::StandardDeviation
            | RangeFunction::StandardVariance
            | RangeFunction::Quantile(_)
            | RangeFunction::Last
            | RangeFunction::Present => Self::None,
        }
    }

    /// The samples of a window that are lower than the one before in it, or other than it, by their places in the series.
    pub(crate) fn turns(&self, window: &Window<'_>) -> &[usize] {
        let Self::Turns(places) = self else { return &[] };
        // The first one of a window has none before it.
        let begin = places.partition_point(|place| *place <= window.begin);
        let rest = places.get(begin..).unwrap_or_default();
        let end = rest.partition_point(|place| *place < window.end);
        rest.get(..end).unwrap_or_default()
    }

    /// What a window adds up to, if that is known.
    pub(crate) fn sum(&self, window: &Window<'_>) -> Option<f64> {
        let Self::Sums(sums) = self else { return None };
        Some(sums.get(window.end)? - sums.get(window.begin)?)
    }

    /// The best value of a window that begins and ends no earlier than any before; NaN only if there is nothing else.
    pub(crate) fn best(&mut self, window: &Window<'_>) -> f64 {
        let Self::Best { better, places, seen } = self else { return f64::NAN };
        let value = |place: &usize| window.series.get(*place).map_or(f64::NAN, |sample| sample.value);
        for place in (*seen).max(window.begin)..window.end {
            let new = value(&place);
            if new.is_nan() {
                continue;
            }
            while places.pop_back_if(|last| better(new, value(last))).is_some() {}
            places.push_back(place);
        }
        *seen = window.end;
        while places.pop_front_if(|first| *first < window.begin).is_some() {}
        places.front().map_or(f64::NAN, value)
    }
}

/// The sums up to each sample, where any of them are added up without rounding: whole numbers, all of which together are less
/// than the first one that a float can't tell from the next.
fn exact_sums(samples: &[Sample]) -> Option<Vec<f64>> {
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    let (mut sum, mut size) = (0.0, 0.0);
    let mut sums = Vec::with_capacity(samples.len() + 1);
    sums.push(sum);
    for Sample { value, .. } in samples {
        size += value.abs();
        if value.fract() != 0.0 || size.is_nan() || size >= WHOLE_MAX {
            return None;
        }
        sum += value;
        sums.push(sum);
    }
    Some(sums)
}

fn falls(before: f64, after: f64) -> bool {
    after < before
}

/// NaN is like NaN.
#[expect(clippy::float_cmp, reason = "any change counts")]
fn moves(before: f64, after: f64) -> bool {
    before != after && !(before.is_nan() && after.is_nan())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::{over_time, range};
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![(-3_i32..3).prop_map(f64::from), Just(f64::NAN), Just(-0.0), Just(f64::INFINITY), any::<f64>()]
    }

    fn pairs(samples: &[Sample], is_turn: fn(f64, f64) -> bool) -> f64 {
        let turns = samples.windows(2).filter(|pair| is_turn(pair[0].value, pair[1].value));
        turns.fold(0.0, |count, _| count + 1.0)
    }

    fn best(samples: &[Sample], better: fn(f64, f64) -> bool) -> f64 {
        let values = samples.iter().map(|sample| sample.value);
        values.fold(f64::NAN, |best, value| if better(value, best) || best.is_nan() { value } else { best })
    }

    /// The functions with what they are of a window by itself, looked at as the documentation has it.
    type Anew = fn(&[Sample]) -> f64;
    const FUNCTIONS: [(RangeFunction, Anew); 6] = [
        (RangeFunction::Changes, |samples| pairs(samples, moves)),
        (RangeFunction::Resets, |samples| pairs(samples, falls)),
        (RangeFunction::Min, |samples| best(samples, |a, b| a < b)),
        (RangeFunction::Max, |samples| best(samples, |a, b| a > b)),
        (RangeFunction::Sum, over_time::sum),
        (RangeFunction::Average, over_time::average),
    ];

    fn is_same(one: Option<f64>, other: Option<f64>) -> bool {
        one.map(f64::to_bits) == other.map(f64::to_bits)
            || one.zip(other).is_some_and(|(a, b)| a.is_nan() && b.is_nan())
    }

    proptest! {
        #[test]
        fn what_is_remembered_changes_no_answer(
            values in prop_oneof![
                proptest::collection::vec(value(), 1..40),
                proptest::collection::vec((-9_i32..9).prop_map(f64::from), 1..40),
            ],
            moves in proptest::collection::vec((0_usize..4, 0_usize..5), 1..30),
        ) {
            let series: Vec<Sample> = (0..).zip(values).map(|(timestamp, value)| Sample { timestamp, value }).collect();
            let (mut begin, mut end) = (0, 0);
            let windows: Vec<(Window<'_>, [f64; 2])> = moves.into_iter().map(|(first, last)| {
                end = (end + last).min(series.len());
                begin = (begin + first).min(end);
                (Window { series: &series, begin, end, start_ms: 0, end_ms: 0, now_ms: 0 }, [0.0; 2])
            }).collect();
            for (function, anew) in FUNCTIONS {
                let (mut memory, mut found) = (Memory::new(&function, &series), Vec::new());
                for some in windows.chunks(range::AT_ONCE) {
                    range::apply(&function, some, &mut memory, &mut found).unwrap();
                }
                for ((window, _), found) in windows.iter().zip(found) {
                    let inside = window.samples();
                    let wanted = (!inside.is_empty()).then(|| anew(inside));
                    prop_assert!(is_same(found, wanted), "{:?} of {:?}: {:?}, not {:?}", function, window, found, wanted);
                }
            }
        }
    }
}
