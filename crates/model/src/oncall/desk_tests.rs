//! Pages from alerts: one for a group, told until somebody takes it, over when the alerts are.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::page::State;
use super::*;
use crate::alert::{Alert, Cause};
use crate::stored::Fact as _;

fn zones(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

fn rota() -> Rota {
    let layer = |person: &str| json!({"name": "week", "from": "2026-01-05T09:00", "every": "1w", "people": [person]});
    serde_json::from_value(json!({
        "version": 1,
        "people": {"ann": {"receiver": "ann"}, "bob": {"receiver": "bob"}},
        "schedules": [
            {"name": "primary", "time_zone": "UTC", "layers": [layer("ann")]},
            {"name": "secondary", "time_zone": "UTC", "layers": [layer("bob")]},
        ],
        "escalations": {"pad": {"repeat": 0, "steps": [{"schedules": ["primary"]}, {"schedules": ["secondary"]}]}},
    }))
    .unwrap()
}

/// A desk, what time it is, and the facts so far.
struct Story {
    desk: Desk,
    rota: Rota,
    now: Timestamp,
    facts: Vec<PageFact>,
}

impl Story {
    fn new() -> Self {
        Self { desk: Desk::default(), rota: rota(), now: "2026-02-01T00:00:00Z".parse().unwrap(), facts: Vec::new() }
    }

    fn take(&mut self, facts: Vec<PageFact>) {
        for fact in facts {
            self.desk.apply(&fact, self.now);
            self.facts.push(fact);
        }
    }

    fn settle(&mut self) {
        loop {
            let facts = self.desk.decide(&self.rota, &zones, self.now);
            if facts.is_empty() {
                return;
            }
            self.take(facts);
        }
    }

    fn after(&mut self, minutes: i64) -> &mut Self {
        self.now += SignedDuration::from_mins(minutes);
        self.settle();
        self
    }

    /// Alerts' routing says that so many fire.
    fn fire(&mut self, count: usize, cause: Cause) -> &mut Self {
        let facts = self.desk.notified(&Notified {
            escalation: "pad".into(),
            group: "{}:{}".into(),
            firing: (0..count).map(|n| alert(n, self.now)).collect(),
            cause,
        });
        self.take(facts);
        self.settle();
        self
    }

    /// Everybody who is to be told now, as `P-1 ann` or `P-1 ann: end`.
    fn calls(&self) -> Vec<String> {
        let shown =
            |call: CallKey| format!("{} {}{}", call.page, call.person, if call.step.is_none() { ": end" } else { "" });
        self.desk.plan().into_iter().map(shown).collect()
    }

    /// All of them are told.
    fn tell(&mut self) -> &mut Self {
        let facts = self.desk.plan().iter().map(CallKey::reached).collect();
        self.take(facts);
        self.settle();
        self
    }

    fn state(&self, page: u64) -> &State {
        &self.desk.page(fact::PageId(page)).unwrap().page.state
    }

    fn count(&self, event_type: &str) -> usize {
        self.facts.iter().filter(|fact| fact.encode().0 == event_type).count()
    }
}

fn alert(n: usize, at: Timestamp) -> Alert {
    Alert {
        labels: [("alertname", "QueueIsDeep"), ("severity", "page"), ("queue", &*n.to_string())].into_iter().collect(),
        annotations: [("summary".to_owned(), "it is deep".to_owned())].into(),
        starts_at: at,
        ends_at: at + SignedDuration::from_mins(4),
        timeout: true,
        updated_at: at,
        generator_url: String::new(),
    }
}

#[test]
fn a_storm_of_alerts_is_one_page_and_its_end_is_told_to_whom_it_reached() {
    let mut story = Story::new();
    story.fire(1, Cause::First);
    assert_eq!(story.calls(), ["P-1 ann"]);
    story.fire(1, Cause::First).tell().fire(10_000, Cause::Changed).fire(10_000, Cause::Repeat);
    assert_eq!((story.calls(), story.count("page.opened"), story.count("page.changed")), (vec![], 1, 1));
    let about = &story.desk.page(fact::PageId(1)).unwrap().about;
    assert_eq!((about.title.as_str(), about.alerts.len(), about.alerts_count), ("QueueIsDeep: it is deep", 20, 10_000));
    story.fire(0, Cause::Resolved);
    assert_eq!(story.calls(), ["P-1 ann: end"], "bob was never told");
    story.tell();
    assert_eq!(story.calls(), Vec::<String>::new());
    story.fire(1, Cause::First);
    assert_eq!(story.calls(), ["P-2 ann"], "it hurts again");
}

#[test]
fn who_is_not_reached_is_tried_beside_the_next_and_who_can_not_be_is_not_waited_for() {
    let mut story = Story::new();
    story.fire(1, Cause::First).after(5);
    assert_eq!(story.calls(), ["P-1 ann", "P-1 bob"]);
    let mut story = Story::new();
    story.fire(1, Cause::First);
    let missed = story.desk.plan()[0].missed("status 404".into());
    story.take(vec![missed]);
    story.settle();
    assert_eq!(story.calls(), ["P-1 bob"], "at once");
}

#[test]
fn nobody_is_told_once_somebody_has_taken_it() {
    let mut story = Story::new();
    story.fire(1, Cause::First);
    let taken = story.desk.answer(fact::PageId(1), |page| page.acknowledge("bob")).unwrap();
    story.take(vec![taken]);
    story.after(60).fire(3, Cause::Repeat);
    assert_eq!((story.calls(), story.count("page.escalated")), (vec![], 0));
    let refused = story.desk.answer(fact::PageId(9), |page| page.acknowledge("bob")).unwrap_err();
    assert_eq!(refused.to_string(), "there is no page P-9");
}

#[test]
fn what_nobody_answered_is_told_again_while_it_hurts() {
    let mut story = Story::new();
    story.fire(1, Cause::First).tell().after(5).tell().after(5);
    assert_eq!(story.state(1), &State::Exhausted);
    story.fire(1, Cause::Repeat);
    assert_eq!(story.calls(), ["P-1 ann"]);
}

#[test]
fn a_page_without_its_escalation_stays_open() {
    let mut story = Story::new();
    story.rota.escalations.clear();
    story.fire(1, Cause::First).after(600);
    assert_eq!((story.state(1), story.count("page.exhausted")), (&State::Exhausted, 1));
}

#[test]
fn ended_pages_are_forgotten_in_the_end_and_names_are_never_given_twice() {
    let mut story = Story::new();
    for _ in 0..1_100 {
        story.fire(1, Cause::First).fire(0, Cause::Resolved);
    }
    assert_eq!(story.desk.pages().count(), 1_000);
    assert_eq!(story.fire(1, Cause::First).calls(), ["P-1101 ann"]);
}

#[test]
fn facts_name_their_page() {
    let fact = PageFact { page: fact::PageId(7), event: page::PageEvent::Awoke };
    let (event_type, payload) = fact.encode();
    assert_eq!((event_type.as_str(), &payload), ("page.awoke", &json!({"page": "P-7"})));
    assert_eq!(PageFact::decode(&event_type, 1, payload).unwrap(), fact);
    assert!(PageFact::decode("page.told", 1, json!({"page": "P-7", "step": 1})).is_err());
    assert!(PageFact::decode("page.awoke", 1, json!({})).is_err());
}
