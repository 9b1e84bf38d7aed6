//! Measures the metrics of every step that is judged: what is due, one measurement of a metric at a time, each on its own.
//!
//! A provider that hangs costs its own metric a measurement and nothing else: no decision waits for it, and no other
//! metric. Readings are kept in memory for as long as their step lasts; after a restart of the server the step is
//! measured anew, which can only make it wait.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use prograde_model::flight::Flight;
use prograde_model::ids::{CommitId, FlightId, MetricName, Target, Weight};
use prograde_model::metric::{
    Found, METRICS_MAX, Metric, MetricSource, MetricState, Pairs, Reading, Scene, StepReadings, Wanted, baking, wanted,
};
use prograde_model::runtime::Observation;
use tokio::task::JoinSet;

use crate::halted::{Halted, Part};
use crate::ports::{MeasureError, Measurement, Measures};
use crate::synthetic::{self, Burst, Sending};

/// How many measurements may be under way: those of eight targets with as many metrics as there may be.
const UNDER_WAY_MAX: usize = 8 * METRICS_MAX;

/// A step that bakes, or the watch after the last one, and is judged by metrics.
#[derive(Debug, Clone)]
pub(crate) struct Judged {
    pub(crate) target: Target,
    pub(crate) flight: FlightId,
    pub(crate) addresses: Vec<SocketAddr>,
    /// Where the stable version can be reached past the weights; asked for only where synthetic requests are wanted.
    pub(crate) stable_addresses: Vec<SocketAddr>,
    pub(crate) synthetic: Option<Wanted>,
    commit: CommitId,
    pub(crate) stable: Option<FlightId>,
    step: u32,
    weight: Weight,
    since: Timestamp,
    bake: SignedDuration,
    metrics: Vec<Metric>,
}

impl Judged {
    /// The steps of one flight that bake and have metrics or may be sent synthetic requests: one at the most, as a flight
    /// is in one place at a time.
    pub(crate) fn of_flight(flight: &Flight, seen: impl Fn(&Target) -> Observation, now: Timestamp) -> Vec<Self> {
        let moving = flight.entries.iter().filter_map(|(target, entry)| Some((target.clone(), entry.moving()?)));
        let baking = moving.filter_map(|(target, rollout)| {
            let step = baking(rollout)?;
            let may_send = rollout.start.strategy.analysis().is_some_and(|analysis| analysis.synthetic.is_some());
            if step.metrics.is_empty() && !may_send {
                return None;
            }
            Some(Self {
                synthetic: if may_send { wanted(rollout, &seen(&target), now) } else { None },
                stable_addresses: Vec::new(),
                target,
                flight: step.candidate.clone(),
                addresses: Vec::new(),
                commit: flight.commit().clone(),
                stable: step.stable.cloned(),
                step: step.step,
                weight: step.weight,
                since: step.since,
                bake: step.bake,
                metrics: step.metrics.to_vec(),
            })
        });
        baking.collect()
    }

    /// The synthetic requests to send now, if any are wanted and both versions can be reached.
    fn burst(&self, now: Timestamp) -> Option<Burst> {
        let wanted = self.synthetic.clone()?;
        if self.addresses.is_empty() || self.stable_addresses.is_empty() {
            return None;
        }
        let of_candidate = self.asked(MetricSource::Requests(Vec::new()), synthetic::TIMEOUT, now);
        Some(Burst { wanted, of_candidate, stable_addresses: self.stable_addresses.clone() })
    }

    /// What to ask for one metric now; `None` where the metric does not say how it is measured.
    fn measurement(&self, metric: &Metric, now: Timestamp) -> Option<Measurement> {
        let step_s = u64::try_from(now.duration_since(self.since).as_secs()).unwrap_or(0);
        let stable = self.stable.as_ref();
        let scene = Scene { target: &self.target, flight: &self.flight, commit: &self.commit, stable, step_s };
        Some(self.asked(metric.source(&scene)?, metric.timeout.duration().unsigned_abs(), now))
    }

    fn asked(&self, source: MetricSource, timeout: Duration, now: Timestamp) -> Measurement {
        Measurement {
            source,
            target: self.target.clone(),
            flight: self.flight.clone(),
            commit: self.commit.clone(),
            step: self.step,
            weight: self.weight,
            since: self.since,
            addresses: self.addresses.clone(),
            timeout,
            at: now,
        }
    }
}

/// What was measured at each target for the step that bakes there.
#[derive(Debug, Default)]
pub(crate) struct Readings(Mutex<BTreeMap<Target, StepReadings>>);

impl Readings {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Target, StepReadings>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was measured at a target.
    pub(crate) fn of(&self, target: &Target) -> Option<StepReadings> {
        self.lock().get(target).cloned()
    }

    /// Forgets what belongs to no step that bakes, and makes room for those that do.
    fn keep(&self, steps: &[Judged]) {
        let mut readings = self.lock();
        let bakes = |step: &Judged, target: &Target, of: &StepReadings| {
            (&step.target, &step.flight, step.step) == (target, &of.flight, of.step)
        };
        readings.retain(|target, of| steps.iter().any(|step| bakes(step, target, of)));
        for step in steps {
            readings.entry(step.target.clone()).or_insert_with(|| StepReadings {
                flight: step.flight.clone(),
                step: step.step,
                metrics: BTreeMap::new(),
                synthetic: Pairs::default(),
            });
        }
    }

    /// The metrics of a step that are due and not among those under way.
    fn due<'a>(&self, step: &'a Judged, under_way: &BTreeSet<Key>, now: Timestamp) -> Vec<&'a Metric> {
        let readings = self.lock();
        let none = MetricState::default();
        // Another flight's step may still be judged at the same place, for a moment.
        let of_step = readings.get(&step.target).filter(|of| (&of.flight, of.step) == (&step.flight, step.step));
        let Some(of_step) = of_step else { return Vec::new() };
        let is_due = |metric: &&Metric| {
            let state = of_step.metrics.get(&metric.name).unwrap_or(&none);
            !under_way.contains(&key(step, metric)) && state.is_due(metric, step.since, step.bake, now)
        };
        step.metrics.iter().filter(is_due).collect()
    }

    /// Counts synthetic requests, unless their step is over.
    fn count(&self, key: &synthetic::Key, pairs: &Pairs) {
        let mut readings = self.lock();
        let step = readings.get_mut(&key.0).filter(|of| (&of.flight, of.step) == (&key.1, key.2));
        if let Some(step) = step {
            step.synthetic.add_all(pairs);
        }
    }

    /// Takes a reading in, unless its step is over.
    fn take(&self, key: &Key, metric: &Metric, reading: Reading) {
        let mut readings = self.lock();
        let step = readings.get_mut(&key.0).filter(|of| (&of.flight, of.step) == (&key.1, key.2));
        if let Some(step) = step {
            step.metrics.entry(metric.name.clone()).or_default().take(metric, reading);
        }
    }
}

/// One metric of one step.
type Key = (Target, FlightId, u32, MetricName);

fn key(step: &Judged, metric: &Metric) -> Key {
    (step.target.clone(), step.flight.clone(), step.step, metric.name.clone())
}

/// The measurements that are under way.
pub(crate) struct Measuring {
    measures: Arc<dyn Measures>,
    readings: Arc<Readings>,
    tasks: JoinSet<Found>,
    sending: Sending,
    under_way: BTreeSet<Key>,
    asked: BTreeMap<tokio::task::Id, (Key, Metric, Timestamp)>,
}

impl Measuring {
    pub(crate) fn new(measures: Arc<dyn Measures>, readings: Arc<Readings>) -> Self {
        let (tasks, sending) = (JoinSet::new(), Sending::default());
        Self { measures, readings, tasks, sending, under_way: BTreeSet::new(), asked: BTreeMap::new() }
    }

    /// Starts what is due. `steps` are all that bake: what was measured for any other step is forgotten.
    pub(crate) fn start_due(&mut self, steps: Vec<Judged>, now: Timestamp, halted: &Halted) {
        self.readings.keep(&steps);
        for step in steps {
            let due = || (step.burst(now), self.due(&step, now));
            let due = halted.beside(Part::Measuring, (&step.target, Some(&step.flight)), due);
            let Some((burst, measurements)) = due else { continue };
            if let Some(burst) = burst {
                let key = (step.target.clone(), step.flight.clone(), step.step);
                self.sending.start(key, burst, &self.measures);
            }
            for (metric, measurement) in measurements {
                if self.under_way.len() >= UNDER_WAY_MAX {
                    return;
                }
                self.start(key(&step, &metric), metric, measurement);
            }
        }
    }

    fn due(&self, step: &Judged, now: Timestamp) -> Vec<(Metric, Measurement)> {
        let due = self.readings.due(step, &self.under_way, now).into_iter();
        due.filter_map(|metric| Some((metric.clone(), step.measurement(metric, now)?))).collect()
    }

    fn start(&mut self, key: Key, metric: Metric, measurement: Measurement) {
        let measures = Arc::clone(&self.measures);
        let at = measurement.at;
        let task = self.tasks.spawn(async move { measure(&*measures, &measurement).await });
        self.under_way.insert(key.clone());
        self.asked.insert(task.id(), (key, metric, at));
    }

    /// Waits for a measurement or a burst of synthetic requests to end and takes it in. Cancel-safe: one that ended is only
    /// taken once.
    pub(crate) async fn ended(&mut self, halted: &Halted) {
        let joined = tokio::select! {
            biased;
            Some(joined) = self.tasks.join_next_with_id() => joined,
            (key, pairs) = self.sending.ended() => return self.readings.count(&key, &pairs),
        };
        let (id, found) = match joined {
            Ok(ended) => ended,
            Err(error) => (error.id(), Found::Error { why: format!("the measurement ended badly: {error}") }),
        };
        let Some((key, metric, at)) = self.asked.remove(&id) else { return };
        self.under_way.remove(&key);
        if let Found::Error { why } = &found {
            tracing::warn!(flight = key.1.short(), metric = %key.3, "could not be measured: {why}");
        }
        let take = || self.readings.take(&key, &metric, Reading { at, found });
        halted.beside(Part::Measuring, (&key.0, Some(&key.1)), take);
    }

    /// Ends everything at once.
    pub(crate) async fn stop(mut self) {
        self.tasks.shutdown().await;
        self.sending.stop().await;
    }
}

/// How much longer than its own timeout a provider's adapter may take to say that it timed out.
const GRACE: Duration = Duration::from_secs(1);

/// The timeout is kept here too, whatever an adapter does.
async fn measure(provider: &dyn Measures, measurement: &Measurement) -> Found {
    let timeout = measurement.timeout;
    let answer = tokio::time::timeout(timeout.saturating_add(GRACE), provider.measure(measurement)).await;
    let answer = answer.unwrap_or(Err(MeasureError::Timeout(timeout)));
    answer.unwrap_or_else(|error| Found::Error { why: error.to_string() })
}

#[cfg(test)]
mod tests;
