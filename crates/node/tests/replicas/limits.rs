//! What the node refuses, and that a refusal harms nobody else.

use std::net::TcpListener;

use prograde_model::runtime::{Desired, Routing};
use prograde_node::{Node, NodeError};

use crate::fixture::{Fixture, get, image, options, revision, target, until, version, workload};

#[tokio::test]
async fn a_port_in_use_is_named_and_stops_nobody_else() {
    let fixture = Fixture::new().await;
    // Below the ephemeral ports, so that no client takes it meanwhile.
    let taken = (15_000..19_999).find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok()).unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut fixed = workload();
    fixed.service_ports[0].node_port = Some(port);
    let wanted = || vec![version('a', &fixed, 1, 100)];
    let error = fixture.try_apply(&fixture.target, wanted()).await.unwrap_err();
    let text = error.to_string();
    assert_eq!(error.code(), "PG0803");
    assert!(text.contains(&port.to_string()) && text.contains("staging/pad") && text.contains("nodePort"), "{text}");
    fixture.until_ready('a', 1).await;

    let other = target("other");
    fixture.try_apply(&other, vec![version('b', &workload(), 1, 100)]).await.unwrap();
    let address = fixture.node.addresses(&other)[0].1;
    assert!(get(address, "/").await.is_ok());
    // A process that is just being started holds what its parent has open for an instant: `taken` must not be among it.
    let is_ready = || fixture.node.observe(&other).version(&revision('b')).is_some_and(|seen| seen.ready == 1);
    until("the other is ready", is_ready).await;

    drop(taken);
    fixture.apply(wanted()).await;
    assert_eq!(fixture.address().port(), port);
    assert_eq!(get(fixture.address(), "/").await.unwrap().0, 200);
    let error = fixture.try_apply(&other, vec![version('b', &fixed, 1, 100)]).await.unwrap_err();
    assert!(matches!(&error, NodeError::PortTaken { other, .. } if *other == fixture.target), "{error}");
    for _ in 0..10 {
        // Given back and taken at once, by its owner and by another.
        fixture.apply(vec![]).await;
        fixture.try_apply(&other, vec![version('b', &fixed, 1, 100)]).await.unwrap();
        fixture.try_apply(&other, vec![]).await.unwrap();
        fixture.apply(wanted()).await;
    }
    fixture.end().await;
}

#[tokio::test]
async fn a_chosen_port_is_kept_over_restarts() {
    let fixture = Fixture::new().await;
    fixture.apply(vec![version('a', &workload(), 0, 100)]).await;
    let chosen = fixture.address();
    let Fixture { dir, node, target } = fixture;
    node.shutdown(std::time::Duration::from_secs(5)).await;
    let node = Node::start(options(dir.path())).await.unwrap();
    let fixture = Fixture { dir, node, target };
    fixture.apply(vec![version('a', &workload(), 0, 100)]).await;
    assert_eq!(fixture.address(), chosen);
    fixture.end().await;
}

#[tokio::test]
async fn what_contradicts_itself_or_is_too_much_is_refused() {
    let fixture = Fixture::new().await;
    let code = async |versions| fixture.try_apply(&fixture.target, versions).await.unwrap_err().code();
    assert_eq!(code(vec![version('a', &workload(), 60, 100), version('b', &workload(), 41, 0)]).await, "PG0806");
    assert_eq!(code(vec![version('a', &workload(), 1, 90)]).await, "PG0808");
    assert_eq!(code(vec![version('a', &workload(), 1, 50), version('a', &workload(), 1, 50)]).await, "PG0808");
    let mut twice = workload();
    twice.service_ports.push(twice.service_ports[0].clone());
    assert_eq!(code(vec![version('a', &twice, 1, 100)]).await, "PG0808");
    let many = "0123456789abcdef".chars().skip(1).take(11).map(|digit| version(digit, &workload(), 0, 0)).collect();
    assert_eq!(code(many).await, "PG0808");
    let desired = Desired {
        target: target("bare"),
        versions: vec![version('a', &workload(), 1, 100)],
        routing: Routing::default(),
    };
    let error = fixture.node.apply(desired.clone(), std::collections::BTreeMap::new()).await.unwrap_err();
    assert_eq!(error.code(), "PG0807");
    assert!(fixture.node.observe(&desired.target).version(&revision('a')).is_none(), "nothing has changed");
    fixture.node.apply(desired.clone(), image(fixture.dir.path())).await.unwrap();
    fixture.node.apply(desired, std::collections::BTreeMap::new()).await.unwrap();
    let second = Node::start(options(fixture.dir.path())).await.unwrap_err();
    assert_eq!(second.code(), "PG0802");
    fixture.end().await;
}
