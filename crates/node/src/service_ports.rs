//! Which port of this machine stands for which port of which Service, and listening there.
//!
//! A port with `nodePort` is that one; any other is chosen once from the node's range and kept on disk, so that an
//! address stays good over restarts.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use prograde_model::Target;
use tokio::time::{Duration, Instant};

use crate::deployment::{Deployment, OpenPort, WantedPort};
use crate::error::NodeError;
use crate::files::{Durability, read_bounded, write_atomic};
use crate::options::NodeOptions;
use crate::proxy::{Listener, Proxy, ProxyError};
use crate::sync::lock;

/// For so long a closed port may still be found in use.
const CLOSING: Duration = Duration::from_secs(5);
const BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Target, as text, to port name to port.
type Chosen = BTreeMap<String, BTreeMap<String, u16>>;

/// The ports chosen, and the ports listened on.
#[derive(Debug)]
pub(crate) struct PortBook {
    path: PathBuf,
    chosen: Mutex<Chosen>,
    listening: Mutex<BTreeMap<u16, Target>>,
    /// Closed a moment ago: the proxy's thread, or a process that is just being started and has not executed its program
    /// yet, may still hold them.
    closing: Mutex<BTreeMap<u16, Instant>>,
}

impl PortBook {
    /// Reads what was chosen before. What can't be read is chosen anew, and said so.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let read = read_bounded(path, BYTES_MAX).and_then(|bytes| Ok(serde_json::from_slice::<Chosen>(&bytes)?));
        let chosen = match read {
            Ok(chosen) => chosen,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Chosen::new(),
            Err(error) if error.raw_os_error().is_some() => return Err(error),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "chosen ports can't be read, services get new ones");
                Chosen::new()
            }
        };
        Ok(Self {
            path: path.to_owned(),
            chosen: Mutex::new(chosen),
            listening: Mutex::default(),
            closing: Mutex::default(),
        })
    }

    /// Whether this node itself has had `port` open until a moment ago.
    pub(crate) fn is_closing(&self, port: u16) -> bool {
        let mut closing = lock(&self.closing);
        closing.retain(|_, closed| closed.elapsed() < CLOSING);
        closing.contains_key(&port)
    }

    /// Opens and closes ports until those of `deployment` are the wanted ones. Goes on after an error and returns the
    /// first: one port in use is no reason to leave the others closed. Touches the disk when a port is chosen.
    pub(crate) fn listen(
        &self,
        deployment: &Deployment,
        open: &mut BTreeMap<String, OpenPort>,
        proxy: &Proxy,
    ) -> Result<(), NodeError> {
        let wanted = deployment.wanted_ports();
        let is_wanted = |key: &String, port: u16| {
            wanted.iter().any(|w| w.key == *key && w.node_port.is_none_or(|node_port| node_port == port))
        };
        open.retain(|key, open| {
            let keep = is_wanted(key, open.port);
            if !keep {
                lock(&self.listening).remove(&open.port);
                lock(&self.closing).insert(open.port, Instant::now());
            }
            keep
        });
        let mut first_error = Ok(());
        for port in wanted.iter().filter(|port| !open.contains_key(&port.key)).collect::<Vec<_>>() {
            match self.open_port(deployment, port, proxy) {
                Ok(opened) => {
                    open.insert(port.key.clone(), opened);
                }
                Err(error) => first_error = first_error.and(Err(error)),
            }
        }
        deployment.listens(open);
        first_error
    }

    fn open_port(&self, deployment: &Deployment, wanted: &WantedPort, proxy: &Proxy) -> Result<OpenPort, NodeError> {
        let (target, options) = (&deployment.target, &deployment.context.options);
        let known = lock(&self.chosen).get(&target.to_string()).and_then(|ports| ports.get(&wanted.key)).copied();
        let Some(port) = wanted.node_port.or(known) else {
            return self.choose(target, wanted, options, proxy);
        };
        match self.bind(target, port, wanted, options, proxy)? {
            Some(listener) => Ok(OpenPort { port, listener }),
            None => Err(self.in_use(target, port)),
        }
    }

    /// `None` when the port is in use.
    fn bind(
        &self,
        target: &Target,
        port: u16,
        wanted: &WantedPort,
        options: &NodeOptions,
        proxy: &Proxy,
    ) -> Result<Option<Listener>, NodeError> {
        match proxy.listen(SocketAddr::new(options.address, port), wanted.route.clone()) {
            Ok(listener) => {
                lock(&self.listening).insert(port, target.clone());
                Ok(Some(listener))
            }
            Err(ProxyError::AddressInUse { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn in_use(&self, target: &Target, port: u16) -> NodeError {
        let target = target.clone();
        match lock(&self.listening).get(&port).cloned() {
            Some(other) => NodeError::PortTaken { port, target, other },
            None => NodeError::PortInUse { port, target },
        }
    }

    /// The first free port of the range, beginning at one that depends on the name, so that a service mostly gets the
    /// same one on every machine.
    fn choose(
        &self,
        target: &Target,
        wanted: &WantedPort,
        options: &NodeOptions,
        proxy: &Proxy,
    ) -> Result<OpenPort, NodeError> {
        let (first, last) = (*options.node_ports.start(), *options.node_ports.end());
        let span = u64::from(last.saturating_sub(first)) + 1;
        let mut hasher = DefaultHasher::new();
        (target, &wanted.key).hash(&mut hasher);
        for step in 0..span {
            let port = first.saturating_add(u16::try_from(hasher.finish().wrapping_add(step) % span).unwrap_or(0));
            if !self.reserve(target, &wanted.key, port) {
                continue;
            }
            match self.bind(target, port, wanted, options, proxy) {
                Ok(Some(listener)) => {
                    self.write()?;
                    return Ok(OpenPort { port, listener });
                }
                Ok(None) => self.release(target, &wanted.key),
                Err(error) => {
                    self.release(target, &wanted.key);
                    return Err(error);
                }
            }
        }
        Err(NodeError::NoFreePort { target: target.clone(), first, last })
    }

    /// Notes the choice, unless another one has the port.
    fn reserve(&self, target: &Target, key: &str, port: u16) -> bool {
        let mut chosen = lock(&self.chosen);
        if chosen.values().flat_map(BTreeMap::values).any(|other| *other == port) {
            return false;
        }
        chosen.entry(target.to_string()).or_default().insert(key.to_owned(), port);
        true
    }

    fn release(&self, target: &Target, key: &str) {
        if let Some(ports) = lock(&self.chosen).get_mut(&target.to_string()) {
            ports.remove(key);
        }
    }

    fn write(&self) -> Result<(), NodeError> {
        let failed = |source| NodeError::DataDir { path: self.path.clone(), source };
        // Under the lock, so that of two writers the later one writes more.
        let chosen = lock(&self.chosen);
        let bytes = serde_json::to_vec(&*chosen).map_err(|error| failed(error.into()))?;
        write_atomic(&self.path, &bytes, Durability::Disk).map_err(failed)
    }
}
