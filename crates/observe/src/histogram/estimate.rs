//! What can be told of observations by their buckets: quantiles, shares, spread.
//!
//! Within a bucket observations are taken to be spread evenly on a logarithmic scale, and evenly within the one around zero,
//! which ends at zero on a side where there are none.
//!
//! Source: Prometheus documentation (3.x), "Functions", `histogram_quantile`, `histogram_fraction`, `histogram_stdvar`.

use super::Histogram;
use super::bounds::Bounded;
use crate::functions::kahan::Sum;

impl Histogram {
    /// Buckets from the lowest on, with the one around zero cut at zero where all others are on one side.
    fn spread(&self) -> Vec<Bounded> {
        let cut = |mut bucket: Bounded| {
            if bucket.lower < 0.0 && bucket.upper > 0.0 {
                if self.negative.is_empty() && !self.positive.is_empty() {
                    bucket.lower = 0.0;
                } else if self.positive.is_empty() && !self.negative.is_empty() {
                    bucket.upper = 0.0;
                }
            }
            bucket
        };
        self.buckets().map(cut).collect()
    }

    /// The quantile. NaN if there are no observations, or if it is one of those that are NaN.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        if share < 0.0 {
            return f64::NEG_INFINITY;
        }
        if share > 1.0 {
            return f64::INFINITY;
        }
        if self.count == 0.0 || share.is_nan() {
            return f64::NAN;
        }
        let buckets = self.spread();
        // From the nearer end, so that little is added up. Observations that are NaN lie beyond the upper end.
        let from_below = self.sum.is_nan() || share < 0.5;
        let rank = if from_below { share } else { 1.0 - share } * self.count;
        let found = if from_below { ranked(buckets.iter(), rank) } else { ranked(buckets.iter().rev(), rank) };
        let Some((bucket, within)) = found else {
            let last = if from_below { buckets.last() } else { buckets.first() };
            let end = last.map_or(f64::NAN, |bucket| if from_below { bucket.upper } else { bucket.lower });
            return if self.sum.is_nan() { f64::NAN } else { end };
        };
        let share = within / bucket.count;
        between(bucket, if from_below { share } else { 1.0 - share })
    }

    /// The share of observations between two bounds.
    pub(crate) fn fraction(&self, lower: f64, upper: f64) -> f64 {
        if self.count == 0.0 || lower.is_nan() || upper.is_nan() {
            return f64::NAN;
        }
        if lower >= upper {
            return 0.0;
        }
        let buckets = self.spread();
        (self.below_bound(&buckets, upper) - self.below_bound(&buckets, lower)) / self.count
    }

    /// How many observations are below a bound.
    fn below_bound(&self, buckets: &[Bounded], bound: f64) -> f64 {
        let mut rank = 0.0;
        for bucket in buckets {
            if bucket.lower >= bound {
                return rank;
            }
            if bucket.upper > bound {
                return (rank + bucket.count * share_below(bucket, bound)).min(self.count);
            }
            rank += bucket.count;
        }
        // Those that are NaN are below infinity, and below nothing else.
        if bound < f64::INFINITY { rank.min(self.count) } else { self.count }
    }

    /// Of the population, with all observations of a bucket in its middle.
    pub(crate) fn variance(&self) -> f64 {
        let mean = self.sum / self.count;
        let mut squares = Sum::default();
        for bucket in self.buckets() {
            let middle = if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
                0.0
            } else {
                (bucket.lower * bucket.upper).sqrt() * bucket.upper.signum()
            };
            let distance = middle - mean;
            squares.add(bucket.count * distance * distance);
        }
        squares.total() / self.count
    }
}

/// The bucket that a rank lies in, and how many observations of it are up to there.
fn ranked<'a>(buckets: impl Iterator<Item = &'a Bounded>, rank: f64) -> Option<(&'a Bounded, f64)> {
    let mut passed = 0.0;
    for bucket in buckets {
        if passed + bucket.count >= rank {
            return Some((bucket, rank - passed));
        }
        passed += bucket.count;
    }
    None
}

fn is_around_zero(bucket: &Bounded) -> bool {
    bucket.lower <= 0.0 && bucket.upper >= 0.0
}

/// The value below which a share of a bucket's observations is.
fn between(bucket: &Bounded, share: f64) -> f64 {
    let Bounded { lower, upper, .. } = *bucket;
    if is_around_zero(bucket) {
        return lower + (upper - lower) * share;
    }
    let (low, high) = (lower.abs().log2(), upper.abs().log2());
    if lower > 0.0 { (low + (high - low) * share).exp2() } else { -(high + (low - high) * (1.0 - share)).exp2() }
}

/// The share of a bucket's observations that is below a value in it.
fn share_below(bucket: &Bounded, value: f64) -> f64 {
    let Bounded { lower, upper, .. } = *bucket;
    if is_around_zero(bucket) {
        return (value - lower) / (upper - lower);
    }
    let (low, high, at) = (lower.abs().log2(), upper.abs().log2(), value.abs().log2());
    if lower > 0.0 { (at - low) / (high - low) } else { 1.0 - (at - high) / (low - high) }
}

#[cfg(test)]
mod tests {
    use crate::histogram::{Bucket, Histogram};

    fn of(zero: f64, positive: &[(i32, f64)], negative: &[(i32, f64)]) -> Histogram {
        let buckets = |all: &[(i32, f64)]| -> Vec<Bucket> {
            all.iter().map(|(index, count)| Bucket { index: *index, count: *count }).collect()
        };
        let (positive, negative) = (buckets(positive), buckets(negative));
        let count = zero + positive.iter().chain(&negative).map(|bucket| bucket.count).sum::<f64>();
        let (zero_threshold, zero_count) = (0.5, zero);
        Histogram { zero_threshold, zero_count, count, sum: 10.0, positive, negative, ..Histogram::default() }
    }

    #[track_caller]
    fn near(found: f64, wanted: f64) {
        assert!((found - wanted).abs() < 1e-12 || (found.is_nan() && wanted.is_nan()), "{found}, not {wanted}");
    }

    #[test]
    fn quantiles_are_even_on_a_logarithmic_scale() {
        let histogram = of(0.0, &[(1, 4.0), (2, 4.0)], &[]);
        near(histogram.quantile(0.25), std::f64::consts::SQRT_2);
        near(histogram.quantile(0.75), 2.0 * std::f64::consts::SQRT_2);
        near(histogram.quantile(0.0), 1.0);
        near(histogram.quantile(1.0), 4.0);
        near(of(4.0, &[(1, 4.0)], &[]).quantile(0.25), 0.25);
        near(of(4.0, &[], &[(1, 4.0)]).quantile(0.75), -0.25);
        near(of(4.0, &[], &[]).quantile(0.75), 0.25);
        near(of(0.0, &[], &[(1, 4.0)]).quantile(0.5), -std::f64::consts::SQRT_2);
        near(of(0.0, &[], &[]).quantile(0.5), f64::NAN);
        assert!(histogram.quantile(-0.1).is_infinite() && histogram.quantile(1.1).is_infinite());
        let with_nan = Histogram { count: 16.0, sum: f64::NAN, ..histogram };
        near(with_nan.quantile(0.5), 4.0);
        near(with_nan.quantile(0.75), f64::NAN);
    }

    #[test]
    fn fractions_are_the_inverse_of_quantiles() {
        let histogram = of(2.0, &[(1, 4.0), (2, 4.0)], &[(0, 3.0), (1, 1.0)]);
        for share in [0.01, 0.1, 0.25, 0.3, 0.45, 0.6, 0.9, 0.99] {
            near(histogram.fraction(f64::NEG_INFINITY, histogram.quantile(share)), share);
        }
        near(histogram.fraction(1.0, 4.0), 8.0 / 14.0);
        near(histogram.fraction(2.0, 1.0), 0.0);
        near(histogram.fraction(f64::NEG_INFINITY, f64::INFINITY), 1.0);
        near(histogram.fraction(f64::NAN, 1.0), f64::NAN);
    }

    #[test]
    fn variance_is_of_the_middles_of_buckets() {
        let histogram = Histogram { sum: 0.0, ..of(2.0, &[(1, 1.0)], &[(1, 1.0)]) };
        near(histogram.variance(), 1.0);
    }
}
