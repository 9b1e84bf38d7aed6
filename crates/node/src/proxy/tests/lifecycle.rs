//! Starting, listening and ending.

use super::*;
use crate::proxy::ProxyError;

#[tokio::test]
async fn a_port_in_use_is_a_clear_error() {
    let bench = Bench::with(ProxyOptions::default());
    let taken = bench.address();
    let error = bench.proxy.listen(taken, Arc::new(route())).unwrap_err();
    assert!(matches!(error, ProxyError::AddressInUse { address } if address == taken), "{error:?}");
    assert_eq!(error.to_string(), format!("address {taken} is already in use"));
    let elsewhere = bench.proxy.listen("192.0.2.1:80".parse().unwrap(), Arc::new(route())).unwrap_err();
    assert!(matches!(elsewhere, ProxyError::Listen { .. }), "{elsewhere:?}");
}

#[tokio::test]
async fn options_out_of_range_are_refused() {
    for (options, option) in [
        (ProxyOptions { workers: 0, ..ProxyOptions::default() }, "workers"),
        (ProxyOptions { header_bytes_max: 100, ..ProxyOptions::default() }, "header_bytes_max"),
        (ProxyOptions { connections_max: 0, ..ProxyOptions::default() }, "connections_max"),
        (ProxyOptions { via: Some("a\nb".into()), ..ProxyOptions::default() }, "via"),
    ] {
        let error = Proxy::start(options).unwrap_err().to_string();
        assert!(error.contains(option), "{error}");
    }
}

/// Answers each request when it is told to.
async fn patient() -> (Replica, Arc<tokio::sync::Semaphore>) {
    let told = Arc::new(tokio::sync::Semaphore::new(0));
    let wait = Arc::clone(&told);
    let replica = Replica::start(move |mut stream, _| {
        let wait = Arc::clone(&wait);
        async move {
            wait.acquire().await.ok()?.forget();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone").await.ok()?;
            Some(stream)
        }
    })
    .await;
    (replica, told)
}

#[tokio::test]
async fn a_dropped_listener_accepts_no_more_and_lets_requests_end() {
    let (replica, told) = patient().await;
    let bench = Bench::of(&[&replica]);
    let address = bench.address();
    let (mut busy, mut idle) = (bench.connect().await, bench.connect().await);
    told.add_permits(1);
    assert_eq!(idle.get("/").await.status, 200);
    busy.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    wait_for(|| replica.endpoint.in_flight() == 1).await;
    drop(bench.listener);
    assert!(idle.is_closed().await);
    told.add_permits(1);
    let answer = busy.answer().await;
    assert_eq!((answer.body.as_str(), answer.headers["connection"].as_str()), ("done", "close"));
    assert!(busy.is_closed().await);
    let listening = async { while TcpStream::connect(address).await.is_ok() {} };
    timeout(LONG, listening).await.unwrap();
    // The port is free again.
    bench.proxy.listen(address, Arc::new(route())).unwrap();
}

#[tokio::test]
async fn a_shutdown_lets_requests_end_and_then_ends() {
    let (replica, told) = patient().await;
    let bench = Bench::of(&[&replica]);
    let mut busy = bench.connect().await;
    let mut idle = bench.connect().await;
    told.add_permits(1);
    assert_eq!(idle.get("/").await.status, 200);
    busy.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    wait_for(|| replica.endpoint.in_flight() == 1).await;
    let mut ending = JoinSet::new();
    ending.spawn(bench.proxy.shutdown(LONG));
    assert!(idle.is_closed().await);
    told.add_permits(1);
    assert_eq!(busy.answer().await.body, "done");
    timeout(LONG, ending.join_next()).await.unwrap().unwrap().unwrap();
    assert_eq!((bench.counters.snapshot().requests, bench.counters.snapshot().failures), (2, 0));
}

#[tokio::test]
async fn a_shutdown_breaks_off_what_takes_longer_than_its_grace() {
    let (replica, _told) = patient().await;
    let bench = Bench::of(&[&replica]);
    let mut busy = bench.connect().await;
    busy.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    wait_for(|| replica.endpoint.in_flight() == 1).await;
    timeout(LONG, bench.proxy.shutdown(Duration::from_millis(20))).await.unwrap();
    assert!(busy.is_closed().await);
    assert_eq!((replica.endpoint.in_flight(), bench.counters.abandoned()), (0, 1));
}

#[tokio::test]
async fn a_dropped_proxy_ends_its_threads() {
    let (replica, _told) = patient().await;
    let bench = Bench::of(&[&replica]);
    let mut busy = bench.connect().await;
    busy.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    wait_for(|| replica.endpoint.in_flight() == 1).await;
    drop(bench.proxy);
    assert!(busy.is_closed().await);
    wait_for(|| replica.endpoint.in_flight() == 0).await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_their_turn() {
    let replica = Replica::answering("ok").await;
    let bench = Bench::with(ProxyOptions { connections_max: 2, ..ProxyOptions::default() });
    bench.send_to(&[&replica]);
    let (mut first, mut second) = (bench.connect().await, bench.connect().await);
    assert_eq!((first.get("/").await.status, second.get("/").await.status), (200, 200));
    let mut third = bench.connect().await;
    third.send("GET /third HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!(first.get("/").await.status, 200);
    assert!(replica.seen().iter().all(|seen| seen.target() != "/third"));
    drop(second);
    assert_eq!(third.answer().await.status, 200);
}
