//! A small world in which flights can be followed in a few words: effects work at once, replicas start when asked, a
//! second passes with each step. The invariants are checked with every fact and whenever the runtime follows.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::entry::{Entry, Standing};
use crate::event::{Event, Opened, Person, Place, Recorded, VERSION};
use crate::flag::{Flags, Setting};
use crate::fleet::Fleet;
use crate::flight::{Effect, Flight, Refusal, Stage};
use crate::gate::Holds;
use crate::group::Member;
use crate::ids::{CommitId, Digest, EnvironmentName, FlightId, ServiceName, Target, Weight};
use crate::migration::Migration;
use crate::policy::PolicyAnswers;
use crate::release::Release;
use crate::rollout::RolloutEvent;
use crate::runtime::{Counters, Observation, VersionSeen};
use crate::service::Service;
use crate::work::Work;
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
    /// The services of a group that alone are as ill as their flights; all where none is named.
    ill_services: BTreeMap<FlightId, ServiceName>,
    digests: BTreeMap<FlightId, Digest>,
    /// The services of a group that are as another flight had them.
    same: BTreeMap<(FlightId, ServiceName), FlightId>,
    seen: BTreeMap<Target, Observation>,
    counted: BTreeMap<(Target, FlightId), Counters>,
    /// What keeps releases out.
    pub(crate) holds: Holds,
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
        Self::of(json!({
            "version": 1, "service": "pad", "image": {"artifact": "pad", "binary": "pad"}, "environments": environments
        }))
    }

    /// Two services in one repository: `web` comes after `api`.
    pub(crate) fn group(environments: &Value) -> Self {
        let image = json!({"artifact": "pad", "binary": "pad"});
        let services = json!([
            {"name": "web", "after": ["api"], "image": image},
            {"name": "api", "image": image},
        ]);
        Self::of(json!({"version": 1, "service": "pad", "services": services, "environments": environments}))
    }

    fn of(config: Value) -> Self {
        Self {
            fleet: Fleet::default(),
            journal: Vec::new(),
            now: "2026-01-02T03:04:05Z".parse().unwrap(),
            config: serde_json::from_value(config).unwrap(),
            flags: None,
            replayed: Fleet::default(),
            ill: BTreeSet::new(),
            ill_services: BTreeMap::new(),
            digests: BTreeMap::new(),
            same: BTreeMap::new(),
            seen: BTreeMap::new(),
            counted: BTreeMap::new(),
            holds: Holds::default(),
        }
    }

    /// A commit arrives.
    pub(crate) fn push(&mut self, flight: char) -> &mut Self {
        self.pushed(flight, None)
    }

    fn pushed(&mut self, flight: char, work: Option<Work>) -> &mut Self {
        let author = Person { name: "Dora".into(), email: "dora@example.com".into() };
        let opened = Opened {
            service: "pad".parse::<ServiceName>().unwrap(),
            commit: commit(flight),
            branch: "main".into(),
            subject: format!("Change {flight}"),
            author,
            committed_at: self.now,
            work,
        };
        self.record(&id(flight), vec![Event::Opened(opened)]);
        self
    }

    /// A commit arrives that mends something.
    pub(crate) fn push_fix(&mut self, flight: char) -> &mut Self {
        self.pushed(flight, Some(Work::Fix))
    }

    /// A commit arrives that is ill.
    pub(crate) fn push_ill(&mut self, flight: char, ill: Ill) -> &mut Self {
        self.ill.insert((id(flight), ill));
        self.push(flight)
    }

    /// A commit arrives with which one service of a group is ill.
    pub(crate) fn push_ill_service(&mut self, flight: char, service: &str, ill: Ill) -> &mut Self {
        self.ill_services.insert(id(flight), service.parse().unwrap());
        self.push_ill(flight, ill)
    }

    pub(crate) fn is_group(&self) -> bool {
        self.config.is_group()
    }

    /// A commit arrives that leaves one service of a group as another flight had it.
    pub(crate) fn push_same(&mut self, flight: char, service: &str, other: char) -> &mut Self {
        self.same.insert((id(flight), service.parse().unwrap()), id(other));
        self.push(flight)
    }

    fn is_ill(&self, flight: &FlightId, service: &ServiceName, ill: Ill) -> bool {
        let here = self.ill_services.get(flight).is_none_or(|ill| ill == service);
        here && self.ill.contains(&(flight.clone(), ill))
    }

    /// The flight whose image and manifests a flight's service has.
    fn like(&self, flight: &FlightId, service: &ServiceName) -> FlightId {
        self.same.get(&(flight.clone(), service.clone())).unwrap_or(flight).clone()
    }

    /// Its requests fail from now on.
    pub(crate) fn fall_ill(&mut self, flight: char) {
        self.ill.insert((id(flight), Ill::Requests));
    }

    /// Its replicas come up no more from now on.
    pub(crate) fn lose(&mut self, flight: char) {
        self.ill.insert((id(flight), Ill::Unready));
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
        let migration = Some(serde_json::from_value::<Migration>(migration).unwrap());
        self.config.services.iter_mut().for_each(|member| member.migration.clone_from(&migration));
        self.config.migration = migration.filter(|_| !self.config.is_group());
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
            if let Event::RollbackOrdered { place, by, .. } = &event {
                let past = self.fleet.flight(flight).and_then(|f| f.entry(&f.target(place)));
                let past = past.is_some_and(Entry::is_past_return);
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

    /// A person merges what a flight proposed for production.
    pub(crate) fn merge(&mut self, flight: char) -> Result<(), Refusal> {
        let (at, merged) = (environment("production"), commit('4'));
        self.order(flight, |f, fleet| f.merge(fleet, &at, &merged, "ann"))
    }

    pub(crate) fn abort(&mut self, flight: char) -> Result<(), Refusal> {
        self.order(flight, |f, _| f.abort("ann", "not today"))
    }

    pub(crate) fn roll_back(&mut self, flight: char, from: &str, to: Option<char>) -> Result<(), Refusal> {
        self.order(flight, |f, fleet| f.roll_back(fleet, &target(from), (to.map(id), false), "ann", "it smells"))
    }

    pub(crate) fn roll_back_past(&mut self, flight: char, from: &str, to: Option<char>) -> Result<(), Refusal> {
        self.order(flight, |f, fleet| f.roll_back(fleet, &target(from), (to.map(id), true), "ann", "it smells"))
    }

    pub(crate) fn lift(&mut self, flight: char, from: &str) {
        let event = Event::QuarantineLifted {
            place: Place { environment: environment(from), service: None },
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
                let events = self.fleet.flight(&flight).unwrap().decide(&self.fleet, seen, &self.holds, self.now);
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
        let of = |service: &ServiceName| {
            let own = manifests(letter(&self.like(&flight.id, service)));
            self.config.environments.iter().map(|e| (e.name.clone(), own.clone())).collect::<BTreeMap<_, _>>()
        };
        let flags = self.flags.iter().map(|flags| ("flags.json".to_owned(), flags.clone())).collect();
        let group = self.config.services.iter().map(|member| (member.name.clone(), of(&member.name))).collect();
        let manifests = if self.config.is_group() { BTreeMap::new() } else { of(&self.config.service) };
        let (service, notices, policies) = (Box::new(self.config.clone()), Vec::new(), PolicyAnswers::default());
        Event::Configured { service, notices, manifests, group, flags, policies }
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
                let release = |member: &Member| {
                    let like = self.like(&flight.id, &member.name);
                    let digest = self.digests.get(&like).cloned().unwrap_or_else(|| digest(letter(&like)));
                    let service = flight.is_group().then(|| member.name.clone());
                    Event::ReleaseRecorded(Release {
                        commit: flight.commit().clone(),
                        digest,
                        size_bytes: 1,
                        service,
                        evidence: None,
                    })
                };
                self.config.members().iter().map(release).collect()
            }
            Effect::Propose(target) => vec![Event::Proposed { place: flight.place(&target), commit: git('3') }],
            Effect::Deploy(target) => {
                let (place, policies) = (flight.place(&target), PolicyAnswers::default());
                let deployed = Event::Deployed { place, commit: git('1'), policies };
                let migrates = flight.migration(&target).is_some();
                [deployed].into_iter().chain((!migrates).then(|| self.started(flight, &target))).collect()
            }
            Effect::Migrate(target) => {
                let ill = self.is_ill(&flight.id, &target.service, Ill::Migration);
                let failure = ill.then(|| "exit status 1: no such table".to_owned());
                let started = failure.is_none().then(|| self.started(flight, &target));
                flight.migrated(&self.fleet, &target, failure).into_iter().chain(started).collect()
            }
            Effect::Check(target) => {
                let ill = self.is_ill(&flight.id, &target.service, Ill::Checks);
                flight.checked(&self.fleet, &target, ill.then(|| "GET /healthz answered 500".into()))
            }
            Effect::Revert(target) => vec![Event::Reverted { place: flight.place(&target), commit: git('2') }],
            Effect::Notify => vec![Event::AuthorNotified { channels: vec!["log".into()], failures: Vec::new() }],
        }
    }

    fn started(&self, flight: &Flight, target: &Target) -> Event {
        let rules = self.config.environment(&target.environment).unwrap();
        let stable = flight.entry(target).unwrap().replaces.clone().map(|f| (f, 4));
        let start = flight.rollout_start(rules, &workload(), stable, self.holds.caution(flight, target));
        Event::Rollout { place: flight.place(target), event: RolloutEvent::Started(start) }
    }

    /// The runtime does what is wanted: weights at once, replicas when time has passed.
    fn follow(&mut self, passed: bool) {
        for target in self.fleet.targets().cloned().collect::<Vec<_>>() {
            let before = self.seen.get(&target).cloned().unwrap_or_default();
            let wanted = self.fleet.wanted(&target, &before).versions;
            assert_weights(&wanted.iter().map(|w| w.weight).collect::<Vec<_>>());
            let versions = wanted.into_iter().map(|w| {
                self.assert_migrated(&w.flight, &target);
                let failed = self.fleet.flight(&w.flight).and_then(|f| f.entry(&target)?.rollout.as_ref());
                let failed = failed.is_some_and(|r| r.failure().is_some());
                assert!(!failed || w.weight == Weight::ZERO, "a failed candidate gets nothing: {}", self.all());
                let running = before.version(&w.flight).map_or(0, |v| v.replicas);
                let replicas = if passed { w.replicas } else { running };
                let up = !self.is_ill(&w.flight, &target.service, Ill::Unready);
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
        let entry = self.fleet.flight(flight).and_then(|f| f.entry(target));
        let migration = entry.and_then(|e| e.migration.as_ref());
        assert!(migration.is_none_or(|m| m.ended == Some(Ok(()))), "it is not migrated: {}", self.all());
    }

    fn pass_a_second(&mut self) {
        self.now += SignedDuration::from_secs(1);
        let mut all = std::mem::take(&mut self.seen);
        for (target, seen) in &mut all {
            for version in seen.versions.iter_mut().filter(|v| v.ready > 0) {
                let requests = 2 * u64::from(version.weight.percent());
                let is = |ill| self.is_ill(&version.revision, &target.service, ill);
                let flight = self.fleet.flight(&version.revision);
                let watched = flight.is_some_and(|f| f.standing(target) == Standing::Watched);
                let ill = is(Ill::Requests) || (is(Ill::Late) && watched);
                version.counters.requests += requests;
                version.counters.failures += if ill { requests / 2 } else { 0 };
                self.counted.insert((target.clone(), version.revision.clone()), version.counters);
            }
        }
        self.seen = all;
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
        self.seen_at(&target(at))
    }

    pub(crate) fn seen_at(&self, target: &Target) -> Observation {
        self.seen.get(target).cloned().unwrap_or_default()
    }

    /// The versions of a group's service that run in production and their shares.
    pub(crate) fn serving_of(&self, service: &str) -> String {
        let target = Target { service: service.parse().unwrap(), ..target("production") };
        self.shares(&target)
    }

    /// The versions that run and their shares, such as `a:90 b:10`.
    pub(crate) fn serving(&self, at: &str) -> String {
        self.shares(&target(at))
    }

    fn shares(&self, target: &Target) -> String {
        let wanted = self.fleet.wanted(target, &self.seen_at(target)).versions;
        let shares = wanted.iter().map(|w| format!("{}:{}", letter(&w.flight), w.weight.percent()));
        shares.collect::<Vec<_>>().join(" ")
    }

    /// What happened to a flight, in the words of the stored types, without the marks of its steps.
    pub(crate) fn told(&self, flight: char) -> String {
        let is_mark = |r: &&Recorded| matches!(r.event, Event::Rollout { event: RolloutEvent::Marked { .. }, .. });
        let of = self.journal.iter().filter(|r| r.flight == id(flight)).filter(|r| !is_mark(r));
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
    let environment = payload.get("environment").and_then(Value::as_str);
    let service = payload.get("service").and_then(Value::as_str).filter(|_| environment.is_some());
    let place = service.or(environment);
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
        annotations: BTreeMap::new(),
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
        confinement: None,
        unconfined: Vec::new(),
    }
}
