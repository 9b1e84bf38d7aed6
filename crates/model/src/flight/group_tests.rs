//! Groups: services that fly together, in order, and go back in reverse. `web` comes after `api`.

use super::*;
use crate::testing::{Ill, Story, environment, id, production, target, two_environments};

const BUILT: &str = "opened configured finished recorded recorded";
const PASSED: &str = "api/passed web/passed";
const FIRST: &str = "api/deployed api/started api/promoted web/deployed web/started web/promoted";

fn of(service: &str) -> Target {
    Target { service: service.parse().unwrap(), ..target("production") }
}

#[track_caller]
fn check(story: &Story, flight: char, parts: &[&str]) {
    assert_eq!(story.told(flight), parts.join(" "));
}

/// What a service's canary tells.
fn canary(service: &str) -> String {
    let facts = ["deployed", "started", "step_entered", "step_passed", "step_entered", "step_passed", "promoted"];
    facts.map(|fact| format!("{service}/{fact}")).join(" ")
}

/// `a` serves, and then comes `b`.
fn following(b: impl FnOnce(&mut Story) -> &mut Story) -> Story {
    let mut story = Story::group(&production());
    story.push('a').run();
    b(&mut story);
    story
}

#[track_caller]
fn check_serving(story: &Story, api: &str, web: &str) {
    assert_eq!((story.serving_of("api").as_str(), story.serving_of("web").as_str()), (api, web));
}

#[test]
fn each_service_follows_what_it_needs() {
    let mut story = following(|story| story.push('b'));
    check(&story, 'a', &[BUILT, PASSED, FIRST, "ended:landed"]);
    story.until('b', &Stage::At(of("api"), Standing::Rolling));
    assert_eq!(story.flight('b').standing(&of("web")), Standing::Entering, "it waits for its turn");
    assert!(!story.fleet.is_moving(&of("web")), "and may be scaled meanwhile");
    story.run();
    check(&story, 'b', &[BUILT, PASSED, &canary("api"), &canary("web"), "ended:landed"]);
    check_serving(&story, "b:100", "b:100");
}

#[test]
fn each_environment_is_entered_by_all_before_the_next() {
    let mut story = Story::group(&two_environments(1));
    story.push('a').run();
    let told = story.told('a');
    assert!(told.ends_with("api/checked web/deployed web/started web/promoted web/checked"), "{told}");
    assert!(story.flight('a').waits_at(&environment("production")));
    story.approve('a', "ann").unwrap();
    story.run();
    assert_eq!(story.flight('a').outcome, Some(Outcome::Landed));
}

#[test]
fn what_came_before_a_service_that_fails_goes_back_with_it() {
    let mut story = following(|story| story.push_ill_service('b', "web", Ill::Requests));
    story.run();
    let web = "web/deployed web/started web/step_entered web/failed web/set web/reverted web/withdrawn";
    let back = "api/rollback_ordered api/started api/reverted api/promoted ended:rolled_back author_notified";
    check(&story, 'b', &[BUILT, PASSED, &canary("api"), web, back]);
    check_serving(&story, "a:100", "a:100");
    let Some(Outcome::RolledBack { reason, .. }) = &story.flight('b').outcome else { panic!("it was rolled back") };
    assert!(reason.starts_with("web: step 1 failed"), "{reason}");
    let digest = &story.flight('b').release(&of("api")).unwrap().digest;
    assert_eq!(story.fleet.quarantine(&of("api"), digest), None, "only what failed is to blame");
    assert!(story.fleet.quarantine(&of("web"), digest).is_some());
}

#[test]
fn what_comes_after_a_service_that_fails_never_starts() {
    let mut story = following(|story| story.push_ill_service('b', "api", Ill::Requests));
    story.run();
    let api = "api/deployed api/started api/step_entered api/failed api/set api/reverted api/withdrawn";
    check(&story, 'b', &[BUILT, PASSED, api, "ended:rolled_back author_notified"]);
    check_serving(&story, "a:100", "a:100");
    story.push('c').run();
    check_serving(&story, "c:100", "c:100");
}

#[test]
fn a_first_group_that_fails_leaves_nothing() {
    let mut story = Story::group(&production());
    story.push_ill_service('a', "web", Ill::Unready).run();
    check_serving(&story, "", "");
    assert!(matches!(story.flight('a').outcome, Some(Outcome::RolledBack { .. })));
    story.push('b').run();
    check_serving(&story, "b:100", "b:100");
}

#[test]
fn a_failed_check_takes_all_back() {
    let mut story = Story::group(&two_environments(0));
    story.push('a').run().push_ill_service('b', "web", Ill::Checks).run();
    let told = story.told('b');
    let back = "web/rollback_ordered web/set web/started web/reverted web/promoted \
                api/rollback_ordered api/started api/reverted api/promoted ended:rolled_back author_notified";
    assert!(told.ends_with(back), "{told}");
    check_serving(&story, "a:100", "a:100");
}

#[test]
fn a_service_that_has_not_changed_stays_as_it_is() {
    let mut story = following(|story| story.push_same('b', "api", 'a'));
    story.run();
    check(&story, 'b', &[BUILT, "api/unchanged web/passed", &canary("web"), "ended:landed"]);
    check_serving(&story, "a:100", "b:100");
    // What it left alone is not taken back with it.
    story.roll_back('b', "production", None).unwrap();
    story.run();
    check_serving(&story, "a:100", "a:100");
    assert_eq!(story.flight('a').outcome, Some(Outcome::Landed));
}

#[test]
fn people_take_a_group_back_as_a_whole_in_reverse() {
    let mut story = following(|story| story.push('b'));
    story.run();
    story.roll_back('b', "production", None).unwrap();
    story.run();
    let told = story.told('b');
    let back = "web/rollback_ordered web/set web/started web/reverted web/promoted \
                api/rollback_ordered api/started api/reverted api/promoted ended:rolled_back author_notified";
    assert!(told.ends_with(back), "{told}");
    check_serving(&story, "a:100", "a:100");
}

#[test]
fn a_group_goes_back_to_what_served_with_the_release_that_was_asked_for() {
    let mut story = following(|story| story.push_same('b', "api", 'a'));
    story.run().push('c').run();
    check_serving(&story, "c:100", "c:100");
    story.roll_back('c', "production", Some('b')).unwrap();
    story.run();
    check_serving(&story, "a:100", "b:100");

    let mut story = following(|story| story.push('b'));
    story.run().push('c').run();
    story.roll_back('c', "production", Some('a')).unwrap();
    story.run();
    check_serving(&story, "a:100", "a:100");
}

#[test]
fn what_a_later_release_may_need_is_not_taken_away_from_under_it() {
    let mut story = following(|story| story.push('b'));
    story.run().push_same('c', "api", 'b').run();
    check_serving(&story, "b:100", "c:100");
    let refused = story.roll_back('b', "production", None).unwrap_err();
    assert_eq!(refused, Refusal::LaterServes { by: id('c'), environment: environment("production") });
    // `c` left `api` as `b` had it: it can't go back to what served with `a`.
    let refused = story.roll_back('c', "production", Some('a')).unwrap_err();
    assert_eq!(refused, Refusal::NoWayBack { to: id('a'), environment: environment("production") });
    story.roll_back('c', "production", None).unwrap();
    story.run();
    check_serving(&story, "b:100", "b:100");
}

#[test]
fn an_abort_takes_all_back() {
    let mut story = following(|story| story.push('b'));
    story.until('b', &Stage::At(of("web"), Standing::Rolling));
    story.abort('b').unwrap();
    story.run();
    check_serving(&story, "a:100", "a:100");
    let aborted = Outcome::Aborted { by: "ann".into(), reason: "not today".into() };
    assert_eq!(story.flight('b').outcome, Some(aborted));
}

#[test]
fn one_service_in_quarantine_closes_the_gate_for_all() {
    let mut story = following(|story| story.push_ill_service('b', "web", Ill::Requests));
    story.run();
    story.push_same('c', "web", 'b').run();
    assert!(matches!(story.flight('c').outcome, Some(Outcome::Stopped { .. })), "{}", story.told('c'));
    check_serving(&story, "a:100", "a:100");
}

#[test]
fn nobody_enters_until_the_last_of_a_group_is_back() {
    let mut story = following(|story| story.push_ill_service('b', "web", Ill::Requests));
    story.until('b', &Stage::At(of("web"), Standing::Rolling)).push('c').run();
    let back = |r: &Recorded| {
        r.flight == id('b') && matches!(&r.event, Event::Rollout { event: RolloutEvent::Promoted { .. }, .. })
    };
    let entered = |r: &Recorded| r.flight == id('c') && matches!(&r.event, Event::GatePassed { .. });
    let (back, entered) = (story.journal.iter().rposition(back), story.journal.iter().position(entered));
    assert!(back < entered && entered.is_some(), "{}", story.told('c'));
    check_serving(&story, "c:100", "c:100");
}

#[test]
fn a_group_that_leaves_two_environments_at_once_leaves_both_as_a_whole() {
    let mut story = Story::group(&two_environments(0));
    story.push('a').run().push('b').until('b', &Stage::At(of("web"), Standing::Rolling));
    story.roll_back('b', "production", None).unwrap();
    story.roll_back('b', "test", None).unwrap();
    story.run();
    for place in story.flight('b').places.clone() {
        assert_eq!(story.fleet.current(&place), Some(&id('a')), "{place}: {}", story.told('b'));
    }
}

#[test]
fn a_service_of_a_group_that_can_not_go_back_stays_with_what_came_before_it() {
    let mut story = Story::group(&production());
    story.push('a').run().migrate(true).push_ill_service('b', "web", Ill::Requests).run();
    story.approve('b', "ann").unwrap();
    story.run();
    check_serving(&story, "b:100", "a:100");
    let told = story.told('b');
    assert!(told.contains("api/deployed api/migration_started api/migrated api/started"), "{told}");
    assert!(matches!(story.flight('b').outcome, Some(Outcome::RolledBack { .. })), "{told}");
    let refused = story.roll_back('b', "production", None).unwrap_err();
    assert_eq!(refused, Refusal::NotServing { flight: id('b'), environment: environment("production") });
}

#[test]
fn people_take_a_group_back_past_a_point_of_no_return_when_they_say_so() {
    let mut story = Story::group(&production());
    story.push('a').run().migrate(true).push('b').run();
    story.approve('b', "ann").unwrap();
    story.run();
    check_serving(&story, "b:100", "b:100");
    let refused = story.roll_back('b', "production", None).unwrap_err();
    assert_eq!(refused, Refusal::PastReturn { flight: id('b'), environment: environment("production") });
    story.roll_back_past('b', "production", None).unwrap();
    story.run();
    check_serving(&story, "a:100", "a:100");
}

#[test]
fn a_failed_migration_takes_what_came_before_back() {
    let mut story = Story::group(&production());
    story.push('a').run().migrate(false).push_ill_service('b', "web", Ill::Migration).run();
    check_serving(&story, "a:100", "a:100");
    let told = story.told('b');
    let back = "web/migration_started web/migrated web/set api/rollback_ordered api/started";
    assert!(told.contains(back), "{told}");
}
