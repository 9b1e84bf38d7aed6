//! Manifests and tags (OCI distribution specification, "Pulling manifests", "Pushing Manifests", "Listing Tags").

use http::{Method, StatusCode, Uri, header};
use prograde_model::Digest;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::error::RegistryError;
use super::http::{Answer, Ask, Payload, target};
use super::reference::{Reference, Repository};
use super::{Client, Wish};
use crate::blob::DOCUMENT_BYTES_MAX;
use crate::document::{DOCKER_INDEX, DOCKER_MANIFEST, INDEX, MANIFEST};
use crate::error::cut;

/// What the registry says of a manifest that it took.
const CONTENT_DIGEST: &str = "docker-content-digest";
/// Set by a registry that keeps the list of referrers itself.
pub(super) const SUBJECT: &str = "oci-subject";
const TAGS_MAX: usize = 100_000;
const PAGES_MAX: usize = 1_000;

/// A manifest as it was sent, its digest checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The bytes of which `digest` is the digest.
    pub bytes: Vec<u8>,
    /// What it is.
    pub media_type: String,
    /// Its digest. Use it for every further question: the tag may move.
    pub digest: Digest,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

impl Client {
    /// The manifest or index with this name.
    pub fn fetch_manifest(&self, reference: &Reference) -> Result<Fetched, RegistryError> {
        let repository = reference.repository();
        let ask = Ask::new(Method::GET, self.uri(repository, &format!("manifests/{}", reference.name()))?);
        let answer = self.call(repository, Wish::Pull, accepting(ask)?)?;
        if answer.status != StatusCode::OK {
            return Err(answer.refused(&format!("read {reference}")));
        }
        fetched(answer, reference.digest())
    }

    /// The digest, media type and size of what has this name, if anything has, without fetching it.
    pub fn head_manifest(&self, reference: &Reference) -> Result<Option<Digest>, RegistryError> {
        let repository = reference.repository();
        let ask = Ask::new(Method::HEAD, self.uri(repository, &format!("manifests/{}", reference.name()))?);
        let answer = self.call(repository, Wish::Pull, accepting(ask)?)?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::OK => match answer.text(CONTENT_DIGEST).map(str::parse) {
                Some(Ok(digest)) => Ok(Some(digest)),
                // The header is optional; what is there can still be read and hashed.
                Some(Err(_)) | None => self.fetch_manifest(reference).map(|fetched| Some(fetched.digest)),
            },
            _ => Err(answer.refused(&format!("read {reference}"))),
        }
    }

    /// Stores a manifest under its digest, and under the reference's tag if it has one. What it names has to be there.
    /// A manifest with a `subject` also becomes one of that subject's referrers, whatever the registry is able to do.
    pub fn push_manifest(
        &self,
        reference: &Reference,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Digest, RegistryError> {
        let digest = Digest::from_sha256(Sha256::digest(bytes).into());
        if let Some(promised) = reference.digest().filter(|promised| **promised != digest) {
            let (promised, found) = (promised.to_string(), digest.to_string());
            return Err(RegistryError::Corrupt { host: "this machine".to_owned(), promised, found });
        }
        let keeps_referrers = self.put_manifest(reference, media_type, bytes, &digest)?;
        if !keeps_referrers {
            self.list_referrer(reference.repository(), media_type, bytes, &digest)?;
        }
        Ok(digest)
    }

    /// Sends it; says whether the registry has taken note of its subject.
    pub(super) fn put_manifest(
        &self,
        reference: &Reference,
        media_type: &str,
        bytes: &[u8],
        digest: &Digest,
    ) -> Result<bool, RegistryError> {
        let repository = reference.repository();
        let name = reference.tag().unwrap_or(digest.as_str());
        let ask = Ask::new(Method::PUT, self.uri(repository, &format!("manifests/{name}"))?);
        let mut ask = ask.payload(media_type, Payload::Bytes(bytes))?;
        // The same bytes under the same name twice are the same as once.
        ask.repeatable = true;
        let answer = self.call(repository, Wish::Push, ask)?;
        if answer.status != StatusCode::CREATED && answer.status != StatusCode::OK {
            return Err(answer.refused(&format!("store {reference}")));
        }
        if let Some(found) = answer.text(CONTENT_DIGEST).filter(|found| *found != digest.as_str()) {
            let (host, promised, found) = (answer.host(), digest.to_string(), cut(found, 100));
            return Err(RegistryError::Corrupt { host, promised, found });
        }
        let keeps_referrers = answer.headers.contains_key(SUBJECT);
        answer.finish();
        Ok(keeps_referrers)
    }

    /// Removes a tag, or a manifest by its digest, which many registries do not allow.
    pub fn delete(&self, reference: &Reference) -> Result<(), RegistryError> {
        let repository = reference.repository();
        let unlisted = match reference.digest() {
            Some(digest) => self.referrer_of(repository, digest)?,
            None => None,
        };
        let ask = Ask::new(Method::DELETE, self.uri(repository, &format!("manifests/{}", reference.name()))?);
        let answer = self.call(repository, Wish::Delete, ask)?;
        if !answer.status.is_success() {
            return Err(answer.refused(&format!("delete {reference}")));
        }
        answer.finish();
        match (unlisted, reference.digest()) {
            (Some(subject), Some(digest)) => self.unlist_referrer(repository, &subject, digest),
            _ => Ok(()),
        }
    }

    /// All tags of a repository.
    pub fn tags(&self, repository: &Repository) -> Result<Vec<String>, RegistryError> {
        let mut tags = Vec::new();
        let mut next = Some(self.uri(repository, "tags/list")?);
        for _ in 0..PAGES_MAX {
            let Some(uri) = next.take() else { return Ok(tags) };
            let answer = self.call(repository, Wish::Pull, Ask::new(Method::GET, uri))?;
            if answer.status != StatusCode::OK {
                return Err(answer.refused(&format!("list the tags of {repository}")));
            }
            next = self.next_page(repository, &answer)?;
            let host = answer.host();
            let bytes = answer.bytes(DOCUMENT_BYTES_MAX, "a list of tags")?;
            let invalid = |error: serde_json::Error| RegistryError::Invalid {
                host,
                what: "a list of tags",
                why: error.to_string(),
            };
            let page: Page = serde_json::from_slice(&bytes).map_err(invalid)?;
            tags.extend(page.tags.unwrap_or_default());
            if tags.len() > TAGS_MAX {
                break;
            }
        }
        if next.is_none() && tags.len() <= TAGS_MAX {
            return Ok(tags);
        }
        Err(RegistryError::TooLarge {
            what: format!("the list of tags of {repository}"),
            limit: format!("{TAGS_MAX} tags"),
        })
    }

    /// Where a list goes on (RFC 8288): only ever at the registry itself.
    pub(super) fn next_page(&self, repository: &Repository, answer: &Answer) -> Result<Option<Uri>, RegistryError> {
        let link = answer.text(header::LINK).filter(|link| link.contains("rel=\"next\"") || link.contains("rel=next"));
        let place = link.and_then(|link| link.split_once('<')?.1.split_once('>')).map(|(place, _)| place);
        let Some(place) = place else { return Ok(None) };
        let next = target(&answer.uri, place)?;
        if !super::http::same_origin(&self.uri(repository, "")?, &next) {
            let why = "its list goes on at another host".to_owned();
            return Err(RegistryError::Misled { host: answer.host(), why });
        }
        Ok(Some(next))
    }
}

fn accepting(ask: Ask<'_>) -> Result<Ask<'_>, RegistryError> {
    ask.header(header::ACCEPT, &[MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX, "*/*;q=0.1"].join(", "))
}

/// Reads a manifest and checks it against everything that is said about it.
pub(super) fn fetched(answer: Answer, promised: Option<&Digest>) -> Result<Fetched, RegistryError> {
    let host = answer.host();
    let said =
        answer.text(header::CONTENT_TYPE).map(|text| text.split(';').next().unwrap_or_default().trim().to_owned());
    let header = answer.text(CONTENT_DIGEST).filter(|text| text.starts_with("sha256:")).map(str::to_owned);
    let bytes = answer.bytes(DOCUMENT_BYTES_MAX, "a manifest")?;
    let digest = Digest::from_sha256(Sha256::digest(&bytes).into());
    let said_before = [promised.map(|promised| promised.as_str().to_owned()), header];
    if let Some(promised) = said_before.into_iter().flatten().find(|promised| *promised != digest.as_str()) {
        return Err(RegistryError::Corrupt { host, promised: cut(&promised, 100), found: digest.into() });
    }
    let invalid = |why: String| RegistryError::Invalid { host: host.clone(), what: "a manifest", why };
    let document: Kind = serde_json::from_slice(&bytes).map_err(|error| invalid(error.to_string()))?;
    let is_known = |text: &String| [MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX].contains(&text.as_str());
    let media_type = match (said.filter(is_known), document.media_type) {
        (Some(said), Some(own)) if said != own => {
            return Err(invalid(format!("it is sent as {said}, and calls itself {:?}", cut(&own, 100))));
        }
        (Some(said), _) => said,
        (None, Some(own)) => own,
        (None, None) => return Err(invalid("it does not say what it is".to_owned())),
    };
    Ok(Fetched { bytes, media_type, digest })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    media_type: Option<String>,
}
