//! What every answer is wrapped in, and what failures look like.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prograde_observe::evaluate::EvaluateError;
use prograde_observe::store::StoreError;
use serde_json::{Value, json};

use crate::events::chain;
use crate::metrics::Unanswered;

/// Why a request has no answer: Prometheus' kinds of errors, with their statuses.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(super) struct Refused {
    kind: &'static str,
    status: StatusCode,
    text: String,
}

impl Refused {
    pub(super) fn bad_data(text: String) -> Self {
        Self { kind: "bad_data", status: StatusCode::BAD_REQUEST, text }
    }

    pub(super) fn parameter(name: &str, text: impl Into<String>) -> Self {
        Self::bad_data(format!("invalid parameter {name:?}: {}", text.into()))
    }

    pub(super) fn timeout() -> Self {
        let text = "the query took longer than it may; ask for less time, fewer series or larger steps".to_owned();
        Self { kind: "timeout", status: StatusCode::SERVICE_UNAVAILABLE, text }
    }

    pub(super) fn unavailable(text: &str) -> Self {
        Self { kind: "unavailable", status: StatusCode::BAD_GATEWAY, text: text.to_owned() }
    }

    pub(super) fn busy() -> Self {
        let text = "too many queries wait already; ask again in a moment".to_owned();
        Self { kind: "unavailable", status: StatusCode::SERVICE_UNAVAILABLE, text }
    }

    pub(super) fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        let text = chain(error);
        tracing::error!("a query failed: {text}");
        Self { kind: "internal", status: StatusCode::INTERNAL_SERVER_ERROR, text }
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::internal(&error)
    }
}

impl From<Unanswered> for Refused {
    fn from(error: Unanswered) -> Self {
        match error {
            Unanswered::Busy => Self::busy(),
            Unanswered::Ended(_) => Self::internal(&error),
        }
    }
}

impl From<EvaluateError> for Refused {
    fn from(error: EvaluateError) -> Self {
        match error {
            EvaluateError::GivenUp => Self::timeout(),
            EvaluateError::Store(error) => error.into(),
            EvaluateError::TooManySteps { .. }
            | EvaluateError::Step
            | EvaluateError::EndBeforeStart
            | EvaluateError::Kind(_) => Self::bad_data(error.to_string()),
            EvaluateError::TooManySamples { .. }
            | EvaluateError::SameLabels(_)
            | EvaluateError::ManyToMany { .. }
            | EvaluateError::ManyToOne(_)
            | EvaluateError::Count(_)
            | EvaluateError::SmoothingFactor { .. } => {
                Self { kind: "execution", status: StatusCode::UNPROCESSABLE_ENTITY, text: error.to_string() }
            }
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = json!({"status": "error", "errorType": self.kind, "error": self.text});
        (self.status, axum::Json(body)).into_response()
    }
}

/// What is asked for.
#[derive(Debug)]
pub(super) struct Data(Vec<u8>);

impl Data {
    /// Of JSON that is written already.
    pub(super) fn written(json: Vec<u8>) -> Self {
        Self(json)
    }

    pub(super) fn of(value: &Value) -> Self {
        Self(value.to_string().into_bytes())
    }
}

impl IntoResponse for Data {
    fn into_response(self) -> Response {
        let mut body = br#"{"status":"success","data":"#.to_vec();
        body.extend(self.0);
        body.push(b'}');
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}
