//! What unit tests of several modules share.

use std::collections::BTreeMap;

use prograde_model::workload::{Container, ContainerPort, PortRef, RollingUpdate, ServicePort, Workload};

/// A workload with one port, `http`, and no probes.
pub(crate) fn workload() -> Workload {
    Workload {
        name: "pad".into(),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        replicas: 1,
        rolling: RollingUpdate::default(),
        min_ready_s: 0,
        progress_deadline_s: 600,
        termination_grace_s: 30,
        container: Container {
            name: "pad".into(),
            image: "registry/pad".into(),
            command: None,
            args: None,
            working_dir: None,
            env: Vec::new(),
            ports: vec![ContainerPort { name: Some("http".into()), port: 8080 }],
            startup: None,
            liveness: None,
            readiness: None,
        },
        autoscaling: None,
        confinement: None,
        unconfined: Vec::new(),
        service_ports: vec![ServicePort {
            name: Some("http".into()),
            port: 80,
            target: PortRef::Name("http".into()),
            node_port: None,
        }],
    }
}
