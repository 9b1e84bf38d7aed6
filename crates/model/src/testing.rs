//! A small world in which flights can be followed in a few words: effects work at once, replicas start when asked, a
//! second passes with each step. The invariants are checked with every fact and whenever the runtime follows.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::entry::{Entry, Standing};
use crate::event::{Event, Opened, Person, Recorded, VERSION};
use crate::flag::{Flags, Setting};
use crate::fleet::Fleet;
use crate::flight::{Effect, Flight, Refusal, Stage};
use crate::ids::{CommitId, Digest, EnvironmentName, FlightId, ServiceName, Target, Weight};
use crate::migration::Migration;
use crate::release::Release;
use crate::rollout::RolloutEvent;
use crate::runtime::{Counters, Observation, VersionSeen};
use crate::service::Service;
use crate::workload::{Container, RollingUpdate, Workload};

/// What is wrong with a flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ill {
    /// Its configuration can't be used.
    Config,
    /// Its pipeline fails.
    Pipeline,
    /// Half of its requests fail.
    Requests,
    /// Half of its requests fail once it has all traffic for good.
    Late,
    /// Its replicas never become ready.
    Unready,
    /// Its checks fail.
    Checks,
    /// Its migration fails.
    Migration,
}

/// The world, and all that happened in it.
#[derive(Clone)]
pub(crate) struct Story {
    pub(crate) fleet: Fleet,
    pub(crate) journal: Vec<Recorded>,
    pub(crate) now: Timestamp,
    config: Service,
    flags: Option<Flags>,
    replayed: Fleet,
    ill: BTreeSet<(FlightId, Ill)>,
    digests: BTreeMap<FlightId, Digest>,
    seen: BTreeMap<Target, Observation>,
    counted: BTreeMap<(Target, FlightId), Counters>,
}

pub(crate) fn id(letter: char) -> FlightId {
    letter.to_string().repeat(32).parse().unwrap()
}

pub(crate) fn commit(letter: char) -> CommitId {
    letter.to_string().repeat(40).parse().unwrap()
}

pub(crate) fn digest(letter: char) -> Digest {
    format!("sha256:{}", letter.to_string().repeat(64)).parse().unwrap()
}

pub(crate) fn manifests(letter: char) -> Digest {
    format!("sha256:{}", format!("1{letter}").repeat(32)).parse().unwrap()
}

pub(crate) fn environment(name: &str) -> EnvironmentName {
    name.parse().unwrap()
}

pub(crate) fn target(name: &str) -> Target {
    Target { environment: environment(name), service: "pad".parse().unwrap() }
}

fn letter(id: &FlightId) -> char {
    id.as_str().chars().next().unwrap()
}

/// A test environment with a check, then production with a canary and `approvals`.
pub(crate) fn two_environments(approvals: u32) -> Value {
    json!([
        {"name": "test", "checks": [{"get": "/healthz"}]},
        {"name": "production", "strategy": "canary", "gate": {"approvals": approvals}, "analysis": {"wait_max": "2m"}, "watch": "0s",
         "steps": [{"weight": 10, "bake": "10s"}, {"weight": 100, "bake": "10s"}]},
    ])
}

/// Production alone, entered by a canary.
pub(crate) fn production() -> Value {
    json!([two_environments(0)[1]])
}

impl Story {
    pub(crate) fn new(environments: &Value) -> Self {
        let config = json!({
            "version": 1, "service": "pad", "image": {"artifact": "pad", "binary": "pad"}, "environments": environments
        });
        Self {
            fleet: Fleet::default(),
            journal: Vec::new(),
            now: "2026-01-02T03:04:05Z".parse().unwrap(),
            config: serde_json::from_value(config).unwrap(),
            flags: None,
            replayed: Fleet::default(),
            ill: BTreeSet::new(),
            digests: BTreeMap::new(),
            seen: BTreeMap::new(),
            counted: BTreeMap::new(),
        }
    }

    /// A commit arrives.
    pub(crate) fn push(&mut self, flight: char) -> &mut Self {
        let author = Person { name: "Ann".into(), email: "ann@example.com".into() };
        let opened = Opened {
            service: "pad".parse::<ServiceName>().unwrap(),
            commit: commit(flight),
            branch: "main".into(),
            subject: format!("Change {flight}"),
            author,
            committed_at: self.now,
        };
        self.record(&id(flight), vec![Event::Opened(opened)]);
        self
    }

    /// A commit arrives that is ill.
    pub(crate) fn push_ill(&mut self, flight: char, ill: Ill) -> &mut Self {
        self.ill.insert((id(flight), ill));
        self.push(flight)
    }

    /// Its requests fail from now on.
    pub(crate) fn fall_ill(&mut self, flight: char) {
        self.ill.insert((id(flight), Ill::Requests));
    }

    /// The commits that arrive from now on declare these flags.
    pub(crate) fn declare(&mut self, flags: &Value) -> &mut Self {
        self.config.flags = Some("flags.json".into());
        self.flags = Some(Flags::read(flags).unwrap());
        self
    }

    /// The commits that arrive from now on migrate the data, so that nothing takes that back where `for_good` says so.
    pub(crate) fn migrate(&mut self, for_good: bool) -> &mut Self {
        let migration = json!({"args": ["migrate"], "point_of_no_return": for_good});
        self.config.migration = Some(serde_json::from_value::<Migration>(migration).unwrap());
        self
    }

    /// The commits that arrive from now on do not.
    pub(crate) fn stay(&mut self) -> &mut Self {
        self.config.migration = None;
        self
    }

    /// A person sets a flag, or leaves it to Git.
    pub(crate) fn flag(&mut self, at: &str, flag: &str, to: Option<&Setting>) -> Result<(), Refusal> {
        let serves = self.fleet.current(&target(at)).unwrap().clone();
        let order = self.fleet.change_flag(&target(at), flag, to, ("ann", "to see"), &self.seen(at), self.now);
        self.record(&serves, order?);
        Ok(())
    }

    /// A flight's image comes out the same as another's.
    pub(crate) fn same_image(&mut self, flight: char, other: char) -> &mut Self {
        self.digests.insert(id(flight), digest(other));
        self
    }

    /// Facts are recorded; every one must fit, and the stored form must replay to the same fleet.
    pub(crate) fn record(&mut self, flight: &FlightId, events: Vec<Event>) {
        for event in events {
            if let Event::RollbackOrdered { environment, by, .. } = &event {
                let past =
                    self.fleet.flight(flight).and_then(|f| f.entry(environment)).is_some_and(Entry::is_past_return);
                assert!(!past || by == "ann", "only people go back past a point of no return: {}", self.all());
            }
            let sequence = self.fleet.sequence() + 1;
            let (name, payload) = event.encode();
            let recorded = Recorded { sequence, at: self.now, flight: flight.clone(), event };
            let fits = self.fleet.apply(&recorded);
            assert_eq!(fits, Ok(()), "{}", self.all());
            let stored = Recorded { event: Event::decode(&name, VERSION, payload).unwrap(), ..recorded.clone() };
            assert_eq!(self.replayed.apply(&stored), Ok(()));
            self.journal.push(recorded);
        }
        assert_eq!(self.replayed, self.fleet, "replay gives the same fleet");
        self.follow(false);
    }

    /// An order is given; what the model answers is recorded.
    pub(crate) fn order(
        &mut self,
        flight: char,
        order: impl FnOnce(&Flight, &Fleet) -> Result<Vec<Event>, Refusal>,
    ) -> Result<(), Refusal> {
        let events = order(self.flight(flight), &self.fleet)?;
        assert!(!events.is_empty(), "an order that is not refused says something");
        self.record(&id(flight), events);
        Ok(())
    }

    pub(crate) fn approve(&mut self, flight: char, by: &str) -> Result<(), Refusal> {
        self.approve_in(flight, None, by)
    }

    pub(crate) fn approve_in(&mut self, flight: char, name: Option<&str>, by: &str) -> Result<(), Refusal> {
        let (seen, now) = (self.seen.clone(), self.now);
        let seen = |at: &Target| seen.get(at).cloned().unwrap_or_default();
        self.order(flight, |f, _| f.approve(name.map(environment).as_ref(), by, seen, now))
    }

    pub(crate) fn abort(&mut self, flight: char) -> Result<(), Refusal> {
        self.order(flight, |f, _| f.abort("ann", "not today"))
    }

    pub(crate) fn roll_back(&mut self, flight: char, from: &str, to: Option<char>) -> Result<(), Refusal> {
        self.order(flight, |f, fleet| f.roll_back(fleet, &environment(from), (to.map(id), false), "ann", "it smells"))
    }

    pub(crate) fn roll_back_past(&mut self, flight: char, from: &str, to: Option<char>) -> Result<(), Refusal> {
        self.order(flight, |f, fleet| f.roll_back(fleet, &environment(from), (to.map(id), true), "ann", "it smells"))
    }

    pub(crate) fn lift(&mut self, flight: char, from: &str) {
        let event = Event::QuarantineLifted {
            environment: environment(from),
            digest: digest(flight),
            by: "ann".into(),
            reason: "it was the network".into(),
        };
        self.record(&id(flight), vec![event]);
    }

    /// One second: decisions until they come to rest, then every effect that is wanted.
    pub(crate) fn step(&mut self) {
        self.decide();
        self.carry_out();
        self.pass_a_second();
    }

    pub(crate) fn decide(&mut self) {
        for _ in 0..64 {
            let before = self.journal.len();
            for flight in self.fleet.active().map(|f| f.id.clone()).collect::<Vec<_>>() {
                let seen = |at: &Target| self.seen.get(at).cloned().unwrap_or_default();
                let events = self.fleet.flight(&flight).unwrap().decide(&self.fleet, seen, self.now);
                self.record(&flight, events);
            }
            let watches: Vec<_> = self.fleet.flag_watches().map(|(t, f)| (t.clone(), f.clone())).collect();
            for (target, flight) in watches {
                let seen = self.seen.get(&target).cloned().unwrap_or_default();
                self.record(&flight, self.fleet.decide_flags(&target, &seen, self.now));
            }
            if self.journal.len() == before {
                return;
            }
        }
        panic!("decisions do not come to rest: {}", self.all());
    }

    /// Each flight has manifests of its own, by its letter: `sha256:1a1a…` for flight `a`.
    fn configured(&self, flight: &Flight) -> Event {
        let own = manifests(letter(&flight.id));
        let manifests = self.config.environments.iter().map(|e| (e.name.clone(), own.clone())).collect();
        let flags = self.flags.iter().map(|flags| ("flags.json".to_owned(), flags.clone())).collect();
        Event::Configured { service: Box::new(self.config.clone()), notices: Vec::new(), manifests, flags }
    }

    fn carry_out(&mut self) {
        let wanted: Vec<_> =
            self.fleet.active().flat_map(|f| f.plan().into_iter().map(|effect| (f.id.clone(), effect))).collect();
        for (flight, effect) in wanted {
            let events = self.result_of(self.fleet.flight(&flight).unwrap(), effect);
            self.record(&flight, events);
        }
    }

    fn result_of(&self, flight: &Flight, effect: Effect) -> Vec<Event> {
        let ill = |ill| self.ill.contains(&(flight.id.clone(), ill));
        let git = |digit: char| format!("{digit}{}", &flight.commit().as_str()[1..]).parse().unwrap();
        match effect {
            Effect::Read if ill(Ill::Config) => {
                vec![Event::Ended { outcome: crate::event::Outcome::Refused { diagnostics: Vec::new() } }]
            }
            Effect::Read => vec![self.configured(flight)],
            Effect::Build => {
                let detail = ill(Ill::Pipeline).then(|| "ci.yml/test failed".to_owned());
                vec![Event::PipelineFinished { succeeded: detail.is_none(), detail }]
            }
            Effect::MakeImage => {
                let digest = self.digests.get(&flight.id).cloned().unwrap_or_else(|| digest(letter(&flight.id)));
                vec![Event::ReleaseRecorded(Release { commit: flight.commit().clone(), digest, size_bytes: 1 })]
            }
            Effect::Deploy(name) => {
                let deployed = Event::Deployed { environment: name.clone(), commit: git('1') };
                let migrates = flight.service_config().unwrap().migration.is_some();
                [deployed].into_iter().chain((!migrates).then(|| self.started(flight, name))).collect()
            }
            Effect::Migrate(name) => {
                let failure = ill(Ill::Migration).then(|| "exit status 1: no such table".to_owned());
                let started = failure.is_none().then(|| self.started(flight, name.clone()));
                flight.migrated(&self.fleet, &name, failure).into_iter().chain(started).collect()
            }
            Effect::Check(name) => {
                flight.checked(&self.fleet, &name, ill(Ill::Checks).then(|| "GET /healthz answered 500".into()))
            }
            Effect::Revert(name) => vec![Event::Reverted { environment: name, commit: git('2') }],
            Effect::Notify => vec![Event::AuthorNotified { channels: vec!["log".into()], failures: Vec::new() }],
        }
    }

    fn started(&self, flight: &Flight, name: EnvironmentName) -> Event {
        let rules = self.config.environment(&name).unwrap();
        let stable = flight.entry(&name).unwrap().replaces.clone().map(|f| (f, 4));
        let start = flight.rollout_start(rules, &workload(), stable);
        Event::Rollout { environment: name, event: RolloutEvent::Started(start) }
    }

    /// The runtime does what is wanted: weights at once, replicas when time has passed.
    fn follow(&mut self, passed: bool) {
        for target in self.fleet.targets().cloned().collect::<Vec<_>>() {
            let before = self.seen.get(&target).cloned().unwrap_or_default();
            let wanted = self.fleet.wanted(&target, &before).versions;
            assert_weights(&wanted.iter().map(|w| w.weight).collect::<Vec<_>>());
            let versions = wanted.into_iter().map(|w| {
                self.assert_migrated(&w.flight, &target);
                let failed = self.fleet.flight(&w.flight).and_then(|f| f.entry(&target.environment)?.rollout.as_ref());
                let failed = failed.is_some_and(|r| r.failure().is_some());
                assert!(!failed || w.weight == Weight::ZERO, "a failed candidate gets nothing: {}", self.all());
                let running = before.version(&w.flight).map_or(0, |v| v.replicas);
                let replicas = if passed { w.replicas } else { running };
                let up = !self.ill.contains(&(w.flight.clone(), Ill::Unready));
                let ready = if up { replicas } else { 0 };
                let counters = self.counted.get(&(target.clone(), w.flight.clone())).copied().unwrap_or_default();
                VersionSeen {
                    replicas,
                    ready,
                    available: ready,
                    waiting: (!up).then(|| "ImagePullBackOff".to_owned()),
                    weight: w.weight,
                    counters,
                    ..VersionSeen::none(w.flight)
                }
            });
            let seen = Observation::of(versions.collect());
            self.seen.insert(target, seen);
        }
    }

    /// Nothing runs of a release before its migration has ended well.
    fn assert_migrated(&self, flight: &FlightId, target: &Target) {
        let entry = self.fleet.flight(flight).and_then(|f| f.entry(&target.environment));
        let migration = entry.and_then(|e| e.migration.as_ref());
        assert!(migration.is_none_or(|m| m.ended == Some(Ok(()))), "it is not migrated: {}", self.all());
    }

    fn pass_a_second(&mut self) {
        self.now += SignedDuration::from_secs(1);
        for (target, seen) in &mut self.seen {
            for version in seen.versions.iter_mut().filter(|v| v.ready > 0) {
                let requests = 2 * u64::from(version.weight.percent());
                let is = |ill| self.ill.contains(&(version.revision.clone(), ill));
                let flight = self.fleet.flight(&version.revision);
                let watched = flight.is_some_and(|f| f.standing(&target.environment) == Standing::Watched);
                let ill = is(Ill::Requests) || (is(Ill::Late) && watched);
                version.counters.requests += requests;
                version.counters.failures += if ill { requests / 2 } else { 0 };
                self.counted.insert((target.clone(), version.revision.clone()), version.counters);
            }
        }
        self.follow(true);
    }

    /// Until nothing more happens by itself, or people are waited for.
    pub(crate) fn run(&mut self) -> &mut Self {
        for _ in 0..1_000 {
            let waits = |f: &Flight| self.config.environments.iter().any(|e| f.waits_at(&e.name));
            let before = self.journal.len();
            if self.fleet.active().all(waits) {
                self.step();
                if self.journal.len() == before {
                    return self;
                }
            } else {
                self.step();
            }
        }
        panic!("it does not end: {}", self.all());
    }

    /// Until a flight is busy with a stage.
    pub(crate) fn until(&mut self, flight: char, stage: &Stage) -> &mut Self {
        for _ in 0..1_000 {
            if self.flight(flight).stage() == *stage {
                return self;
            }
            self.decide();
            if self.flight(flight).stage() == *stage {
                return self;
            }
            self.carry_out();
            self.pass_a_second();
        }
        panic!("{flight} is never in {stage:?}: {}", self.all());
    }

    pub(crate) fn flight(&self, flight: char) -> &Flight {
        self.fleet.flight(&id(flight)).unwrap()
    }

    pub(crate) fn seen(&self, at: &str) -> Observation {
        self.seen.get(&target(at)).cloned().unwrap_or_default()
    }

    /// The versions that run and their shares, such as `a:90 b:10`.
    pub(crate) fn serving(&self, at: &str) -> String {
        let wanted = self.fleet.wanted(&target(at), &self.seen(at)).versions;
        let shares = wanted.iter().map(|w| format!("{}:{}", letter(&w.flight), w.weight.percent()));
        shares.collect::<Vec<_>>().join(" ")
    }

    /// What happened to a flight, in the words of the stored types.
    pub(crate) fn told(&self, flight: char) -> String {
        let of = self.journal.iter().filter(|r| r.flight == id(flight));
        of.map(word).collect::<Vec<_>>().join(" ")
    }

    fn all(&self) -> String {
        self.journal.iter().map(|r| format!("{}.{}", letter(&r.flight), word(r))).collect::<Vec<_>>().join(" ")
    }
}

/// Weights sum to 100, or nothing serves.
pub(crate) fn assert_weights(weights: &[Weight]) {
    let sum: u32 = weights.iter().map(|w| u32::from(w.percent())).sum();
    assert!(sum == 100 || sum == 0, "weights sum to 100 or nothing serves: {weights:?}");
}

/// A fact in a word: `test/promoted`, `ended:landed`.
fn word(recorded: &Recorded) -> String {
    let (name, payload) = recorded.event.encode();
    let fact = name.rsplit('.').next().unwrap();
    let place = payload.get("environment").and_then(Value::as_str);
    let how = payload.pointer("/outcome/outcome").and_then(Value::as_str);
    match (place, how) {
        (Some(place), _) => format!("{place}/{fact}"),
        (None, Some(how)) => format!("{fact}:{how}"),
        (None, None) => fact.to_owned(),
    }
}

fn workload() -> Workload {
    Workload {
        name: "pad".into(),
        labels: BTreeMap::new(),
        replicas: 4,
        rolling: RollingUpdate::default(),
        min_ready_s: 0,
        progress_deadline_s: 60,
        termination_grace_s: 30,
        container: Container {
            name: "pad".into(),
            image: "pad".into(),
            command: None,
            args: None,
            working_dir: None,
            env: Vec::new(),
            ports: Vec::new(),
            startup: None,
            liveness: None,
            readiness: None,
        },
        service_ports: Vec::new(),
        autoscaling: None,
    }
}
