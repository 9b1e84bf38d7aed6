//! Flights' images: built into the layout by the server, pulled from the registry like any other.
//!
//! The layout's `index.json` names them `SERVICE-COMMIT`; here they are the tag `COMMIT` of the repository `SERVICE`. They
//! are taken in when they are built, and at every start, so that a data directory from before there was a registry, and a
//! crash between the two, come out the same.

use std::collections::BTreeSet;

use prograde_model::Digest;

use crate::document::Descriptor;
use crate::index::Index;
use crate::registry::database::{self, NewManifest, Row};
use crate::registry::error::RegistryError;
use crate::registry::manifest::{self, Needed, Read};
use crate::registry::name::{ContentDigest, RepositoryName, Tag};
use crate::registry::{Inner, Registry};

/// How many digits of a commit stand in a flight's tag.
const COMMIT_DIGITS: usize = 8;

/// What became of a flight's image in the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adopted {
    /// It has its tag.
    Tagged,
    /// Another image of a flight has that tag, and keeps it: this one is there by its digest.
    Untagged,
}

impl Registry {
    /// Takes a flight's image, which is in the layout, into a repository. The tag is the flight's for ever.
    pub async fn adopt(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        image: &Digest,
    ) -> Result<Adopted, RegistryError> {
        let (repository, tag, digest) = (repository.clone(), tag.clone(), ContentDigest::from(image));
        self.off(move |inner| inner.adopt(&repository, &tag, &digest)).await
    }
}

impl Inner {
    /// Takes in all of the layout's index that flights have built.
    pub(super) fn adopt_all(&self) -> Result<(), RegistryError> {
        for image in Index::read(self.layout.dir())?.manifests {
            let Some((repository, tag)) = names(&image) else { continue };
            match self.adopt(&repository, &tag, &ContentDigest::from(&image.digest)) {
                Ok(_) => {}
                // One image that is broken keeps nobody from the others; whoever runs it is told why.
                Err(error @ (RegistryError::BlobUnknown { .. } | RegistryError::ManifestInvalid { .. })) => {
                    tracing::warn!("{repository}:{tag} is in index.json and can't be pulled: {error}");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn adopt(&self, repository: &RepositoryName, tag: &Tag, digest: &ContentDigest) -> Result<Adopted, RegistryError> {
        let is_there = self.database.read(|db| {
            let Some(id) = database::repository(db, repository)? else { return Ok(false) };
            Ok(database::tagged(db, id, tag.as_str())? == Some((digest.clone(), true)))
        })?;
        if is_there {
            return Ok(Adopted::Tagged);
        }
        let _naming = self.files.naming();
        let bytes = self.files.document(digest)?;
        let read = manifest::read(&bytes, None).or_else(|_| manifest::read(&bytes, Some(crate::document::MANIFEST)))?;
        for needed in &read.needed {
            self.check_content(needed)?;
        }
        let adopted = self.record(repository, tag, digest, bytes.len() as u64, &read)?;
        self.tell(repository);
        Ok(adopted)
    }

    fn check_content(&self, needed: &Needed) -> Result<(), RegistryError> {
        match self.files.find(&needed.digest)? {
            Some((_, size)) if size == needed.size => Ok(()),
            Some((_, size)) => {
                let why = format!("{} has {size} bytes instead of {}", needed.digest, needed.size);
                Err(RegistryError::ManifestInvalid { why })
            }
            None => Err(RegistryError::BlobUnknown { digest: needed.digest.clone() }),
        }
    }

    fn record(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        digest: &ContentDigest,
        size: u64,
        read: &Read,
    ) -> Result<Adopted, RegistryError> {
        let now = self.now_ms();
        let row = Row { digest: digest.clone(), media_type: read.media_type.clone(), size };
        let references: Vec<ContentDigest> = read.needed.iter().map(|needed| needed.digest.clone()).collect();
        self.database.write(|db| {
            let repository = database::ensure(db, repository)?;
            for needed in &read.needed {
                database::link(db, repository, &needed.digest, needed.size, now)?;
            }
            let new = NewManifest {
                row: &row,
                subject: None,
                artifact_type: read.artifact_type.as_deref(),
                annotations: read.annotations.as_deref(),
                references: &references,
                flight: true,
            };
            database::put_manifest(db, repository, &new, now)?;
            match database::tagged(db, repository, tag.as_str())? {
                Some((other, true)) if other != *digest => Ok(Adopted::Untagged),
                Some(_) | None => {
                    database::tag(db, repository, tag.as_str(), digest, true, now)?;
                    Ok(Adopted::Tagged)
                }
            }
        })
    }

    /// Everything that the layout's index leads to, by digest: none of it is garbage.
    pub(super) fn indexed(&self) -> Result<BTreeSet<ContentDigest>, RegistryError> {
        let mut found = BTreeSet::new();
        let mut waiting: Vec<ContentDigest> =
            Index::read(self.layout.dir())?.manifests.iter().map(|image| ContentDigest::from(&image.digest)).collect();
        while let Some(digest) = waiting.pop() {
            if !found.insert(digest.clone()) {
                continue;
            }
            let bytes = match self.files.document(&digest) {
                Ok(bytes) => bytes,
                // What is not there needs nothing.
                Err(RegistryError::BlobUnknown { .. }) => continue,
                Err(error) => return Err(error),
            };
            let read =
                manifest::read(&bytes, None).or_else(|_| manifest::read(&bytes, Some(crate::document::MANIFEST)))?;
            for needed in read.needed {
                if needed.manifest {
                    waiting.push(needed.digest);
                } else {
                    found.insert(needed.digest);
                }
            }
        }
        Ok(found)
    }
}

/// Repository and tag of a flight's image: `SERVICE-COMMIT`, where the commit is eight hex digits.
fn names(image: &Descriptor) -> Option<(RepositoryName, Tag)> {
    let (service, commit) = image.tag()?.rsplit_once('-')?;
    let is_commit =
        commit.len() == COMMIT_DIGITS && commit.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if is_commit { Some((RepositoryName::new(service).ok()?, Tag::new(commit).ok()?)) } else { None }
}
