//! The ports of this machine that replicas listen on.
//!
//! Replicas share the machine's network, so each container port of each replica gets a port of its own. A process is
//! told its ports by environment: `PORT` for the first one (the contract of Cloud Run and other process platforms) and
//! `PORT_<NAME>` for the named ones.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};

use prograde_model::workload::{PortRef, Probe, ProbeAction, Workload};
use serde::{Deserialize, Serialize};

use crate::sync::lock;

/// Which of the machine's ports stands for which container port of one replica.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PortMap {
    /// Container port to the machine's port.
    numbers: BTreeMap<u16, u16>,
    /// Port name to container port.
    names: BTreeMap<String, u16>,
    /// The container port that `PORT` stands for.
    first: Option<u16>,
}

/// One container port of a replica that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortSeen {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// `containerPort`.
    pub container: u16,
    /// Where it is found on this machine.
    pub host: u16,
}

impl PortMap {
    /// Pairs the container ports of `workload`, as [`needed`] lists them, with `host` ports.
    pub(crate) fn new(workload: &Workload, host: &[u16]) -> Self {
        let needed = needed(workload);
        let names = workload.container.ports.iter().filter_map(|port| Some((port.name.clone()?, port.port))).collect();
        Self { first: needed.first().copied(), numbers: needed.into_iter().zip(host.iter().copied()).collect(), names }
    }

    /// The machine's port for a container port.
    pub(crate) fn host(&self, port: &PortRef) -> Option<u16> {
        let number = match port {
            PortRef::Number(number) => number,
            PortRef::Name(name) => self.names.get(name)?,
        };
        self.numbers.get(number).copied()
    }

    /// The container ports, each with its name and the machine's port.
    pub(crate) fn seen(&self) -> Vec<PortSeen> {
        let name = |number: &u16| self.names.iter().find(|(_, named)| *named == number).map(|(name, _)| name.clone());
        let seen =
            self.numbers.iter().map(|(number, host)| PortSeen { name: name(number), container: *number, host: *host });
        seen.collect()
    }

    /// All of the machine's ports in use.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = u16> + '_ {
        self.numbers.values().copied()
    }

    /// The environment variables that tell a process its ports.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let number = |port: &u16| self.numbers.get(port).map(ToString::to_string);
        let first = self.first.as_ref().and_then(number).map(|port| ("PORT".to_owned(), port));
        let named = self.names.iter().filter_map(|(name, port)| {
            Some((format!("PORT_{}", name.to_ascii_uppercase().replace('-', "_")), number(port)?))
        });
        first.into_iter().chain(named).collect()
    }
}

/// The container ports that a replica needs: the declared ones, then those that a Service or a probe names by number.
pub(crate) fn needed(workload: &Workload) -> Vec<u16> {
    let container = &workload.container;
    let probes = [&container.startup, &container.liveness, &container.readiness];
    let tried = probes.into_iter().flatten().filter_map(tried_port);
    let referred = workload.service_ports.iter().map(|port| &port.target).chain(tried).filter_map(|port| match port {
        PortRef::Number(number) => Some(*number),
        PortRef::Name(_) => None,
    });
    let mut seen = BTreeSet::new();
    container.ports.iter().map(|port| port.port).chain(referred).filter(|port| seen.insert(*port)).collect()
}

/// The port that a probe tries, if it tries one.
fn tried_port(probe: &Probe) -> Option<&PortRef> {
    match &probe.action {
        ProbeAction::Http { port, .. } | ProbeAction::Tcp { port } => Some(port),
        ProbeAction::Exec { .. } => None,
    }
}

/// Gives out free ports from a range below the ephemeral ports, so that no outgoing connection takes one between its
/// being given out and the replica's listening on it.
#[derive(Debug)]
pub(crate) struct PortPool {
    range: RangeInclusive<u16>,
    state: Mutex<PoolState>,
}

#[derive(Debug)]
struct PoolState {
    taken: BTreeSet<u16>,
    next: u16,
}

/// Ports given to one replica; back in the pool when dropped.
#[derive(Debug)]
pub(crate) struct PortLease {
    pool: Arc<PortPool>,
    /// The ports.
    pub(crate) ports: Vec<u16>,
}

impl Drop for PortLease {
    fn drop(&mut self) {
        let mut state = lock(&self.pool.state);
        for port in &self.ports {
            state.taken.remove(port);
        }
    }
}

impl PortPool {
    /// A pool whose first port is chosen by `seed`, so that two nodes on one machine rarely try the same one.
    pub(crate) fn new(range: RangeInclusive<u16>, seed: u16) -> Arc<Self> {
        let span = range.end().saturating_sub(*range.start()).max(1);
        let next = range.start() + seed % span;
        Arc::new(Self { range, state: Mutex::new(PoolState { taken: BTreeSet::new(), next }) })
    }

    /// `count` ports on which nothing listens, or `AddrNotAvailable`.
    pub(crate) fn lease(self: &Arc<Self>, count: usize) -> io::Result<PortLease> {
        let mut lease = PortLease { pool: Arc::clone(self), ports: Vec::new() };
        for _ in self.range.clone() {
            if lease.ports.len() == count {
                return Ok(lease);
            }
            let port = {
                let mut state = lock(&self.state);
                let port = state.next;
                state.next = if port >= *self.range.end() { *self.range.start() } else { port + 1 };
                if !state.taken.insert(port) {
                    continue;
                }
                port
            };
            if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
                lease.ports.push(port);
            } else {
                lock(&self.state).taken.remove(&port);
            }
        }
        if lease.ports.len() == count {
            return Ok(lease);
        }
        let (start, end) = (self.range.start(), self.range.end());
        Err(io::Error::new(io::ErrorKind::AddrNotAvailable, format!("no free port for replicas in {start}-{end}")))
    }

    /// Takes ports that a surviving replica listens on already.
    pub(crate) fn adopt(self: &Arc<Self>, ports: impl Iterator<Item = u16>) -> PortLease {
        let ports: Vec<u16> = ports.filter(|port| lock(&self.state).taken.insert(*port)).collect();
        PortLease { pool: Arc::clone(self), ports }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::workload;
    use prograde_model::workload::{ContainerPort, ServicePort};

    #[test]
    fn a_process_is_told_its_first_and_its_named_ports() {
        let mut workload = workload();
        workload.container.ports = vec![
            ContainerPort { name: Some("http-main".into()), port: 8080 },
            ContainerPort { name: None, port: 9090 },
            ContainerPort { name: Some("again".into()), port: 8080 },
        ];
        workload.service_ports =
            vec![ServicePort { name: None, port: 80, target: PortRef::Number(7070), node_port: None }];
        assert_eq!(needed(&workload), [8080, 9090, 7070]);
        let map = PortMap::new(&workload, &[20001, 20002, 20003]);
        assert_eq!(map.host(&PortRef::Name("http-main".into())), Some(20001));
        assert_eq!(map.host(&PortRef::Number(7070)), Some(20003));
        assert_eq!(map.host(&PortRef::Name("absent".into())), None);
        let environment: BTreeMap<String, String> = map.environment().into_iter().collect();
        assert_eq!(environment["PORT"], "20001");
        assert_eq!(environment["PORT_HTTP_MAIN"], "20001");
        assert_eq!(environment.len(), 3);
    }

    #[test]
    fn ports_are_given_once_skip_those_in_use_and_come_back() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let pool = PortPool::new(port..=port, 0);
        assert_eq!(pool.lease(1).unwrap_err().kind(), io::ErrorKind::AddrNotAvailable);
        drop(taken);
        let lease = pool.lease(1).unwrap();
        assert_eq!(lease.ports, [port]);
        assert!(pool.lease(1).is_err(), "given out already");
        drop(lease);
        let adopted = pool.adopt([port].into_iter());
        assert!(pool.lease(1).is_err(), "a survivor has it");
        drop(adopted);
        assert!(pool.lease(1).is_ok());
    }
}
