//! What belongs to an image: bills of materials, provenance, signatures (OCI distribution specification, "Listing
//! Referrers" and "Referrers Tag Schema" for registries that do not keep such lists).

use std::collections::BTreeMap;

use http::{Method, StatusCode, header};
use prograde_model::Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::blobs::Source;
use super::error::RegistryError;
use super::http::Ask;
use super::manifests::fetched;
use super::reference::{Reference, Repository};
use super::{Client, Wish};
use crate::blob::DOCUMENT_BYTES_MAX;
use crate::document::{Descriptor, EMPTY, INDEX, MANIFEST};

const REFERRERS_MAX: usize = 10_000;
const PAGES_MAX: usize = 100;
/// How often a list is written again that others have written at the same time.
const TRIES: u32 = 5;
/// The configuration of what needs none (OCI image specification, "Guidance for an Empty Descriptor").
const EMPTY_BYTES: &[u8] = b"{}";

/// What is attached to an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// What it is, such as `application/vnd.cyclonedx+json`.
    pub artifact_type: String,
    /// Its content: media type and bytes of each part.
    pub parts: Vec<(String, Vec<u8>)>,
    /// Annotations of its manifest.
    pub annotations: BTreeMap<String, String>,
}

impl Artifact {
    /// The manifest that ties it to its subject. The same artifact gives the same bytes.
    pub fn manifest(&self, subject: &Descriptor) -> Vec<u8> {
        let plain = Descriptor::new(&subject.media_type, subject.digest.clone(), subject.size);
        let document = ArtifactManifest {
            schema_version: 2,
            media_type: MANIFEST,
            artifact_type: &self.artifact_type,
            config: described(EMPTY, EMPTY_BYTES),
            layers: self.parts.iter().map(|(media_type, bytes)| described(media_type, bytes)).collect(),
            subject: plain,
            annotations: &self.annotations,
        };
        // Strings and numbers always have a form in JSON.
        serde_json::to_vec(&document).unwrap_or_default()
    }
}

fn described(media_type: &str, bytes: &[u8]) -> Descriptor {
    Descriptor::new(media_type, Digest::from_sha256(Sha256::digest(bytes).into()), bytes.len() as u64)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ArtifactManifest<'a> {
    schema_version: u32,
    media_type: &'static str,
    artifact_type: &'a str,
    config: Descriptor,
    layers: Vec<Descriptor>,
    subject: Descriptor,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
}

/// A list of referrers: an index.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    schema_version: u32,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    manifests: Vec<Descriptor>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl List {
    fn empty() -> Self {
        Self { schema_version: 2, media_type: Some(INDEX.to_owned()), manifests: Vec::new(), others: Map::new() }
    }
}

/// What of a manifest a list tells.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Referring {
    #[serde(default)]
    artifact_type: Option<String>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    subject: Option<Descriptor>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// The tag under which the list is where the registry keeps none.
fn fallback(repository: &Repository, subject: &Digest) -> Result<Reference, RegistryError> {
    repository.tagged(&subject.as_str().replace(':', "-"))
}

impl Client {
    /// What belongs to an image, of one type or of all. The answer of a registry without such lists is looked up under
    /// the tag that the specification has for it.
    pub fn referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        let all = match self.api_referrers(repository, subject, artifact_type)? {
            Some(all) => all,
            None => self.fallback_list(repository, subject)?.manifests,
        };
        // A registry is free to ignore the filter.
        let fits = |one: &Descriptor| artifact_type.is_none_or(|wanted| one.artifact_type.as_deref() == Some(wanted));
        Ok(all.into_iter().filter(fits).collect())
    }

    /// The registry's own list; nothing where it keeps none.
    fn api_referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Option<Vec<Descriptor>>, RegistryError> {
        let filter = artifact_type.and_then(|wanted| serde_urlencoded::to_string([("artifactType", wanted)]).ok());
        let query = filter.map(|filter| format!("?{filter}")).unwrap_or_default();
        let mut next = Some(self.uri(repository, &format!("referrers/{subject}{query}"))?);
        let mut found = Vec::new();
        for _ in 0..PAGES_MAX {
            let Some(uri) = next.take() else { return Ok(Some(found)) };
            let ask = Ask::new(Method::GET, uri).header(header::ACCEPT, INDEX)?;
            let answer = self.call(repository, Wish::Pull, ask)?;
            if answer.status == StatusCode::NOT_FOUND || answer.status == StatusCode::METHOD_NOT_ALLOWED {
                answer.finish();
                return Ok(None);
            }
            if answer.status != StatusCode::OK {
                return Err(answer.refused(&format!("list what belongs to {subject}")));
            }
            // A page for people in place of the API, as some registries have it.
            if !answer.text(header::CONTENT_TYPE).is_some_and(|text| text.starts_with(INDEX)) {
                answer.finish();
                return Ok(None);
            }
            next = self.next_page(repository, &answer)?;
            let host = answer.host();
            found.extend(parsed(&host, &answer.bytes(DOCUMENT_BYTES_MAX, "a list of referrers")?)?.manifests);
            if found.len() > REFERRERS_MAX {
                break;
            }
        }
        if next.is_none() && found.len() <= REFERRERS_MAX {
            return Ok(Some(found));
        }
        let limit = format!("{REFERRERS_MAX} entries");
        Err(RegistryError::TooLarge { what: format!("the list of what belongs to {subject}"), limit })
    }

    fn fallback_list(&self, repository: &Repository, subject: &Digest) -> Result<List, RegistryError> {
        let place = fallback(repository, subject)?;
        let ask = Ask::new(Method::GET, self.uri(repository, &format!("manifests/{}", place.name()))?);
        let answer = self.call(repository, Wish::Pull, ask.header(header::ACCEPT, INDEX)?)?;
        if answer.status == StatusCode::NOT_FOUND {
            answer.finish();
            return Ok(List::empty());
        }
        if answer.status != StatusCode::OK {
            return Err(answer.refused(&format!("read {place}")));
        }
        let host = answer.host();
        let fetched = fetched(answer, None)?;
        if fetched.media_type != INDEX {
            let why = format!("{place} is not a list");
            return Err(RegistryError::Invalid { host, what: "a list of referrers", why });
        }
        parsed(&host, &fetched.bytes)
    }

    /// Attaches something to an image of the same repository, which need not be there yet.
    pub fn push_referrer(
        &self,
        repository: &Repository,
        subject: &Descriptor,
        artifact: &Artifact,
    ) -> Result<Descriptor, RegistryError> {
        let parts = artifact.parts.iter().map(|(_, bytes)| bytes.as_slice()).chain([EMPTY_BYTES]);
        for bytes in parts {
            let digest = Digest::from_sha256(Sha256::digest(bytes).into());
            self.push_blob(repository, &digest, Source::Bytes(bytes), &[], &mut |_| {})?;
        }
        let manifest = artifact.manifest(subject);
        let mut descriptor = described(MANIFEST, &manifest);
        self.push_manifest(&repository.at(&descriptor.digest), MANIFEST, &manifest)?;
        descriptor.artifact_type = Some(artifact.artifact_type.clone());
        descriptor.annotations.clone_from(&artifact.annotations);
        Ok(descriptor)
    }

    /// Takes note of a manifest with a subject where the registry does not do it.
    pub(super) fn list_referrer(
        &self,
        repository: &Repository,
        media_type: &str,
        bytes: &[u8],
        digest: &Digest,
    ) -> Result<(), RegistryError> {
        let Ok(Referring { artifact_type, config, subject: Some(subject), annotations }) =
            serde_json::from_slice(bytes)
        else {
            return Ok(());
        };
        let mut entry = Descriptor::new(media_type, digest.clone(), bytes.len() as u64);
        entry.artifact_type =
            artifact_type.filter(|text| !text.is_empty()).or_else(|| config.map(|config| config.media_type));
        entry.annotations = annotations;
        self.change_list(repository, &subject.digest, &|list| {
            let is_new = list.manifests.iter().all(|other| other.digest != entry.digest);
            if is_new {
                list.manifests.push(entry.clone());
            }
            is_new
        })
    }

    /// The subject of a manifest that is about to be deleted, where the registry keeps no list by itself.
    pub(super) fn referrer_of(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<Digest>, RegistryError> {
        let fetched = match self.fetch_manifest(&repository.at(digest)) {
            Err(RegistryError::NotFound { .. }) => return Ok(None),
            fetched => fetched?,
        };
        let subject = match serde_json::from_slice::<Referring>(&fetched.bytes) {
            Ok(Referring { subject: Some(subject), .. }) => subject.digest,
            _ => return Ok(None),
        };
        let is_kept = self.api_referrers(repository, &subject, None)?.is_some();
        Ok((!is_kept).then_some(subject))
    }

    pub(super) fn unlist_referrer(
        &self,
        repository: &Repository,
        subject: &Digest,
        digest: &Digest,
    ) -> Result<(), RegistryError> {
        self.change_list(repository, subject, &|list| {
            let before = list.manifests.len();
            list.manifests.retain(|other| other.digest != *digest);
            list.manifests.len() != before
        })
    }

    /// Changes the list under the tag. There is no lock: who wrote reads again, until the change is there.
    fn change_list(
        &self,
        repository: &Repository,
        subject: &Digest,
        change: &dyn Fn(&mut List) -> bool,
    ) -> Result<(), RegistryError> {
        let place = fallback(repository, subject)?;
        for _ in 0..TRIES {
            let mut list = self.fallback_list(repository, subject)?;
            if !change(&mut list) {
                return Ok(());
            }
            list.media_type = Some(INDEX.to_owned());
            let invalid = |error: serde_json::Error| RegistryError::Invalid {
                host: repository.registry().to_owned(),
                what: "a list of referrers",
                why: error.to_string(),
            };
            let bytes = serde_json::to_vec(&list).map_err(invalid)?;
            let digest = Digest::from_sha256(Sha256::digest(&bytes).into());
            self.put_manifest(&place, INDEX, &bytes, &digest)?;
        }
        let mut list = self.fallback_list(repository, subject)?;
        if change(&mut list) { Err(RegistryError::Contended { subject: subject.clone() }) } else { Ok(()) }
    }
}

fn parsed(host: &str, bytes: &[u8]) -> Result<List, RegistryError> {
    serde_json::from_slice(bytes).map_err(|error| RegistryError::Invalid {
        host: host.to_owned(),
        what: "a list of referrers",
        why: error.to_string(),
    })
}
