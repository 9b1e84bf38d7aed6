//! Releases that enter when a person has merged them.

use serde_json::json;

use super::proposal::{ProposalState, branch};
use super::*;
use crate::event::{Event, Outcome};
use crate::flight::{Effect, Refusal};
use crate::testing::{Ill, Story, commit, environment, id, target, two_environments};

/// Production asks for a merge, and for so many approvals.
fn story(approvals: u32) -> Story {
    let mut environments = two_environments(approvals);
    environments[1]["gate"]["merge"] = json!(true);
    Story::new(&environments)
}

fn state(story: &Story, flight: char) -> Option<ProposalState> {
    let found = story.fleet.proposals(&story.holds).into_iter().find(|proposal| proposal.flight == id(flight))?;
    assert_eq!(found.target, target("production"));
    Some(found.state)
}

#[track_caller]
fn waits(story: &Story, flight: char, missing: Vec<Missing>) {
    let gate = gate(&story.fleet, story.flight(flight), &environment("production"), &story.holds);
    assert_eq!(gate, GateState::Waiting { missing });
}

fn merge() -> Missing {
    Missing::Merge { branch: Some("proposals/production/pad".into()) }
}

fn hold() -> Hold {
    Hold { id: "budget/pad".into(), reason: "the budget is spent".into(), fixes_pass: false }
}

/// Keeps everything out of production.
fn close(story: &mut Story) {
    story.holds.add("pad".parse().unwrap(), Some(environment("production")), hold());
}

#[test]
fn a_release_is_proposed_and_enters_when_a_person_has_merged_it() {
    let mut story = story(0);
    story.push('a').run();
    waits(&story, 'a', vec![merge()]);
    assert_eq!(state(&story, 'a'), Some(ProposalState::Open));
    assert_eq!(story.serving("production"), "");
    assert!(story.flight('a').plan().is_empty(), "it is proposed once");
    story.merge('a').unwrap();
    assert_eq!(state(&story, 'a'), Some(ProposalState::Merged));
    story.run();
    assert_eq!(story.serving("production"), "a:100");
    assert_eq!(story.flight('a').outcome, Some(Outcome::Landed));
    let told = story.told('a');
    assert!(
        told.contains("test/checked production/proposed production/merged production/passed production/deployed"),
        "{told}"
    );
    assert_eq!(story.flight('a').entry(&target("production")).unwrap().merged, Some(commit('4')));
    assert_eq!(state(&story, 'a'), None, "it is inside");
}

#[test]
fn it_can_be_read_before_it_may_be_merged() {
    let mut story = story(1);
    close(&mut story);
    story.push('a').run();
    let approvals = Missing::Approvals { given: 0, needed: 1, point_of_no_return: false };
    let held = Missing::Held { holds: vec![hold()] };
    waits(&story, 'a', vec![approvals.clone(), held.clone(), merge()]);
    assert_eq!(state(&story, 'a'), Some(ProposalState::Waiting(vec![approvals, held.clone()])));
    let early = story.merge('a').unwrap_err();
    assert_eq!(early.to_string(), format!("flight {} does not enter production: it has 0 of 1 approvals", id('a')));
    story.approve('a', "bob").unwrap();
    assert_eq!(state(&story, 'a'), Some(ProposalState::Waiting(vec![held])));
    story.holds = Holds::default();
    assert_eq!(state(&story, 'a'), Some(ProposalState::Open));
    story.merge('a').unwrap();
    story.run();
    assert_eq!(story.flight('a').outcome, Some(Outcome::Landed));
}

#[test]
fn what_was_merged_enters_whatever_keeps_releases_out_since_then() {
    let mut story = story(0);
    story.push('a').run();
    close(&mut story);
    story.merge('a').unwrap();
    story.run();
    assert_eq!(story.serving("production"), "a:100");
    story.push('b').run();
    waits(&story, 'b', vec![Missing::Held { holds: vec![hold()] }, merge()]);
}

#[test]
fn only_what_is_proposed_and_outside_is_merged_and_once_is_enough() {
    let mut story = story(0);
    story.push('a');
    let (production, by) = (environment("production"), "ann");
    let merge = |story: &Story, flight: char, at: &str| {
        story.flight(flight).merge(&story.fleet, &environment(at), &commit('4'), by)
    };
    let nothing = |at: &str| Err(Refusal::NotProposed { flight: id('a'), environment: environment(at) });
    assert_eq!(merge(&story, 'a', "production"), nothing("production"), "it is not read yet");
    story.run();
    assert_eq!(merge(&story, 'a', "test"), nothing("test"), "nobody asks for it there");
    story.merge('a').unwrap();
    assert_eq!(merge(&story, 'a', "production"), Ok(Vec::new()));
    story.run();
    assert_eq!(merge(&story, 'a', "production"), Err(Refusal::Ended { flight: id('a') }));
    assert_eq!(story.journal.iter().filter(|r| matches!(r.event, Event::Merged { .. })).count(), 1);
    assert_eq!(branch(&target("production")), format!("proposals/{production}/pad"));
}

/// A release that serves in production.
fn land(story: &mut Story, flight: char) {
    story.push(flight).run();
    story.merge(flight).unwrap();
    story.run();
    assert_eq!(story.flight(flight).outcome, Some(Outcome::Landed));
}

#[test]
fn what_is_stale_says_why() {
    let mut story = story(0);
    land(&mut story, 'a');
    story.push('b').run().push('c').run();
    let over = |why: &str| Some(ProposalState::Over(why.to_owned()));
    let (b, c) = (id('b').short().to_owned(), id('c').short().to_owned());
    assert_eq!(state(&story, 'b'), over(&format!("flight {b} gave way to flight {c}")));
    assert_eq!(story.merge('b'), Err(Refusal::Ended { flight: id('b') }));
    assert_eq!(state(&story, 'c'), Some(ProposalState::Open));
    story.abort('c').unwrap();
    assert_eq!(state(&story, 'c'), over(&format!("flight {c} was ended by ann: not today")));
    assert!(!state(&story, 'c').unwrap().is_alive());
    story.run();
    // An image that has failed there is not let in, merged or not.
    story.push_ill('d', Ill::Requests).run();
    story.merge('d').unwrap();
    story.run();
    story.push('e').same_image('e', 'd').run();
    assert!(matches!(story.flight('e').outcome, Some(Outcome::Stopped { .. })), "{}", story.told('e'));
    assert_eq!(state(&story, 'e'), None, "it was stopped before it was proposed");
}

#[test]
fn a_flight_that_was_merged_waits_for_the_one_that_leaves() {
    let mut story = story(0);
    land(&mut story, 'a');
    land(&mut story, 'b');
    story.push('c').run();
    story.roll_back('b', "production", None).unwrap();
    story.merge('c').unwrap();
    waits(&story, 'c', vec![Missing::Occupied { by: id('b') }]);
    story.run();
    assert_eq!(story.serving("production"), "c:100");
    assert_eq!(story.flight('c').entry(&target("production")).unwrap().replaces, Some(id('a')));
}

#[test]
fn nothing_is_proposed_where_nobody_asks_for_it() {
    let mut story = Story::new(&two_environments(1));
    story.push('a').run();
    assert!(story.fleet.proposals(&story.holds).is_empty());
    assert!(!story.flight('a').plan().iter().any(|effect| matches!(effect, Effect::Propose(_))));
}

#[test]
fn a_group_is_not_proposed() {
    let image = json!({"artifact": "pad", "binary": "pad"});
    let group: Service = serde_json::from_value(json!({
        "version": 1, "service": "shop", "services": [{"name": "web", "image": image}, {"name": "api", "image": image}],
        "environments": [{"name": "test"}, {"name": "production", "gate": {"merge": true}}],
    }))
    .unwrap();
    let found: Vec<String> = group.problems().iter().map(|p| format!("{}: {}", p.path.join("."), p.message)).collect();
    assert_eq!(
        found,
        [
            "environments.1.gate.merge: the services of a group enter one after the other, and a proposal would be of one"
        ]
    );
}
