//! Manifests and tags of a repository: stored, found and deleted.

use rusqlite::{Connection, params};
use tokio::time::timeout;

use crate::registry::access::{Admission, Pulled, Pushed, Refusal, VERDICT_WAIT};
use crate::registry::database::{self, Failed, NewManifest, Row};
use crate::registry::error::RegistryError;
use crate::registry::hash::digest_of;
use crate::registry::manifest::{self, Needed, Read};
use crate::registry::name::{Algorithm, ContentDigest, Reference, RepositoryName, Tag};
use crate::registry::{Inner, Registry};

/// A manifest that was stored.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) digest: ContentDigest,
    pub(super) subject: Option<ContentDigest>,
}

/// A manifest as it is sent.
pub(super) struct Sent {
    pub(super) content_type: Option<String>,
    pub(super) bytes: Vec<u8>,
    /// Tags that it is to have besides its reference.
    pub(super) tags: Vec<Tag>,
}

impl Registry {
    /// Finds a manifest.
    pub(super) async fn manifest(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<Row, RegistryError> {
        let (repository, reference) = (repository.clone(), reference.clone());
        self.off(move |inner| inner.find_manifest(&repository, &reference)).await
    }

    /// A manifest's bytes, checked.
    pub(super) async fn document(&self, digest: &ContentDigest) -> Result<Vec<u8>, RegistryError> {
        let digest = digest.clone();
        self.off(move |inner| inner.files.document(&digest)).await
    }

    /// Asks whether a manifest may be given out.
    pub(super) async fn admit_pull(&self, admission: &dyn Admission, pulled: &Pulled<'_>) -> Result<(), RegistryError> {
        judged(timeout(VERDICT_WAIT, admission.pull(pulled)).await)
    }

    /// Stores a manifest, if everybody agrees and everything that it needs is there.
    pub(super) async fn put_manifest(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
        sent: Sent,
        admission: &dyn Admission,
    ) -> Result<Stored, RegistryError> {
        let Sent { content_type, bytes, mut tags } = sent;
        let read = manifest::read(&bytes, content_type.as_deref())?;
        let algorithm = match reference {
            Reference::Tag(tag) => {
                tags.push(tag.clone());
                Algorithm::Sha256
            }
            Reference::Digest(digest) => digest.algorithm(),
        };
        let digest = digest_of(algorithm, &bytes);
        if let Reference::Digest(promised) = reference
            && *promised != digest
        {
            return Err(RegistryError::DigestInvalid { why: format!("what was sent is {digest} and not {promised}") });
        }
        // What can't be stored is said before others are asked; it is looked at again when it is stored.
        let to = repository.clone();
        let checked = self.off(move |inner| {
            inner.database.read(|db| {
                let id = database::repository(db, &to)?;
                check_needed(db, id, &read.needed)?;
                Ok(())
            })?;
            Ok(read)
        });
        let read = checked.await?;
        let pushed = Pushed {
            repository,
            reference,
            digest: &digest,
            media_type: &read.media_type,
            subject: read.subject.as_ref(),
            content: &bytes,
        };
        judged(timeout(VERDICT_WAIT, admission.push(&pushed)).await)?;
        let repository = repository.clone();
        self.off(move |inner| inner.store_manifest(&repository, digest, &bytes, read, &tags)).await
    }

    /// Deletes a tag, or a manifest with all its tags.
    pub(super) async fn delete_manifest(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<(), RegistryError> {
        let (repository, reference) = (repository.clone(), reference.clone());
        self.off(move |inner| {
            inner.database.write(|db| {
                let repository = database::known(db, &repository)?;
                match &reference {
                    Reference::Tag(tag) => inner.delete_tag(db, repository, tag),
                    Reference::Digest(digest) => inner.delete_digest(db, repository, digest),
                }
            })?;
            inner.tell(&repository);
            Ok(())
        })
        .await
    }
}

fn judged(verdict: Result<Result<(), Refusal>, tokio::time::error::Elapsed>) -> Result<(), RegistryError> {
    match verdict {
        Ok(Ok(())) => Ok(()),
        Ok(Err(Refusal { why, known_may: true })) => Err(RegistryError::Stranger { why }),
        Ok(Err(Refusal { why, known_may: false })) => Err(RegistryError::Denied { why }),
        Err(_) => Err(RegistryError::NoVerdict { seconds: VERDICT_WAIT.as_secs() }),
    }
}

impl Inner {
    pub(super) fn find_manifest(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<Row, RegistryError> {
        self.database.read(|db| {
            let unknown = || RegistryError::ManifestUnknown { reference: reference.to_string() };
            let repository = database::known(db, repository)?;
            let digest = match reference {
                Reference::Tag(tag) => database::tagged(db, repository, tag.as_str())?.ok_or_else(unknown)?.0,
                Reference::Digest(digest) => digest.clone(),
            };
            Ok(database::manifest(db, repository, &digest)?.ok_or_else(unknown)?)
        })
    }

    pub(super) fn store_manifest(
        &self,
        name: &RepositoryName,
        digest: ContentDigest,
        bytes: &[u8],
        read: Read,
        tags: &[Tag],
    ) -> Result<Stored, RegistryError> {
        let _naming = self.files.naming();
        self.files.put(&digest, bytes)?;
        let now = self.now_ms();
        let row = Row { digest: digest.clone(), media_type: read.media_type, size: bytes.len() as u64 };
        let references: Vec<ContentDigest> = read.needed.iter().map(|needed| needed.digest.clone()).collect();
        self.database.write(|db| {
            let known = database::repository(db, name)?;
            check_needed(db, known, &read.needed)?;
            let repository = database::ensure(db, name)?;
            for tag in tags {
                self.check_movable(db, repository, tag, Some(&digest))?;
            }
            let new = NewManifest {
                row: &row,
                subject: read.subject.as_ref(),
                artifact_type: read.artifact_type.as_deref(),
                annotations: read.annotations.as_deref(),
                references: &references,
                flight: false,
            };
            database::put_manifest(db, repository, &new, now)?;
            for tag in tags {
                database::tag(db, repository, tag.as_str(), &digest, false, now)?;
            }
            Ok(())
        })?;
        if !tags.is_empty() {
            self.tell(name);
        }
        Ok(Stored { digest, subject: read.subject })
    }

    /// Refuses to take a tag from what has it, where that is forbidden. `to` is nothing where it is deleted.
    fn check_movable(
        &self,
        db: &Connection,
        repository: i64,
        tag: &Tag,
        to: Option<&ContentDigest>,
    ) -> Result<(), Failed> {
        let Some((from, flight)) = database::tagged(db, repository, tag.as_str())? else { return Ok(()) };
        if to == Some(&from) {
            return Ok(());
        }
        let why = if flight {
            "it is the image of a flight, which may have to be rolled back to; push under another tag"
        } else if self.immutable.as_ref().is_some_and(|pattern| pattern.is_match(tag.as_str())) {
            "the registry's setting for immutable tags covers it; push under another tag, or have the setting changed"
        } else {
            return Ok(());
        };
        Err(RegistryError::Immutable { tag: tag.clone(), why: why.to_owned() }.into())
    }

    fn delete_tag(&self, db: &Connection, repository: i64, tag: &Tag) -> Result<(), Failed> {
        self.check_movable(db, repository, tag, None)?;
        let sql = "DELETE FROM tag WHERE repository = ?1 AND name = ?2";
        match db.execute(sql, params![repository, tag.as_str()])? {
            0 => Err(RegistryError::ManifestUnknown { reference: tag.to_string() }.into()),
            _ => Ok(()),
        }
    }

    fn delete_digest(&self, db: &Connection, repository: i64, digest: &ContentDigest) -> Result<(), Failed> {
        if let Some(by) = database::needed_by(db, repository, digest)? {
            return Err(RegistryError::InUse { what: format!("manifest {digest}"), by }.into());
        }
        let sql = "SELECT flight FROM manifest WHERE repository = ?1 AND digest = ?2 AND flight";
        if db.prepare(sql)?.exists(params![repository, digest.as_str()])? {
            let why = format!("{digest} is the image of a flight, which may have to be rolled back to: it is kept");
            return Err(RegistryError::Denied { why }.into());
        }
        let mut statement = db.prepare("SELECT name FROM tag WHERE repository = ?1 AND digest = ?2")?;
        let names: Vec<String> =
            statement.query_map(params![repository, digest.as_str()], |row| row.get(0))?.collect::<Result<_, _>>()?;
        for name in names {
            self.check_movable(db, repository, &Tag::new(&name)?, None)?;
        }
        if database::delete_manifest(db, repository, digest.as_str())? {
            Ok(())
        } else {
            Err(RegistryError::ManifestUnknown { reference: digest.to_string() }.into())
        }
    }
}

/// Whether a repository has what a manifest needs, in the size that the manifest says.
fn check_needed(db: &Connection, repository: Option<i64>, needed: &[Needed]) -> Result<(), Failed> {
    let mut missing = Vec::new();
    for one in needed {
        let found = match repository {
            Some(repository) => size_of(db, repository, one)?,
            None => None,
        };
        match found {
            Some(size) if size == one.size => {}
            Some(size) => {
                let Needed { digest, size: said, .. } = one;
                let why = format!("the manifest says that {digest} has {said} bytes, and it has {size}");
                return Err(RegistryError::SizeInvalid { why, too_large: false }.into());
            }
            None if one.elsewhere => {}
            None => missing.push(one.digest.clone()),
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(RegistryError::ReferenceUnknown { missing }.into()) }
}

/// The size of something that a manifest needs, if the repository has it.
fn size_of(db: &Connection, repository: i64, needed: &Needed) -> Result<Option<u64>, Failed> {
    let blob = |db| database::blob(db, repository, &needed.digest).map(|found| found.map(|(size, _)| size));
    let manifest = |db| database::manifest(db, repository, &needed.digest).map(|found| found.map(|row| row.size));
    let found = if needed.manifest { manifest(db)? } else { blob(db)? };
    match found {
        // An index may list blobs, and an artifact may carry manifests.
        None => Ok(if needed.manifest { blob(db)? } else { manifest(db)? }),
        found => Ok(found),
    }
}
