//! Randomness that one number decides: the same seed gives the same draws on every machine.
//!
//! The generator is `SplitMix64` (Steele, Lea and Flood, *Fast Splittable Pseudorandom Number Generators*, 2014): 64 bits of
//! state, every seed is good, and two streams branch off without sharing draws.

/// A stream of draws.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A stream of its own: what is drawn from it changes nothing in this one.
    #[must_use]
    pub fn branch(&mut self) -> Self {
        Self(self.bits())
    }

    /// A number below `limit`; 0 where that is 0. The upper bits decide (Lemire, *Fast Random Integer Generation in an
    /// Interval*, 2019, without its rejection: the bias is below `limit / 2^64`).
    pub fn below(&mut self, limit: u64) -> u64 {
        let product = u128::from(self.bits()) * u128::from(limit);
        u64::try_from(product >> 64).unwrap_or_default()
    }

    /// A number from `low` to `high`, both included; `low` where `high` is less.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = u64::try_from(high.saturating_sub(low)).unwrap_or_default();
        low.saturating_add(i64::try_from(self.below(span.saturating_add(1))).unwrap_or_default())
    }

    /// Whether something happens that happens so many times in a thousand.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }

    /// One of a few.
    pub fn pick<T: Copy, const N: usize>(&mut self, of: [T; N]) -> T {
        const { assert!(N > 0, "there is nothing to pick from") };
        let at = usize::try_from(self.below(N as u64)).unwrap_or_default();
        #[expect(clippy::indexing_slicing, reason = "a draw below N is below N")]
        of[at]
    }

    /// One of a list, unless that is empty.
    pub fn of<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        list.get(usize::try_from(self.below(list.len() as u64)).ok()?)
    }

    /// How many successes come before the next failure, each trial failing with a chance of `per_myriad` in 10,000: the
    /// geometric distribution by inversion. `u64::MAX` where nothing fails.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "53 bits are a double's precision; a length of 2^64 is for ever"
    )]
    pub fn successes(&mut self, per_myriad: u32) -> u64 {
        match per_myriad {
            0 => u64::MAX,
            10_000.. => 0,
            _ => {
                let uniform = ((self.bits() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
                (uniform.ln() / (1.0 - f64::from(per_myriad) / 10_000.0).ln()) as u64
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_the_published_one() {
        // The first outputs for seed 1234567 of the reference implementation in C (Vigna, prng.di.unimi.it/splitmix64.c).
        let mut random = Random::new(1_234_567);
        let drawn = [random.bits(), random.bits(), random.bits()];
        assert_eq!(drawn, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn draws_stay_within_their_bounds_and_reach_them() {
        let mut random = Random::new(1);
        let drawn: Vec<i64> = (0..1_000).map(|_| random.between(-2, 2)).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&-2), Some(&2)));
        assert_eq!((random.below(0), random.between(3, 1), random.of::<u8>(&[])), (0, 3, None));
    }

    #[test]
    fn failures_come_as_often_as_they_should() {
        let mut random = Random::new(7);
        let runs: u64 = (0..10_000).map(|_| random.successes(500)).sum();
        assert!((185_000..195_000).contains(&runs), "19 successes before each failure on average: {runs}");
        assert_eq!((random.successes(0), random.successes(10_000)), (u64::MAX, 0));
    }
}
