//! Sums whose rounding errors are added up beside them.
//!
//! Source: Neumaier, "Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen", 1974; so Prometheus 2.42
//! does over time, but not over series.

/// A sum and what rounding has taken from it so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sum {
    pub(crate) sum: f64,
    compensation: f64,
}

impl Sum {
    pub(crate) fn add(&mut self, value: f64) {
        let total = self.sum + value;
        // What the smaller of the two lost.
        self.compensation +=
            if self.sum.abs() >= value.abs() { (self.sum - total) + value } else { (value - total) + self.sum };
        self.sum = total;
    }

    /// The sum with what had been lost.
    pub(crate) fn total(&self) -> f64 {
        self.sum + self.compensation
    }

    /// As [`Sum::total`], but an infinite sum is infinite: what it lost is no number.
    pub(crate) fn total_or_infinite(&self) -> f64 {
        if self.sum.is_infinite() { self.sum } else { self.total() }
    }
}

#[cfg(test)]
mod tests {
    use super::Sum;

    #[test]
    fn small_numbers_survive_large_ones() {
        let mut sum = Sum::default();
        for value in [1e100, 1.0, -1e100] {
            sum.add(value);
        }
        assert!((sum.total() - 1.0).abs() < f64::EPSILON);
    }
}
