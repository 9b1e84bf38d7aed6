//! `HorizontalPodAutoscaler` of autoscaling/v2, as far as it is followed; names and defaults are those of the Kubernetes
//! API reference.

use crate::rollout::Bounds;

/// A `HorizontalPodAutoscaler`'s `spec`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Autoscaling {
    /// `minReplicas`, default 1; at least 1.
    pub min_replicas: u32,
    /// `maxReplicas`; not below `min_replicas`.
    pub max_replicas: u32,
    /// `metrics`; the one that asks for most replicas counts. Default: CPU at 80% of what is requested.
    pub metrics: Vec<Metric>,
    /// `behavior.scaleUp`.
    pub scale_up: ScalingRules,
    /// `behavior.scaleDown`.
    pub scale_down: ScalingRules,
}

impl Autoscaling {
    /// The fewest and the most replicas.
    pub fn bounds(&self) -> Bounds {
        Bounds { min_replicas: self.min_replicas, max_replicas: self.max_replicas }
    }
}

/// What is measured, and how much of it each replica should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Resource `cpu`, in thousandths of a processor.
    Cpu(Target),
    /// Resource `memory`, in bytes.
    Memory(Target),
    /// Pods metric `http_requests_per_second`, in thousandths of a request a second.
    Requests(Target),
}

/// How much each replica should use on average, in the metric's unit; more than 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// `AverageValue`.
    Average(u64),
    /// `Utilization`: so many percent of the resource that each replica requests.
    Utilization {
        /// `averageUtilization`; at least 1.
        percent: u32,
        /// What `resources.requests` of the container says.
        request: u64,
    },
}

/// `HPAScalingRules`: how fast the number may change in one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScalingRules {
    /// `stabilizationWindowSeconds`, 0 to 3600; default 0 for up and 300 for down.
    pub stabilization_s: u32,
    /// `policies` and `selectPolicy`.
    pub policies: Policies,
    /// `tolerance`, in thousandths; default 100, which is 10%.
    pub tolerance_permille: u32,
}

/// Which changes are allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Policies {
    /// `selectPolicy: Disabled`: none.
    Disabled,
    /// What one of these allows.
    Selected(Select, Vec<Policy>),
}

/// `selectPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Select {
    /// The policy that allows the largest change; the default.
    Max,
    /// The policy that allows the smallest change.
    Min,
}

/// `HPAScalingPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// `type` and `value`.
    pub size: PolicySize,
    /// `periodSeconds`, 1 to 1800.
    pub period_s: u32,
}

/// How much a policy allows in its period; more than 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicySize {
    /// So many replicas.
    Pods(u32),
    /// So many percent of the replicas at the beginning of the period.
    Percent(u32),
}

impl ScalingRules {
    /// The defaults of `scaleUp`: the larger of 4 replicas and a doubling in 15 seconds, at once.
    pub fn up() -> Self {
        let policies = [PolicySize::Percent(100), PolicySize::Pods(4)].map(|size| Policy { size, period_s: 15 });
        Self {
            stabilization_s: 0,
            policies: Policies::Selected(Select::Max, policies.to_vec()),
            tolerance_permille: 100,
        }
    }

    /// The defaults of `scaleDown`: down to `minReplicas`, to the highest recommendation of five minutes.
    pub fn down() -> Self {
        let policy = Policy { size: PolicySize::Percent(100), period_s: 15 };
        Self { stabilization_s: 300, policies: Policies::Selected(Select::Max, vec![policy]), tolerance_permille: 100 }
    }
}
