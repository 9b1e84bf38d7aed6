//! From when on a request counts as slow, fixed before the step by what the stable version took until then.
//!
//! If the candidate takes at most `r` times as long as the stable version, then it exceeds `r t` at most as often as the
//! stable version exceeds `t`, for every `t` (stochastic dominance with a tolerance). The candidate's bound is rounded up
//! to the next bucket, which only favours it.

use super::{Analysis, Evidence};
use crate::latency::Latencies;
use crate::runtime::Tally;

/// At which quantiles of the stable version's latencies.
pub(super) const QUANTILES: [f64; 4] = [0.5, 0.75, 0.9, 0.99];
/// Fewer latencies than this fix nothing.
const LATENCIES_MIN: u64 = 200;

/// A threshold for each quantile, in buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Thresholds {
    /// The first sample that they may be used for: those before were needed to fix them.
    pub(super) from: usize,
    /// The stable version's.
    pub(super) stable: [usize; 4],
    /// The candidate's beside a stable version.
    pub(super) beside: [usize; 4],
    /// The candidate's alone: times differ between now and then, so the ratio is allowed twice.
    pub(super) alone: [usize; 4],
    /// The stable version's requests by which they were fixed: slow ones, and all.
    pub(super) past: ([u64; 4], u64),
}

impl Thresholds {
    /// None where latency is not judged or the stable version's is not known.
    pub(super) fn new(analysis: &Analysis, evidence: &Evidence<'_>) -> Option<Self> {
        if !analysis.judges_latency() {
            return None;
        }
        let past = std::iter::once(evidence.reference).chain(evidence.earlier.iter().map(|sample| &sample.stable));
        let (from, source, total) = past
            .enumerate()
            .map(|(at, tally)| (at, tally, tally.latencies.total()))
            .find(|(.., n)| *n >= LATENCIES_MIN)?;
        let ratio = analysis.latency_ratio_max.ratio();
        let slack_us = u64::try_from(analysis.latency_slack.duration().as_micros()).unwrap_or(0);
        let stable = quantile_buckets(source, total).map(|bucket| sharpest(bucket, ratio, slack_us));
        Some(Self {
            from,
            stable,
            beside: stable.map(|bucket| at_least(bucket, ratio, slack_us)),
            alone: stable.map(|bucket| at_least(bucket, ratio * ratio, slack_us)),
            past: (source.latencies.at_least_each(stable), total),
        })
    }
}

/// The buckets of all quantiles in one pass.
fn quantile_buckets(source: &Tally, total: u64) -> [usize; 4] {
    let ranks = QUANTILES.map(|quantile| quantile * super::float(total));
    let mut found = [Latencies::BUCKETS - 1; 4];
    let (mut seen, mut next) = (0u64, ranks.iter().zip(&mut found).peekable());
    for (bucket, count) in source.latencies.iter() {
        seen = seen.saturating_add(count);
        while let Some((_, slot)) = next.next_if(|(rank, _)| super::float(seen) >= **rank) {
            *slot = bucket;
        }
    }
    found
}

/// The bucket nearby that loses least when the candidate's is rounded up.
fn sharpest(bucket: usize, ratio: f64, slack_us: u64) -> usize {
    let loss = |near: usize| {
        let least = |bucket| super::float(Latencies::lower_bound_us(bucket).max(1));
        least(at_least(near, ratio, slack_us)) / least(near)
    };
    let nearby = [bucket, bucket + 1, bucket.saturating_sub(1), bucket + 2, bucket.saturating_sub(2)];
    nearby.into_iter().min_by(|a, b| loss(*a).total_cmp(&loss(*b))).unwrap_or(bucket)
}

/// The first bucket all of which is at least `ratio` times, and `slack_us` more than, the least of `bucket`.
fn at_least(bucket: usize, ratio: f64, slack_us: u64) -> usize {
    let least_us = Latencies::lower_bound_us(bucket);
    let wanted_us = super::whole(super::float(least_us) * ratio).max(least_us.saturating_add(slack_us));
    let within = Latencies::bucket(wanted_us);
    if Latencies::lower_bound_us(within) < wanted_us { within + 1 } else { within }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_candidates_threshold_is_never_below_what_is_tolerated(bucket in 0usize..290, percent in 100u16..400, slack_us in 0u64..50_000) {
            let ratio = f64::from(percent) / 100.0;
            let theirs = Latencies::lower_bound_us(bucket);
            let ours = Latencies::lower_bound_us(at_least(bucket, ratio, slack_us));
            let wanted = (super::super::float(theirs) * ratio).max(super::super::float(theirs + slack_us));
            prop_assert!(super::super::float(ours) >= wanted || at_least(bucket, ratio, slack_us) >= Latencies::BUCKETS - 1);
            prop_assert!(super::super::float(ours) <= 1.13 * wanted + 1.0, "not more than a bucket above: {ours} for {wanted}");
        }
    }
}
