//! What should run where, whatever is ordered and whatever the journal holds.

use super::*;
use crate::entry::Entry;
use crate::event::{Outcome, Place};
use crate::flight::Stage;
use crate::judge::Sample;
use crate::policy::PolicyAnswers;
use crate::rollout::{Cause, Start, Strategy as Takeover};
use crate::runtime::{Counters, VersionSeen};
use crate::testing::{
    Ill, Story, assert_weights, commit, digest, environment, id, production, target, two_environments,
};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

#[test]
fn nothing_runs_where_nothing_was_ever_let_in() {
    let story = Story::new(&two_environments(0));
    assert_eq!(story.serving("production"), "");
    assert_eq!(story.fleet.targets().count(), 0);
}

#[test]
fn flights_are_active_until_nothing_more_happens_by_itself() {
    let mut story = Story::new(&two_environments(0));
    story.push_ill('a', Ill::Pipeline);
    assert_eq!(story.fleet.active().count(), 1);
    story.run();
    assert_eq!(story.fleet.active().count(), 0);
    assert_eq!(story.fleet.latest(&"pad".parse().unwrap()).map(|f| f.id.clone()), Some(id('a')));
}

#[test]
fn a_rollback_makes_a_flight_active_again() {
    let mut story = Story::new(&two_environments(0));
    story.push('a').run().push('b').run();
    story.roll_back('b', "production", None).unwrap();
    assert_eq!(story.fleet.active().map(|f| f.id.clone()).collect::<Vec<_>>(), [id('b')]);
}

#[test]
fn facts_about_flights_that_were_never_opened_change_nothing_but_the_sequence() {
    let mut fleet = Fleet::default();
    let event = Event::Ended { outcome: Outcome::Landed };
    let recorded = Recorded { sequence: 7, at: Timestamp::UNIX_EPOCH, flight: id('a'), event };
    assert_eq!(fleet.apply(&recorded), Ok(()));
    assert_eq!((fleet.flights().count(), fleet.sequence()), (0, 7));
}

#[test]
fn the_images_of_what_serves_and_of_what_is_on_its_way_are_needed() {
    let mut story = Story::new(&two_environments(0));
    assert_eq!(story.fleet.needed(), [].into());
    story.push('a').run().push('b').until('b', &Stage::At(target("production"), Standing::Rolling));
    assert_eq!(story.fleet.needed(), [digest('a'), digest('b')].into());
    story.run();
    assert_eq!(story.fleet.needed(), [digest('b')].into());
}

/// What people and the world may do to three flights in two environments.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Push(char, Option<Ill>),
    Wait(u8),
    Approve(char, bool),
    Abort(char),
    RollBack(char, bool, Option<char>),
    RollBackPast(char, bool, Option<char>),
    Lift(char, bool),
}

fn letter() -> impl Strategy<Value = char> {
    prop::sample::select(vec!['a', 'b', 'c', 'd'])
}

fn deed() -> impl Strategy<Value = Deed> {
    let ills = [Ill::Config, Ill::Requests, Ill::Late, Ill::Unready, Ill::Checks, Ill::Migration];
    let ill = prop::option::of(prop::sample::select(ills.to_vec()));
    prop_oneof![
        3 => (letter(), ill).prop_map(|(f, ill)| Deed::Push(f, ill)),
        4 => (0u8..60).prop_map(Deed::Wait),
        2 => (letter(), any::<bool>()).prop_map(|(f, who)| Deed::Approve(f, who)),
        1 => letter().prop_map(Deed::Abort),
        2 => (letter(), any::<bool>(), prop::option::of(letter())).prop_map(|(f, at, to)| Deed::RollBack(f, at, to)),
        1 => (letter(), any::<bool>(), prop::option::of(letter())).prop_map(|(f, at, to)| Deed::RollBackPast(f, at, to)),
        1 => (letter(), any::<bool>()).prop_map(|(f, at)| Deed::Lift(f, at)),
    ]
}

fn place(production: bool) -> &'static str {
    if production { "production" } else { "test" }
}

/// Does it if it can be done; a refusal is an answer as well. [`Story`] checks the invariants all the while.
fn attempt(story: &mut Story, deed: Deed) {
    let known = |story: &Story, f| story.fleet.flight(&id(f)).is_some();
    match deed {
        Deed::Push(f, ill) if !known(story, f) => {
            match ill {
                Some(ill) if story.is_group() => story.push_ill_service(f, if f < 'c' { "web" } else { "api" }, ill),
                Some(ill) => story.push_ill(f, ill),
                None => story.push(f),
            };
        }
        Deed::Wait(steps) => (0..steps).for_each(|_| story.step()),
        Deed::Approve(f, ann) if known(story, f) => {
            let _refused = story.approve(f, if ann { "ann" } else { "bob" }).is_err();
        }
        Deed::Abort(f) if known(story, f) => {
            let _refused = story.abort(f).is_err();
        }
        Deed::RollBack(f, production, to) if known(story, f) => {
            let _refused = story.roll_back(f, place(production), to).is_err();
        }
        Deed::RollBackPast(f, production, to) if known(story, f) => {
            let _refused = story.roll_back_past(f, place(production), to).is_err();
        }
        Deed::Lift(f, production) if known(story, f) => story.lift(f, place(production)),
        Deed::Push(..)
        | Deed::Approve(..)
        | Deed::Abort(_)
        | Deed::RollBack(..)
        | Deed::RollBackPast(..)
        | Deed::Lift(..) => {}
    }
}

fn never_available() -> RolloutEvent {
    let cause = Cause::NeverAvailable { detail: None };
    RolloutEvent::Failed { cause, evidence: Sample::default(), metrics: Vec::new(), serves_on: false }
}

/// A fact that nobody decided, as a damaged or foreign journal might hold it.
fn fact() -> impl Strategy<Value = Event> {
    let place = || any::<bool>().prop_map(|p| Place { environment: environment(place(p)), service: None });
    let commit_id = || letter().prop_map(commit);
    prop_oneof![
        4 => (place(), rollout_fact()).prop_map(|(place, event)| Event::Rollout { place, event }),
        1 => (place(), prop::option::of(letter()))
            .prop_map(|(place, f)| Event::GatePassed { place, replaces: f.map(id) }),
        1 => (place(), commit_id()).prop_map(|(place, commit)| Event::Deployed { place, commit, policies: PolicyAnswers::default() }),
        1 => (place(), any::<bool>()).prop_map(|(place, point_of_no_return)| Event::MigrationStarted {
            place,
            args: vec!["migrate".into()],
            point_of_no_return
        }),
        1 => (place(), any::<bool>()).prop_map(|(place, good)| Event::Migrated {
            place,
            failure: (!good).then(|| "random".into()),
            by: None
        }),
        1 => (place(), commit_id()).prop_map(|(place, commit)| Event::Reverted { place, commit }),
        1 => (place(), prop::option::of(letter())).prop_map(|(place, to)| Event::RollbackOrdered {
            place,
            to: to.map(id),
            asked: None,
            past_return: false,
            by: "ann".into(),
            reason: "random".into()
        }),
        1 => (place(), letter()).prop_map(|(place, f)| Event::Quarantined {
            place,
            digest: digest(f),
            reason: "random".into()
        }),
        1 => (place(), 0u32..9, 0u32..9).prop_map(|(place, before, replicas)| Event::Scaled {
            place,
            before,
            replicas,
            reason: "random".into(),
            by: None,
        }),
        1 => Just(Event::Ended { outcome: Outcome::Landed }),
        1 => Just(Event::PipelineFinished { succeeded: true, detail: None }),
    ]
}

/// The same of a rollout.
fn rollout_fact() -> impl Strategy<Value = RolloutEvent> {
    let step = || 0u32..3;
    let counters = Counters::default();
    let weight = || (0u8..=100).prop_map(|w| Weight::new(w).unwrap());
    prop_oneof![
        (letter(), letter(), any::<bool>()).prop_map(|(candidate, stable, back)| {
            let steps = [10u8, 100].map(|w| crate::service::Step {
                weight: Weight::new(w).unwrap(),
                mirror: Weight::ZERO,
                bake: crate::quantity::Period::seconds(1),
            });
            let canary = Takeover::Canary {
                steps: steps.to_vec(),
                analysis: crate::judge::Analysis::default(),
                audience: None,
                stick_to: None,
            };
            RolloutEvent::Started(Start {
                candidate: id(candidate),
                stable: Some(id(stable)),
                strategy: if back { Takeover::Return } else { canary },
                watch: None,
                replicas: 2,
                stable_replicas: 2,
                autoscaled: None,
                caution: None,
                progress_deadline_s: 1,
                segments: 0,
            })
        }),
        (step(), weight()).prop_map(move |(step, weight)| RolloutEvent::StepEntered {
            step,
            weight,
            candidate: counters.into(),
            stable: counters.into(),
            mirrored: counters.into(),
            restarts: 0
        }),
        step().prop_map(|step| RolloutEvent::StepPassed {
            step,
            evidence: Sample::default(),
            metrics: Vec::new(),
            by: None
        }),
        Just(never_available()),
        Just(RolloutEvent::Promoted { candidate: counters.into(), stable: counters.into() }),
        Just(RolloutEvent::Withdrawn { candidate: counters }),
    ]
}

/// What a runtime might show, however odd.
fn observation(numbers: &[u32]) -> Observation {
    let versions = ['a', 'b', 'c', 'd'].into_iter().zip(numbers.chunks(2)).map(|(f, n)| VersionSeen {
        replicas: n[0],
        ready: n[0].min(n[1]),
        available: n[0].min(n[1]),
        restarts: n[1],
        ..VersionSeen::none(id(f))
    });
    Observation::of(versions.collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is ordered and whenever: weights, failed candidates and replay are checked with every fact, and once
    /// people let go, everything comes to rest with one version in charge and Git naming no release that failed.
    #[test]
    fn orders_at_any_time_do_no_harm(
        group in any::<bool>(),
        deeds in prop::collection::vec(deed(), 1..25),
        migrates in prop::option::of(any::<bool>()),
    ) {
        let environments = two_environments(1);
        let mut story = if group { Story::group(&environments) } else { Story::new(&environments) };
        if let Some(for_good) = migrates {
            story.migrate(for_good);
        }
        for deed in deeds {
            attempt(&mut story, deed);
        }
        story.run();
        for target in story.fleet.targets() {
            let current = story.fleet.current(target);
            let wanted = story.fleet.wanted(target, &story.seen_at(target)).versions;
            prop_assert_eq!(wanted.iter().map(|w| &w.flight).collect::<Vec<_>>(), current.into_iter().collect::<Vec<_>>());
            for flight in story.fleet.flights() {
                let told = story.told(flight.id.as_str().chars().next().unwrap());
                prop_assert!(flight.entry(target).is_none_or(|e| !e.must_revert()), "{}", told);
                let waits = ["test", "production"].iter().any(|name| flight.waits_at(&environment(name)));
                prop_assert!(!flight.is_active() || waits, "{}", told);
                // A group goes back as a whole.
                let left = flight.places_in(&target.environment).any(|at| flight.standing(at) == Standing::Gone);
                let for_good = |at: &Target| flight.entry(at).is_some_and(Entry::is_past_return);
                let stays = flight.places_in(&target.environment).any(for_good);
                prop_assert!(!(left && current == Some(&flight.id)) || stays, "{}", told);
            }
        }
    }

    /// A journal that nobody decided: facts that do not fit are refused, and weights are whole all the same.
    #[test]
    fn facts_in_any_order_keep_the_weights_whole(
        facts in prop::collection::vec((letter(), fact()), 1..60),
        numbers in prop::collection::vec(0u32..5, 8),
    ) {
        let mut story = Story::new(&two_environments(0));
        for f in ['a', 'b', 'c', 'd'] {
            story.push(f);
        }
        let seen = observation(&numbers);
        let (mut fleet, mut journal) = (story.fleet, story.journal);
        let (now, pushed) = (story.now, journal.len());
        for (f, event) in facts {
            let recorded = Recorded { sequence: fleet.sequence() + 1, at: now, flight: id(f), event };
            let _refused = fleet.apply(&recorded).is_err();
            journal.push(recorded);
            for name in ["test", "production"] {
                let wanted = fleet.wanted(&target(name), &seen).versions;
                assert_weights(&wanted.iter().map(|w| w.weight).collect::<Vec<_>>());
                let images = wanted.iter().filter_map(|w| fleet.flight(&w.flight)?.release(&target(name)));
                prop_assert!(images.map(|release| &release.digest).all(|image| fleet.needed().contains(image)));
            }
            for flight in fleet.flights() {
                flight.decide(&fleet, |_| seen.clone(), &crate::gate::Holds::default(), now);
            }
        }
        let replay = |facts: &[Recorded]| {
            let mut fleet = Fleet::default();
            for recorded in facts {
                let _refused = fleet.apply(recorded).is_err();
            }
            fleet
        };
        prop_assert_eq!(&replay(&journal), &fleet);
        let (first, rest) = journal.split_at(pushed.max(journal.len() / 2));
        let mut resumed = replay(first);
        for recorded in rest {
            let _refused = resumed.apply(recorded).is_err();
        }
        prop_assert_eq!(resumed, fleet);
    }
}

#[test]
fn a_person_scales_what_serves_within_bounds() {
    let mut story = Story::new(&production());
    let target = target("production");
    let order = |story: &Story, replicas: u32| story.fleet.order_scale(&target, replicas, ("ann", "INC-1"));
    assert_eq!(order(&story, 3), None, "nothing serves");
    story.push('a').run();
    let before = story.fleet.replicas(&id('a'), &target).unwrap();
    for (replicas, wanted) in [(0, "not between 1 and 1000"), (1_001, "not between"), (before, "replicas already")] {
        let refused = order(&story, replicas).unwrap().unwrap_err().to_string();
        assert!(refused.contains(wanted), "{refused}");
    }
    let facts = order(&story, before + 2).unwrap().unwrap();
    story.record(&id('a'), facts);
    assert_eq!(story.fleet.replicas(&id('a'), &target), Some(before + 2));
    // It holds for what serves, and shrinks only when nothing is on its way.
    story.push('b').until('b', &Stage::At(target.clone(), Standing::Rolling));
    assert!(order(&story, 1).unwrap().unwrap_err().to_string().contains("on its way"));
    story.run();
    assert_eq!(story.fleet.replicas(&id('b'), &target), Some(before));
}

#[test]
fn ways_back_lead_to_what_served_there_and_is_let_in() {
    let ways = |story: &Story| {
        let found = story.fleet.ways_back(&target("production"));
        found.map(|ways| (ways.inside, ways.to.into_iter().map(|(flight, _)| flight).collect::<Vec<_>>()))
    };
    let mut story = Story::new(&two_environments(0));
    assert_eq!(ways(&story), None, "nothing is there");
    story.push('a').run();
    assert_eq!(ways(&story), Some((id('a'), vec![])), "there is no earlier release");
    story.push('b').run().push('c').run();
    assert_eq!(ways(&story), Some((id('c'), vec![id('a'), id('b')])));
    story.roll_back('c', "production", None).unwrap();
    assert_eq!(ways(&story), None, "it is on its way out");
    story.run();
    assert_eq!(ways(&story), Some((id('b'), vec![id('a')])), "what was taken back is in quarantine");
}
