//! Asks a service over HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use prograde_control::ports::Prober;

/// How long a service may take to answer a check.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) struct HttpProber(Client<HttpConnector, Empty<Bytes>>);

impl HttpProber {
    pub(crate) fn new() -> Self {
        Self(Client::builder(TokioExecutor::new()).build_http())
    }
}

#[async_trait]
impl Prober for HttpProber {
    async fn get(&self, address: SocketAddr, path: &str) -> Result<u16, String> {
        let request = http::Request::get(format!("http://{address}{path}"))
            .header(http::header::USER_AGENT, concat!("prograde/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .map_err(|error| error.to_string())?;
        match tokio::time::timeout(TIMEOUT, self.0.request(request)).await {
            Ok(Ok(response)) => Ok(response.status().as_u16()),
            Ok(Err(error)) => Err(crate::events::chain(&error)),
            Err(_) => Err(format!("no answer within {} s", TIMEOUT.as_secs())),
        }
    }
}
