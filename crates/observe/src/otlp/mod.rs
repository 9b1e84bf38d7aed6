//! Metrics that OpenTelemetry's SDKs and collectors send: OTLP over HTTP, in Protocol Buffers or JSON.
//!
//! Taken are gauges, sums, histograms, summaries, and exponential histograms, which become native ones. Deltas are added up.
//! What can't be told as Prometheus' series is refused by name, and the rest of the request is taken, as the protocol wants
//! it: deltas out of their order, and histograms that say two things. Exemplars are left out.
//!
//! A resource is known by `job` and `instance`; what else it says about itself is in `target_info`.
//!
//! Source: OpenTelemetry specification, "OTLP 1.x", "Prometheus and OpenMetrics compatibility"; opentelemetry-proto 1.x.

mod delta;
mod exponential;
mod json;
mod message;
mod name;
#[cfg(test)]
mod tests;
mod translate;

use std::borrow::Cow;
use std::io::Read as _;
use std::sync::{Mutex, PoisonError};

use prost::Message as _;

use crate::append::{Append, Appended, Incoming, IncomingHistogram};
use crate::store::StoreError;
pub use json::JsonError;
use translate::Sums;

/// The largest request, unpacked.
pub const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How a request is written, and so its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-protobuf`
    Protobuf,
    /// `application/json`
    Json,
}

impl Encoding {
    /// Of a `Content-Type`.
    pub fn of(content_type: &str) -> Result<Self, OtlpError> {
        let media = content_type.split(';').next().unwrap_or_default().trim();
        let known = [Self::Protobuf, Self::Json].into_iter().find(|one| media.eq_ignore_ascii_case(one.content_type()));
        known.ok_or_else(|| OtlpError::Encoding(media.chars().take(100).collect()))
    }

    /// The `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }
}

/// Why a request is not taken at all.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// It is larger than is read.
    #[error("the request has {0} bytes, more than the {REQUEST_BYTES_MAX} that are read: send smaller batches")]
    TooLarge(usize),
    /// It is written otherwise than is read.
    #[error(
        "a request in `{0}` can't be read: send Protocol Buffers (OTEL_EXPORTER_OTLP_METRICS_PROTOCOL=http/protobuf) or \
         JSON (http/json), plain or in gzip"
    )]
    Encoding(String),
    /// It is not gzip.
    #[error("the request can't be unpacked: {0}")]
    Gzip(#[from] std::io::Error),
    /// It is no export request.
    #[error("the request can't be decoded: {0}")]
    Decode(#[from] prost::DecodeError),
    /// It is no export request in JSON.
    #[error("the request can't be read as JSON: {0}")]
    Json(#[from] JsonError),
    /// The sender should try again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl OtlpError {
    /// The HTTP status: after 400 the sender gives up, after 503 it tries again.
    pub fn status(&self) -> u16 {
        match self {
            Self::TooLarge(_) => 413,
            Self::Encoding(_) => 415,
            Self::Gzip(_) | Self::Decode(_) | Self::Json(_) => 400,
            Self::Store(_) => 503,
        }
    }

    /// The body of the answer, a `google.rpc.Status` with a text.
    pub fn response(&self, encoding: Encoding, text: &str) -> Vec<u8> {
        // `INVALID_ARGUMENT` and `UNAVAILABLE` of `google.rpc.Code`.
        let code = if self.status() == 503 { 14 } else { 3 };
        match encoding {
            Encoding::Protobuf => message::Status { code, message: text.to_owned() }.encode_to_vec(),
            Encoding::Json => serde_json::json!({"code": code, "message": text}).to_string().into_bytes(),
        }
    }
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Exported {
    /// What the store says.
    pub appended: Appended,
    /// Data points that were refused.
    pub rejected: u64,
    /// Why; empty if none were.
    pub reasons: Vec<String>,
}

impl Exported {
    /// The body of the answer, an `ExportMetricsServiceResponse`.
    pub fn response(&self, encoding: Encoding) -> Vec<u8> {
        let rejected_data_points = i64::try_from(self.rejected).unwrap_or(i64::MAX);
        let error_message = self.reasons.join("; ");
        let is_whole = self.rejected == 0 && self.reasons.is_empty();
        match encoding {
            Encoding::Protobuf => {
                let partial = message::PartialSuccess { rejected_data_points, error_message };
                message::Response { partial_success: (!is_whole).then_some(partial) }.encode_to_vec()
            }
            Encoding::Json if is_whole => b"{}".to_vec(),
            Encoding::Json => {
                let rejected = rejected_data_points.to_string();
                let partial = serde_json::json!({"rejectedDataPoints": rejected, "errorMessage": error_message});
                serde_json::json!({"partialSuccess": partial}).to_string().into_bytes()
            }
        }
    }
}

/// A request's body as [`Receiver::receive`] takes it, given `Content-Encoding`.
pub fn unpacked<'a>(packing: &str, body: &'a [u8]) -> Result<Cow<'a, [u8]>, OtlpError> {
    if packing.is_empty() || packing.eq_ignore_ascii_case("identity") {
        return Ok(Cow::Borrowed(body));
    }
    if !packing.eq_ignore_ascii_case("gzip") {
        return Err(OtlpError::Encoding(packing.chars().take(100).collect()));
    }
    let mut out = Vec::new();
    // One more than is read, so that a larger one is told from one that just fits.
    flate2::read::MultiGzDecoder::new(body).take(REQUEST_BYTES_MAX as u64 + 1).read_to_end(&mut out)?;
    Ok(Cow::Owned(out))
}

/// Takes requests in, and remembers what has been counted in deltas.
#[derive(Debug, Default)]
pub struct Receiver {
    sums: Mutex<Sums>,
}

impl Receiver {
    /// Stores what a request's body holds. The sums of its deltas count once they are stored.
    pub fn receive(&self, body: &[u8], encoding: Encoding, append: &dyn Append) -> Result<Exported, OtlpError> {
        if body.len() > REQUEST_BYTES_MAX {
            return Err(OtlpError::TooLarge(body.len()));
        }
        let request = match encoding {
            Encoding::Protobuf => message::Request::decode(body)?,
            Encoding::Json => json::request(body)?,
        };
        // Whoever panicked while holding it left deltas that the next request does not keep.
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.end(false);
        let translated = translate::translate(&request, &mut sums);
        let batch = translated.samples.iter().map(|(labels, sample)| Incoming { labels, sample: *sample });
        let histograms = translated.histograms.iter();
        let histograms = histograms.map(|(labels, sample)| IncomingHistogram { labels, sample });
        let appended = append
            .append(&batch.collect::<Vec<_>>())
            .and_then(|appended| Ok(appended.plus(append.append_histograms(&histograms.collect::<Vec<_>>())?)));
        sums.end(appended.is_ok());
        Ok(Exported { appended: appended?, rejected: translated.rejected, reasons: translated.reasons })
    }
}
