//! Injected faults.

use std::time::Duration;

use axum::http::StatusCode;
use pad::faults::Faults;
use pad::routes::QUIET_ROUTES;
use serde_json::json;

use crate::{get, pad};

const ALL_FAIL: Faults = Faults { error_share: 1.0, ..Faults::NONE };

#[tokio::test]
async fn a_share_of_one_fails_every_ordinary_request() {
    let pad = pad(ALL_FAIL);
    for path in ["/", "/env", "/headers", "/status/200", "/docs", "/openapi.json"] {
        let answer = get(&pad, path).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{path}");
        assert_eq!(answer.json(), json!({ "error": "a fault was injected" }), "{path}");
    }
}

#[tokio::test]
async fn probes_version_and_metrics_are_never_touched() {
    let late = Duration::from_hours(1);
    let pad = pad(Faults { latency_share: 1.0, latency: late, ..ALL_FAIL });
    for path in QUIET_ROUTES {
        let answer = tokio::time::timeout(Duration::from_secs(30), get(&pad, path)).await;
        assert_eq!(answer.expect(path).status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn a_share_of_zero_touches_nothing() {
    let pad = pad(Faults { latency: Duration::from_hours(1), ..Faults::NONE });
    for _ in 0..100 {
        assert_eq!(get(&pad, "/").await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn held_up_requests_take_at_least_the_latency() {
    let latency = Duration::from_millis(50);
    let pad = pad(Faults { latency_share: 1.0, latency, ..Faults::NONE });
    let begun = tokio::time::Instant::now();
    assert_eq!(get(&pad, "/").await.status, StatusCode::OK);
    assert!(begun.elapsed() >= latency, "the answer came before the latency was over");
}

#[test]
fn shares_between_are_drawn_at_their_rate() {
    fastrand::seed(7);
    let faults = Faults { error_share: 0.25, latency_share: 0.75, ..Faults::NONE };
    let errors = (0..10_000).filter(|_| faults.draw_error()).count();
    let late = (0..10_000).filter(|_| faults.draw_latency().is_some()).count();
    assert!((2_300..2_700).contains(&errors), "{errors}");
    assert!((7_300..7_700).contains(&late), "{late}");
}
