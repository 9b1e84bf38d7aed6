//! How fast the number may change ("Scaling policies").

use jiff::{SignedDuration, Timestamp};

use super::Scaling;
use super::spec::{Autoscaling, Policies, Policy, PolicySize, Select};

/// The nearest number to `wanted` that bounds and policies allow, and what stops it there.
pub(super) fn limit(
    spec: &Autoscaling,
    current: u32,
    wanted: u32,
    before: &[Scaling],
    at: Timestamp,
) -> (u32, Option<String>) {
    if wanted > current {
        let paced = highest(&spec.scale_up.policies, current, before, at).max(current);
        return match wanted {
            _ if paced < wanted.min(spec.max_replicas) => (paced, Some(allowed("scaleUp", paced))),
            _ if spec.max_replicas < wanted => (spec.max_replicas, Some(bound("maxReplicas", spec.max_replicas))),
            _ => (wanted, None),
        };
    }
    let paced = lowest(&spec.scale_down.policies, current, before, at).min(current);
    match wanted {
        _ if paced > wanted.max(spec.min_replicas) => (paced, Some(allowed("scaleDown", paced))),
        _ if spec.min_replicas > wanted => (spec.min_replicas, Some(bound("minReplicas", spec.min_replicas))),
        _ => (wanted, None),
    }
}

fn bound(name: &str, value: u32) -> String {
    format!("{name} is {value}")
}

fn allowed(direction: &str, replicas: u32) -> String {
    format!("{direction} allows {replicas} for now")
}

/// How many there were when a policy's period began.
fn at_start(policy: &Policy, current: u32, before: &[Scaling], at: Timestamp) -> i64 {
    let period = SignedDuration::from_secs(policy.period_s.into());
    let within = before.iter().filter(|scaling| at.duration_since(scaling.at) < period);
    let changed: i64 = within.map(|scaling| i64::from(scaling.replicas) - i64::from(scaling.before)).sum();
    i64::from(current) - changed
}

fn highest(policies: &Policies, current: u32, before: &[Scaling], at: Timestamp) -> u32 {
    let Policies::Selected(select, policies) = policies else { return current };
    let allowed = policies.iter().map(|policy| {
        let start = at_start(policy, current, before, at);
        match policy.size {
            PolicySize::Pods(pods) => start.saturating_add(pods.into()),
            // Rounded up.
            PolicySize::Percent(percent) => -(-start).saturating_mul(100 + i64::from(percent)).div_euclid(100),
        }
    });
    let selected = match select {
        Select::Max => allowed.max(),
        Select::Min => allowed.min(),
    };
    selected.map_or(current, number)
}

fn lowest(policies: &Policies, current: u32, before: &[Scaling], at: Timestamp) -> u32 {
    let Policies::Selected(select, policies) = policies else { return current };
    let allowed = policies.iter().map(|policy| {
        let start = at_start(policy, current, before, at);
        match policy.size {
            PolicySize::Pods(pods) => start.saturating_sub(pods.into()),
            // Rounded down, so that also one of a few may go.
            PolicySize::Percent(percent) => start.saturating_mul((100 - i64::from(percent)).max(0)).div_euclid(100),
        }
    });
    let selected = match select {
        Select::Max => allowed.min(),
        Select::Min => allowed.max(),
    };
    selected.map_or(current, number)
}

fn number(replicas: i64) -> u32 {
    u32::try_from(replicas.max(0)).unwrap_or(u32::MAX)
}
