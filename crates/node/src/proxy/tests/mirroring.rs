//! Copies of requests: who gets them, and that nobody else notices.

use prograde_model::runtime::{Mirror, Tally};

use super::*;

/// A proxy that copies every request for `stable` to `canary`.
struct Mirrored {
    bench: Bench,
    canary: RouteVersion,
}

impl Mirrored {
    fn new(options: ProxyOptions, stable: &Replica, canary: &Replica) -> Self {
        let bench = Bench::with(options);
        let canary = version(2, 0, &Arc::default(), &[canary]);
        let mirror = Some(Mirror { version: canary.revision.clone(), share: Weight::ALL });
        let versions = vec![version(1, 100, &bench.counters, &[stable]), canary.clone()];
        bench.route.set(versions, &Routing { mirror, ..Routing::default() });
        Self { bench, canary }
    }

    /// Waits until so many copies have been counted, and are gone from the replica.
    async fn copies(&self, count: u64) -> Tally {
        let endpoint = &self.canary.endpoints[0];
        wait_for(|| self.canary.mirrored.snapshot().requests == count && endpoint.in_flight() == 0).await;
        let tally = self.canary.mirrored.tally();
        assert_eq!(tally.latencies.total(), count);
        assert_eq!(self.canary.counters.snapshot().requests, 0, "they are nobody's requests");
        tally
    }
}

#[tokio::test]
async fn what_changes_nothing_is_copied_with_a_mark_and_nothing_else_is() {
    let (stable, canary) = (Replica::answering("stable").await, Replica::answering("canary").await);
    let mirrored = Mirrored::new(ProxyOptions::default(), &stable, &canary);
    let mut client = mirrored.bench.connect().await;
    for request in [
        "POST /post HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\n\r\nx",
        "DELETE /delete HTTP/1.1\r\nhost: h\r\n\r\n",
        "GET /body HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\n\r\nx",
        "GET /upgrade HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        "GET /get?a=b HTTP/1.1\r\nhost: h\r\nx-other: kept\r\nx-prograde-mirror: 0\r\n\r\n",
        "OPTIONS /options HTTP/1.1\r\nhost: h\r\n\r\n",
    ] {
        client.send(request).await;
        assert_eq!(client.answer().await.body, "stable", "{request}");
    }
    assert_eq!(mirrored.copies(2).await.failures, 0);
    mirrored.bench.requests(6).await;
    assert!(stable.seen().iter().all(|seen| seen.header("x-prograde-mirror").is_none()), "a client can't set it");
    let copies = canary.seen();
    let mut targets: Vec<_> = copies.iter().map(Seen::target).collect();
    targets.sort_unstable();
    assert_eq!(targets, ["/get?a=b", "/options"]);
    for copy in &copies {
        assert_eq!(copy.head.matches("x-prograde-mirror: 1\r\n").count(), 1, "{}", copy.head);
        assert_eq!(copy.head.matches("x-prograde-mirror").count(), 1, "{}", copy.head);
        assert_eq!(copy.header("x-other").is_some(), copy.target() == "/get?a=b");
    }
}

#[tokio::test]
async fn copies_share_kept_connections_and_outlive_their_closing() {
    let (stable, canary) = (Replica::answering("stable").await, Replica::answering("canary").await);
    let mirrored = Mirrored::new(ProxyOptions::default(), &stable, &canary);
    let mut client = mirrored.bench.connect().await;
    for count in 1..=5 {
        assert_eq!(client.get("/").await.body, "stable");
        mirrored.copies(count).await;
    }
    assert_eq!(canary.seen().iter().map(|seen| (seen.connection, seen.request)).max(), Some((0, 4)));

    let closing = Replica::start(|mut stream, seen| async move {
        if seen.request == 1 {
            return None;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.ok()?;
        Some(stream)
    })
    .await;
    let mirrored = Mirrored::new(ProxyOptions::default(), &stable, &closing);
    let mut client = mirrored.bench.connect().await;
    for count in 1..=3 {
        client.get("/").await;
        assert_eq!(mirrored.copies(count).await.failures, 0);
    }
}

#[tokio::test]
async fn a_copy_that_fails_is_the_versions_failure_and_nobody_elses() {
    let stable = Replica::answering("stable").await;
    for answer in [
        &b"HTTP/1.1 500 Broken\r\ncontent-length: 0\r\n\r\n"[..],
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbroken",
        b"garbage\r\n\r\n",
        b"",
    ] {
        let canary = Replica::saying(answer).await;
        let mirrored = Mirrored::new(ProxyOptions::default(), &stable, &canary);
        assert_eq!(mirrored.bench.get("/").await.body, "stable");
        assert_eq!(mirrored.copies(1).await.failures, 1, "{}", answer.escape_ascii());
        mirrored.bench.requests(1).await;
        assert_eq!(mirrored.bench.counters.snapshot().failures, 0);
    }
    let gone = Replica::answering("gone").await;
    let mirrored = Mirrored::new(ProxyOptions::default(), &stable, &gone);
    drop(gone);
    assert_eq!(mirrored.bench.get("/").await.body, "stable");
    assert_eq!(mirrored.copies(1).await.failures, 1);
}

#[tokio::test]
async fn a_version_that_never_answers_delays_nobody_and_holds_only_so_many_copies() {
    let stable = Replica::answering("stable").await;
    let canary = Replica::start(|stream, _| async move {
        sleep(LONG).await;
        Some(stream)
    })
    .await;
    let options = ProxyOptions { mirror_max: 3, ..ProxyOptions::default() };
    let mirrored = Mirrored::new(options, &stable, &canary);
    // One connection is one worker's.
    let mut client = mirrored.bench.connect().await;
    for _ in 0..20 {
        assert_eq!(client.get("/").await.body, "stable");
    }
    assert_eq!((canary.endpoint.in_flight(), mirrored.bench.route.uncopied()), (3, 17));
    assert_eq!(mirrored.canary.mirrored.snapshot().requests, 0);
    drop(client);
    mirrored.bench.requests(20).await;
    assert_eq!(canary.endpoint.in_flight(), 3, "they don't end with their client");
    timeout(LONG, mirrored.bench.proxy.shutdown(2 * LONG)).await.unwrap();
    assert_eq!(canary.endpoint.in_flight(), 0, "but a shutdown does not wait for them");
}

#[tokio::test]
async fn a_copy_that_is_not_answered_in_time_is_given_up() {
    let stable = Replica::answering("stable").await;
    let canary = Replica::start(|stream, _| async move {
        sleep(LONG).await;
        Some(stream)
    })
    .await;
    let options = ProxyOptions { response_header_timeout: Duration::from_millis(50), ..ProxyOptions::default() };
    let mirrored = Mirrored::new(options, &stable, &canary);
    mirrored.bench.get("/").await;
    assert_eq!(mirrored.copies(1).await.failures, 1);
}

#[tokio::test]
async fn an_endless_answer_is_read_only_so_far_and_so_long() {
    let stable = Replica::answering("stable").await;
    let flood = Replica::start(|mut stream, _| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.ok()?;
        while stream.write_all(b"400\r\n").await.is_ok() {
            stream.write_all(&[b'x'; 1024]).await.ok()?;
            stream.write_all(b"\r\n").await.ok()?;
        }
        None
    })
    .await;
    let options = ProxyOptions { mirror_bytes_max: 100_000, ..ProxyOptions::default() };
    let mirrored = Mirrored::new(options, &stable, &flood);
    assert_eq!(mirrored.bench.get("/").await.body, "stable");
    assert_eq!(mirrored.copies(1).await.failures, 0);

    let silent = Replica::start(|mut stream, _| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nevent").await.ok()?;
        sleep(LONG).await;
        None
    })
    .await;
    let options = ProxyOptions { mirror_body_timeout: Duration::from_millis(50), ..ProxyOptions::default() };
    let mirrored = Mirrored::new(options, &stable, &silent);
    assert_eq!(mirrored.bench.get("/").await.body, "stable");
    assert_eq!(mirrored.copies(1).await.failures, 0, "an event stream is no failure");
}
