//! Answers, failures and what stands after the `?`.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

use crate::error::cut;
use crate::registry::Collect;
use crate::registry::error::RegistryError;
use crate::registry::lists::Page;
use crate::registry::name::ContentDigest;

pub(super) const DIGEST: &str = "docker-content-digest";
/// Old clients look for it before they speak to a registry.
const API_VERSION: (&str, &str) = ("docker-distribution-api-version", "registry/2.0");
const GRACE_DEFAULT: Duration = Duration::from_hours(24);

/// An answer with these headers.
pub(super) fn answer(
    status: StatusCode,
    headers: &[(&'static str, String)],
    body: Body,
) -> Result<Response, RegistryError> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let found = response.headers_mut();
    found.insert(HeaderName::from_static(API_VERSION.0), HeaderValue::from_static(API_VERSION.1));
    for (name, value) in headers {
        let value = HeaderValue::from_str(value)
            .map_err(|_| RegistryError::ManifestInvalid { why: format!("`{name}` can't be {:?}", cut(value, 100)) })?;
        found.insert(HeaderName::from_static(name), value);
    }
    Ok(response)
}

/// A JSON document, with where the rest of it is.
pub(super) fn json(document: &Value, link: Option<String>) -> Result<Response, RegistryError> {
    let mut headers = vec![("content-type", "application/json".to_owned())];
    headers.extend(link.map(|link| ("link", link)));
    answer(StatusCode::OK, &headers, Body::from(document.to_string()))
}

/// What a client is told when something is not done.
pub(super) fn failure(error: &RegistryError, head_only: bool) -> Response {
    let (code, status) = error.code();
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut message = error.to_string();
    if error.is_internal() {
        let mut cause = std::error::Error::source(error);
        while let Some(source) = cause {
            message = format!("{message}: {source}");
            cause = source.source();
        }
        tracing::error!("the registry failed: {message}");
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            "the registry failed; its log says why".clone_into(&mut message);
        }
    }
    let detail = if let RegistryError::ReferenceUnknown { missing } = error {
        json!(missing.iter().map(ContentDigest::as_str).collect::<Vec<_>>())
    } else {
        Value::Null
    };
    let body = json!({ "errors": [{ "code": code, "message": message, "detail": detail }] });
    let body = if head_only { Body::empty() } else { Body::from(body.to_string()) };
    let mut headers = vec![("content-type", "application/json".to_owned())];
    if matches!(error, RegistryError::Unauthorized | RegistryError::Stranger { .. }) {
        headers.push(("www-authenticate", "Basic realm=\"prograde\"".to_owned()));
    }
    if matches!(error, RegistryError::TooManyRequests { .. } | RegistryError::NoVerdict { .. }) {
        headers.push(("retry-after", "5".to_owned()));
    }
    if let RegistryError::OutOfOrder { expected, .. } = error {
        headers.push(("range", received(*expected)));
    }
    // What remains of a body that was not read is of no use to the next request.
    if matches!(error, RegistryError::SizeInvalid { too_large: true, .. } | RegistryError::Slow { .. }) {
        headers.push(("connection", "close".to_owned()));
    }
    answer(status, &headers, body).unwrap_or_else(|_| {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        response
    })
}

/// What an upload has received, as `Range` says it: the last byte's number, which there is none of in an empty one. `0-0`
/// is what Docker's registry says then.
pub(super) fn received(bytes: u64) -> String {
    format!("0-{}", bytes.saturating_sub(1))
}

/// What stands after the `?`, decoded.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn new(text: &str) -> Self {
        Self(serde_urlencoded::from_str(text).unwrap_or_default())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Which part of a list is meant.
    pub(super) fn page(&self) -> Result<Page, RegistryError> {
        let number = |text: &str| text.parse().map_err(|_| RegistryError::PageInvalid { text: cut(text, 100) });
        let count = self.get("n").map(number).transpose()?;
        Ok(Page { last: self.get("last").filter(|last| !last.is_empty()).map(str::to_owned), count })
    }

    /// The header `Link` (RFC 8288) to the next part.
    pub(super) fn next(&self, path: &str, last: Option<&str>) -> Option<String> {
        let kept = ["n", "artifactType"].into_iter().filter_map(|name| Some((name, self.get(name)?)));
        let query: Vec<(&str, &str)> = kept.chain([("last", last?)]).collect();
        Some(format!("<{path}?{}>; rel=\"next\"", serde_urlencoded::to_string(query).ok()?))
    }

    /// What is to be collected.
    pub(super) fn collect(&self) -> Result<Collect, RegistryError> {
        let number = |text: &str| text.parse().map_err(|_| RegistryError::PageInvalid { text: cut(text, 100) });
        let grace = self.get("grace-seconds").map(number).transpose()?.map_or(GRACE_DEFAULT, Duration::from_secs);
        let is_set = |name| self.get(name).is_some_and(|value| value != "false");
        Ok(Collect { grace, untagged: is_set("untagged"), dry_run: is_set("dry-run") })
    }
}

/// A number in a header.
pub(super) fn number(value: Option<&HeaderValue>) -> Option<u64> {
    value?.to_str().ok()?.trim().parse().ok()
}

/// `Content-Length`, where it was sent.
pub(super) fn content_length(headers: &axum::http::HeaderMap) -> Option<u64> {
    number(headers.get(header::CONTENT_LENGTH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_part_is_asked_for_as_this_one_was() {
        let query = Query::new("n=2&artifactType=application%2Fx%2By&last=a");
        assert_eq!(query.page().unwrap().count, Some(2));
        let link = query.next("/v2/a/tags/list", Some("b+c"));
        assert_eq!(link.unwrap(), r#"</v2/a/tags/list?n=2&artifactType=application%2Fx%2By&last=b%2Bc>; rel="next""#);
        for bad in ["n=-1", "n=x", "n=", "n=1e3"] {
            assert!(Query::new(bad).page().is_err(), "{bad}");
        }
    }
}
