//! Leaving: scaling down, being replaced, being unwanted.

use std::pin::pin;

use futures_util::StreamExt as _;
use prograde_model::Weight;
use prograde_node::LogQuery;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::fixture::{Fixture, Load, PATIENCE, get, is_alive, pid, until, version, with_env, workload};

#[tokio::test]
async fn scaling_under_load_fails_no_request() {
    let fixture = Fixture::new().await;
    fixture.apply(vec![version('a', &workload(), 1, 100)]).await;
    fixture.until_ready('a', 1).await;
    let first = fixture.pid().await;
    let load = Load::start(fixture.address(), "/slow/3");
    for replicas in [4, 2, 3, 1] {
        fixture.apply(vec![version('a', &workload(), replicas, 100)]).await;
        fixture.until_ready('a', replicas).await;
        load.run(100).await;
    }
    load.end().await;
    assert_eq!(fixture.pid().await, first, "the oldest is kept");
    fixture.end().await;
}

#[tokio::test]
async fn a_changed_workload_replaces_the_replicas_under_load() {
    let fixture = Fixture::new().await;
    fixture.apply(vec![version('a', &workload(), 2, 100)]).await;
    fixture.until_ready('a', 2).await;
    let before = fixture.pids(20).await;
    let load = Load::start(fixture.address(), "/slow/3");
    let changed = with_env(workload(), "CHANGED", "1");
    fixture.apply(vec![version('a', &changed, 2, 100)]).await;
    until("the old processes are gone", || !before.iter().any(|pid| is_alive(*pid))).await;
    fixture.until_ready('a', 2).await;
    load.run(50).await;
    load.end().await;
    assert!(fixture.get("/environment").await.contains("CHANGED=1"));
    assert_eq!(fixture.seen('a').restarts, 0, "being replaced is no restart");
    fixture.end().await;
}

#[tokio::test]
async fn weights_are_in_force_when_apply_returns() {
    let fixture = Fixture::new().await;
    let stable = |weight| version('a', &workload(), 1, weight);
    let canary = |weight| version('b', &workload(), 1, weight);
    fixture.apply(vec![stable(50), canary(50)]).await;
    fixture.until_ready('a', 1).await;
    fixture.until_ready('b', 1).await;
    assert_eq!(fixture.pids(30).await.len(), 2);
    let before = fixture.seen('b').counters.requests;
    fixture.apply(vec![stable(100), canary(0)]).await;
    assert_eq!(fixture.pids(30).await.len(), 1);
    let seen = fixture.seen('b');
    assert_eq!((seen.ready, seen.weight, seen.counters.requests), (1, Weight::ZERO, before));

    fixture.apply(vec![stable(100)]).await;
    fixture.until('b', |seen| seen.replicas == 0).await;
    assert_eq!(fixture.seen('b').counters.requests, before, "what was counted can still be seen");
    fixture.apply(vec![stable(100), version('c', &workload(), 1, 0)]).await;
    assert_eq!(fixture.seen('b').counters.requests, 0, "until the versions change again");
    fixture.end().await;
}

#[tokio::test]
async fn a_replica_is_stopped_only_when_it_has_answered() {
    let fixture = Fixture::new().await;
    fixture.apply(vec![version('a', &workload(), 1, 100)]).await;
    fixture.until_ready('a', 1).await;
    let process = fixture.pid().await;
    let address = fixture.address();
    let mut slow = JoinSet::new();
    slow.spawn(async move { get(address, "/work/1500").await });
    let requests = fixture.seen('a').counters.requests;
    let query = LogQuery { follow: true, ..LogQuery::default() };
    let lines = fixture.node.logs(&fixture.target, query).await;
    let mut begun = pin!(lines.filter(|line| std::future::ready(line.line == "at work")));
    timeout(PATIENCE, begun.next()).await.unwrap().unwrap();
    fixture.apply(vec![version('a', &workload(), 0, 100)]).await;
    assert_eq!(get(address, "/").await.unwrap().0, 503, "it gets no new requests");
    assert!(is_alive(process) && fixture.seen('a').counters.requests == requests, "it is still at work");
    let (status, body) = slow.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!((status, pid(&body)), (200, process));
    fixture.until('a', |seen| seen.replicas == 0).await;
    assert!(!is_alive(process));
    fixture.end().await;
}

#[tokio::test]
async fn a_replica_that_will_not_end_is_asked_first_and_killed_then() {
    let fixture = Fixture::new().await;
    let mut stubborn = with_env(workload(), "APP_IGNORE_TERM", "1");
    stubborn.termination_grace_s = 1;
    fixture.apply(vec![version('a', &stubborn, 1, 100)]).await;
    fixture.until_ready('a', 1).await;
    let process = fixture.pid().await;
    fixture.apply(vec![]).await;
    fixture.until('a', |seen| seen.replicas == 0).await;
    assert!(!is_alive(process));
    let stream = fixture.node.logs(&fixture.target, LogQuery::default()).await;
    let lines: Vec<String> = stream.map(|line| line.line).collect().await;
    assert!(lines.iter().any(|line| line == "told to end"), "{lines:?}");
    fixture.end().await;
}

#[tokio::test]
async fn a_shutdown_ends_everything_also_what_will_not_end() {
    let fixture = Fixture::new().await;
    let stubborn = with_env(workload(), "APP_IGNORE_TERM", "1");
    fixture.apply(vec![version('a', &workload(), 1, 50), version('b', &stubborn, 1, 50)]).await;
    fixture.until_ready('a', 1).await;
    fixture.until_ready('b', 1).await;
    let processes = fixture.pids(30).await;
    assert_eq!(processes.len(), 2);
    let node = fixture.node.clone();
    let replicas = fixture.replicas_dir();
    node.shutdown(std::time::Duration::from_millis(500)).await;
    assert!(!processes.iter().any(|pid| is_alive(*pid)));
    assert_eq!(std::fs::read_dir(replicas).unwrap().count(), 0);
    let refused = fixture.try_apply(&fixture.target, vec![version('a', &workload(), 1, 100)]).await.unwrap_err();
    assert_eq!(refused.code(), "PG0809");
}
