//! Aggregations that go through their values once.

use crate::promql::expression::Fold;

/// What is known of the values so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Accumulator {
    count: f64,
    mean: f64,
    /// The sum, the least, the most, or the squares around the mean.
    value: f64,
}

impl Accumulator {
    pub(crate) fn add(&mut self, fold: Fold, value: f64) {
        self.count += 1.0;
        let is_first = self.count < 1.5;
        match fold {
            Fold::Count | Fold::Group => {}
            // Spread is measured from the first value on, which is no spread whatever it is.
            Fold::Average | Fold::StandardDeviation | Fold::StandardVariance if is_first => self.mean = value,
            Fold::Average => {
                if let Some(inc) = mean_change(self.mean, value, self.count) {
                    self.mean += inc;
                }
            }
            Fold::StandardDeviation | Fold::StandardVariance => {
                let delta = value - self.mean;
                self.mean += delta / self.count;
                self.value += delta * (value - self.mean);
            }
            Fold::Sum | Fold::Min | Fold::Max if is_first => self.value = value,
            Fold::Sum => self.value += value,
            Fold::Min | Fold::Max => {
                let is_better = if fold == Fold::Min { value < self.value } else { value > self.value };
                if is_better || self.value.is_nan() {
                    self.value = value;
                }
            }
        }
    }

    /// Nothing if there was no value.
    pub(crate) fn result(&self, fold: Fold) -> Option<f64> {
        let result = match fold {
            Fold::Sum | Fold::Min | Fold::Max => self.value,
            Fold::Average => self.mean,
            Fold::Count => self.count,
            Fold::Group => 1.0,
            Fold::StandardDeviation => (self.value / self.count).sqrt(),
            Fold::StandardVariance => self.value / self.count,
        };
        (self.count > 0.0).then_some(result)
    }
}

/// How far one more value moves a mean. Divided before it is subtracted, so that the largest numbers don't overflow;
/// nothing where the mean is infinite and remains so.
pub(crate) fn mean_change(mean: f64, value: f64, count: f64) -> Option<f64> {
    let same_infinity = value.is_infinite() && (mean > 0.0) == (value > 0.0);
    if mean.is_infinite() && (same_infinity || value.is_finite()) {
        return None;
    }
    Some(value / count - mean / count)
}
