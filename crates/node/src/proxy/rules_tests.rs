//! Who is whose user.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderValue;
use proptest::prelude::*;

use super::*;

fn target(service: &str) -> Target {
    Target { environment: "production".parse().unwrap(), service: service.parse().unwrap() }
}

fn revision(name: u8) -> FlightId {
    FlightId::from_random([name; 16]).unwrap()
}

/// Rules that keep users at their version.
fn sticky(service: &str, weights: &[(u8, u8)]) -> Rules {
    let version = |(name, weight): &(u8, u8)| RouteVersion {
        revision: revision(*name),
        weight: Weight::new(*weight).unwrap(),
        endpoints: Vec::new(),
        counters: Arc::default(),
        mirrored: Arc::default(),
    };
    let versions: Vec<RouteVersion> = weights.iter().map(version).collect();
    let routing = Routing { sticky: Some(RequestKey::Cookie("user".to_owned())), ..Routing::default() };
    *Rules::new(&routing, &versions, Salt::new(&target(service))).unwrap()
}

fn cookie(user: &str) -> HeaderMap {
    HeaderMap::from_iter([(http::header::COOKIE, HeaderValue::try_from(format!("lang=en; user={user}")).unwrap())])
}

fn version(rules: &Rules, user: &str) -> Option<FlightId> {
    rules.user(&cookie(user)).map(|user| user.version.clone())
}

#[test]
fn many_users_are_split_by_weight() {
    let weights = [(1, 74), (2, 25), (3, 1)];
    let rules = sticky("shop", &weights);
    let mut users: BTreeMap<FlightId, u32> = BTreeMap::new();
    for user in 0..100_000 {
        *users.entry(version(&rules, &user.to_string()).unwrap()).or_default() += 1;
    }
    for (name, weight) in weights {
        let (users, exact) = (users[&revision(name)], u32::from(weight) * 1000);
        // Four standard deviations of a binomial at one half are 632 of 100 000: below one percent of all users.
        assert!(users.abs_diff(exact) <= 640, "version {name}: {users}, not {exact}");
    }
}

#[test]
fn whose_a_user_is_never_changes_with_the_program_that_says_so() {
    // Computed apart from this program, from its description: SHA-256 of `production/shop`, SipHash-1-3 of the user.
    let salt = Salt::new(&target("shop"));
    assert_eq!(salt.point(b"alice"), 0xCF61_015F_D937_28A8);
    assert_eq!(salt.point(b""), 0x58F8_0724_2E45_5999);
}

#[test]
fn the_later_versions_users_are_at_the_top_of_the_range() {
    let rules = sticky("shop", &[(1, 75), (2, 25)]);
    for user in 0..1000 {
        let headers = cookie(&user.to_string());
        let user = rules.user(&headers).unwrap();
        assert_eq!(*user.version == revision(2), user.point >= 0xC000_0000_0000_0000, "{:#x}", user.point);
    }
}

#[test]
fn services_have_different_first_users() {
    let (shop, blog) = (sticky("shop", &[(1, 90), (2, 10)]), sticky("blog", &[(1, 90), (2, 10)]));
    let first = |rules: &Rules, user: &str| version(rules, user) == Some(revision(2));
    let users: Vec<String> = (0..10_000).map(|user| user.to_string()).collect();
    let both = users.iter().filter(|user| first(&shop, user) && first(&blog, user)).count();
    assert!((50..=150).contains(&both), "a tenth of a tenth: {both}");
}

#[test]
fn nobodys_requests_are_drawn() {
    let rules = sticky("shop", &[(1, 90), (2, 10)]);
    assert_eq!(rules.user(&HeaderMap::new()), None);
    assert_eq!(rules.user(&cookie("")), None, "an empty name would make all of them one user");
    assert_eq!(sticky("shop", &[(1, 0)]).user(&cookie("7")), None, "nothing is to serve");
}

#[test]
fn no_rules_cost_nothing() {
    let salt = Salt::default();
    assert!(Rules::new(&Routing::default(), &[], salt).is_none());
    let mirror = Some(Mirror { version: revision(1), share: Weight::ZERO });
    let routing = Routing { mirror, preview: Some(revision(1)), ..Routing::default() };
    assert!(Rules::new(&routing, &[], salt).is_none());
}

proptest! {
    #[test]
    fn who_has_moved_to_the_later_version_stays_while_its_weight_rises(user in "[a-z0-9]{1,20}", steps in prop::collection::vec(0u8..=100, 1..6)) {
        let mut steps = steps;
        steps.sort_unstable();
        let mut moved = false;
        for weight in steps {
            let rules = sticky("shop", &[(1, 100 - weight), (2, weight)]);
            let is_second = version(&rules, &user) == Some(revision(2));
            prop_assert!(is_second || !moved, "left again at {weight}");
            moved = is_second;
        }
    }
}
