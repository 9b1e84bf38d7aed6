//! What is found in a post-mortem, and that a draft says what is known and blames nobody.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::*;
use crate::incident::{Changes, Declare, Entry, Incidents, Kind, Order, Origin, Severity, Way};
use crate::stored::Fold as _;
use crate::testing::{Story, id, production, target};

fn names() -> BTreeSet<String> {
    ["Ada Example", "bob", "Al"].map(str::to_owned).into()
}

fn found(text: &str) -> Vec<String> {
    let place = |one: &crate::Diagnostic| format!("{}:{} {}", one.line, one.column, one.message);
    lint("pm.md", text, &names()).iter().map(place).collect()
}

#[test]
fn sentences_that_judge_are_found_where_they_stand() {
    assert_eq!(found("The check\nshould\nhave run."), ["2:1 \"should have\" judges people"]);
    assert_eq!(found("It was human error."), ["1:8 \"human error\" judges people"]);
    assert_eq!(found("- Ada broke it"), ["1:3 a person is named beside \"broke\""]);
    assert_eq!(found("This was caused by Ada Example."), ["1:20 a person is named beside \"caused\""]);
    assert_eq!(
        found("Bob\u{2019}s fault, really"),
        ["1:1 \"'s fault\" judges people", "1:1 a person is named beside \"fault\""]
    );
    assert_eq!(found("| 12:00 | Ada did not test |"), ["1:11 a person is named beside \"not\""]);
    assert_eq!(found("Über Ada wrongly"), ["1:6 a person is named beside \"wrongly\""]);
}

#[test]
fn what_happened_is_not() {
    for good in [
        "",
        "Ada rolled the release back after four minutes.",
        "The canary failed. Ada took it back.",
        "The release failed, and Ada took it back.",
        "Al failed over to the other region: too short to be sure of a name.",
        "```\nAda broke it\n```\n",
        "`should have` is what is looked for",
        "<!-- Ada should have\nforgot to -->",
        "See https://example.com/human-error for more",
        "A check should run. Have it run.",
        "The lock should hold\n\nhave a look",
    ] {
        assert_eq!(found(good), [""; 0], "{good:?}");
    }
}

#[test]
fn hostile_texts_are_read_to_their_end() {
    let huge = "should have ".repeat(100_000);
    assert!(lint("pm.md", &huge, &names()).len() >= 200);
    for text in ["```", "<!--", "`", "|", "\u{0}", "é".repeat(10_000).as_str(), "- ".repeat(10_000).as_str()] {
        assert_eq!(found(text), [""; 0]);
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

#[test]
fn a_draft_names_the_commit_that_was_taken_back_and_blames_nobody() {
    let mut story = Story::new(&production());
    story.push('a').run();
    story.push('b').run();
    let mut changes = Changes::default();
    for fact in &story.journal {
        changes.apply(fact);
    }
    let mut known = Incidents::default();
    let take = |facts: Vec<crate::incident::IncidentEvent>, known: &mut Incidents, second| {
        for fact in &facts {
            known.apply(fact, at(second));
        }
    };
    let declare = Declare {
        title: "orders <b>lost</b> | all".into(),
        severity: Severity::Sev1,
        target: target("production"),
        since: Some(at(-90)),
        origin: Origin::Person { by: "ann".into() },
    };
    let facts = known.declare(&declare, at(0)).unwrap();
    take(facts, &mut known, 0);
    let inc = "INC-1".parse().unwrap();
    let way = Way::Rollback {
        service: target("production").service,
        environment: target("production").environment,
        flight: id('b'),
    };
    let facts = known.begin_mitigation(inc, way, "ann").unwrap();
    take(facts, &mut known, 5);
    let facts = known.settle(|_, _| true);
    take(facts, &mut known, 30);
    assert!(known.settle(|_, _| true).is_empty(), "once");
    let facts = known.decide(inc, &Order::Resolve { cause: "a lock".into() }, "ann", at(60)).unwrap();
    take(facts, &mut known, 60);
    let incident = known.incident(inc).unwrap();
    let note = Entry { at: at(3), kind: Kind::Note, text: "it\nburns".into(), by: Some("bob".into()), flight: None };
    let culprit = culprit(&changes, incident);
    let text = draft(Draft { incident, culprit, timeline: &[note], actions: &[], now: at(100) });
    for line in [
        "# INC-1: orders &lt;b>lost&lt;/b> \\| all",
        "- Severity: SEV1",
        "- Service: pad in production",
        "- Mitigated: 2027-01-15 08:00:30, after 2 min 0 s",
        "- Resolved: 2027-01-15 08:01:00, after 2 min 30 s",
        "- Users were hurt for 2 minutes.",
        "| 2027-01-15 08:00:03 | it burns (bob) |",
        "a lock",
    ] {
        assert!(text.lines().any(|written| written == line), "no {line:?} in {text}");
    }
    assert!(text.contains(&"b".repeat(40)) && !text.contains("<b>"));
    assert!(lint("draft.md", &text, &["ann".to_owned()].into()).is_empty());
}
