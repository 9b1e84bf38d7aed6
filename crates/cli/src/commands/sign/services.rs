//! The services that sign without a key, and GitHub's that gives its jobs a token, spoken to over HTTP. Waits, answers and
//! repetitions are bounded; no redirect is followed, because what is sent may hold a token.

use std::io::Read as _;
use std::time::Duration;

use prograde_sign::Cause;
use prograde_sign::keyless::{Port, Request, Token, is_address};
use serde::Deserialize;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body};

/// How long a connection may take.
const CONNECT_WAIT: Duration = Duration::from_secs(15);
/// How long one answer may take: a log answers when its next checkpoint has the entry, which takes some seconds.
const WHOLE_WAIT: Duration = Duration::from_mins(1);
/// The most that is read of an answer, in bytes.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// How often the same is tried.
const TRIES: u32 = 3;
/// How long is waited before it is tried again, each time twice as long.
const PAUSE: Duration = Duration::from_millis(500);

/// Why a service gave no answer.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error("it can't be reached")]
    Unreachable(#[source] Box<ureq::Error>),
    #[error("it answered with status {status}: {why}")]
    Refused { status: u16, why: String },
    #[error("its answer breaks off")]
    Broken(#[source] std::io::Error),
    #[error("its answer has more than {ANSWER_BYTES_MAX} bytes")]
    TooLarge,
    #[error("its answer holds no token")]
    NoToken,
    #[error("its address has to begin with `https://`, or to be on this machine")]
    Address,
}

impl Unanswered {
    /// Whether it may go better a moment later.
    fn passes(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Broken(_) => true,
            Self::Refused { status, .. } => matches!(status, 429 | 502 | 503 | 504),
            Self::TooLarge | Self::NoToken | Self::Address => false,
        }
    }
}

fn agent() -> Agent {
    let found = rustls_native_certs::load_native_certs().certs;
    let certificates: Vec<Certificate<'static>> =
        found.iter().map(|der| Certificate::from_der(der.as_ref()).to_owned()).collect();
    let roots = if found.is_empty() { RootCerts::WebPki } else { RootCerts::new_with_certs(&certificates) };
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .tls_config(TlsConfig::builder().root_certs(roots).build())
        .user_agent(concat!("prograde/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(CONNECT_WAIT))
        .timeout_global(Some(WHOLE_WAIT))
        .build();
    config.new_agent()
}

fn again<T>(ask: impl Fn() -> Result<T, Unanswered>) -> Result<T, Unanswered> {
    let mut pause = PAUSE;
    for _ in 1..TRIES {
        match ask() {
            Err(error) if error.passes() => std::thread::park_timeout(pause),
            done => return done,
        }
        pause *= 2;
    }
    ask()
}

fn answer(answer: Result<ureq::http::Response<Body>, ureq::Error>) -> Result<Vec<u8>, Unanswered> {
    let answer = answer.map_err(|error| Unanswered::Unreachable(Box::new(error)))?;
    let status = answer.status();
    let mut bytes = Vec::new();
    let mut reader = answer.into_body().into_reader().take(ANSWER_BYTES_MAX + 1);
    reader.read_to_end(&mut bytes).map_err(Unanswered::Broken)?;
    if !status.is_success() {
        return Err(Unanswered::Refused { status: status.as_u16(), why: complaint(&bytes) });
    }
    if bytes.len() as u64 > ANSWER_BYTES_MAX { Err(Unanswered::TooLarge) } else { Ok(bytes) }
}

/// What a service says is wrong: the `message` of Google's RPC status, or the beginning of its text.
fn complaint(bytes: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Status {
        message: String,
    }
    let text = match serde_json::from_slice::<Status>(bytes) {
        Ok(status) => status.message,
        Err(_) => String::from_utf8_lossy(bytes).into_owned(),
    };
    let line = crate::printer::one_line(&text);
    line.trim().chars().take(300).collect()
}

/// The services, for one signature.
pub(super) struct Http<'a> {
    agent: Agent,
    token: &'a Token,
}

impl<'a> Http<'a> {
    /// `token` is what must not stand in messages.
    pub(super) fn new(token: &'a Token) -> Self {
        Self { agent: agent(), token }
    }
}

impl Port for Http<'_> {
    fn post(&self, request: &Request<'_>) -> Result<Vec<u8>, Cause> {
        let sent = again(|| {
            let ask = self.agent.post(&request.url).header("content-type", request.content_type);
            answer(ask.header("accept", request.accept).send(request.body))
        });
        sent.map_err(|error| match error {
            Unanswered::Refused { status, why } => {
                Unanswered::Refused { status, why: self.token.hidden_in(&why) }.into()
            }
            error @ (Unanswered::Unreachable(_)
            | Unanswered::Broken(_)
            | Unanswered::TooLarge
            | Unanswered::NoToken
            | Unanswered::Address) => error.into(),
        })
    }
}

/// The token that GitHub gives a job with the permission `id-token: write`, for Sigstore.
pub(super) fn github(url: &str, bearer: &str) -> Result<String, Cause> {
    #[derive(Deserialize)]
    struct Given {
        value: String,
    }
    if !is_address(url) {
        return Err(Unanswered::Address.into());
    }
    let separator = if url.contains('?') { '&' } else { '?' };
    let (url, agent) = (format!("{url}{separator}audience=sigstore"), agent());
    let bytes = again(|| answer(agent.get(&url).header("authorization", format!("bearer {bearer}")).call()))?;
    let given: Given = serde_json::from_slice(&bytes).map_err(|_| Unanswered::NoToken)?;
    Ok(given.value)
}
