//! Manifests and referrers over HTTP.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use futures_util::StreamExt as _;
use tokio::time::{Instant, timeout_at};

use super::Call;
use super::answer::{DIGEST, answer, content_length};
use crate::blob::DOCUMENT_BYTES_MAX;
use crate::document::INDEX;
use crate::registry::access::{Pulled, Shown};
use crate::registry::error::RegistryError;
use crate::registry::manifests::Sent;
use crate::registry::name::{ContentDigest, Reference, RepositoryName, Tag};

/// Tags that one push may give besides the one in its address.
const TAGS_MAX: usize = 10;

impl Call {
    pub(super) async fn manifest(
        self,
        name: &RepositoryName,
        reference: &Reference,
        body: &mut Body,
    ) -> Result<Response, RegistryError> {
        match self.method {
            Method::GET | Method::HEAD => self.pull_manifest(name, reference).await,
            Method::PUT => self.push_manifest(name, reference, body).await,
            Method::DELETE => {
                self.registry.delete_manifest(name, reference).await?;
                answer(StatusCode::ACCEPTED, &[], Body::empty())
            }
            _ => Err(self.unsupported()),
        }
    }

    async fn pull_manifest(self, name: &RepositoryName, reference: &Reference) -> Result<Response, RegistryError> {
        let found = self.registry.manifest(name, reference).await?;
        let (digest, media_type) = (&found.digest, found.media_type.as_str());
        let pulled =
            Pulled { repository: name, reference, digest, media_type, anonymous: self.shown == Shown::Nothing };
        self.registry.admit_pull(&*self.hooks.admission, &pulled).await?;
        let tag = format!("\"{}\"", found.digest);
        let mut headers = vec![(DIGEST, found.digest.to_string()), ("etag", tag.clone())];
        if is_known(&self.headers, &tag) {
            return answer(StatusCode::NOT_MODIFIED, &headers, Body::empty());
        }
        headers.push(("content-type", found.media_type));
        headers.push(("content-length", found.size.to_string()));
        let body = if self.method == Method::HEAD {
            Body::empty()
        } else {
            Body::from(self.registry.document(&found.digest).await?)
        };
        answer(StatusCode::OK, &headers, body)
    }

    async fn push_manifest(
        self,
        name: &RepositoryName,
        reference: &Reference,
        body: &mut Body,
    ) -> Result<Response, RegistryError> {
        let tags = self.query.all("tag").map(Tag::new).collect::<Result<Vec<Tag>, _>>()?;
        if tags.len() > TAGS_MAX {
            let why = format!("{} tags at once, and {TAGS_MAX} are allowed", tags.len());
            return Err(RegistryError::ManifestInvalid { why });
        }
        let content_type = self.headers.get(header::CONTENT_TYPE).map(|value| value.to_str().map(str::to_owned));
        let content_type = content_type
            .transpose()
            .map_err(|_| RegistryError::ManifestInvalid { why: "its `Content-Type` can't be read".to_owned() })?;
        let bytes = document(std::mem::take(body), &self.headers, self.registry.0.settings.silence_max).await?;
        let given: Vec<String> = tags.iter().map(Tag::to_string).collect();
        let sent = Sent { content_type, bytes, tags };
        let stored = self.registry.put_manifest(name, reference, sent, &*self.hooks.admission).await?;
        let mut headers =
            vec![(DIGEST, stored.digest.to_string()), ("location", format!("/v2/{name}/manifests/{}", stored.digest))];
        headers.extend(stored.subject.map(|subject| ("oci-subject", subject.to_string())));
        headers.extend((!given.is_empty()).then(|| ("oci-tag", given.join(", "))));
        answer(StatusCode::CREATED, &headers, Body::empty())
    }

    pub(super) async fn referrers(
        self,
        name: &RepositoryName,
        subject: &ContentDigest,
    ) -> Result<Response, RegistryError> {
        let kind = self.query.get("artifactType").filter(|kind| !kind.is_empty()).map(str::to_owned);
        let filtered = kind.is_some();
        let part = self.registry.referrers(name, subject, kind, self.query.page()?).await?;
        let index = serde_json::json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": part.entries });
        let mut headers = vec![("content-type", INDEX.to_owned())];
        headers.extend(filtered.then(|| ("oci-filters-applied", "artifactType".to_owned())));
        let path = format!("/v2/{name}/referrers/{subject}");
        headers.extend(self.query.next(&path, part.next.as_deref()).map(|link| ("link", link)));
        answer(StatusCode::OK, &headers, Body::from(index.to_string()))
    }
}

/// Whether the client has what it asks for (RFC 9110, section 13.1.2).
pub(super) fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    known.is_some_and(|known| {
        known.split(',').map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == tag)
    })
}

/// A whole body, if it is no larger than a manifest may be.
async fn document(body: Body, headers: &HeaderMap, wait: Duration) -> Result<Vec<u8>, RegistryError> {
    let too_large = || {
        let why = format!("a manifest may have {DOCUMENT_BYTES_MAX} bytes, and this one has more");
        RegistryError::SizeInvalid { why, too_large: true }
    };
    if content_length(headers).is_some_and(|bytes| bytes > DOCUMENT_BYTES_MAX) {
        return Err(too_large());
    }
    let (mut frames, mut bytes, deadline) = (body.into_data_stream(), Vec::new(), Instant::now() + wait);
    let slow = |_| RegistryError::Slow { seconds: wait.as_secs() };
    while let Some(frame) = timeout_at(deadline, frames.next()).await.map_err(slow)? {
        let frame: Bytes = frame.map_err(|error| RegistryError::BrokenOff { why: error.to_string() })?;
        if (bytes.len() + frame.len()) as u64 > DOCUMENT_BYTES_MAX {
            return Err(too_large());
        }
        bytes.extend_from_slice(&frame);
    }
    Ok(bytes)
}
