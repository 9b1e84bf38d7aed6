//! Native histograms: how many observations lay in each of many buckets, whose bounds are powers of one number, in one sample.
//!
//! Counts are floats, as PromQL calculates with them. A bucket without observations is not held, so that two histograms that
//! say the same are the same.
//!
//! Source: Prometheus documentation, "Native histograms" (specification), for schemas -4 to 8.

mod arithmetic;
mod bounds;
mod estimate;
mod text;

use std::sync::Arc;

use crate::sample::STALE_BITS;

pub use bounds::{Bounded, Edges};

/// The schema with the widest buckets: each power of 65,536 is a bound.
pub const SCHEMA_MIN: i32 = -4;
/// The schema with the narrowest buckets: 256 to each power of two.
pub const SCHEMA_MAX: i32 = 8;
/// How many buckets a histogram has at most. Prometheus' client libraries have 160 by default.
pub const BUCKETS_MAX: usize = 4096;

/// Observations in one bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// Which bucket: that of index 0 ends at 1, that of index 1 begins there.
    pub index: i32,
    /// How many observations; never 0.
    pub count: f64,
}

/// What is known of how a histogram follows the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Hint {
    /// Nothing: their counts are to be compared.
    #[default]
    Unknown,
    /// Counting has begun anew.
    Reset,
    /// Counting has gone on.
    NoReset,
    /// It is not counted up.
    Gauge,
}

/// How observations are distributed.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// How wide buckets are, from [`SCHEMA_MIN`] to [`SCHEMA_MAX`]: each bound is 2 to the power of 2 to the power of minus
    /// this times the one before it.
    pub schema: i32,
    /// Up to which size an observation counts as zero.
    pub zero_threshold: f64,
    /// How many do.
    pub zero_count: f64,
    /// How many observations there are; more than in all buckets if some are NaN.
    pub count: f64,
    /// What they add up to. A marker of staleness is one here.
    pub sum: f64,
    /// Above zero, by ascending index.
    pub positive: Vec<Bucket>,
    /// Below zero, by ascending index, which is away from zero.
    pub negative: Vec<Bucket>,
    /// How it follows the one before.
    pub hint: Hint,
}

/// A histogram at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramSample {
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// Shared, since it is passed on as it is more often than it is changed.
    pub histogram: Arc<Histogram>,
}

/// Why something is no histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HistogramError {
    /// Custom buckets, which Prometheus has as schema -53.
    #[error("custom buckets (schema -53) are not stored: use a classic or an exponential histogram")]
    CustomBuckets,
    /// No schema that is known.
    #[error("its schema is {0}, not one from {SCHEMA_MIN} to {SCHEMA_MAX}")]
    Schema(i32),
    /// More buckets than are taken.
    #[error("it has more than {BUCKETS_MAX} buckets")]
    TooMany,
    /// Spans that hold other than the buckets, or lie over each other.
    #[error("its spans do not fit its buckets")]
    Spans,
    /// A count that is none.
    #[error("it has a count that is negative or no number")]
    Count,
    /// A threshold that is none.
    #[error("its zero threshold is negative or no number")]
    Threshold,
    /// More or fewer observations in the buckets than in all.
    #[error("its buckets hold other than as many observations as it says")]
    Sum,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            schema: 0,
            zero_threshold: 0.0,
            zero_count: 0.0,
            count: 0.0,
            sum: 0.0,
            positive: Vec::new(),
            negative: Vec::new(),
            hint: Hint::Unknown,
        }
    }
}

impl Histogram {
    /// What says that a series has ended.
    pub fn stale() -> Self {
        Self { sum: f64::from_bits(STALE_BITS), ..Self::default() }
    }

    /// True of what [`Histogram::stale`] makes.
    pub fn is_stale(&self) -> bool {
        self.sum.to_bits() == STALE_BITS
    }

    /// Takes buckets without observations away.
    pub(crate) fn compact(mut self) -> Self {
        for buckets in [&mut self.positive, &mut self.negative] {
            buckets.retain(|bucket| bucket.count != 0.0);
        }
        self
    }

    /// How many numbers it is made of, which is what it takes in memory.
    pub fn size(&self) -> usize {
        4 + self.positive.len() + self.negative.len()
    }

    /// Checks what came from elsewhere.
    pub fn check(&self) -> Result<(), HistogramError> {
        if self.schema == -53 {
            return Err(HistogramError::CustomBuckets);
        }
        if !(SCHEMA_MIN..=SCHEMA_MAX).contains(&self.schema) {
            return Err(HistogramError::Schema(self.schema));
        }
        if self.positive.len() + self.negative.len() > BUCKETS_MAX {
            return Err(HistogramError::TooMany);
        }
        if !self.zero_threshold.is_finite() || self.zero_threshold < 0.0 {
            return Err(HistogramError::Threshold);
        }
        let ascend = |buckets: &[Bucket]| buckets.windows(2).all(|pair| matches!(pair, [a, b] if a.index < b.index));
        if !ascend(&self.positive) || !ascend(&self.negative) {
            return Err(HistogramError::Spans);
        }
        let counts = self.positive.iter().chain(&self.negative).map(|bucket| bucket.count);
        // A NaN is not at least 0 either.
        let is_count = |count: f64| count >= 0.0 && count.is_finite();
        if counts.chain([self.count, self.zero_count]).all(is_count) { Ok(()) } else { Err(HistogramError::Count) }
    }

    /// Of a histogram of whole numbers: all observations are in a bucket, but for those that are NaN, which make the sum so.
    pub fn check_sum(&self) -> Result<(), HistogramError> {
        let buckets = self.positive.iter().chain(&self.negative).map(|bucket| bucket.count);
        let held = buckets.fold(self.zero_count, |sum, count| sum + count);
        let fits = if self.sum.is_nan() { held <= self.count } else { (held - self.count).abs() <= 0.0 };
        if fits { Ok(()) } else { Err(HistogramError::Sum) }
    }
}

/// Buckets of spans: each begins so far behind the one before, and has so many buckets. The first one's offset is its index.
/// Buckets without observations are left out.
pub fn of_spans(
    spans: impl IntoIterator<Item = (i32, u32)>,
    counts: impl IntoIterator<Item = f64>,
) -> Result<Vec<Bucket>, HistogramError> {
    let mut counts = counts.into_iter();
    let mut buckets = Vec::new();
    let mut index: Option<i32> = None;
    let mut taken = 0_usize;
    for (offset, length) in spans {
        let begin = match index {
            None => offset,
            Some(_) if offset < 0 => return Err(HistogramError::Spans),
            Some(end) => end.checked_add(offset).ok_or(HistogramError::Spans)?,
        };
        let mut at = begin;
        for _ in 0..length {
            taken += 1;
            if taken > BUCKETS_MAX {
                return Err(HistogramError::TooMany);
            }
            let count = counts.next().ok_or(HistogramError::Spans)?;
            if count != 0.0 {
                buckets.push(Bucket { index: at, count });
            }
            at = at.checked_add(1).ok_or(HistogramError::Spans)?;
        }
        index = Some(at);
    }
    if counts.next().is_some() { Err(HistogramError::Spans) } else { Ok(buckets) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_become_buckets() {
        let bucket = |(index, count): (i32, f64)| Bucket { index, count };
        let found = of_spans([(-2, 2), (3, 2)], [1.0, 0.0, 2.0, 3.0]).unwrap();
        assert_eq!(found, [(-2, 1.0), (3, 2.0), (4, 3.0)].map(bucket));
        assert_eq!(of_spans([(0, 1), (-1, 1)], [1.0, 1.0]), Err(HistogramError::Spans));
        assert_eq!(of_spans([(0, 2)], [1.0]), Err(HistogramError::Spans));
        assert_eq!(of_spans([(0, 1)], [1.0, 2.0]), Err(HistogramError::Spans));
        assert_eq!(of_spans([(i32::MAX, 1)], [1.0]), Err(HistogramError::Spans));
        assert_eq!(of_spans([(0, u32::MAX)], std::iter::repeat(1.0)), Err(HistogramError::TooMany));
    }

    #[test]
    fn what_is_no_histogram_is_refused() {
        let with = |change: &dyn Fn(&mut Histogram)| {
            let positive = vec![Bucket { index: 1, count: 2.0 }];
            let mut histogram = Histogram { count: 2.0, positive, ..Histogram::default() };
            change(&mut histogram);
            histogram.check().and_then(|()| histogram.check_sum())
        };
        assert_eq!(with(&|_| {}), Ok(()));
        assert_eq!(with(&|histogram| histogram.schema = -53), Err(HistogramError::CustomBuckets));
        assert_eq!(with(&|histogram| histogram.schema = 9), Err(HistogramError::Schema(9)));
        assert_eq!(with(&|histogram| histogram.zero_threshold = f64::NAN), Err(HistogramError::Threshold));
        assert_eq!(with(&|histogram| histogram.positive[0].count = -1.0), Err(HistogramError::Count));
        assert_eq!(with(&|histogram| histogram.zero_count = 1.0), Err(HistogramError::Sum));
        assert_eq!(with(&|histogram| histogram.count = 3.0), Err(HistogramError::Sum));
        assert_eq!(with(&|histogram| (histogram.count, histogram.sum) = (3.0, f64::NAN)), Ok(()));
    }
}
