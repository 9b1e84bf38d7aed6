//! Calculating with histograms: buckets are put together where those of two histograms differ.
//!
//! Source: Prometheus documentation, "Native histograms", "PromQL".

use std::cmp::Ordering;

use super::{Bucket, Hint, Histogram};

/// The bucket of a wider schema that a bucket lies in.
fn wider(index: i32, by: u32) -> i32 {
    // Bucket 0 ends at 1, as the wider one that it lies in does.
    (index.saturating_sub(1) >> by.min(31)).saturating_add(1)
}

/// Adds buckets to others, each times a factor.
fn merged(ours: &[Bucket], theirs: &[Bucket], factor: f64) -> Vec<Bucket> {
    let mut merged = Vec::with_capacity(ours.len().max(theirs.len()));
    let (mut ours, mut theirs) = (ours.iter().copied().peekable(), theirs.iter().copied().peekable());
    loop {
        let order = match (ours.peek(), theirs.peek()) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(one), Some(other)) => one.index.cmp(&other.index),
        };
        let mut take = Bucket { index: 0, count: 0.0 };
        if order != Ordering::Greater
            && let Some(bucket) = ours.next()
        {
            take = bucket;
        }
        if order != Ordering::Less
            && let Some(bucket) = theirs.next()
        {
            take = Bucket { index: bucket.index, count: take.count + bucket.count * factor };
        }
        merged.push(take);
    }
    merged
}

impl Histogram {
    /// The same in wider buckets; as it is if they are not wider.
    pub(crate) fn at_schema(&self, schema: i32) -> Self {
        let Some(by) = u32::try_from(self.schema.saturating_sub(schema)).ok().filter(|by| *by > 0) else {
            return self.clone();
        };
        let widened = |buckets: &[Bucket]| {
            let mut widened: Vec<Bucket> = Vec::with_capacity(buckets.len());
            for Bucket { index, count } in buckets {
                let index = wider(*index, by);
                match widened.last_mut() {
                    Some(last) if last.index == index => last.count += count,
                    Some(_) | None => widened.push(Bucket { index, count: *count }),
                }
            }
            widened
        };
        Self { schema, positive: widened(&self.positive), negative: widened(&self.negative), ..self.clone() }
    }

    /// The same with a zero bucket that is at least so wide: wider if the threshold lies within a bucket with observations,
    /// which it then takes in as a whole.
    fn at_threshold(&self, threshold: f64) -> Self {
        if threshold <= self.zero_threshold {
            return self.clone();
        }
        let mut threshold = threshold;
        // What one side moves it to may lie within a bucket of the other.
        loop {
            let cuts = |bucket: &&Bucket| {
                let (lower, upper) = self.bounds(bucket.index);
                lower < threshold && upper > threshold
            };
            let Some(cut) = self.positive.iter().chain(&self.negative).find(cuts) else { break };
            threshold = self.bounds(cut.index).1;
        }
        let mut next = Self { zero_threshold: threshold, ..self.clone() };
        let mut within = 0.0;
        for buckets in [&mut next.positive, &mut next.negative] {
            buckets.retain(|bucket| {
                let is_within = self.bounds(bucket.index).1 <= threshold;
                within += if is_within { bucket.count } else { 0.0 };
                !is_within
            });
        }
        next.zero_count += within;
        next
    }

    /// Both with the same buckets.
    fn aligned(&self, other: &Self) -> (Self, Self) {
        let schema = self.schema.min(other.schema);
        let (mut one, mut other) = (self.at_schema(schema), other.at_schema(schema));
        // Each step moves one of them to a bound of a bucket, of which there are only so many.
        while one.zero_threshold < other.zero_threshold || other.zero_threshold < one.zero_threshold {
            one = one.at_threshold(other.zero_threshold);
            other = other.at_threshold(one.zero_threshold);
        }
        (one, other)
    }

    fn combined(&self, other: &Self, factor: f64) -> Self {
        let (one, other) = self.aligned(other);
        Self {
            schema: one.schema,
            zero_threshold: one.zero_threshold,
            zero_count: one.zero_count + other.zero_count * factor,
            count: one.count + other.count * factor,
            sum: one.sum + other.sum * factor,
            positive: merged(&one.positive, &other.positive, factor),
            negative: merged(&one.negative, &other.negative, factor),
            hint: one.hint,
        }
        .compact()
    }

    /// Both together. A gauge makes a gauge; else what two know otherwise is not known.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        let hint = match (self.hint, other.hint) {
            (one, other) if one == other => one,
            (Hint::Gauge, _) | (_, Hint::Gauge) => Hint::Gauge,
            _ => Hint::Unknown,
        };
        Self { hint, ..self.combined(other, 1.0) }
    }

    /// What it has more than another, which is a gauge.
    pub(crate) fn minus(&self, other: &Self) -> Self {
        Self { hint: Hint::Gauge, ..self.combined(other, -1.0) }
    }

    fn each(&self, of: impl Fn(f64) -> f64) -> Self {
        let buckets = |buckets: &[Bucket]| {
            buckets.iter().map(|bucket| Bucket { index: bucket.index, count: of(bucket.count) }).collect()
        };
        Self {
            zero_count: of(self.zero_count),
            count: of(self.count),
            sum: of(self.sum),
            positive: buckets(&self.positive),
            negative: buckets(&self.negative),
            ..self.clone()
        }
        .compact()
    }

    /// Each count so many times. Less than nothing times it is a gauge.
    pub(crate) fn times(&self, factor: f64) -> Self {
        let hint = if factor < 0.0 { Hint::Gauge } else { self.hint };
        Self { hint, ..self.each(|count| count * factor) }
    }

    /// Each count divided. By 0, those that were nothing are NaN, and are left out where they are buckets.
    pub(crate) fn divided(&self, by: f64) -> Self {
        if by == 0.0 {
            // As in Prometheus 3, there are no buckets that any share of the counts could lie in.
            let empty = Self { positive: Vec::new(), negative: Vec::new(), ..self.clone() };
            return empty.each(|count| count / by);
        }
        let hint = if by < 0.0 { Hint::Gauge } else { self.hint };
        Self { hint, ..self.each(|count| count / by) }
    }

    /// True if both say the same, whatever is known of what was before.
    #[expect(clippy::float_cmp, reason = "`==` in PromQL is `==`")]
    pub(crate) fn equals(&self, other: &Self) -> bool {
        self.schema == other.schema
            && self.zero_threshold == other.zero_threshold
            && self.zero_count == other.zero_count
            && self.count == other.count
            && (self.sum == other.sum || self.sum.to_bits() == other.sum.to_bits())
            && self.positive == other.positive
            && self.negative == other.negative
    }

    /// True if counting has begun anew since another one: something is less than it was, or is told apart that was not.
    pub(crate) fn is_reset_after(&self, before: &Self) -> bool {
        match self.hint {
            Hint::Reset => return true,
            Hint::NoReset => return false,
            Hint::Unknown | Hint::Gauge => {}
        }
        if self.count < before.count || self.schema > before.schema || self.zero_threshold < before.zero_threshold {
            return true;
        }
        let before = before.at_schema(self.schema).at_threshold(self.zero_threshold);
        // It cuts a bucket that had observations.
        if before.zero_threshold > self.zero_threshold || self.zero_count < before.zero_count {
            return true;
        }
        fell(&self.positive, &before.positive) || fell(&self.negative, &before.negative)
    }
}

/// True if any bucket has less than before.
fn fell(now: &[Bucket], before: &[Bucket]) -> bool {
    let mut now = now.iter().copied().peekable();
    before.iter().any(|before| {
        while now.next_if(|bucket| bucket.index < before.index).is_some() {}
        let count = now.peek().filter(|bucket| bucket.index == before.index).map_or(0.0, |bucket| bucket.count);
        count < before.count
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(schema: i32, threshold: f64, positive: &[(i32, f64)]) -> Histogram {
        let positive: Vec<Bucket> =
            positive.iter().map(|(index, count)| Bucket { index: *index, count: *count }).collect();
        let count = positive.iter().map(|bucket| bucket.count).sum();
        Histogram { schema, zero_threshold: threshold, count, sum: count, positive, ..Histogram::default() }
    }

    #[test]
    fn schemas_and_thresholds_are_made_the_same() {
        // Bucket 1 of schema 0 is (1, 2], which buckets 1 and 2 of schema 1 share.
        let sum = of(0, 0.0, &[(1, 1.0)]).plus(&of(1, 0.0, &[(0, 1.0), (1, 2.0), (2, 4.0), (3, 8.0)]));
        assert_eq!(sum.to_string(), "{count:16, sum:16, (0.5,1]:1, (1,2]:7, (2,4]:8}");
        // 3 lies within (2, 4], which is taken in.
        let sum = of(0, 3.0, &[(3, 1.0)]).plus(&of(0, 0.0, &[(1, 1.0), (2, 2.0), (3, 4.0)]));
        assert_eq!(sum.to_string(), "{count:8, sum:8, [-4,4]:3, (4,8]:5}");
        let difference = sum.minus(&sum);
        assert_eq!(difference.to_string(), "{count:0, sum:0}");
        assert_eq!(difference.hint, Hint::Gauge);
    }

    #[test]
    fn resets_are_seen() {
        let before = of(1, 0.5, &[(1, 2.0), (4, 1.0)]);
        for (now, wanted) in [
            (of(1, 0.5, &[(1, 2.0), (4, 1.0)]), false),
            (of(1, 0.5, &[(1, 2.0), (3, 5.0), (4, 1.0)]), false),
            (of(1, 0.5, &[(1, 2.0), (3, 5.0)]), true),
            (of(1, 0.5, &[(1, 1.0), (4, 9.0)]), true),
            (of(2, 0.5, &[(2, 9.0), (8, 9.0)]), true),
            (of(0, 0.5, &[(1, 2.0), (2, 1.0)]), false),
            (of(0, 0.5, &[(1, 2.0), (3, 9.0)]), true),
            (of(1, 0.25, &[(1, 2.0), (4, 1.0)]), true),
            (of(1, 1.0, &[(1, 2.0), (4, 1.0)]), false),
            (of(1, 1.2, &[(1, 2.0), (4, 1.0)]), true),
            (Histogram { hint: Hint::Reset, ..of(1, 0.5, &[(1, 9.0), (4, 9.0)]) }, true),
            (Histogram { hint: Hint::NoReset, ..of(1, 0.5, &[]) }, false),
        ] {
            assert_eq!(now.is_reset_after(&before), wanted, "{now:?}");
        }
    }

    fn any() -> impl Strategy<Value = Histogram> {
        let buckets = proptest::collection::btree_map(-20_i32..20, 1_u32..9, 0..8);
        (-1_i32..3, 0_u32..5, buckets.clone(), buckets).prop_map(|(schema, threshold, positive, negative)| {
            let of = |buckets: std::collections::BTreeMap<i32, u32>| -> Vec<Bucket> {
                buckets.into_iter().map(|(index, count)| Bucket { index, count: f64::from(count) }).collect()
            };
            let (positive, negative) = (of(positive), of(negative));
            let count = positive.iter().chain(&negative).map(|bucket| bucket.count).sum();
            let zero_threshold = f64::from(threshold) / 3.0;
            Histogram { schema, zero_threshold, count, positive, negative, ..Histogram::default() }
        })
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_order_does_not_matter(one in any(), other in any()) {
            let sum = one.plus(&other);
            prop_assert!(sum.check().is_ok() && sum.check_sum().is_ok(), "{sum:?}");
            prop_assert!(sum.equals(&other.plus(&one)));
            prop_assert!((sum.count - one.count - other.count).abs() < 1e-9);
            prop_assert!(!sum.is_reset_after(&one) && !sum.is_reset_after(&other));
            let back = sum.minus(&other);
            prop_assert!(back.equals(&one.aligned(&sum).0), "{back} {one}");
        }
    }
}
