//! Simulated requests: what arrives, which version gets it, how long it takes and whether it fails.
//!
//! Traffic and mix vary over a rollout: arrivals by a third, the share of slow routes between a tenth and three tenths, and
//! the share of failures between half and one and a half times the mean. A tick's randomness depends on the seed and the
//! tick alone, so that every rule sees the same arrivals.

use prograde_model::latency::Latencies;

use super::dice::Dice;

/// Ticks in a second.
pub(super) const TICKS: u64 = 10;
/// The share of failures that a good version has, on the mean.
pub(super) const BASE: f64 = 0.001;
/// Entries of a table of latencies.
const TABLE: usize = 1 << 14;

/// What a candidate does otherwise than the stable version.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Candidate {
    /// Nothing.
    Good,
    /// It fails with this share.
    Failing(f64),
    /// It fails with this share, three minutes after it got traffic.
    Late(f64),
    /// It fails every request of one route, which has this share of the traffic.
    Route(f64),
    /// It takes so many times as long.
    Slow(f64),
}

impl Candidate {
    /// Its share of failures at a tick, where the stable version's is `base`.
    pub(super) fn failing(self, base: f64, tick: u64) -> f64 {
        match self {
            Self::Good | Self::Slow(_) => base,
            Self::Failing(share) => share.max(base),
            Self::Late(share) => {
                if tick < 180 * TICKS {
                    base
                } else {
                    share.max(base)
                }
            }
            Self::Route(share) => share + (1.0 - share) * base,
        }
    }

    fn slower(self) -> f64 {
        match self {
            Self::Slow(factor) => factor,
            Self::Good | Self::Failing(_) | Self::Late(_) | Self::Route(_) => 1.0,
        }
    }
}

/// Something that gives traffic to a candidate and may take it away.
pub(super) trait Rule {
    /// The candidate's share of traffic in percent now.
    fn weight(&self) -> u8;
    /// A request was answered.
    fn request(&mut self, candidate: bool, bucket: usize, failed: bool);
    /// Time for a decision.
    fn decide(&mut self, tick: u64) -> Decision;
}

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// Go on.
    Continue,
    /// The candidate is the stable version now; it is still watched.
    Promote,
    /// Back to the stable version.
    RollBack,
    /// As before, because nothing could be said in time.
    GiveUp,
    /// Nothing more happens.
    Finish,
}

/// How a rollout went.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Run {
    /// When it was rolled back, in ticks.
    pub(super) rolled_back: Option<u64>,
    /// Whether that was for want of evidence.
    pub(super) gave_up: bool,
    /// When the candidate was promoted.
    pub(super) promoted: Option<u64>,
    /// Requests that the candidate harmed: that failed, or that were slow if that is what is wrong with it.
    pub(super) harmed: u64,
}

/// Tables of latency buckets: inverse distributions.
#[derive(Debug)]
pub(super) struct Streams {
    fast: Vec<usize>,
    slow: Vec<usize>,
    candidate_fast: Vec<usize>,
    candidate_slow: Vec<usize>,
    candidate: Candidate,
    rate: f64,
}

impl Streams {
    pub(super) fn new(rate: f64, candidate: Candidate) -> Self {
        let factor = candidate.slower();
        Self {
            fast: log_normal(40_000.0, 0.5),
            slow: log_normal(120_000.0, 0.5),
            candidate_fast: log_normal(40_000.0 * factor, 0.5),
            candidate_slow: log_normal(120_000.0 * factor, 0.5),
            candidate,
            rate,
        }
    }

    /// Six hours of the stable version alone; of its latencies a sample of 20,000.
    pub(super) fn reference(&self, seed: u64) -> prograde_model::runtime::Tally {
        let mut dice = Dice::new(seed ^ 0x5EED_0F7E_FE5E_4CE5);
        let mut tally =
            prograde_model::runtime::Tally { requests: count(6.0 * 3600.0 * self.rate), ..Default::default() };
        tally.failures = dice.poisson(float(tally.requests) * BASE).min(tally.requests);
        for _ in 0..20_000 {
            let table = if dice.uniform() < 0.2 { &self.slow } else { &self.fast };
            tally.latencies.add(pick(table, dice.bits()), 1);
        }
        tally
    }

    /// One rollout under a rule, at most a day long.
    pub(super) fn run(&self, rule: &mut impl Rule, seed: u64) -> Run {
        let mut run = Run::default();
        for tick in 0..24 * 3600 * TICKS {
            self.tick(rule, seed, tick, &mut run);
            match rule.decide(tick + 1) {
                Decision::Continue => {}
                Decision::Promote => run.promoted = Some(tick + 1),
                Decision::Finish => return run,
                decision @ (Decision::RollBack | Decision::GiveUp) => {
                    run.rolled_back = Some(tick + 1);
                    run.gave_up = decision == Decision::GiveUp;
                    return run;
                }
            }
        }
        run
    }

    fn tick(&self, rule: &mut impl Rule, seed: u64, tick: u64, run: &mut Run) {
        let mut dice = Dice::new((seed << 24) ^ tick ^ self.rate.to_bits());
        let phase = float(tick) / float(1200 * TICKS) * std::f64::consts::TAU + float(seed % 64) / 10.0;
        let arrivals = dice.poisson(self.rate * (1.0 + phase.sin() / 3.0) / float(TICKS));
        let base = BASE * (1.0 + (1.7 * phase).sin() / 2.0);
        let slow_routes = 0.2 + 0.1 * (0.6 * phase).sin();
        let share = f64::from(rule.weight()) / 100.0;
        let candidate_failing = self.candidate.failing(base, tick);
        for _ in 0..arrivals {
            let candidate = dice.uniform() < share;
            let slow_route = dice.uniform() < slow_routes;
            let failed = dice.uniform() < if candidate { candidate_failing } else { base };
            let table = match (candidate, slow_route) {
                (false, false) => &self.fast,
                (false, true) => &self.slow,
                (true, false) => &self.candidate_fast,
                (true, true) => &self.candidate_slow,
            };
            rule.request(candidate, pick(table, dice.bits()), failed);
            let harmed = candidate && (failed || matches!(self.candidate, Candidate::Slow(_)));
            run.harmed += u64::from(harmed);
        }
    }
}

fn pick(table: &[usize], bits: u64) -> usize {
    let at = usize::try_from(bits).unwrap_or(0) % TABLE;
    table.get(at).copied().unwrap_or(0)
}

/// Buckets at equal steps of probability, by a normal quantile.
fn log_normal(median_us: f64, sigma: f64) -> Vec<usize> {
    let probability = |at: usize| (float(u64::try_from(at).unwrap_or(0)) + 0.5) / 16_384.0;
    (0..TABLE)
        .map(|at| Latencies::bucket(count(median_us * (sigma * normal_quantile(probability(at))).exp())))
        .collect()
}

/// The standard normal quantile, by bisection of the distribution function (Abramowitz and Stegun 1964, 26.2.17).
fn normal_quantile(probability: f64) -> f64 {
    let (mut low, mut high) = (-8.0, 8.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if normal_below(middle) < probability { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

fn normal_below(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z.abs());
    let series = [0.319_381_530, -0.356_563_782, 1.781_477_937, -1.821_255_978, 1.330_274_429];
    let sum = series.iter().rev().fold(0.0, |sum, factor| t * (factor + sum));
    let tail = (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt() * sum;
    if z < 0.0 { tail } else { 1.0 - tail }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a simulation")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "microseconds and requests of a simulation"
)]
pub(super) fn count(number: f64) -> u64 {
    number.round() as u64
}
