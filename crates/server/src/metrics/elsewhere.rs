//! Another server with Prometheus' HTTP API, asked in place of the embedded store: what judges a canary, what is left of
//! budgets, and whoever asks this server in PromQL.
//!
//! Its answers are bounded in size and time; it is shown the token of one file, over TLS or on this machine.

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, Uri, header};
use jiff::Timestamp;
use prograde_control::ports::MeasureError;
use prograde_model::metric::Found;

use crate::adapters::client::{Answer, Ask, Client, is_loopback};
use crate::adapters::measures::prometheus;

/// The largest answer that is passed on: a dashboard's panel has a million numbers.
const FORWARD_BYTES_MAX: u64 = 64 << 20;
/// The largest token.
const TOKEN_BYTES_MAX: u64 = 16 * 1024;

/// The other server.
pub(crate) struct Elsewhere {
    url: String,
    token_file: Option<PathBuf>,
    client: Client,
}

impl Elsewhere {
    /// At an address such as `https://prometheus.example`, with a bearer token that is read for each request.
    pub(crate) fn new(url: &str, token_file: Option<PathBuf>) -> Self {
        Self { url: url.trim_end_matches('/').to_owned(), token_file, client: Client::new() }
    }

    /// The one number that a query gives at a time.
    pub(crate) async fn number(&self, query: &str, at: Timestamp, timeout: Duration) -> Result<Found, MeasureError> {
        let (uri, headers) = self.address("/api/v1/query").await?;
        prometheus::ask(&self.client, (uri, headers), query, at, timeout).await
    }

    /// Passes a question on, as it is.
    pub(crate) async fn forward(&self, path: &str, form: Vec<u8>, timeout: Duration) -> Result<Answer, MeasureError> {
        // Only questions that may be long can be posted.
        let posts =
            ["/api/v1/query", "/api/v1/query_range", "/api/v1/query_exemplars", "/api/v1/series", "/api/v1/labels"];
        let (method, path) = if posts.contains(&path) {
            (Method::POST, path.to_owned())
        } else {
            (Method::GET, format!("{path}?{}", String::from_utf8_lossy(&form)))
        };
        let (uri, mut headers) = self.address(&path).await?;
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let body = if method == Method::POST { form } else { Vec::new() };
        let answer =
            self.client.send(Ask { method, uri, headers, body, timeout, bytes_max: FORWARD_BYTES_MAX }).await?;
        if answer.whole { Ok(answer) } else { Err(MeasureError::Answer("the answer is longer than 64 MiB".to_owned())) }
    }

    async fn address(&self, path: &str) -> Result<(Uri, HeaderMap), MeasureError> {
        let refused = |why: String| MeasureError::Answer(why);
        let uri: Uri =
            format!("{}{path}", self.url).parse().map_err(|_| refused("its address can't be used".to_owned()))?;
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(file) = &self.token_file {
            if uri.scheme_str() != Some("https") && !is_loopback(&uri) {
                return Err(refused("a bearer token is not sent in clear: use https".to_owned()));
            }
            let unreadable = |why: String| refused(format!("the token in {} can't be read: {why}", file.display()));
            let metadata = tokio::fs::metadata(file).await.map_err(|error| unreadable(error.to_string()))?;
            if metadata.len() > TOKEN_BYTES_MAX {
                return Err(unreadable(format!("it has more than {TOKEN_BYTES_MAX} bytes")));
            }
            let token = tokio::fs::read_to_string(file).await.map_err(|error| unreadable(error.to_string()))?;
            let value = HeaderValue::try_from(format!("Bearer {}", token.trim()));
            let mut value = value.map_err(|_| unreadable("it is no token".to_owned()))?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        Ok((uri, headers))
    }
}
