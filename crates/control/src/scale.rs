//! Scales what serves to what it is seen to use: reads, decides by [`prograde_model::autoscale`], and records. The sync
//! that follows every fact does the rest.
//!
//! Invariants: a target is looked at no more often than once in a period, and each look records at most one fact. What is
//! remembered between looks may be lost: then nothing shrinks for the length of a window, and one look learns nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use prograde_model::autoscale::{Autoscaler, Autoscaling, Scale, Situation};
use prograde_model::event::{Event, Place};
use prograde_model::ids::{FlightId, Target};
use tokio::time::{Duration, Instant, timeout};

use crate::controller::{Inner, log};
use crate::halted::Part;
use crate::meter::Meter;
use crate::ports::AppendError;
use crate::sync::Synced;

/// How long a runtime may take to say what is used.
const USAGE_TIMEOUT: Duration = Duration::from_secs(5);

/// What is remembered between looks.
pub(crate) struct Scaling {
    next: Instant,
    targets: BTreeMap<Target, Remembered>,
}

#[derive(Default)]
struct Remembered {
    autoscaler: Autoscaler,
    meter: Meter,
}

impl Scaling {
    pub(crate) fn new() -> Self {
        Self { next: Instant::now(), targets: BTreeMap::new() }
    }

    /// When the next look is due.
    pub(crate) fn due(&self) -> Instant {
        self.next
    }
}

/// What serves at a target, and how it is to be scaled.
struct Scaled {
    target: Target,
    flight: FlightId,
    spec: Autoscaling,
}

impl Inner {
    /// Looks at every target whose version is scaled, where that is due.
    pub(crate) async fn scale(self: &Arc<Self>, scaling: &mut Scaling, synced: &Synced) {
        let now = Instant::now();
        if now < scaling.next {
            return;
        }
        scaling.next = now + self.options.autoscale_period;
        let scaled: Vec<Scaled> = self.ledger.with(|fleet| {
            let serving = fleet.targets().filter_map(|target| Some((target.clone(), fleet.current(target)?.clone())));
            let read = |(target, flight)| {
                let spec = synced.workload(&target, &flight)?.autoscaling.clone()?;
                Some(Scaled { target, flight, spec })
            };
            serving.filter_map(read).collect()
        });
        scaling.targets.retain(|target, _| scaled.iter().any(|one| one.target == *target));
        for one in scaled {
            let remembered = scaling.targets.entry(one.target.clone()).or_default();
            self.scale_one(&one, remembered).await;
        }
    }

    async fn scale_one(&self, one: &Scaled, remembered: &mut Remembered) {
        let Ok(usage) = timeout(USAGE_TIMEOUT, self.ports.runtime.usage(&one.target)).await else {
            tracing::warn!(target = %one.target, "what is used is not known: the runtime did not answer in time");
            return;
        };
        let at = self.clock.now();
        let recorded = self
            .ledger
            .record(&one.flight, at, |fleet| {
                if fleet.current(&one.target) != Some(&one.flight) {
                    return Ok::<_, AppendError>(Vec::new());
                }
                let replicas = fleet.replicas(&one.flight, &one.target).unwrap_or(0);
                let now = Situation { at, replicas, may_shrink: !fleet.is_moving(&one.target) };
                let before = fleet.scalings(&one.target);
                let decide = || {
                    let seen = self.ports.runtime.observe(&one.target);
                    let readings = remembered.meter.read(&usage, &seen, &one.flight, at);
                    remembered.autoscaler.decide(&one.spec, now, before, &readings)
                };
                let scale = self.halted.beside(Part::Replicas, (&one.target, Some(&one.flight)), decide).flatten();
                let place = fleet.flight(&one.flight).map(|flight| flight.place(&one.target));
                Ok(place.zip(scale).map(|(place, scale)| scaled(place, replicas, scale)).into_iter().collect())
            })
            .await;
        match recorded {
            Ok(events) => events.iter().for_each(|event| log(&one.flight, event)),
            Err(error) => tracing::error!(target = %one.target, "a number of replicas could not be recorded: {error}"),
        }
    }
}

fn scaled(place: Place, before: u32, scale: Scale) -> Event {
    Event::Scaled { place, before, replicas: scale.replicas, reason: scale.reason, by: None }
}
