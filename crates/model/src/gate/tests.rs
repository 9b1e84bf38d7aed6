//! Who may enter when.

use super::*;
use crate::entry::Standing;
use crate::event::Outcome;
use crate::flight::{Refusal, Stage};
use crate::testing::{Ill, Story, digest, environment, id, production, target, two_environments};

fn at_gate(name: &str) -> Stage {
    Stage::At(target(name), Standing::Outside)
}

fn rolling(name: &str) -> Stage {
    Stage::At(target(name), Standing::Rolling)
}

/// What production's gate says to a flight.
#[track_caller]
fn check(story: &Story, flight: char, expected: &GateState) {
    assert_eq!(gate(&story.fleet, story.flight(flight), &environment("production"), &story.holds), *expected);
}

fn waiting(missing: Vec<Missing>) -> GateState {
    GateState::Waiting { missing }
}

#[test]
fn as_many_people_as_needed_must_approve() {
    let mut story = Story::new(&two_environments(2));
    story.push('a').run();
    check(&story, 'a', &waiting(vec![Missing::Approvals { given: 0, needed: 2, point_of_no_return: false }]));
    story.approve('a', "ann").unwrap();
    story.run();
    check(&story, 'a', &waiting(vec![Missing::Approvals { given: 1, needed: 2, point_of_no_return: false }]));
    let again = story.approve('a', "ann").unwrap_err();
    assert_eq!(again, Refusal::ApprovedBefore { by: "ann".into(), environment: environment("production") });
    check(&story, 'a', &waiting(vec![Missing::Approvals { given: 1, needed: 2, point_of_no_return: false }]));
    story.approve('a', "bob").unwrap();
    check(&story, 'a', &GateState::Open);
    story.run();
    assert_eq!(story.flight('a').outcome, Some(Outcome::Landed));
}

#[test]
fn an_approval_may_be_given_ahead_but_only_where_one_is_asked_for() {
    let mut story = Story::new(&two_environments(1));
    story.push('a').until('a', &Stage::Building);
    let named = |name: &str, story: &mut Story| story.approve_in('a', Some(name), "ann");
    assert_eq!(story.approve('a', "ann").unwrap_err(), Refusal::NothingToApprove { flight: id('a') });
    assert_eq!(named("test", &mut story).unwrap_err(), Refusal::NothingToApprove { flight: id('a') });
    assert!(matches!(named("prod", &mut story).unwrap_err(), Refusal::NoEnvironment { .. }));
    named("production", &mut story).unwrap();
    story.run();
    assert_eq!(story.flight('a').outcome, Some(Outcome::Landed));
    assert_eq!(story.approve('a', "bob").unwrap_err(), Refusal::Ended { flight: id('a') });
}

#[test]
fn nobody_approves_for_an_environment_that_is_not_known_yet() {
    let mut story = Story::new(&two_environments(1));
    story.push('a');
    let early = story.approve_in('a', Some("production"), "ann");
    assert_eq!(early.unwrap_err(), Refusal::NothingToApprove { flight: id('a') });
    assert!(story.flight('a').entries.is_empty());
}

#[test]
fn one_flight_at_a_time_is_inside() {
    let mut story = Story::new(&production());
    story.push('a').run().push('b').until('b', &rolling("production")).push('c').until('c', &at_gate("production"));
    story.decide();
    check(&story, 'c', &waiting(vec![Missing::Occupied { by: id('b') }]));
    assert_eq!(story.serving("production"), "a:90 b:10");
    story.run();
    assert_eq!(story.flight('b').outcome, Some(Outcome::Landed));
    assert_eq!(story.flight('c').outcome, Some(Outcome::Landed));
    assert_eq!(story.flight('c').entry(&target("production")).unwrap().replaces, Some(id('b')));
}

#[test]
fn an_environment_is_free_again_only_when_git_is_right() {
    let mut story = Story::new(&production());
    story.push('a').run().push_ill('b', Ill::Requests).until('b', &rolling("production")).push('c');
    story.until('b', &Stage::At(target("production"), Standing::Leaving));
    check(&story, 'c', &waiting(vec![Missing::Occupied { by: id('b') }]));
    story.run();
    let reverted = story.journal.iter().position(|r| matches!(r.event, crate::event::Event::Reverted { .. })).unwrap();
    let entered =
        |r: &crate::event::Recorded| r.flight == id('c') && matches!(r.event, crate::event::Event::GatePassed { .. });
    assert!(reverted < story.journal.iter().position(entered).unwrap(), "{}", story.told('c'));
    assert_eq!(story.flight('c').entry(&target("production")).unwrap().replaces, Some(id('a')));
}

#[test]
fn quarantine_closes_the_gate_and_lifting_it_opens_it() {
    let mut story = Story::new(&production());
    story.push('a').run().push_ill('b', Ill::Requests).run();
    let reason = "step 1 failed: 10 of 20 (50%) requests failed, of the stable version's 0 of 180 (0%); chance alone does that in \
             less than 1 of 1000000000 rollouts".to_owned();
    story.push('c').same_image('c', 'b').until('c', &at_gate("production"));
    check(&story, 'c', &GateState::Closed { reason: Closure::Quarantined { reason: reason.clone() } });
    story.run();
    let stopped = Outcome::Stopped {
        environment: environment("production"),
        reason: format!("the digest is in quarantine: {reason}"),
    };
    assert_eq!(story.flight('c').outcome, Some(stopped));
    assert_eq!(story.told('c'), "opened configured finished recorded ended:stopped author_notified");

    story.lift('b', "production");
    assert_eq!(story.fleet.quarantine(&target("production"), &digest('b')), None);
    story.push('d').same_image('d', 'b').until('d', &at_gate("production"));
    check(&story, 'd', &GateState::Open);
    story.run();
    assert_eq!(story.flight('d').outcome, Some(Outcome::Landed));
}

#[test]
fn quarantine_is_of_one_environment() {
    let mut story = Story::new(&two_environments(0));
    story.push('a').run().push_ill('b', Ill::Requests).run();
    assert!(story.fleet.quarantine(&target("production"), &digest('b')).is_some());
    story.push('c').same_image('c', 'b').run();
    assert_eq!(
        story.told('c'),
        "opened configured finished recorded test/passed test/deployed test/started test/promoted test/checked \
         ended:stopped author_notified"
    );
}

#[test]
fn a_later_flight_at_the_gate_goes_first() {
    let mut story = Story::new(&two_environments(1));
    story.push('a').run().push('b').run();
    assert_eq!(story.flight('a').outcome, Some(Outcome::Superseded { by: id('b') }));
    check(&story, 'b', &waiting(vec![Missing::Approvals { given: 0, needed: 1, point_of_no_return: false }]));
    story.approve('b', "ann").unwrap();
    story.run();
    assert_eq!(story.serving("production"), "b:100");
}

#[test]
fn an_earlier_flight_never_replaces_a_later_one() {
    let mut story = Story::new(&two_environments(1));
    story.push('a').run().push('b').until('b', &rolling("test"));
    story.approve_in('b', Some("production"), "ann").unwrap();
    story.run();
    assert_eq!(story.flight('b').outcome, Some(Outcome::Landed));
    assert_eq!(story.flight('a').outcome, Some(Outcome::Superseded { by: id('b') }));
    check(&story, 'a', &GateState::Closed { reason: Closure::Superseded { by: id('b') } });
}

fn hold(name: &str, fixes_pass: bool) -> Hold {
    Hold { id: name.into(), reason: "the budget of pad-availability is spent".into(), fixes_pass }
}

fn held(holds: &[Hold]) -> GateState {
    waiting(vec![Missing::Held { holds: holds.to_vec() }])
}

/// Of production alone, of every environment, and of another service.
fn holding(service: &str, at: Option<&str>, holds: &[Hold]) -> Holds {
    let mut all = Holds::default();
    for hold in holds {
        all.add(service.parse().unwrap(), at.map(environment), hold.clone());
    }
    all
}

#[test]
fn a_feature_waits_while_it_is_held_and_enters_when_it_is_not() {
    let budget = hold("budget/pad-availability", true);
    for at in [None, Some("production")] {
        let mut story = Story::new(&two_environments(0));
        story.holds = holding("pad", at, std::slice::from_ref(&budget));
        story.push('a').run();
        check(&story, 'a', &held(std::slice::from_ref(&budget)));
        assert_eq!(story.serving("test"), "a:100", "where releases are tried they still are");
        assert_eq!(story.serving("production"), "");
        story.holds = Holds::default();
        story.run();
        assert_eq!(story.flight('a').outcome, Some(Outcome::Landed));
    }
    let mut story = Story::new(&production());
    story.holds = holding("pad", None, std::slice::from_ref(&budget));
    story.push('a').run();
    check(&story, 'a', &held(std::slice::from_ref(&budget)));
    story.holds = holding("mill", None, std::slice::from_ref(&budget));
    check(&story, 'a', &GateState::Open);
    story.holds = holding("pad", Some("test"), &[budget]);
    check(&story, 'a', &GateState::Open);
}

#[test]
fn a_fix_passes_what_lets_fixes_pass_and_nothing_else() {
    let (budget, action) = (hold("budget/pad-availability", true), hold("action/INC-3-1", false));
    let mut story = Story::new(&two_environments(0));
    story.holds = holding("pad", None, &[budget.clone(), action.clone()]);
    story.push_fix('a').run();
    check(&story, 'a', &held(std::slice::from_ref(&action)));
    story.holds = holding("pad", None, std::slice::from_ref(&budget));
    story.run();
    assert_eq!(story.flight('a').outcome, Some(Outcome::Landed));
    story.push('b').run();
    check(&story, 'b', &held(&[budget]));
}

#[test]
fn what_is_inside_is_not_held_and_goes_back_as_ever() {
    let mut story = Story::new(&production());
    story.push('a').run().push_ill('b', Ill::Requests).until('b', &rolling("production"));
    story.holds = holding("pad", None, &[hold("budget/x", false)]);
    story.run();
    assert_eq!(story.serving("production"), "a:100");
    assert!(matches!(story.flight('b').outcome, Some(Outcome::RolledBack { .. })));
}

#[test]
fn a_person_lets_one_flight_past_one_hold_with_a_reason() {
    let (budget, action) = (hold("budget/pad-availability", true), hold("action/INC-3-1", false));
    let mut story = Story::new(&two_environments(0));
    story.holds = holding("pad", None, &[budget.clone(), action.clone()]);
    story.push('a').run();
    let over = |story: &mut Story, at: Option<&str>, hold: &str, reason: &str| {
        let (holds, at) = (story.holds.clone(), at.map(environment));
        story.order('a', |flight, _| flight.override_hold(&holds, (at.as_ref(), hold), "ann", reason))
    };
    assert_eq!(over(&mut story, None, &budget.id, " "), Err(Refusal::NoReason));
    let unknown = over(&mut story, None, "budget/mill", "it is late").unwrap_err();
    assert_eq!(
        unknown.to_string(),
        format!(
            "flight {} is not held by \"budget/mill\" in production, but by budget/pad-availability, action/INC-3-1",
            id('a')
        )
    );
    let not_there = over(&mut story, Some("test"), &budget.id, "it is late").unwrap_err();
    assert!(not_there.to_string().ends_with("in test"), "{not_there}");
    over(&mut story, None, &budget.id, "the customer waits").unwrap();
    check(&story, 'a', &held(std::slice::from_ref(&action)));
    assert!(matches!(over(&mut story, None, &budget.id, "again"), Err(Refusal::NotHeld { .. })), "once is enough");
    over(&mut story, Some("production"), &action.id, "it is done").unwrap();
    story.run();
    assert_eq!(story.flight('a').outcome, Some(Outcome::Landed));
    assert!(
        story.told('a').contains("production/overridden production/overridden production/passed"),
        "{}",
        story.told('a')
    );
    story.push('b').run();
    check(&story, 'b', &held(&[budget, action]));
}

#[test]
fn who_may_let_a_flight_past_is_the_environment_s_to_say() {
    let environments = serde_json::json!([{"name": "production", "gate": {"overrides_by": ["ann", "bob"]}}]);
    let mut story = Story::new(&environments);
    story.holds = holding("pad", None, &[hold("budget/x", true)]);
    story.push('a').run();
    let holds = story.holds.clone();
    let over = |by: &'static str| {
        let holds = holds.clone();
        move |flight: &Flight, _: &Fleet| flight.override_hold(&holds, (None, "budget/x"), by, "it is late")
    };
    let refused = story.order('a', over("eve")).unwrap_err();
    assert_eq!(refused.to_string(), "eve may not let a flight past what holds it in production, only ann, bob may");
    story.order('a', over("bob")).unwrap();
    story.run();
    assert_eq!(story.flight('a').outcome, Some(Outcome::Landed));
}

fn zones(name: &str) -> Option<jiff::tz::TimeZone> {
    jiff::tz::TimeZone::get(name).ok()
}

/// What keeps a flight out of production at a time by the gate's own rules.
#[track_caller]
fn kept_out(story: &Story, at: &str) -> Vec<String> {
    let mut holds = Holds::default();
    holds.add_promotion(&story.fleet, at.parse().unwrap(), &zones);
    holds
        .on(story.flight('a'), &environment("production"))
        .into_iter()
        .map(|h| format!("{}: {}", h.id, h.reason))
        .collect()
}

/// A story at production's gate with these rules beside an approval.
fn ruled(rules: &serde_json::Value) -> Story {
    let mut environments = two_environments(1);
    let gate = environments[1]["gate"].as_object_mut().unwrap();
    gate.extend(rules.as_object().unwrap().clone());
    let mut story = Story::new(&environments);
    story.push('a').run();
    story
}

#[test]
fn releases_enter_in_the_hours_of_a_wall_clock() {
    let story = ruled(&serde_json::json!({"windows": [
        {"time_zone": "Europe/Berlin", "hours": [{"days": ["mon", "fri"], "from": "09:00", "until": "16:00"}]},
        {"time_zone": "America/New_York", "hours": [{"days": ["sat"], "from": "22:00", "until": "02:00"}]},
    ]}));
    let open: [&str; 0] = [];
    // 2026-10-23 is a Friday in summer time, 2026-10-26 a Monday after it.
    assert_eq!(kept_out(&story, "2026-10-23T07:00:00Z"), open);
    assert_eq!(kept_out(&story, "2026-10-23T13:59:59Z"), open);
    let closed = |next: &str| vec![format!("window/production: releases do not enter at this hour, again from {next}")];
    assert_eq!(kept_out(&story, "2026-10-23T14:00:00Z"), closed("2026-10-25T02:00:00Z"));
    assert_eq!(kept_out(&story, "2026-10-25T05:59:00Z"), open);
    assert_eq!(kept_out(&story, "2026-10-25T06:00:00Z"), closed("2026-10-26T08:00:00Z"));
    assert_eq!(kept_out(&story, "2026-10-26T08:00:00Z"), open);
}

#[test]
fn nothing_enters_while_it_is_frozen() {
    let freeze = serde_json::json!({"from": "2026-12-20T18:00", "until": "2027-01-04T08:00", "time_zone": "Europe/Berlin", "reason": "year's end"});
    let story = ruled(&serde_json::json!({"freezes": [freeze]}));
    let frozen = ["freeze/production: it is frozen until 2027-01-04T07:00:00Z: year's end"];
    assert!(kept_out(&story, "2026-12-20T16:59:59Z").is_empty());
    assert_eq!(kept_out(&story, "2026-12-20T17:00:00Z"), frozen);
    assert_eq!(kept_out(&story, "2027-01-04T06:59:59Z"), frozen);
    assert!(kept_out(&story, "2027-01-04T07:00:00Z").is_empty());
}

#[test]
fn a_release_serves_elsewhere_for_a_while_first() {
    let rules = serde_json::json!({"soak": "2h"});
    let story = ruled(&rules);
    let served = story.flight('a').entry(&target("test")).unwrap().times["rollout.promoted"];
    let at = |minutes: i64| (served + jiff::SignedDuration::from_mins(minutes)).to_string();
    let over = served + jiff::SignedDuration::from_hours(2);
    let soaks = vec![format!("soak/production: it has to serve in test for 2h first, which is over at {over:.0}")];
    assert_eq!(kept_out(&story, &at(0)), soaks);
    assert_eq!(kept_out(&story, &at(119)), soaks);
    assert!(kept_out(&story, &at(120)).is_empty());
    // It is known before it gets there, so that it can't slip through between two looks.
    let mut early = Story::new(&{
        let mut environments = two_environments(0);
        environments[1]["gate"] = rules;
        environments
    });
    early.push('a').until('a', &Stage::Building);
    assert_eq!(kept_out(&early, &at(0)), ["soak/production: it has to serve in test for 2h first"]);
}

#[test]
fn a_gate_whose_clock_is_not_known_stays_shut() {
    let story = ruled(&serde_json::json!({"windows": [{"time_zone": "Mars/Olympus", "hours": [{}]}]}));
    assert_eq!(
        kept_out(&story, "2026-10-23T07:00:00Z"),
        ["window/production: this machine knows no time zone \"Mars/Olympus\""]
    );
}

#[test]
fn who_may_approve_is_the_environment_s_to_say_and_never_whoever_wrote_it() {
    let mut story = ruled(&serde_json::json!({"approvals_by": ["ann", "bob"]}));
    let refused = story.approve('a', "eve").unwrap_err();
    assert_eq!(refused.to_string(), "eve may not approve for production, only ann, bob may");
    story.approve('a', "bob").unwrap();
    for (by, rules, good) in [
        ("Dora", serde_json::json!({}), false),
        ("DORA@example.com", serde_json::json!({}), false),
        ("dora", serde_json::json!({"author_may_approve": true}), true),
        ("dora", serde_json::json!({"approvals_by": ["dora"]}), false),
    ] {
        let given = ruled(&rules).approve('a', by);
        assert_eq!(given.is_ok(), good, "{by} {rules}: {given:?}");
    }
}
