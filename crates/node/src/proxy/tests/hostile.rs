//! Clients and replicas that break the rules, by accident or not.

use super::*;

#[tokio::test]
async fn a_request_with_two_lengths_can_not_smuggle_another() {
    let replica = Replica::start(|stream, seen| async move {
        let mut replica = Client { stream };
        // Exactly one framing arrives, and the chunked one wins (RFC 9112, section 6.1).
        assert_eq!((seen.header("content-length"), seen.header("transfer-encoding")), (None, Some("chunked")));
        while replica.chunk().await.is_some() {}
        replica.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        Some(replica.stream)
    })
    .await;
    let bench = Bench::of(&[&replica]);
    for lengths in
        ["content-length: 6\r\ntransfer-encoding: chunked", "transfer-encoding: chunked\r\ncontent-length: 6"]
    {
        let answer = bench
            .raw(
                format!(
                    "POST / HTTP/1.1\r\nhost: h\r\n{lengths}\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n"
                )
                .as_bytes(),
            )
            .await;
        assert_eq!(answer.matches("HTTP/1.1 200").count(), 1, "closed after the first: {answer}");
    }
    assert!(replica.seen().iter().all(|seen| seen.target() == "/"));
}

#[tokio::test]
async fn bad_requests_are_refused_before_any_replica_sees_them() {
    let replica = Replica::answering("ok").await;
    let bench = Bench::of(&[&replica]);
    let long = "x".repeat(40_000);
    let many = "a: b\r\n".repeat(101);
    let cases = [
        ("400", "GET / HTTP/1.1\r\n\r\n".to_owned()),
        ("400", "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n".into()),
        ("400", "GET / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx".into()),
        ("400", "GET / HTTP/1.1\r\nhost: h\r\ncontent-length: -1\r\n\r\n".into()),
        ("400", "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: gzip\r\n\r\n".into()),
        ("400", "GET / HTTP/1.1\r\nhost: h\r\nbad name: x\r\n\r\n".into()),
        ("400", "GET / HTTP/1.1\r\nhost : h\r\n\r\n".into()),
        ("400", "GET / HTTP/1.1\r\nhost: h\r\n folded: x\r\n\r\n".into()),
        ("400", "\0\u{1}\u{2}\u{3} garbage\r\n\r\n".into()),
        ("400", "\u{16}\u{3}\u{1}\0\u{1}\0 a TLS hello\r\n\r\n".into()),
        ("405", "CONNECT example.com:443 HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n".into()),
        ("431", format!("GET / HTTP/1.1\r\nhost: h\r\na: {long}\r\n\r\n")),
        ("431", format!("GET / HTTP/1.1\r\nhost: h\r\n{many}\r\n")),
        ("4", format!("GET /{long} HTTP/1.1\r\nhost: h\r\n\r\n")),
    ];
    for (status, request) in cases {
        let closing = request.replacen("\r\n", "\r\nconnection: close\r\n", 1);
        let answer = bench.raw(if status == "431" { request.as_bytes() } else { closing.as_bytes() }).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{} -> {answer}", &request[..request.len().min(80)]);
    }
    assert_eq!((replica.seen().len(), bench.counters.snapshot().requests), (0, 0));
    assert_eq!(bench.get("/").await.status, 200, "the proxy still serves");
}

#[tokio::test]
async fn bad_answers_are_the_versions_failure() {
    for (answer, status) in [
        (&b"SSH-2.0-OpenSSH_9\r\n\r\n"[..], 502),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 502),
        (b"HTTP/1.1 200 OK\r\ncontent-le", 502),
        (b"", 502),
        (b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", 503),
    ] {
        let replica = Replica::saying(answer).await;
        let bench = Bench::of(&[&replica]);
        assert_eq!(bench.get("/").await.status, status);
        bench.requests(1).await;
        assert_eq!(bench.counters.snapshot().failures, 1);
        assert_eq!(replica.seen().len(), 1, "a fresh connection that brings no answer is not tried again");
    }
    let replica = Replica::saying(b"HTTP/1.1 404 None\r\ncontent-length: 0\r\n\r\n").await;
    let bench = Bench::of(&[&replica]);
    assert_eq!(bench.get("/").await.status, 404);
    bench.requests(1).await;
    assert_eq!(bench.counters.snapshot().failures, 0);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_seen_as_broken_by_the_client_too() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello"[..],
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        let replica = Replica::saying(answer).await;
        let bench = Bench::of(&[&replica]);
        let answer = bench.raw(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200") && !answer.ends_with("0\r\n\r\n"), "{answer}");
        bench.requests(1).await;
        assert_eq!(bench.counters.snapshot().failures, 1);
    }
}

#[tokio::test]
async fn a_slow_replica_is_a_timeout_and_a_failure() {
    let replica = Replica::start(|stream, _| async move {
        sleep(LONG).await;
        Some(stream)
    })
    .await;
    let options = ProxyOptions { response_header_timeout: Duration::from_millis(50), ..ProxyOptions::default() };
    let bench = Bench::with(options);
    bench.send_to(&[&replica]);
    let mut client = bench.connect().await;
    assert_eq!(client.get("/").await.status, 504);
    assert_eq!(client.get("/").await.status, 504, "the client's connection outlives it");
    assert_eq!((bench.counters.snapshot().failures, replica.endpoint.in_flight()), (2, 0));
}

#[tokio::test]
async fn a_replica_that_stops_in_the_middle_is_given_up() {
    let replica = Replica::start(|mut stream, _| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello").await.ok()?;
        sleep(LONG).await;
        Some(stream)
    })
    .await;
    let options = ProxyOptions { response_idle_timeout: Duration::from_millis(50), ..ProxyOptions::default() };
    let bench = Bench::with(options);
    bench.send_to(&[&replica]);
    let answer = bench.raw(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert!(answer.ends_with("hello"), "{answer}");
    assert_eq!(bench.counters.snapshot().failures, 1);
}

#[tokio::test]
async fn a_client_that_dribbles_its_headers_or_sends_nothing_is_closed() {
    let bench =
        Bench::with(ProxyOptions { client_header_timeout: Duration::from_millis(100), ..ProxyOptions::default() });
    let mut silent = bench.connect().await;
    let mut slow = bench.connect().await;
    slow.send("GET / HTTP/1.1\r\nho").await;
    sleep(Duration::from_millis(60)).await;
    slow.send("st: ").await;
    assert!(slow.is_closed().await && silent.is_closed().await);
}

#[tokio::test]
async fn a_client_that_stops_in_its_body_is_told_so_and_is_not_the_versions_failure() {
    let replica = Replica::start(|mut stream, _| async move {
        stream.read_exact(&mut [0; 10]).await.ok()?;
        Some(stream)
    })
    .await;
    let bench = Bench::with(ProxyOptions { client_body_timeout: Duration::from_millis(50), ..ProxyOptions::default() });
    bench.send_to(&[&replica]);
    let mut client = bench.connect().await;
    client.send("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\nhello").await;
    assert_eq!(client.head().await.status, 408);
    wait_for(|| bench.counters.abandoned() == 1 && replica.endpoint.in_flight() == 0).await;
    assert_eq!(bench.counters.snapshot().requests, 0);
}

#[tokio::test]
async fn a_client_that_goes_away_is_not_the_versions_failure() {
    let replica = Replica::start(|mut stream, seen| async move {
        if seen.target() == "/endless" {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
            while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
            return None;
        }
        // Waits for a body that does not come, or for the connection's end.
        stream.read_exact(&mut [0; 10]).await.ok()?;
        Some(stream)
    })
    .await;
    let bench = Bench::of(&[&replica]);
    for (target, length) in [("/endless", 0), ("/body", 10), ("/waiting", 0)] {
        let mut client = bench.connect().await;
        client.send(format!("POST {target} HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\n\r\n")).await;
        wait_for(|| replica.seen().last().is_some_and(|seen| seen.target() == target)).await;
        if target == "/endless" {
            assert_eq!(client.head().await.status, 200);
        }
        assert_eq!(replica.endpoint.in_flight(), 1);
        drop(client);
        wait_for(|| replica.endpoint.in_flight() == 0).await;
    }
    let counted = bench.counters.snapshot();
    assert_eq!((counted.requests, counted.failures, bench.counters.abandoned()), (1, 0, 2));
}

#[tokio::test]
async fn a_half_closed_client_is_taken_as_gone() {
    let replica = Replica::start(|mut stream, _| async move {
        stream.read_u8().await.err()?;
        None
    })
    .await;
    let bench = Bench::of(&[&replica]);
    let mut client = bench.connect().await;
    client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    wait_for(|| replica.endpoint.in_flight() == 1).await;
    client.stream.shutdown().await.unwrap();
    assert!(client.is_closed().await);
    wait_for(|| replica.endpoint.in_flight() == 0 && bench.counters.abandoned() == 1).await;
    assert_eq!(bench.counters.snapshot().failures, 0);
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_closed() {
    let replica = Replica::start(|mut stream, _| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
        while stream.write_all(&[b'x'; 8192]).await.is_ok() {}
        None
    })
    .await;
    let bench =
        Bench::with(ProxyOptions { client_write_timeout: Duration::from_millis(100), ..ProxyOptions::default() });
    bench.send_to(&[&replica]);
    let mut client = bench.connect().await;
    client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    wait_for(|| replica.endpoint.in_flight() == 1).await;
    wait_for(|| replica.endpoint.in_flight() == 0).await;
    bench.requests(1).await;
}

#[tokio::test]
async fn a_replica_may_refuse_a_body_that_it_has_not_read() {
    let replica = Replica::start(|mut stream, _| async move {
        stream.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await.ok()?;
        // Reads on, as RFC 9112, section 9.6 asks for, so that the answer is not lost to a reset.
        while stream.read(&mut [0; 4096]).await.ok()? > 0 {}
        None
    })
    .await;
    let bench = Bench::of(&[&replica]);
    let mut client = bench.connect().await;
    client.send("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1000000\r\n\r\nhello").await;
    assert_eq!(client.head().await.status, 413);
    bench.requests(1).await;
    wait_for(|| replica.endpoint.in_flight() == 0).await;
}
