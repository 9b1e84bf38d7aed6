//! A mixture of e-processes over odds.
//!
//! Among `of` draws each of which is a hit with probability at most `p`, `theta^hits / (1 + p (theta - 1))^of` is a
//! non-negative supermartingale with mean at most 1 for every `theta > 1` (it is the likelihood ratio of the odds being
//! `theta` times as high). It falls as `p` grows, so that an upper bound in place of `p` keeps it valid; so does leaving
//! out a term of an average. A finite mixture costs nothing in validity and a little in power.
//!
//! Where hits may also come from `tries` of their own, each with probability at most `slack` beyond the `p` of all draws,
//! every try divides by `1 + slack (gain - 1)`, with the `gain = theta / (1 + p (theta - 1))` of a hit:
//! `docs/concepts/judging.md` shows that this pays for them, whatever the draws' own rate is.
//!
//! Most of a judgment's time was spent on logarithms; a [`Null`] holds those that its cells share.

/// How many odds are tried.
pub(super) const ODDS: usize = 12;
/// By how much the odds may have grown: small effects need fine steps, large ones are seen in any case.
const THETA: [f64; ODDS] = [1.6, 2.2, 3.0, 4.0, 5.5, 8.0, 12.0, 20.0, 40.0, 100.0, 400.0, 3000.0];
/// Their logarithms.
const LOG_THETA: [f64; ODDS] = [
    0.470_003_629_245_735_63,
    0.788_457_360_364_270_3,
    1.098_612_288_668_109_8,
    1.386_294_361_119_890_6,
    1.704_748_092_238_425_3,
    2.079_441_541_679_835_7,
    2.484_906_649_788_000_4,
    2.995_732_273_553_991,
    3.688_879_454_113_936_3,
    4.605_170_185_988_092,
    5.991_464_547_107_982,
    8.006_367_567_650_246,
];
/// Their weights, which sum to 1.
const PRIOR: f64 = 1.0 / 12.0;

/// What is so if the candidate is no worse than tolerated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Null {
    /// The largest probability that a draw is a hit.
    pub(super) p: f64,
    /// How much more probable it is for each of the candidate's requests to be one, at most.
    pub(super) slack: f64,
    /// By theta, the logarithm of what a draw divides by,
    draw: [f64; ODDS],
    /// and of what a request of the candidate divides by.
    tried: [f64; ODDS],
}

impl Null {
    /// Of what is not asked.
    pub(super) const NONE: Self = Self { p: 0.0, slack: 0.0, draw: [0.0; ODDS], tried: [0.0; ODDS] };

    pub(super) fn new(p: f64, slack: f64) -> Self {
        let norms = THETA.map(|theta| 1.0 + p * (theta - 1.0));
        let mut tried = [0.0; ODDS];
        if slack > 0.0 {
            for ((tried, norm), theta) in tried.iter_mut().zip(norms).zip(THETA) {
                *tried = (slack * (theta / norm - 1.0)).ln_1p();
            }
        }
        Self { p, slack, draw: norms.map(f64::ln), tried }
    }
}

/// Draws of which some are hits.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Cell {
    /// How many were hits.
    pub(super) hits: f64,
    /// Of how many draws.
    pub(super) of: f64,
    /// The candidate's requests, where each may be a hit beyond that.
    pub(super) tries: f64,
}

/// Logarithms of the e-processes, one for each theta, over any number of cells.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mixture {
    logs: [f64; ODDS],
    /// Whether there were more hits than expected; without it no term is above 1.
    excess: f64,
}

impl Mixture {
    pub(super) const START: Self = Self { logs: [0.0; ODDS], excess: 0.0 };

    /// Multiplies what a further cell says.
    pub(super) fn add(&mut self, cell: Cell, null: &Null) {
        if cell.of <= 0.0 || null.p <= 0.0 || null.p >= 1.0 {
            return;
        }
        self.excess += cell.hits - cell.of * null.p;
        for (((log, theta), draw), tried) in self.logs.iter_mut().zip(LOG_THETA).zip(null.draw).zip(null.tried) {
            *log += cell.hits * theta - cell.of * draw;
            *log -= cell.tries * tried;
        }
    }

    /// Logarithm of the average; minus infinity where no term can be above 1.
    pub(super) fn log(&self) -> f64 {
        if self.excess <= 0.0 { f64::NEG_INFINITY } else { log_sum(&self.logs, PRIOR) }
    }

    /// As [`Mixture::log`], or minus infinity where that is less than `least`.
    pub(super) fn log_from(&self, least: f64) -> f64 {
        let largest = self.logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if largest < least { f64::NEG_INFINITY } else { self.log() }
    }
}

/// `ln(prior * sum(exp(logs)))` without overflow.
pub(super) fn log_sum(logs: &[f64], prior: f64) -> f64 {
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return largest;
    }
    largest + (prior * logs.iter().map(|log| (log - largest).exp()).sum::<f64>()).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithms_are_those_of_the_odds() {
        for (log, theta) in LOG_THETA.into_iter().zip(THETA) {
            assert!((log - theta.ln()).abs() <= f64::EPSILON, "{theta}: {log} is not {}", theta.ln());
        }
    }
}
