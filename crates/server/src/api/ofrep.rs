//! Feature flags as OpenFeature clients ask for them: the OpenFeature Remote Evaluation Protocol
//! (github.com/open-feature/protocol, `service/openapi.yaml`, version 0.1.0).
//!
//! The environment and the service stand in front of the protocol's own paths, so that a client is told them with its
//! base URL and nothing else. What is evaluated is what the flight declares that serves there.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router, middleware};
use prograde_model::flag::{Evaluation, EvaluationError, Flags, Setting};
use prograde_model::ids::{EnvironmentName, ServiceName, Target};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::Context;
use crate::auth::{self, FlagReaders};

/// The largest context, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// The protocol's routes.
pub(super) fn router(context: Context, token: &str) -> Router {
    Router::new()
        .route("/ofrep/{environment}/{service}/ofrep/v1/evaluate/flags", post(all))
        .route("/ofrep/{environment}/{service}/ofrep/v1/evaluate/flags/{key}", post(one))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(FlagReaders::new(token), auth::require_flag_reader))
        .with_state(context)
}

/// Why a request can't be evaluated (OFREP's OpenAPI, `evaluationFailure`).
#[derive(Debug)]
struct BadRequest {
    code: &'static str,
    details: String,
}

/// What is evaluated, taken out of the fleet at one moment.
struct Place {
    target: Target,
    flags: Option<Arc<Flags>>,
    settings: BTreeMap<String, Setting>,
}

async fn one(
    State(context): State<Context>,
    Path((environment, service, key)): Path<(EnvironmentName, ServiceName, String)>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let user = match user(body) {
        Ok(user) => user,
        Err(BadRequest { code, details }) => return failure(StatusCode::BAD_REQUEST, Some(&key), code, &details),
    };
    let place = Place::of(&context, Target { environment, service }, Some(&key));
    let Some(flags) = &place.flags else {
        let details = format!("nothing that serves in {} declares flags", place.target);
        return failure(StatusCode::NOT_FOUND, Some(&key), "FLAG_NOT_FOUND", &details);
    };
    match flags.evaluate(&key, place.settings.get(&key), &user, context.control.now()) {
        Ok(evaluation) => Json(success(flags, &key, evaluation)).into_response(),
        Err(error) => {
            let (status, code) = coded(&error);
            failure(status, Some(&key), code, &error.to_string())
        }
    }
}

async fn all(
    State(context): State<Context>,
    Path((environment, service)): Path<(EnvironmentName, ServiceName)>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let user = match user(body) {
        Ok(user) => user,
        Err(BadRequest { code, details }) => return failure(StatusCode::BAD_REQUEST, None, code, &details),
    };
    let place = Place::of(&context, Target { environment, service }, None);
    let body = bulk(&place, &user, context.control.now()).to_string();
    let tag = format!("\"{}\"", hex::encode(Sha256::digest(body.as_bytes())));
    let unchanged = is_named(&headers, &tag);
    let mut answer = if unchanged {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        answer.headers_mut().insert(header::ETAG, tag);
    }
    answer
}

/// Every flag that a client may have; those that are left to the code are left out, as flagd does.
fn bulk(place: &Place, user: &Map<String, Value>, now: jiff::Timestamp) -> Value {
    let Some(flags) = &place.flags else { return json!({"flags": []}) };
    let evaluated = flags.iter().filter_map(|(key, _)| match flags.evaluate(key, place.settings.get(key), user, now) {
        Ok(evaluation) => Some(success(flags, key, evaluation)),
        Err(error) => match coded(&error) {
            (StatusCode::NOT_FOUND, _) => None,
            (_, code) => Some(json!({"key": key, "errorCode": code, "errorDetails": error.to_string()})),
        },
    });
    json!({"flags": evaluated.collect::<Vec<_>>()})
}

impl Place {
    fn of(context: &Context, target: Target, key: Option<&str>) -> Self {
        context.control.with_fleet(|fleet| {
            let flags = fleet.flags(&target).cloned();
            let asked = |set: &&String| key.is_none_or(|key| key == set.as_str());
            let toggles = fleet.toggles(&target).filter(|(set, _)| asked(set));
            let settings = toggles.map(|(set, toggle)| (set.clone(), toggle.to.clone())).collect();
            Self { target, flags, settings }
        })
    }
}

/// The user whom a request describes; nobody in particular where it says nothing.
fn user(body: Result<Bytes, BytesRejection>) -> Result<Map<String, Value>, BadRequest> {
    let bad = |code, details: String| BadRequest { code, details };
    let body = body.map_err(|_| {
        bad("INVALID_CONTEXT", format!("the body can't be read, or has more than {BODY_BYTES_MAX} bytes"))
    })?;
    if body.is_empty() {
        return Ok(Map::new());
    }
    let read: Value = serde_json::from_slice(&body).map_err(|error| bad("PARSE_ERROR", format!("no JSON: {error}")))?;
    let Value::Object(mut request) = read else {
        return Err(bad("PARSE_ERROR", "expected an object with `context`".into()));
    };
    let user = match request.remove("context") {
        None | Some(Value::Null) => return Ok(Map::new()),
        Some(Value::Object(user)) => user,
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            return Err(bad("INVALID_CONTEXT", "`context` must be an object".into()));
        }
    };
    match user.get("targetingKey") {
        None | Some(Value::Null | Value::String(_)) => Ok(user),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Err(bad("INVALID_CONTEXT", "`targetingKey` must be a text".into()))
        }
    }
}

fn success(flags: &Flags, key: &str, evaluation: Evaluation) -> Value {
    let Evaluation { variant, value, reason } = evaluation;
    json!({
        "key": key,
        "reason": reason.as_str(),
        "variant": variant,
        "value": value,
        "metadata": flags.metadata(key),
    })
}

/// What is left to the code is as if it were not there: every client then uses the code's default (flagd.dev, "Flag
/// Definitions", "State").
fn coded(error: &EvaluationError) -> (StatusCode, &'static str) {
    match error {
        EvaluationError::NotFound { .. } | EvaluationError::Disabled { .. } | EvaluationError::NoDefault { .. } => {
            (StatusCode::NOT_FOUND, "FLAG_NOT_FOUND")
        }
        EvaluationError::NoVariant { .. } => (StatusCode::BAD_REQUEST, "PARSE_ERROR"),
        EvaluationError::TooMuch { .. } => (StatusCode::BAD_REQUEST, "INVALID_CONTEXT"),
    }
}

fn failure(status: StatusCode, key: Option<&str>, code: &str, details: &str) -> Response {
    let mut body = json!({"errorCode": code, "errorDetails": details});
    if let (Some(key), Some(fields)) = (key, body.as_object_mut()) {
        fields.insert("key".into(), key.into());
    }
    (status, Json(body)).into_response()
}

/// Whether a client has this answer already (RFC 9110, section 13.1.2).
fn is_named(headers: &HeaderMap, tag: &str) -> bool {
    let named = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    named.flat_map(|list| list.split(',')).map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Map<String, Value>, BadRequest> {
        user(Ok(Bytes::copy_from_slice(body.as_bytes())))
    }

    #[test]
    fn a_context_may_be_left_out() {
        for nobody in ["", "{}", "{\"context\":null}", "{\"context\":{}}"] {
            assert!(read(nobody).unwrap().is_empty(), "{nobody}");
        }
        assert_eq!(read("{\"context\":{\"targetingKey\":\"ada\"},\"x\":1}").unwrap()["targetingKey"], "ada");
    }

    #[test]
    fn hostile_contexts_are_refused() {
        let deep = format!("{{\"context\":{}1{}}}", "[".repeat(60_000 / 2), "]".repeat(60_000 / 2));
        for (body, code) in [
            ("{", "PARSE_ERROR"),
            ("[]", "PARSE_ERROR"),
            ("{\"context\":{\"age\":NaN}}", "PARSE_ERROR"),
            ("{\"context\":{\"age\":1e999}}", "PARSE_ERROR"),
            ("{\"context\":{\"a\":\"\u{0}\"}}", "PARSE_ERROR"),
            (&deep, "PARSE_ERROR"),
            ("{\"context\":[]}", "INVALID_CONTEXT"),
            ("{\"context\":\"ada\"}", "INVALID_CONTEXT"),
            ("{\"context\":{\"targetingKey\":7}}", "INVALID_CONTEXT"),
            ("{\"context\":{\"targetingKey\":{}}}", "INVALID_CONTEXT"),
        ] {
            assert_eq!(read(body).unwrap_err().code, code, "{body:.60}");
        }
    }

    #[test]
    fn a_tag_is_found_among_others() {
        let with =
            |value: &'static str| HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_static(value))]);
        for same in ["\"a\"", "W/\"a\"", "\"b\", \"a\"", "*"] {
            assert!(is_named(&with(same), "\"a\""), "{same}");
        }
        for other in ["", "a", "\"b\""] {
            assert!(!is_named(&with(other), "\"a\""), "{other}");
        }
    }
}
