//! Requests to a tracker, and what its answers mean.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use prograde_control::Clock;
use prograde_model::alert::Failure;
use prograde_notify::config::Secret;
use serde_json::Value;

use crate::adapters::client::{Answer, Ask, Client};

/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How much of an answer is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// How much of what a tracker says about a failure is told, in characters.
const SAID_MAX: usize = 200;
/// How long a tracker is left alone that says that it is asked too often, and not for how long.
const PAUSE: SignedDuration = SignedDuration::from_mins(1);

/// An API with its base address and its token.
pub(super) struct Api {
    client: Client,
    url: String,
    token: Secret,
    /// Shown with the token where the API wants both.
    user: Option<String>,
    /// What the mark of an action item begins with.
    pub(super) prefix: String,
    clock: Arc<dyn Clock>,
}

impl Api {
    pub(super) fn new(
        url: String,
        token: PathBuf,
        user: Option<String>,
        prefix: String,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { client: Client::new(), url, token: Secret::File(token), user, prefix, clock }
    }

    pub(super) async fn get(&self, path: &str, headers: &[(&'static str, &'static str)]) -> Result<Value, Failure> {
        self.send(Method::GET, path, None, headers).await
    }

    /// Asks once. An answer without a body is nothing.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&'static str, &'static str)],
    ) -> Result<Value, Failure> {
        let uri = format!("{}{path}", self.url).parse();
        let uri = uri.map_err(|_| lasting("its address can't be used"))?;
        let mut shown = HeaderMap::new();
        shown.insert(header::AUTHORIZATION, self.authorization().await?);
        shown.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if body.is_some() {
            shown.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        for (name, value) in headers {
            shown.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let ask = Ask { method, uri, headers: shown, body, timeout: TIMEOUT, bytes_max: ANSWER_BYTES_MAX };
        let answer = self.client.send(ask).await.map_err(|error| passing(error.to_string()))?;
        self.read(&answer)
    }

    /// The token is read each time, so that it can be changed in its file.
    async fn authorization(&self) -> Result<HeaderValue, Failure> {
        let (secret, user) = (self.token.clone(), self.user.clone());
        let read = tokio::task::spawn_blocking(move || secret.read(std::path::Path::new("")));
        let token = read.await.map_err(|error| passing(format!("the token can't be read: {error}")))?;
        let token = token.map_err(|error| passing(crate::events::chain(&error)))?;
        let text = match user {
            // RFC 7617, section 2.
            Some(user) => {
                format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{token}")))
            }
            None => format!("Bearer {token}"),
        };
        let mut value = HeaderValue::from_str(&text)
            .ok()
            .filter(|_| !token.is_empty())
            .ok_or_else(|| lasting("the file of the token holds no token"))?;
        value.set_sensitive(true);
        Ok(value)
    }

    fn read(&self, answer: &Answer) -> Result<Value, Failure> {
        let status = answer.status;
        if status.is_success() {
            if !answer.whole {
                return Err(lasting(&format!("the answer is longer than {} KiB", ANSWER_BYTES_MAX / 1024)));
            }
            if answer.body.is_empty() {
                return Ok(Value::Null);
            }
            // A body that broke off is none; asking again may give all of it.
            let read = serde_json::from_slice(&answer.body);
            return read.map_err(|_| passing("the answer is no JSON".to_owned()));
        }
        if status.is_redirection() {
            return Err(lasting(&format!(
                "status {}: redirects are not followed; write where it is now",
                status.as_u16()
            )));
        }
        let why = format!("status {}{}", status.as_u16(), said(&answer.body));
        let pause = self.pause(answer);
        if pause.is_some() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(Failure::Passing { why, retry_after: Some(pause.unwrap_or(PAUSE)) });
        }
        Err(if status.is_server_error() { passing(why) } else { lasting(&why) })
    }

    /// How long the tracker wants to be left alone: `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3), or what GitHub
    /// ("Rate limits for the REST API") and GitLab ("Rate limits") say when nothing is left.
    fn pause(&self, answer: &Answer) -> Option<SignedDuration> {
        let status = answer.status;
        let limited = [StatusCode::FORBIDDEN, StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
        if !limited.contains(&status) {
            return None;
        }
        let text = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let now = self.clock.now();
        let until = |at: Timestamp| at.duration_since(now).max(SignedDuration::from_secs(1));
        if let Some(wish) = text("retry-after") {
            let seconds = wish.parse::<i64>().ok().filter(|seconds| *seconds >= 0).map(SignedDuration::from_secs);
            let date = || jiff::fmt::rfc2822::parse(wish).ok().map(|date| until(date.timestamp()));
            return seconds.or_else(date);
        }
        let spent = [("x-ratelimit-remaining", "x-ratelimit-reset"), ("ratelimit-remaining", "ratelimit-reset")];
        spent.into_iter().find_map(|(left, reset)| {
            let at = text(reset).filter(|_| text(left) == Some("0"))?.parse().ok()?;
            Timestamp::from_second(at).ok().map(until)
        })
    }
}

/// What an API says about a failure: `message` (GitHub, GitLab) or `errorMessages` and `errors` (Jira), bounded.
fn said(body: &[u8]) -> String {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return String::new() };
    let mut parts: Vec<String> = Vec::new();
    for name in ["message", "error", "errorMessages", "errors"] {
        match body.get(name) {
            Some(Value::String(text)) => parts.push(text.clone()),
            Some(Value::Array(items)) if items.is_empty() => {}
            Some(Value::Object(fields)) if fields.is_empty() => {}
            Some(value @ (Value::Array(_) | Value::Object(_))) => parts.push(value.to_string()),
            Some(Value::Null | Value::Bool(_) | Value::Number(_)) | None => {}
        }
    }
    let text: String = parts.join(", ").chars().filter(|c| !c.is_control()).take(SAID_MAX).collect();
    if text.is_empty() { text } else { format!(": {text}") }
}

pub(super) fn passing(why: String) -> Failure {
    Failure::Passing { why, retry_after: None }
}

pub(super) fn lasting(why: &str) -> Failure {
    Failure::Lasting { why: why.to_owned() }
}

/// What an answer should have and has not.
pub(super) fn strange(what: &str) -> Failure {
    lasting(&format!("the answer has no {what}"))
}

/// A whole number of an answer as text.
pub(super) fn number(value: &Value, name: &str) -> Result<String, Failure> {
    value
        .get(name)
        .and_then(Value::as_u64)
        .map(|number| number.to_string())
        .ok_or_else(|| strange(&format!("`{name}`")))
}

/// A text of an answer.
pub(super) fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str, Failure> {
    value.get(name).and_then(Value::as_str).ok_or_else(|| strange(&format!("`{name}`")))
}

/// The address of a ticket for people. It is shown and kept, so it has to be one.
pub(super) fn address<'a>(value: &'a Value, name: &str) -> Result<&'a str, Failure> {
    let url = text(value, name)?;
    let is_address = url.len() <= 1_000
        && (url.starts_with("https://") || url.starts_with("http://"))
        && url.parse::<http::Uri>().is_ok_and(|uri| uri.host().is_some());
    if is_address { Ok(url) } else { Err(strange("address of the ticket")) }
}

/// A text as one segment of a path or as a value of a query (RFC 3986, section 2.3: all but the unreserved are encoded).
pub(super) fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            _ => encoded.extend([format!("%{byte:02X}")]),
        }
    }
    encoded
}
