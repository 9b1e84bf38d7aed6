//! What runs, and the requests that it answers. Advanced from call to call: between two calls nothing is asked, so
//! nothing needs to be known.

use std::collections::BTreeMap;

use prograde_control::ports::{ReplicaUse, RunVersion};
use prograde_model::ids::{Digest, FlightId, Target, Weight};
use prograde_model::runtime::{Counters, Observation, Routing, Tally, VersionSeen};

use crate::character::{Character, Readiness};
use crate::random::Random;

/// A request in the unit in which its parts are added up: milliseconds × requests a second × percent × percent.
const REQUEST: i64 = 10_000_000;
/// How many percent of all requests have the mark of an audience.
const AUDIENCE: i64 = 20;

/// All that runs.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    targets: BTreeMap<Target, Vec<Version>>,
}

/// One version of a service.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) flight: FlightId,
    pub(crate) weight: Weight,
    pub(crate) replicas_wanted: u32,
    /// Whether the last application named it; the replicas of others end.
    pub(crate) wanted: bool,
    pub(crate) character: Character,
    replicas: Vec<Replica>,
    crashes: u32,
    counters: Counters,
    /// What the counters were when they last began again from zero.
    forgotten: Counters,
    parts: i64,
    /// Copies of others' requests.
    mirrored: Tally,
    mirrored_parts: i64,
    /// How many percent of all requests are copied to it.
    copied: i64,
    /// How many percent of all requests come from its audience.
    audience: i64,
    successes_left: u64,
    first_ready_ms: Option<i64>,
}

#[derive(Debug, Clone)]
struct Replica {
    started_ms: i64,
    gone_ms: Option<i64>,
}

impl Replica {
    fn ready(&self, character: &Character, now_ms: i64) -> bool {
        let up_ms = now_ms - self.started_ms - character.start_ms;
        self.gone_ms.is_none()
            && up_ms >= 0
            && match character.readiness {
                Readiness::Ready => true,
                Readiness::Never | Readiness::Crashing { .. } => false,
                Readiness::Flapping { turn_ms } => (up_ms / turn_ms.max(1)) % 2 == 0,
            }
    }

    fn restarts(&self, character: &Character, now_ms: i64) -> u32 {
        let Readiness::Crashing { every_ms } = character.readiness else { return 0 };
        u32::try_from((now_ms - self.started_ms) / every_ms.max(1)).unwrap_or_default()
    }
}

impl Version {
    fn new(asked: &RunVersion, character: Character, random: &mut Random) -> Self {
        Self {
            flight: asked.flight.clone(),
            weight: Weight::ZERO,
            replicas_wanted: 0,
            wanted: true,
            character,
            replicas: Vec::new(),
            crashes: 0,
            counters: Counters::default(),
            forgotten: Counters::default(),
            parts: 0,
            mirrored: Tally::default(),
            mirrored_parts: 0,
            copied: 0,
            audience: 0,
            successes_left: random.successes(character.failing),
            first_ready_ms: None,
        }
    }

    /// Starts what is missing and ends what is too much, the youngest first; those take a while to go.
    fn scale(&mut self, replicas: u32, now_ms: i64, drain_ms: i64) {
        self.replicas_wanted = replicas;
        let wanted = usize::try_from(replicas).unwrap_or(usize::MAX);
        let staying = self.replicas.iter().filter(|r| r.gone_ms.is_none()).count();
        for replica in self.replicas.iter_mut().filter(|r| r.gone_ms.is_none()).skip(wanted) {
            replica.gone_ms = Some(now_ms + drain_ms);
        }
        for _ in staying..wanted {
            self.replicas.push(Replica { started_ms: now_ms, gone_ms: None });
        }
    }

    fn ready(&self, now_ms: i64) -> u32 {
        count(self.replicas.iter().filter(|r| r.ready(&self.character, now_ms)).count())
    }

    /// Its share of the traffic of a time arrives. `others` is how many percent of all requests are not drawn by weight.
    fn serve(&mut self, parts: i64, others: i64, now_ms: i64, random: &mut Random) {
        self.replicas.retain(|r| r.gone_ms.is_none_or(|gone| gone > now_ms));
        let ready = self.ready(now_ms);
        if ready > 0 && self.first_ready_ms.is_none() {
            self.first_ready_ms = Some(now_ms);
        }
        let drawn = i64::from(self.weight.percent()) * (100 - others);
        self.parts += parts * (drawn + self.marked(now_ms) * 100);
        let requests = whole(&mut self.parts);
        let failures = if ready == 0 { requests } else { self.failures_among(requests, now_ms, random) };
        self.counters.requests += requests;
        self.counters.failures += failures;
        self.counters.latency_us_sum += requests * 1_000;
        if ready > 0 && self.copied > 0 {
            self.mirrored_parts += parts * self.copied * 100;
            let copies = whole(&mut self.mirrored_parts);
            self.mirrored.requests += copies;
            self.mirrored.failures += self.failures_among(copies, now_ms, random);
        }
    }

    /// How many percent of all requests come to it whatever the weights say.
    fn marked(&self, now_ms: i64) -> i64 {
        if self.audience > 0 && self.ready(now_ms) > 0 { self.audience } else { 0 }
    }

    fn failures_among(&mut self, requests: u64, now_ms: i64, random: &mut Random) -> u64 {
        let since = self.first_ready_ms.map_or(0, |first| now_ms - first);
        if self.character.failing_after_ms > 0 && since < self.character.failing_after_ms {
            return 0;
        }
        let (mut left, mut failures) = (requests, 0);
        while left > self.successes_left {
            left -= self.successes_left + 1;
            failures += 1;
            self.successes_left = random.successes(self.character.failing);
        }
        self.successes_left -= left;
        failures
    }

    fn seen(&self, now_ms: i64) -> VersionSeen {
        let ready = self.ready(now_ms);
        let restarts: u32 = self.replicas.iter().map(|r| r.restarts(&self.character, now_ms)).sum();
        let waiting = match self.character.readiness {
            Readiness::Crashing { .. } => Some("CrashLoopBackOff: exit status 101".to_owned()),
            Readiness::Never => Some("readiness probe fails".to_owned()),
            Readiness::Ready | Readiness::Flapping { .. } => None,
        };
        VersionSeen {
            replicas: count(self.replicas.iter().filter(|r| r.gone_ms.is_none_or(|gone| gone > now_ms)).count()),
            ready,
            available: ready,
            restarts: restarts + self.crashes,
            waiting,
            weight: self.weight,
            counters: self.counters.since(self.forgotten),
            mirrored: self.mirrored.clone(),
            ..VersionSeen::none(self.flight.clone())
        }
    }
}

/// Takes the whole requests out of the parts.
fn whole(parts: &mut i64) -> u64 {
    let requests = *parts / REQUEST;
    *parts %= REQUEST;
    u64::try_from(requests).unwrap_or_default()
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl Cluster {
    /// Time goes by and requests arrive, `rate` a second at each target.
    pub(crate) fn pass(&mut self, elapsed_ms: i64, rate: i64, now_ms: i64, random: &mut Random) {
        for versions in self.targets.values_mut() {
            let others = versions.iter().map(|v| v.marked(now_ms)).sum();
            for version in versions.iter_mut() {
                version.serve(elapsed_ms * rate, others, now_ms, random);
            }
            versions.retain(|v| v.wanted || !v.replicas.is_empty());
        }
    }

    /// A target runs just these versions from now on.
    pub(crate) fn apply(
        &mut self,
        target: &Target,
        (asked, routing): (&[RunVersion], &Routing),
        character: impl Fn(&Digest) -> Character,
        (now_ms, drain_ms): (i64, i64),
        random: &mut Random,
    ) {
        let versions = self.targets.entry(target.clone()).or_default();
        for version in versions.iter_mut() {
            if !asked.iter().any(|a| a.flight == version.flight) {
                version.wanted = false;
                version.weight = Weight::ZERO;
                version.scale(0, now_ms, drain_ms);
            }
        }
        for one in asked {
            if !versions.iter().any(|v| v.flight == one.flight) {
                versions.push(Version::new(one, character(&one.digest), random));
            }
            for version in versions.iter_mut().filter(|v| v.flight == one.flight) {
                version.wanted = true;
                version.weight = one.weight;
                version.scale(one.replicas, now_ms, drain_ms);
            }
        }
        for version in versions.iter_mut() {
            let mirror = routing.mirror.as_ref().filter(|m| m.version == version.flight);
            version.copied = mirror.map_or(0, |m| i64::from(m.share.percent()));
            version.audience = if routing.audiences.iter().any(|a| a.version == version.flight) { AUDIENCE } else { 0 };
        }
    }

    /// What the runtime sees at a target when it sees well.
    pub(crate) fn observe(&self, target: &Target, now_ms: i64) -> Observation {
        Observation { versions: self.versions(target).map(|v| v.seen(now_ms)).collect(), ..Observation::default() }
    }

    /// What the replicas of a target use: nothing of the machine.
    pub(crate) fn usage(&self, target: &Target, now_ms: i64) -> Vec<ReplicaUse> {
        let of = |version: &Version| {
            let staying = version.replicas.iter().filter(|r| r.gone_ms.is_none());
            let used = staying.enumerate().map(|(place, replica)| ReplicaUse {
                replica: format!("{}-{place}", version.flight.short()),
                revision: version.flight.clone(),
                ready: replica.ready(&version.character, now_ms),
                cpu_us: Some(0),
                memory_bytes: Some(0),
            });
            used.collect::<Vec<_>>()
        };
        self.versions(target).flat_map(of).collect()
    }

    /// The versions that a target should run, with their replicas.
    pub fn replicas(&self, target: &Target) -> Vec<(FlightId, u32)> {
        self.versions(target).filter(|v| v.wanted).map(|v| (v.flight.clone(), v.replicas_wanted)).collect()
    }

    pub(crate) fn versions(&self, target: &Target) -> impl Iterator<Item = &Version> {
        self.targets.get(target).into_iter().flatten()
    }

    /// The versions that a target should run, with their shares.
    pub fn running(&self, target: &Target) -> Vec<(FlightId, Weight)> {
        self.versions(target).filter(|v| v.wanted).map(|v| (v.flight.clone(), v.weight)).collect()
    }

    /// What the version with the most traffic is like.
    pub(crate) fn serving(&self, target: &Target) -> Option<Character> {
        self.versions(target).filter(|v| v.wanted).max_by_key(|v| v.weight).map(|v| v.character)
    }

    /// All counters begin again from zero.
    pub(crate) fn forget(&mut self) {
        for version in self.targets.values_mut().flatten() {
            version.forgotten = version.counters;
        }
    }

    /// A replica somewhere ends and is started again.
    pub(crate) fn crash(&mut self, now_ms: i64, random: &mut Random) {
        let mut versions: Vec<&mut Version> = self.targets.values_mut().flatten().collect();
        let at = usize::try_from(random.below(versions.len() as u64)).unwrap_or_default();
        let Some(version) = versions.get_mut(at) else { return };
        let at = usize::try_from(random.below(version.replicas.len() as u64)).unwrap_or_default();
        if let Some(replica) = version.replicas.get_mut(at) {
            replica.started_ms = now_ms;
            version.crashes += 1;
        }
    }
}
