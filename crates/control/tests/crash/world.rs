//! Everything outside the controllers, in memory: it outlives them, as Git, the journal and running replicas do.
//! Deterministic: what happens depends on what is asked and on the time alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use prograde_control::ports::{AppendError, Deployment, Notice, PortError, Revert, RunVersion};
use prograde_model::event::{Event, Recorded};
use prograde_model::ids::{CommitId, Digest, FlightId, Target, Weight};
use prograde_model::metric::Found;
use prograde_model::rollout::RolloutEvent;
use prograde_model::runtime::{Counters, Observation, VersionSeen};
use prograde_model::workload::{Container, RollingUpdate, Workload};
use tokio::sync::watch;

/// What is wrong with a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ill {
    /// Nothing.
    No,
    /// Half of its requests fail.
    Requests,
    /// Its replicas never become ready.
    Unready,
    /// Its check fails in production.
    Checks,
    /// What is measured of it is beyond the limit.
    Metric,
}

/// What a commit in the deployment repository did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wrote {
    Deploy,
    Revert,
}

/// The requests that arrive in a second for each percent of traffic.
const RATE: u64 = 10;

/// All that is remembered.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) now: Timestamp,
    pub(crate) journal: Vec<Recorded>,
    /// The newest commit, as the letter that it is made of.
    pub(crate) head: Option<char>,
    pub(crate) ill: BTreeMap<char, Ill>,
    /// The deployment repository.
    pub(crate) git: Vec<(CommitId, Wrote, FlightId, Target)>,
    /// With what each commit was asked for; asked again, it must be the same.
    asked: BTreeMap<(Wrote, FlightId, Target), String>,
    pub(crate) running: BTreeMap<Target, Vec<RunVersion>>,
    /// Thousandths of requests.
    parts: BTreeMap<(Target, FlightId), u64>,
    pub(crate) notices: Vec<Notice>,
    /// What does not answer, and until when.
    pub(crate) down: BTreeMap<&'static str, Timestamp>,
    /// With which work the next outage begins, of what, and how many seconds it lasts.
    pub(crate) outage: Option<(&'static str, &'static str, i64)>,
    /// Whether the source never answers again once the next deployment is committed, and whether that is so.
    pub(crate) silent_after_commit: bool,
    pub(crate) silent: bool,
    /// How many people must approve for production.
    pub(crate) approvals: u32,
    /// Every promise that was broken.
    pub(crate) broken: Vec<String>,
}

/// The state, and the news of it.
pub(crate) struct World {
    state: Mutex<State>,
    pub(crate) changed: watch::Sender<u64>,
}

impl World {
    pub(crate) fn new(state: State) -> Self {
        Self { state: Mutex::new(state), changed: watch::Sender::new(0) }
    }

    /// The state as it is at `now`.
    pub(crate) fn at(&self, now: Timestamp) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.pass(now);
        state
    }

    pub(crate) fn copy(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub(crate) fn commit(letter: char) -> CommitId {
    letter.to_string().repeat(40).parse().unwrap()
}

pub(crate) fn digest(commit: &CommitId) -> Digest {
    format!("sha256:{}", commit.as_str()[..1].repeat(64)).parse().unwrap()
}

pub(crate) fn letter(text: &str) -> char {
    text.chars().next().unwrap()
}

impl State {
    pub(crate) fn new() -> Self {
        Self {
            now: "2026-01-02T03:04:05Z".parse().unwrap(),
            journal: Vec::new(),
            head: None,
            ill: BTreeMap::new(),
            git: Vec::new(),
            asked: BTreeMap::new(),
            running: BTreeMap::new(),
            parts: BTreeMap::new(),
            notices: Vec::new(),
            down: BTreeMap::new(),
            outage: None,
            silent_after_commit: false,
            silent: false,
            approvals: 0,
            broken: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, letter: char, ill: Ill) {
        self.head = Some(letter);
        self.ill.insert(letter, ill);
    }

    fn ill(&self, digest: &Digest) -> Ill {
        self.ill.get(&letter(digest.hex())).copied().unwrap_or(Ill::No)
    }

    /// Traffic goes on by the weights in force, whether or not a controller lives.
    fn pass(&mut self, now: Timestamp) {
        let elapsed_ms = u64::try_from(now.duration_since(self.now).as_millis()).unwrap_or(0);
        self.now = self.now.max(now);
        for (target, versions) in &self.running {
            for version in versions {
                let parts = self.parts.entry((target.clone(), version.flight.clone())).or_default();
                *parts += elapsed_ms * RATE * u64::from(version.weight.percent());
            }
        }
    }

    /// Time goes by while no controller lives.
    pub(crate) fn pass_seconds(&mut self, seconds: i64) {
        self.pass(self.now + SignedDuration::from_secs(seconds));
    }

    pub(crate) fn append(
        &mut self,
        flight: &FlightId,
        version: u64,
        at: Timestamp,
        events: &[Event],
    ) -> Result<Vec<Recorded>, AppendError> {
        let known = self.journal.iter().filter(|r| r.flight == *flight).count();
        if u64::try_from(known).unwrap() != version {
            return Err(AppendError::Conflict { flight: flight.clone() });
        }
        let first = self.journal.len();
        for event in events {
            let sequence = u64::try_from(self.journal.len()).unwrap() + 1;
            self.journal.push(Recorded { sequence, at, flight: flight.clone(), event: event.clone() });
        }
        Ok(self.journal[first..].to_vec())
    }

    /// Whether the journal says that a flight failed at a target.
    fn failed(&self, flight: &FlightId, target: &Target) -> bool {
        let failed = |event: &Event| {
            matches!(event, Event::Rollout { environment, event: RolloutEvent::Failed { .. } }
                if *environment == target.environment)
        };
        self.journal.iter().any(|r| r.flight == *flight && failed(&r.event))
    }

    pub(crate) fn apply(&mut self, target: &Target, versions: Vec<RunVersion>) {
        let sum: u32 = versions.iter().map(|v| u32::from(v.weight.percent())).sum();
        let shares = versions.iter().map(|v| format!("{}:{}", v.digest.short(), v.weight)).collect::<Vec<_>>();
        // Nobody serves only where there is nobody else: a first release that waits or leaves.
        if sum != 100 && (sum != 0 || versions.len() > 1) {
            self.broken.push(format!("{target}: weights are {shares:?}"));
        }
        for version in &versions {
            if version.weight != Weight::ZERO && self.failed(&version.flight, target) {
                self.broken.push(format!("{target}: a failed candidate got traffic: {shares:?}"));
            }
            let distinct: BTreeSet<_> = versions.iter().map(|v| &v.flight).collect();
            if distinct.len() != versions.len() {
                self.broken.push(format!("{target}: a version is named twice: {shares:?}"));
            }
        }
        self.running.insert(target.clone(), versions);
    }

    pub(crate) fn observe(&self, target: &Target) -> Observation {
        let versions = self.running.get(target).into_iter().flatten().map(|version| {
            let ill = self.ill(&version.digest);
            let ready = if ill == Ill::Unready { 0 } else { version.replicas };
            let parts = self.parts.get(&(target.clone(), version.flight.clone())).copied().unwrap_or_default();
            let requests = parts / 1_000;
            let failures = if ill == Ill::Requests { requests / 2 } else { 0 };
            VersionSeen {
                replicas: version.replicas,
                ready,
                available: ready,
                waiting: (ready < version.replicas).then(|| "ImagePullBackOff".to_owned()),
                weight: version.weight,
                counters: Counters { requests, failures, latency_us_sum: requests * 1_000 },
                ..VersionSeen::none(version.flight.clone())
            }
        });
        Observation::of(versions.collect())
    }

    pub(crate) fn status(&self, target: &str) -> u16 {
        let serving = self.running.iter().find(|(at, _)| at.environment.as_str() == target);
        let version = serving.and_then(|(_, versions)| versions.iter().max_by_key(|v| v.weight));
        match version.map(|v| self.ill(&v.digest)) {
            None => 503,
            Some(Ill::Checks) if target == "production" => 500,
            Some(Ill::No | Ill::Requests | Ill::Unready | Ill::Checks | Ill::Metric) => 200,
        }
    }

    /// What a query that names a flight gives.
    pub(crate) fn measure(&self, flight: &FlightId, query: &str) -> Found {
        if query != format!("max(depth{{flight=\"{flight}\"}})") {
            return Found::Error { why: format!("strange query: {query}") };
        }
        let running = self.running.values().flatten().find(|version| version.flight == *flight);
        let ill = running.map(|version| self.ill(&version.digest));
        Found::number(if ill == Some(Ill::Metric) { 512.0 } else { 1.0 })
    }

    /// A work is done, with which an outage may begin.
    pub(crate) fn done(&mut self, work: &str) {
        if let Some((_, what, seconds)) = self.outage.take_if(|(after, ..)| *after == work) {
            self.down.insert(what, self.now + SignedDuration::from_secs(seconds));
        }
    }

    pub(crate) fn commit(&mut self, deployment: &Deployment) -> CommitId {
        let asked = format!("{deployment:?}");
        self.silent |= std::mem::take(&mut self.silent_after_commit);
        self.done("commit");
        self.write(Wrote::Deploy, &deployment.flight, &deployment.target, &asked)
    }

    pub(crate) fn revert(&mut self, revert: &Revert) -> Result<CommitId, PortError> {
        let deployed = |(id, wrote, flight, target): &(CommitId, Wrote, FlightId, Target)| {
            (id, wrote, flight, target) == (&revert.commit, &Wrote::Deploy, &revert.flight, &revert.target)
        };
        if !self.git.iter().any(deployed) {
            return Err(PortError::Final(format!("there is no commit {}", revert.commit)));
        }
        Ok(self.write(Wrote::Revert, &revert.flight, &revert.target, &format!("{revert:?}")))
    }

    fn write(&mut self, wrote: Wrote, flight: &FlightId, target: &Target, asked: &str) -> CommitId {
        let before = self.asked.entry((wrote, flight.clone(), target.clone())).or_insert_with(|| asked.to_owned());
        if *before != asked {
            self.broken.push(format!("asked again with other words:\n{before}\n{asked}"));
        }
        let same = self.git.iter().find(|(_, w, f, t)| (w, f, t) == (&wrote, flight, target));
        if let Some((known, ..)) = same {
            return known.clone();
        }
        let id: CommitId = format!("{:040x}", self.git.len() + 1).parse().unwrap();
        self.git.push((id.clone(), wrote, flight.clone(), target.clone()));
        id
    }

    /// The flight that the deployment repository names at a target.
    pub(crate) fn named(&self, target: &Target) -> Option<FlightId> {
        let of = |wanted: Wrote| {
            self.git.iter().filter(move |(_, w, _, t)| *w == wanted && t == target).map(|(_, _, f, _)| f.clone())
        };
        let reverted: BTreeSet<_> = of(Wrote::Revert).collect();
        of(Wrote::Deploy).rfind(|f| !reverted.contains(f))
    }
}

pub(crate) fn workload() -> Workload {
    Workload {
        name: "pad".into(),
        labels: BTreeMap::new(),
        replicas: 2,
        rolling: RollingUpdate::default(),
        min_ready_s: 0,
        progress_deadline_s: 8,
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
    }
}
