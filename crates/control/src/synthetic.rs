//! Sends synthetic requests, in pairs: the same request to the candidate and to the stable version at the same time.
//!
//! A burst lasts a second at the most, but for the answers to its last pair; then it is decided anew whether more are
//! wanted. One burst a step is under way. What a crash cuts short is not counted: evidence is less then, never wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prograde_model::ids::{FlightId, Target};
use prograde_model::metric::{Found, MetricSource, Pairs, Request, Told, Wanted};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::ports::{Measurement, Measures};

/// How long either version may take to answer; a request that takes longer has failed.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);
/// How much longer an adapter may take to say so.
const GRACE: Duration = Duration::from_secs(1);
/// How long a burst may last.
const BURST: Duration = Duration::from_secs(1);

/// One step of one flight.
pub(crate) type Key = (Target, FlightId, u32);

/// What to send, and where to.
#[derive(Debug, Clone)]
pub(crate) struct Burst {
    pub(crate) wanted: Wanted,
    /// The measurement to make of the candidate, but for its source.
    pub(crate) of_candidate: Measurement,
    pub(crate) stable_addresses: Vec<SocketAddr>,
}

/// The bursts that are under way.
#[derive(Default)]
pub(crate) struct Sending {
    tasks: JoinSet<Pairs>,
    under_way: BTreeSet<Key>,
    keys: BTreeMap<tokio::task::Id, Key>,
}

impl Sending {
    /// Starts a burst, unless one is under way for that step.
    pub(crate) fn start(&mut self, key: Key, burst: Burst, measures: &Arc<dyn Measures>) {
        if !self.under_way.insert(key.clone()) {
            return;
        }
        let measures = Arc::clone(measures);
        let task = self.tasks.spawn(async move { send(&*measures, &burst).await });
        self.keys.insert(task.id(), key);
    }

    /// Waits for a burst to end. Cancel-safe: one that ended is only given once.
    pub(crate) async fn ended(&mut self) -> (Key, Pairs) {
        loop {
            let Some(joined) = self.tasks.join_next_with_id().await else {
                return std::future::pending().await;
            };
            let (id, pairs) = match joined {
                Ok(ended) => ended,
                Err(error) => {
                    tracing::error!("sending synthetic requests ended badly: {error}");
                    (error.id(), Pairs::default())
                }
            };
            if let Some(key) = self.keys.remove(&id) {
                self.under_way.remove(&key);
                return (key, pairs);
            }
        }
    }

    pub(crate) async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Sends one burst at an even pace. A pair of which either half could not be asked is not counted.
async fn send(measures: &dyn Measures, burst: &Burst) -> Pairs {
    let started = Instant::now();
    let gap = BURST / burst.wanted.of.per_second.max(1);
    let mut pairs = Pairs::default();
    let mut at = started;
    for number in (burst.wanted.first..).take(usize::try_from(burst.wanted.pairs).unwrap_or(usize::MAX)) {
        sleep_until(at).await;
        if Instant::now() >= started + BURST {
            break;
        }
        at += gap;
        let requests = &burst.wanted.of.requests;
        let Some(request) = turn(requests, number).and_then(|at| requests.get(at)) else { break };
        let stable = Measurement { addresses: burst.stable_addresses.clone(), ..burst.of_candidate.clone() };
        let (candidate, stable) = futures_util::join!(
            failed(measures, request, number, burst.of_candidate.clone()),
            failed(measures, request, number, stable)
        );
        if let (Some(candidate), Some(stable)) = (candidate, stable) {
            pairs.add(candidate, stable);
        }
    }
    // So that the next burst keeps the pace.
    sleep_until(at).await;
    pairs
}

/// Whose turn it is in a list.
fn turn<T>(list: &[T], number: u64) -> Option<usize> {
    usize::try_from(number.checked_rem(u64::try_from(list.len()).ok()?)?).ok()
}

/// Whether a request was not answered as said; none where nobody could be asked.
async fn failed(measures: &dyn Measures, request: &Request, number: u64, mut of: Measurement) -> Option<bool> {
    of.source = MetricSource::Requests(vec![request.clone()]);
    let first = turn(&of.addresses, number)?;
    of.addresses.rotate_left(first);
    match timeout(TIMEOUT + GRACE, measures.measure(&of)).await {
        Ok(Ok(Found::Judged { told: Told::Pass, .. })) => Some(false),
        Ok(Ok(Found::Judged { told: Told::Fail, .. })) | Err(_) => Some(true),
        Ok(
            Ok(
                Found::Value(_)
                | Found::Infinite { .. }
                | Found::Nothing { .. }
                | Found::Error { .. }
                | Found::Judged { told: Told::Inconclusive, .. },
            )
            | Err(_),
        ) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use jiff::Timestamp;
    use prograde_model::ids::Weight;
    use prograde_model::judge::Synthetic;

    use super::*;
    use crate::ports::MeasureError;

    /// Port 1 answers all, port 2 nothing but `/good`, port 3 can't be asked, port 4 hangs.
    #[derive(Default)]
    struct Services(Mutex<Vec<(u16, String, Instant)>>);

    #[async_trait]
    impl Measures for Services {
        async fn measure(&self, of: &Measurement) -> Result<Found, MeasureError> {
            let MetricSource::Requests(requests) = &of.source else { panic!("{of:?}") };
            let (port, get) = (of.addresses[0].port(), requests[0].get.clone());
            self.0.lock().unwrap().push((port, get.clone(), Instant::now()));
            let told = if port == 1 || get == "/good" { Told::Pass } else { Told::Fail };
            match port {
                3 => Err(MeasureError::NoReplica),
                4 => std::future::pending().await,
                _ => Ok(Found::Judged { told, value: None, reason: String::new() }),
            }
        }
    }

    fn burst(candidate: &[u16], stable: &[u16], pairs: u64) -> Burst {
        let addresses = |ports: &[u16]| ports.iter().map(|port| SocketAddr::from(([127, 0, 0, 1], *port))).collect();
        let of: Synthetic =
            serde_json::from_value(serde_json::json!({"requests": [{"get": "/good"}, {"get": "/other"}]})).unwrap();
        Burst {
            wanted: Wanted { of, first: 0, pairs },
            of_candidate: Measurement {
                source: MetricSource::Requests(Vec::new()),
                target: Target { environment: "test".parse().unwrap(), service: "pad".parse().unwrap() },
                flight: "c".repeat(32).parse().unwrap(),
                commit: "d".repeat(40).parse().unwrap(),
                step: 0,
                weight: Weight::ZERO,
                since: Timestamp::UNIX_EPOCH,
                addresses: addresses(candidate),
                timeout: TIMEOUT,
                at: Timestamp::UNIX_EPOCH,
            },
            stable_addresses: addresses(stable),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn both_versions_get_the_same_requests_at_an_even_pace() {
        let services = Services::default();
        let started = Instant::now();
        let pairs = send(&services, &burst(&[2], &[1], 5)).await;
        assert_eq!(pairs, Pairs { sent: 5, candidate_failures: 2, stable_failures: 0 });
        let asked = services.0.into_inner().unwrap();
        let of = |port: u16| {
            let of_port = asked.iter().filter(move |(asked, ..)| *asked == port);
            of_port.map(|(_, get, at)| (get.clone(), (*at - started).as_millis())).collect::<Vec<_>>()
        };
        assert_eq!(of(1), of(2));
        // The clock of the tests has milliseconds.
        assert_eq!(of(1).iter().map(|(_, at)| at / 100 * 100).collect::<Vec<_>>(), [0, 200, 400, 600, 800]);
        assert_eq!(of(1)[..2].iter().map(|(get, _)| get.as_str()).collect::<Vec<_>>(), ["/good", "/other"]);
        assert!(started.elapsed() >= BURST, "the next burst keeps the pace");
    }

    #[tokio::test(start_paused = true)]
    async fn replicas_are_asked_in_turn_and_half_a_pair_counts_for_nothing() {
        let pairs = send(&Services::default(), &burst(&[1, 3], &[1], 4)).await;
        assert_eq!(pairs, Pairs { sent: 2, candidate_failures: 0, stable_failures: 0 });
        assert_eq!(send(&Services::default(), &burst(&[1], &[], 2)).await, Pairs::default());
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_hangs_has_failed_and_ends_the_burst() {
        let pairs = send(&Services::default(), &burst(&[4], &[1], 5)).await;
        assert_eq!(pairs, Pairs { sent: 1, candidate_failures: 1, stable_failures: 0 });
    }

    #[tokio::test(start_paused = true)]
    async fn one_burst_of_a_step_is_under_way() {
        let services: Arc<dyn Measures> = Arc::new(Services::default());
        let one = burst(&[1], &[1], 2);
        let key = (one.of_candidate.target.clone(), one.of_candidate.flight.clone(), 0);
        let mut sending = Sending::default();
        for _ in 0..3 {
            sending.start(key.clone(), one.clone(), &services);
        }
        assert_eq!(sending.tasks.len(), 1);
        let (ended, pairs) = sending.ended().await;
        assert_eq!((ended, pairs.sent), (key.clone(), 2));
        sending.start(key, one, &services);
        assert_eq!(sending.tasks.len(), 1, "and then the next");
        sending.stop().await;
    }
}
