//! How long answers took, in a fixed space: 16 buckets for each doubling, so that a quantile is right to about 6%.

use std::time::Duration;

/// Buckets for each doubling, as a power of two.
const SUB_BITS: u32 = 4;
/// Microseconds of 64 bits have at most this many buckets.
const BUCKETS: usize = 64 << SUB_BITS;

/// A histogram of times.
#[derive(Debug, Clone)]
pub(crate) struct Latency {
    buckets: Vec<u64>,
    count: u64,
    max: Duration,
}

impl Default for Latency {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS], count: 0, max: Duration::ZERO }
    }
}

impl Latency {
    /// Counts one.
    pub(crate) fn record(&mut self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get_mut(bucket_of(us)) {
            *bucket = bucket.saturating_add(1);
        }
        self.count = self.count.saturating_add(1);
        self.max = self.max.max(took);
    }

    /// The longest.
    pub(crate) fn max(&self) -> Duration {
        self.max
    }

    /// The time within which `percent` of them were; none where there are none.
    pub(crate) fn quantile(&self, percent: u64) -> Option<Duration> {
        let wanted = self.count.saturating_mul(percent).div_ceil(100).max(1);
        let mut seen = 0u64;
        for (index, count) in self.buckets.iter().enumerate() {
            seen = seen.saturating_add(*count);
            if seen >= wanted {
                return Some(Duration::from_micros(upper_end(index)).min(self.max));
            }
        }
        None
    }
}

/// Below 16 each value has its own bucket; above, the highest set bit and the 4 bits after it name it.
fn bucket_of(us: u64) -> usize {
    let exponent = (us | 1).ilog2().saturating_sub(SUB_BITS);
    let index = (u64::from(exponent) << SUB_BITS) + (us >> exponent);
    usize::try_from(index).unwrap_or(BUCKETS - 1)
}

/// The largest value of a bucket.
fn upper_end(index: usize) -> u64 {
    let index = index as u64;
    let (row, low) = (index >> SUB_BITS, index & ((1 << SUB_BITS) - 1));
    let Some(exponent) = row.checked_sub(1) else { return index };
    // The last bucket's end is 2 to the power of 64, less one.
    let above = (u128::from(low) + (1 << SUB_BITS) + 1) << exponent.min(64);
    u64::try_from(above - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_a_sixteenth() {
        let mut latency = Latency::default();
        assert_eq!(latency.quantile(50), None);
        for ms in 1..=1000 {
            latency.record(Duration::from_millis(ms));
        }
        for percent in [1u64, 50, 90, 99] {
            let right = Duration::from_millis(percent * 10);
            let told = latency.quantile(percent).unwrap();
            assert!(told >= right && told <= right + right / 16 + Duration::from_micros(1), "{percent}%: {told:?}");
        }
        assert_eq!(latency.quantile(100), Some(Duration::from_secs(1)));
        assert_eq!(latency.max(), Duration::from_secs(1));
    }

    #[test]
    fn every_value_has_a_bucket_that_holds_it() {
        for us in (0..5000).chain([u64::from(u32::MAX), u64::MAX / 2, u64::MAX]) {
            let index = bucket_of(us);
            assert!(index < BUCKETS, "{us}: {index}");
            assert!(upper_end(index) >= us, "{us} is above the end of its bucket {}", upper_end(index));
            assert!(index == 0 || upper_end(index - 1) < us, "{us} belongs to an earlier bucket");
        }
    }
}
