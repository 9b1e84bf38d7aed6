//! The proxy between real sockets: scripted replicas behind, raw clients in front.

mod hostile;
mod lifecycle;
mod mirroring;
mod replacement;
mod requests;
mod routing;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prograde_model::runtime::Routing;
use prograde_model::{FlightId, Target, Weight};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{Endpoint, Listener, Proxy, ProxyOptions, Route, RouteVersion, VersionCounters};

/// Longer than anything here takes, however busy the machine is.
const LONG: Duration = Duration::from_secs(30);

/// A request as a replica got it.
#[derive(Debug, Clone)]
struct Seen {
    head: String,
    /// Counts the replica's connections from 0, and the requests on each.
    connection: usize,
    request: usize,
}

impl Seen {
    fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// A replica that does what its script says. Dropping it is a crash: its sockets are closed.
struct Replica {
    endpoint: Arc<Endpoint>,
    seen: Arc<Mutex<Vec<Seen>>>,
    _task: JoinSet<()>,
}

impl Replica {
    /// `script` gets a connection with a request's head read from it, and gives it back to go on, or keeps it.
    async fn start<F, R>(script: F) -> Self
    where
        F: Fn(TcpStream, Seen) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Option<TcpStream>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint::new(listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            for connection in 0.. {
                let Ok((mut stream, _)) = listener.accept().await else { return };
                let (script, log) = (script.clone(), Arc::clone(&log));
                connections.spawn(async move {
                    for request in 0.. {
                        let Some(head) = read_head(&mut stream).await else { return };
                        let seen = Seen { head, connection, request };
                        log.lock().unwrap().push(seen.clone());
                        match script(stream, seen).await {
                            Some(back) => stream = back,
                            None => return,
                        }
                    }
                });
            }
        });
        Self { endpoint, seen, _task: task }
    }

    /// A replica that answers every request with `body`, when it has read the request's.
    async fn answering(body: &'static str) -> Self {
        Self::start(move |mut stream, seen| async move {
            read_body(&mut stream, &seen).await?;
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.ok()?;
            Some(stream)
        })
        .await
    }

    /// A replica that answers every request with these bytes and closes the connection.
    async fn saying(answer: &'static [u8]) -> Self {
        Self::start(move |mut stream, _| async move {
            stream.write_all(answer).await.ok()?;
            stream.shutdown().await.ok()?;
            None
        })
        .await
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// Reads the body that `Content-Length` announces.
async fn read_body(stream: &mut TcpStream, seen: &Seen) -> Option<()> {
    let length = seen.header("content-length").map_or(0, |length| length.parse().unwrap());
    stream.read_exact(&mut vec![0; length]).await.ok().map(|_| ())
}

/// Reads up to the empty line, a byte at a time; `None` at the connection's end.
async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// A proxy with one listener.
struct Bench {
    proxy: Proxy,
    listener: Listener,
    route: Arc<Route>,
    counters: Arc<VersionCounters>,
}

impl Bench {
    fn with(options: ProxyOptions) -> Self {
        let proxy = Proxy::start(ProxyOptions { workers: 2, ..options }).unwrap();
        let route = Arc::new(route());
        let listener = proxy.listen("127.0.0.1:0".parse().unwrap(), Arc::clone(&route)).unwrap();
        Self { proxy, listener, route, counters: Arc::default() }
    }

    /// All traffic to one version with these replicas.
    fn of(replicas: &[&Replica]) -> Self {
        let bench = Self::with(ProxyOptions::default());
        bench.send_to(replicas);
        bench
    }

    fn send_to(&self, replicas: &[&Replica]) {
        self.set(vec![version(1, 100, &self.counters, replicas)]);
    }

    fn set(&self, versions: Vec<RouteVersion>) {
        self.route.set(versions, &Routing::default());
    }

    fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    async fn connect(&self) -> Client {
        Client { stream: TcpStream::connect(self.address()).await.unwrap() }
    }

    /// One request on a connection of its own.
    async fn get(&self, target: &str) -> Answer {
        self.connect().await.get(target).await
    }

    /// Sends `bytes`, and returns all that comes until the proxy closes.
    async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        read_to_end(&mut stream).await
    }

    async fn requests(&self, requests: u64) {
        wait_for(|| self.counters.snapshot().requests == requests).await;
    }
}

fn version(name: u8, weight: u8, counters: &Arc<VersionCounters>, replicas: &[&Replica]) -> RouteVersion {
    RouteVersion {
        revision: FlightId::from_random([name; 16]).unwrap(),
        weight: Weight::new(weight).unwrap(),
        endpoints: replicas.iter().map(|replica| Arc::clone(&replica.endpoint)).collect(),
        counters: Arc::clone(counters),
        mirrored: Arc::default(),
    }
}

fn route() -> Route {
    Route::new(&Target { environment: "staging".parse().unwrap(), service: "shop".parse().unwrap() })
}

async fn wait_for(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(LONG, waiting).await.expect("what was waited for did not happen");
}

/// To the end, or to a reset.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(count) = timeout(LONG, stream.read(&mut piece)).await.expect("the proxy closes") {
        if count == 0 {
            break;
        }
        all.extend_from_slice(&piece[..count]);
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// A client's connection.
struct Client {
    stream: TcpStream,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Client {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    async fn get(&mut self, target: &str) -> Answer {
        self.send(format!("GET {target} HTTP/1.1\r\nhost: shop\r\n\r\n")).await;
        self.answer().await
    }

    async fn head(&mut self) -> Answer {
        let head = timeout(LONG, read_head(&mut self.stream)).await.expect("an answer comes").expect("a whole head");
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.filter_map(|line| line.split_once(": ")).map(|(n, v)| (n.to_owned(), v.to_owned()));
        Answer { status, headers: headers.collect(), body: String::new() }
    }

    /// An answer with `Content-Length`, chunks or no body.
    async fn answer(&mut self) -> Answer {
        let mut answer = self.head().await;
        if answer.headers.contains_key("transfer-encoding") {
            while let Some(chunk) = self.chunk().await {
                answer.body.push_str(&chunk);
            }
        } else if let Some(length) = answer.headers.get("content-length") {
            let mut body = vec![0; length.parse().unwrap()];
            timeout(LONG, self.stream.read_exact(&mut body)).await.expect("the body comes").unwrap();
            answer.body = String::from_utf8(body).unwrap();
        }
        answer
    }

    /// A chunk, or `None` for the last one; trailers are added to neither.
    async fn chunk(&mut self) -> Option<String> {
        let size = usize::from_str_radix(&self.line().await, 16).unwrap();
        if size == 0 {
            while !self.line().await.is_empty() {}
            return None;
        }
        let mut data = vec![0; size + 2];
        timeout(LONG, self.stream.read_exact(&mut data)).await.expect("the chunk comes").unwrap();
        data.truncate(size);
        Some(String::from_utf8(data).unwrap())
    }

    async fn line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(timeout(LONG, self.stream.read_u8()).await.expect("a line comes").unwrap());
        }
        line.truncate(line.len() - 2);
        String::from_utf8(line).unwrap()
    }

    async fn is_closed(&mut self) -> bool {
        matches!(timeout(LONG, self.stream.read(&mut [0])).await.expect("the proxy closes"), Ok(0) | Err(_))
    }
}
