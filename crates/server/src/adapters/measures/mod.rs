//! Measures metrics: by the embedded time series or Prometheus' HTTP API, by a webhook, by requests to the candidate, or by a job of its image.
//!
//! Everything that answers is taken for hostile: answers are bounded in size and time, redirects are not followed, and no
//! error holds a token or an address. Every answer has a meaning: a number, a verdict, nothing, or an error that says why.

mod job;
pub(crate) mod prometheus;
mod requests;
mod token;
mod webhook;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use prograde_control::ports::{Jobs, MeasureError, Measurement, Measures};
use prograde_model::metric::{Found, MetricSource};

use token::Tokens;

use crate::adapters::client::Client;
use crate::metrics::Asking;
use crate::metrics::elsewhere::Elsewhere;

/// The longest answer of a provider: one number has a kilobyte at the most.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Measures over HTTP.
pub(crate) struct HttpMeasures {
    client: Client,
    tokens: Tokens,
    jobs: Arc<dyn Jobs>,
    store: Arc<Asking>,
    /// Whom queries that name no address are asked of, if not the embedded store.
    elsewhere: Option<Arc<Elsewhere>>,
}

impl HttpMeasures {
    /// `tokens` is the folder whose files may be shown as bearer tokens, if any.
    pub(crate) fn new(tokens: Option<PathBuf>, jobs: Arc<dyn Jobs>, store: Arc<Asking>) -> Self {
        Self { client: Client::new(), tokens: Tokens(tokens), jobs, store, elsewhere: None }
    }

    /// Asks another server where no address is named.
    pub(crate) fn asking(self, elsewhere: Option<Arc<Elsewhere>>) -> Self {
        Self { elsewhere, ..self }
    }
}

#[async_trait]
impl Measures for HttpMeasures {
    async fn measure(&self, measurement: &Measurement) -> Result<Found, MeasureError> {
        match &measurement.source {
            MetricSource::Prometheus(query) => prometheus::measure(self, query, measurement).await,
            MetricSource::Webhook(webhook) => webhook::measure(self, webhook, measurement).await,
            MetricSource::Job(job) => job::measure(&*self.jobs, job, measurement).await,
            MetricSource::Requests(requests) => requests::measure(&self.client, requests, measurement).await,
        }
    }
}

#[cfg(test)]
mod peer_tests;
#[cfg(test)]
mod tests;
