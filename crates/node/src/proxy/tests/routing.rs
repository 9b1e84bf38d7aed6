//! Rules that tell requests apart, between real sockets.

use std::sync::atomic::{AtomicBool, Ordering};

use prograde_model::runtime::{Audience, Mirror, RequestKey};

use super::*;

fn revision(name: u8) -> FlightId {
    FlightId::from_random([name; 16]).unwrap()
}

fn audience(key: RequestKey, value: &str, version: u8) -> Audience {
    Audience { key, value: value.to_owned(), version: revision(version) }
}

/// Keeps users at their version.
fn sticky() -> Routing {
    Routing { sticky: Some(RequestKey::Cookie("user".to_owned())), ..Routing::default() }
}

impl Client {
    async fn get_with(&mut self, header: &str) -> Answer {
        self.send(format!("GET / HTTP/1.1\r\nhost: shop\r\n{header}\r\n\r\n")).await;
        self.answer().await
    }
}

#[tokio::test]
async fn audiences_are_told_by_header_and_by_cookie() {
    let (stable, canary) = (Replica::answering("stable").await, Replica::answering("canary").await);
    let bench = Bench::with(ProxyOptions::default());
    let audiences = vec![
        audience(RequestKey::Header("x-group".to_owned()), "beta", 2),
        audience(RequestKey::Cookie("beta".to_owned()), "yes", 2),
    ];
    let routing = Routing { audiences, ..Routing::default() };
    let seen = Arc::default();
    bench.route.set(vec![version(1, 100, &bench.counters, &[&stable]), version(2, 0, &seen, &[&canary])], &routing);
    let mut client = bench.connect().await;
    for (header, body) in [
        ("X-Group: beta", "canary"),
        ("Cookie: a=b; beta=\"yes\"", "canary"),
        ("Cookie: a=b\r\nCookie: beta=yes", "canary"),
        ("X-Group: Beta\r\nCookie: Beta=yes; beta=no; beta=yes", "stable"),
        ("Cookie: beta", "stable"),
        ("Accept: */*", "stable"),
    ] {
        assert_eq!(client.get_with(header).await.body, body, "{header}");
    }
    wait_for(|| (bench.counters.snapshot().requests, seen.snapshot().requests) == (3, 3)).await;
}

#[tokio::test]
async fn an_audience_outlives_a_replica_that_can_not_be_reached() {
    let (stable, canary, gone) =
        (Replica::answering("stable").await, Replica::answering("canary").await, Replica::answering("gone").await);
    let bench = Bench::with(ProxyOptions::default());
    let routing = Routing {
        audiences: vec![audience(RequestKey::Header("x-group".to_owned()), "beta", 2)],
        ..Routing::default()
    };
    let (dead, seen) = (Arc::clone(&gone.endpoint), Arc::default());
    drop(gone);
    let mut reduced = version(2, 0, &seen, &[&canary]);
    reduced.endpoints.push(dead);
    bench.route.set(vec![version(1, 100, &bench.counters, &[&stable]), reduced], &routing);
    let mut client = bench.connect().await;
    for _ in 0..20 {
        assert_eq!(client.get_with("X-Group: beta").await.body, "canary");
    }
    assert_eq!(seen.snapshot().failures, 0);
}

#[tokio::test]
async fn a_user_stays_with_a_version_on_any_connection_and_moves_only_with_the_weight() {
    let (stable, canary) = (Replica::answering("stable").await, Replica::answering("canary").await);
    let bench = Bench::with(ProxyOptions::default());
    let set = |weight: u8| {
        let (counters, seen) = (Arc::default(), Arc::default());
        let versions = vec![version(1, 100 - weight, &counters, &[&stable]), version(2, weight, &seen, &[&canary])];
        bench.route.set(versions, &sticky());
    };
    let mut moved = 0;
    for weight in [0, 30, 60, 100] {
        set(weight);
        let mut users = Vec::new();
        for user in 0..40 {
            let header = format!("Cookie: user={user}");
            let first = bench.connect().await.get_with(&header).await.body;
            assert_eq!(bench.connect().await.get_with(&header).await.body, first, "user {user} at {weight}");
            users.push(first == "canary");
        }
        let now = users.iter().filter(|canary| **canary).count();
        assert!(now >= moved, "{moved} then {now}");
        moved = now;
    }
    assert_eq!(moved, 40);
}

#[tokio::test]
async fn users_of_a_version_that_can_not_serve_are_served_and_come_back() {
    let (stable, canary) = (Replica::answering("stable").await, Replica::answering("canary").await);
    let bench = Bench::with(ProxyOptions::default());
    let (counters, seen) = (Arc::default(), Arc::default());
    let set = |ready: &[&Replica]| {
        let versions = vec![version(1, 50, &counters, &[&stable]), version(2, 50, &seen, ready)];
        bench.route.set(versions, &sticky());
    };
    let mut client = bench.connect().await;
    let mut before = Vec::new();
    for step in 0..3 {
        let ready = [&canary];
        set(if step == 1 { &[] } else { &ready });
        for user in 0..20 {
            let body = client.get_with(&format!("Cookie: user={user}")).await.body;
            match step {
                0 => before.push(body),
                1 => assert_eq!(body, "stable", "user {user}"),
                _ => assert_eq!(body, before[user], "user {user}"),
            }
        }
    }
    assert!(before.iter().any(|body| body == "canary") && before.iter().any(|body| body == "stable"));
}

#[tokio::test]
async fn changing_the_routing_all_the_time_fails_no_request() {
    let bench = Bench::with(ProxyOptions::default());
    let mut current = vec![Replica::answering("1").await, Replica::answering("2").await];
    let counters: [Arc<VersionCounters>; 2] = Default::default();
    let stop = Arc::new(AtomicBool::new(false));
    let put = |current: &[Replica], routing: &Routing, weight: u8| {
        let versions = vec![
            version(1, 100 - weight, &counters[0], &[&current[0]]),
            version(2, weight, &counters[1], &[&current[1]]),
        ];
        bench.route.set(versions, routing);
    };
    put(&current, &Routing::default(), 50);
    let mut clients = JoinSet::new();
    for header in ["Accept: */*", "X-Group: beta", "Cookie: user=7", "Cookie: user=8"] {
        let mut client = bench.connect().await;
        let stop = Arc::clone(&stop);
        clients.spawn(async move {
            let mut sent = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(client.get_with(header).await.status, 200, "{header}, after {sent} requests");
                sent += 1;
            }
            sent
        });
    }
    let beta = vec![audience(RequestKey::Header("x-group".to_owned()), "beta", 2)];
    let mirror = Some(Mirror { version: revision(2), share: Weight::ALL });
    let routings = [
        Routing { audiences: beta.clone(), ..Routing::default() },
        sticky(),
        Routing { mirror: mirror.clone(), ..Routing::default() },
        Routing { audiences: beta, mirror, ..sticky() },
        Routing::default(),
    ];
    for round in 0..60_u8 {
        let routing = &routings[usize::from(round) % routings.len()];
        put(&current, routing, round % 3 * 50);
        // One of them is replaced as the supervisor does it: its copies count as requests on their way.
        let started = Replica::answering("again").await;
        let leaving = std::mem::replace(&mut current[usize::from(round % 2)], started);
        put(&current, routing, round % 3 * 50);
        wait_for(|| leaving.endpoint.in_flight() == 0).await;
        leaving.endpoint.close_idle();
    }
    stop.store(true, Ordering::Relaxed);
    let mut sent = 0;
    while let Some(ended) = clients.join_next().await {
        sent += ended.unwrap();
    }
    let total = || counters.each_ref().map(|counters| counters.snapshot());
    wait_for(|| total().iter().map(|counters| counters.requests).sum::<u64>() == sent).await;
    assert_eq!(total().map(|counters| counters.failures), [0, 0]);
    assert_eq!(bench.route.unserved(), 0);
}
