//! Exponential histograms as native ones.
//!
//! Source: OpenTelemetry specification, "Prometheus and OpenMetrics compatibility", "Exponential Histograms".

use super::delta::Add;
use super::message::{Buckets, ExponentialPoint};
use crate::histogram::{BUCKETS_MAX, Bucket, Histogram, HistogramError, SCHEMA_MAX, SCHEMA_MIN};

/// Up to which size an observation is taken to be zero where the sender does not say it.
const ZERO_THRESHOLD: f64 = 1e-128;

#[expect(clippy::cast_precision_loss, reason = "Prometheus calculates with floats")]
fn float(count: u64) -> f64 {
    count as f64
}

/// A bucket's index here is that of its upper bound, and there that of its lower one.
fn buckets(buckets: Option<&Buckets>) -> Result<Vec<Bucket>, HistogramError> {
    let Some(Buckets { offset, bucket_counts }) = buckets else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for (place, count) in bucket_counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let index = i32::try_from(place).ok().and_then(|place| offset.checked_add(place)?.checked_add(1));
        found.push(Bucket { index: index.ok_or(HistogramError::Spans)?, count: float(*count) });
    }
    Ok(found)
}

/// What a point tells, in as narrow buckets as Prometheus has.
pub(super) fn native(point: &ExponentialPoint) -> Result<Histogram, HistogramError> {
    if point.scale < SCHEMA_MIN {
        return Err(HistogramError::Schema(point.scale));
    }
    let is_told = point.zero_threshold > 0.0;
    let histogram = Histogram {
        schema: point.scale,
        zero_threshold: if is_told { point.zero_threshold } else { ZERO_THRESHOLD },
        zero_count: float(point.zero_count),
        count: float(point.count),
        sum: point.sum.unwrap_or_default(),
        positive: buckets(point.positive.as_ref())?,
        negative: buckets(point.negative.as_ref())?,
        ..Histogram::default()
    };
    let histogram = histogram.at_schema(SCHEMA_MAX.min(point.scale));
    histogram.check()?;
    histogram.check_sum()?;
    Ok(histogram)
}

impl Add for Histogram {
    fn add(&mut self, delta: &Self) -> bool {
        let sum = self.plus(delta);
        let fits = sum.positive.len() + sum.negative.len() <= BUCKETS_MAX;
        if fits {
            *self = sum;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(scale: i32, offset: i32, counts: &[u64]) -> ExponentialPoint {
        let buckets = Buckets { offset, bucket_counts: counts.to_vec() };
        let count = 2 + counts.iter().sum::<u64>();
        let (positive, sum) = (Some(buckets), Some(1.5));
        ExponentialPoint { scale, positive, count, sum, zero_count: 2, ..ExponentialPoint::default() }
    }

    #[test]
    fn bounds_are_the_same_there_and_here() {
        // There, bucket 0 of scale 0 is (1, 2], and bucket -1 is (0.5, 1].
        let found = native(&point(0, -1, &[1, 0, 3])).unwrap();
        assert_eq!(found.to_string(), "{count:6, sum:1.5, [-1e-128,1e-128]:2, (0.5,1]:1, (2,4]:3}");
        // 4096 buckets of scale 20 are 1 of scale 8.
        let found = native(&point(20, -4096, &vec![1; 8192])).unwrap();
        assert_eq!((found.schema, found.positive.len()), (8, 2));
        assert_eq!(found.positive.iter().map(|bucket| bucket.index).collect::<Vec<_>>(), [0, 1]);
        assert!(found.positive.iter().all(|bucket| (bucket.count - 4096.0).abs() < 1e-9));
    }

    #[test]
    fn what_is_no_histogram_is_refused() {
        assert_eq!(native(&point(-5, 0, &[1])), Err(HistogramError::Schema(-5)));
        assert_eq!(native(&point(0, i32::MAX, &[1])), Err(HistogramError::Spans));
        assert_eq!(native(&point(0, 0, &vec![1; BUCKETS_MAX + 1])), Err(HistogramError::TooMany));
        assert_eq!(native(&ExponentialPoint { count: 9, ..point(0, 0, &[1]) }), Err(HistogramError::Sum));
    }
}
