//! Random numbers from a seed, so that a run can be repeated: `SplitMix64` (Steele, Lea and Flood 2014).

/// A generator.
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        // Mixed, so that neighbouring seeds do not give the same numbers one step apart.
        let mut dice = Self(seed ^ 0x6A09_E667_F3BC_C908);
        dice.0 = dice.bits();
        dice
    }

    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    pub(super) fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// How many arrive where `mean` are expected (Knuth's product method, in parts so that it can't underflow).
    pub(super) fn poisson(&mut self, mean: f64) -> u64 {
        let (mut left, mut count) = (mean, 0);
        while left > 0.0 {
            let part = left.min(200.0);
            left -= part;
            let (limit, mut product) = ((-part).exp(), self.uniform());
            while product > limit {
                product *= self.uniform();
                count += 1;
            }
        }
        count
    }
}
