//! Aggregations of one series over time. The samples are never none.

use super::fold::mean_change;
use super::kahan::Sum;
use super::quantile::quantile as quantile_of;
use crate::sample::Sample;

fn values(samples: &[Sample]) -> impl Iterator<Item = f64> {
    samples.iter().map(|sample| sample.value)
}

pub(crate) fn average(samples: &[Sample]) -> f64 {
    continued(Sum::default(), 0.0, samples)
}

/// The average of samples of which so many have gone into it already.
fn continued(mut mean: Sum, mut count: f64, rest: &[Sample]) -> f64 {
    for value in values(rest) {
        count += 1.0;
        if let Some(change) = mean_change(mean.sum, value, count) {
            mean.add(change);
        }
    }
    mean.total_or_infinite()
}

/// The averages of several windows. Each sample's change of the mean has to wait for the one before, so that four windows at
/// once take as long as one: they are gone through together for as long as the shortest is.
pub(crate) fn averages(windows: [&[Sample]; 4]) -> [f64; 4] {
    let [first, second, third, fourth] = windows.map(values);
    let mut means = [Sum::default(); 4];
    let mut count = 0.0;
    let mut passed = 0;
    for (((first, second), third), fourth) in first.zip(second).zip(third).zip(fourth) {
        count += 1.0;
        passed += 1;
        for (mean, value) in means.iter_mut().zip([first, second, third, fourth]) {
            mean.add(value / count - mean.sum / count);
        }
    }
    let mut averages = [f64::NAN; 4];
    for ((average, mean), window) in averages.iter_mut().zip(means).zip(windows) {
        *average = continued(mean, count, window.get(passed..).unwrap_or_default());
        if !average.is_finite() {
            // Infinite means and values have rules of their own.
            *average = self::average(window);
        }
    }
    averages
}

pub(crate) fn sum(samples: &[Sample]) -> f64 {
    let mut sum = Sum::default();
    values(samples).for_each(|value| sum.add(value));
    sum.total_or_infinite()
}

#[expect(clippy::cast_precision_loss, reason = "there are fewer samples than a float counts exactly")]
pub(crate) fn count<T>(all: &[T]) -> f64 {
    all.len() as f64
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
