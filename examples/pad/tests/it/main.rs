//! The tests of pad. They set every fault themselves, so they hold whatever the constants in `src/faults.rs` say.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod endpoints;
mod faults;
mod process;
mod settings;
mod shutdown;
mod telemetry;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use pad::faults::Faults;
use pad::health::Health;
use pad::routes;
use pad::settings::Settings;
use serde_json::Value;
use tower::ServiceExt as _;

/// An answer, read to its end.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

/// A pad that has started, with these faults and no others.
fn pad(faults: Faults) -> Router {
    let health = Health::default();
    health.started();
    routes::router(&Settings { faults, ..Settings::default() }, health)
}

async fn ask(pad: &Router, request: Request<Body>) -> Answer {
    let response = pad.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    Answer { status: parts.status, headers: parts.headers, text: String::from_utf8(body.to_vec()).unwrap() }
}

async fn get(pad: &Router, path: &str) -> Answer {
    ask(pad, Request::get(path).body(Body::empty()).unwrap()).await
}
