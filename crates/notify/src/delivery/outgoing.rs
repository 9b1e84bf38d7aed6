//! Requests over HTTP, each with a bounded time and a bounded answer.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use jiff::SignedDuration;
use prograde_model::alert::Failure;
use serde_json::Value;
use ureq::Agent;

use crate::config::{Authorization, Http, Secret};

/// How much of an answer is read, in bytes: enough to say what is wrong.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
/// The longest that a receiver's wish to be left alone is heeded.
const RETRY_AFTER_MAX: SignedDuration = SignedDuration::from_hours(1);

/// What is sent.
pub(super) struct Outgoing {
    pub(super) method: http::Method,
    pub(super) url: String,
    pub(super) body: Value,
    /// What is shown, if anything.
    pub(super) authorization: Option<String>,
    pub(super) follow_redirects: bool,
    pub(super) proxy_url: Option<String>,
}

impl Outgoing {
    /// A POST as a receiver's `http_config` says.
    pub(super) fn post(url: String, body: Value, http: &Http, folder: &Path) -> Result<Self, Failure> {
        let authorization = http.authorization.as_ref().map(|shown| authorization(shown, folder)).transpose()?;
        let proxy_url = http.proxy_url.as_ref().map(|url| secret(url, folder)).transpose()?;
        let follow_redirects = http.follow_redirects;
        Ok(Self { method: http::Method::POST, url, body, authorization, follow_redirects, proxy_url })
    }
}

/// A secret, read now. One that can't be had may be there later.
pub(super) fn secret(secret: &Secret, folder: &Path) -> Result<String, Failure> {
    secret.read(folder).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        Failure::Passing { why: format!("{error}{cause}"), retry_after: None }
    })
}

fn authorization(shown: &Authorization, folder: &Path) -> Result<String, Failure> {
    Ok(match shown {
        Authorization::Basic { username, password } => {
            let password = password.as_ref().map(|password| secret(password, folder)).transpose()?;
            let both = format!("{username}:{}", password.unwrap_or_default());
            format!("Basic {}", base64(both.as_bytes()))
        }
        Authorization::Other { scheme, credentials } => format!("{scheme} {}", secret(credentials, folder)?),
    })
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Sends requests; connections are not kept, because notifications are far apart.
#[derive(Debug)]
pub(super) struct Client(());

impl Client {
    pub(super) fn new() -> Self {
        Self(())
    }

    /// Sends one request. An address never stands in what is said of a failure: it may be a secret.
    #[expect(clippy::unused_self, reason = "a client is what is asked to send; its agents depend on the request")]
    pub(super) fn send(&self, outgoing: &Outgoing, timeout: Duration) -> Result<(), Failure> {
        let agent = agent(outgoing, timeout)?;
        let lasting = |why: &str| Failure::Lasting { why: why.to_owned() };
        let mut request = http::Request::builder()
            .method(outgoing.method.clone())
            .uri(&outgoing.url)
            .header("content-type", "application/json");
        if let Some(shown) = &outgoing.authorization {
            request = request.header("authorization", shown);
        }
        let request = request.body(outgoing.body.to_string());
        let request = request.map_err(|_| lasting("its address or what it is shown can't be sent"))?;
        let answered = agent.run(request).map_err(|error| told(&error, timeout))?;
        let status = answered.status().as_u16();
        let retry_after = answered.headers().get("retry-after").and_then(|value| value.to_str().ok()).and_then(wish);
        let mut body = Vec::new();
        let read = answered.into_body().into_reader().take(ANSWER_BYTES_MAX).read_to_end(&mut body);
        // What was taken was taken, also if the answer's body breaks off.
        drop(read);
        match Failure::of_status(status, &String::from_utf8_lossy(&body), retry_after) {
            None => Ok(()),
            Some(failure) => Err(failure),
        }
    }
}

fn agent(outgoing: &Outgoing, timeout: Duration) -> Result<Agent, Failure> {
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(if outgoing.follow_redirects { 5 } else { 0 })
        .max_redirects_will_error(false)
        .max_idle_connections(0)
        .timeout_global(Some(timeout))
        .user_agent(concat!("prograde/", env!("CARGO_PKG_VERSION")));
    if let Some(url) = &outgoing.proxy_url {
        let proxy = ureq::Proxy::new(url);
        let proxy = proxy.map_err(|_| Failure::Lasting { why: "`proxy_url` is not a proxy's address".into() })?;
        config = config.proxy(Some(proxy));
    } else if is_near(&outgoing.url) {
        config = config.proxy(None);
    }
    Ok(config.build().into())
}

/// Whether an address is this machine's own, for which no proxy is asked.
fn is_near(url: &str) -> bool {
    let uri: Option<http::Uri> = url.parse().ok();
    let host = uri.as_ref().and_then(http::Uri::host).unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[expect(clippy::wildcard_enum_match_arm, reason = "whatever else the client says is told in its words")]
fn told(error: &ureq::Error, timeout: Duration) -> Failure {
    let passing = |why: String| Failure::Passing { why, retry_after: None };
    match error {
        ureq::Error::Timeout(_) => passing(format!("no answer within {} s", timeout.as_secs())),
        ureq::Error::Io(io) if io.kind() == std::io::ErrorKind::TimedOut => {
            passing(format!("no answer within {} s", timeout.as_secs()))
        }
        ureq::Error::BadUri(_) => Failure::Lasting { why: "its address can't be used".into() },
        ureq::Error::Io(io) => passing(format!("not reached: {io}")),
        ureq::Error::HostNotFound => passing("its host is not known".into()),
        ureq::Error::ConnectionFailed => passing("no connection".into()),
        other => passing(format!("not reached: {other}")),
    }
}

/// How long a receiver wants to be left alone: seconds or a date (RFC 9110, section 10.2.3). A date is taken for the time
/// until then only by whoever knows the time, and no server that limits rates sends one; it is left out.
fn wish(text: &str) -> Option<SignedDuration> {
    let seconds: i64 = text.trim().parse().ok().filter(|seconds| *seconds >= 0)?;
    Some(SignedDuration::from_secs(seconds).min(RETRY_AFTER_MAX))
}
