//! Collecting garbage: content that nothing leads to any more.
//!
//! Invariant: nothing is removed that a manifest needs, that the layout's index leads to, or that somebody was given or
//! was told of within the grace period. Pushes go on meanwhile: what is decided and removed in one step is small, and
//! pushes can't name content within that step.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, params};
use serde::Serialize;

use crate::error::io;
use crate::registry::database;
use crate::registry::error::RegistryError;
use crate::registry::name::{Algorithm, ContentDigest};
use crate::registry::{Inner, Registry};
use crate::scratch::modified;

/// Files that are looked at while pushes wait.
const STEP: usize = 64;
/// Rows that are removed while pushes wait.
const ROWS: i64 = 1_000;

/// What is to be collected.
#[derive(Debug, Clone, Copy)]
pub struct Collect {
    /// What is younger than this stays, as somebody may be pushing what needs it. A day is good.
    pub grace: Duration,
    /// Whether manifests go as well that have no tag and are part of nothing.
    pub untagged: bool,
    /// Whether it is only told what would go.
    pub dry_run: bool,
}

/// What was collected, or would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// Manifests that were taken from repositories.
    pub manifests: u64,
    /// Blobs that were taken from repositories.
    pub blobs: u64,
    /// Files that were removed.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Uploads that were given up.
    pub uploads: u64,
}

const UNTAGGED: &str = "
    SELECT id, repository, digest FROM manifest AS m WHERE id > ?1 AND NOT flight AND pushed < ?2
        AND NOT EXISTS (SELECT 1 FROM tag WHERE tag.repository = m.repository AND tag.digest = m.digest)
        AND NOT EXISTS (SELECT 1 FROM reference WHERE reference.repository = m.repository AND target = m.digest)
        AND NOT EXISTS (SELECT 1 FROM manifest AS s WHERE s.repository = m.repository AND s.digest = m.subject)
    ORDER BY id LIMIT ?3";
const UNNEEDED: &str = "
    FROM blob AS b WHERE seen < ?1
        AND NOT EXISTS (SELECT 1 FROM reference WHERE reference.repository = b.repository AND target = b.digest)";

impl Registry {
    /// Collects garbage.
    pub async fn collect(&self, what: Collect) -> Result<Collected, RegistryError> {
        self.off(move |inner| inner.collect(what)).await
    }
}

impl Inner {
    fn collect(&self, what: Collect) -> Result<Collected, RegistryError> {
        let mut collected = Collected::default();
        if !what.dry_run {
            collected.uploads = self.expire()?;
        }
        let before = self.ago(what.grace);
        if what.untagged {
            collected.manifests = self.untagged(before.as_millisecond(), what.dry_run)?;
        }
        collected.blobs = self.unneeded(before.as_millisecond(), what.dry_run)?;
        let mut sweep = Sweep { inner: self, what, before, indexed: None, collected };
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            sweep.folder(algorithm)?;
        }
        let collected = sweep.collected;
        if !what.dry_run {
            let sql = "DELETE FROM repository WHERE
                    NOT EXISTS (SELECT 1 FROM blob WHERE blob.repository = id)
                AND NOT EXISTS (SELECT 1 FROM manifest WHERE manifest.repository = repository.id)";
            self.database.write(|db| Ok(db.execute(sql, [])?))?;
        }
        Ok(collected)
    }

    /// Takes manifests without a tag from repositories, those first that are about nothing that is there.
    fn untagged(&self, before: i64, dry_run: bool) -> Result<u64, RegistryError> {
        let (mut count, mut after) = (0, 0);
        loop {
            let step = |db: &Connection| {
                let mut statement = db.prepare(UNTAGGED)?;
                let rows = statement
                    .query_map(params![after, before, ROWS], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                    .collect::<Result<Vec<(i64, i64, String)>, _>>()?;
                if !dry_run {
                    for (_, repository, digest) in &rows {
                        database::delete_manifest(db, *repository, digest)?;
                    }
                }
                Ok(rows)
            };
            let rows = if dry_run { self.database.read(|db| step(db))? } else { self.database.write(|db| step(db))? };
            count += rows.len() as u64;
            match rows.last() {
                // From the start again: what was about those that went, or part of them, may go now.
                Some(_) if !dry_run => after = 0,
                Some((id, ..)) => after = *id,
                None => return Ok(count),
            }
        }
    }

    /// Takes blobs from repositories that no manifest of theirs needs.
    fn unneeded(&self, before: i64, dry_run: bool) -> Result<u64, RegistryError> {
        if dry_run {
            let sql = format!("SELECT count(*) {UNNEEDED}");
            let count: i64 = self.database.read(|db| Ok(db.query_row(&sql, [before], |row| row.get(0))?))?;
            return Ok(count.cast_unsigned());
        }
        let sql = format!(
            "DELETE FROM blob WHERE (repository, digest) IN (SELECT b.repository, b.digest {UNNEEDED} LIMIT {ROWS})"
        );
        let mut count = 0;
        loop {
            match self.database.write(|db| Ok(db.execute(&sql, [before])?))? {
                0 => return Ok(count),
                deleted => count += deleted as u64,
            }
        }
    }
}

/// Removes files that nothing leads to.
struct Sweep<'a> {
    inner: &'a Inner,
    what: Collect,
    before: Timestamp,
    /// What the layout's index led to, when it was as this says.
    indexed: Option<(Option<Timestamp>, BTreeSet<ContentDigest>)>,
    collected: Collected,
}

impl Sweep<'_> {
    fn folder(&mut self, algorithm: Algorithm) -> Result<(), RegistryError> {
        let folder = self.inner.files.folder(algorithm);
        let mut old = Vec::with_capacity(STEP);
        for entry in fs::read_dir(&folder).map_err(io("list", &folder))? {
            let entry = entry.map_err(io("list", &folder))?;
            let name = entry.file_name();
            // What is no blob's name is not ours to remove.
            let digest = name.to_str().map(|hex| ContentDigest::new(&format!("{}:{hex}", algorithm.name())));
            let Some(Ok(digest)) = digest else { continue };
            if modified(&entry.path())?.is_some_and(|at| at < self.before) {
                old.push(digest);
            }
            if old.len() >= STEP {
                self.remove(std::mem::take(&mut old))?;
            }
        }
        self.remove(old)
    }

    fn remove(&mut self, old: Vec<ContentDigest>) -> Result<(), RegistryError> {
        let _removing = self.inner.files.removing();
        let mut garbage = self.inner.database.read(|db| {
            let mut garbage = Vec::new();
            for digest in old {
                if !is_named(db, &digest, self.what, self.before)? {
                    garbage.push(digest);
                }
            }
            Ok(garbage)
        })?;
        if garbage.is_empty() {
            return Ok(());
        }
        let indexed = self.indexed()?;
        garbage.retain(|digest| !indexed.contains(digest));
        for digest in garbage {
            let path = self.inner.files.path(&digest);
            // Again, now that nobody can name it: it may have been pushed a moment ago.
            if modified(&path)?.is_none_or(|at| at >= self.before) {
                continue;
            }
            let size = fs::metadata(&path).map_err(io("examine", &path))?.len();
            if !self.what.dry_run {
                fs::remove_file(&path).map_err(io("remove", &path))?;
            }
            self.collected.files += 1;
            self.collected.bytes = self.collected.bytes.saturating_add(size);
        }
        Ok(())
    }

    /// What the layout's index leads to; read again only when it was written.
    fn indexed(&mut self) -> Result<&BTreeSet<ContentDigest>, RegistryError> {
        let written = modified(&self.inner.layout.dir().join("index.json"))?;
        let known = match self.indexed.take() {
            Some((at, known)) if at == written => known,
            Some(_) | None => self.inner.indexed()?,
        };
        Ok(&self.indexed.insert((written, known)).1)
    }
}

/// Whether a repository has it. What a rehearsal would have taken from all repositories counts as not named.
fn is_named(
    db: &Connection,
    digest: &ContentDigest,
    what: Collect,
    before: Timestamp,
) -> Result<bool, database::Failed> {
    let digest = digest.as_str();
    let manifest = db.prepare("SELECT 1 FROM manifest WHERE digest = ?1")?.exists([digest])?;
    let blob = "SELECT 1 FROM blob AS b WHERE digest = ?1";
    let needed = "AND (seen >= ?2 OR EXISTS
        (SELECT 1 FROM reference WHERE reference.repository = b.repository AND target = b.digest))";
    let blob = if what.dry_run {
        db.prepare(&format!("{blob} {needed}"))?.exists(params![digest, before.as_millisecond()])?
    } else {
        db.prepare(blob)?.exists([digest])?
    };
    Ok(manifest || blob)
}
