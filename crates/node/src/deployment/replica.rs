//! One replica as its deployment knows it: what decides over its place in the routes and its share of an observation.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use prograde_model::workload::PortRef;
use prograde_model::{Digest, FlightId};
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

use crate::plan::Seen;
use crate::ports::{PortMap, PortSeen};
use crate::process::Identity;
use crate::proxy::Endpoint;
use crate::record::{Record, Running};

/// A replica from its creation until its last process and file are gone.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(super) revision: FlightId,
    /// Of the image that it was started from.
    pub(super) digest: Digest,
    /// Microseconds since 1970 at which it was created, made unique: larger is younger.
    pub(super) order: u64,
    /// Of what it was started from.
    pub(super) fingerprint: String,
    /// Tells its supervisor to stop it.
    pub(super) stop: CancellationToken,
    /// On its way out: never in a route again.
    pub(super) stopping: bool,
    ports: PortMap,
    /// By the machine's port.
    endpoints: BTreeMap<u16, Arc<Endpoint>>,
    ready_since: Option<Instant>,
    /// What it runs, from its start to its end.
    pub(super) process: Option<Identity>,
    pub(super) restarts: u32,
    waiting: Option<String>,
}

impl Replica {
    pub(super) fn new(record: &Record, order: u64, stop: CancellationToken) -> Self {
        Self {
            revision: record.revision.clone(),
            digest: record.digest.clone(),
            order,
            fingerprint: record.fingerprint.clone(),
            stop,
            stopping: false,
            ports: PortMap::default(),
            endpoints: BTreeMap::new(),
            ready_since: None,
            process: None,
            restarts: 0,
            waiting: Some("ContainerCreating".to_owned()),
        }
    }

    /// A process of it runs. It has new endpoints: those of an earlier process are of no use to it.
    pub(crate) fn running(&mut self, running: &Running, fingerprint: &str, restarts: u32) {
        let ports = &running.ports;
        fingerprint.clone_into(&mut self.fingerprint);
        self.restarts = restarts;
        self.endpoints = ports.hosts().map(|port| (port, Endpoint::new((Ipv4Addr::LOCALHOST, port).into()))).collect();
        self.ports = ports.clone();
        self.process = Some(running.process.clone());
    }

    /// Why it is not ready. What made it fail stays shown until it is ready again.
    pub(crate) fn waits(&mut self, reason: &str) {
        if self.restarts == 0 {
            self.waiting = Some(reason.to_owned());
        }
    }

    /// It passed its probes, `age` ago.
    pub(crate) fn ready(&mut self, age: Duration) {
        let now = Instant::now();
        self.ready_since = Some(now.checked_sub(age).unwrap_or(now));
        self.waiting = None;
    }

    /// It is to get no requests for now.
    pub(crate) fn unready(&mut self, reason: Option<String>) {
        match reason {
            Some(reason) if self.ready_since.is_some() => self.waiting = Some(reason),
            Some(reason) => self.waits(&reason),
            None => {}
        }
        self.ready_since = None;
    }

    /// It ended and will be started again.
    pub(crate) fn failed(&mut self, reason: &str, restarts: u32) {
        self.ready_since = None;
        self.process = None;
        self.restarts = restarts;
        self.waiting = Some(format!("CrashLoopBackOff: {reason}"));
    }

    /// It is on its way out.
    pub(crate) fn stopping(&mut self) {
        self.stopping = true;
        self.ready_since = None;
    }

    /// Its container ports on this machine.
    pub(super) fn ports(&self) -> Vec<PortSeen> {
        self.ports.seen()
    }

    pub(super) fn is_serving(&self) -> bool {
        self.ready_since.is_some() && !self.stopping
    }

    pub(super) fn is_available(&self, min_ready_s: u32, now: Instant) -> bool {
        let min = Duration::from_secs(min_ready_s.into());
        self.is_serving() && self.ready_since.is_some_and(|since| now.duration_since(since) >= min)
    }

    pub(super) fn waiting(&self) -> Option<&str> {
        self.waiting.as_deref().filter(|_| !self.stopping)
    }

    /// Where requests for a Service's `targetPort` go.
    pub(super) fn endpoint(&self, target: &PortRef) -> Option<&Arc<Endpoint>> {
        self.endpoints.get(&self.ports.host(target)?)
    }

    /// All its endpoints.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.endpoints.values()
    }

    pub(super) fn seen(&self, id: &str, fingerprint: &str, min_ready_s: u32, now: Instant) -> Seen {
        Seen {
            id: id.to_owned(),
            order: self.order,
            current: self.fingerprint == fingerprint,
            ready: self.is_serving(),
            available: self.is_available(min_ready_s, now),
        }
    }
}
