//! The promised error rates, on simulated rollouts that are looked at after every tick.

use super::tests::Owned;
use super::*;
use crate::quantity::Period;

/// A small generator (xorshift64*, Vigna 2014) so that runs are the same everywhere.
struct Dice(u64);

impl Dice {
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A log-normal latency in microseconds, median 50 ms (Box and Muller 1958).
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a latency in microseconds")]
    fn latency_us(&mut self) -> u64 {
        let radius = (-2.0 * self.uniform().max(1e-300).ln()).sqrt();
        (50_000.0 * (0.6 * radius * (std::f64::consts::TAU * self.uniform()).cos()).exp()) as u64
    }
}

/// Requests of both versions.
#[derive(Clone, Copy)]
struct World {
    /// The stable version's share of failures at the start; it varies fourfold over a rollout.
    failing: f64,
    /// How many times as often the candidate fails.
    worse: f64,
    /// By how much larger the candidate's share is beyond that.
    beyond: f64,
    /// How many times as long the candidate takes.
    slower: f64,
    /// Of the last step, in which nobody runs beside the candidate, the share in which everything takes ten times as long.
    busy: f64,
}

impl World {
    /// Both versions are alike.
    const GOOD: Self = Self { failing: 0.01, worse: 1.0, beyond: 0.0, slower: 1.0, busy: 0.0 };
}

/// Steps of 1,500, 3,000 and 1,500 requests, looked at after every 25 and marked every five seconds: whether any look said
/// Fail.
fn fails(world: World, seed: u64) -> bool {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut evidence = Owned::default();
    for _ in 0..5_000 {
        add(&mut evidence.reference, world.failing, 1.0, &mut dice);
    }
    for (percent, requests, next) in [(5, 1_500, Some(50)), (50, 3_000, Some(100)), (100, 1_500, None)] {
        evidence.now = Sample { weight: Weight::new(percent).unwrap(), ..Sample::default() };
        evidence.marks = Marks::new(SEGMENTS);
        evidence.next = next.map(|next| Weight::new(next).unwrap());
        for request in 0..requests {
            let hour = f64::from(request) / f64::from(requests);
            let failing = world.failing * (1.0 + hour * 3.0) / 2.0;
            let stalls = percent == 100 && (0.3..0.3 + world.busy).contains(&hour);
            let busy = (1.0 + hour / 4.0) * if stalls { 10.0 } else { 1.0 };
            if dice.uniform() < f64::from(percent) / 100.0 {
                add(&mut evidence.now.candidate, failing * world.worse + world.beyond, busy * world.slower, &mut dice);
            } else {
                add(&mut evidence.now.stable, failing, busy, &mut dice);
            }
            evidence.now.elapsed_ms += 10;
            if request % 25 == 0 && matches!(judge(&Analysis::default(), &evidence.view()), Verdict::Fail { .. }) {
                return true;
            }
            let is_due = |marks: &Marks| marks.is_due(Period::seconds(requests / 100), &evidence.now);
            if evidence.marks.as_ref().is_some_and(is_due) {
                let mark = mark(&Analysis::default(), &evidence.view());
                evidence.marks.iter_mut().for_each(|marks| marks.add(mark.clone()));
            }
        }
        evidence.earlier.push(std::mem::take(&mut evidence.now));
    }
    false
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a latency in microseconds"
)]
fn add(tally: &mut Tally, failing: f64, slower: f64, dice: &mut Dice) {
    tally.requests += 1;
    tally.failures += u64::from(dice.uniform() < failing);
    tally.latencies.record((dice.latency_us() as f64 * slower) as u64);
}

fn share_of_fails(world: World, runs: u64) -> f64 {
    super::ratio((1..=runs).filter(|seed| fails(world, *seed)).count() as u64, runs)
}

#[test]
fn a_good_release_is_not_rolled_back_more_often_than_promised() {
    for failing in [0.002, 0.05] {
        let share = share_of_fails(World { failing, ..World::GOOD }, 100);
        assert!(share <= 0.01, "{share} of the rollouts at {failing}");
    }
}

#[test]
fn a_good_release_is_not_blamed_for_a_busy_machine_while_nobody_runs_beside_it() {
    for busy in [0.02, 0.1, 0.3] {
        let share = share_of_fails(World { busy, ..World::GOOD }, 50);
        assert!(share <= 0.01, "{share} of the rollouts where {busy} of the last step was slow");
    }
}

#[test]
fn what_is_tolerated_is_not_rolled_back_more_often_than_promised() {
    let share = share_of_fails(World { failing: 0.02, worse: 1.25, slower: 1.1, ..World::GOOD }, 100);
    assert!(share <= 0.01, "{share} of the rollouts");
}

#[test]
fn a_difference_within_the_slack_is_not_rolled_back_more_often_than_promised() {
    for failing in [0.0, 0.002] {
        let share = share_of_fails(World { failing, worse: 1.25, beyond: 0.0005, ..World::GOOD }, 200);
        assert!(share <= 0.01, "{share} of the rollouts at {failing}");
    }
}

#[test]
fn a_release_that_is_worse_is_found() {
    for world in
        [World { worse: 8.0, ..World::GOOD }, World { slower: 2.0, ..World::GOOD }, World { busy: 1.0, ..World::GOOD }]
    {
        let share = share_of_fails(world, 20);
        assert!(share >= 0.95, "only {share} of the rollouts, {} {}", world.worse, world.slower);
    }
}

#[test]
fn what_has_to_be_ruled_out_is_seldom_passed() {
    let analysis = Analysis::default();
    let mut passed = 0;
    for seed in 1..=400u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let mut evidence = Owned { now: Sample { weight: Weight::ALL, ..Sample::default() }, ..Owned::default() };
        let detect = analysis.failure_share_detect.ratio();
        let any = (0..2_000u32).any(|request| {
            evidence.now.candidate.requests += 1;
            evidence.now.candidate.failures += u64::from(dice.uniform() < detect);
            request % 10 == 0 && judge(&analysis, &evidence.view()) == Verdict::Pass
        });
        passed += u32::from(any);
    }
    assert!(passed <= 20, "{passed} of 400, promised 5%");
}
