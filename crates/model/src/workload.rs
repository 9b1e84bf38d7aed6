//! What a runtime needs to know to run one version of a service: the part of a Kubernetes `Deployment`, its `Service`
//! and the `ConfigMap`s and `Secret`s they name that has been resolved to values. Never stored: it is rendered again
//! from Git. Names and defaults are those of the Kubernetes API reference (apps/v1, core/v1).

use std::collections::BTreeMap;
use std::fmt;

use crate::autoscale::Autoscaling;
use crate::confinement::{Confinement, Part};

/// One version's workload, ready to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// `metadata.name` of the `Deployment`.
    pub name: String,
    /// Labels of the pod template.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the pod template: what discovery of targets reads.
    pub annotations: BTreeMap<String, String>,
    /// `spec.replicas`, default 1; where there is `autoscaling`, only how many there are before any release serves.
    pub replicas: u32,
    /// `spec.strategy.rollingUpdate`.
    pub rolling: RollingUpdate,
    /// `spec.minReadySeconds`, default 0: how long a replica must be ready before it counts as available.
    pub min_ready_s: u32,
    /// `spec.progressDeadlineSeconds`, default 600.
    pub progress_deadline_s: u32,
    /// `terminationGracePeriodSeconds`, default 30.
    pub termination_grace_s: u32,
    /// The one container.
    pub container: Container,
    /// The ports of the `Service` in front.
    pub service_ports: Vec<ServicePort>,
    /// The `HorizontalPodAutoscaler`, if there is one.
    pub autoscaling: Option<Autoscaling>,
    /// What the process is to be held to; none where the manifests ask for nothing.
    pub confinement: Option<Confinement>,
    /// Which parts of that may be missing: what the environment allows in `prograde.yaml`.
    pub unconfined: Vec<Part>,
}

/// `spec.strategy.rollingUpdate`; both default to 25%.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollingUpdate {
    /// How many replicas may run above `replicas`; percentages round up.
    pub max_surge: IntOrPercent,
    /// How many replicas may be missing below `replicas`; percentages round down.
    pub max_unavailable: IntOrPercent,
}

impl Default for RollingUpdate {
    fn default() -> Self {
        Self { max_surge: IntOrPercent::Percent(25), max_unavailable: IntOrPercent::Percent(25) }
    }
}

/// Kubernetes' `IntOrString` where the text is a percentage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntOrPercent {
    /// So many.
    Int(u32),
    /// So many percent of the replicas.
    Percent(u32),
}

impl IntOrPercent {
    /// The number for `replicas`, a percentage rounded up.
    pub fn ceil_of(self, replicas: u32) -> u32 {
        match self {
            Self::Int(n) => n,
            Self::Percent(p) => scaled(p, replicas, 99),
        }
    }

    /// The number for `replicas`, a percentage rounded down.
    pub fn floor_of(self, replicas: u32) -> u32 {
        match self {
            Self::Int(n) => n,
            Self::Percent(p) => scaled(p, replicas, 0),
        }
    }
}

fn scaled(percent: u32, replicas: u32, round: u64) -> u32 {
    u32::try_from((u64::from(percent) * u64::from(replicas) + round) / 100).unwrap_or(u32::MAX)
}

/// The container of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// `name`.
    pub name: String,
    /// `image`, with the digest that was committed.
    pub image: String,
    /// `command`: replaces the image's entrypoint. `None` keeps it.
    pub command: Option<Vec<String>>,
    /// `args`: replaces the image's command. `None` keeps it.
    pub args: Option<Vec<String>>,
    /// `workingDir`.
    pub working_dir: Option<String>,
    /// `env` and `envFrom`, resolved, in order; later names win.
    pub env: Vec<(String, EnvValue)>,
    /// `ports`.
    pub ports: Vec<ContainerPort>,
    /// `startupProbe`.
    pub startup: Option<Probe>,
    /// `livenessProbe`.
    pub liveness: Option<Probe>,
    /// `readinessProbe`.
    pub readiness: Option<Probe>,
}

/// A value of an environment variable.
#[derive(Clone, PartialEq, Eq)]
pub enum EnvValue {
    /// Written in a manifest or a `ConfigMap`.
    Plain(String),
    /// From a `Secret`: never shown.
    Secret(String),
    /// `fieldRef`: filled in by the runtime for each replica.
    Field(PodField),
}

impl fmt::Debug for EnvValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(value) => write!(f, "Plain({value:?})"),
            Self::Secret(_) => f.write_str("Secret(***)"),
            Self::Field(field) => write!(f, "Field({field:?})"),
        }
    }
}

/// The downward API's fields that a replica can be told about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodField {
    /// `metadata.name`.
    Name,
    /// `metadata.namespace`: the environment.
    Namespace,
    /// `status.podIP`.
    Ip,
}

/// One of `ports` of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerPort {
    /// `name`, if it has one.
    pub name: Option<String>,
    /// `containerPort`.
    pub port: u16,
}

/// A port by number or by the name of one of the container's ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortRef {
    /// By number.
    Number(u16),
    /// By name.
    Name(String),
}

/// One of `ports` of the `Service`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// `name`, if it has one.
    pub name: Option<String>,
    /// `port`.
    pub port: u16,
    /// `targetPort`, default the same number as `port`.
    pub target: PortRef,
    /// `nodePort`: where the local node listens; chosen by the node when absent.
    pub node_port: Option<u16>,
}

/// A probe with Kubernetes' semantics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// What is tried.
    pub action: ProbeAction,
    /// `initialDelaySeconds`, default 0.
    pub initial_delay_s: u32,
    /// `periodSeconds`, default 10, at least 1.
    pub period_s: u32,
    /// `timeoutSeconds`, default 1, at least 1.
    pub timeout_s: u32,
    /// `successThreshold`, default 1; must be 1 for liveness and startup.
    pub success_threshold: u32,
    /// `failureThreshold`, default 3.
    pub failure_threshold: u32,
}

/// What a probe tries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeAction {
    /// `httpGet`: any status from 200 to 399 is success.
    Http {
        /// `path`, default `/`.
        path: String,
        /// `port`.
        port: PortRef,
        /// `httpHeaders`.
        headers: Vec<(String, String)>,
    },
    /// `tcpSocket`: a connection that opens is success.
    Tcp {
        /// `port`.
        port: PortRef,
    },
    /// `exec`: exit status 0 is success.
    Exec {
        /// `command`.
        command: Vec<String>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_round_as_kubernetes_does() {
        // apps/v1 RollingUpdateDeployment: maxSurge rounds up, maxUnavailable rounds down.
        assert_eq!(IntOrPercent::Percent(25).ceil_of(3), 1);
        assert_eq!(IntOrPercent::Percent(25).floor_of(3), 0);
        assert_eq!(IntOrPercent::Int(2).ceil_of(3), 2);
        assert_eq!(IntOrPercent::Percent(100).floor_of(u32::MAX), u32::MAX);
    }

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(format!("{:?}", EnvValue::Secret("hunter2".into())), "Secret(***)");
    }
}
