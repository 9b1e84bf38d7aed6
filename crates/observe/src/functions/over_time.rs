//! Aggregations of one series over time. The samples are never none.

use super::fold::mean_change;
use super::kahan::Sum;
use super::quantile::quantile as quantile_of;
use crate::sample::Sample;

fn values(samples: &[Sample]) -> impl Iterator<Item = f64> {
    samples.iter().map(|sample| sample.value)
}

pub(crate) fn average(samples: &[Sample]) -> f64 {
    let mut mean = Sum::default();
    let mut count = 0.0;
    for value in values(samples) {
        count += 1.0;
        if let Some(change) = mean_change(mean.sum, value, count) {
            mean.add(change);
        }
    }
    mean.total_or_infinite()
}

pub(crate) fn sum(samples: &[Sample]) -> f64 {
    let mut sum = Sum::default();
    values(samples).for_each(|value| sum.add(value));
    sum.total_or_infinite()
}

#[expect(clippy::cast_precision_loss, reason = "there are fewer samples than a float counts exactly")]
pub(crate) fn count(samples: &[Sample]) -> f64 {
    samples.len() as f64
}

/// NaN only if there is nothing else.
pub(crate) fn least(samples: &[Sample]) -> f64 {
    values(samples).fold(f64::NAN, |least, value| if value < least || least.is_nan() { value } else { least })
}

/// NaN only if there is nothing else.
pub(crate) fn most(samples: &[Sample]) -> f64 {
    values(samples).fold(f64::NAN, |most, value| if value > most || most.is_nan() { value } else { most })
}

/// Of the population, by Welford's method.
pub(crate) fn variance(samples: &[Sample]) -> f64 {
    let (mut mean, mut squares) = (Sum::default(), Sum::default());
    let mut count = 0.0;
    for value in values(samples) {
        count += 1.0;
        let delta = value - mean.total();
        mean.add(delta / count);
        squares.add(delta * (value - mean.total()));
    }
    squares.total() / count
}

pub(crate) fn quantile(samples: &[Sample], share: f64) -> f64 {
    let mut sorted: Vec<f64> = values(samples).collect();
    quantile_of(share, &mut sorted)
}

/// How often a value is followed by another one; NaN is like NaN.
#[expect(clippy::float_cmp, reason = "any change counts")]
pub(crate) fn changes(samples: &[Sample]) -> f64 {
    let changed = samples.windows(2).filter(|pair| match pair {
        [before, after] => before.value != after.value && !(before.value.is_nan() && after.value.is_nan()),
        _ => false,
    });
    changed.fold(0.0, |count, _| count + 1.0)
}

/// How often a value is followed by a lower one.
pub(crate) fn resets(samples: &[Sample]) -> f64 {
    let fallen = samples.windows(2).filter(|pair| matches!(pair, [before, after] if after.value < before.value));
    fallen.fold(0.0, |count, _| count + 1.0)
}
