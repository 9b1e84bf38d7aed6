//! The split, and the lease's promise about a replica that leaves.

use std::collections::BTreeMap;

use super::*;

fn version(name: u8, weight: u8, replicas: u16) -> RouteVersion {
    RouteVersion {
        revision: FlightId::from_random([name; 16]).unwrap(),
        weight: Weight::new(weight).unwrap(),
        endpoints: (1..=replicas).map(|port| Endpoint::new(([127, 0, 0, name], port).into())).collect(),
        counters: Arc::default(),
    }
}

fn route(versions: &[RouteVersion]) -> RouteView {
    let route = Arc::new(Route::new());
    route.set(versions.to_vec());
    RouteView::new(route)
}

/// The third byte of a replica's address is its version's name.
fn next(view: &RouteView) -> Option<u8> {
    let lease = view.lease(view.route().draw())?;
    match lease.endpoint.address().ip() {
        std::net::IpAddr::V4(ip) => Some(ip.octets()[3]),
        std::net::IpAddr::V6(_) => None,
    }
}

#[test]
fn every_prefix_of_the_requests_is_split_by_weight() {
    for weights in [[99, 1], [90, 10], [50, 50], [67, 33]] {
        let view = route(&[version(1, weights[0], 1), version(2, weights[1], 2)]);
        let mut second = 0_i64;
        for count in 1..=20_000_i64 {
            second += i64::from(next(&view) == Some(2));
            let off = second * 100 - count * i64::from(weights[1]);
            assert!(off.abs() <= 250, "{weights:?}: {second} of {count}");
        }
    }
}

#[test]
fn a_canary_at_one_percent_is_seen_early_and_never_twice_in_a_row() {
    let view = route(&[version(1, 99, 1), version(2, 1, 1)]);
    let hits: Vec<usize> = (0..10_000).filter(|_| next(&view) == Some(2)).collect();
    assert!(hits[0] < 100, "first at {}", hits[0]);
    for pair in hits.windows(2) {
        // The return times of a golden-ratio rotation to an interval are Fibonacci numbers (three gap theorem).
        assert!([55, 89, 144].contains(&(pair[1] - pair[0])), "{pair:?}");
    }
}

#[test]
fn clients_with_a_rhythm_are_split_too() {
    // Only every `stride`-th request is looked at: what one kind of request would get, if kinds took turns.
    for stride in [2, 3, 4, 5, 10, 100] {
        let view = route(&[version(1, 50, 1), version(2, 50, 1)]);
        let hits = (0..1000 * stride).filter(|n| next(&view) == Some(2) && n % stride == 0).count();
        assert!((490..=510).contains(&hits), "stride {stride}: {hits} of 1000");
    }
}

#[test]
fn setting_the_table_again_and_again_starves_nobody() {
    let versions = [version(1, 99, 1), version(2, 1, 1)];
    let view = route(&versions);
    let hits = (0..1000).filter(|_| {
        view.route.set(versions.to_vec());
        next(&view) == Some(2)
    });
    let hits = hits.count();
    assert!((9..=11).contains(&hits), "{hits}");
}

#[test]
fn a_version_of_weight_zero_gets_nothing_even_when_no_other_can_serve() {
    let (failed, stable) = (version(2, 0, 3), version(1, 100, 1));
    let view = route(&[stable, failed.clone()]);
    assert!((0..1000).all(|_| next(&view) == Some(1)));
    view.route.set(vec![version(1, 100, 0), failed.clone()]);
    assert_eq!(next(&view), None);
    view.route.set(vec![version(1, 0, 1), failed]);
    assert_eq!(next(&view), None);
    view.route.set(Vec::new());
    assert_eq!(next(&view), None);
}

#[test]
fn the_share_of_a_version_without_replicas_goes_to_the_others_by_weight() {
    let view = route(&[version(1, 50, 0), version(2, 40, 1), version(3, 10, 1)]);
    let mut hits: BTreeMap<Option<u8>, u32> = BTreeMap::new();
    for _ in 0..1000 {
        *hits.entry(next(&view)).or_default() += 1;
    }
    assert_eq!(hits.keys().copied().collect::<Vec<_>>(), [Some(2), Some(3)]);
    assert!((795..=805).contains(&hits[&Some(2)]), "{hits:?}");
}

#[test]
fn the_less_busy_of_two_replicas_is_taken() {
    let version = version(1, 100, 2);
    let view = route(std::slice::from_ref(&version));
    let held: Vec<Lease> = (0..100).map(|_| view.lease(view.route().draw()).unwrap()).collect();
    for endpoint in &version.endpoints {
        assert!((40..=60).contains(&endpoint.in_flight()), "{}", endpoint.in_flight());
    }
    drop(held);
    assert_eq!(version.endpoints.iter().map(|e| e.in_flight()).sum::<usize>(), 0);
}

#[test]
fn a_retry_avoids_the_replica_that_failed_while_there_is_another() {
    let two = version(1, 100, 2);
    let view = route(std::slice::from_ref(&two));
    for _ in 0..100 {
        let draw = view.route().draw();
        let failed = view.lease(draw).unwrap();
        let again = view.lease_again(draw, &failed).unwrap();
        assert_ne!(failed.endpoint.address(), again.endpoint.address());
    }
    let one = version(1, 100, 1);
    view.route.set(vec![one]);
    let draw = view.route().draw();
    let failed = view.lease(draw).unwrap();
    assert_eq!(view.lease_again(draw, &failed).unwrap().endpoint.address(), failed.endpoint.address());
}

#[test]
fn a_replica_found_idle_after_it_left_the_table_gets_no_request() {
    let route = Arc::new(Route::new());
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let used = Arc::new(Mutex::new(BTreeMap::<u16, bool>::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (route, stop, used) = (Arc::clone(&route), Arc::clone(&stop), Arc::clone(&used));
            scope.spawn(move || {
                let view = RouteView::new(Arc::clone(&route));
                while !stop.load(Ordering::Relaxed) {
                    let Some(lease) = view.lease(route.draw()) else { continue };
                    let gone = used.lock().unwrap().get(&lease.endpoint.address().port()).copied();
                    assert_ne!(gone, Some(true), "a request reached a replica that was found idle");
                }
            });
        }
        for port in 1..3000_u16 {
            let mut replaced = version(1, 100, 0);
            let endpoint = Endpoint::new(([127, 0, 0, 1], port).into());
            replaced.endpoints = vec![Arc::clone(&endpoint)];
            route.set(vec![replaced]);
            route.set(Vec::new());
            while endpoint.in_flight() > 0 {
                std::thread::yield_now();
            }
            used.lock().unwrap().insert(port, true);
        }
        stop.store(true, Ordering::Relaxed);
    });
}
