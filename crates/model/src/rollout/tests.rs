//! Scenarios a reader can follow, and the invariants on worlds nobody thought of.

use super::{Strategy, *};
use crate::ids::FlightId;
use crate::judge::{Analysis, SEGMENTS, Undecided};
use crate::quantity::Period;
use crate::runtime::{Counters, Observation, RequestKey, Routing, VersionSeen};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::{ProptestConfig, any, prop, prop_assert, prop_assert_eq, prop_compose, proptest};

fn id(digit: char) -> FlightId {
    digit.to_string().repeat(32).parse().unwrap()
}

fn start(strategy: Strategy, stable: bool) -> Start {
    Start {
        candidate: id('c'),
        stable: stable.then(|| id('a')),
        strategy,
        watch: None,
        replicas: 4,
        stable_replicas: if stable { 4 } else { 0 },
        autoscaled: None,
        caution: None,
        progress_deadline_s: 60,
        segments: 0,
    }
}

fn canary() -> Strategy {
    Strategy::Canary { steps: vec![step(1), step(10), step(100)], analysis: analysis(), audience: None, stick_to: None }
}

fn step(weight: u8) -> Step {
    Step { weight: Weight::new(weight).unwrap(), mirror: Weight::ZERO, bake: Period::seconds(10) }
}

fn analysis() -> Analysis {
    Analysis { wait_max: Period::seconds(120), ..Analysis::default() }
}

fn blue_green() -> Strategy {
    Strategy::BlueGreen { preview: Period::seconds(10), keep: Period::seconds(20), analysis: analysis() }
}

#[test]
fn a_rolling_update_has_its_deadline_anew_with_each_replica_that_comes_up() {
    let begin = Timestamp::from_second(1_700_000_000).unwrap();
    let fails_at = |strategy: Strategy, available: u32, second: i64| {
        let candidate = VersionSeen { replicas: 4, ready: available, available, ..VersionSeen::none(id('c')) };
        let seen = Observation::of(vec![candidate]);
        !Rollout::new(start(strategy, true), begin).decide(&seen, begin + SignedDuration::from_secs(second)).is_empty()
    };
    let rolling = || Strategy::Rolling { surge: 1, unavailable: 0 };
    assert!(!fails_at(rolling(), 0, 59) && fails_at(rolling(), 0, 60), "nothing came up within the minute");
    assert!(!fails_at(rolling(), 2, 179) && fails_at(rolling(), 2, 180), "a minute more for each that did");
    assert!(fails_at(Strategy::Recreate, 2, 60), "all replicas of these are started at once");
}

/// Between the fact that a step was entered and its share being in force may lie a crash, or a silent runtime.
#[test]
fn a_share_of_traffic_does_not_rise_where_no_replica_is_ready() {
    let begin = Timestamp::from_second(1_700_000_000).unwrap();
    let percent = |percent| Weight::new(percent).unwrap();
    let entered = RolloutEvent::StepEntered {
        step: 0,
        weight: percent(10),
        candidate: Counters::default().into(),
        stable: Counters::default().into(),
        mirrored: Counters::default().into(),
        restarts: 0,
    };
    let share = |stable: bool, seen: &Observation| {
        let steps = vec![step(10), step(100)];
        let canary = Strategy::Canary { steps, analysis: analysis(), audience: None, stick_to: None };
        let mut rollout = Rollout::new(start(canary, stable), begin);
        rollout.apply(&entered, begin).unwrap();
        rollout.shape(seen).candidate_weight
    };
    assert_eq!(share(true, &Observation::default()), Weight::ZERO, "nothing of it is seen");
    for (ready, in_force, expected) in [(0, 0, 0), (0, 1, 1), (0, 10, 10), (0, 50, 10), (1, 0, 10)] {
        let weight = percent(in_force);
        let candidate = VersionSeen { replicas: 1, ready, available: ready, weight, ..VersionSeen::none(id('c')) };
        let seen = Observation::of(vec![candidate]);
        assert_eq!(share(true, &seen), percent(expected), "{ready} ready, {in_force}% in force");
    }
    assert_eq!(share(false, &Observation::default()), percent(10), "where nobody else serves, nothing is kept from it");
}

/// A runtime that answers: replicas follow what is wanted after a while, requests follow the weights.
struct World {
    rollout: Rollout,
    now: Timestamp,
    seen: Observation,
    events: Vec<RolloutEvent>,
    failed: bool,
}

/// How the candidate behaves.
#[derive(Debug, Clone, Copy)]
struct Behaviour {
    /// Seconds until a replica is available; `None` is never.
    start_s: Option<u32>,
    /// One request in so many fails; 0 is none.
    failing_in: u64,
    /// Requests a second over all versions.
    rate: u64,
    /// It crashes at every look.
    crashes: bool,
}

const GOOD: Behaviour = Behaviour { start_s: Some(2), failing_in: 0, rate: 200, crashes: false };

impl World {
    fn new(start: Start) -> Self {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let seen = |revision: FlightId, replicas, weight| VersionSeen {
            replicas,
            ready: replicas,
            available: replicas,
            weight,
            ..VersionSeen::none(revision)
        };
        let mut versions: Vec<_> =
            start.stable.clone().into_iter().map(|s| seen(s, start.stable_replicas, Weight::ALL)).collect();
        versions.push(seen(start.candidate.clone(), 0, Weight::ZERO));
        Self {
            rollout: Rollout::new(start, now),
            now,
            seen: Observation::of(versions),
            events: Vec::new(),
            failed: false,
        }
    }

    /// One second passes; what is wanted is done; facts are taken in; the invariants are checked.
    fn tick(&mut self, behaviour: Behaviour) {
        let shape = self.rollout.shape(&self.seen);
        let routing = self.rollout.routing();
        self.check(shape, &routing);
        let candidate = self.rollout.start.candidate.clone();
        let elapsed = self.now.duration_since(Timestamp::from_second(1_700_000_000).unwrap()).as_secs();
        for version in &mut self.seen.versions {
            let is_candidate = version.revision == candidate;
            let (replicas, weight) = if is_candidate {
                (shape.candidate_replicas, shape.candidate_weight)
            } else {
                (shape.stable_replicas, shape.stable_weight)
            };
            version.replicas = replicas;
            version.weight = weight;
            let up =
                !is_candidate || (!behaviour.crashes && behaviour.start_s.is_some_and(|s| elapsed >= i64::from(s)));
            version.ready = if up { replicas } else { 0 };
            version.available = version.ready;
            version.restarts += u32::from(is_candidate && behaviour.crashes && replicas > 0);
            let part = |weight: Weight| behaviour.rate * u64::from(weight.percent()) / 100;
            let requests = if version.ready > 0 { part(weight) } else { 0 };
            version.counters.requests += requests;
            if let Some(mirror) = routing.mirror.as_ref().filter(|_| is_candidate && version.ready > 0) {
                version.mirrored.requests += part(mirror.share);
                version.mirrored.failures = version.mirrored.requests.checked_div(behaviour.failing_in).unwrap_or(0);
            }
            if is_candidate && behaviour.failing_in > 0 {
                version.counters.failures = version.counters.requests / behaviour.failing_in;
            }
        }
        self.now += SignedDuration::from_secs(1);
        for event in self.rollout.decide(&self.seen, self.now) {
            let after = matches!(self.rollout.phase, Phase::Promoted(_));
            self.failed |= !after && matches!(event, RolloutEvent::Failed { .. });
            self.rollout.apply(&event, self.now).unwrap();
            self.events.push(event);
        }
    }

    fn check(&self, shape: Shape, routing: &Routing) {
        let phase = &self.rollout.phase;
        let strategy = &self.rollout.start.strategy;
        let sum = shape.candidate_weight.percent() + shape.stable_weight.percent();
        assert!(sum == 100 || (sum == 0 && *strategy == Strategy::Recreate), "weights sum to 100: {shape:?}");
        if self.failed {
            assert_eq!(shape.candidate_weight, Weight::ZERO, "a failed candidate gets nothing: {phase:?}");
            assert_eq!(*routing, Routing::default(), "nor by any other way: {phase:?}");
        }
        let is_stepped = strategy.steps() > 0;
        if is_stepped && self.rollout.start.stable.is_some() && !matches!(phase, Phase::Promoted(_)) {
            assert_eq!(
                shape.stable_replicas, self.rollout.start.stable_replicas,
                "stable keeps its capacity: {phase:?}"
            );
        }
    }

    fn run(&mut self, behaviour: Behaviour, seconds: u32) -> &Phase {
        for _ in 0..seconds {
            if self.rollout.is_over() {
                break;
            }
            self.tick(behaviour);
        }
        &self.rollout.phase
    }

    fn story(&self) -> String {
        self.events.iter().map(|e| e.name().trim_start_matches("rollout.")).collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn a_good_canary_passes_every_step() {
    let mut world = World::new(start(canary(), true));
    assert!(matches!(world.run(GOOD, 300), Phase::Promoted(_)));
    assert_eq!(world.story(), "step_entered step_passed step_entered step_passed step_entered step_passed promoted");
}

#[test]
fn a_bad_canary_is_stopped_in_its_first_step_and_harms_few() {
    let mut world = World::new(start(canary(), true));
    assert!(matches!(
        world.run(Behaviour { failing_in: 5, ..GOOD }, 300),
        Phase::Withdrawn { cause: Cause::Judged { step: 0, .. } }
    ));
    let harmed = world.seen.version(&id('c')).unwrap().counters.failures;
    assert!(harmed < 60, "{harmed}");
}

#[test]
fn a_crashing_candidate_never_gets_traffic() {
    for strategy in [canary(), blue_green(), Strategy::Recreate, Strategy::Rolling { surge: 1, unavailable: 1 }] {
        let mut world = World::new(start(strategy, true));
        let behaviour = Behaviour { crashes: true, ..GOOD };
        assert!(matches!(world.run(behaviour, 300), Phase::Withdrawn { cause: Cause::Crashing { .. } }));
        assert_eq!(world.seen.version(&id('c')).unwrap().counters.requests, 0);
    }
}

#[test]
fn a_candidate_that_never_starts_is_withdrawn_at_the_deadline() {
    let mut world = World::new(start(canary(), true));
    let behaviour = Behaviour { start_s: None, ..GOOD };
    assert!(matches!(world.run(behaviour, 300), Phase::Withdrawn { cause: Cause::NeverAvailable { .. } }));
}

#[test]
fn without_traffic_a_step_is_held_and_times_out_to_rollback() {
    let mut world = World::new(start(canary(), true));
    let behaviour = Behaviour { rate: 0, ..GOOD };
    assert!(matches!(world.run(behaviour, 300), Phase::Withdrawn { cause: Cause::NotJudged { step: 0, .. } }));
    assert_eq!(world.story(), "step_entered step_held failed withdrawn");
}

#[test]
fn a_first_release_has_nobody_to_be_compared_with() {
    let mut world = World::new(start(canary(), false));
    assert!(matches!(world.run(Behaviour { rate: 0, ..GOOD }, 30), Phase::Promoted(_)));
}

/// A step in which requests are copied, before anybody is served.
fn mirrored() -> Strategy {
    let copies = Step { mirror: Weight::new(50).unwrap(), ..step(0) };
    Strategy::Canary { steps: vec![copies, step(100)], analysis: analysis(), audience: None, stick_to: None }
}

#[test]
fn a_blue_green_release_can_be_looked_at_then_takes_all_traffic_and_can_go_back() {
    let mut world = World::new(start(blue_green(), true));
    world.run(GOOD, 8);
    let shape = world.rollout.shape(&world.seen);
    assert_eq!((shape.candidate_replicas, shape.candidate_weight), (4, Weight::ZERO), "all of it runs, nobody sees it");
    assert_eq!(world.rollout.routing().preview, Some(id('c')), "but those who look");
    world.run(GOOD, 10);
    let shape = world.rollout.shape(&world.seen);
    assert_eq!((shape.candidate_weight, shape.stable_replicas), (Weight::ALL, 4), "stable is kept to go back to");
    assert!(matches!(world.run(GOOD, 300), Phase::Promoted(_)));
    assert_eq!(world.story(), "step_entered step_passed step_entered step_passed promoted");

    let mut world = World::new(start(blue_green(), true));
    world.run(Behaviour { failing_in: 5, ..GOOD }, 300);
    assert!(matches!(world.rollout.phase, Phase::Withdrawn { cause: Cause::Judged { step: 1, .. } }));
}

#[test]
fn a_recreated_service_never_runs_in_two_versions() {
    let mut world = World::new(start(Strategy::Recreate, true));
    for _ in 0..60 {
        let running = world.seen.versions.iter().filter(|v| v.replicas > 0).count();
        assert!(running <= 1, "{:?}", world.seen);
        world.tick(GOOD);
    }
    assert!(matches!(world.rollout.phase, Phase::Promoted(_)));

    let mut world = World::new(start(Strategy::Recreate, true));
    world.run(Behaviour { crashes: true, ..GOOD }, 60);
    let shape = world.rollout.shape(&world.seen);
    assert_eq!((shape.stable_replicas, shape.stable_weight), (4, Weight::ALL), "the old version comes back");
}

#[test]
fn copies_show_a_bad_release_before_it_harms_anybody() {
    let mut world = World::new(start(mirrored(), true));
    world.run(Behaviour { failing_in: 5, ..GOOD }, 300);
    assert!(matches!(world.rollout.phase, Phase::Withdrawn { cause: Cause::Judged { step: 0, .. } }));
    assert_eq!(world.seen.version(&id('c')).unwrap().counters, Counters::default(), "nobody was served by it");
    let mut world = World::new(start(mirrored(), true));
    assert!(matches!(world.run(GOOD, 300), Phase::Promoted(_)));
}

#[test]
fn an_audience_belongs_to_the_candidate_as_long_as_it_is_one() {
    let rule = AudienceRule { key: RequestKey::Header("x-beta".into()), value: "1".into() };
    let strategy = Strategy::Canary {
        steps: vec![step(0), step(100)],
        analysis: analysis(),
        audience: Some(rule.clone()),
        stick_to: Some(RequestKey::Cookie("session".into())),
    };
    let mut world = World::new(start(strategy, true));
    assert_eq!(world.rollout.routing().audiences, [], "not before it can answer");
    world.run(GOOD, 4);
    assert_eq!(world.rollout.shape(&world.seen).candidate_replicas, 4, "the audience may be everybody");
    assert_eq!(world.rollout.routing().audiences.len(), 1);
    assert_eq!(world.rollout.routing().sticky, Some(RequestKey::Cookie("session".into())));
    // Nobody of the audience has come: that can't be judged.
    world.run(GOOD, 12);
    assert_eq!(world.story(), "step_entered step_held");
    world.run(GOOD, 300);
    assert!(matches!(world.rollout.phase, Phase::Withdrawn { cause: Cause::NotJudged { step: 0, .. } }));
    assert_eq!(world.rollout.routing(), Routing::default());
}

#[test]
fn a_step_that_cannot_be_judged_may_ask_a_person() {
    let Strategy::Canary { steps, analysis, .. } = canary() else { panic!() };
    for undecided in [Undecided::Extend, Undecided::Ask] {
        let analysis = Analysis { undecided, ..analysis.clone() };
        let strategy = Strategy::Canary { steps: steps.clone(), analysis, audience: None, stick_to: None };
        let mut world = World::new(start(strategy, true));
        assert_eq!(world.rollout.pass_held("ann", &world.seen, world.now), None, "nothing is held yet");
        world.run(Behaviour { rate: 0, ..GOOD }, 30);
        assert_eq!(world.story(), "step_entered step_held");
        let passed = world.rollout.pass_held("ann", &world.seen, world.now);
        assert_eq!(passed.is_some(), undecided == Undecided::Ask);
        let Some(passed) = passed else { continue };
        world.rollout.apply(&passed, world.now).unwrap();
        assert!(matches!(world.rollout.phase, Phase::Preparing { step: 1, .. }));
    }
}

#[test]
fn a_release_with_all_traffic_is_watched_for_a_while() {
    let watched = || Start {
        watch: Some(Watch { period: Period::seconds(60), analysis: analysis() }),
        ..start(Strategy::Rolling { surge: 1, unavailable: 0 }, true)
    };
    let mut world = World::new(watched());
    world.run(GOOD, 300);
    assert!(world.rollout.is_watched() && world.rollout.is_over());
    (0..30).for_each(|_| world.tick(GOOD));
    assert!(world.rollout.is_watched());
    (0..40).for_each(|_| world.tick(GOOD));
    assert!(!world.rollout.is_watched());
    assert_eq!(world.story(), "promoted watched");

    let mut world = World::new(watched());
    world.run(GOOD, 300);
    (0..30).for_each(|_| world.tick(Behaviour { failing_in: 5, ..GOOD }));
    assert_eq!(world.story(), "promoted failed");
    let watched = |phase: &Phase| matches!(phase, Phase::Promoted(Promoted { watched: Watched::Failed { .. }, .. }));
    assert!(watched(&world.rollout.phase), "what follows is another rollout's: {:?}", world.rollout.phase);
}

/// Two steps of two minutes at 10% and 100%, watched for two more, marked.
fn marked() -> World {
    let bake = Period::seconds(120);
    let steps = [10, 100].map(|weight| Step { bake, ..step(weight) }).to_vec();
    let canary = Strategy::Canary { steps, analysis: analysis(), audience: None, stick_to: None };
    let watch = Some(Watch { period: bake, analysis: analysis() });
    World::new(Start { watch, segments: SEGMENTS, ..start(canary, true) })
}

#[test]
fn each_step_and_the_watch_are_marked_seven_times() {
    let mut world = marked();
    (0..400).for_each(|_| world.tick(GOOD));
    let marks = ["marked"; 7].join(" ");
    let story = format!("step_entered {marks} step_passed step_entered {marks} step_passed promoted {marks} watched");
    assert_eq!(world.story(), story);
    assert_eq!(world.rollout.marks(), None, "nobody asks for them any more");
    let mut whole = World::new(Start { segments: 0, ..marked().rollout.start });
    (0..400).for_each(|_| whole.tick(GOOD));
    assert!(!whole.story().contains("marked"), "as in a journal of an earlier version: {}", whole.story());
}

#[test]
fn a_crash_between_marks_loses_none_and_a_clock_that_steps_back_adds_none() {
    let mut world = marked();
    let begin = world.now;
    (0..60).for_each(|_| world.tick(GOOD));
    let taken = world.story().matches("marked").count();
    assert_eq!(taken, 3, "{}", world.story());
    let mut again = Rollout::new(world.rollout.start.clone(), begin);
    let Phase::Baking(baking) = &world.rollout.phase else { panic!("{:?}", world.rollout.phase) };
    world.events.iter().for_each(|event| again.apply(event, baking.since).unwrap());
    assert_eq!(again, world.rollout);
    world.now -= SignedDuration::from_secs(50);
    (0..50).for_each(|_| world.tick(GOOD));
    assert_eq!(world.story().matches("marked").count(), taken, "{}", world.story());
    (0..10).for_each(|_| world.tick(GOOD));
    assert_eq!(world.story().matches("marked").count(), taken + 1, "{}", world.story());
}

/// A server that was down for a day comes back and looks.
#[test]
fn time_in_which_nobody_looked_is_held_against_no_release() {
    let away = |world: &mut World| {
        world.now += SignedDuration::from_hours(24);
        world.seen.looked_since = Some(world.now);
    };
    // One whose replicas were coming up; they are seen in a moment.
    let slow = Behaviour { start_s: Some(24 * 3_600 + 30), ..GOOD };
    let mut world = World::new(start(canary(), true));
    (0..5).for_each(|_| world.tick(slow));
    away(&mut world);
    (0..20).for_each(|_| world.tick(slow));
    assert_eq!(world.story(), "", "it gets a deadline of its own again");
    world.run(slow, 300);
    assert!(matches!(world.rollout.phase, Phase::Promoted(_)), "{}", world.story());

    // One whose step could not be judged before.
    let silent = Behaviour { rate: 0, ..GOOD };
    let mut world = World::new(start(canary(), true));
    (0..20).for_each(|_| world.tick(silent));
    away(&mut world);
    (0..9).for_each(|_| world.tick(silent));
    assert_eq!(world.story(), "step_entered step_held");
    world.run(silent, 5);
    assert!(
        matches!(world.rollout.phase, Phase::Withdrawn { cause: Cause::NotJudged { .. }, .. }),
        "{}",
        world.story()
    );

    // One that is watched.
    let watch = Some(Watch { period: Period::seconds(60), analysis: analysis() });
    let mut world = World::new(Start { watch, ..start(Strategy::Rolling { surge: 1, unavailable: 0 }, true) });
    world.run(GOOD, 300);
    away(&mut world);
    (0..59).for_each(|_| world.tick(GOOD));
    assert_eq!(world.story(), "promoted");
    (0..2).for_each(|_| world.tick(GOOD));
    assert_eq!(world.story(), "promoted watched");
}

#[test]
fn a_rolling_update_keeps_within_its_bounds() {
    let mut world = World::new(start(Strategy::Rolling { surge: 1, unavailable: 1 }, true));
    for _ in 0..60 {
        let total: u32 = world.seen.versions.iter().map(|v| v.replicas).sum();
        let available: u32 = world.seen.versions.iter().map(|v| v.available).sum();
        assert!(total <= 5, "{:?}", world.seen);
        assert!(available >= 3, "{:?}", world.seen);
        world.tick(GOOD);
    }
    assert!(matches!(world.rollout.phase, Phase::Promoted(_)));
}

#[test]
fn an_event_that_does_not_fit_is_refused_and_changes_nothing() {
    let mut rollout = Rollout::new(start(canary(), true), Timestamp::UNIX_EPOCH);
    let before = rollout.clone();
    let error =
        rollout.apply(&RolloutEvent::Withdrawn { candidate: Counters::default() }, Timestamp::UNIX_EPOCH).unwrap_err();
    assert_eq!(error.to_string(), "a rollout that is preparing a step can't take in rollout.withdrawn");
    assert_eq!(rollout, before);
}

prop_compose! {
    fn behaviour()(start_s in proptest::option::of(0u32..90), failing_in in 0u64..200, rate in 0u64..2_000, crashes in any::<bool>()) -> Behaviour {
        Behaviour { start_s, failing_in, rate, crashes: crashes && failing_in % 3 == 0 }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Behaviour changes every few seconds; `tick` checks weights, capacity and the failed candidate throughout.
    #[test]
    fn the_invariants_hold_whatever_the_candidate_does(
        strategy in 0usize..5, has_stable in any::<bool>(), surge in 0u32..4, unavailable in 0u32..4,
        phases in prop::collection::vec((behaviour(), 1u32..40), 1..12),
    ) {
        let strategies = [
            canary(), blue_green(), mirrored(), Strategy::Recreate, Strategy::Rolling { surge, unavailable },
        ];
        let strategy = strategies[strategy].clone();
        let mut world = World::new(Start { segments: SEGMENTS, ..start(strategy, has_stable) });
        for (behaviour, seconds) in phases {
            world.run(behaviour, seconds);
        }
        // Then the world settles, and the rollout has to end.
        world.run(GOOD, 600);
        prop_assert!(world.rollout.is_over(), "{:?} after {}", world.rollout.phase, world.story());
    }

    /// Replaying the facts gives the state that deciding them gave.
    #[test]
    fn replay_gives_the_same_state(phases in prop::collection::vec((behaviour(), 1u32..40), 1..6)) {
        let mut world = World::new(Start { segments: SEGMENTS, ..start(canary(), true) });
        let begin = world.now;
        let mut replayed = Rollout::new(world.rollout.start.clone(), begin);
        for (behaviour, seconds) in phases {
            for _ in 0..seconds {
                let known = world.events.len();
                world.tick(behaviour);
                for event in &world.events[known..] {
                    replayed.apply(event, world.now).unwrap();
                }
                prop_assert_eq!(&replayed, &world.rollout);
            }
        }
    }
}
