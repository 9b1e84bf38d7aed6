//! Ways to decide about a canary: ours, Argo Rollouts', Flagger's, and Wald's with both shares known.
//!
//! All go 1%, 10%, 100% of the traffic in five minutes each and are looked at for half an hour.

use prograde_model::ids::Weight;
use prograde_model::judge::{Analysis, Evidence, Marks, SEGMENTS, Sample, Verdict, judge, mark};
use prograde_model::quantity::Period;
use prograde_model::runtime::Tally;

use super::stream::{Candidate, Decision, Rule, TICKS, float};

const WEIGHTS: [u8; 3] = [1, 10, 100];
const MINUTE: u64 = 60 * TICKS;
const BAKE: u64 = 5 * MINUTE;
const HORIZON: u64 = 30 * MINUTE;
const WATCH: u64 = 15 * MINUTE;

/// Ours, with the steps of a rollout: the same rules as `Rollout::decide` has, without replicas.
#[derive(Debug)]
pub(super) struct Ours {
    analysis: Analysis,
    reference: Tally,
    earlier: Vec<Sample>,
    now: Sample,
    marks: Option<Marks>,
    step: usize,
    since: u64,
    changed: bool,
}

impl Ours {
    pub(super) fn new(reference: Tally) -> Self {
        let mut ours = Self {
            analysis: Analysis::default(),
            reference,
            earlier: Vec::new(),
            now: Sample::default(),
            marks: None,
            step: 0,
            since: 0,
            changed: false,
        };
        ours.enter(0, 0);
        ours
    }

    fn weight_of(step: usize) -> Option<Weight> {
        WEIGHTS.get(step).and_then(|percent| Weight::new(*percent).ok())
    }

    fn enter(&mut self, step: usize, tick: u64) {
        (self.step, self.since) = (step, tick);
        self.now = Sample { weight: Self::weight_of(step).unwrap_or(Weight::ALL), ..Sample::default() };
        self.marks = Marks::new(SEGMENTS);
    }

    /// Leaves a mark in a step that goes on, when it is time for one.
    fn go_on(&mut self, length: u64) -> Decision {
        let bake = Period::seconds(u32::try_from(length / TICKS).unwrap_or(u32::MAX));
        if let Some(marks) = self.marks.as_mut().filter(|marks| marks.is_due(bake, &self.now)) {
            let (reference, earlier, now) = (&self.reference, &self.earlier, &self.now);
            marks.add(mark(&self.analysis, &Evidence { reference, earlier, now, marks: None, next: None }));
        }
        Decision::Continue
    }
}

impl Rule for Ours {
    fn weight(&self) -> u8 {
        self.now.weight.percent()
    }

    fn request(&mut self, candidate: bool, bucket: usize, failed: bool) {
        let now = &mut self.now;
        let tally = if candidate { &mut now.candidate } else { &mut now.stable };
        tally.requests += 1;
        tally.failures += u64::from(failed);
        tally.latencies.add(bucket, 1);
        self.changed |= candidate;
    }

    fn decide(&mut self, tick: u64) -> Decision {
        let elapsed = tick - self.since;
        self.now.elapsed_ms = elapsed * 1000 / TICKS;
        let watched = self.step >= WEIGHTS.len();
        let baked = elapsed >= BAKE;
        // Without a request of the candidate nothing changes against it.
        if !self.changed && !baked {
            return Decision::Continue;
        }
        self.changed = false;
        let waited = self.analysis.wait_max.duration().as_secs();
        let waited = elapsed >= BAKE + u64::try_from(waited).unwrap_or(0) * TICKS;
        let next = Self::weight_of(self.step + 1);
        let (reference, earlier, now) = (&self.reference, &self.earlier, &self.now);
        let evidence = Evidence { reference, earlier, now, marks: self.marks.as_ref(), next };
        match judge(&self.analysis, &evidence) {
            Verdict::Fail { .. } => Decision::RollBack,
            _ if watched => {
                if elapsed >= WATCH {
                    Decision::Finish
                } else {
                    self.go_on(WATCH)
                }
            }
            Verdict::Pass if baked => {
                let passed = std::mem::take(&mut self.now);
                self.earlier.push(passed);
                self.enter(self.step + 1, tick);
                if self.step == WEIGHTS.len() { Decision::Promote } else { Decision::Continue }
            }
            Verdict::Inconclusive { .. } | Verdict::Error { .. } if waited => Decision::GiveUp,
            Verdict::Pass | Verdict::Inconclusive { .. } | Verdict::Error { .. } => self.go_on(BAKE),
        }
    }
}

/// How many requests a release harms at least before a judge that decides by failed requests alone takes it back: if it
/// is no worse than tolerated, so many in a row are the candidate's with a probability above the rate of false alarms.
/// `docs/concepts/judging.md` proves it.
pub(super) fn least_by_failures() -> f64 {
    let ours = Analysis::default();
    let w = Ours::weight_of(0).map_or(1.0, |weight| f64::from(weight.percent()) / 100.0);
    let odds = w * ours.failure_ratio_max.ratio() / (1.0 - w);
    let draw = odds / (1.0 + odds);
    (ours.false_alarm_max.ratio().ln() / draw.ln()).ceil()
}

/// The candidate's requests of the last minute, by tick.
#[derive(Debug, Default)]
struct Minute {
    ticks: std::collections::VecDeque<Tally>,
    now: Tally,
}

impl Minute {
    fn request(&mut self, bucket: usize, failed: bool) {
        self.now.requests += 1;
        self.now.failures += u64::from(failed);
        self.now.latencies.add(bucket, 1);
    }

    fn tick(&mut self) {
        self.ticks.push_back(std::mem::take(&mut self.now));
        if float(self.ticks.len() as u64) > float(MINUTE) {
            self.ticks.pop_front();
        }
    }

    fn sum(&self) -> Tally {
        let mut sum = Tally::default();
        for tick in &self.ticks {
            sum.requests += tick.requests;
            sum.failures += tick.failures;
            sum.latencies.merge(&tick.latencies);
        }
        sum
    }
}

/// Argo Rollouts: an analysis of five measurements, a minute apart, at each step. A measurement fails below a success rate
/// of 95%; more failures than `failureLimit` roll back. A query without data is an error: it is repeated after ten
/// seconds, and more than four in a row (`consecutiveErrorLimit`) roll back.
#[derive(Debug)]
pub(super) struct Argo {
    failure_limit: u32,
    step: usize,
    due: u64,
    measured: u32,
    failed: u32,
    errors: u32,
    minute: Minute,
}

impl Argo {
    pub(super) fn new(failure_limit: u32) -> Self {
        Self { failure_limit, step: 0, due: MINUTE, measured: 0, failed: 0, errors: 0, minute: Minute::default() }
    }
}

impl Rule for Argo {
    fn weight(&self) -> u8 {
        WEIGHTS.get(self.step).copied().unwrap_or(100)
    }

    fn request(&mut self, candidate: bool, _: usize, failed: bool) {
        if candidate && self.step < WEIGHTS.len() {
            self.minute.now.requests += 1;
            self.minute.now.failures += u64::from(failed);
        }
    }

    fn decide(&mut self, tick: u64) -> Decision {
        if self.step >= WEIGHTS.len() {
            return if tick >= HORIZON { Decision::Finish } else { Decision::Continue };
        }
        self.minute.tick();
        if tick < self.due {
            return Decision::Continue;
        }
        let seen = self.minute.sum();
        if seen.requests == 0 {
            self.errors += 1;
            self.due = tick + 10 * TICKS;
            return if self.errors > 4 { Decision::RollBack } else { Decision::Continue };
        }
        self.errors = 0;
        self.measured += 1;
        self.due = tick + MINUTE;
        self.failed += u32::from(float(seen.failures) > 0.05 * float(seen.requests));
        if self.failed > self.failure_limit {
            return Decision::RollBack;
        }
        if self.measured == 5 {
            (self.step, self.measured, self.failed) = (self.step + 1, 0, 0);
            return if self.step == WEIGHTS.len() { Decision::Promote } else { Decision::Continue };
        }
        Decision::Continue
    }
}

/// Flagger: a check each minute over the last minute, success rate at least 99% and 99th percentile at most 500 ms. A
/// check without data has failed. A failed check keeps the weight; five of them roll back. `stepWeights` names each
/// weight five times, so that a good release takes as long as with the others.
#[derive(Debug, Default)]
pub(super) struct Flagger {
    passed: usize,
    failed: u32,
    minute: Minute,
}

impl Rule for Flagger {
    fn weight(&self) -> u8 {
        WEIGHTS.get(self.passed / 5).copied().unwrap_or(100)
    }

    fn request(&mut self, candidate: bool, bucket: usize, failed: bool) {
        if candidate && self.passed < 5 * WEIGHTS.len() {
            self.minute.request(bucket, failed);
        }
    }

    fn decide(&mut self, tick: u64) -> Decision {
        if self.passed >= 5 * WEIGHTS.len() {
            return if tick >= HORIZON { Decision::Finish } else { Decision::Continue };
        }
        self.minute.tick();
        if !tick.is_multiple_of(MINUTE) {
            return Decision::Continue;
        }
        let seen = self.minute.sum();
        let slow = seen.latencies.quantile_us(0.99).is_none_or(|us| us > 500_000);
        if seen.requests == 0 || slow || float(seen.failures) > 0.01 * float(seen.requests) {
            self.failed += 1;
            return if self.failed >= 5 { Decision::RollBack } else { Decision::Continue };
        }
        self.passed += 1;
        if self.passed == 5 * WEIGHTS.len() { Decision::Promote } else { Decision::Continue }
    }
}

/// Wald's sequential probability ratio test that is told both shares and when the second begins: no test that keeps the
/// same rate of false alarms harms fewer on the mean (Wald and Wolfowitz 1948).
#[derive(Debug)]
pub(super) struct Wald {
    candidate: Candidate,
    /// The share of failures that is no reason to roll back.
    fine: f64,
    log_ratio: f64,
    tick: u64,
}

impl Wald {
    /// Told that a release is fine if it fails as often as the stable version.
    pub(super) fn of_equals(candidate: Candidate) -> Self {
        Self { candidate, fine: super::stream::BASE, log_ratio: 0.0, tick: 0 }
    }

    /// Told that a release is fine if it fails as often as ours has to tolerate: the limit of every judge that keeps this
    /// promise.
    pub(super) fn of_tolerated(candidate: Candidate) -> Self {
        let ours = Analysis::default();
        let fine = super::stream::BASE * ours.failure_ratio_max.ratio() + ours.failure_slack.ratio();
        Self { fine, ..Self::of_equals(candidate) }
    }
}

impl Rule for Wald {
    fn weight(&self) -> u8 {
        usize::try_from(self.tick / BAKE).ok().and_then(|step| WEIGHTS.get(step).copied()).unwrap_or(100)
    }

    fn request(&mut self, candidate: bool, _: usize, failed: bool) {
        if candidate {
            let bad = self.candidate.failing(self.fine, self.tick).min(1.0);
            let good = ((1.0 - bad) / (1.0 - self.fine)).max(1e-12);
            self.log_ratio += if failed { (bad / self.fine).ln() } else { good.ln() };
        }
    }

    fn decide(&mut self, tick: u64) -> Decision {
        self.tick = tick;
        if self.log_ratio >= -(0.01f64.ln()) {
            Decision::RollBack
        } else if tick == 3 * BAKE {
            Decision::Promote
        } else if tick >= HORIZON {
            Decision::Finish
        } else {
            Decision::Continue
        }
    }
}
