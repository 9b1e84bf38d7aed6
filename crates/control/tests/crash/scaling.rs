//! The number of replicas follows the requests, and never fights a rollout.

use std::sync::Arc;

use prograde_control::Control;
use prograde_model::autoscale::{Autoscaling, Metric, ScalingRules, Target as Wanted};
use prograde_model::event::Event;
use prograde_model::ids::FlightId;
use prograde_sim::{Character, Fate, Life, World, commit};

use super::{BAD, BEFORE, FLOWN, LIFE_MAX, latest, quiet, start, target, until};

/// 100 requests a second for each replica, and a minute until there are fewer.
pub(super) fn spec() -> Autoscaling {
    Autoscaling {
        min_replicas: 1,
        max_replicas: 20,
        metrics: vec![Metric::Requests(Wanted::Average(100_000))],
        scale_up: ScalingRules::up(),
        scale_down: ScalingRules { stabilization_s: 60, ..ScalingRules::down() },
    }
}

fn replicas(control: &Control) -> u32 {
    let production = target("production");
    let replicas = |flight: &FlightId| control.with_fleet(|fleet| fleet.replicas(flight, &production));
    control.with_fleet(|fleet| fleet.current(&production).cloned()).and_then(|flight| replicas(&flight)).unwrap_or(0)
}

async fn until_there_are(world: &World, control: &Control, wanted: u32) {
    let done = async {
        while replicas(control) != wanted {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    let came = tokio::time::timeout(LIFE_MAX, done).await;
    assert!(came.is_ok(), "{} replicas, wanted {wanted}: {}", replicas(control), super::told(&world.last()));
}

fn running(world: &World) -> Vec<(FlightId, u32)> {
    world.last().cluster.replicas(&target("production"))
}

/// A world in which the first release serves, at 1000 requests a second.
async fn serving(autoscaling: Autoscaling) -> (Arc<World>, Arc<Life>, Control) {
    let mut state = quiet(0);
    state.workload.autoscaling = Some(autoscaling);
    state.push(BEFORE, Character::GOOD);
    let world = Arc::new(World::new(state));
    let life = Arc::new(Life::new(&world, Fate::default(), 0));
    let control = start(&life).await;
    until(&world, &control, |fleet| latest(fleet) == Some(commit(BEFORE)) && fleet.active().next().is_none()).await;
    (world, life, control)
}

#[tokio::test(start_paused = true)]
async fn replicas_follow_the_requests_and_survive_a_restart() {
    let (world, _, control) = serving(spec()).await;
    until_there_are(&world, &control, 10).await;
    world.last().set_rate(400);
    until_there_are(&world, &control, 4).await;
    control.shutdown().await;
    let scaled: Vec<(jiff::Timestamp, u32, u32)> = world.last().journal.iter().filter_map(scaling).collect();
    // From 2: by 4 in 15 seconds, then by the rest.
    let numbers: Vec<(u32, u32)> = scaled.iter().map(|(_, before, after)| (*before, *after)).collect();
    assert_eq!(numbers[..2], [(2, 6), (6, 10)]);
    assert!(numbers[2..].iter().all(|(before, after)| before > after), "{numbers:?}");
    let waited = |from: usize, to: usize| scaled[to].0.duration_since(scaled[from].0).as_secs();
    assert!(waited(0, 1) >= 15 && waited(1, 2) >= 60, "{scaled:?}");

    // Nothing is forgotten, and nothing shrinks at once because what was recommended is.
    world.last().set_rate(200);
    let control = start(&Arc::new(Life::new(&world, Fate::default(), 1))).await;
    assert_eq!(replicas(&control), 4);
    until_there_are(&world, &control, 2).await;
    let last = world.last().journal.iter().filter_map(scaling).next_back().unwrap();
    let wait = last.0.duration_since(scaled.last().unwrap().0).as_secs();
    assert!(wait >= 60, "{wait} s");
    control.shutdown().await;
    assert_eq!(running(&world)[0].1, 2, "and that many run");
}

fn scaling(fact: &prograde_model::event::Recorded) -> Option<(jiff::Timestamp, u32, u32)> {
    let Event::Scaled { place, before, replicas, .. } = &fact.event else { return None };
    (place.environment.as_str() == "production").then_some((fact.at, *before, *replicas))
}

/// Pushes a release while the requests change, and says how many replicas each version had: `(stable, candidate)`.
async fn rolled(character: Character, rate: i64) -> (Vec<(u32, u32)>, Vec<u32>, Control) {
    let (world, _life, control) =
        serving(Autoscaling { scale_down: ScalingRules { stabilization_s: 0, ..ScalingRules::down() }, ..spec() })
            .await;
    until_there_are(&world, &control, 10).await;
    let first = control.with_fleet(|fleet| fleet.current(&target("production")).cloned()).unwrap();
    world.last().push(FLOWN, character);
    let (mut seen, mut alone, mut changed) = (Vec::new(), Vec::new(), false);
    let watch = async {
        loop {
            let running = running(&world);
            let of = |stable: bool| running.iter().find(|(flight, _)| (*flight == first) == stable).map(|(_, n)| *n);
            match (of(true), of(false)) {
                (Some(stable), Some(candidate)) => {
                    if !changed {
                        changed = true;
                        world.last().set_rate(rate);
                    }
                    seen.push((stable, candidate));
                }
                (stable, candidate) => alone.extend(stable.or(candidate)),
            }
            let over = |fleet: &prograde_model::fleet::Fleet| fleet.active().next().is_none();
            if latest_is_b(&control) && changed && control.with_fleet(over) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIFE_MAX, watch).await.unwrap();
    assert!(world.last().check.broken.is_empty(), "{}", super::told(&world.last()));
    seen.dedup();
    alone.dedup();
    (seen, alone, control)
}

fn latest_is_b(control: &Control) -> bool {
    control.with_fleet(latest) == Some(commit(FLOWN))
}

#[tokio::test(start_paused = true)]
async fn the_stable_version_never_shrinks_under_a_rollout() {
    for character in [Character::GOOD, BAD.character] {
        let (seen, alone, control) = rolled(character, 100).await;
        assert!(seen.iter().all(|(stable, _)| *stable == 10), "{seen:?}");
        let most = seen.iter().map(|(_, candidate)| *candidate).max().unwrap();
        let wanted = if character.failing == 0 { 10 } else { 1 };
        assert_eq!(most, wanted, "a share of the ten that there are, not of the two in the manifest: {seen:?}");
        assert_eq!(alone.first(), Some(&10), "{alone:?}");
        control.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn both_versions_grow_under_a_rollout() {
    let (seen, alone, control) = rolled(Character::GOOD, 1_400).await;
    assert!(seen.iter().any(|(stable, _)| *stable > 10), "{seen:?}");
    let (stable, candidate) = *seen.last().unwrap();
    assert_eq!(stable, candidate, "the candidate takes over with as many: {seen:?}");
    assert!(alone.iter().skip_while(|n| **n == 10).all(|n| *n >= stable), "and stays so: {alone:?} after {stable}");
    control.shutdown().await;
}
