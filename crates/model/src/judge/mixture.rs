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

/// How many odds are tried.
pub(super) const ODDS: usize = 12;
/// By how much the odds may have grown: small effects need fine steps, large ones are seen in any case.
const THETA: [f64; ODDS] = [1.6, 2.2, 3.0, 4.0, 5.5, 8.0, 12.0, 20.0, 40.0, 100.0, 400.0, 3000.0];
/// Their weights, which sum to 1.
const PRIOR: f64 = 1.0 / 12.0;

/// Draws of which some are hits.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Cell {
    /// How many were hits.
    pub(super) hits: f64,
    /// Of how many draws.
    pub(super) of: f64,
    /// The largest probability of a hit under the null hypothesis.
    pub(super) p: f64,
    /// The candidate's requests, each of which may be a hit with probability `slack` beyond that.
    pub(super) tries: f64,
    /// How much more of them may be hits under the null hypothesis.
    pub(super) slack: f64,
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
    pub(super) fn add(&mut self, cell: Cell) {
        if cell.of <= 0.0 || cell.p <= 0.0 || cell.p >= 1.0 {
            return;
        }
        self.excess += cell.hits - cell.of * cell.p;
        for (log, theta) in self.logs.iter_mut().zip(THETA) {
            let norm = 1.0 + cell.p * (theta - 1.0);
            *log += cell.hits * theta.ln() - cell.of * norm.ln();
            *log -= cell.tries * (cell.slack * (theta / norm - 1.0)).ln_1p();
        }
    }

    /// Logarithm of the average; minus infinity where no term can be above 1.
    pub(super) fn log(&self) -> f64 {
        if self.excess <= 0.0 { f64::NEG_INFINITY } else { log_sum(&self.logs, PRIOR) }
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
