//! Where buckets begin and end.
//!
//! Source: Prometheus documentation, "Native histograms", "Schema".

use super::{Bucket, Histogram};

/// Which of its two bounds belong to a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edges {
    /// The upper one.
    Upper,
    /// The lower one.
    Lower,
    /// Both, as of the one around zero.
    Both,
}

/// A bucket with its bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounded {
    /// Where it begins.
    pub lower: f64,
    /// Where it ends.
    pub upper: f64,
    /// Which of these belong to it.
    pub edges: Edges,
    /// How many observations there are in it.
    pub count: f64,
}

/// Where the bucket of an index ends, above zero. The last one that holds numbers ends at the largest of them, so that the
/// next one holds the infinities alone.
pub(super) fn upper(schema: i32, index: i32) -> f64 {
    let index = i64::from(index);
    let (whole, part) = if schema < 0 {
        (index << schema.unsigned_abs(), 0.0)
    } else {
        #[expect(clippy::cast_precision_loss, reason = "at most 255 of 256")]
        let part = index.rem_euclid(1 << schema) as f64 / f64::from(1_u32 << schema);
        (index >> schema, part)
    };
    if whole == 1024 && part <= 0.0 {
        return f64::MAX;
    }
    #[expect(clippy::cast_possible_truncation, reason = "it is within 3,000 of zero")]
    let whole = whole.clamp(-3000, 3000) as i32;
    // In two steps, of which the first neither overflows nor loses digits.
    let half = whole / 2;
    part.exp2() * f64::from(half).exp2() * f64::from(whole - half).exp2()
}

impl Histogram {
    /// All buckets with observations from the lowest to the highest. The one around zero takes what the others have of it.
    pub fn buckets(&self) -> impl DoubleEndedIterator<Item = Bounded> {
        let negative = self.negative.iter().rev().map(|bucket| self.below(*bucket));
        let zero = (self.zero_count != 0.0).then_some(self.zero());
        let positive = self.positive.iter().map(|bucket| self.above(*bucket));
        negative.chain(zero).chain(positive)
    }

    fn zero(&self) -> Bounded {
        let edges = Edges::Both;
        Bounded { lower: -self.zero_threshold, upper: self.zero_threshold, edges, count: self.zero_count }
    }

    fn above(&self, Bucket { index, count }: Bucket) -> Bounded {
        let (lower, upper) = self.bounds(index);
        // Around zero it may begin within the zero bucket.
        let lower = if lower < self.zero_threshold { self.zero_threshold.min(upper) } else { lower };
        Bounded { lower, upper, edges: Edges::Upper, count }
    }

    fn below(&self, bucket: Bucket) -> Bounded {
        let Bounded { lower, upper, count, .. } = self.above(bucket);
        Bounded { lower: -upper, upper: -lower, edges: Edges::Lower, count }
    }

    /// Where the bucket of an index begins and ends, above zero.
    pub(super) fn bounds(&self, index: i32) -> (f64, f64) {
        (upper(self.schema, index.saturating_sub(1)), upper(self.schema, index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_powers() {
        for (schema, index, wanted) in [
            (0, 0, 1.0),
            (0, 1, 2.0),
            (0, -1, 0.5),
            (1, 1, std::f64::consts::SQRT_2),
            (1, -1, std::f64::consts::FRAC_1_SQRT_2),
            (3, 16, 4.0),
            (-1, 1, 4.0),
            (-4, 1, 65536.0),
            (-4, -1, 1.0 / 65536.0),
            (0, 1024, f64::MAX),
            (0, 1025, f64::INFINITY),
            (-4, 64, f64::MAX),
            (-4, 65, f64::INFINITY),
            (8, 262_144, f64::MAX),
            (8, i32::MAX, f64::INFINITY),
            (8, i32::MIN, 0.0),
            (-4, i32::MIN, 0.0),
            (0, -1074, 5e-324),
        ] {
            let found = upper(schema, index);
            let is_near = (found - wanted).abs() <= wanted.abs() * 1e-15;
            assert!(is_near || found.to_bits() == wanted.to_bits(), "{schema} {index}: {found}");
        }
    }
}
