//! Samples that others send: Prometheus by its remote write protocol, OpenTelemetry by OTLP.
//!
//! Source: Prometheus documentation, "Remote write specification 1.0"; OpenTelemetry specification, "OTLP/HTTP".

use std::io::Read as _;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::read::GzDecoder;
use prograde_observe::{otlp, remote_write};

use super::answer::Refused;
use crate::api::Context;
use crate::events::chain;

/// `write`: a request of the remote write protocol.
pub(super) async fn remote(
    State(context): State<Context>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refused> {
    if value(&headers, &header::CONTENT_ENCODING) != "snappy" {
        let text = "the body must be packed with Snappy, and `Content-Encoding` say so".to_owned();
        return Ok((StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into_response());
    }
    let received = context.metrics.take(move |store| remote_write::receive(&body, store)).await?;
    Ok(match received {
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => refused(error.status(), &error),
    })
}

/// `otlp/v1/metrics`: an export of metrics in Protocol Buffers.
pub(super) async fn otlp(State(context): State<Context>, headers: HeaderMap, body: Bytes) -> Result<Response, Refused> {
    let kind = value(&headers, &header::CONTENT_TYPE);
    if kind != "application/x-protobuf" {
        let text = format!("{kind:?} is not read: set OTEL_EXPORTER_OTLP_METRICS_PROTOCOL=http/protobuf");
        return Ok((StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into_response());
    }
    let encoding = value(&headers, &header::CONTENT_ENCODING).to_owned();
    if !matches!(encoding.as_str(), "" | "identity" | "gzip") {
        let text = format!("a body packed with {encoding:?} is not read: use gzip or nothing");
        return Ok((StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into_response());
    }
    let received = context.metrics.take(move |store| {
        let body = if encoding == "gzip" { unpacked(&body)? } else { body.to_vec() };
        Ok::<_, std::io::Error>(otlp::receive(&body, store))
    });
    Ok(match received.await? {
        Ok(Ok(exported)) => ([(header::CONTENT_TYPE, "application/x-protobuf")], exported.response()).into_response(),
        Ok(Err(error)) => refused(error.status(), &error),
        Err(error) => refused(400, &error),
    })
}

/// One byte more than is read, so that what is too long is told from what is just long enough.
fn unpacked(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    let most = u64::try_from(otlp::REQUEST_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    GzDecoder::new(body).take(most).read_to_end(&mut unpacked)?;
    Ok(unpacked)
}

fn value<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Senders write the text to their logs.
fn refused(status: u16, error: &(dyn std::error::Error + 'static)) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, chain(error)).into_response()
}
