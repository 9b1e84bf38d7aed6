//! The routes to a target's ports: one for each port of the Service, and one for the preview.
//!
//! Invariant: a route that is kept over a change of what is wanted is the same route, so that its listener, and the
//! connections on it, see the change and nothing else.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use prograde_model::runtime::{Desired, Routing};
use prograde_model::workload::PortRef;
use prograde_model::{FlightId, Weight};

use super::state::State;
use crate::check::PREVIEW;
use crate::proxy::{Route, RouteVersion, VersionCounters};

/// The preview's key among the ports: no Service port can be called so, and it sorts behind all that can.
const PREVIEW_KEY: &str = "~preview";

/// The requests to one port of the Service.
#[derive(Debug, Clone)]
pub(super) struct ServiceRoute {
    pub(super) name: Option<String>,
    pub(super) node_port: Option<u16>,
    pub(super) target: PortRef,
    pub(super) route: Arc<Route>,
    /// The only version behind it, for a preview.
    only: Option<Preview>,
}

/// What a preview leads to. Whoever looks at one is no user: the requests are counted, but nowhere to be seen.
#[derive(Debug, Clone)]
struct Preview {
    revision: FlightId,
    counters: Arc<VersionCounters>,
}

impl State {
    /// The Service's ports are those of the stable version; the preview's goes where the first of them goes.
    pub(super) fn set_routes(&mut self, desired: &Desired) {
        let mut earlier = std::mem::take(&mut self.routes);
        let mut route =
            |key: &str| earlier.remove(key).map_or_else(|| Arc::new(Route::new(&self.target)), |earlier| earlier.route);
        let ports = desired.versions.first().map_or(&[][..], |stable| &stable.workload.service_ports);
        let mut routes = BTreeMap::new();
        for port in ports {
            let key = port.name.clone().unwrap_or_else(|| port.port.to_string());
            let (name, node_port, target) = (port.name.clone(), port.node_port, port.target.clone());
            let route = route(&key);
            routes.insert(key, ServiceRoute { name, node_port, target, route, only: None });
        }
        if let (Some(revision), Some(first)) = (&desired.routing.preview, ports.first()) {
            let (name, target, route) = (Some(PREVIEW.to_owned()), first.target.clone(), route(PREVIEW_KEY));
            let only = Some(Preview { revision: revision.clone(), counters: Arc::default() });
            routes.insert(PREVIEW_KEY.to_owned(), ServiceRoute { name, node_port: None, target, route, only });
        }
        for gone in earlier.into_values() {
            gone.route.set(Vec::new(), &Routing::default());
        }
        self.routes = routes;
    }

    /// Puts the weights, the rules and the ready replicas into the routes.
    pub(super) fn publish(&self) {
        let Some(desired) = &self.desired else { return };
        for service in self.routes.values() {
            if let Some(preview) = &service.only {
                let table = self.route_version(service, &preview.revision).map(|version| RouteVersion {
                    weight: Weight::ALL,
                    counters: Arc::clone(&preview.counters),
                    ..version
                });
                service.route.set(table.into_iter().collect(), &Routing::default());
            } else {
                let versions = desired.versions.iter().map(|wanted| &wanted.revision);
                let table = versions.filter_map(|revision| self.route_version(service, revision));
                service.route.set(table.collect(), &desired.routing);
            }
        }
    }

    fn route_version(&self, service: &ServiceRoute, revision: &FlightId) -> Option<RouteVersion> {
        let version = self.versions.get(revision)?;
        let serving = self.replicas.values().filter(|r| r.revision == *revision && r.is_serving());
        Some(RouteVersion {
            revision: revision.clone(),
            weight: version.weight(),
            endpoints: serving.filter_map(|replica| replica.endpoint(&service.target).cloned()).collect(),
            counters: Arc::clone(&version.counters),
            mirrored: Arc::clone(&version.mirrored),
        })
    }

    /// Where a version's ready replicas answer for the first of the Service's ports.
    pub(super) fn replica_addresses(&self, revision: &FlightId) -> Vec<SocketAddr> {
        let Some(service) = self.routes.values().next() else { return Vec::new() };
        let serving = self.replicas.values().filter(|r| r.revision == *revision && r.is_serving());
        serving.filter_map(|replica| Some(replica.endpoint(&service.target)?.address())).collect()
    }

    pub(super) fn routes(&self) -> &BTreeMap<String, ServiceRoute> {
        &self.routes
    }
}
