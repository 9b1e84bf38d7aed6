//! The state machine on any orders in any order, what is refused, and what suspects are named.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::ids::Target;
use crate::stored::{Fact, Fold as _};
use crate::testing::{Ill, Story, id, production, target};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn declared() -> Declare {
    Declare {
        title: "orders are lost".to_owned(),
        severity: Severity::Sev2,
        target: target("production"),
        since: Some(at(-300)),
        origin: Origin::Person { by: "ann".to_owned() },
    }
}

fn inc(number: u32) -> IncidentId {
    IncidentId::new(number)
}

/// The state, and what is taken in.
#[derive(Default)]
struct Desk {
    known: Incidents,
    facts: Vec<(Timestamp, IncidentEvent)>,
}

impl Desk {
    fn open() -> Self {
        let mut desk = Self::default();
        let facts = desk.known.declare(&declared(), at(0)).unwrap();
        desk.take(facts, at(0));
        desk
    }

    fn take(&mut self, facts: Vec<IncidentEvent>, now: Timestamp) {
        for fact in facts {
            self.known.apply(&fact, now);
            self.facts.push((now, fact));
        }
    }

    fn order(&mut self, second: i64, order: &Order) -> Result<String, Refusal> {
        let facts = self.known.decide(inc(1), order, "ann", at(second))?;
        let names: Vec<String> = facts.iter().map(|fact| fact.encode().0).collect();
        self.take(facts, at(second));
        Ok(names.join(" "))
    }

    fn incident(&self) -> &Incident {
        self.known.incident(inc(1)).unwrap()
    }
}

fn stage(to: Stage) -> Order {
    Order::Stage { to }
}

fn resolve() -> Order {
    Order::Resolve { cause: "a lock was held too long".to_owned() }
}

#[test]
fn names_are_a_word_and_a_number() {
    assert_eq!("inc-12".parse::<IncidentId>().unwrap(), inc(12));
    assert_eq!(inc(12).to_string(), "INC-12");
    for bad in ["", "INC", "INC-", "INC-0", "INC-01", "INC--1", "INC-+1", "ACT-1", "INC-4294967296", "INC-1 "] {
        bad.parse::<IncidentId>().unwrap_err();
    }
}

#[test]
fn work_goes_forward_says_what_it_leaves_out_and_is_measured() {
    let mut desk = Desk::open();
    assert_eq!(desk.incident().stage, Stage::Declare, "a person has looked");
    assert_eq!(desk.order(60, &stage(Stage::Investigate)).unwrap(), "incident.stage_changed");
    assert!(matches!(&desk.facts[1].1, IncidentEvent::StageChanged { skipped, .. } if *skipped == [Stage::Mitigate]));
    let refused = desk.order(61, &stage(Stage::Mitigate)).unwrap_err();
    assert_eq!(refused, Refusal::Backwards { incident: inc(1), at: Stage::Investigate, to: Stage::Mitigate });
    assert_eq!(desk.order(62, &stage(Stage::Resolve)).unwrap_err(), Refusal::ResolvedByCause { incident: inc(1) });
    assert_eq!(desk.order(120, &Order::Mitigated { how: "more replicas".into() }).unwrap(), "incident.mitigated");
    assert_eq!(desk.order(600, &resolve()).unwrap(), "incident.stage_changed incident.resolved");
    let incident = desk.incident();
    let seconds = |within: Option<SignedDuration>| within.unwrap().as_secs();
    assert_eq!(seconds(incident.acknowledged_within()), 0);
    assert_eq!((seconds(incident.mitigated_within()), seconds(incident.resolved_within())), (420, 900));
}

#[test]
fn of_two_who_resolve_at_once_the_second_is_told_who_was_first() {
    let mut desk = Desk::open();
    let second = desk.known.decide(inc(1), &resolve(), "bob", at(10)).unwrap();
    assert!(!second.is_empty(), "both saw it open");
    desk.order(10, &resolve()).unwrap();
    let refused = desk.known.decide(inc(1), &resolve(), "bob", at(10)).unwrap_err();
    assert_eq!(refused, Refusal::Resolved { incident: inc(1), at: at(10), by: "ann".into() });
    // Should both have been recorded, replay goes on.
    desk.take(second, at(10));
    assert!(!desk.incident().is_open());
    assert_eq!(desk.order(20, &Order::Reopen { reason: "again".into() }).unwrap(), "incident.reopened");
    assert_eq!((desk.incident().stage, desk.incident().mitigated_at), (Stage::Declare, None));
    assert_eq!(
        desk.order(21, &Order::Reopen { reason: "again".into() }),
        Err(Refusal::NotResolved { incident: inc(1) })
    );
}

#[test]
fn texts_are_bounded_and_can_not_steer_a_terminal() {
    let mut desk = Desk::open();
    let note = |text: String| Order::Note { text, about: None };
    assert_eq!(desk.order(1, &note("a".repeat(Limit::NOTE))).unwrap(), "incident.note_added");
    let refused = desk.order(1, &note("a".repeat(Limit::NOTE + 1))).unwrap_err();
    assert!(refused.to_string().contains("1 to 16384 bytes") && refused.to_string().contains("16385"), "{refused}");
    for bad in ["", "  \n", "a\u{1b}[2J", "a\0", "a\u{202e}b"] {
        assert!(matches!(desk.order(1, &note(bad.into())), Err(Refusal::Text { .. })), "{bad:?}");
    }
    assert!(desk.order(1, &note("two\n\tlines".into())).is_ok());
    let role = |person: &str| Order::Role { role: Role::Commander, person: person.into() };
    assert!(matches!(desk.order(1, &role("two\nlines")), Err(Refusal::Text { .. })));
    assert_eq!(desk.order(1, &role(" bob ")).unwrap(), "incident.role_taken");
    assert!(matches!(desk.order(1, &role("bob")), Err(Refusal::SameRole { .. })));
    let late = Order::Note { text: "soon".into(), about: Some(at(100)) };
    assert!(matches!(desk.order(1, &late), Err(Refusal::Future { .. })));
}

#[test]
fn duplicates_are_merged_once_and_never_in_a_ring() {
    let mut desk = Desk::open();
    let second = desk.known.declare(&declared(), at(1)).unwrap();
    desk.take(second, at(1));
    let merge = |desk: &Desk, from, into| desk.known.decide(inc(from), &Order::Merge { into: inc(into) }, "ann", at(2));
    assert_eq!(merge(&desk, 1, 1).unwrap_err(), Refusal::MergedIntoItself { incident: inc(1) });
    assert_eq!(merge(&desk, 1, 3).unwrap_err(), Refusal::NoIncident(inc(3)));
    let merged = merge(&desk, 2, 1).unwrap();
    desk.take(merged, at(2));
    assert_eq!(merge(&desk, 1, 2).unwrap_err(), Refusal::Merged { incident: inc(2), into: inc(1) });
    assert_eq!(merge(&desk, 2, 1).unwrap_err(), Refusal::Merged { incident: inc(2), into: inc(1) });
    assert_eq!(desk.known.open().count(), 1);
}

#[test]
fn a_machine_says_a_thing_once_and_a_person_has_still_to_look() {
    let mut desk = Desk::default();
    let by_judge = Declare { origin: Origin::Judge { flight: id('a') }, ..declared() };
    let facts = desk.known.declare(&by_judge, at(0)).unwrap();
    desk.take(facts, at(0));
    assert_eq!(desk.known.declare(&by_judge, at(1)), Ok(Vec::new()), "it is known");
    assert_eq!((desk.incident().stage, desk.incident().acknowledged_at), (Stage::Detect, None));
    desk.order(90, &stage(Stage::Triage)).unwrap();
    assert_eq!(desk.incident().acknowledged_within().unwrap().as_secs(), 90);
}

#[test]
fn action_items_gate_until_they_are_done_and_the_dearest_comes_first() {
    let mut desk = Desk::open();
    desk.order(10, &Order::Link { link: Link::Page("p1".into()) }).unwrap();
    let new = |incident, gate| NewAction {
        incident: inc(incident),
        title: "test with locks".into(),
        owner: "bob".into(),
        due: "2027-02-01".parse().unwrap(),
        kind: ActionKind::Prevent,
        gate,
    };
    let add = |desk: &mut Desk, item: &NewAction| {
        let facts = desk.known.add_action(item, "ann", at(20)).unwrap();
        desk.take(facts, at(20));
    };
    let other = Declare { target: target("test"), ..declared() };
    let facts = desk.known.declare(&other, at(1)).unwrap();
    desk.take(facts, at(1));
    add(&mut desk, &new(2, false));
    add(&mut desk, &new(1, true));
    let ranked: Vec<u32> = desk.known.ranked(at(30)).iter().map(|one| one.action.id.number()).collect();
    assert_eq!(ranked, [2, 1], "the one with a page");
    let held = |desk: &Desk, second| {
        let holds = desk.known.holds(at(second));
        holds.all().map(|(_, at, hold)| format!("{} {} {hold}", at.unwrap(), hold.id)).collect::<Vec<_>>().join(" ")
    };
    let item = "ACT-2 of INC-1 is not done: test with locks (bob, due 2027-02-01)";
    assert_eq!(held(&desk, 30), format!("production action/ACT-2 held: {item}; fixes pass"));
    let act = |desk: &mut Desk, number, order: &ActionOrder| {
        let facts = desk.known.decide_action(ActionId::new(number), order, "ann", at(40))?;
        desk.take(facts, at(40));
        Ok::<_, Refusal>(())
    };
    let override_until = |second| ActionOrder::Override { until: at(second), reason: "a fix for INC-1".into() };
    assert_eq!(act(&mut desk, 1, &override_until(100)), Err(Refusal::NoGate { action: ActionId::new(1) }));
    assert_eq!(act(&mut desk, 2, &override_until(8 * 86_400)), Err(Refusal::Until { days: 7 }));
    act(&mut desk, 2, &override_until(100)).unwrap();
    assert!(held(&desk, 99).is_empty() && !held(&desk, 100).is_empty());
    act(&mut desk, 2, &ActionOrder::Done { note: "commit abc".into() }).unwrap();
    assert_eq!(held(&desk, 100), "");
    let again = act(&mut desk, 2, &ActionOrder::Drop { reason: "no".into() });
    assert_eq!(again, Err(Refusal::Closed { action: ActionId::new(2), state: "done" }));
    let late = NewAction { due: "2027-01-14".parse().unwrap(), ..new(1, false) };
    assert!(matches!(desk.known.add_action(&late, "ann", at(20)), Err(Refusal::DueBefore(_))));
}

#[test]
fn a_post_mortem_closes_the_review_until_the_incident_comes_back() {
    let mut desk = Desk::open();
    let publish = |desk: &Desk| desk.known.publish(inc(1), "# What happened\n", "abc", "ann");
    assert_eq!(publish(&desk), Err(Refusal::NotResolved { incident: inc(1) }));
    desk.order(10, &resolve()).unwrap();
    let facts = publish(&desk).unwrap();
    desk.take(facts, at(20));
    assert!(matches!(publish(&desk), Err(Refusal::Reviewed { .. })));
    desk.order(30, &Order::Reopen { reason: "again".into() }).unwrap();
    assert_eq!(desk.incident().review, None);
    let huge = desk.known.publish(inc(1), &"a".repeat(Limit::POSTMORTEM + 1), "abc", "ann");
    assert!(huge.is_err());
}

fn changes(story: &Story) -> Changes {
    let mut changes = Changes::default();
    for fact in &story.journal {
        changes.apply(fact);
    }
    changes
}

fn question(target: Target, since: Timestamp) -> Question {
    Question { target, since, window: SignedDuration::from_hours(24), reason: "INC-1".into() }
}

#[test]
fn the_release_that_came_last_is_named_first_with_the_way_back() {
    let mut story = Story::new(&production());
    story.push('a').run();
    story.push('b').run();
    let found = suspects(&changes(&story), &story.fleet, &question(target("production"), story.now));
    let first = &found[0];
    assert_eq!((first.flight.clone(), first.kind.as_str(), first.in_force), (id('b'), "release", true));
    let percents: Vec<u8> = first.steps.iter().map(|step| step.percent).collect();
    assert_eq!(percents, [10, 100]);
    assert_eq!(first.diff.as_deref().unwrap(), format!("git diff {}..{}", "a".repeat(40), "b".repeat(40)));
    assert_eq!(first.mitigation.as_deref(), Some("prograde rollback pad --environment production --reason INC-1"));
    assert!(!found[1].in_force && found[1].mitigation.is_none(), "{:?}", found[1]);

    story.roll_back('b', "production", None).unwrap();
    story.run();
    let after = suspects(&changes(&story), &story.fleet, &question(target("production"), story.now));
    let kinds: Vec<&str> = after.iter().map(|suspect| suspect.kind.as_str()).collect();
    assert_eq!(kinds, ["release", "rollback", "release"]);
    assert_eq!((after[0].flight.clone(), after[2].flight.clone()), (id('a'), id('b')));
    assert!(after[0].in_force && !after[2].in_force && after[2].no_way.is_some(), "what came back is in force again");
    assert_eq!(after[1].mitigation, None);
    let before = story.journal[0].at - SignedDuration::from_mins(2);
    let early = suspects(&changes(&story), &story.fleet, &question(target("production"), before));
    assert!(early.is_empty(), "what came later is none: {early:?}");
    assert!(suspects(&changes(&story), &story.fleet, &question(target("test"), story.now)).is_empty());
}

#[test]
fn a_canary_that_failed_is_gone_and_its_requests_are_counted() {
    let mut story = Story::new(&production());
    story.push('a').run();
    story.push_ill('b', Ill::Requests).run();
    let changes = changes(&story);
    let bad = changes.of(&id('b'), &target("production")).unwrap();
    assert!(bad.ended_at.is_some() && bad.requests.failures > 0, "{bad:?}");
    let found = suspects(&changes, &story.fleet, &question(target("production"), story.now));
    assert_eq!(
        (found[0].flight.clone(), found[1].flight.clone()),
        (id('a'), id('b')),
        "what serves before what is gone"
    );
}

fn orders() -> impl Strategy<Value = Order> {
    let word = || "[a-z]{1,8}";
    prop_oneof![
        (0usize..6).prop_map(|n| Order::Stage { to: Stage::ALL[n] }),
        (0usize..4, word()).prop_map(|(n, reason)| Order::Severity { to: Severity::ALL[n], reason }),
        (0usize..4, word()).prop_map(|(n, person)| Order::Role { role: Role::ALL[n], person }),
        word().prop_map(|text| Order::Note { text, about: None }),
        word().prop_map(|how| Order::Mitigated { how }),
        word().prop_map(|cause| Order::Resolve { cause }),
        word().prop_map(|reason| Order::Reopen { reason }),
        word().prop_map(|message| Order::Publish { message }),
        Just(Order::Unpublish {}),
        (1u32..4).prop_map(|n| Order::Merge { into: IncidentId::new(n) }),
        word().prop_map(|url| Order::Link { link: Link::Url(url) }),
    ]
}

proptest! {
    #[test]
    fn whatever_is_ordered_stages_rise_and_replay_gives_the_same(
        given in proptest::collection::vec((1u32..4, orders()), 0..40)
    ) {
        let mut desk = Desk::open();
        for second in 1..3 {
            let facts = desk.known.declare(&declared(), at(second)).unwrap();
            desk.take(facts, at(second));
        }
        for (second, (number, order)) in (10i64..).zip(given) {
            let before = desk.known.incident(inc(number)).unwrap().clone();
            let Ok(facts) = desk.known.decide(inc(number), &order, "ann", at(second)) else { continue };
            prop_assert!(!facts.is_empty(), "an order that is carried out says something");
            desk.take(facts, at(second));
            let after = desk.known.incident(inc(number)).unwrap();
            let reopens = matches!(order, Order::Reopen { .. });
            prop_assert!(after.stage >= before.stage || reopens);
            prop_assert_eq!(after.stage == Stage::Resolve, after.resolved.is_some());
            prop_assert!(after.resolved.is_none() || after.mitigated_at.is_some());
            prop_assert!(after.facts.len() > before.facts.len());
        }
        let mut replayed = Incidents::default();
        for (when, fact) in &desk.facts {
            let (event_type, payload) = fact.encode();
            replayed.apply(&IncidentEvent::decode(&event_type, IncidentEvent::VERSION, payload).unwrap(), *when);
        }
        prop_assert_eq!(replayed, desk.known);
    }
}

#[test]
fn a_rollback_that_did_not_help_is_an_incident_and_one_that_did_is_none() {
    let mut story = Story::new(&serde_json::json!([{
        "name": "production", "strategy": "canary", "analysis": {"wait_max": "2m"}, "watch": "10m",
        "steps": [{"weight": 100, "bake": "10s"}]
    }]));
    story.push('a').run();
    story.push_ill('b', Ill::Late).run();
    let place = target("production");
    assert_eq!(story.fleet.current(&place), Some(&id('a')), "the judge took it back");
    let asked = |story: &Story, known: &Incidents, failed: u64| {
        let mut seen = story.seen("production");
        let version = seen.versions.iter_mut().find(|version| version.revision == id('a')).unwrap();
        version.counters.requests += 1_000;
        version.counters.failures += failed;
        known.unhelped(&story.fleet, |_| seen.clone(), story.now)
    };
    let mut known = Incidents::default();
    assert_eq!(asked(&story, &known, 0), []);
    let declared = asked(&story, &known, 900);
    assert_eq!((declared.len(), &declared[0].origin), (1, &Origin::Judge { flight: id('b') }));
    assert!(declared[0].title.len() <= Limit::TITLE && declared[0].title.contains("did not help"), "{declared:?}");
    let facts = known.declare(&declared[0], story.now).unwrap();
    for fact in &facts {
        known.apply(fact, story.now);
    }
    assert_eq!(asked(&story, &known, 900), [], "it is said once");
    story.now += SignedDuration::from_mins(16);
    assert_eq!(asked(&story, &Incidents::default(), 900), [], "what comes later is something else");
}

#[test]
fn a_page_declares_an_incident_or_joins_the_one_that_is_open_for_its_service() {
    use crate::oncall::page::{About, PageEvent};
    use crate::oncall::{Desk as Pages, PageFact, Rota};

    let mut story = Story::new(&production());
    story.push('a').run();
    let rota: Rota = serde_json::from_value(serde_json::json!({
        "version": 1, "people": {"ann": {}}, "schedules": [],
        "escalations": {"loud": {"steps": [{"people": ["ann"]}], "declares": "SEV2"}, "quiet": {"steps": [{"people": ["ann"]}]}},
    }))
    .unwrap();
    let mut pages = Pages::default();
    let open = |pages: &mut Pages, page: &str, escalation: &str, labels: serde_json::Value, test: bool| {
        let about = serde_json::json!({"title": format!("{page} is about orders"), "escalation": escalation, "test": test, "alerts": [{
            "labels": labels, "annotations": {}, "starts_at": at(0), "ends_at": at(60), "timeout": false,
            "updated_at": at(0), "generator_url": ""}]});
        let about: About = serde_json::from_value(about).unwrap();
        pages.apply(&PageFact { page: page.parse().unwrap(), event: PageEvent::Opened(about) }, story.now);
    };
    let pad = serde_json::json!({"alertname": "Slow", "service": "pad"});
    open(&mut pages, "P-1", "quiet", pad.clone(), false);
    open(&mut pages, "P-2", "loud", pad.clone(), true);
    open(&mut pages, "P-3", "loud", serde_json::json!({"alertname": "Slow"}), false);
    open(&mut pages, "P-4", "loud", serde_json::json!({"service": "unheard-of"}), false);
    open(&mut pages, "P-5", "loud", serde_json::json!({"service": "pad", "environment": "elsewhere"}), false);
    let mut known = Incidents::default();
    let follow = |known: &mut Incidents, pages: &Pages| {
        let facts = known.paged(&declaring(pages, &rota), &story.fleet, story.now).unwrap();
        for fact in &facts {
            known.apply(fact, story.now);
        }
        facts.len()
    };
    assert_eq!(follow(&mut known, &pages), 0, "none of these declares anything");
    open(&mut pages, "P-6", "loud", pad.clone(), false);
    open(&mut pages, "P-7", "loud", serde_json::json!({"service": "pad", "environment": "production"}), false);
    assert_eq!((follow(&mut known, &pages), follow(&mut known, &pages), follow(&mut known, &pages)), (1, 1, 0));
    let incident = known.incident(inc(1)).unwrap();
    assert_eq!(incident.origin, Origin::Page { page: "P-6".to_owned() });
    assert_eq!(
        (incident.severity, &*incident.title, &incident.target),
        (Severity::Sev2, "P-6 is about orders", &target("production"))
    );
    assert!(incident.links.contains(&Link::Page("P-7".to_owned())), "{:?}", incident.links);
    assert_eq!(known.incidents().count(), 1);
}

#[test]
fn what_helped_before_is_offered_first() {
    let mut story = Story::new(&production());
    story.push('a').run();
    story.push('b').run();
    let suspects = suspects(&changes(&story), &story.fleet, &question(target("production"), story.now));
    let mut desk = Desk::open();
    let commands = |desk: &Desk, number: u32| {
        let offers = ways(&desk.known, desk.known.incident(inc(number)).unwrap(), &suspects, &story.fleet);
        offers.into_iter().map(|offer| (offer.helped, offer.command)).collect::<Vec<_>>()
    };
    let rollback =
        |number: u32| format!("prograde incident mitigate INC-{number} --rollback --flight {}", id('b').short());
    let scale = |number: u32| format!("prograde incident mitigate INC-{number} --scale 8");
    assert_eq!(commands(&desk, 1), [(0, rollback(1)), (0, scale(1))]);

    // The first one was ended by more replicas.
    let Target { service, environment } = target("production");
    let facts = desk.known.begin_mitigation(inc(1), Way::Scale { service, environment, replicas: 8 }, "ann").unwrap();
    desk.take(facts, at(10));
    assert!(desk.known.settle(|_, _| true).is_empty(), "people see whether it has helped");
    desk.order(20, &Order::Mitigated { how: "twice as many replicas".to_owned() }).unwrap();
    desk.order(30, &resolve()).unwrap();
    let facts = desk.known.declare(&declared(), at(40)).unwrap();
    desk.take(facts, at(40));
    assert_eq!(commands(&desk, 2), [(1, scale(2)), (0, rollback(2))]);
}
