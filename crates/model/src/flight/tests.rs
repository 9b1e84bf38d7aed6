//! Flights from push to the end, and every way in which they end.

use super::*;
use crate::ids::Weight;
use crate::testing::{Ill, Story, digest, environment, id, manifests, production, target, two_environments};
use serde_json::json;

const BUILT: &str = "opened configured finished recorded";
const TESTED: &str = "test/passed test/deployed test/started test/promoted test/checked";
const ENTERED: &str = "production/passed production/deployed production/started";
const CANARY: &str = "production/step_entered production/step_passed production/step_entered production/step_passed";

/// What is told of a flight, and how it ended.
#[track_caller]
fn check(story: &Story, flight: char, parts: &[&str]) {
    assert_eq!(story.told(flight), parts.join(" "));
}

fn at(name: &str, standing: Standing) -> Stage {
    Stage::At(target(name), standing)
}

#[track_caller]
fn check_rolled_back(story: &Story, flight: char, from: &str, reason: &str) {
    let expected = Outcome::RolledBack { environment: environment(from), reason: reason.into() };
    assert_eq!(story.flight(flight).outcome, Some(expected));
}

/// `a` serves everywhere and `b` follows it.
fn following(b: Option<Ill>) -> Story {
    let mut story = Story::new(&two_environments(0));
    story.push('a').run();
    match b {
        Some(ill) => story.push_ill('b', ill),
        None => story.push('b'),
    };
    story
}

#[test]
fn stages_come_in_order() {
    let mut story = following(None);
    let mut stages = vec![story.flight('b').stage()];
    for _ in 0..100 {
        for part in [Story::decide, Story::step] {
            part(&mut story);
            let stage = story.flight('b').stage();
            if stages.last() != Some(&stage) {
                stages.push(stage);
            }
        }
    }
    let expected = [
        Stage::Reading,
        Stage::Building,
        Stage::Imaging,
        at("test", Standing::Outside),
        at("test", Standing::Entering),
        at("test", Standing::Rolling),
        at("test", Standing::Unchecked),
        at("production", Standing::Outside),
        at("production", Standing::Entering),
        at("production", Standing::Rolling),
        Stage::Done,
    ];
    assert_eq!(stages, expected);
    check(&story, 'b', &[BUILT, TESTED, ENTERED, CANARY, "production/promoted ended:landed"]);
    assert_eq!(story.serving("production"), "b:100");
}

#[test]
fn flights_that_never_fly() {
    for (ill, told) in [
        (Ill::Config, "opened ended:refused author_notified"),
        (Ill::Pipeline, "opened configured finished ended:rejected author_notified"),
    ] {
        let mut story = following(Some(ill));
        story.run();
        check(&story, 'b', &[told]);
        assert_eq!(story.serving("production"), "a:100");
    }
}

#[test]
fn a_later_push_takes_the_place_of_one_that_is_being_built() {
    for stage in [Stage::Reading, Stage::Building, Stage::Imaging] {
        let mut story = following(None);
        story.until('b', &stage).push('c').run();
        assert_eq!(story.flight('b').outcome, Some(Outcome::Superseded { by: id('c') }), "{stage:?}");
        assert_eq!(story.flight('b').notified_at, None, "that is no news");
        assert_eq!(story.serving("production"), "c:100");
    }
}

#[test]
fn the_first_release_takes_all_traffic_without_being_compared() {
    let mut story = Story::new(&production());
    story.push('a').run();
    check(&story, 'a', &[BUILT, ENTERED, "production/promoted ended:landed"]);
}

#[test]
fn a_first_release_that_fails_leaves_nothing() {
    let mut story = Story::new(&production());
    story.push_ill('a', Ill::Unready).run();
    let left = "production/failed set production/reverted production/withdrawn ended:rolled_back author_notified";
    check(&story, 'a', &[BUILT, ENTERED, &left.replace(" set ", " production/set ")]);
    assert_eq!(story.serving("production"), "");
    assert_eq!(story.fleet.current(&target("production")), None);
    story.push('b').run();
    assert_eq!(story.serving("production"), "b:100");
}

#[test]
fn a_failed_canary_is_quarantined_in_the_same_append_and_git_is_put_right_at_once() {
    let mut story = following(Some(Ill::Requests));
    story.until('b', &at("production", Standing::Leaving));
    let facts: Vec<_> = story.journal.iter().rev().take(2).map(|r| (r.event.clone(), r.at)).collect();
    assert!(matches!(&facts[0].0, Event::Quarantined { digest: d, .. } if *d == digest('b')));
    assert!(matches!(&facts[1].0, Event::Rollout { event: RolloutEvent::Failed { .. }, .. }));
    assert_eq!(story.serving("production"), "a:100 b:0", "its traffic ends before anything else is done");
    assert_eq!(story.flight('b').plan(), [Effect::Revert(target("production"))]);
    story.run();
    let left = "production/step_entered production/failed production/set production/reverted production/withdrawn";
    check(&story, 'b', &[BUILT, TESTED, ENTERED, left, "ended:rolled_back author_notified"]);
    let reason = "step 1 failed: 10 of 20 (50%) requests failed, of the stable version's 0 of 180 (0%); chance alone does that in \
             less than 1 of 1000000000 rollouts";
    check_rolled_back(&story, 'b', "production", reason);
    assert_eq!(story.serving("production"), "a:100");
    assert_eq!(story.serving("test"), "b:100", "where it did no harm it stays");
}

/// Production alone, watched for a minute; `a` serves and `b` follows it, watched by now.
fn watched(b: Option<Ill>) -> Story {
    let mut environments = production();
    environments[0]["watch"] = "1m".into();
    let mut story = Story::new(&environments);
    story.push('a').run();
    match b {
        Some(ill) => story.push_ill('b', ill),
        None => story.push('b'),
    };
    story.until('b', &at("production", Standing::Watched));
    story
}

#[test]
fn a_release_that_fails_with_all_traffic_is_taken_back() {
    let mut story = watched(Some(Ill::Late));
    let told = story.told('b');
    story.run();
    let back = "production/failed production/rollback_ordered production/set production/started production/reverted";
    check(&story, 'b', &[&told, back, "production/promoted ended:rolled_back author_notified"]);
    assert_eq!(story.serving("production"), "a:100");
    assert!(story.fleet.quarantine(&target("production"), &digest('b')).is_some());
}

#[test]
fn a_watched_release_gives_way_to_the_next() {
    let mut story = watched(None);
    story.push('c').until('c', &at("production", Standing::Rolling)).run();
    assert!(story.told('b').ends_with("production/promoted production/watched ended:landed"), "{}", story.told('b'));
    assert_eq!(story.serving("production"), "c:100");
}

#[test]
fn a_first_release_serves_on_whatever_the_watch_says() {
    let mut environments = production();
    environments[0]["watch"] = "1m".into();
    let mut story = Story::new(&environments);
    story.push_ill('a', Ill::Late).run();
    check(&story, 'a', &[BUILT, ENTERED, "production/promoted production/watched ended:landed"]);
    assert_eq!(story.serving("production"), "a:100");
}

#[test]
fn a_watched_release_can_be_taken_back_by_a_person() {
    for order in ["abort", "roll back"] {
        let mut story = watched(None);
        match order {
            "abort" => story.abort('b').unwrap(),
            _ => story.roll_back('b', "production", None).unwrap(),
        }
        story.run();
        assert_eq!(story.serving("production"), "a:100", "{order}");
    }
}

#[test]
fn a_bad_configuration_is_not_the_images_fault() {
    let mut story = Story::new(&production());
    story.push('a').run();
    story.same_image('b', 'a').push_ill('b', Ill::Requests).run();
    assert_eq!(story.serving("production"), "a:100");
    assert_eq!(story.fleet.quarantine(&target("production"), &digest('a')), None);
    assert!(story.fleet.quarantine(&target("production"), &manifests('b')).is_some());
    // What is wrong with it is put right; the image is the same all the time.
    story.same_image('c', 'a').push('c').run();
    assert_eq!(story.serving("production"), "c:100");
    story.roll_back('c', "production", Some('b')).unwrap_err();
    story.roll_back('c', "production", Some('a')).unwrap();
}

#[test]
fn replicas_that_never_start_never_get_traffic() {
    let mut story = Story::new(&production());
    story.push('a').run().push_ill('b', Ill::Unready).run();
    let reason = "its replicas were not available in time (ImagePullBackOff)";
    check_rolled_back(&story, 'b', "production", reason);
    assert_eq!(story.flight('b').entry(&target("production")).unwrap().requests.requests, 0);
}

#[test]
fn an_abort_in_every_stage() {
    let before = [
        Stage::Reading,
        Stage::Building,
        Stage::Imaging,
        at("test", Standing::Outside),
        at("production", Standing::Outside),
    ];
    for stage in before {
        let mut story = Story::new(&two_environments(1));
        story.push('b').until('b', &stage).abort('b').unwrap();
        story.run();
        let aborted = Outcome::Aborted { by: "ann".into(), reason: "not today".into() };
        assert_eq!(story.flight('b').outcome, Some(aborted), "{stage:?}");
        assert!(story.told('b').ends_with("ended:aborted author_notified"), "{}", story.told('b'));
    }
    for name in ["test", "production"] {
        let mut story = following(None);
        story.until('b', &at(name, Standing::Rolling)).abort('b').unwrap();
        assert_eq!(story.serving(name), "a:100 b:0");
        assert!(story.abort('b').is_err(), "it leaves already");
        story.run();
        assert!(story.told('b').ends_with("ended:aborted author_notified"), "{}", story.told('b'));
        assert!(story.told('b').contains(&format!("{name}/reverted")), "{}", story.told('b'));
        assert_eq!(story.fleet.quarantine(&target(name), &digest('b')), None, "nothing is said against the release");
        assert_eq!(story.serving(name), "a:100");
    }
}

#[test]
fn an_abort_while_the_repository_is_written_has_to_wait() {
    let mut story = following(None);
    story.until('b', &at("production", Standing::Entering));
    let refused = Refusal::Entering { flight: id('b'), environment: environment("production") };
    assert_eq!(story.abort('b'), Err(refused.clone()));
    assert_eq!(story.roll_back('b', "production", None), Err(refused.clone()));
    assert_eq!(story.roll_back('b', "test", None), Err(refused));
}

#[test]
fn an_abort_before_the_checks_takes_it_back() {
    let mut story = following(None);
    story.until('b', &at("test", Standing::Unchecked)).abort('b').unwrap();
    story.run();
    check_rolled_back(&story, 'b', "test", "not today");
    assert_eq!(story.serving("test"), "a:100");
}

#[test]
fn an_order_after_the_end_is_refused() {
    let mut story = following(None);
    story.run();
    assert_eq!(story.abort('b'), Err(Refusal::Ended { flight: id('b') }));
    assert_eq!(story.approve('b', "ann"), Err(Refusal::Ended { flight: id('b') }));
}

#[test]
fn a_rollback_after_landing_brings_the_earlier_release_back() {
    let mut story = following(None);
    story.run();
    let told = story.told('b');
    story.roll_back('b', "production", None).unwrap();
    assert_eq!(story.serving("production"), "b:100", "until the earlier one is ready");
    story.decide();
    assert_eq!(story.serving("production"), "b:100 a:0");
    let entry = story.flight('b').entry(&target("production")).unwrap().clone();
    assert_eq!(entry.moving().unwrap().start.strategy, Strategy::Return);
    story.run();
    let back = "production/rollback_ordered production/set production/started production/reverted production/promoted";
    check(&story, 'b', &[&told, back, "ended:rolled_back author_notified"]);
    check_rolled_back(&story, 'b', "production", "it smells");
    assert_eq!(story.fleet.current(&target("production")), Some(&id('a')));
    assert_eq!(story.serving("production"), "a:100");
    assert!(story.fleet.quarantine(&target("production"), &digest('b')).is_some());
    // The fleet is whole again: the next flight replaces what serves.
    story.push('c').run();
    assert_eq!(story.flight('c').entry(&target("production")).unwrap().replaces, Some(id('a')));
    assert_eq!(story.serving("production"), "c:100");
}

#[test]
fn a_rollback_while_rolling_out_fails_the_candidate() {
    let mut story = following(None);
    story.until('b', &at("production", Standing::Rolling)).roll_back('b', "production", None).unwrap();
    assert_eq!(story.serving("production"), "a:100 b:0");
    assert!(story.fleet.quarantine(&target("production"), &digest('b')).is_some());
    story.run();
    assert_eq!(story.serving("production"), "a:100");
}

#[test]
fn a_rollback_can_go_further_back() {
    let mut story = following(None);
    story.run().push('c').run();
    story.roll_back('c', "production", Some('a')).unwrap();
    story.run();
    assert_eq!(story.serving("production"), "a:100");
}

#[test]
fn a_rollback_to_what_does_not_come_up_can_be_sent_elsewhere() {
    let mut story = following(None);
    story.run().push('c').run();
    story.lose('b');
    story.roll_back('c', "production", None).unwrap();
    let leaving = Refusal::Leaving { flight: id('c'), environment: environment("production") };
    assert_eq!(story.roll_back('c', "production", Some('a')), Err(leaving), "Git is written at this moment");
    for _ in 0..100 {
        story.step();
    }
    assert_eq!(story.serving("production"), "c:100 b:0", "it serves while nothing else can");
    let on_the_way = Refusal::OnTheWay { to: id('b'), environment: environment("production") };
    assert_eq!(story.roll_back('c', "production", Some('b')), Err(on_the_way));
    let not_serving = Refusal::NotServing { flight: id('c'), environment: environment("production") };
    assert_eq!(story.roll_back('c', "production", None), Err(not_serving), "it says where to");
    let told = story.told('c');
    story.roll_back('c', "production", Some('a')).unwrap();
    assert_eq!(story.serving("production"), "c:100");
    story.run();
    assert_eq!(story.serving("production"), "a:100");
    let elsewhere = "production/rollback_ordered production/started production/reverted production/promoted";
    check(&story, 'c', &[&told, elsewhere, "ended:rolled_back author_notified"]);
    assert_eq!(story.fleet.current(&target("production")), Some(&id('a')));
}

#[test]
fn a_group_on_its_way_back_is_not_sent_elsewhere() {
    let mut story = Story::group(&production());
    story.push('a').run().push('b').run().push('c').run();
    story.lose('b');
    story
        .order('c', |flight, fleet| {
            let web = Target { environment: environment("production"), service: "web".parse().unwrap() };
            flight.roll_back(fleet, &web, (None, false), "ann", "it smells")
        })
        .unwrap();
    for _ in 0..10 {
        story.step();
    }
    let again = story.order('c', |flight, fleet| {
        let web = Target { environment: environment("production"), service: "web".parse().unwrap() };
        flight.roll_back(fleet, &web, (Some(id('a')), false), "ann", "it smells")
    });
    assert!(matches!(again, Err(Refusal::NotServing { .. })), "{again:?}");
}

#[test]
fn rollbacks_that_are_refused() {
    let not_serving = |flight| Refusal::NotServing { flight: id(flight), environment: environment("production") };
    let mut story = following(None);
    story.run();
    assert_eq!(story.roll_back('a', "production", None), Err(not_serving('a')), "b serves");
    assert!(matches!(story.roll_back('b', "nowhere", None), Err(Refusal::NotServing { .. })));
    let no_way = |to| Err(Refusal::NoWayBack { to: id(to), environment: environment("production") });
    assert_eq!(story.roll_back('b', "production", Some('b')), no_way('b'), "to itself");
    assert_eq!(story.roll_back('b', "production", Some('f')), no_way('f'), "to nobody");

    story.push_ill('c', Ill::Requests).run();
    assert_eq!(story.roll_back('b', "production", Some('c')), no_way('c'), "to one that failed");
    story.push('d').until('d', &at("production", Standing::Rolling));
    assert_eq!(story.roll_back('b', "production", None), Err(not_serving('b')), "d is on its way in");

    let mut story = Story::new(&production());
    story.push('a').run();
    let first = Refusal::NothingBefore { environment: environment("production") };
    assert_eq!(story.roll_back('a', "production", None), Err(first));
}

#[test]
fn a_rollback_from_an_earlier_environment_takes_the_candidate_out_of_the_later_one() {
    let mut story = following(None);
    story.until('b', &at("production", Standing::Rolling)).roll_back('b', "test", None).unwrap();
    story.run();
    assert_eq!(story.serving("test"), "a:100");
    assert_eq!(story.serving("production"), "a:100");
    let entry = story.flight('b').entry(&target("production")).unwrap();
    assert!(entry.reverted.is_some(), "git does not name it any more: {}", story.told('b'));
    assert!(entry.rollout.as_ref().unwrap().is_over(), "{:?}", entry.rollout);
}

#[test]
fn rolled_back_from_one_environment_and_then_another_it_ends_in_the_last() {
    let mut story = following(None);
    story.run();
    for name in ["test", "production"] {
        story.roll_back('b', name, None).unwrap();
        story.run();
        assert_eq!(story.serving(name), "a:100");
        check_rolled_back(&story, 'b', name, "it smells");
    }
}

#[test]
fn a_check_that_fails_takes_the_release_back() {
    let mut story = following(Some(Ill::Checks));
    story.run();
    let back = "test/passed test/deployed test/started test/promoted test/checked test/rollback_ordered test/set \
                test/started test/reverted test/promoted ended:rolled_back author_notified";
    check(&story, 'b', &[BUILT, back]);
    check_rolled_back(&story, 'b', "test", "GET /healthz answered 500");
    assert_eq!(story.serving("test"), "a:100");
    assert_eq!(story.serving("production"), "a:100");
}

#[test]
fn a_first_release_whose_check_fails_leaves_nothing() {
    let mut story = Story::new(&two_environments(0));
    story.push_ill('a', Ill::Checks).run();
    check_rolled_back(&story, 'a', "test", "GET /healthz answered 500");
    assert_eq!(story.serving("test"), "");
    assert_eq!(story.fleet.current(&target("test")), None);
}

#[test]
fn a_rollout_is_slower_where_little_of_the_error_budget_is_left_and_fixes_are_not() {
    let bakes = |story: &Story, flight: char| {
        let start = &story.flight(flight).entry(&target("production")).unwrap().rollout.as_ref().unwrap().start;
        let Strategy::Canary { steps, .. } = &start.strategy else { panic!("{start:?}") };
        let bakes: Vec<String> = steps.iter().map(|step| format!("{} {}", step.weight.percent(), step.bake)).collect();
        (bakes, start.caution.as_ref().map(ToString::to_string))
    };
    let mut story = Story::new(&production());
    story.push('a').run().push('b').until('b', &at("production", Standing::Rolling));
    let (declared, caution) = bakes(&story, 'b');
    assert_eq!(caution, None);
    story.run();
    for left in [0.4, 0.1, 0.3] {
        let caution = crate::rollout::Caution::of("pad-availability", left).unwrap();
        story.holds.slow_down("pad".parse().unwrap(), Some(crate::testing::environment("production")), caution);
    }
    story.push('c').until('c', &at("production", Standing::Rolling));
    let (slower, caution) = bakes(&story, 'c');
    assert!(slower.len() > declared.len(), "{slower:?}");
    let why = "in smaller and longer steps, as 10% of the error budget of pad-availability is left";
    assert_eq!(caution.as_deref(), Some(why));
    story.run();
    assert_eq!(story.flight('c').outcome, Some(Outcome::Landed));
    story.push_fix('d').until('d', &at("production", Standing::Rolling));
    assert_eq!(bakes(&story, 'd'), (declared, None));
}

#[test]
fn a_rollout_starts_as_the_manifests_say() {
    let environments = json!([{"name": "production"}]);
    let mut story = Story::new(&environments);
    story.push('a').until('a', &at("production", Standing::Rolling));
    let start = &story.flight('a').entry(&target("production")).unwrap().rollout.as_ref().unwrap().start;
    assert_eq!(start.strategy, Strategy::Rolling { surge: 1, unavailable: 1 }, "25% of four, up and down");
    assert_eq!((start.replicas, start.stable_replicas, start.progress_deadline_s), (4, 0, 60));
    assert_eq!(story.serving("production"), "a:100");
    assert_eq!(story.seen("production").versions[0].weight, Weight::ALL);
}
