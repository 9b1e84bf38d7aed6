//! One request and its answer: bounded in time and size, patient with those who ask for patience.
//!
//! Invariant: `Authorization` goes to the host that it was made for and to no other, and never from TLS to clear text.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, Uri, header};
use serde_json::Value;
use tokio::time::Instant;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, SendBody};

use super::credentials::Secret;
use super::error::RegistryError;
use super::reference::is_loopback;
use crate::error::cut;

/// How much of an answer that says what is wrong is read.
const COMPLAINT_BYTES_MAX: u64 = 64 << 10;
/// How often the same is tried.
const TRIES: u32 = 5;
/// How many redirects are followed.
const REDIRECTS_MAX: usize = 5;
/// The slowest transfer that is worth waiting for, in bytes a second.
const RATE_MIN: u64 = 32 << 10;

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Until a connection stands.
    pub connect: Duration,
    /// Without a byte from the other side.
    pub silence: Duration,
    /// For a small question and its answer.
    pub answer: Duration,
    /// For all waits together that a registry asks for with one request.
    pub busy: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { connect: seconds(10), silence: seconds(60), answer: seconds(120), busy: seconds(120) }
    }
}

/// What is sent along.
#[derive(Debug, Clone, Copy)]
pub(super) enum Payload<'a> {
    Nothing,
    Bytes(&'a [u8]),
    Part { file: &'a Path, from: u64, length: u64 },
}

impl Payload<'_> {
    fn len(&self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Part { length, .. } => *length,
        }
    }
}

/// A request.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) payload: Payload<'a>,
    /// Whether it may be sent again when nobody knows what became of it.
    pub(super) repeatable: bool,
    /// How many bytes may come back; for the time that they may take.
    pub(super) expected: u64,
    /// What must not stand in a message.
    pub(super) secrets: Vec<Secret>,
}

impl<'a> Ask<'a> {
    pub(super) fn new(method: Method, uri: Uri) -> Self {
        let repeatable = matches!(method, Method::GET | Method::HEAD | Method::POST | Method::DELETE);
        let (headers, payload) = (HeaderMap::new(), Payload::Nothing);
        Self { method, uri, headers, payload, repeatable, expected: 0, secrets: Vec::new() }
    }

    pub(super) fn header(mut self, name: header::HeaderName, value: &str) -> Result<Self, RegistryError> {
        let value = value.parse().map_err(|_| RegistryError::Invalid {
            host: host_of(&self.uri),
            what: "a value for a header",
            why: "it holds control characters".to_owned(),
        })?;
        self.headers.insert(name, value);
        Ok(self)
    }

    pub(super) fn payload(mut self, media_type: &str, payload: Payload<'a>) -> Result<Self, RegistryError> {
        self.payload = payload;
        self.header(header::CONTENT_TYPE, media_type)
    }

    pub(super) fn expecting(mut self, bytes: u64) -> Self {
        self.expected = bytes;
        self
    }
}

/// An answer whose body has not been read.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Who answered, after redirects.
    pub(super) uri: Uri,
    body: ureq::Body,
    secrets: Vec<Secret>,
}

impl Answer {
    pub(super) fn host(&self) -> String {
        host_of(&self.uri)
    }

    pub(super) fn text(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(super) fn length(&self) -> Option<u64> {
        self.text(header::CONTENT_LENGTH).and_then(|text| text.parse().ok())
    }

    /// The whole body, if it is no longer than that.
    pub(super) fn bytes(self, max: u64, what: &'static str) -> Result<Vec<u8>, RegistryError> {
        let host = self.host();
        let mut bytes = Vec::new();
        let mut reader = self.body.into_reader().take(max + 1);
        reader.read_to_end(&mut bytes).map_err(|error| broken(&host, &error))?;
        if bytes.len() as u64 > max {
            return Err(RegistryError::TooLarge { what: format!("{what} of {host}"), limit: format!("{max} bytes") });
        }
        Ok(bytes)
    }

    /// The body as it comes.
    pub(super) fn reader(self) -> impl Read {
        self.body.into_reader()
    }

    /// Reads what is left of a short body, so that the connection can be used again.
    pub(super) fn finish(self) {
        let mut rest = self.body.into_reader().take(COMPLAINT_BYTES_MAX);
        // Nobody wants it: whatever is wrong with it only costs the connection.
        let _unread = io::copy(&mut rest, &mut io::sink());
    }

    /// What the registry says is wrong.
    pub(super) fn said(self) -> String {
        let mut body = Vec::new();
        let read = self.body.into_reader().take(COMPLAINT_BYTES_MAX).read_to_end(&mut body);
        // A complaint that breaks off still says something.
        drop(read);
        without(&self.secrets, complaint(&body, self.status))
    }

    /// What the answer means where another one was expected.
    pub(super) fn refused(self, action: &str) -> RegistryError {
        let (host, status) = (self.host(), self.status);
        let (action, why) = (action.to_owned(), self.said());
        match status.as_u16() {
            401 | 403 => RegistryError::Unauthorised { host, action, why },
            404 => RegistryError::NotFound { host, what: action.rsplit(' ').next().unwrap_or_default().to_owned() },
            status => RegistryError::Refused { host, status, action, why },
        }
    }
}

/// What a registry says is wrong (OCI distribution specification, "Error Codes"), or the status' own words.
fn complaint(body: &[u8], status: StatusCode) -> String {
    let document: Option<Value> = serde_json::from_slice(body).ok();
    let listed = document.as_ref().and_then(|document| document.get("errors")).and_then(Value::as_array);
    let said = |error: &Value| {
        let text = |key| error.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        text("message").or_else(|| text("code")).map(str::to_owned)
    };
    let all: Vec<String> = listed.into_iter().flatten().filter_map(said).take(5).collect();
    let plain = || document.as_ref().and_then(|document| document.get("details").or(document.get("error"))?.as_str());
    let words = if all.is_empty() { plain().unwrap_or_default().to_owned() } else { all.join("; ") };
    if words.is_empty() {
        status.canonical_reason().unwrap_or("no reason given").to_lowercase()
    } else {
        cut(&words, 300)
    }
}

fn without(secrets: &[Secret], mut text: String) -> String {
    for secret in secrets.iter().map(Secret::reveal).filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, "***");
    }
    text
}

/// Host and port of an address: what messages say instead of it.
pub(super) fn host_of(uri: &Uri) -> String {
    let host = uri.host().unwrap_or_default();
    uri.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Whether two addresses are served by the same: scheme, host and port.
pub(super) fn same_origin(one: &Uri, other: &Uri) -> bool {
    let port = |uri: &Uri| uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    let same_host = one.host().unwrap_or_default().eq_ignore_ascii_case(other.host().unwrap_or_default());
    one.scheme() == other.scheme() && same_host && port(one) == port(other)
}

/// The address that a `Location` names, and whether it may be gone to: not from TLS to clear text.
pub(super) fn target(from: &Uri, location: &str) -> Result<Uri, RegistryError> {
    let misled = |why: &str| RegistryError::Misled { host: host_of(from), why: why.to_owned() };
    let (scheme, authority) = (from.scheme_str().unwrap_or("https"), from.authority().map_or("", |a| a.as_str()));
    let full = if location.contains("://") {
        location.to_owned()
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    let uri: Uri = full.parse().map_err(|_| misled("it leads to what is no address"))?;
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(misled("it leads to an address with a password in it"));
    }
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if scheme == "http" => Ok(uri),
        _ => Err(misled(&format!("it leads from TLS to clear text at {}", host_of(&uri)))),
    }
}

/// Sends requests.
#[derive(Debug)]
pub(super) struct Http {
    patience: Patience,
    /// By whether TLS is spoken and whether it is this machine, for which no proxy is asked.
    agents: [OnceLock<Agent>; 4],
}

impl Http {
    pub(super) fn new(patience: Patience) -> Self {
        Self { patience, agents: Default::default() }
    }

    fn agent(&self, uri: &Uri) -> Option<&Agent> {
        let (tls, near) = (uri.scheme_str() == Some("https"), is_loopback(uri.host().unwrap_or_default()));
        let slot = self.agents.get(usize::from(tls) + 2 * usize::from(near))?;
        Some(slot.get_or_init(|| {
            let mut config = Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .max_idle_connections_per_host(8)
                .timeout_connect(Some(self.patience.connect))
                .timeout_per_read(Some(self.patience.silence))
                .timeout_per_write(Some(self.patience.silence))
                .user_agent(concat!("prograde/", env!("CARGO_PKG_VERSION")));
            if near {
                config = config.proxy(None);
            }
            if tls {
                config = config.tls_config(TlsConfig::builder().root_certs(roots()).build());
            }
            config.build().into()
        }))
    }

    /// Sends it, again where that is safe and may help, and follows where a reading request is sent on.
    pub(super) fn send(&self, ask: &Ask<'_>) -> Result<Answer, RegistryError> {
        let mut answer = self.patiently(ask, &ask.uri, true)?;
        if !matches!(ask.method, Method::GET | Method::HEAD) {
            return Ok(answer);
        }
        for _ in 0..REDIRECTS_MAX {
            if !matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(answer);
            }
            let misled = |why: &str| RegistryError::Misled { host: answer.host(), why: why.to_owned() };
            let location = answer.text(header::LOCATION).ok_or_else(|| misled("it redirects to nowhere"))?;
            let next = target(&answer.uri, location)?;
            let is_same = same_origin(&ask.uri, &next);
            answer.finish();
            answer = self.patiently(ask, &next, is_same)?;
            // Whoever we were sent to gets no credentials, however it asks for them.
            if answer.status == StatusCode::UNAUTHORIZED && !is_same {
                return Err(answer.refused("read what it was asked for"));
            }
        }
        let why = format!("it redirects more than {REDIRECTS_MAX} times");
        Err(RegistryError::Misled { host: host_of(&ask.uri), why })
    }

    fn patiently(&self, ask: &Ask<'_>, uri: &Uri, with_secret: bool) -> Result<Answer, RegistryError> {
        let mut waited = Duration::ZERO;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let last = attempt >= TRIES;
            let wait = match self.once(ask, uri, with_secret) {
                Ok(answer) if !last && is_busy(&answer, ask) => {
                    let asked = wish(&answer);
                    let wait = asked.unwrap_or_else(|| back_off(attempt));
                    if waited + wait > self.patience.busy {
                        return Err(RegistryError::Busy { host: answer.host(), wait });
                    }
                    answer.finish();
                    wait
                }
                Err(error @ RegistryError::Unreachable { .. }) if !last && ask.repeatable => {
                    let wait = back_off(attempt);
                    if waited + wait > self.patience.busy {
                        return Err(error);
                    }
                    wait
                }
                ended => return ended,
            };
            waited += wait;
            pause(wait);
        }
    }

    fn once(&self, ask: &Ask<'_>, uri: &Uri, with_secret: bool) -> Result<Answer, RegistryError> {
        let host = host_of(uri);
        let unusable = || RegistryError::Misled { host: host.clone(), why: "its address can't be used".to_owned() };
        let agent = self.agent(uri).ok_or_else(unusable)?;
        let mut request = http::Request::new(());
        *request.method_mut() = ask.method.clone();
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = ask.headers.clone();
        if !with_secret {
            request.headers_mut().remove(header::AUTHORIZATION);
        }
        let most = Duration::from_secs(ask.payload.len().max(ask.expected) / RATE_MIN) + self.patience.answer;
        let length = ask.payload.len();
        let answered = match ask.payload {
            Payload::Nothing if matches!(ask.method, Method::GET | Method::HEAD | Method::DELETE) => {
                agent.run(agent.configure_request(request).timeout_global(Some(most)).build())
            }
            Payload::Nothing => {
                let request = request.map(|()| Vec::new());
                agent.run(agent.configure_request(request).timeout_global(Some(most)).build())
            }
            Payload::Bytes(bytes) => {
                let request = request.map(|()| bytes);
                agent.run(agent.configure_request(request).timeout_global(Some(most)).build())
            }
            Payload::Part { file, from, .. } => {
                let told = |source| RegistryError::File { action: "read", path: file.to_owned(), source };
                let mut open = File::open(file).map_err(told)?;
                open.seek(SeekFrom::Start(from)).map_err(told)?;
                let mut part = io::BufReader::with_capacity(256 << 10, open).take(length);
                request.headers_mut().insert(header::CONTENT_LENGTH, length.into());
                let request = request.map(|()| SendBody::from_reader(&mut part));
                // A registry may move what it got to where it stays before it answers.
                let silence = Some(self.patience.silence * 5);
                let request = agent.configure_request(request).timeout_global(Some(most));
                agent.run(request.timeout_per_read(silence).build())
            }
        };
        let (parts, body) = answered.map_err(|error| told(&host, &error))?.into_parts();
        let secrets = ask.secrets.clone();
        Ok(Answer { status: parts.status, headers: parts.headers, uri: uri.clone(), body, secrets })
    }
}

/// What this machine trusts, or what browsers trust where it says nothing.
fn roots() -> RootCerts {
    let found = rustls_native_certs::load_native_certs().certs;
    if found.is_empty() {
        return RootCerts::WebPki;
    }
    let certificates: Vec<Certificate<'static>> =
        found.iter().map(|der| Certificate::from_der(der.as_ref()).to_owned()).collect();
    RootCerts::new_with_certs(&certificates)
}

/// Whether the other side asks to come again, or broke down over something that can be asked again.
fn is_busy(answer: &Answer, ask: &Ask<'_>) -> bool {
    match answer.status.as_u16() {
        429 | 503 => true,
        500 | 502 | 504 => matches!(ask.method, Method::GET | Method::HEAD),
        _ => false,
    }
}

/// How long the other side asks to be left alone: seconds, or a date against its own clock (RFC 9110, section 10.2.3).
fn wish(answer: &Answer) -> Option<Duration> {
    let text = answer.text(header::RETRY_AFTER)?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = |text: &str| jiff::fmt::rfc2822::parse(text).ok().map(|date| date.timestamp());
    let (until, now) = (date(text)?, date(answer.text(header::DATE)?)?);
    Some(Duration::try_from(until.duration_since(now)).unwrap_or_default())
}

/// 100 ms, doubled each time, and up to half of that more, so that many do not come again together.
fn back_off(attempt: u32) -> Duration {
    let base = Duration::from_millis(100 << attempt.min(6));
    let mut random = [0];
    // Without randomness, all come together.
    let _none = getrandom::fill(&mut random);
    base + base.mul_f64(f64::from(random.first().copied().unwrap_or_default()) / 512.0)
}

pub(super) fn pause(wait: Duration) {
    let until = Instant::now() + wait;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::park_timeout(left);
    }
}

/// A body that broke off.
pub(super) fn broken(host: &str, error: &io::Error) -> RegistryError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
    match inner {
        Some(inner) => told(host, inner),
        None if error.kind() == io::ErrorKind::TimedOut => {
            RegistryError::Timeout { host: host.to_owned(), what: "the rest of its answer".to_owned() }
        }
        None => RegistryError::Unreachable { host: host.to_owned(), why: format!("its answer broke off: {error}") },
    }
}

/// What went wrong, without the address: its query may be a secret.
#[expect(clippy::wildcard_enum_match_arm, reason = "whatever else the library says is told in its words")]
fn told(host: &str, error: &ureq::Error) -> RegistryError {
    let host = host.to_owned();
    match error {
        ureq::Error::Timeout(which) => RegistryError::Timeout { host, what: which.to_string() },
        ureq::Error::Io(io) if io.kind() == io::ErrorKind::TimedOut => {
            RegistryError::Timeout { host, what: "silence".to_owned() }
        }
        ureq::Error::HostNotFound => RegistryError::Unreachable { host, why: "its name is not known".to_owned() },
        ureq::Error::BadUri(_) => RegistryError::Misled { host, why: "its address can't be used".to_owned() },
        ureq::Error::Io(io) => RegistryError::Unreachable { host, why: io.to_string() },
        other => RegistryError::Unreachable { host, why: cut(&other.to_string(), 300) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_followed_but_never_into_clear_text() {
        let from: Uri = "https://r.example/v2/a/blobs/uploads/1?x=y".parse().unwrap();
        for (location, to) in [
            ("/v2/b", "https://r.example/v2/b"),
            ("2?a=b", "https://r.example/v2/a/blobs/uploads/2?a=b"),
            ("https://cdn.example/b?sig=1", "https://cdn.example/b?sig=1"),
            ("//cdn.example/b", "https://cdn.example/b"),
        ] {
            assert_eq!(target(&from, location).unwrap().to_string(), to, "{location}");
        }
        for location in ["http://r.example/b", "ftp://r.example/b", "https://user:pw@r.example/b", "https://", "a b"] {
            let error = target(&from, location).unwrap_err();
            assert!(matches!(error, RegistryError::Misled { .. }), "{location}: {error}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let same = |one: &str, other: &str| same_origin(&one.parse().unwrap(), &other.parse().unwrap());
        assert!(same("https://r.example/a", "https://R.example:443/b"));
        for other in ["http://r.example/a", "https://r.example:444/a", "https://r.example.evil/a"] {
            assert!(!same("https://r.example/a", other), "{other}");
        }
    }

    #[test]
    fn complaints_are_told_without_secrets() {
        let status = StatusCode::BAD_REQUEST;
        let body = br#"{"errors": [{"code": "X", "message": "your s3cret is odd"}, {"code": "Y"}]}"#;
        assert_eq!(without(&[Secret::new("s3cret")], complaint(body, status)), "your *** is odd; Y");
        assert_eq!(complaint(b"<html>", status), "bad request");
    }
}
