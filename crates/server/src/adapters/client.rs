//! One request and its bounded answer. Blocking clients run where blocking is allowed; a request ends by its timeout
//! whatever the other side does, so that none of them stays for ever.

use std::io::Read as _;
use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, Uri};
use prograde_control::ports::MeasureError;
use ureq::Agent;

use crate::events::chain;

/// What is sent.
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// How long everything may take, from the name's resolution to the answer's last byte.
    pub(crate) timeout: Duration,
    /// How much of an answer is read.
    pub(crate) bytes_max: u64,
}

/// What came.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// At most `bytes_max` bytes.
    pub(crate) body: Vec<u8>,
    /// Whether that is all of it.
    pub(crate) whole: bool,
}

/// Sends requests; connections are not kept, because the other side may have changed by the next request.
pub(crate) struct Client {
    /// By the proxy that the environment names, if any.
    far: Agent,
    near: Agent,
}

impl Client {
    pub(crate) fn new() -> Self {
        let config = || {
            Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .max_idle_connections(0)
                .user_agent(concat!("prograde/", env!("CARGO_PKG_VERSION")))
        };
        Self { far: config().build().into(), near: config().proxy(None).build().into() }
    }

    pub(crate) async fn send(&self, ask: Ask) -> Result<Answer, MeasureError> {
        let agent = if is_loopback(&ask.uri) { self.near.clone() } else { self.far.clone() };
        let sent = tokio::task::spawn_blocking(move || send(&agent, ask)).await;
        sent.unwrap_or_else(|error| Err(MeasureError::Unreachable(format!("the request ended badly: {error}"))))
    }
}

/// Whether an address is this machine's own; no proxy is asked for it, and a token may be sent there in clear.
pub(crate) fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

fn send(agent: &Agent, ask: Ask) -> Result<Answer, MeasureError> {
    let timeout = ask.timeout;
    let failed = |error: ureq::Error| told(&error, timeout);
    let mut request = http::Request::new(ask.body);
    *request.method_mut() = ask.method;
    *request.uri_mut() = ask.uri;
    *request.headers_mut() = ask.headers;
    let answered = if request.method() == Method::GET {
        // A GET with a body, even an empty one, is refused by some servers.
        agent.run(agent.configure_request(request.map(|_| ())).timeout_global(Some(timeout)).build())
    } else {
        agent.run(agent.configure_request(request).timeout_global(Some(timeout)).build())
    };
    let mut answer = answered.map_err(failed)?;
    let mut body = Vec::new();
    let mut reader = answer.body_mut().as_reader().take(ask.bytes_max.saturating_add(1));
    reader.read_to_end(&mut body).map_err(|error| failed(error.into()))?;
    let bytes_max = usize::try_from(ask.bytes_max).unwrap_or(usize::MAX);
    let whole = body.len() <= bytes_max;
    body.truncate(bytes_max);
    Ok(Answer { status: answer.status(), headers: std::mem::take(answer.headers_mut()), body, whole })
}

/// What went wrong, without the address: its path or query may be a secret.
fn told(error: &ureq::Error, timeout: Duration) -> MeasureError {
    let timed_out = matches!(error, ureq::Error::Timeout(_))
        || matches!(error, ureq::Error::Io(io) if io.kind() == std::io::ErrorKind::TimedOut);
    if timed_out {
        return MeasureError::Timeout(timeout);
    }
    if matches!(error, ureq::Error::BadUri(_)) {
        return MeasureError::Unreachable("its address can't be used".into());
    }
    MeasureError::Unreachable(format!("not reached: {}", chain(error)))
}
