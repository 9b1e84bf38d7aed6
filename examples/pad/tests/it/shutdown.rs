//! Draining, with a real listener and real connections.

use std::time::Duration;

use pad::faults::Faults;
use pad::serve::{Ended, serve};
use pad::settings::Settings;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const BOUND: Duration = Duration::from_secs(30);

struct Served {
    address: std::net::SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    ended: JoinHandle<std::io::Result<Ended>>,
}

impl Served {
    async fn new(drain: Duration, shutdown: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let settings = Settings { address, drain, shutdown, faults: Faults::NONE, ..Settings::default() };
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(async move { serve(listener, &settings, async { drop(stopped.await) }).await });
        Self { address, stop: Some(stop), ended }
    }

    /// Sends a request on a connection of its own; the answer can be read from what is returned.
    async fn send(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: pad\r\n\r\n").as_bytes()).await.unwrap();
        stream
    }

    async fn ended(self) -> Ended {
        timeout(BOUND, self.ended).await.expect("it stops within the bound").unwrap().unwrap()
    }
}

/// The answer's status line and what else has come with it.
async fn answer(mut stream: TcpStream) -> String {
    let mut buffer = vec![0; 8192];
    let read = timeout(BOUND, stream.read(&mut buffer)).await.expect("an answer within the bound").unwrap();
    String::from_utf8_lossy(&buffer[..read]).into_owned()
}

async fn wait_until_in_flight(served: &Served, requests: usize) {
    let line = format!("http_requests_in_flight {}\n", requests + 1);
    timeout(BOUND, async { while !answer(served.send("/metrics").await).await.contains(&line) {} })
        .await
        .expect("the requests arrive");
}

#[tokio::test]
async fn readiness_is_withdrawn_while_it_still_listens() {
    let mut served = Served::new(BOUND, BOUND).await;
    assert!(answer(served.send("/readyz").await).await.starts_with("HTTP/1.1 200"));
    served.stop.take().unwrap().send(()).unwrap();
    timeout(BOUND, async { while !answer(served.send("/readyz").await).await.starts_with("HTTP/1.1 503") {} })
        .await
        .expect("readiness is withdrawn");
    assert!(answer(served.send("/").await).await.starts_with("HTTP/1.1 200"), "what still comes is answered");
}

#[tokio::test]
async fn requests_in_flight_are_answered() {
    let mut served = Served::new(Duration::ZERO, BOUND).await;
    let slow = served.send("/delay/0.5").await;
    wait_until_in_flight(&served, 1).await;
    served.stop.take().unwrap().send(()).unwrap();
    assert!(answer(slow).await.starts_with("HTTP/1.1 200"));
    let address = served.address;
    assert_eq!(served.ended().await, Ended::Drained);
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn requests_that_never_end_are_cut_off() {
    let mut served = Served::new(Duration::ZERO, Duration::from_millis(100)).await;
    let _slow = served.send("/delay/60").await;
    wait_until_in_flight(&served, 1).await;
    served.stop.take().unwrap().send(()).unwrap();
    assert_eq!(served.ended().await, Ended::CutOff);
}

#[tokio::test]
async fn idle_connections_do_not_hold_up_the_end() {
    let mut served = Served::new(Duration::ZERO, BOUND).await;
    let idle = served.send("/livez").await;
    wait_until_in_flight(&served, 0).await;
    served.stop.take().unwrap().send(()).unwrap();
    assert_eq!(served.ended().await, Ended::Drained);
    drop(idle);
}
