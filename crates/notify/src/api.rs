//! Alertmanager's HTTP API v2 as functions: a request and the state in, an answer and the facts that follow out.
//!
//! Whoever mounts it under `/api/v2` applies the facts before the answer goes out. Beyond Alertmanager's own paths there
//! is `POST alerts/groups/acknowledge`; groups carry their `groupKey` and who has acknowledged them, and silences may have
//! `endsWithAlerts`. Clients that know none of it see Alertmanager's API.
//!
//! Source: Alertmanager 0.25, `api/v2/openapi.yaml`.

mod acknowledge;
mod alerts;
mod filter;
mod silences;

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use prograde_model::alert::{AlertEvent, Dispatcher};
use serde_json::{Value, json};

/// The version of Alertmanager whose API this is. Clients compare it with their own.
const VERSION: &str = "0.25.0";

/// The largest body that is worth reading, in bytes.
pub const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A request, its path taken apart from what it is mounted under.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The method, in upper case.
    pub method: &'a str,
    /// The path without `/api/v2`, such as `/alerts`.
    pub path: &'a str,
    /// Names and values of the query, decoded; a name may come more than once.
    pub query: &'a [(String, String)],
    /// The body.
    pub body: &'a [u8],
}

/// What is known beside the dispatcher.
#[derive(Debug, Clone)]
pub struct Status<'a> {
    /// The configuration as it may be shown.
    pub config: &'a str,
    /// The receivers' names in their order.
    pub receivers: &'a [String],
    /// When the server was started.
    pub started: Timestamp,
    /// A fresh version-4 UUID (RFC 9562), should one be needed.
    pub new_id: &'a str,
}

/// An answer, and the facts to apply before it goes out.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The status of HTTP.
    pub status: u16,
    /// The body, if there is one.
    pub body: Option<Value>,
    /// What follows.
    pub facts: Vec<AlertEvent>,
}

impl Answer {
    fn ok(body: Value) -> Self {
        Self { status: 200, body: Some(body), facts: Vec::new() }
    }

    fn done(facts: Vec<AlertEvent>) -> Self {
        Self { status: 200, body: None, facts }
    }

    /// Alertmanager says why as a bare text.
    fn failed(status: u16, why: impl Into<String>) -> Self {
        Self { status, body: Some(Value::String(why.into())), facts: Vec::new() }
    }
}

/// Answers a request. Pure: same state, request and time, same answer.
pub fn answer(dispatcher: &Dispatcher, status: &Status<'_>, request: &Request<'_>, now: Timestamp) -> Answer {
    let segments: Vec<&str> = request.path.split('/').filter(|segment| !segment.is_empty()).collect();
    let answered = match (request.method, segments.as_slice()) {
        ("GET", ["status"]) => Ok(Answer::ok(about(status))),
        ("GET", ["receivers"]) => Ok(Answer::ok(status.receivers.iter().map(|name| json!({"name": name})).collect())),
        ("GET", ["alerts"]) => alerts::list(dispatcher, request.query, now),
        ("POST", ["alerts"]) => alerts::post(dispatcher, request.body, now),
        ("GET", ["alerts", "groups"]) => alerts::groups(dispatcher, request.query, now),
        ("POST", ["alerts", "groups", "acknowledge"]) => acknowledge::post(dispatcher, request.body),
        ("GET", ["silences"]) => silences::list(dispatcher, request.query, now),
        ("POST", ["silences"]) => silences::post(dispatcher, request.body, status.new_id, now),
        ("GET", ["silence", id]) => silences::one(dispatcher, id, now),
        ("DELETE", ["silence", id]) => silences::end(dispatcher, id, now),
        (_, ["status" | "receivers" | "alerts" | "silences" | "silence", ..]) => {
            Err(Answer::failed(405, format!("method {} is not allowed, or there is no such path", request.method)))
        }
        _ => Err(Answer::failed(404, format!("path {} was not found", request.path))),
    };
    answered.unwrap_or_else(|refused| refused)
}

fn about(status: &Status<'_>) -> Value {
    json!({
        "cluster": {"status": "disabled", "peers": []},
        "versionInfo": {
            "version": VERSION,
            "revision": "",
            "branch": concat!("prograde-", env!("CARGO_PKG_VERSION")),
            "buildUser": "",
            "buildDate": "",
            "goVersion": "",
        },
        "config": {"original": status.config},
        "uptime": status.started.to_string(),
    })
}

/// Reads a body.
fn decode<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Answer> {
    serde_json::from_slice(body).map_err(|error| Answer::failed(400, format!("the body can't be read: {error}")))
}

/// A time as the API writes it, with milliseconds.
fn written(at: Timestamp) -> String {
    format!("{at:.3}")
}
