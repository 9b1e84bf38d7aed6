//! Replicas as discovery of targets sees them: what Kubernetes would call pods.

use std::collections::BTreeMap;

use prograde_model::FlightId;

use crate::ports::PortSeen;

/// A replica with a process that is to stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodSeen {
    /// The replica's name.
    pub replica: String,
    /// Its version.
    pub revision: FlightId,
    /// Whether it gets requests now.
    pub ready: bool,
    /// Labels of the pod template.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the pod template.
    pub annotations: BTreeMap<String, String>,
    /// The name of its `Deployment`.
    pub workload: String,
    /// The container's name.
    pub container: String,
    /// The container's image, with its digest.
    pub image: String,
    /// Its ports on this machine, by container port.
    pub ports: Vec<PortSeen>,
}
