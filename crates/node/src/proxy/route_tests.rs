//! The split, and the lease's promise about a replica that leaves.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, HeaderValue};
use prograde_model::runtime::{Audience, Mirror, RequestKey};
use prograde_model::{FlightId, Weight};

use super::*;

fn version(name: u8, weight: u8, replicas: u16) -> RouteVersion {
    RouteVersion {
        revision: FlightId::from_random([name; 16]).unwrap(),
        weight: Weight::new(weight).unwrap(),
        endpoints: (1..=replicas).map(|port| Endpoint::new(([127, 0, 0, name], port).into())).collect(),
        counters: Arc::default(),
        mirrored: Arc::default(),
    }
}

fn unset() -> Arc<Route> {
    Arc::new(Route::new(&Target { environment: "staging".parse().unwrap(), service: "shop".parse().unwrap() }))
}

fn route(versions: &[RouteVersion]) -> RouteView {
    let route = unset();
    set(&route, versions);
    RouteView::new(route)
}

/// Splits by weight alone.
fn set(route: &Route, versions: &[RouteVersion]) {
    route.set(versions.to_vec(), &Routing::default());
}

/// A request without headers.
fn plain(draw: Draw) -> Ask<'static> {
    static NONE: LazyLock<HeaderMap> = LazyLock::new(HeaderMap::new);
    Ask { draw, headers: &NONE }
}

/// The last byte of a replica's address is its version's name.
fn next(view: &RouteView) -> Option<u8> {
    name(&view.lease(plain(view.route().draw()))?)
}

fn name(lease: &Lease) -> Option<u8> {
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
        set(&view.route, &versions);
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
    set(&view.route, &[version(1, 100, 0), failed.clone()]);
    assert_eq!(next(&view), None);
    set(&view.route, &[version(1, 0, 1), failed]);
    assert_eq!(next(&view), None);
    set(&view.route, &[]);
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
    let held: Vec<Lease> = (0..100).map(|_| view.lease(plain(view.route().draw())).unwrap()).collect();
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
        let ask = plain(view.route().draw());
        let failed = view.lease(ask).unwrap();
        let again = view.lease_again(ask, &failed).unwrap();
        assert_ne!(failed.endpoint.address(), again.endpoint.address());
    }
    let one = version(1, 100, 1);
    set(&view.route, &[one]);
    let ask = plain(view.route().draw());
    let failed = view.lease(ask).unwrap();
    assert_eq!(view.lease_again(ask, &failed).unwrap().endpoint.address(), failed.endpoint.address());
}

#[test]
fn a_replica_found_idle_after_it_left_the_table_gets_no_request() {
    let route = unset();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let used = Arc::new(Mutex::new(BTreeMap::<u16, bool>::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (route, stop, used) = (Arc::clone(&route), Arc::clone(&stop), Arc::clone(&used));
            scope.spawn(move || {
                let view = RouteView::new(Arc::clone(&route));
                while !stop.load(Ordering::Relaxed) {
                    let Some(lease) = view.lease(plain(route.draw())) else { continue };
                    let gone = used.lock().unwrap().get(&lease.endpoint.address().port()).copied();
                    assert_ne!(gone, Some(true), "a request reached a replica that was found idle");
                }
            });
        }
        for port in 1..3000_u16 {
            let mut replaced = version(1, 100, 0);
            let endpoint = Endpoint::new(([127, 0, 0, 1], port).into());
            replaced.endpoints = vec![Arc::clone(&endpoint)];
            set(&route, &[replaced]);
            set(&route, &[]);
            while endpoint.in_flight() > 0 {
                std::thread::yield_now();
            }
            used.lock().unwrap().insert(port, true);
        }
        stop.store(true, Ordering::Relaxed);
    });
}

fn audience(value: &str, version: &RouteVersion) -> Audience {
    let key = RequestKey::Header("x-group".to_owned());
    Audience { key, value: value.to_owned(), version: version.revision.clone() }
}

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let line =
        |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    lines.iter().map(line).collect()
}

/// The versions of ten requests with these headers.
fn ten(view: &RouteView, lines: &[(&'static str, &str)]) -> Vec<Option<u8>> {
    let headers = headers(lines);
    let ask = || Ask { draw: view.route().draw(), headers: &headers };
    let mut names: Vec<Option<u8>> = (0..10).map(|_| view.lease(ask()).as_ref().and_then(name)).collect();
    names.dedup();
    names
}

#[test]
fn an_audience_goes_to_its_version_whatever_the_weights_say() {
    let (stable, canary, other) = (version(1, 100, 1), version(2, 0, 2), version(3, 0, 1));
    let audiences = vec![audience("beta", &canary), audience("beta", &other), audience("late", &other)];
    let view = route(&[]);
    let routing = Routing { audiences, ..Routing::default() };
    let set = |versions: &[&RouteVersion]| view.route.set(versions.iter().copied().cloned().collect(), &routing);
    set(&[&stable, &canary, &other]);
    assert_eq!(ten(&view, &[("x-group", "beta")]), [Some(2)], "the first that matches");
    assert_eq!(ten(&view, &[("x-group", "late")]), [Some(3)]);
    for others in [&[][..], &[("x-group", "Beta")], &[("x-group", "")], &[("x-groups", "beta")]] {
        assert_eq!(ten(&view, others), [Some(1)], "{others:?}");
    }
    let unready = RouteVersion { endpoints: Vec::new(), ..canary.clone() };
    set(&[&stable, &unready, &other]);
    assert_eq!(ten(&view, &[("x-group", "beta")]), [Some(1)], "as anybody's while its version can't serve");
    set(&[&unready]);
    assert_eq!(ten(&view, &[("x-group", "beta")]), [None]);
}

#[test]
fn a_user_whose_version_can_not_serve_goes_to_the_same_other_one_each_time() {
    let view = route(&[]);
    let sticky = Some(RequestKey::Header("x-user".to_owned()));
    let versions = vec![version(1, 40, 1), version(2, 40, 1), version(3, 20, 0)];
    view.route.set(versions, &Routing { sticky, ..Routing::default() });
    let mut users: BTreeMap<Vec<Option<u8>>, u32> = BTreeMap::new();
    for user in 0..1000 {
        *users.entry(ten(&view, &[("x-user", &user.to_string())])).or_default() += 1;
    }
    assert_eq!(users.keys().cloned().collect::<Vec<_>>(), [[Some(1)], [Some(2)]], "one version for each");
    // Its users are shared between both: half of a fifth would be missing here otherwise.
    assert!(users.values().all(|count| (440..=560).contains(count)), "{users:?}");
}

#[test]
fn a_retry_stays_with_the_version_only_as_long_as_that_may_have_the_request() {
    let (stable, canary) = (version(1, 100, 1), version(2, 0, 2));
    let view = route(&[]);
    let routing = Routing { audiences: vec![audience("beta", &canary)], ..Routing::default() };
    let beta = headers(&[("x-group", "beta")]);
    let ask = || Ask { draw: view.route().draw(), headers: &beta };
    view.route.set(vec![stable.clone(), canary.clone()], &routing);
    let failed = view.lease(ask()).unwrap();
    let again = view.lease_again(ask(), &failed).unwrap();
    assert!(name(&again) == Some(2) && again.endpoint.address() != failed.endpoint.address());
    set(&view.route, &[stable, canary]);
    assert_eq!(name(&view.lease_again(ask(), &failed).unwrap()), Some(1), "the audience is no more");
}

#[test]
fn copies_are_taken_evenly_of_what_others_answer_and_counted_apart() {
    let (stable, canary) = (version(1, 50, 1), version(2, 50, 1));
    let view = route(&[]);
    let mirror = |share| Some(Mirror { version: canary.revision.clone(), share: Weight::new(share).unwrap() });
    let copies = |mirror, count: usize| {
        view.route.set(vec![stable.clone(), canary.clone()], &Routing { mirror, ..Routing::default() });
        let leases = (0..count).map(|_| view.lease(plain(view.route().draw())).unwrap());
        leases.filter_map(|lease| Some((name(&lease), view.lease_copy(&lease)?))).collect::<Vec<_>>()
    };
    assert!(copies(None, 100).is_empty() && copies(mirror(0), 100).is_empty());
    let all = copies(mirror(100), 1000);
    assert_eq!(all.len(), 500, "each that the other version answers");
    for (original, copy) in &all {
        assert_eq!((*original, name(&copy.lease)), (Some(1), Some(2)));
        assert!(Arc::ptr_eq(&copy.lease.counters, &canary.mirrored));
    }
    assert_eq!(canary.endpoints[0].in_flight(), 500, "copies keep a replica from being stopped");
    drop(all);
    assert_eq!(canary.endpoints[0].in_flight(), 0);
    let tenth = copies(mirror(10), 2000).len();
    assert!((95..=105).contains(&tenth), "{tenth}");
}
