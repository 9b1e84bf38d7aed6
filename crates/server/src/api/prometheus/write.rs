//! Samples that others send: Prometheus by its remote write protocol, OpenTelemetry by OTLP.
//!
//! Source: Prometheus documentation, "Remote write specification 1.0"; OpenTelemetry specification, "OTLP/HTTP".

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
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

/// `otlp/v1/metrics`: an export of metrics, answered in the encoding that it came in.
pub(super) async fn otlp(
    State(context): State<Context>,
    Extension(receiver): Extension<Arc<otlp::Receiver>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refused> {
    let encoding = match otlp::Encoding::of(value(&headers, &header::CONTENT_TYPE)) {
        Ok(encoding) => encoding,
        Err(error) => return Ok(refused(error.status(), &error)),
    };
    let packing = value(&headers, &header::CONTENT_ENCODING).to_owned();
    let exported = context.metrics.take(move |store| {
        let body = otlp::unpacked(&packing, &body)?;
        receiver.receive(&body, encoding, store)
    });
    let (status, body) = match exported.await? {
        Ok(exported) => (200, exported.response(encoding)),
        Err(error) => (error.status(), error.response(encoding, &chain(&error))),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Ok((status, [(header::CONTENT_TYPE, encoding.content_type())], body).into_response())
}

fn value<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Senders write the text to their logs.
fn refused(status: u16, error: &(dyn std::error::Error + 'static)) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, chain(error)).into_response()
}
