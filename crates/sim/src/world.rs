//! Everything outside the controllers, in memory: it outlives them, as Git, the journal and running replicas do.
//! Deterministic: what happens depends on the scenario, on what is asked, and on the world's own time.

mod cluster;
mod git;
mod holding;
mod judging;
mod migrations;

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use prograde_control::ports::{AppendError, Deployment, Measurement, Notice, PortError, Revert, RunVersion};
use prograde_model::event::{Event, Recorded};
use prograde_model::gate::Holds;
use prograde_model::group::Member;
use prograde_model::ids::{CommitId, Digest, FlightId, ServiceName, Target};
use prograde_model::metric::{Found, MetricSource};
use prograde_model::runtime::{Observation, Routing};
use prograde_model::service::Service;
use prograde_model::workload::{Container, RollingUpdate, Workload};
use tokio::sync::watch;

use crate::character::Character;
use crate::check::{Checker, Invariant};
use crate::random::Random;
use crate::scenario::{Push, Scenario};
use crate::story::{self, Kind, Line};
use crate::trouble::{Part, Trouble, Window};
pub use cluster::Cluster;
pub use git::{Commit, Git, Wrote};
pub use holding::Closing;
pub(crate) use judging::{cause_of, judged};
use migrations::Migrated;
pub use migrations::Migrating;

/// When every run begins, by the world's own time.
const BEGIN: Timestamp = Timestamp::constant(1_767_323_045, 0);

/// A defect put into the world on purpose, to show that the checks see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// The runtime is asked for one percent less than all.
    LosesTraffic,
    /// A candidate that failed keeps one percent.
    KeepsFailed,
    /// The stable version loses a replica while a canary goes on.
    ShrinksStable,
    /// The journal forgets its last fact when the process dies.
    ForgetsFact,
    /// Reverts are answered and not written.
    ForgetsRevert,
    /// People are not told although the channel says so.
    TellsNobody,
    /// A step is said to have passed without a request.
    PassesUnseen,
    /// What failed is not put into quarantine.
    ForgetsQuarantine,
    /// Each time it is asked again, it is asked with another time.
    AsksAnew,
    /// The runtime never takes a replica away.
    KeepsReplicas,
    /// The runtime starts nothing.
    StartsNothing,
    /// The judge is shown no failures.
    HidesFailures,
    /// What came before a group's service that failed stays.
    ForgetsGroup,
    /// Migrations are said to be done and are not.
    SkipsMigrations,
    /// A release whose migration has failed is run all the same.
    RunsUnmigrated,
    /// A migration is run once more when the release serves.
    MigratesAgain,
    /// Nobody is told that a migration can't be undone.
    HidesPoints,
    /// Nobody is told what keeps releases out.
    HidesHolds,
}

/// All that is remembered.
#[derive(Debug, Clone)]
pub struct State {
    /// The world's own time, in milliseconds since the beginning. Never goes back, whatever the clock says.
    pub now_ms: i64,
    /// The journal.
    pub journal: Vec<Recorded>,
    /// The deployment repository.
    pub git: Git,
    /// What runs.
    pub cluster: Cluster,
    /// What people were told.
    pub notices: Vec<Notice>,
    /// What goes wrong, and when.
    pub windows: Vec<Window>,
    /// With which work the next trouble begins, what it is, and how long it lasts in milliseconds.
    pub after_work: Option<(Part, Trouble, i64)>,
    /// Checks every promise.
    pub check: Checker,
    /// What happened, where it is told.
    pub story: Option<Vec<Line>>,
    /// The text of every commit's `prograde.yaml`.
    pub config: String,
    /// How manifests ask to be run.
    pub workload: Workload,
    pub(crate) service: Service,
    pub(crate) mutant: Option<Mutant>,
    pushes: Vec<Push>,
    traffic: Vec<(i64, i64)>,
    random: Random,
    shown: BTreeMap<Target, Observation>,
    ids: u64,
    migrated: Migrated,
    closings: Vec<Closing>,
    /// What was last said to keep releases out.
    answered: Holds,
}

/// The state, and the news of it.
#[derive(Debug)]
pub struct World {
    state: Mutex<State>,
    /// Changes when the runtime does.
    pub(crate) changed: watch::Sender<u64>,
}

impl World {
    /// A world in this state.
    pub fn new(state: State) -> Self {
        Self { state: Mutex::new(state), changed: watch::Sender::new(0) }
    }

    /// The state as it is at a time; time never goes back.
    pub fn at(&self, now_ms: i64) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.pass(now_ms);
        state
    }

    /// The state as it was last.
    pub fn last(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name that this crate makes from digits, or that was read before.
#[expect(
    clippy::expect_used,
    reason = "made of the right digits by the caller; a wrong one is a defect of the simulator"
)]
pub(crate) fn name<T: FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a name of the right form")
}

/// The commit of a number; told apart by the first digits, as people abbreviate them.
pub fn commit(number: u64) -> CommitId {
    name(&format!("{number:08x}{:032x}", 0))
}

/// The digest of an image's number.
pub fn digest(number: u64) -> Digest {
    name(&format!("sha256:{number:012x}{:052x}", 0))
}

impl State {
    /// The world of a scenario before anything has happened.
    pub fn new(scenario: &Scenario) -> Self {
        Self {
            now_ms: 0,
            journal: Vec::new(),
            git: Git::default(),
            cluster: Cluster::default(),
            notices: Vec::new(),
            windows: scenario.windows.clone(),
            after_work: None,
            check: Checker::new(scenario.busy_ms()),
            story: None,
            config: scenario.config.clone(),
            workload: workload(scenario),
            service: scenario.service.clone(),
            mutant: None,
            pushes: scenario.pushes.clone(),
            traffic: scenario.traffic.clone(),
            random: Random::new(scenario.seed ^ 0x0057_0A1D),
            shown: BTreeMap::new(),
            ids: 0,
            migrated: Migrated::default(),
            closings: scenario.closings.clone(),
            answered: Holds::default(),
        }
    }

    /// A commit arrives now.
    pub fn push(&mut self, number: u64, character: Character) {
        self.push_migrating(number, character, None);
    }

    /// A commit arrives now whose release does something to its data first.
    pub fn push_migrating(&mut self, number: u64, character: Character, migrating: Option<Migrating>) {
        let (at_ms, announced) = (self.now_ms, false);
        self.pushes.push(Push { at_ms, commit: number, image: number, character, migrating, announced, fix: false });
    }

    /// So many requests a second arrive at each target from now on.
    pub fn set_rate(&mut self, rate: i64) {
        self.traffic.push((self.now_ms, rate));
    }

    /// Says what happens, where it is told.
    pub(crate) fn tell(&mut self, kind: Kind, text: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.push(Line { at_ms: self.now_ms, kind, text: text() });
        }
    }

    pub(crate) fn broke(&mut self, invariant: Invariant, text: String) {
        self.tell(Kind::Broken, || format!("{invariant}: {text}"));
        self.check.broke(self.now_ms, invariant, text);
    }

    /// What the controllers' clock says.
    pub fn wall(&self) -> Timestamp {
        let wrong_ms: i64 = self.holding().map(|t| if let Trouble::Clock(ms) = t { ms } else { 0 }).sum();
        BEGIN + SignedDuration::from_millis(self.now_ms + wrong_ms)
    }

    fn holding(&self) -> impl Iterator<Item = Trouble> {
        self.windows.iter().filter(|w| w.holds(self.now_ms)).map(|w| w.trouble)
    }

    /// The first trouble that calls to a part meet now, and when it is over.
    pub(crate) fn trouble_at(&self, part: Part) -> Option<(Trouble, i64)> {
        let met = |t: Trouble| matches!(t, Trouble::Down(p) | Trouble::Silent(p) | Trouble::Slow(p, _) if p == part);
        self.windows.iter().find(|w| w.holds(self.now_ms) && met(w.trouble)).map(|w| (w.trouble, w.to_ms))
    }

    /// Requests arrive and replicas start, whether or not a controller lives.
    pub fn pass(&mut self, now_ms: i64) {
        if now_ms <= self.now_ms {
            return;
        }
        let (before, elapsed) = (self.now_ms, now_ms - self.now_ms);
        self.now_ms = now_ms;
        let rate = self.traffic.iter().rfind(|(from, _)| *from <= now_ms).map_or(0, |(_, rate)| *rate);
        self.cluster.pass(elapsed, rate, now_ms, &mut self.random);
        let began = |from: i64| (before..now_ms).contains(&(from - 1));
        for at in 0..self.windows.len() {
            let Some(window) = self.windows.get(at).copied() else { continue };
            if began(window.from_ms) {
                self.begin(window);
            }
            if self.story.is_some() && began(window.to_ms) && window.to_ms > window.from_ms + 1 {
                self.tell(Kind::Fault, || format!("over: {}", window.trouble));
            }
        }
        if self.story.is_some() {
            for push in self.pushes.clone().into_iter().filter(|p| began(p.at_ms)) {
                let migrates = push.migrating.map_or_else(String::new, |m| format!("; {m}"));
                self.tell(Kind::World, || {
                    format!("push of {}: {}{migrates}", commit(push.commit).short(), push.character)
                });
            }
            for (_, rate) in self.traffic.clone().into_iter().filter(|(from, _)| began(*from)) {
                self.tell(Kind::World, || format!("{rate} requests arrive a second"));
            }
        }
    }

    fn begin(&mut self, window: Window) {
        self.tell(Kind::Fault, || window.trouble.to_string());
        self.check.misled |= window.trouble.misleads();
        match window.trouble {
            Trouble::CountersReset => self.cluster.forget(),
            Trouble::ReplicaCrash => self.cluster.crash(self.now_ms, &mut self.random),
            Trouble::Down(_)
            | Trouble::Silent(_)
            | Trouble::Slow(..)
            | Trouble::Blind
            | Trouble::Stale
            | Trouble::HidesFailures
            | Trouble::InventsFailures
            | Trouble::Clock(_) => {}
        }
    }

    /// The newest commit.
    pub fn head(&self) -> Option<CommitId> {
        self.pushed().map(|p| commit(p.commit))
    }

    fn pushed(&self) -> Option<&Push> {
        self.pushes.iter().filter(|p| p.at_ms <= self.now_ms).max_by_key(|p| p.at_ms)
    }

    /// What a commit was pushed with.
    pub(crate) fn push_of(&self, of: &CommitId) -> Option<&Push> {
        self.pushes.iter().find(|p| commit(p.commit) == *of)
    }

    /// What an image is like.
    pub fn character(&self, of: &Digest) -> Character {
        self.pushes.iter().find(|p| digest(p.image) == *of).map_or(Character::GOOD, |p| p.character)
    }

    /// The digest that a service's image comes out with. Of a group one service is what the push makes of it, in turn; the
    /// others are good, and the same for a few pushes.
    pub(crate) fn digest_of(&self, image: u64, service: &ServiceName) -> Digest {
        let members = self.service.members();
        let number = |at: usize| u64::try_from(at).unwrap_or(0);
        let at = number(members.iter().position(|member| member.name == *service).unwrap_or(0));
        let changed = image / 2 % number(members.len()).max(1);
        if members.len() < 2 || at == changed { digest(image) } else { digest(((at + 1) << 32) | (image / 4)) }
    }

    /// Every place that a flight goes to.
    pub(crate) fn targets(&self) -> Vec<Target> {
        let members = self.service.members();
        let environments = self.service.environments.iter();
        let targets = environments.flat_map(|environment| {
            let of = |member: &Member| Target { environment: environment.name.clone(), service: member.name.clone() };
            members.iter().map(of).collect::<Vec<_>>()
        });
        targets.collect()
    }

    /// An id that no flight has.
    pub(crate) fn next_id(&mut self) -> Option<FlightId> {
        self.ids += 1;
        let drawn = u128::from(self.random.bits() >> 32) << 96;
        FlightId::from_random((drawn | u128::from(self.ids)).to_be_bytes())
    }

    pub(crate) fn append(
        &mut self,
        flight: &FlightId,
        version: u64,
        at: Timestamp,
        events: &[Event],
    ) -> Result<Vec<Recorded>, AppendError> {
        let known = self.journal.iter().filter(|r| r.flight == *flight).count();
        if u64::try_from(known).unwrap_or(u64::MAX) != version {
            return Err(AppendError::Conflict { flight: flight.clone() });
        }
        let events = self.mutated_facts(events);
        self.check_facts(flight, at, &events);
        self.check_held(flight, &events);
        if self.mutant == Some(Mutant::MigratesAgain) {
            self.migrate_again(flight, &events);
        }
        let first = self.journal.len();
        for event in events {
            let sequence = u64::try_from(self.journal.len()).unwrap_or(u64::MAX).saturating_add(1);
            let recorded = Recorded { sequence, at, flight: flight.clone(), event };
            self.tell(Kind::Fact, || story::fact(&recorded));
            self.journal.push(recorded);
        }
        Ok(self.journal.get(first..).unwrap_or_default().to_vec())
    }

    /// The facts after a sequence.
    pub(crate) fn read_after(&self, sequence: u64, limit: usize) -> Vec<Recorded> {
        let first = usize::try_from(sequence).unwrap_or(usize::MAX);
        self.journal.get(first..).unwrap_or_default().iter().take(limit).cloned().collect()
    }

    pub(crate) fn apply(&mut self, target: &Target, asked: &[RunVersion], routing: &Routing) {
        if self.cluster.running(target).into_iter().ne(asked.iter().map(|v| (v.flight.clone(), v.weight))) {
            self.tell(Kind::Runtime, || {
                let shares = asked.iter().map(|v| format!("{} {}", story::named(&v.flight), v.weight));
                format!("{target}: {}", shares.collect::<Vec<_>>().join(", "))
            });
        }
        let drain_ms = self.random.between(0, 2_000);
        let drain_ms = if self.mutant == Some(Mutant::KeepsReplicas) { 1 << 50 } else { drain_ms };
        let pushes = &self.pushes;
        let character =
            |of: &Digest| pushes.iter().find(|p| digest(p.image) == *of).map_or(Character::GOOD, |p| p.character);
        self.cluster.apply(target, (asked, routing), character, (self.now_ms, drain_ms), &mut self.random);
    }

    /// What the controllers are shown of a target.
    pub(crate) fn show(&mut self, target: &Target) -> Observation {
        let mut seen = self.cluster.observe(target, self.now_ms);
        for trouble in self.windows.iter().filter(|w| w.holds(self.now_ms)).map(|w| w.trouble) {
            match trouble {
                Trouble::Blind => seen = Observation::default(),
                Trouble::Stale => seen = self.shown.get(target).cloned().unwrap_or(seen),
                Trouble::HidesFailures => seen.versions.iter_mut().for_each(|v| v.counters.failures = 0),
                Trouble::InventsFailures => {
                    seen.versions.iter_mut().for_each(|v| v.counters.failures = v.counters.requests / 2);
                }
                Trouble::Down(_)
                | Trouble::Silent(_)
                | Trouble::Slow(..)
                | Trouble::CountersReset
                | Trouble::ReplicaCrash
                | Trouble::Clock(_) => {}
            }
        }
        if self.mutant == Some(Mutant::HidesFailures) {
            seen.versions.iter_mut().for_each(|v| v.counters.failures = 0);
        }
        self.shown.insert(target.clone(), seen.clone());
        seen
    }

    pub(crate) fn shown(&self, target: &Target) -> Observation {
        self.shown.get(target).cloned().unwrap_or_default()
    }

    /// What a check is answered in an environment.
    pub(crate) fn status(&self, target: &Target) -> u16 {
        let last = self.service.environments.last().is_some_and(|e| e.name == target.environment);
        match self.cluster.serving(target) {
            None => 503,
            Some(character) if last && character.check_fails => 500,
            Some(_) => 200,
        }
    }

    /// What is measured of a version. A query has to name it.
    pub(crate) fn measure(&self, measurement: &Measurement) -> Found {
        if let MetricSource::Prometheus(query) = &measurement.source
            && !query.query.contains(measurement.flight.as_str())
        {
            return Found::Error { why: format!("strange query: {}", query.query) };
        }
        let mut versions = self.cluster.versions(&measurement.target);
        let over = versions.any(|v| v.flight == measurement.flight && v.character.over_limit);
        Found::number(if over { 512.0 } else { 1.0 })
    }

    /// A work is done, with which a trouble may begin.
    pub(crate) fn done(&mut self, part: Part) {
        if let Some((_, trouble, lasts_ms)) = self.after_work.take_if(|(after, ..)| *after == part) {
            let to_ms = self.now_ms.saturating_add(lasts_ms);
            self.windows.push(Window { from_ms: self.now_ms, to_ms, trouble });
        }
    }

    pub(crate) fn deploy(&mut self, mut deployment: Deployment) -> CommitId {
        if self.mutant == Some(Mutant::AsksAnew) {
            deployment.at = self.wall();
        }
        let wrote = self.git.deploy(&deployment);
        self.done(Part::Git);
        self.wrote(wrote)
    }

    pub(crate) fn revert(&mut self, revert: &Revert) -> Result<CommitId, PortError> {
        if self.mutant == Some(Mutant::ForgetsRevert) {
            return Ok(revert.commit.clone());
        }
        let wrote = self.git.revert(revert)?;
        Ok(self.wrote(wrote))
    }

    /// A person merges what a flight proposed; whether it is there to be merged.
    pub(crate) fn merge(&mut self, target: &Target, flight: &FlightId) -> bool {
        let Some(id) = self.git.merge(target, flight) else { return false };
        self.tell(Kind::Person, || format!("merges {} into {target} by {}", story::named(flight), id.short()));
        true
    }

    fn wrote(&mut self, wrote: Result<CommitId, String>) -> CommitId {
        let last = || self.git.commits.last().map_or_else(|| commit(0), |c| c.id.clone());
        let id = wrote.clone().unwrap_or_else(|_| last());
        match wrote {
            Ok(_) => self.tell(Kind::Git, || format!("the deployment repository is at {}", id.short())),
            Err(words) => self.broke(Invariant::Idempotent, words),
        }
        id
    }
}

fn workload(scenario: &Scenario) -> Workload {
    Workload {
        name: scenario.service.service.to_string(),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        replicas: scenario.replicas,
        rolling: RollingUpdate::default(),
        min_ready_s: 0,
        progress_deadline_s: scenario.progress_deadline_s,
        termination_grace_s: 30,
        container: Container {
            name: scenario.service.service.to_string(),
            image: String::new(),
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
        autoscaling: scenario.autoscaling.clone(),
        confinement: None,
        unconfined: Vec::new(),
    }
}
