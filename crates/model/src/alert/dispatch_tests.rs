//! The state machine, driven by a clock that jumps from one thing to the next; with restarts between any two of them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::matcher::Matcher;

const RECORD_LIMITS: Limits = Limits { alerts: 100_000, silences: 100 };

fn minutes(count: i64) -> SignedDuration {
    SignedDuration::from_mins(count)
}

fn at(minute: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + minutes(1_000_000 + minute)
}

fn all(text: &str) -> Vec<Matcher> {
    matchers(text).unwrap()
}

/// A route with minutes to wait 1, between flushes 5, and until repeated 60.
fn route(matchers: &str, receiver: &str, routes: Vec<Route>) -> Route {
    Route {
        receiver: receiver.into(),
        matchers: all(matchers),
        group_by: GroupBy::Labels(BTreeSet::from([ALERT_NAME.into()])),
        group_wait: minutes(1),
        group_interval: minutes(5),
        repeat_interval: minutes(60),
        mute_time_intervals: Vec::new(),
        active_time_intervals: Vec::new(),
        goes_on: false,
        routes,
    }
}

fn routing() -> Routing {
    let receiver = |name: &str, send_resolved| {
        let integration = Integration { name: "webhook/0".into(), send_resolved };
        (name.to_owned(), Receiver { name: name.into(), integrations: vec![integration] })
    };
    Routing {
        root: route("", "all", vec![route("quiet=\"yes\"", "quiet", Vec::new())]),
        receivers: BTreeMap::from([receiver("all", true), receiver("quiet", false)]),
        inhibitions: vec![Inhibition {
            source: all("alertname=Down"),
            target: all("alertname=~\"Slow|Down\""),
            equal: BTreeSet::from(["zone".to_owned()]),
        }],
        time_intervals: BTreeMap::new(),
        resolve_timeout: minutes(5),
    }
}

struct World {
    dispatcher: Dispatcher,
    now: Timestamp,
    told: Vec<String>,
    records: Vec<(Timestamp, AlertEvent)>,
    /// Whether receivers can be told.
    reachable: bool,
}

impl World {
    fn new(routing: Routing) -> Self {
        let dispatcher = Dispatcher::new(routing, RECORD_LIMITS);
        Self { dispatcher, now: at(0), told: Vec::new(), records: Vec::new(), reachable: true }
    }

    fn apply(&mut self, event: &AlertEvent) {
        self.dispatcher.apply(event, self.now);
        if event.is_recorded() {
            let stored = serde_json::to_string(&event).unwrap();
            self.records.push((self.now, serde_json::from_str(&stored).unwrap()));
        }
    }

    /// Posts an alert such as `Down zone=a`, which ends after so many minutes.
    fn post(&mut self, alert: &str, ends_in: i64) {
        let labels = alert.split(' ').map(|pair| pair.split_once('=').unwrap_or((ALERT_NAME, pair))).collect();
        let ends_at = Some(self.now + minutes(ends_in));
        let facts = self.dispatcher.receive(vec![Posted { labels, ends_at, ..Posted::default() }], self.now);
        for fact in facts.unwrap() {
            self.apply(&fact);
        }
    }

    fn settle(&mut self) {
        loop {
            let facts = self.dispatcher.decide(self.now);
            let notifications: Vec<Notification> = self.dispatcher.plan().cloned().collect();
            if facts.is_empty() && notifications.is_empty() {
                return;
            }
            for fact in &facts {
                self.apply(fact);
            }
            for notification in notifications {
                if self.reachable {
                    self.told.push(self.sentence(&notification));
                    let told = self.dispatcher.told_by(&notification);
                    self.apply(&AlertEvent::Sent(told));
                } else {
                    let key = notification.key.clone();
                    self.apply(&AlertEvent::Failed { key, why: "no answer".into(), attempts: 3 });
                }
            }
        }
    }

    fn sentence(&self, notification: &Notification) -> String {
        let minute = (self.now - at(0)).total(jiff::Unit::Minute).unwrap();
        let alerts: Vec<String> = notification
            .alerts
            .iter()
            .map(|(alert, fires)| {
                let others = alert.labels.iter().filter(|label| &*label.name != ALERT_NAME);
                let name = format!("{}{}", if *fires { "+" } else { "-" }, alert.name());
                others.fold(name, |name, label| name + "/" + &label.value)
            })
            .collect();
        format!("{minute} {} {:?} {}", notification.key.receiver, notification.cause, alerts.join(" "))
    }

    /// Lets time pass up to a minute, stopping wherever something is due.
    fn until(&mut self, minute: i64) {
        self.settle();
        while let Some(wake) = self.dispatcher.wake_at().filter(|wake| *wake <= at(minute)) {
            assert!(wake > self.now, "awake again without time passing");
            self.now = wake;
            self.settle();
        }
        self.now = at(minute);
    }

    /// What a crash leaves are the records.
    fn restart(&mut self) {
        self.dispatcher = Dispatcher::new(self.dispatcher.routing().clone(), RECORD_LIMITS);
        for (at, event) in &self.records {
            self.dispatcher.apply(event, *at);
        }
        self.apply(&AlertEvent::Resumed);
    }

    fn take_told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }
}

#[test]
fn a_group_waits_changes_repeats_and_resolves() {
    let mut world = World::new(routing());
    world.post("Full disk=a", 500);
    world.until(3);
    world.post("Full disk=b", 500);
    world.until(70);
    assert_eq!(
        world.take_told(),
        ["1 all First +Full/a", "6 all Changed +Full/a +Full/b", "66 all Repeat +Full/a +Full/b"]
    );
    world.post("Full disk=a", 0);
    world.until(72);
    world.post("Full disk=b", 0);
    world.until(200);
    assert_eq!(world.take_told(), ["71 all Resolved -Full/a +Full/b", "76 all Resolved -Full/b"]);
    assert_eq!((world.dispatcher.groups().count(), world.dispatcher.firing().count()), (0, 0));
}

#[test]
fn an_alert_of_which_nothing_more_is_heard_runs_out() {
    let mut world = World::new(routing());
    world.post("Full", 4);
    world.until(3);
    world.post("Full", 4);
    world.until(60);
    assert_eq!(world.take_told(), ["1 all First +Full", "11 all Resolved -Full"]);
}

#[test]
fn what_begins_and_ends_between_two_looks_is_not_told() {
    let mut world = World::new(routing());
    let half = SignedDuration::from_secs(30);
    world.post("Full", 9);
    world.now += half;
    world.post("Full", 0);
    world.until(60);
    assert!(world.take_told().is_empty());
}

#[test]
fn who_wants_no_end_is_told_the_next_beginning() {
    let mut world = World::new(routing());
    world.post("Full quiet=yes", 2);
    world.until(30);
    world.restart();
    world.post("Full quiet=yes", 9);
    world.until(40);
    assert_eq!(world.take_told(), ["1 quiet First +Full/yes", "31 quiet Changed +Full/yes"]);
}

#[test]
fn an_inhibited_alert_is_told_when_its_source_has_ended() {
    let mut world = World::new(routing());
    world.post("Slow zone=a", 500);
    world.post("Slow zone=b", 500);
    world.post("Down zone=a", 12);
    world.until(30);
    // `Down` is a target as well, and does not keep itself quiet.
    assert_eq!(
        world.take_told(),
        ["1 all First +Down/a", "1 all First +Slow/b", "16 all Resolved -Down/a", "16 all Changed +Slow/a +Slow/b"]
    );
}

#[test]
fn a_restart_forgets_neither_inhibition_nor_what_was_told() {
    let mut world = World::new(routing());
    world.post("Down zone=a", 20);
    world.post("Slow zone=a", 20);
    world.until(5);
    assert_eq!(world.take_told(), ["1 all First +Down/a"]);
    // The server is gone for longer than both would fire by themselves.
    world.now = at(40);
    world.restart();
    world.until(42);
    assert!(world.take_told().is_empty());
    world.post("Down zone=a", 20);
    world.post("Slow zone=a", 20);
    world.until(55);
    assert!(world.take_told().is_empty());
    world.post("Slow zone=a", 0);
    world.until(100);
    // `Slow` began and ended without anybody having to know.
    assert_eq!(world.take_told(), ["65 all Resolved -Down/a"]);
}

#[test]
fn a_failure_is_tried_again_at_the_next_look_with_what_is_true_then() {
    let mut world = World::new(routing());
    world.reachable = false;
    world.post("Full disk=a", 500);
    world.until(7);
    world.post("Full disk=b", 500);
    world.reachable = true;
    world.until(12);
    assert_eq!(world.take_told(), ["11 all First +Full/a +Full/b"]);
    world.reachable = false;
    world.post("Full disk=a", 0);
    world.until(29);
    world.reachable = true;
    world.until(40);
    assert_eq!(world.take_told(), ["31 all Resolved -Full/a +Full/b"]);
}

#[test]
fn an_acknowledged_group_is_not_repeated_but_changes_are_told() {
    let mut world = World::new(routing());
    world.post("Full disk=a", 5_000);
    world.until(5);
    let group = world.dispatcher.groups().next().unwrap().key.clone();
    assert_eq!(group, "{}:{alertname=\"Full\"}");
    world.apply(&AlertEvent::Acknowledged { group: group.clone(), by: "ada".into(), comment: "on it".into() });
    world.until(200);
    world.restart();
    world.until(400);
    assert_eq!(world.dispatcher.acknowledgement(&group).unwrap().by, "ada");
    world.post("Full disk=b", 5_000);
    world.until(410);
    assert_eq!(world.take_told(), ["1 all First +Full/a", "405 all Changed +Full/a +Full/b"]);
    world.apply(&AlertEvent::AcknowledgementWithdrawn { group: group.clone(), by: "ada".into() });
    world.until(470);
    assert_eq!(world.take_told(), ["465 all Repeat +Full/a +Full/b"]);
    world.apply(&AlertEvent::Acknowledged { group: group.clone(), by: "ada".into(), comment: String::new() });
    world.post("Full disk=a", 0);
    world.post("Full disk=b", 0);
    assert_eq!(world.dispatcher.acknowledgement(&group), None);
}

fn silence(text: &str, until: i64, ends_with_alerts: bool) -> Silence {
    Silence {
        id: String::new(),
        matchers: all(text),
        starts_at: at(0),
        ends_at: at(until),
        updated_at: at(0),
        created_by: "ada".into(),
        comment: "known".into(),
        ends_with_alerts,
    }
}

fn set(world: &mut World, silence: Silence, id: &str) -> String {
    let (id, facts) = world.dispatcher.set_silence(silence, id, world.now).unwrap();
    for fact in &facts {
        world.apply(fact);
    }
    id
}

#[test]
fn a_silence_keeps_quiet_until_it_ends() {
    let mut world = World::new(routing());
    set(&mut world, silence("disk=a", 20, false), "s1");
    world.post("Full disk=a", 500);
    world.until(15);
    // It is looked at right after the restart, and from then on every five minutes.
    world.restart();
    world.until(30);
    assert_eq!(world.take_told(), ["20 all First +Full/a"]);
}

#[test]
fn a_silence_may_end_with_the_alerts_that_it_matched() {
    let mut world = World::new(routing());
    let id = set(&mut world, silence("disk=a", 500, true), "s1");
    world.until(20);
    world.post("Full disk=a", 10);
    world.until(33);
    // Gone for three minutes, and back: no reason to be loud.
    world.post("Full disk=a", 10);
    world.until(47);
    assert_eq!(world.dispatcher.silence(&id).unwrap().state(world.now), SilenceState::Active);
    world.until(50);
    assert_eq!(world.dispatcher.silence(&id).unwrap().state(world.now), SilenceState::Expired);
    world.restart();
    assert_eq!(world.dispatcher.silence(&id).unwrap().ends_at, at(48));
    world.post("Full disk=a", 10);
    world.until(60);
    assert_eq!(world.take_told(), ["51 all First +Full/a"]);
}

#[test]
fn silences_are_changed_in_place_or_replaced() {
    let mut world = World::new(routing());
    let id = set(&mut world, silence("disk=a", 20, false), "s1");
    let longer = Silence { id: id.clone(), ..silence("disk=a", 40, false) };
    assert_eq!(set(&mut world, longer, "s2"), "s1");
    let other = Silence { id: id.clone(), ..silence("disk=b", 40, false) };
    assert_eq!(set(&mut world, other, "s2"), "s2");
    assert_eq!(world.dispatcher.silence("s1").unwrap().state(world.now), SilenceState::Expired);
    assert_eq!(world.dispatcher.end_silence("s1", world.now), Err(SilenceError::Expired("s1".into())));
    assert_eq!(world.dispatcher.end_silence("s3", world.now), Err(SilenceError::NotFound("s3".into())));
    let refused = |silence| world.dispatcher.set_silence(silence, "s3", at(30)).unwrap_err();
    assert_eq!(refused(silence("disk=~\".*\"", 40, false)), SilenceError::Everything);
    assert_eq!(refused(silence("disk=a", 30, false)), SilenceError::Times);
    assert_eq!(refused(Silence { id: "s9".into(), ..silence("a=b", 40, false) }), SilenceError::NotFound("s9".into()));
}

#[test]
fn a_route_is_quiet_outside_of_its_times() {
    let mut routing = routing();
    // 1970-01-01 plus 1,000,000 minutes is 1971-11-26 10:40.
    let morning = TimeInterval {
        times: vec![(0, 11 * 60)],
        weekdays: Vec::new(),
        days_of_month: Vec::new(),
        months: Vec::new(),
        years: Vec::new(),
        zone: jiff::tz::TimeZone::UTC,
    };
    routing.time_intervals.insert("morning".into(), vec![morning]);
    routing.root.mute_time_intervals = vec!["morning".into()];
    let mut world = World::new(routing.clone());
    world.post("Full", 500);
    world.until(30);
    assert_eq!(world.take_told(), ["21 all First +Full"]);
    routing.root.active_time_intervals = std::mem::take(&mut routing.root.mute_time_intervals);
    let mut world = World::new(routing);
    world.post("Full", 500);
    world.until(300);
    assert_eq!(world.take_told(), ["1 all First +Full"]);
}

#[test]
fn another_configuration_tells_nothing_twice() {
    let mut world = World::new(routing());
    world.post("Full disk=a", 500);
    world.post("Full disk=b quiet=yes", 500);
    world.until(5);
    assert_eq!(world.take_told().len(), 2);
    let mut changed = routing();
    changed.root.routes.clear();
    world.dispatcher.reconfigure(changed, world.now);
    world.until(20);
    assert_eq!(world.take_told(), ["6 all Changed +Full/a +Full/b/yes"]);
}

#[test]
fn ten_thousand_alerts_are_grouped_and_inhibited() {
    let mut world = World::new(routing());
    world.post("Down zone=a", 500);
    let posted = (0..10_000).map(|i| {
        let labels = [(ALERT_NAME, "Slow".to_owned()), ("zone", "a".to_owned()), ("i", i.to_string())];
        Posted { labels: labels.into_iter().collect(), ..Posted::default() }
    });
    let facts = world.dispatcher.receive(posted.collect(), world.now).unwrap();
    for fact in &facts {
        world.apply(fact);
    }
    let quiet =
        world.dispatcher.firing().filter(|(_, alert)| !world.dispatcher.mutes(&alert.labels, world.now).is_empty());
    assert_eq!(quiet.count(), 10_000);
    world.until(4);
    assert_eq!(world.take_told(), ["1 all First +Down/a"]);
    let limited = Dispatcher::new(routing(), Limits { alerts: 1, silences: 1 });
    let two = ["a", "b"].map(|name| Posted { labels: [(ALERT_NAME, name)].into_iter().collect(), ..Posted::default() });
    assert_eq!(limited.receive(two.into(), at(0)), Err(Refused::TooMany { found: 2, limit: 1 }));
}

#[derive(Debug, Clone)]
enum Step {
    Post(u8, i64),
    Wait(i64),
    Restart,
    Reachable(bool),
    Silence(u8, i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..6_u8, 0..30_i64).prop_map(|(alert, ends)| Step::Post(alert, ends)),
        4 => (1..40_i64).prop_map(Step::Wait),
        1 => Just(Step::Restart),
        1 => any::<bool>().prop_map(Step::Reachable),
        1 => (0..6_u8, 1..60_i64).prop_map(|(alert, ends)| Step::Silence(alert, ends)),
    ]
}

fn name(index: u8) -> String {
    let name = ["Full", "Slow", "Down"][usize::from(index % 3)];
    format!("{name} zone={}", index % 2)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever happens, once receivers can be told and all has ended, each knows it; and nothing is kept.
    #[test]
    fn whoever_was_told_of_an_alert_is_told_its_end(steps in prop::collection::vec(step(), 1..40)) {
        let mut world = World::new(routing());
        for (index, step) in steps.into_iter().enumerate() {
            let now = world.now.duration_since(at(0)).as_mins();
            match step {
                Step::Post(alert, ends) => world.post(&name(alert), ends),
                Step::Wait(minutes) => world.until(now + minutes),
                Step::Restart => world.restart(),
                Step::Reachable(reachable) => world.reachable = reachable,
                Step::Silence(alert, ends) => {
                    let about = name(alert);
                    let silence = silence(&format!("alertname={}", about.split(' ').next().unwrap()), now + ends, false);
                    set(&mut world, silence, &format!("s{index}"));
                }
            }
            world.settle();
            // No two words in a row say the same, but for repetitions.
            let mut last: BTreeMap<(String, String), String> = BTreeMap::new();
            for line in &world.told {
                let mut words = line.splitn(4, ' ').skip(1);
                let (receiver, cause, alerts) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
                let names: String = alerts.split(' ').next().unwrap().chars().skip(1).take(4).collect();
                let before = last.insert((receiver.into(), names), alerts.into());
                prop_assert!(before.as_deref() != Some(alerts) || cause != "Changed", "{:#?}", world.told);
            }
        }
        world.reachable = true;
        let now = world.now.duration_since(at(0)).as_mins();
        world.until(now + 300);
        prop_assert_eq!(world.dispatcher.firing().count(), 0);
        prop_assert_eq!(world.dispatcher.groups().count(), 0);
        prop_assert_eq!(world.dispatcher.plan().count(), 0);
    }
}
