//! Latencies as a histogram: small enough to be recorded with every step, fine enough to compare two versions by.
//!
//! Eight buckets for each doubling, so that a bucket's bounds are at most an eighth apart; the layout is that of
//! `HdrHistogram` with three bits of precision. Counting and subtracting are exact, only the place within a bucket is lost.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Buckets for each doubling.
const PER_DOUBLING: u64 = 8;
/// Its logarithm.
const BITS: u32 = 3;

/// How many requests took how long, from request to last byte of the answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "BTreeMap<u16, u64>", into = "BTreeMap<u16, u64>")]
#[schemars(with = "BTreeMap<u16, u64>")]
pub struct Latencies {
    /// Requests by bucket, up to the last one that is not zero.
    counts: Vec<u64>,
}

/// A bucket that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("latency bucket {0} does not exist, there are {count}", count = Latencies::BUCKETS)]
pub struct NoSuchBucket(u16);

impl Latencies {
    /// How many buckets there are: enough for 2^40 microseconds, which is 12 days; the last one takes all above.
    pub const BUCKETS: usize = 304;

    /// The bucket of a latency in microseconds.
    pub fn bucket(us: u64) -> usize {
        let exponent = us.checked_ilog2().unwrap_or(0);
        if exponent < BITS {
            return usize::try_from(us).unwrap_or(0);
        }
        let within = (us >> (exponent - BITS)) - PER_DOUBLING;
        let bucket = PER_DOUBLING * u64::from(exponent - BITS + 1) + within;
        usize::try_from(bucket).unwrap_or(usize::MAX).min(Self::BUCKETS - 1)
    }

    /// The least latency in a bucket, in microseconds.
    pub fn lower_bound_us(bucket: usize) -> u64 {
        let bucket = u64::try_from(bucket.min(Self::BUCKETS - 1)).unwrap_or(0);
        if bucket < PER_DOUBLING {
            return bucket;
        }
        let doublings = u32::try_from(bucket / PER_DOUBLING - 1).unwrap_or(0);
        (PER_DOUBLING + bucket % PER_DOUBLING) << doublings
    }

    /// Counts one request.
    pub fn record(&mut self, us: u64) {
        self.add(Self::bucket(us), 1);
    }

    /// Counts `count` requests in a bucket; the last one for a bucket that does not exist.
    pub fn add(&mut self, bucket: usize, count: u64) {
        let bucket = bucket.min(Self::BUCKETS - 1);
        if count == 0 {
            return;
        }
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        if let Some(slot) = self.counts.get_mut(bucket) {
            *slot = slot.saturating_add(count);
        }
    }

    /// All requests.
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Requests in buckets from `bucket` on: those that took at least [`Latencies::lower_bound_us`] of it.
    pub fn at_least(&self, bucket: usize) -> u64 {
        self.counts.iter().skip(bucket).fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// [`Latencies::at_least`] for rising buckets, in one pass.
    pub fn at_least_each<const N: usize>(&self, buckets: [usize; N]) -> [u64; N] {
        let mut found = [0u64; N];
        let (mut sum, mut end) = (0u64, self.counts.len());
        for (slot, bucket) in found.iter_mut().zip(buckets).rev() {
            let between = self.counts.get(bucket.min(end)..end).unwrap_or_default();
            sum = between.iter().fold(sum, |sum, count| sum.saturating_add(*count));
            *slot = sum;
            end = end.min(bucket);
        }
        found
    }

    /// The bucket in which the quantile lies, for `0.0..=1.0`; none when nothing was counted.
    pub fn quantile_bucket(&self, quantile: f64) -> Option<usize> {
        let total = self.total();
        if total == 0 || !(0.0..=1.0).contains(&quantile) {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "a rank among requests, rounded in any case")]
        let rank = quantile * total as f64;
        let mut seen = 0u64;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen = seen.saturating_add(*count);
            #[expect(clippy::cast_precision_loss, reason = "as above")]
            if *count > 0 && seen as f64 >= rank {
                return Some(bucket);
            }
        }
        None
    }

    /// The quantile in microseconds, as the middle of its bucket.
    pub fn quantile_us(&self, quantile: f64) -> Option<u64> {
        let bucket = self.quantile_bucket(quantile)?;
        Some(u64::midpoint(Self::lower_bound_us(bucket), Self::lower_bound_us(bucket + 1)))
    }

    /// What was counted since `earlier`; zero where `earlier` is larger.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = earlier.counts.iter().copied().chain(std::iter::repeat(0));
        let mut counts: Vec<u64> = self.counts.iter().zip(before).map(|(now, then)| now.saturating_sub(then)).collect();
        counts.truncate(counts.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1));
        Self { counts }
    }

    /// Adds what `other` counted.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in other.counts.iter().enumerate() {
            self.add(bucket, *count);
        }
    }

    /// The buckets that are not zero, with their requests.
    pub fn iter(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.counts.iter().copied().enumerate().filter(|(_, count)| *count > 0)
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}

impl TryFrom<BTreeMap<u16, u64>> for Latencies {
    type Error = NoSuchBucket;

    fn try_from(sparse: BTreeMap<u16, u64>) -> Result<Self, NoSuchBucket> {
        let mut latencies = Self::default();
        for (bucket, count) in sparse {
            if usize::from(bucket) >= Self::BUCKETS {
                return Err(NoSuchBucket(bucket));
            }
            latencies.add(usize::from(bucket), count);
        }
        Ok(latencies)
    }
}

impl From<Latencies> for BTreeMap<u16, u64> {
    fn from(latencies: Latencies) -> Self {
        latencies.iter().filter_map(|(bucket, count)| Some((u16::try_from(bucket).ok()?, count))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_latency_lies_in_its_bucket(us in 0u64..1 << 40) {
            let bucket = Latencies::bucket(us);
            prop_assert!(Latencies::lower_bound_us(bucket) <= us);
            prop_assert!(bucket == Latencies::BUCKETS - 1 || us < Latencies::lower_bound_us(bucket + 1));
        }

        #[test]
        fn what_was_added_is_what_is_left(first in prop::collection::vec(0u64..1 << 41, 0..40),
                                          second in prop::collection::vec(0u64..1 << 41, 0..40)) {
            let mut before = Latencies::default();
            for us in &first {
                before.record(*us);
            }
            let mut after = before.clone();
            for us in &second {
                after.record(*us);
            }
            let mut expected = Latencies::default();
            for us in &second {
                expected.record(*us);
            }
            prop_assert_eq!(after.since(&before), expected.clone());
            prop_assert_eq!(after.total(), (first.len() + second.len()) as u64);
            let stored = serde_json::to_string(&expected).unwrap();
            prop_assert_eq!(serde_json::from_str::<Latencies>(&stored).unwrap(), expected);
        }
    }

    #[test]
    fn quantiles_are_those_of_what_was_counted() {
        let mut latencies = Latencies::default();
        for us in 1..=1000 {
            latencies.record(us);
        }
        let p99 = latencies.quantile_us(0.99).unwrap();
        assert!((960..=1088).contains(&p99), "{p99}");
        assert_eq!(latencies.at_least(Latencies::bucket(512)), 489);
        let buckets = [0, 0, Latencies::bucket(512), Latencies::bucket(900), 303, usize::MAX];
        assert_eq!(latencies.at_least_each(buckets), buckets.map(|bucket| latencies.at_least(bucket)));
        assert_eq!(Latencies::default().quantile_us(0.5), None);
        assert_eq!(latencies.quantile_bucket(f64::NAN), None);
    }

    #[test]
    fn a_bucket_that_does_not_exist_is_refused() {
        let error = serde_json::from_str::<Latencies>(r#"{"304": 1}"#).unwrap_err();
        assert!(error.to_string().starts_with("latency bucket 304 does not exist, there are 304"), "{error}");
    }
}
