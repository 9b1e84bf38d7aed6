//! Asks a target, within bounds: of time, of bytes, of redirects.
//!
//! Whatever the other side does, a request ends by its timeout, and reads no more bytes than the job allows, compressed or
//! not. Credentials go to the target itself and, after a redirect, to its host over TLS at most.
//!
//! Source: Prometheus 2.42, `scrape/scrape.go`; RFC 9110.

mod tls;

use std::fmt;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::BODY_BYTES_MAX;
use super::config::{Credentials, HttpSettings, Secret};
use crate::exposition::{ACCEPT, Format};

pub(crate) use tls::TlsError;

/// As Go's client, which Prometheus uses.
const REDIRECTS_MAX: usize = 10;
/// A file with a password or a token.
const SECRET_BYTES_MAX: u64 = 64 * 1024;
/// How long a connection that nobody uses is kept.
const IDLE: Duration = Duration::from_mins(5);
/// Connections that nobody uses, for each target.
const IDLE_MAX: usize = 2;
/// What the bodies of all scrapes may take together while they arrive, in KiB.
const ARRIVING_KIB_MAX: usize = 256 * 1024;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("no whole answer within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    #[error("the address can't be asked: {0}")]
    Address(String),
    #[error("not reached: {0}")]
    Unreachable(String),
    #[error("the answer broke off: {0}")]
    BrokenOff(String),
    #[error("server returned HTTP status {0}")]
    Status(StatusCode),
    #[error("more than {REDIRECTS_MAX} redirects")]
    Redirects,
    #[error("a redirect that names no address")]
    Nowhere,
    #[error("body size limit exceeded: more than {0} bytes")]
    TooLarge(u64),
    #[error("the body is not gzip: {0}")]
    Gzip(String),
    #[error("an answer in `{0}` can't be read")]
    Encoding(String),
    #[error("the credentials can't be read: {0}")]
    Credentials(String),
}

/// What came, as it came.
pub(crate) struct Fetched {
    pub(crate) format: Format,
    is_gzip: bool,
    body: Vec<u8>,
    bytes_max: u64,
}

/// One job's way to its targets.
pub(crate) struct Client {
    http: HyperClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
    credentials: Option<Credentials>,
    follows: bool,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("credentials", &self.credentials).finish_non_exhaustive()
    }
}

/// The memory for bodies that are arriving, shared by all scrapes.
#[derive(Debug)]
pub(crate) struct Arriving(Semaphore);

impl Default for Arriving {
    fn default() -> Self {
        Self(Semaphore::new(ARRIVING_KIB_MAX))
    }
}

impl Client {
    /// Reads the files that the settings name. Blocks.
    pub(crate) fn new(settings: &HttpSettings) -> Result<Self, TlsError> {
        let connector = tls::connector(&settings.tls)?;
        let mut builder = HyperClient::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE).pool_max_idle_per_host(IDLE_MAX);
        Ok(Self {
            http: builder.build(connector),
            credentials: settings.credentials.clone(),
            follows: settings.follow_redirects,
        })
    }

    /// Asks for the metrics at an address. The permits of the body are given back when it has arrived.
    pub(crate) async fn fetch(
        &self,
        url: &str,
        within: Duration,
        bytes_max: Option<u64>,
        arriving: &Arriving,
    ) -> Result<Fetched, FetchError> {
        let bytes_max = bytes_max.map_or(BODY_BYTES_MAX, |bytes| bytes.min(BODY_BYTES_MAX));
        let whole = async {
            let answer = self.follow(url, within).await?;
            let headers = answer.headers();
            let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let content_type = text(header::CONTENT_TYPE);
            let format = Format::of(content_type).ok_or_else(|| FetchError::Encoding(content_type.to_owned()))?;
            let encoding = text(header::CONTENT_ENCODING);
            let is_gzip = encoding.eq_ignore_ascii_case("gzip");
            if !(is_gzip || encoding.is_empty() || encoding.eq_ignore_ascii_case("identity")) {
                return Err(FetchError::Encoding(encoding.to_owned()));
            }
            let body = collect(answer.into_body(), bytes_max, arriving).await?;
            Ok(Fetched { format, is_gzip, body, bytes_max })
        };
        timeout(within, whole).await.unwrap_or(Err(FetchError::Timeout(within)))
    }

    /// Posts a JSON document. A redirect is not followed: it is a failure as any other status.
    pub(crate) async fn post(&self, url: &str, body: Bytes, within: Duration) -> Result<(), FetchError> {
        let uri: Uri = url.parse().map_err(|error: http::uri::InvalidUri| FetchError::Address(error.to_string()))?;
        let whole = async {
            let mut request =
                Request::post(uri).body(Full::new(body)).map_err(|error| FetchError::Address(error.to_string()))?;
            *request.headers_mut() = self.credentials().await?;
            request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let answer = self.http.request(request).await.map_err(|error| FetchError::Unreachable(chain(&error)))?;
            if answer.status().is_success() { Ok(()) } else { Err(FetchError::Status(answer.status())) }
        };
        timeout(within, whole).await.unwrap_or(Err(FetchError::Timeout(within)))
    }

    /// The first answer that is no redirect.
    async fn follow(&self, url: &str, within: Duration) -> Result<Response<Incoming>, FetchError> {
        let mut uri: Uri =
            url.parse().map_err(|error: http::uri::InvalidUri| FetchError::Address(error.to_string()))?;
        let asked = uri.clone();
        let headers = self.headers(within).await?;
        for _ in 0..=REDIRECTS_MAX {
            let mut request = Request::new(Full::default());
            *request.headers_mut() = headers.clone();
            if !may_know(&asked, &uri) {
                request.headers_mut().remove(header::AUTHORIZATION);
            }
            *request.uri_mut() = uri.clone();
            let answer = self.http.request(request).await.map_err(|error| FetchError::Unreachable(chain(&error)))?;
            let status = answer.status();
            if status == StatusCode::OK {
                return Ok(answer);
            }
            if !(self.follows && matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)) {
                return Err(FetchError::Status(status));
            }
            let location = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            uri = location.and_then(|location| joined(&uri, location)).ok_or(FetchError::Nowhere)?;
        }
        Err(FetchError::Redirects)
    }

    async fn headers(&self, within: Duration) -> Result<HeaderMap, FetchError> {
        let mut headers = self.credentials().await?;
        headers.insert(header::ACCEPT, HeaderValue::from_static(ACCEPT));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        if let Ok(seconds) = HeaderValue::from_str(&within.as_secs_f64().to_string()) {
            headers.insert(HeaderName::from_static("x-prometheus-scrape-timeout-seconds"), seconds);
        }
        Ok(headers)
    }

    /// What says who asks.
    async fn credentials(&self) -> Result<HeaderMap, FetchError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("Prograde/", env!("CARGO_PKG_VERSION"))));
        if let Some(credentials) = &self.credentials {
            let text = match credentials {
                Credentials::Basic { username, password } => {
                    let pair = format!("{username}:{}", read_secret(password).await?);
                    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
                }
                Credentials::Token { scheme, token } => format!("{scheme} {}", read_secret(token).await?),
            };
            let mut value = HeaderValue::from_str(&text)
                .map_err(|_| FetchError::Credentials("they hold what no header may hold".to_owned()))?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        Ok(headers)
    }
}

impl Fetched {
    /// The body as text, unpacked within its limit. Takes time.
    pub(crate) fn unpacked(self) -> Result<Vec<u8>, FetchError> {
        if !self.is_gzip {
            return Ok(self.body);
        }
        let mut out = Vec::new();
        let unpacking = flate2::read::MultiGzDecoder::new(self.body.as_slice());
        unpacking
            .take(self.bytes_max.saturating_add(1))
            .read_to_end(&mut out)
            .map_err(|error| FetchError::Gzip(error.to_string()))?;
        if out.len() as u64 > self.bytes_max { Err(FetchError::TooLarge(self.bytes_max)) } else { Ok(out) }
    }
}

/// Reads a body, no more than is allowed, and never more than there is memory for: then it waits, within its timeout.
async fn collect(mut body: Incoming, bytes_max: u64, arriving: &Arriving) -> Result<Vec<u8>, FetchError> {
    let mut out: Vec<u8> = Vec::new();
    let mut permits: Option<SemaphorePermit<'_>> = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| FetchError::BrokenOff(chain(&error)))?;
        let Ok(data) = frame.into_data() else { continue };
        if (out.len() + data.len()) as u64 > bytes_max {
            return Err(FetchError::TooLarge(bytes_max));
        }
        let held = permits.as_ref().map_or(0, SemaphorePermit::num_permits);
        let wanted = (out.len() + data.len()).div_ceil(1024).saturating_sub(held);
        let more = arriving.0.acquire_many(u32::try_from(wanted).unwrap_or(u32::MAX)).await;
        let more = more.map_err(|_| FetchError::BrokenOff("the scrape was stopped".to_owned()))?;
        match &mut permits {
            Some(permits) => permits.merge(more),
            None => permits = Some(more),
        }
        out.extend_from_slice(&data);
    }
    Ok(out)
}

async fn read_secret(secret: &Secret) -> Result<String, FetchError> {
    let path: &Path = match secret {
        Secret::Text(text) => return Ok(text.clone()),
        Secret::File(path) => path,
    };
    let unreadable = |why: String| FetchError::Credentials(format!("{}: {why}", path.display()));
    let metadata = tokio::fs::metadata(path).await.map_err(|error| unreadable(error.to_string()))?;
    if metadata.len() > SECRET_BYTES_MAX {
        return Err(unreadable(format!("more than {SECRET_BYTES_MAX} bytes")));
    }
    let text = tokio::fs::read_to_string(path).await.map_err(|error| unreadable(error.to_string()))?;
    Ok(text.trim().to_owned())
}

/// Whether credentials for one address may be sent to another: the same, or another port of the same host over TLS.
fn may_know(asked: &Uri, uri: &Uri) -> bool {
    let is_same = asked.scheme() == uri.scheme() && asked.authority() == uri.authority();
    is_same || (asked.host() == uri.host() && uri.scheme_str() == Some("https"))
}

/// Where a redirect leads.
fn joined(from: &Uri, location: &str) -> Option<Uri> {
    let location = location.split('#').next().unwrap_or_default();
    let (scheme, authority) = (from.scheme_str()?, from.authority()?);
    let absolute = if location.starts_with("http://") || location.starts_with("https://") {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    absolute.parse().ok()
}

/// An error with all that caused it.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn redirects_lead_where_they_say() {
        for (location, wanted) in [
            ("https://b/x", "https://b/x"),
            ("//b/x", "http://b/x"),
            ("/x#y", "http://a:1/x"),
            ("x?y=1", "http://a:1/metrics/x?y=1"),
        ] {
            assert_eq!(joined(&uri("http://a:1/metrics/all"), location), Some(uri(wanted)), "{location}");
        }
        assert_eq!(joined(&uri("http://a:1/"), "http://[b"), None);
    }

    #[test]
    fn credentials_stay_with_the_target() {
        let asked = uri("http://a:1/metrics");
        assert!(may_know(&asked, &uri("http://a:1/other")) && may_know(&asked, &uri("https://a/metrics")));
        for other in ["http://b:1/metrics", "http://a:2/metrics", "https://b:1/metrics"] {
            assert!(!may_know(&asked, &uri(other)), "{other}");
        }
        assert!(!may_know(&uri("https://a/metrics"), &uri("http://a/metrics")));
    }
}
