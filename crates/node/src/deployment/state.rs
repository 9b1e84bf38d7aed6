//! All that is known of one target, and what follows from it. Nothing here waits or touches the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prograde_model::runtime::Desired;
use prograde_model::{Digest, FlightId, Target};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::assignment::{Assignment, Role};
use super::replica::Replica;
use super::routes::ServiceRoute;
use super::version::{Version, Wanted};
use crate::clock::{age, now};
use crate::image::ImageRoot;
use crate::ledger::Entry;
use crate::plan::plan;
use crate::record::Record;
use crate::spec::Spec;
use crate::survivor::Survivor;

/// Versions that nobody wants but whose counters are kept, at most.
const RETIRED_MAX: usize = 10;

/// One target.
#[derive(Debug)]
pub(super) struct State {
    pub(super) target: Target,
    /// At most so many replicas, those on their way out included.
    replicas_max: usize,
    stop: CancellationToken,
    pub(super) desired: Option<Desired>,
    images: BTreeMap<Digest, ImageRoot>,
    pub(super) versions: BTreeMap<FlightId, Version>,
    pub(super) replicas: BTreeMap<String, Replica>,
    /// Not claimed yet: nobody has said what is wanted since the node started.
    pub(super) survivors: Vec<Survivor>,
    pub(super) routes: BTreeMap<String, ServiceRoute>,
}

impl State {
    pub(super) fn new(target: Target, replicas_max: usize, stop: CancellationToken) -> Self {
        Self {
            target,
            replicas_max,
            stop,
            desired: None,
            images: BTreeMap::new(),
            versions: BTreeMap::new(),
            replicas: BTreeMap::new(),
            survivors: Vec::new(),
            routes: BTreeMap::new(),
        }
    }

    /// What an earlier node counted.
    pub(super) fn restore(&mut self, entry: Entry) {
        let version = Version::restored(&entry);
        self.versions.insert(entry.revision, version);
    }

    /// A replica that an earlier node started.
    pub(super) fn survived(&mut self, survivor: Survivor) {
        self.version(&survivor.record.revision);
        self.survivors.push(survivor);
    }

    fn version(&mut self, revision: &FlightId) -> &mut Version {
        self.versions.entry(revision.clone()).or_insert_with(Version::new)
    }

    /// The first version whose image is neither among `images` nor known.
    pub(super) fn missing_image(&self, desired: &Desired, images: &BTreeMap<Digest, ImageRoot>) -> Option<Digest> {
        let digests = desired.versions.iter().map(|version| &version.digest);
        digests.into_iter().find(|digest| !images.contains_key(digest) && !self.images.contains_key(digest)).cloned()
    }

    /// Whether nothing at all would change.
    pub(super) fn is(&self, desired: &Desired, images: &BTreeMap<Digest, ImageRoot>) -> bool {
        self.desired.as_ref() == Some(desired)
            && self.images.iter().all(|(digest, image)| images.get(digest).is_none_or(|given| given == image))
    }

    /// Takes over what is wanted. The weights are in force when this returns; the assignments are to be carried out.
    pub(super) fn set(&mut self, desired: Desired, images: BTreeMap<Digest, ImageRoot>) -> Vec<Assignment> {
        let revisions: BTreeSet<FlightId> = desired.versions.iter().map(|version| version.revision.clone()).collect();
        let is_new_choice = self.desired.is_some()
            && self.versions.iter().filter(|(_, v)| v.wanted.is_some()).map(|(r, _)| r).ne(&revisions);
        if is_new_choice {
            let running: BTreeSet<&FlightId> = self.replicas.values().map(|replica| &replica.revision).collect();
            self.versions.retain(|revision, version| version.wanted.is_some() || running.contains(revision));
        }
        self.images.extend(images);
        self.images.retain(|digest, _| desired.versions.iter().any(|version| version.digest == *digest));
        for (revision, version) in &mut self.versions {
            if !revisions.contains(revision) {
                version.forsake();
            }
        }
        for wanted in &desired.versions {
            let Some(image) = self.images.get(&wanted.digest).cloned() else { continue };
            let spec = Spec::new(wanted.revision.clone(), wanted.digest.clone(), wanted.workload.clone(), image);
            let wanted = Wanted { spec: Arc::new(spec), replicas: wanted.replicas, weight: wanted.weight };
            let version = self.version(&wanted.spec.revision.clone());
            version.wanted = Some(wanted);
        }
        self.set_routes(&desired);
        self.desired = Some(desired);
        let mut assignments = self.claim();
        assignments.extend(self.settle());
        self.prune();
        assignments
    }

    /// Gives every survivor a supervisor: to go on with it where its version is wanted, to stop it otherwise.
    fn claim(&mut self) -> Vec<Assignment> {
        let survivors = std::mem::take(&mut self.survivors);
        survivors.into_iter().map(|survivor| self.assign(survivor)).collect()
    }

    fn assign(&mut self, survivor: Survivor) -> Assignment {
        let Survivor { record, process } = survivor;
        let role = match self.spec(&record.revision).filter(|_| !record.stopping) {
            Some(spec) => Role::Resume(spec, process),
            None => Role::Retire(process),
        };
        let order = u64::try_from(record.created.as_microsecond()).unwrap_or(0);
        let ready_since = record.running.as_ref().and_then(|running| running.ready_since);
        let assignment = self.create(record, order, role);
        if let Some(replica) = self.replicas.get_mut(&assignment.record.id) {
            match &assignment.role {
                Role::Retire(_) => stop(replica),
                // What was ready serves from the first request on; its probe will say if that is wrong.
                Role::Run(_) | Role::Resume(..) => ready_since.into_iter().for_each(|at| replica.ready(age(at))),
            }
        }
        assignment
    }

    fn create(&mut self, record: Record, order: u64, role: Role) -> Assignment {
        let stop = self.stop.child_token();
        let mut replica = Replica::new(&record, order, stop.clone());
        if let Some(running) = &record.running {
            replica.running(running, &record.fingerprint, record.restarts);
        }
        self.replicas.insert(record.id.clone(), replica);
        Assignment { record, role, stop }
    }

    /// Stops all survivors that nobody claimed: the node is shutting down.
    pub(super) fn retire_survivors(&mut self) -> Vec<Assignment> {
        self.claim()
    }

    /// Draws the conclusions from whatever has changed: for the other replicas and for the routes.
    pub(super) fn settle(&mut self) -> Vec<Assignment> {
        let is_settled = self.stop.is_cancelled() || self.desired.is_none();
        let assignments = if is_settled { Vec::new() } else { self.reconcile() };
        self.publish();
        assignments
    }

    /// Starts and stops replicas until there are as many as are wanted.
    fn reconcile(&mut self) -> Vec<Assignment> {
        let now = Instant::now();
        let mut starts = Vec::new();
        for (revision, version) in &self.versions {
            let ours = self.replicas.iter_mut().filter(|(_, r)| r.revision == *revision && !r.stopping);
            let Some(wanted) = &version.wanted else {
                ours.for_each(|(_, replica)| stop(replica));
                continue;
            };
            let workload = &wanted.spec.workload;
            let seen = ours.map(|(id, r)| r.seen(id, &wanted.spec.fingerprint, workload.min_ready_s, now)).collect();
            let plan = plan(seen, wanted.replicas, workload.rolling);
            for id in &plan.stop {
                self.replicas.get_mut(id).into_iter().for_each(stop);
            }
            starts.extend(std::iter::repeat_n(Arc::clone(&wanted.spec), plan.start));
        }
        // Those that wait for room are started when others are gone.
        starts.truncate(self.replicas_max.saturating_sub(self.replicas.len()));
        starts.into_iter().map(|spec| self.start(spec)).collect()
    }

    fn start(&mut self, spec: Arc<Spec>) -> Assignment {
        let created = now();
        let youngest = self.replicas.values().map(|replica| replica.order).max().unwrap_or(0);
        let order = u64::try_from(created.as_microsecond()).unwrap_or(0).max(youngest + 1);
        let id = self.free_name(&spec.revision);
        let record = Record::new(id, self.target.clone(), &spec, created);
        self.create(record, order, Role::Run(spec))
    }

    /// A name like a pod's: `<service>-<revision>-<five characters>`.
    fn free_name(&self, revision: &FlightId) -> String {
        const LETTERS: &[u8; 32] = b"bcdfghjklmnpqrstvwxz2456789aeiuy";
        for attempt in 0u64.. {
            let mut random = attempt.to_le_bytes();
            // Without randomness the attempts differ all the same.
            let _unneeded = getrandom::fill(&mut random);
            let letter = |byte: &u8| LETTERS.get(usize::from(byte % 32)).map_or('a', |letter| char::from(*letter));
            let suffix: String = random.iter().take(5).map(letter).collect();
            let name = format!("{}-{}-{suffix}", self.target.service, revision.short());
            if !self.replicas.contains_key(&name) {
                return name;
            }
        }
        String::new()
    }

    /// Forgets versions that nobody wants and that have nothing left to say.
    pub(super) fn prune(&mut self) {
        let now = Instant::now();
        let mut busy: BTreeSet<FlightId> = self.replicas.values().map(|replica| replica.revision.clone()).collect();
        busy.extend(self.survivors.iter().map(|survivor| survivor.record.revision.clone()));
        self.versions.retain(|revision, version| busy.contains(revision) || version.is_worth_keeping(now));
        let retired = self.versions.iter().filter(|(revision, _)| !busy.contains(*revision));
        let mut retired: Vec<(Instant, FlightId)> =
            retired.filter_map(|(revision, version)| Some((version.unwanted_since()?, revision.clone()))).collect();
        retired.sort_unstable();
        let surplus = retired.len().saturating_sub(RETIRED_MAX);
        for (_, revision) in retired.iter().take(surplus) {
            self.versions.remove(revision);
        }
    }

    pub(super) fn replica_mut(&mut self, id: &str) -> Option<&mut Replica> {
        self.replicas.get_mut(id)
    }

    /// A replica's last trace is gone.
    pub(super) fn remove(&mut self, id: &str) {
        if let Some(replica) = self.replicas.remove(id)
            && let Some(version) = self.versions.get_mut(&replica.revision)
        {
            version.restarts_gone = version.restarts_gone.saturating_add(replica.restarts);
        }
        self.prune();
    }

    /// The images that something runs or is to be started from.
    pub(super) fn images(&self) -> impl Iterator<Item = &Digest> {
        let survivors = self.survivors.iter().map(|survivor| &survivor.record.digest);
        self.images.keys().chain(self.replicas.values().map(|replica| &replica.digest)).chain(survivors)
    }

    pub(super) fn has_replicas(&self) -> bool {
        !self.replicas.is_empty()
    }

    /// Whether nothing runs and nothing is wanted.
    pub(super) fn is_vacant(&self) -> bool {
        let wants_nothing = self.desired.as_ref().is_none_or(|desired| desired.versions.is_empty());
        wants_nothing && self.replicas.is_empty() && self.survivors.is_empty()
    }

    /// What replicas of a version are started from now, if it is wanted.
    pub(super) fn spec(&self, revision: &FlightId) -> Option<Arc<Spec>> {
        self.versions.get(revision)?.wanted.as_ref().map(|wanted| Arc::clone(&wanted.spec))
    }

    /// What an observation must not lose over a restart.
    pub(super) fn ledger(&self) -> impl Iterator<Item = Entry> + '_ {
        self.versions.iter().map(|(revision, version)| Entry {
            target: self.target.clone(),
            revision: revision.clone(),
            // Before the counters, as for an observation.
            latencies: version.counters.latencies(),
            counters: version.counters.snapshot(),
            restarts: version.restarts_gone,
            mirrored: version.mirrored.tally(),
        })
    }
}

fn stop(replica: &mut Replica) {
    replica.stopping();
    replica.stop.cancel();
}

#[cfg(test)]
mod tests {
    use prograde_model::latency::Latencies;
    use prograde_model::runtime::{Counters, DesiredVersion, Routing, Tally};
    use prograde_model::{EnvironmentName, Weight};

    use super::*;
    use crate::testing::workload;

    fn state(replicas_max: usize) -> State {
        let environment: EnvironmentName = "staging".parse().unwrap();
        let target = Target { environment, service: "pad".parse().unwrap() };
        State::new(target, replicas_max, CancellationToken::new())
    }

    fn revision(n: usize) -> FlightId {
        format!("{n:032x}").parse().unwrap()
    }

    fn set(state: &mut State, versions: &[(usize, u32, u8)]) -> Vec<Assignment> {
        let digest: Digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
        let image =
            ImageRoot { path: "/".into(), entrypoint: vec![], cmd: vec![], env: vec![], working_dir: None, user: None };
        let versions = versions.iter().map(|(n, replicas, weight)| DesiredVersion {
            revision: revision(*n),
            digest: digest.clone(),
            workload: workload(),
            replicas: *replicas,
            weight: Weight::new(*weight).unwrap(),
        });
        let desired =
            Desired { target: state.target.clone(), versions: versions.collect(), routing: Routing::default() };
        state.set(desired, BTreeMap::from([(digest, image)]))
    }

    #[test]
    fn counts_of_versions_that_are_gone_are_bounded_and_forgotten() {
        let mut state = state(10);
        for n in 1..=15 {
            let counters = Counters { requests: 1, failures: 0, latency_us_sum: 0 };
            let (latencies, mirrored) = (Latencies::default(), Tally::default());
            let (target, revision) = (state.target.clone(), revision(n));
            state.restore(Entry { target, revision, counters, restarts: 0, latencies, mirrored });
        }
        state.prune();
        assert_eq!(state.observe().versions.len(), RETIRED_MAX);
        set(&mut state, &[(99, 0, 100)]);
        assert_eq!(state.observe().versions.len(), RETIRED_MAX + 1, "after a restart nothing is known to have changed");
        set(&mut state, &[(98, 0, 100)]);
        let left: Vec<FlightId> = state.observe().versions.into_iter().map(|seen| seen.revision).collect();
        assert_eq!(left, [revision(98)], "and one that never got a request is not kept at all");
    }

    #[test]
    fn replicas_on_their_way_out_are_counted_against_the_limit() {
        let mut state = state(6);
        assert_eq!(set(&mut state, &[(1, 4, 100)]).len(), 4);
        let started = set(&mut state, &[(2, 4, 100)]);
        assert_eq!(started.len(), 2, "four are still ending");
        let seen = state.observe();
        assert_eq!(seen.version(&revision(1)).map(|seen| (seen.replicas, seen.weight)), Some((4, Weight::ZERO)));
        let first = state.replicas.iter().find(|(_, replica)| replica.revision == revision(1)).unwrap().0.clone();
        assert!(state.replicas[&first].stop.is_cancelled());
        state.remove(&first);
        assert_eq!(state.settle().len(), 1, "one has made room");
        assert!(state.settle().is_empty());
    }

    #[test]
    fn nothing_is_started_once_the_node_stops() {
        let mut state = state(6);
        state.stop.cancel();
        assert!(set(&mut state, &[(1, 4, 100)]).is_empty());
    }
}
