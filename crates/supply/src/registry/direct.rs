//! A repository of the registry, read and written by the process that has it: what it says itself about its images goes
//! the way of every manifest, and asks nobody.

use prograde_model::Digest;

use crate::error::SupplyError;
use crate::registry::database::Row;
use crate::registry::error::RegistryError;
use crate::registry::hash::digest_of;
use crate::registry::lists::Page;
use crate::registry::manifest;
use crate::registry::name::{Algorithm, ContentDigest, Reference, RepositoryName, Tag};
use crate::registry::{Inner, Registry, database};

/// One repository. All of its methods block.
#[derive(Clone)]
pub struct Direct {
    registry: Registry,
    repository: RepositoryName,
}

impl std::fmt::Debug for Direct {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Direct({})", self.repository)
    }
}

impl Registry {
    /// A repository, from within.
    pub fn direct(&self, repository: RepositoryName) -> Direct {
        Direct { registry: self.clone(), repository }
    }
}

impl Direct {
    fn inner(&self) -> &Inner {
        &self.registry.0
    }

    fn find(&self, name: &str) -> Result<Option<Row>, RegistryError> {
        match self.inner().find_manifest(&self.repository, &Reference::new(name)?) {
            Err(RegistryError::ManifestUnknown { .. } | RegistryError::NameUnknown { .. }) => Ok(None),
            found => found.map(Some),
        }
    }

    /// A manifest's digest, by a tag or digest; none where there is none.
    pub fn digest(&self, name: &str) -> Result<Option<ContentDigest>, RegistryError> {
        Ok(self.find(name)?.map(|found| found.digest))
    }

    /// A manifest's media type and bytes, by a tag or digest; none where there is none.
    pub fn manifest(&self, name: &str) -> Result<Option<(String, Vec<u8>)>, RegistryError> {
        let Some(found) = self.find(name)? else { return Ok(None) };
        let bytes = self.inner().files.document(&found.digest)?;
        Ok(Some((found.media_type, bytes)))
    }

    /// All tags, unless there are more than `max`.
    pub fn tags(&self, max: usize) -> Result<Vec<String>, RegistryError> {
        let (mut page, mut tags) = (Page::default(), Vec::new());
        loop {
            let part = self.inner().tags(&self.repository, &page)?;
            tags.extend(part.entries);
            if tags.len() > max {
                let what = format!("the list of tags of {}", self.repository);
                return Err(SupplyError::TooLarge { what, limit: format!("{max} tags") }.into());
            }
            match part.next {
                Some(last) => page.last = Some(last),
                None => return Ok(tags),
            }
        }
    }

    /// A blob of at most `bytes_max` bytes, checked.
    pub fn blob(&self, digest: &Digest, bytes_max: u64) -> Result<Vec<u8>, RegistryError> {
        let digest = ContentDigest::from(digest);
        let size = self.inner().sighted(&self.repository, &digest)?;
        if size > bytes_max {
            let (what, limit) = (format!("the blob {digest}"), format!("{bytes_max} bytes"));
            return Err(SupplyError::TooLarge { what, limit }.into());
        }
        self.inner().files.content(&digest, bytes_max)
    }

    /// The digests of the indexes that list a manifest, at most `max`.
    pub fn indexes_of(&self, digest: &ContentDigest, max: u32) -> Result<Vec<ContentDigest>, RegistryError> {
        let found = self.inner().database.read(|db| {
            let repository = database::known(db, &self.repository)?;
            Ok(database::indexes_of(db, repository, digest, max)?)
        })?;
        found.iter().map(|digest| ContentDigest::new(digest)).collect()
    }

    /// Keeps a blob.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<(), RegistryError> {
        let digest = digest_of(Algorithm::Sha256, bytes);
        let inner = self.inner();
        let _naming = inner.files.naming();
        inner.files.put(&digest, bytes)?;
        let now = inner.now_ms();
        inner.database.write(|db| {
            let repository = database::ensure(db, &self.repository)?;
            Ok(database::link(db, repository, &digest, bytes.len() as u64, now)?)
        })
    }

    /// Keeps a manifest, whose blobs have to be there, under its digest and, where one is given, a tag.
    pub fn put_manifest(&self, tag: Option<&str>, media_type: &str, bytes: &[u8]) -> Result<(), RegistryError> {
        let read = manifest::read(bytes, Some(media_type))?;
        let digest = digest_of(Algorithm::Sha256, bytes);
        let tags = tag.map(Tag::new).transpose()?.into_iter().collect::<Vec<_>>();
        self.inner().store_manifest(&self.repository, digest, bytes, read, &tags).map(drop)
    }

    /// The digests of what refers to a manifest, and the type of each.
    pub fn referrers(&self, subject: &Digest) -> Result<Vec<(Digest, String)>, RegistryError> {
        let subject = ContentDigest::from(subject);
        let mut page = Page::default();
        let mut found = Vec::new();
        loop {
            let part = self.inner().referrers(&self.repository, &subject, None, &page)?;
            for entry in &part.entries {
                let text = |field: &str| entry.get(field).and_then(serde_json::Value::as_str).unwrap_or_default();
                // What is named by another hash than sha256 is nothing that is looked for here.
                if let Ok(digest) = text("digest").parse() {
                    found.push((digest, text("artifactType").to_owned()));
                }
            }
            match part.next {
                Some(last) => page.last = Some(last),
                None => return Ok(found),
            }
        }
    }
}
