//! Lists of tags, repositories and referrers: a page at a time, whatever their length.

use rusqlite::params;
use serde_json::{Map, Value, json};

use crate::registry::database;
use crate::registry::error::RegistryError;
use crate::registry::name::{ContentDigest, RepositoryName};
use crate::registry::{Inner, Registry};

/// Entries of one page, at most, and where no number was asked for.
pub(super) const PAGE_MAX: usize = 10_000;
const REFERRERS_PAGE_MAX: usize = 1_000;
/// Bytes of one page of referrers, about; a single one may be larger. Clients read no index above 4 MiB.
const BYTES_MAX: u64 = 2 << 20;

/// Which part of a list.
#[derive(Debug, Clone, Default)]
pub(super) struct Page {
    /// Those after this one.
    pub(super) last: Option<String>,
    /// So many at most.
    pub(super) count: Option<usize>,
}

/// A part of a list.
#[derive(Debug)]
pub(super) struct Part<T> {
    pub(super) entries: Vec<T>,
    /// After which entry the rest begins, if there is more.
    pub(super) next: Option<String>,
}

impl Page {
    fn size(&self) -> usize {
        self.count.unwrap_or(PAGE_MAX).min(PAGE_MAX)
    }

    /// Cuts what was asked with one entry too many.
    fn cut(&self, mut entries: Vec<String>) -> Part<String> {
        let more = entries.len() > self.size() && self.size() > 0;
        entries.truncate(self.size());
        let next = if more { entries.last().cloned() } else { None };
        Part { entries, next }
    }
}

impl Registry {
    /// Tags, a page of them.
    pub(super) async fn tags(&self, repository: &RepositoryName, page: Page) -> Result<Part<String>, RegistryError> {
        let repository = repository.clone();
        self.off(move |inner| inner.tags(&repository, &page)).await
    }

    /// Repositories by name.
    pub(super) async fn repositories(&self, page: Page) -> Result<Part<String>, RegistryError> {
        self.off(move |inner| {
            let names: Vec<String> = inner.database.read(|db| {
                let limit = i64::try_from(page.size() + 1).unwrap_or(i64::MAX);
                let sql = "SELECT name FROM repository WHERE name > ?1 ORDER BY name LIMIT ?2";
                let mut statement = db.prepare(sql)?;
                let last = page.last.as_deref().unwrap_or_default();
                let names = statement.query_map(params![last, limit], |row| row.get(0))?;
                Ok(names.collect::<Result<_, _>>()?)
            })?;
            Ok(page.cut(names))
        })
        .await
    }

    /// Descriptors of what is about a manifest, by digest. A page is no larger than a manifest may be.
    pub(super) async fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &ContentDigest,
        artifact_type: Option<String>,
        page: Page,
    ) -> Result<Part<Value>, RegistryError> {
        let (repository, subject) = (repository.clone(), subject.clone());
        self.off(move |inner| inner.referrers(&repository, &subject, artifact_type.as_deref(), &page)).await
    }
}

impl Inner {
    /// Tags in the specification's order: by letters whatever their case.
    pub(super) fn tags(&self, repository: &RepositoryName, page: &Page) -> Result<Part<String>, RegistryError> {
        let names: Vec<String> = self.database.read(|db| {
            let repository = database::known(db, repository)?;
            let limit = i64::try_from(page.size() + 1).unwrap_or(i64::MAX);
            let from_start = "SELECT name FROM tag WHERE repository = ?1 AND ?2 IS NULL
                              ORDER BY name COLLATE NOCASE, name LIMIT ?3";
            let after = "SELECT name FROM tag WHERE repository = ?1 AND (name COLLATE NOCASE, name) > (?2, ?2)
                         ORDER BY name COLLATE NOCASE, name LIMIT ?3";
            let mut statement = db.prepare(if page.last.is_some() { after } else { from_start })?;
            let names = statement.query_map(params![repository, page.last, limit], |row| row.get(0))?;
            Ok(names.collect::<Result<_, _>>()?)
        })?;
        Ok(page.cut(names))
    }

    /// The same, from within; blocks.
    pub(super) fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &ContentDigest,
        artifact_type: Option<&str>,
        page: &Page,
    ) -> Result<Part<Value>, RegistryError> {
        self.database.read(|db| {
            let mut part = Part { entries: Vec::new(), next: None };
            let Some(repository) = database::repository(db, repository)? else { return Ok(part) };
            let sql = "SELECT digest, media_type, size, artifact_type, annotations FROM manifest
                       WHERE repository = ?1 AND subject = ?2 AND digest > ?3
                           AND (?4 IS NULL OR artifact_type = ?4) ORDER BY digest";
            let mut statement = db.prepare(sql)?;
            let mut last = page.last.clone().unwrap_or_default();
            let mut rows = statement.query(params![repository, subject.as_str(), last, artifact_type])?;
            let (mut bytes, count_max) = (0, page.count.unwrap_or(REFERRERS_PAGE_MAX).min(REFERRERS_PAGE_MAX));
            while let Some(row) = rows.next()? {
                let (digest, descriptor, size) = descriptor(row)?;
                bytes += size;
                if part.entries.len() >= count_max || (bytes > BYTES_MAX && !part.entries.is_empty()) {
                    part.next = Some(last).filter(|last| !last.is_empty());
                    break;
                }
                part.entries.push(descriptor);
                last = digest;
            }
            Ok(part)
        })
    }
}

/// A manifest's descriptor, its digest, and about how many bytes it takes.
fn descriptor(row: &rusqlite::Row<'_>) -> rusqlite::Result<(String, Value, u64)> {
    let digest: String = row.get(0)?;
    let (media_type, size): (String, i64) = (row.get(1)?, row.get(2)?);
    let (artifact_type, annotations): (Option<String>, Option<String>) = (row.get(3)?, row.get(4)?);
    let bytes = 500 + annotations.as_ref().map_or(0, String::len) as u64;
    let mut descriptor = Map::new();
    descriptor.insert("mediaType".to_owned(), json!(media_type));
    descriptor.insert("digest".to_owned(), json!(digest));
    descriptor.insert("size".to_owned(), json!(size));
    if let Some(kind) = artifact_type {
        descriptor.insert("artifactType".to_owned(), json!(kind));
    }
    // It was written from a map of texts, and is read as one.
    if let Some(Ok(Value::Object(map))) = annotations.as_deref().map(serde_json::from_str) {
        descriptor.insert("annotations".to_owned(), Value::Object(map));
    }
    Ok((digest, Value::Object(descriptor), bytes))
}
