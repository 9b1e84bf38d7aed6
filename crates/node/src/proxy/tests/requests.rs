//! What HTTP promises, end to end.

use super::*;

#[tokio::test]
async fn requests_share_connections_on_both_sides() {
    let replica = Replica::answering("hello").await;
    let bench = Bench::of(&[&replica]);
    let mut client = bench.connect().await;
    for number in 0..20 {
        let answer = client.get(&format!("/{number}")).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "hello"));
        assert!(answer.headers.contains_key("date"));
    }
    let seen = replica.seen();
    assert!(seen.iter().enumerate().all(|(n, s)| s.connection == 0 && s.request == n), "{seen:?}");
    assert_eq!(seen[0].header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen[0].header("host"), Some("shop"));
    assert_ne!(seen[0].header("traceparent"), seen[1].header("traceparent"));
    bench.requests(20).await;
    let counted = bench.counters.snapshot();
    assert_eq!((counted.failures, bench.counters.abandoned(), replica.endpoint.in_flight()), (0, 0, 0));
    assert!(counted.latency_us_sum > 0);
}

#[tokio::test]
async fn the_split_is_exact_whatever_worker_a_request_comes_to() {
    let (stable, canary) = (Replica::answering("stable").await, Replica::answering("canary").await);
    let bench = Bench::with(ProxyOptions::default());
    let counted = [Arc::default(), Arc::default()];
    bench.set(vec![version(1, 90, &counted[0], &[&stable]), version(2, 10, &counted[1], &[&canary])]);
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let mut client = bench.connect().await;
        clients.spawn(async move {
            for _ in 0..125 {
                assert_eq!(client.get("/").await.status, 200);
            }
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    let counted = counted.map(|counters| counters.snapshot().requests);
    assert_eq!(counted.iter().sum::<u64>(), 1000);
    assert!((98..=102).contains(&counted[1]), "{counted:?}");
    assert_eq!(canary.seen().len() as u64, counted[1]);
}

#[tokio::test]
async fn bodies_are_streamed_both_ways_in_whatever_framing() {
    // Answers each chunk of the request as soon as it comes, before the request has ended.
    let replica = Replica::start(|stream, seen| async move {
        let mut echo = Client { stream };
        assert_eq!(seen.header("transfer-encoding"), Some("chunked"));
        echo.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        while let Some(chunk) = echo.chunk().await {
            echo.send(format!("{:x}\r\n{chunk}\r\n", chunk.len())).await;
        }
        echo.send("0\r\n\r\n").await;
        Some(echo.stream)
    })
    .await;
    let bench = Bench::of(&[&replica]);
    let mut client = bench.connect().await;
    for method in ["POST", "GET"] {
        client.send(format!("{method} / HTTP/1.1\r\nhost: shop\r\ntransfer-encoding: chunked\r\n\r\n")).await;
        assert_eq!(client.head().await.status, 200);
        for piece in ["one", "two", &"x".repeat(100_000)] {
            client.send(format!("{:x}\r\n{piece}\r\n", piece.len())).await;
            let mut back = String::new();
            while back.len() < piece.len() {
                back.push_str(&client.chunk().await.unwrap());
            }
            assert_eq!(back, piece);
        }
        client.send("0\r\n\r\n").await;
        assert_eq!(client.chunk().await, None);
    }
    assert_eq!(replica.seen().iter().map(|seen| seen.request).collect::<Vec<_>>(), [0, 1]);
}

#[tokio::test]
async fn a_large_body_of_known_length_arrives_whole() {
    let replica = Replica::start(|mut stream, seen| async move {
        let length: usize = seen.header("content-length")?.parse().ok()?;
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        stream.write_all(format!("HTTP/1.1 201 Made\r\ncontent-length: {length}\r\n\r\n").as_bytes()).await.ok()?;
        stream.write_all(&body).await.ok()?;
        Some(stream)
    })
    .await;
    let bench = Bench::of(&[&replica]);
    let mut client = bench.connect().await;
    let body = "0123456789".repeat(300_000);
    let (mut read, mut write) = client.stream.split();
    let request = format!("PUT / HTTP/1.1\r\nhost: shop\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let mut answer = vec![0; body.len()];
    let sending = async { write.write_all(request.as_bytes()).await.unwrap() };
    let reading = async {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(read.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 201 Made\r\n"), "{}", String::from_utf8_lossy(&head));
        read.read_exact(&mut answer).await.unwrap();
    };
    timeout(LONG, async { tokio::join!(sending, reading) }).await.unwrap();
    assert!(answer == body.as_bytes());
}

#[tokio::test]
async fn a_head_request_and_bodyless_answers_keep_the_connection() {
    let replica = Replica::start(|mut stream, seen| async move {
        let answer: &[u8] = match seen.target() {
            "/304" => b"HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n",
            "/204" => b"HTTP/1.1 204 No Content\r\n\r\n",
            _ => b"HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n",
        };
        stream.write_all(answer).await.ok()?;
        Some(stream)
    })
    .await;
    let bench = Bench::of(&[&replica]);
    let mut client = bench.connect().await;
    client.send("HEAD / HTTP/1.1\r\nhost: shop\r\n\r\n").await;
    assert_eq!(client.head().await.headers["content-length"], "1234");
    assert_eq!(client.get("/304").await.headers["etag"], "\"a\"");
    assert_eq!(client.get("/204").await.status, 204);
    assert_eq!(replica.seen().last().unwrap().request, 2);
}

#[tokio::test]
async fn a_client_that_expects_to_continue_gets_the_replicas_word() {
    let replica = Replica::start(|mut stream, seen| async move {
        assert_eq!(seen.header("expect"), Some("100-continue"));
        if seen.target() == "/no" {
            stream.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n").await.ok()?;
            return Some(stream);
        }
        stream.write_all(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n").await.ok()?;
        stream.read_exact(&mut [0; 5]).await.ok()?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.ok()?;
        Some(stream)
    })
    .await;
    let never = ProxyOptions { continue_timeout: LONG * 10, ..ProxyOptions::default() };
    let bench = Bench::with(never);
    bench.send_to(&[&replica]);
    let head =
        |target| format!("POST {target} HTTP/1.1\r\nhost: shop\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n");
    let mut client = bench.connect().await;
    client.send(head("/yes")).await;
    assert_eq!(client.head().await.status, 100);
    client.send("hello").await;
    assert_eq!(client.answer().await.body, "ok");
    client.send(head("/no")).await;
    assert_eq!(client.head().await.status, 413, "the client is told before it has sent anything");
}

#[tokio::test]
async fn a_replica_that_never_says_continue_gets_the_body_all_the_same() {
    let replica = Replica::start(|mut stream, _| async move {
        stream.read_exact(&mut [0; 5]).await.ok()?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.ok()?;
        Some(stream)
    })
    .await;
    let bench = Bench::with(ProxyOptions { continue_timeout: Duration::from_millis(20), ..ProxyOptions::default() });
    bench.send_to(&[&replica]);
    let mut client = bench.connect().await;
    client.send("POST / HTTP/1.1\r\nhost: shop\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n").await;
    assert_eq!(client.head().await.status, 100);
    client.send("hello").await;
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn an_upgraded_connection_passes_bytes_both_ways_and_counts_as_busy() {
    let replica = Replica::start(|mut stream, seen| async move {
        assert_eq!((seen.header("connection"), seen.header("upgrade")), (Some("upgrade"), Some("websocket")));
        assert_eq!(seen.header("sec-websocket-key"), Some("k"));
        let switch = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: a\r\n\r\nearly";
        stream.write_all(switch).await.ok()?;
        let (mut read, mut write) = stream.split();
        tokio::io::copy(&mut read, &mut write).await.ok()?;
        None
    })
    .await;
    let bench = Bench::of(&[&replica]);
    let mut client = bench.connect().await;
    client
        .send("GET /ws HTTP/1.1\r\nhost: shop\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: k\r\n\r\n")
        .await;
    let answer = client.head().await;
    assert_eq!((answer.status, answer.headers["upgrade"].as_str()), (101, "websocket"));
    assert_eq!(answer.headers["sec-websocket-accept"], "a");
    let mut echoed = [0; 9];
    client.send("ping").await;
    timeout(LONG, client.stream.read_exact(&mut echoed)).await.unwrap().unwrap();
    assert_eq!(&echoed, b"earlyping");
    assert_eq!((replica.endpoint.in_flight(), bench.counters.snapshot().requests), (1, 1));
    client.stream.shutdown().await.unwrap();
    assert!(client.is_closed().await);
    wait_for(|| replica.endpoint.in_flight() == 0).await;
    assert_eq!(bench.counters.snapshot().failures, 0);
}

#[tokio::test]
async fn a_switch_that_nobody_asked_for_is_a_bad_answer() {
    let replica =
        Replica::saying(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n").await;
    let bench = Bench::of(&[&replica]);
    assert_eq!(bench.get("/").await.status, 502);
    assert_eq!(bench.counters.snapshot().failures, 1);
}

#[tokio::test]
async fn an_old_client_is_served_and_its_connection_closed() {
    let replica = Replica::start(|mut stream, seen| async move {
        assert!(seen.head.starts_with("GET / HTTP/1.1\r\n") && seen.header("host").is_some(), "{}", seen.head);
        let chunks = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
        stream.write_all(chunks).await.ok()?;
        Some(stream)
    })
    .await;
    let bench = Bench::of(&[&replica]);
    let answer = bench.raw(b"GET / HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.ends_with("\r\n\r\nhello"), "{answer}");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let replica = Replica::start(|mut stream, seen| async move {
        let target = seen.target();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{target}", target.len());
        stream.write_all(answer.as_bytes()).await.ok()?;
        Some(stream)
    })
    .await;
    let bench = Bench::of(&[&replica]);
    let mut client = bench.connect().await;
    let requests: Vec<_> = (0..30).map(|n| format!("GET /{n} HTTP/1.1\r\nhost: shop\r\n\r\n")).collect();
    client.send(requests.concat()).await;
    for number in 0..30 {
        assert_eq!(client.answer().await.body, format!("/{number}"));
    }
}
