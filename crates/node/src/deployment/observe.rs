//! What a target looks like from outside.

use prograde_model::FlightId;
use prograde_model::runtime::{Observation, VersionSeen};
use tokio::time::Instant;

use super::replica::Replica;
use super::state::State;
use super::version::Version;
use crate::pod::PodSeen;
use crate::record::Record;
use crate::usage::{ReplicaSeen, Running};

impl State {
    /// What is seen now: the wanted versions in their order, then the others.
    pub(super) fn observe(&self) -> Observation {
        let now = Instant::now();
        let wanted = self.desired.iter().flat_map(|desired| &desired.versions).map(|version| &version.revision);
        let order: Vec<&FlightId> = wanted.collect();
        let others = self.versions.keys().filter(|revision| !order.contains(revision));
        let seen = order.iter().copied().chain(others).filter_map(|revision| {
            let version = self.versions.get(revision)?;
            Some(self.version_seen(revision, version, now))
        });
        Observation::of(seen.collect())
    }

    /// The replicas that are not on their way out, whether or not they have a process.
    pub(super) fn staying(&self) -> Vec<ReplicaSeen> {
        let staying = self.replicas.iter().filter(|(_, replica)| !replica.stopping);
        let seen = staying.map(|(id, replica)| ReplicaSeen {
            replica: id.clone(),
            revision: replica.revision.clone(),
            ready: replica.is_serving(),
        });
        seen.collect()
    }

    /// The replicas that have a process and are to stay, with what their pod templates say.
    pub(super) fn pods(&self) -> Vec<PodSeen> {
        let staying = self.replicas.iter().filter(|(_, replica)| !replica.stopping && replica.process.is_some());
        let seen = staying.filter_map(|(id, replica)| {
            let workload = &self.versions.get(&replica.revision)?.wanted.as_ref()?.spec.workload;
            Some(PodSeen {
                replica: id.clone(),
                revision: replica.revision.clone(),
                ready: replica.is_serving(),
                labels: workload.labels.clone(),
                annotations: workload.annotations.clone(),
                workload: workload.name.clone(),
                container: workload.container.name.clone(),
                image: workload.container.image.clone(),
                ports: replica.ports(),
            })
        });
        seen.collect()
    }

    /// The replicas that have a process.
    pub(super) fn running(&self) -> Vec<Running> {
        let running = self.replicas.iter().filter_map(|(id, replica)| {
            let process = replica.process.clone()?;
            Some(Running { replica: id.clone(), revision: replica.revision.clone(), process })
        });
        running.collect()
    }

    fn version_seen(&self, revision: &FlightId, version: &Version, now: Instant) -> VersionSeen {
        let replicas: Vec<&Replica> = self.replicas.values().filter(|r| r.revision == *revision).collect();
        let survivors = self.survivors.iter().filter(|survivor| survivor.record.revision == *revision);
        let survivors: Vec<&Record> = survivors.map(|survivor| &survivor.record).collect();
        let min_ready_s = version.wanted.as_ref().map_or(0, |wanted| wanted.spec.workload.min_ready_s);
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let restarts = replicas.iter().map(|r| r.restarts).chain(survivors.iter().map(|record| record.restarts));
        // A crash says more than a replica that is merely not ready yet.
        let reasons = || replicas.iter().filter_map(|replica| replica.waiting());
        let unclaimed = survivors.first().map(|_| "survived a restart of the server, not asked for yet");
        let waiting = reasons().find(|reason| reason.starts_with("CrashLoop")).or_else(|| reasons().next());
        VersionSeen {
            replicas: count(replicas.len() + survivors.len()),
            ready: count(replicas.iter().filter(|replica| replica.is_serving()).count()),
            available: count(replicas.iter().filter(|replica| replica.is_available(min_ready_s, now)).count()),
            restarts: restarts.fold(version.restarts_gone, u32::saturating_add),
            waiting: waiting.or(unclaimed).map(str::to_owned),
            weight: version.weight(),
            // First the latencies: none is seen without its request.
            latencies: version.counters.latencies(),
            counters: version.counters.snapshot(),
            mirrored: version.mirrored.tally(),
            revision: revision.clone(),
        }
    }
}
