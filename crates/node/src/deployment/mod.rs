//! One target on this node: its replicas, routes and ports.
//!
//! Invariants: whatever changes under the lock is in the routes before the lock is released, so no request goes to a
//! replica that is known not to be ready, nor by a weight that is not in force; every replica has exactly one
//! supervisor, which alone starts, signals and forgets its processes.

mod assignment;
mod observe;
mod replica;
mod routes;
mod state;
mod version;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use prograde_model::runtime::{Desired, Observation};
use prograde_model::{Digest, FlightId, Target};

pub(crate) use assignment::{Assignment, Role};
pub(crate) use replica::Replica;
use routes::ServiceRoute;
use state::State;

use crate::context::Context;
use crate::image::ImageRoot;
use crate::ledger::Entry;
use crate::pod::PodSeen;
use crate::proxy::{Listener, Route};
use crate::spec::Spec;
use crate::supervisor::Supervisor;
use crate::survivor::Survivor;
use crate::sync::lock;
use crate::usage::{ReplicaSeen, ReplicaUsage};

/// Replicas on their way out may exist beside as many that are wanted, and no more.
const LEAVING_FACTOR: usize = 2;

/// A port of the Service that is listened on.
#[derive(Debug)]
pub(crate) struct OpenPort {
    pub(crate) port: u16,
    pub(crate) listener: Listener,
}

/// A port of the Service that should be listened on.
#[derive(Debug, Clone)]
pub(crate) struct WantedPort {
    pub(crate) key: String,
    pub(crate) node_port: Option<u16>,
    pub(crate) route: Arc<Route>,
}

/// One target's part of the node.
#[derive(Debug)]
pub(crate) struct Deployment {
    pub(crate) target: Target,
    pub(crate) context: Arc<Context>,
    state: Mutex<State>,
    /// By the port's name, or its number. Whoever opens or closes ports holds this all the while.
    pub(crate) open: Arc<tokio::sync::Mutex<BTreeMap<String, OpenPort>>>,
    addresses: Mutex<Vec<(Option<String>, SocketAddr)>>,
}

impl Deployment {
    pub(crate) fn new(target: Target, context: Arc<Context>) -> Arc<Self> {
        let replicas_max = LEAVING_FACTOR * context.options.replicas_max as usize;
        let state = State::new(target.clone(), replicas_max, context.stop.clone());
        let (open, addresses) = (Arc::default(), Mutex::default());
        Arc::new(Self { target, context, state: Mutex::new(state), open, addresses })
    }

    /// Takes over what an earlier node counted.
    pub(crate) fn restore(&self, entry: Entry) {
        lock(&self.state).restore(entry);
    }

    /// Takes over a replica that an earlier node started.
    pub(crate) fn survived(&self, survivor: Survivor) {
        lock(&self.state).survived(survivor);
    }

    /// Takes over what is wanted; the weights are in force when this returns. The error is an image that is missing.
    pub(crate) fn set(self: &Arc<Self>, desired: Desired, images: BTreeMap<Digest, ImageRoot>) -> Result<(), Digest> {
        let assignments = {
            let mut state = lock(&self.state);
            if state.is(&desired, &images) {
                return Ok(());
            }
            if let Some(digest) = state.missing_image(&desired, &images) {
                return Err(digest);
            }
            state.set(desired, images)
        };
        self.supervise(assignments);
        self.context.bump();
        Ok(())
    }

    fn supervise(self: &Arc<Self>, assignments: Vec<Assignment>) {
        for assignment in assignments {
            self.context.tasks.spawn(Supervisor::run(Arc::clone(self), assignment));
        }
    }

    /// Changes what is known of one replica, and does what follows for the routes and the other replicas.
    pub(crate) fn update(self: &Arc<Self>, id: &str, change: impl FnOnce(&mut Replica)) {
        let assignments = {
            let mut state = lock(&self.state);
            if let Some(replica) = state.replica_mut(id) {
                change(replica);
            }
            state.settle()
        };
        self.supervise(assignments);
        self.context.bump();
    }

    /// A replica's last trace is gone.
    pub(crate) fn remove(self: &Arc<Self>, id: &str) {
        let assignments = {
            let mut state = lock(&self.state);
            state.remove(id);
            state.settle()
        };
        self.supervise(assignments);
        self.context.bump();
    }

    /// Requests that one replica is working on.
    pub(crate) fn in_flight(&self, id: &str) -> usize {
        let mut state = lock(&self.state);
        state.replica_mut(id).map_or(0, |replica| replica.endpoints().map(|endpoint| endpoint.in_flight()).sum())
    }

    /// Closes the proxy's idle connections to one replica.
    pub(crate) fn close_idle(&self, id: &str) {
        let mut state = lock(&self.state);
        if let Some(replica) = state.replica_mut(id) {
            replica.endpoints().for_each(|endpoint| endpoint.close_idle());
        }
    }

    /// What replicas of a version are started from now.
    pub(crate) fn spec(&self, revision: &FlightId) -> Option<Arc<Spec>> {
        lock(&self.state).spec(revision)
    }

    /// Stops survivors that nobody claimed.
    pub(crate) fn retire_survivors(self: &Arc<Self>) {
        let assignments = lock(&self.state).retire_survivors();
        self.supervise(assignments);
    }

    /// What is to be listened on.
    pub(crate) fn wanted_ports(&self) -> Vec<WantedPort> {
        let state = lock(&self.state);
        let wanted = |(key, service): (&String, &ServiceRoute)| WantedPort {
            key: key.clone(),
            node_port: service.node_port,
            route: Arc::clone(&service.route),
        };
        state.routes().iter().map(wanted).collect()
    }

    /// Whether nothing has to be opened or closed.
    pub(crate) fn is_listening(&self, open: &BTreeMap<String, OpenPort>) -> bool {
        let state = lock(&self.state);
        let is_open = |(key, service): (&String, &ServiceRoute)| {
            open.get(key).is_some_and(|open| service.node_port.is_none_or(|wanted| wanted == open.port))
        };
        state.routes().len() == open.len() && state.routes().iter().all(is_open)
    }

    /// Notes what is listened on, for whoever asks without waiting.
    pub(crate) fn listens(&self, open: &BTreeMap<String, OpenPort>) {
        let state = lock(&self.state);
        let named = open.iter().filter_map(|(key, open)| {
            let service = state.routes().get(key)?;
            Some((service.name.clone(), open.listener.address()))
        });
        let addresses = named.collect();
        *lock(&self.addresses) = addresses;
    }

    /// Where the Service's ports are.
    pub(crate) fn addresses(&self) -> Vec<(Option<String>, SocketAddr)> {
        lock(&self.addresses).clone()
    }

    /// Where a version's ready replicas answer, past the proxy.
    pub(crate) fn replica_addresses(&self, revision: &FlightId) -> Vec<SocketAddr> {
        lock(&self.state).replica_addresses(revision)
    }

    /// The images that something runs or is to be started from.
    pub(crate) fn images(&self) -> BTreeSet<Digest> {
        lock(&self.state).images().cloned().collect()
    }

    /// Whether any replica is left.
    pub(crate) fn has_replicas(&self) -> bool {
        lock(&self.state).has_replicas()
    }

    /// Whether nothing runs and nothing is wanted.
    pub(crate) fn is_vacant(&self) -> bool {
        lock(&self.state).is_vacant()
    }

    /// What is seen now.
    pub(crate) fn observe(&self) -> Observation {
        lock(&self.state).observe()
    }

    /// Its replicas that are not on their way out.
    pub(crate) fn staying(&self) -> Vec<ReplicaSeen> {
        lock(&self.state).staying()
    }

    /// Its replicas as discovery sees them.
    pub(crate) fn pods(&self) -> Vec<PodSeen> {
        lock(&self.state).pods()
    }

    /// What its replicas use. Reads `/proc`.
    pub(crate) fn usage(&self) -> Vec<ReplicaUsage> {
        let running = lock(&self.state).running();
        self.context.processes.usage(running)
    }

    /// What must survive a restart; forgets what is too old to.
    pub(crate) fn ledger(&self) -> Vec<Entry> {
        let mut state = lock(&self.state);
        state.prune();
        state.ledger().collect()
    }
}
