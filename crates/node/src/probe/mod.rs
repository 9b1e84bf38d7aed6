//! Startup, liveness and readiness probes with the kubelet's rules.
//!
//! A container that declares no startup probe has started at once, one without a readiness probe is ready when it has
//! started (Kubernetes, "Liveness, Readiness, and Startup Probes"). Each watch ends with its process: it is a task of
//! that process's supervisor.

mod attempt;
mod http;

use std::time::Duration;

use prograde_model::workload::Probe;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

pub(crate) use attempt::Prober;

/// What a probe is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Holds back the other two until it succeeds; its failure restarts the container.
    Startup,
    /// Its failure restarts the container.
    Liveness,
    /// Decides whether requests are sent.
    Readiness,
}

/// What became of a probe when its threshold was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The startup probe succeeded.
    Started,
    /// The readiness probe succeeded.
    Ready,
    /// The readiness probe failed, and how.
    Unready(String),
    /// The startup or liveness probe failed, and how: the container is to be restarted.
    Unhealthy(String),
}

/// Counts the same result in a row. Pure.
#[derive(Debug)]
struct Threshold {
    success: u32,
    failure: u32,
    last: Option<bool>,
    run: u32,
}

impl Threshold {
    fn new(probe: &Probe) -> Self {
        Self { success: probe.success_threshold.max(1), failure: probe.failure_threshold.max(1), last: None, run: 0 }
    }

    /// Whether `succeeded` has now been seen often enough in a row to be believed.
    fn reached(&mut self, succeeded: bool) -> bool {
        self.run = if self.last == Some(succeeded) { self.run.saturating_add(1) } else { 1 };
        self.last = Some(succeeded);
        self.run >= if succeeded { self.success } else { self.failure }
    }
}

/// Probes until there is no more to say: after a startup probe's end, or after a failure that restarts the container.
/// `since` is when the process started; `initialDelaySeconds` counts from it.
pub(crate) async fn watch(kind: Kind, probe: Probe, prober: Prober, since: Instant, out: mpsc::Sender<Verdict>) {
    sleep_until(since + Duration::from_secs(probe.initial_delay_s.into())).await;
    let period = Duration::from_secs(probe.period_s.max(1).into());
    // Kubernetes promises of the first probe only that it comes within a period after the initial delay.
    prober.until_listening(&probe, period).await;
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut threshold = Threshold::new(&probe);
    loop {
        ticks.tick().await;
        let result = prober.attempt(&probe).await;
        if !threshold.reached(result.is_ok()) {
            continue;
        }
        let (verdict, last) = match (kind, result) {
            (Kind::Startup, Ok(())) => (Verdict::Started, true),
            (Kind::Liveness, Ok(())) => continue,
            (Kind::Readiness, Ok(())) => (Verdict::Ready, false),
            (Kind::Startup, Err(why)) => (Verdict::Unhealthy(format!("startup probe failed: {why}")), true),
            (Kind::Liveness, Err(why)) => (Verdict::Unhealthy(format!("liveness probe failed: {why}")), true),
            (Kind::Readiness, Err(why)) => (Verdict::Unready(format!("readiness probe failed: {why}")), false),
        };
        if out.send(verdict).await.is_err() || last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prograde_model::workload::{PortRef, ProbeAction};

    fn probe(success_threshold: u32, failure_threshold: u32) -> Probe {
        let action = ProbeAction::Tcp { port: PortRef::Number(1) };
        Probe { action, initial_delay_s: 0, period_s: 1, timeout_s: 1, success_threshold, failure_threshold }
    }

    #[test]
    fn only_a_run_of_equal_results_is_believed() {
        let mut threshold = Threshold::new(&probe(2, 3));
        let seen = [true, false, true, true, true, false, false, true, false, false, false, false];
        let believed: Vec<bool> = seen.iter().map(|succeeded| threshold.reached(*succeeded)).collect();
        let expected = [false, false, false, true, true, false, false, false, false, false, true, true];
        assert_eq!(believed, expected);
        assert!(Threshold::new(&probe(0, 0)).reached(false), "a threshold of 0 means 1");
    }
}
