//! Replicas come, go, crash and close connections; clients notice none of it that HTTP allows to hide.

use super::*;

#[tokio::test]
async fn replacing_replicas_under_load_fails_no_request() {
    let bench = Bench::with(ProxyOptions::default());
    let mut current = vec![Replica::answering("ok").await, Replica::answering("ok").await];
    bench.send_to(&[&current[0], &current[1]]);
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for number in 0..6 {
        let mut client = bench.connect().await;
        let stop = Arc::clone(&stop);
        clients.spawn(async move {
            let mut sent = 0_u64;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                // Half of them send what must not be sent twice.
                let (method, body) = if number % 2 == 0 { ("GET", "") } else { ("POST", "x") };
                let length = body.len();
                client.send(format!("{method} / HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\n\r\n{body}")).await;
                let answer = client.answer().await;
                assert_eq!((answer.status, answer.body.as_str()), (200, "ok"), "after {sent} requests");
                sent += 1;
            }
            sent
        });
    }
    for _ in 0..40 {
        // As the supervisor does: start, switch, drain, close idle, stop.
        let started = Replica::answering("ok").await;
        let leaving = current.remove(0);
        current.push(started);
        bench.send_to(&[&current[0], &current[1]]);
        wait_for(|| leaving.endpoint.in_flight() == 0).await;
        leaving.endpoint.close_idle();
        drop(leaving);
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut sent = 0;
    while let Some(ended) = clients.join_next().await {
        sent += ended.unwrap();
    }
    bench.requests(sent).await;
    assert_eq!((bench.counters.snapshot().failures, bench.counters.abandoned(), bench.route.unserved()), (0, 0, 0));
}

impl Replica {
    /// Answers the first request on each connection, and drops the connection when it has read the second: to the
    /// proxy no different from closing an idle connection while a request is on its way to it.
    async fn closing_when_reused() -> Self {
        Self::start(|mut stream, seen| async move {
            read_body(&mut stream, &seen).await?;
            if seen.request == 1 {
                return None;
            }
            let body: &[u8] = if seen.head.starts_with("HEAD") { b"" } else { b"ok" };
            stream.write_all(&[b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", body].concat()).await.ok()?;
            Some(stream)
        })
        .await
    }
}

#[tokio::test]
async fn a_harmless_request_whose_kept_connection_closes_is_sent_again() {
    let replica = Replica::closing_when_reused().await;
    let bench = Bench::of(&[&replica]);
    let mut client = bench.connect().await;
    for method in ["GET", "HEAD", "OPTIONS", "GET"] {
        client.send(format!("{method} / HTTP/1.1\r\nhost: h\r\n\r\n")).await;
        let answer = if method == "HEAD" { client.head().await } else { client.answer().await };
        assert_eq!(answer.status, 200);
    }
    // First GET; each later one fails on the kept connection and succeeds on a fresh one.
    assert_eq!(replica.seen().len(), 1 + 3 * 2);
    assert_eq!(bench.counters.snapshot().failures, 0);
    bench.requests(4).await;
}

#[tokio::test]
async fn a_request_that_may_have_been_acted_on_is_not_sent_again() {
    for request in ["POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\n\r\nx", "DELETE / HTTP/1.1\r\nhost: h\r\n\r\n"]
    {
        let replica = Replica::closing_when_reused().await;
        let bench = Bench::of(&[&replica]);
        let mut client = bench.connect().await;
        assert_eq!(client.get("/").await.status, 200);
        client.send(request).await;
        assert_eq!(client.answer().await.status, 502);
        assert_eq!(replica.seen().len(), 2);
        assert_eq!(bench.counters.snapshot().failures, 1);
    }
}

#[tokio::test]
async fn a_request_that_crashes_fresh_connections_too_is_a_failure_after_one_retry() {
    let replica = Replica::start(|mut stream, seen| async move {
        if seen.target() == "/crash" {
            return None;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.ok()?;
        Some(stream)
    })
    .await;
    let bench = Bench::of(&[&replica]);
    let mut client = bench.connect().await;
    assert_eq!(client.get("/").await.status, 200);
    assert_eq!(client.get("/crash").await.status, 502);
    assert_eq!(replica.seen().len(), 3);
    assert_eq!((bench.counters.snapshot().requests, bench.counters.snapshot().failures), (2, 1));
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_replaced_for_any_request() {
    // Closes each connection right after an answer that promised to keep it.
    let replica = Replica::start(|mut stream, seen| async move {
        read_body(&mut stream, &seen).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.ok()?;
        None
    })
    .await;
    let bench = Bench::of(&[&replica]);
    let mut client = bench.connect().await;
    for _ in 0..5 {
        client.send("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\nabc").await;
        assert_eq!(client.answer().await.status, 200);
        // Long enough for the closing to arrive; were it not, the request would fail, not pass.
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(replica.seen().iter().map(|seen| seen.connection).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn a_request_that_must_not_be_repeated_gets_no_connection_that_was_long_idle() {
    let replica = Replica::answering("ok").await;
    let bench = Bench::with(ProxyOptions { upstream_trust: Duration::ZERO, ..ProxyOptions::default() });
    bench.send_to(&[&replica]);
    let mut client = bench.connect().await;
    for method in ["POST", "POST", "GET"] {
        client.send(format!("{method} / HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n")).await;
        assert_eq!(client.answer().await.status, 200);
    }
    let connections: Vec<_> = replica.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0, 1, 1], "the second POST opens a connection, the GET uses one");
}

#[tokio::test]
async fn a_replica_that_refuses_connections_is_passed_over() {
    let gone = Replica::answering("gone").await;
    let dead = Arc::clone(&gone.endpoint);
    drop(gone);
    let alive = Replica::answering("alive").await;
    let bench = Bench::with(ProxyOptions::default());
    let mut both = version(1, 100, &bench.counters, &[&alive]);
    both.endpoints.push(dead);
    bench.set(vec![both]);
    for _ in 0..20 {
        let answer = bench.raw(b"POST / HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx").await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("alive"), "{answer}");
    }
    bench.requests(20).await;
    assert_eq!(bench.counters.snapshot().failures, 0);
}

#[tokio::test]
async fn a_version_without_a_living_replica_fails_alone() {
    let gone = Replica::answering("gone").await;
    let dead = Arc::clone(&gone.endpoint);
    drop(gone);
    let stable = Replica::answering("stable").await;
    let bench = Bench::with(ProxyOptions::default());
    let canary = Arc::new(VersionCounters::default());
    let mut failing = version(2, 50, &canary, &[]);
    failing.endpoints.push(dead);
    bench.set(vec![version(1, 50, &bench.counters, &[&stable]), failing]);
    let mut statuses = BTreeMap::<u16, u64>::new();
    for _ in 0..100 {
        *statuses.entry(bench.get("/").await.status).or_default() += 1;
    }
    assert_eq!(canary.snapshot().failures, statuses[&502]);
    assert_eq!(canary.snapshot().requests, statuses[&502], "its failures are its own");
    assert_eq!((bench.counters.snapshot().requests, bench.counters.snapshot().failures), (statuses[&200], 0));
}

#[tokio::test]
async fn nothing_is_sent_to_a_version_of_weight_zero() {
    let canary = Replica::answering("canary").await;
    let bench = Bench::with(ProxyOptions::default());
    let stable = Arc::default();
    bench.set(vec![version(1, 100, &stable, &[]), version(2, 0, &bench.counters, &[&canary])]);
    let answer = bench.get("/").await;
    assert_eq!((answer.status, answer.headers["retry-after"].as_str()), (503, "1"));
    assert!(answer.body.contains("no replica is ready"), "{}", answer.body);
    assert_eq!((canary.seen().len(), bench.route.unserved()), (0, 1));
    assert_eq!(bench.counters.snapshot().requests + stable.snapshot().requests, 0);
}

#[tokio::test]
async fn closing_idle_connections_closes_them_and_spares_the_busy_ones() {
    let replica = Replica::start(|mut stream, seen| async move {
        if seen.target() == "/slow" {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n12").await.ok()?;
            stream.read_u8().await.err()?;
            return None;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.ok()?;
        // The script ends when the proxy closes: until then the next head is waited for.
        Some(stream)
    })
    .await;
    let bench = Bench::of(&[&replica]);
    let mut busy = bench.connect().await;
    busy.send("GET /slow HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!(busy.head().await.status, 200);
    let mut client = bench.connect().await;
    assert_eq!(client.get("/").await.status, 200);
    assert_eq!(client.get("/").await.status, 200);
    assert_eq!(replica.endpoint.in_flight(), 1);
    replica.endpoint.close_idle();
    assert_eq!(client.get("/").await.status, 200);
    let connections: Vec<_> = replica.seen().iter().map(|seen| (seen.connection, seen.request)).collect();
    assert_eq!(connections, [(0, 0), (1, 0), (1, 1), (2, 0)]);
    assert_eq!(replica.endpoint.in_flight(), 1);
}
