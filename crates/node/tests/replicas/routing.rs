//! Requests told apart by more than the weights, in front of real processes.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;

use futures_util::StreamExt as _;
use prograde_model::Weight;
use prograde_model::runtime::{Audience, Desired, DesiredVersion, Mirror, RequestKey, Routing};
use prograde_node::{LogQuery, Node};
use tokio::time::timeout;

use crate::fixture::{Fixture, Load, PATIENCE, get, get_with, image, options, pid, revision, until, version, workload};

/// A stable version with all the traffic and one with none.
fn both() -> Vec<DesiredVersion> {
    vec![version('a', &workload(), 1, 100), version('b', &workload(), 1, 0)]
}

fn audience() -> Vec<Audience> {
    let key = RequestKey::Header("x-group".to_owned());
    vec![Audience { key, value: "beta".to_owned(), version: revision('b') }]
}

/// Everything is copied.
fn mirror() -> Routing {
    let mirror = Some(Mirror { version: revision('b'), share: Weight::ALL });
    Routing { mirror, ..Routing::default() }
}

async fn ready() -> Fixture {
    let fixture = Fixture::new().await;
    fixture.apply(both()).await;
    fixture.until_ready('a', 1).await;
    fixture.until_ready('b', 1).await;
    fixture
}

fn preview(fixture: &Fixture) -> Option<SocketAddr> {
    let addresses = fixture.node.addresses(&fixture.target);
    let (_, address) = addresses.iter().find(|(name, _)| name.as_deref() == Some("preview"))?;
    assert_eq!(addresses.len(), 2);
    assert_eq!(addresses[0].0.as_deref(), Some("http"), "the Service's own come first");
    Some(*address)
}

#[tokio::test]
async fn an_audience_and_a_mirror_reach_a_version_without_weight() {
    let fixture = ready().await;
    let routing = Routing { audiences: audience(), ..mirror() };
    fixture.route(both(), &routing).await;
    let stable = fixture.pid().await;
    let (_, body) = get_with(fixture.address(), "/", ("X-Group", "beta")).await.unwrap();
    assert_ne!(pid(&body), stable);
    assert_eq!(fixture.seen('b').weight, Weight::ZERO);
    for _ in 0..9 {
        assert_eq!(fixture.pid().await, stable);
    }
    until("all are counted", || fixture.seen('b').mirrored.requests == 10).await;
    let (stable, canary) = (fixture.seen('a'), fixture.seen('b'));
    assert_eq!((stable.counters.requests, stable.latencies.total(), stable.mirrored.requests), (10, 10, 0));
    assert_eq!((canary.counters.requests, canary.latencies.total()), (1, 1), "the audience's request and no copy");
    assert_eq!((canary.mirrored.failures, canary.mirrored.latencies.total()), (0, 10));

    fixture.apply(both()).await;
    let (_, body) = get_with(fixture.address(), "/", ("X-Group", "beta")).await.unwrap();
    assert_eq!(fixture.seen('b').mirrored.requests, 10, "routing is in force when apply returns");
    assert_eq!(pid(&body), fixture.pid().await);
    fixture.end().await;
}

#[tokio::test]
async fn what_was_copied_is_counted_over_a_restart() {
    let fixture = ready().await;
    fixture.route(both(), &mirror()).await;
    for _ in 0..5 {
        fixture.pid().await;
    }
    until("the copies are counted", || fixture.seen('b').mirrored.requests == 5).await;
    let before = fixture.seen('b').mirrored;
    let Fixture { dir, node, target } = fixture;
    node.shutdown(std::time::Duration::from_secs(20)).await;
    let node = Node::start(options(dir.path())).await.unwrap();
    let fixture = Fixture { dir, node, target };
    assert_eq!(fixture.seen('b').mirrored, before);
    fixture.end().await;
}

#[tokio::test]
async fn a_replica_is_stopped_only_when_its_copies_have_ended() {
    let fixture = ready().await;
    fixture.route(both(), &mirror()).await;
    let follow = || fixture.node.logs(&fixture.target, LogQuery { follow: true, ..LogQuery::default() });
    // The stable version is at work as long; what is waited for is that both have begun.
    let mut begun = pin!(follow().await.filter(|line| std::future::ready(line.line == "at work")).skip(1));
    let mut told = pin!(follow().await.filter(|line| std::future::ready(line.line == "told to end")));
    let (answer, ()) = tokio::join!(get(fixture.address(), "/work/1000"), async {
        timeout(PATIENCE, begun.next()).await.unwrap().unwrap();
        fixture.apply(vec![version('a', &workload(), 1, 100)]).await;
        timeout(PATIENCE, told.next()).await.unwrap().unwrap();
        let seen = fixture.seen('b').mirrored;
        assert_eq!((seen.requests, seen.failures), (1, 0), "its copy was answered before");
    });
    assert_eq!(answer.unwrap().0, 200);
    fixture.until('b', |seen| seen.replicas == 0).await;
    fixture.end().await;
}

#[tokio::test]
async fn a_preview_leads_to_its_version_alone_and_counts_for_nothing() {
    let fixture = ready().await;
    assert_eq!(preview(&fixture), None);
    let previewing = Routing { preview: Some(revision('b')), ..Routing::default() };
    fixture.route(both(), &previewing).await;
    let address = preview(&fixture).unwrap();
    let stable = fixture.pid().await;
    let mut pids = BTreeSet::new();
    for _ in 0..10 {
        pids.insert(pid(&get(address, "/").await.unwrap().1));
    }
    assert!(pids.len() == 1 && !pids.contains(&stable));
    assert_eq!(fixture.seen('b').counters.requests, 0, "they are nobody's users");

    let mut unready = both();
    unready[1].replicas = 0;
    fixture.route(unready, &previewing).await;
    assert_eq!(get(address, "/").await.unwrap().0, 503, "no other version answers");
    fixture.apply(both()).await;
    assert_eq!(preview(&fixture), None);
    // Whoever can listen there is alone.
    until("the port is closed", || TcpListener::bind(address).is_ok()).await;
    fixture.until_ready('b', 1).await;
    fixture.route(both(), &previewing).await;
    assert_eq!(preview(&fixture), Some(address), "the port is kept");
    assert_eq!(get(address, "/").await.unwrap().0, 200);
    fixture.end().await;
}

#[tokio::test]
async fn changing_the_routing_all_the_time_fails_no_request() {
    let fixture = ready().await;
    let load = Load::start(fixture.address(), "/slow/2");
    let sticky = Some(RequestKey::Header("accept".to_owned()));
    let routings = [
        Routing { audiences: audience(), ..Routing::default() },
        Routing { sticky: sticky.clone(), preview: Some(revision('b')), ..Routing::default() },
        Routing { preview: Some(revision('a')), ..mirror() },
        Routing { audiences: audience(), sticky, preview: Some(revision('b')), ..mirror() },
        Routing::default(),
    ];
    for round in 0..40_u8 {
        let weight = round % 3 * 50;
        let replicas = 1 + u32::from(round / 10 % 2);
        let versions = vec![version('a', &workload(), 2, 100 - weight), version('b', &workload(), replicas, weight)];
        fixture.route(versions, &routings[usize::from(round) % routings.len()]).await;
        load.run(10).await;
    }
    load.end().await;
    fixture.end().await;
}

#[tokio::test]
async fn routing_to_what_does_not_run_is_refused_and_changes_nothing() {
    let fixture = ready().await;
    let routing = Routing { preview: Some(revision('c')), ..Routing::default() };
    let desired = Desired { target: fixture.target.clone(), versions: both(), routing };
    let error = fixture.node.apply(desired, image(fixture.dir.path())).await.unwrap_err();
    assert_eq!(error.code(), "PG0808");
    assert!(error.to_string().contains("the preview is for version cccc"), "{error}");
    assert_eq!((fixture.seen('a').ready, preview(&fixture)), (1, None));
    assert_eq!(get(fixture.address(), "/").await.unwrap().0, 200);
    fixture.end().await;
}
