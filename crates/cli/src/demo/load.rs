//! Users: real requests at a constant rate, whatever comes of them.
//!
//! Open loop: a request is due at its time even when earlier ones have not been answered, and its latency counts from
//! when it was due, so that a slow service can't hide by slowing its users down. Nothing is sent again: what a user
//! would have seen is what is counted.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::tally::{Answer, Failure, Tallies};

/// Requests that may wait for their answers at the same time.
const IN_FLIGHT_MAX: usize = 2_000;
/// Kept connections that are not in use.
const IDLE_MAX: usize = 64;
/// A connection that was not used for so long is closed from this side, well before a server would.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest answer that is read.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// What is asked, and how often.
#[derive(Debug, Clone)]
pub(crate) struct LoadOptions {
    /// What is asked for.
    pub(crate) uri: Uri,
    /// Requests in a second.
    pub(crate) rate: NonZeroU32,
    /// How long an answer may take from when its request was due.
    pub(crate) timeout: Duration,
}

/// Requests that are being sent until [`Load::stop`].
pub(crate) struct Load {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

type HttpClient = Client<HttpConnector, Empty<Bytes>>;

impl Load {
    /// Starts to send; what comes of it is counted in `tallies`.
    pub(crate) fn start(options: LoadOptions, tallies: Arc<Tallies>) -> Self {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(send_all(options, tallies, stop.clone()));
        Self { stop, tasks }
    }

    /// Sends no more and waits for the answers that are still to come. Returns whether sending went well to the end.
    pub(crate) async fn stop(mut self) -> bool {
        self.stop.cancel();
        let mut went_well = true;
        while let Some(ended) = self.tasks.join_next().await {
            went_well &= ended.is_ok();
        }
        went_well
    }
}

async fn send_all(options: LoadOptions, tallies: Arc<Tallies>, stop: CancellationToken) {
    let client = client();
    let begin = Instant::now();
    let mut in_flight = JoinSet::new();
    for index in 0u64.. {
        let due = begin + offset(index, options.rate);
        // Also when late, so that others get to run and a stop is seen.
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = sleep_until(due) => {}
        }
        while in_flight.try_join_next().is_some() {}
        if in_flight.len() >= IN_FLIGHT_MAX {
            tallies.count(&Answer::Missing(Failure::Unsent), due.elapsed());
            continue;
        }
        let (client, uri, tallies) = (client.clone(), options.uri.clone(), Arc::clone(&tallies));
        let deadline = due + options.timeout;
        in_flight.spawn(async move {
            let answer = timeout_at(deadline, ask(&client, uri)).await;
            tallies.count(&answer.unwrap_or(Answer::Missing(Failure::Late)), due.elapsed());
        });
    }
    while in_flight.join_next().await.is_some() {}
}

/// When a request is due, from the beginning.
fn offset(index: u64, rate: NonZeroU32) -> Duration {
    Duration::from_nanos(index.saturating_mul(1_000_000_000) / u64::from(rate.get()))
}

fn client() -> HttpClient {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(IDLE_MAX)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .retry_canceled_requests(false)
        .build(connector)
}

async fn ask(client: &HttpClient, uri: Uri) -> Answer {
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = uri;
    let answer = match client.request(request).await {
        Ok(answer) => answer,
        Err(error) if error.is_connect() => return Answer::Missing(Failure::Connect),
        Err(_) => return Answer::Missing(Failure::NoAnswer),
    };
    let status = answer.status();
    match Limited::new(answer.into_body(), BODY_BYTES_MAX).collect().await {
        Ok(body) => Answer::Whole { status, body: body.to_bytes().to_vec() },
        Err(_) => Answer::Missing(Failure::NoAnswer),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use http::StatusCode;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::super::tally::{Count, Marker, Tally};
    use super::*;

    fn options(address: std::net::SocketAddr, rate: u32) -> LoadOptions {
        let uri = format!("http://{address}/").parse().unwrap();
        LoadOptions { uri, rate: NonZeroU32::new(rate).unwrap(), timeout: Duration::from_secs(20) }
    }

    fn tallies() -> Arc<Tallies> {
        Arc::new(Tallies::new(vec![Marker { version: "v", text: "hello".into() }]))
    }

    async fn until(tallies: &Tallies, enough: impl Fn(&Tally) -> bool) {
        let wait = async {
            while !enough(&tallies.tally()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap();
    }

    #[test]
    fn requests_are_due_at_even_distances_without_drift() {
        let rate = NonZeroU32::new(300).unwrap();
        assert_eq!(offset(0, rate), Duration::ZERO);
        assert_eq!(offset(300, rate), Duration::from_secs(1));
        assert_eq!(offset(300 * 3600, rate), Duration::from_hours(1));
        assert_eq!(offset(1, rate), Duration::from_nanos(3_333_333));
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_holds_while_nothing_is_answered() {
        // Nobody listens there: each request fails on its own, and the next is due all the same.
        let gone = std::net::SocketAddr::from(([127, 0, 0, 1], prograde_ports::free()));
        let tallies = tallies();
        let load = Load::start(options(gone, 100), Arc::clone(&tallies));
        tokio::time::sleep(Duration::from_millis(1995)).await;
        assert!(load.stop().await);
        let tally = tallies.tally();
        assert_eq!(tally.all, Count { requests: 200, failures: 200 }, "{tally:?}");
        assert_eq!(tally.troubles(), "200 times no connection");
    }

    #[tokio::test]
    async fn every_failure_is_counted_as_what_it_is() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicU64::new(0));
        let answer = move || {
            let turn = asked.fetch_add(1, Ordering::Relaxed) % 4;
            async move { if turn == 3 { (StatusCode::SERVICE_UNAVAILABLE, "no") } else { (StatusCode::OK, "hello") } }
        };
        let mut server = JoinSet::new();
        let app = axum::Router::new().route("/", axum::routing::get(answer));
        server.spawn(async move { axum::serve(listener, app).await.unwrap() });

        let tallies = tallies();
        let load = Load::start(options(address, 500), Arc::clone(&tallies));
        until(&tallies, |t| t.all.requests >= 40).await;
        assert!(load.stop().await);
        let tally = tallies.tally();
        let failed = tally.all.requests / 4;
        assert_eq!(tally.all.failures, failed, "{tally:?}");
        assert_eq!(tally.version("v"), Count { requests: tally.all.requests - failed, failures: 0 });
        assert_eq!(tally.failures.get(&Failure::Status(503)), Some(&failed));
        assert!(tallies.latency().quantile(50).is_some());
    }

    #[tokio::test]
    async fn a_connection_that_ends_early_is_no_answer_and_silence_is_late() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut kept = Vec::new();
            for turn in 0u64.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = [0; 1024];
                assert!(stream.read(&mut head).await.unwrap() > 0);
                if turn % 2 == 0 {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel").await.unwrap();
                } else {
                    kept.push(stream);
                }
            }
        });
        let tallies = tallies();
        let options = LoadOptions { timeout: Duration::from_millis(300), ..options(address, 20) };
        let load = Load::start(options, Arc::clone(&tallies));
        let both = |t: &Tally| t.failures.contains_key(&Failure::NoAnswer) && t.failures.contains_key(&Failure::Late);
        until(&tallies, both).await;
        assert!(load.stop().await);
        let tally = tallies.tally();
        assert_eq!(tally.all.failures, tally.all.requests, "{tally:?}");
        assert_eq!(tally.version("v"), Count::default());
    }
}
