//! What the simulator promises of itself: the same story each time, and checks that can fail.

use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;

use crate::run::{run, run_mutant};
use crate::{Invariant, Mutant, Scenario, Settings, sweep};

fn drawn(seed: u64) -> Scenario {
    Scenario::draw(seed, &Settings::default()).unwrap()
}

fn told(scenario: &Scenario) -> String {
    let run = run(scenario, true).unwrap();
    run.story.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_seed_gives_the_same_story_each_time() {
    for seed in 0..20 {
        assert_eq!(told(&drawn(seed)), told(&drawn(seed)), "seed {seed}");
    }
}

#[test]
fn telling_a_story_does_not_change_it() {
    for seed in 0..20 {
        let (silent, told) = (run(&drawn(seed), false).unwrap(), run(&drawn(seed), true).unwrap());
        assert_eq!((silent.tally, silent.broken), (told.tally, told.broken), "seed {seed}");
    }
}

#[test]
fn every_seed_keeps_every_promise() {
    let threads = NonZeroUsize::new(2).unwrap();
    let found = sweep(0, SEEDS, &Settings::default(), threads, &AtomicBool::new(false)).unwrap();
    let failures: Vec<_> = found.failures.iter().map(|run| (run.seed, &run.broken)).collect();
    assert_eq!((found.seeds, found.failed), (SEEDS, 0), "{failures:#?}");
}

const SEEDS: u64 = 10_000;

/// Steps of minutes and the traffic of a real service; the seeds around two that broke a promise until a share was put into
/// force only where a replica is ready.
#[test]
fn every_seed_keeps_every_promise_with_bake_times_of_production() {
    let config = include_str!("../../../examples/pad/prograde.yaml").to_owned();
    let settings = Settings { config: Some(config), rate: None };
    let threads = NonZeroUsize::new(2).unwrap();
    let found = sweep(1_400, 300, &settings, threads, &AtomicBool::new(false)).unwrap();
    let failures: Vec<_> = found.failures.iter().map(|run| (run.seed, &run.broken)).collect();
    assert_eq!((found.seeds, found.failed), (300, 0), "{failures:#?}");
}

/// Whether one of the first seeds shows that a defect breaks a promise.
fn breaks(mutant: Mutant, invariant: Invariant) -> bool {
    (0..500).any(|seed| {
        let run = run_mutant(&drawn(seed), false, Some(mutant)).unwrap();
        run.broken.iter().any(|b| b.invariant == invariant)
    })
}

#[test]
fn each_check_can_fail() {
    for (mutant, invariant) in [
        (Mutant::LosesTraffic, Invariant::Weights),
        (Mutant::KeepsFailed, Invariant::FailedTraffic),
        (Mutant::ShrinksStable, Invariant::Capacity),
        (Mutant::PassesUnseen, Invariant::Judgment),
        (Mutant::ForgetsQuarantine, Invariant::Quarantine),
        (Mutant::KeepsReplicas, Invariant::Ends),
        (Mutant::ForgetsRevert, Invariant::Agreement),
        (Mutant::ForgetsFact, Invariant::Memory),
        (Mutant::AsksAnew, Invariant::Idempotent),
        (Mutant::TellsNobody, Invariant::Told),
        (Mutant::StartsNothing, Invariant::Blame),
        (Mutant::HidesFailures, Invariant::BadServes),
        (Mutant::ForgetsGroup, Invariant::Together),
        (Mutant::SkipsMigrations, Invariant::Migrations),
        (Mutant::RunsUnmigrated, Invariant::Migrations),
        (Mutant::MigratesAgain, Invariant::Migrations),
        (Mutant::HidesPoints, Invariant::Returns),
        (Mutant::HidesHolds, Invariant::Held),
    ] {
        assert!(breaks(mutant, invariant), "{mutant:?} does not break: {invariant}");
    }
}
