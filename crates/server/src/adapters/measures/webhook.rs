//! A webhook that judges: it is sent what is judged as JSON, and answers 200 with `{"verdict", "value", "reason"}`.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use prograde_control::ports::{MeasureError, Measurement};
use prograde_model::metric::{Found, Told, Webhook};
use serde::Deserialize;
use serde_json::json;

use super::{ANSWER_BYTES_MAX, HttpMeasures};
use crate::adapters::client::Ask;

/// Asks once.
pub(super) async fn measure(
    measures: &HttpMeasures,
    webhook: &Webhook,
    measurement: &Measurement,
) -> Result<Found, MeasureError> {
    let unusable = |what: &str| MeasureError::Answer(format!("its {what} can't be used"));
    let uri = webhook.url.parse().map_err(|_| unusable("address"))?;
    let mut headers = HeaderMap::new();
    for (name, value) in &webhook.headers {
        let name = HeaderName::try_from(name).map_err(|_| unusable("header"))?;
        headers.insert(name, HeaderValue::try_from(value).map_err(|_| unusable("header"))?);
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    measures.tokens.add(&mut headers, &uri, webhook.bearer_token_file.as_deref()).await?;
    let body = json!({
        "flight": measurement.flight,
        "service": measurement.target.service,
        "environment": measurement.target.environment,
        "commit": measurement.commit,
        "step": measurement.step,
        "weight": measurement.weight,
        "since": measurement.since.to_string(),
    });
    let (body, timeout, bytes_max) = (body.to_string().into_bytes(), measurement.timeout, ANSWER_BYTES_MAX);
    let answer = measures.client.send(Ask { method: Method::POST, uri, headers, body, timeout, bytes_max }).await?;
    if answer.status != StatusCode::OK {
        let detail = if answer.status.is_redirection() { "redirects are not followed" } else { "" };
        return Err(MeasureError::Refused { status: answer.status.as_u16(), detail: detail.to_owned() });
    }
    if !answer.whole {
        return Err(MeasureError::Answer(format!("the answer is longer than {} KiB", ANSWER_BYTES_MAX / 1024)));
    }
    read(&answer.body)
}

#[derive(Deserialize)]
struct HookAnswer {
    #[serde(default)]
    verdict: Option<Told>,
    #[serde(default)]
    value: Option<f64>,
    #[serde(default)]
    reason: String,
}

fn read(body: &[u8]) -> Result<Found, MeasureError> {
    let expected = "expected JSON like {\"verdict\":\"pass|fail|inconclusive\",\"value\":1.0,\"reason\":\"...\"}";
    let strange = || MeasureError::Answer(format!("the answer is not understood: {expected}"));
    let answer: HookAnswer = serde_json::from_slice(body).map_err(|_| strange())?;
    match (answer.verdict, answer.value) {
        (Some(told), value) => Ok(Found::Judged { told, value, reason: answer.reason }),
        (None, Some(value)) => Ok(Found::number(value)),
        (None, None) => Err(strange()),
    }
}
