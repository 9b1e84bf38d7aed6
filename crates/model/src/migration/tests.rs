//! Flights that migrate: the order of things, every way out, and what lies beyond a point of no return.

use super::*;
use crate::entry::Standing;
use crate::flight::{Effect, Stage};
use crate::gate::{GateState, Missing, gate};
use crate::testing::{Ill, Story, digest, environment, id, production, target, two_environments};
use serde_json::{Value, json};

const BUILT: &str = "opened configured finished recorded";
const ENTERED: &str = "production/passed production/deployed production/migration_started production/migrated";
const CANARY: &str = "production/step_entered production/step_passed production/step_entered production/step_passed";

fn at(name: &str, standing: Standing) -> Stage {
    Stage::At(target(name), standing)
}

#[track_caller]
fn check(story: &Story, flight: char, parts: &[&str]) {
    assert_eq!(story.told(flight), parts.join(" "));
}

/// Production with a watch after the canary, and a check.
fn watched() -> Value {
    let mut environments = production();
    environments[0]["watch"] = json!("20s");
    environments[0]["checks"] = json!([{"get": "/healthz"}]);
    environments
}

/// `a` serves, and the flights after it migrate the data: for good where `for_good` says so.
fn following(environments: &Value, for_good: bool) -> Story {
    let mut story = Story::new(environments);
    story.push('a').run().migrate(for_good);
    story
}

/// Lets a flight in wherever it waits, until nothing more happens.
fn fly(story: &mut Story, flight: char) {
    for _ in 0..4 {
        story.run();
        if story.approve(flight, "ann").is_err() {
            return;
        }
    }
}

fn kept(reason: &str) -> Outcome {
    Outcome::Kept { environment: environment("production"), reason: reason.into() }
}

fn past_return(flight: char) -> Result<(), Refusal> {
    Err(Refusal::PastReturn { flight: id(flight), environment: environment("production") })
}

#[test]
fn a_migration_is_run_after_the_commit_and_before_the_rollout() {
    let mut story = following(&production(), false);
    story.push('b').until('b', &at("production", Standing::Migrating));
    assert_eq!(story.flight('b').plan(), [], "the intent is recorded first");
    assert_eq!(story.serving("production"), "a:100");
    story.decide();
    assert_eq!(story.flight('b').plan(), [Effect::Migrate(target("production"))]);
    assert!(story.flight('b').occupies(&environment("production")), "nobody else enters meanwhile");
    story.run();
    check(&story, 'b', &[BUILT, ENTERED, "production/started", CANARY, "production/promoted ended:landed"]);
    assert_eq!(story.serving("production"), "b:100");
}

#[test]
fn it_is_run_in_each_environment() {
    let mut story = following(&two_environments(0), false);
    story.push('b').run();
    let told = story.told('b');
    let started: Vec<&str> = told.split(' ').filter(|word| word.ends_with("migration_started")).collect();
    assert_eq!(started, ["test/migration_started", "production/migration_started"]);
}

#[test]
fn what_can_not_be_migrated_never_runs() {
    for second in [true, false] {
        let mut story = Story::new(&production());
        if second {
            story.push('a').run();
        }
        story.migrate(false).push_ill('b', Ill::Migration).run();
        let out = "production/set production/reverted ended:rolled_back author_notified";
        check(&story, 'b', &[BUILT, ENTERED, out]);
        let reason = "the migration failed: exit status 1: no such table".to_owned();
        let outcome = Outcome::RolledBack { environment: environment("production"), reason: reason.clone() };
        assert_eq!(story.flight('b').outcome, Some(outcome));
        assert_eq!(story.fleet.quarantine(&target("production"), &digest('b')).unwrap().reason, reason);
        assert_eq!(story.serving("production"), if second { "a:100" } else { "" });
        story.stay().push('c').run();
        assert_eq!(story.serving("production"), "c:100", "the way is free again");
    }
}

#[test]
fn a_person_may_end_it_before_it_has_begun() {
    let mut story = following(&production(), false);
    story.push('b').until('b', &at("production", Standing::Migrating));
    story.abort('b').unwrap();
    story.run();
    let out = "production/migrated production/reverted ended:aborted author_notified";
    assert!(story.told('b').ends_with(out), "{}", story.told('b'));
    assert!(!story.told('b').contains("migration_started"), "{}", story.told('b'));
    assert_eq!(story.serving("production"), "a:100");
}

#[test]
fn a_person_may_end_it() {
    type Order = fn(&mut Story) -> Result<(), Refusal>;
    let orders: [(Order, &str); 2] =
        [(|story| story.abort('b'), ""), (|story| story.roll_back('b', "production", None), "production/set ")];
    for (order, quarantined) in orders {
        let mut story = following(&production(), true);
        story.push('b').until('b', &at("production", Standing::Outside));
        story.approve('b', "ann").unwrap();
        story.until('b', &at("production", Standing::Migrating)).decide();
        order(&mut story).unwrap();
        assert_eq!(story.flight('b').plan(), [Effect::Revert(target("production"))], "it is run no longer");
        story.run();
        let out = format!("{quarantined}production/reverted ended:aborted author_notified");
        check(&story, 'b', &["opened configured finished recorded production/approved", ENTERED, &out]);
        assert_eq!(story.serving("production"), "a:100");
    }
}

#[test]
fn what_is_taken_back_from_one_environment_does_not_go_on_migrating_in_the_next() {
    let mut story = following(&two_environments(0), false);
    story.push('b').until('b', &at("production", Standing::Migrating)).decide();
    story.roll_back('b', "test", None).unwrap();
    story.run();
    assert_eq!((story.serving("test"), story.serving("production")), ("a:100".into(), "a:100".into()));
    assert!(story.told('b').ends_with("ended:rolled_back author_notified"), "{}", story.told('b'));
}

#[test]
fn a_rollback_runs_none() {
    let mut story = following(&production(), false);
    story.push('b').run().stay().push('c').run();
    story.roll_back('c', "production", None).unwrap();
    story.run();
    assert_eq!(story.serving("production"), "b:100");
    assert!(!story.told('c').contains("migrat"), "{}", story.told('c'));
    assert_eq!(story.told('b').matches("migration_started").count(), 1);
}

#[test]
fn what_can_not_be_undone_needs_an_approval_in_each_environment() {
    for (approvals, needed) in [(0, 1), (1, 1), (2, 2)] {
        let mut story = following(&two_environments(approvals), true);
        story.push('b').run();
        let says = |name: &str, needed| {
            let missing = Missing::Approvals { given: 0, needed, point_of_no_return: true };
            assert_eq!(
                gate(&story.fleet, story.flight('b'), &environment(name), &story.holds),
                GateState::Waiting { missing: vec![missing] }
            );
        };
        says("test", 1);
        says("production", needed);
    }
    let mut story = following(&two_environments(0), true);
    story.push('b');
    fly(&mut story, 'b');
    assert_eq!(story.flight('b').outcome, Some(Outcome::Landed));
    assert_eq!(story.told('b').matches("approved").count(), 2);
}

#[test]
fn a_canary_goes_back_by_itself_whatever_it_has_migrated() {
    let mut story = following(&production(), true);
    story.push_ill('b', Ill::Requests);
    fly(&mut story, 'b');
    assert!(matches!(story.flight('b').outcome, Some(Outcome::RolledBack { .. })));
    assert_eq!(story.serving("production"), "a:100");
    story.stay().push('c').run();
    assert_eq!(story.roll_back('c', "production", None), Ok(()), "a served with what b had migrated");
}

#[test]
fn what_fails_past_the_point_serves_on_until_a_person_decides() {
    for (ill, words) in [(Ill::Late, "production/failed"), (Ill::Checks, "production/checked")] {
        let mut story = following(&watched(), true);
        story.push_ill('b', ill);
        fly(&mut story, 'b');
        let told = story.told('b');
        assert!(told.ends_with(&format!("{words} ended:kept author_notified")), "{told}");
        assert_eq!(story.serving("production"), "b:100");
        assert_eq!(story.fleet.quarantine(&target("production"), &digest('b')), None);
        assert_eq!(story.roll_back('b', "production", None), past_return('b'));
        story.roll_back_past('b', "production", None).unwrap();
        story.run();
        assert_eq!(story.serving("production"), "a:100");
        assert!(matches!(story.flight('b').outcome, Some(Outcome::RolledBack { .. })), "{told}");
    }
    let mut story = following(&watched(), true);
    story.push_ill('b', Ill::Checks);
    fly(&mut story, 'b');
    assert_eq!(story.flight('b').outcome, Some(kept("GET /healthz answered 500")));
}

#[test]
fn what_was_kept_goes_no_further_and_its_successor_is_compared_with_it() {
    let mut story = following(&two_environments(0), true);
    story.push_ill('b', Ill::Checks);
    fly(&mut story, 'b');
    assert_eq!((story.serving("test"), story.serving("production")), ("b:100".into(), "a:100".into()));
    story.stay().push('c').run();
    assert_eq!((story.serving("test"), story.serving("production")), ("c:100".into(), "c:100".into()));
    assert_eq!(story.roll_back('c', "test", None), Ok(()), "b serves with its own data");
}

#[test]
fn an_abort_does_not_go_past_the_point_either() {
    let mut story = following(&watched(), true);
    story.push('b').until('b', &at("production", Standing::Outside));
    story.approve('b', "ann").unwrap();
    story.until('b', &at("production", Standing::Watched));
    assert_eq!(story.abort('b'), past_return('b'));
    assert_eq!(story.roll_back('b', "production", None), past_return('b'));
}

#[test]
fn nothing_goes_back_over_a_point_that_lies_between() {
    let mut story = following(&production(), true);
    story.push('b');
    fly(&mut story, 'b');
    story.stay().push('c').run().push('d').run();
    assert_eq!(story.roll_back('d', "production", Some('a')), past_return('b'));
    assert_eq!(story.clone().roll_back('d', "production", Some('b')), Ok(()), "b can read what it has migrated");
    story.roll_back_past('d', "production", Some('a')).unwrap();
    story.run();
    assert_eq!(story.serving("production"), "a:100");
    story.push('e').run();
    assert_eq!(story.roll_back('e', "production", None), Ok(()), "a has served since, as a person has decided");
}

#[test]
fn what_served_before_a_canary_that_migrated_and_left_is_out_of_reach() {
    let mut story = following(&production(), true);
    story.stay().push('b').run().migrate(true).push_ill('c', Ill::Requests);
    fly(&mut story, 'c');
    story.stay().push('d').run();
    assert_eq!(story.serving("production"), "d:100");
    assert_eq!(story.roll_back('d', "production", Some('a')), past_return('c'), "it has never seen that data");
    assert_eq!(story.roll_back('d', "production", Some('b')), Ok(()), "it served while that was migrated");
}

#[test]
fn problems_name_their_place_and_the_way_out() {
    let of = |migration: Value| -> Vec<String> {
        let migration: Migration = serde_json::from_value(migration).unwrap();
        migration.problems(&[]).iter().map(|p| format!("{}: {}", p.path.join("."), p.message)).collect()
    };
    assert_eq!(of(json!({"args": ["migrate"]})), [""; 0]);
    assert_eq!(of(json!({"args": ["migrate"], "timeout": "24h"})), [""; 0]);
    let args = "migration.args: a migration has 1 to 100 arguments of up to 4096 bytes";
    let timeout = "migration.timeout: a migration may take more than no time and up to a day";
    assert_eq!(of(json!({"args": [], "timeout": "0s"})), [args, timeout]);
    assert_eq!(of(json!({"args": ["a\u{0}"], "timeout": "25h"})), [args, timeout]);
}
