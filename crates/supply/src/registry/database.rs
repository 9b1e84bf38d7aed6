//! The names of the registry: which repository has which blobs, manifests and tags. Content is on the disk beside it.
//!
//! Invariant: a row is written after what it names is on the disk and before anyone is told, in one transaction that is
//! on the disk when it ends. Whatever is asked is answered with a bounded number of rows.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Transaction, TransactionBehavior, params};

use crate::registry::error::RegistryError;
use crate::registry::name::{ContentDigest, RepositoryName};

pub(super) const FORMAT: i64 = 1;
const BUSY_WAIT: Duration = Duration::from_secs(10);
const READERS_KEPT: usize = 8;
/// A log that grew past this is cut back when it has been written into the file.
const LOG_BYTES_KEPT: i64 = 16 << 20;

const SCHEMA: &str = "
CREATE TABLE repository (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE blob (
    repository INTEGER NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL, seen INTEGER NOT NULL,
    PRIMARY KEY (repository, digest)) STRICT, WITHOUT ROWID;
CREATE INDEX blob_digest ON blob (digest);
CREATE TABLE manifest (
    id INTEGER PRIMARY KEY, repository INTEGER NOT NULL, digest TEXT NOT NULL, media_type TEXT NOT NULL,
    size INTEGER NOT NULL, subject TEXT, artifact_type TEXT, annotations TEXT, flight INTEGER NOT NULL,
    pushed INTEGER NOT NULL, UNIQUE (repository, digest)) STRICT;
CREATE INDEX manifest_digest ON manifest (digest);
CREATE INDEX manifest_subject ON manifest (repository, subject, digest) WHERE subject IS NOT NULL;
CREATE TABLE reference (
    repository INTEGER NOT NULL, target TEXT NOT NULL, manifest TEXT NOT NULL,
    PRIMARY KEY (repository, target, manifest)) STRICT, WITHOUT ROWID;
CREATE INDEX reference_manifest ON reference (repository, manifest);
CREATE TABLE tag (
    repository INTEGER NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL, flight INTEGER NOT NULL,
    changed INTEGER NOT NULL, PRIMARY KEY (repository, name)) STRICT, WITHOUT ROWID;
CREATE INDEX tag_order ON tag (repository, name COLLATE NOCASE, name);
CREATE INDEX tag_digest ON tag (repository, digest);
";

/// The database, open.
pub(super) struct Database {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
}

/// A manifest as the database knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) digest: ContentDigest,
    pub(super) media_type: String,
    pub(super) size: u64,
}

impl Database {
    pub(super) fn open(path: &Path) -> Result<Self, RegistryError> {
        let failed = |source| RegistryError::Database { path: path.to_owned(), source };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let mut writer = connect(path, flags).map_err(failed)?;
        let found: i64 = writer.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
        if found > FORMAT {
            return Err(RegistryError::NewerFormat { path: path.to_owned(), found, known: FORMAT });
        }
        prepare(&mut writer, found).map_err(failed)?;
        Ok(Self { path: path.to_owned(), writer: Mutex::new(writer), readers: Mutex::new(Vec::new()) })
    }

    /// Changes something: all of it, or nothing when `work` fails.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Failed>,
    ) -> Result<T, RegistryError> {
        let mut writer = locked(&self.writer);
        let result = (|| {
            let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = work(&transaction)?;
            transaction.commit()?;
            Ok(result)
        })();
        result.map_err(|failed| self.error(failed))
    }

    /// Asks something, as it was at one moment.
    pub(super) fn read<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, Failed>) -> Result<T, RegistryError> {
        let kept = locked(&self.readers).pop();
        let result = (|| {
            let mut reader = match kept {
                Some(reader) => reader,
                None => connect(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?,
            };
            let result = work(&reader.transaction()?)?;
            let mut readers = locked(&self.readers);
            if readers.len() < READERS_KEPT {
                readers.push(reader);
            }
            Ok(result)
        })();
        result.map_err(|failed| self.error(failed))
    }

    fn error(&self, failed: Failed) -> RegistryError {
        match failed {
            Failed::Refused(error) => error,
            Failed::Database(source) => RegistryError::Database { path: self.path.clone(), source },
        }
    }
}

/// Why a transaction did not happen.
pub(super) enum Failed {
    Refused(RegistryError),
    Database(rusqlite::Error),
}

impl From<RegistryError> for Failed {
    fn from(error: RegistryError) -> Self {
        Self::Refused(error)
    }
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

/// A transaction that a panic left was rolled back when it was dropped: what is behind the lock is good.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_WAIT)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}

fn prepare(writer: &mut Connection, found: i64) -> rusqlite::Result<()> {
    writer.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    // FULL: each commit waits until the log is on the disk, and where fsync does not reach it (macOS), for what does.
    writer.pragma_update(None, "synchronous", 2)?;
    writer.pragma_update(None, "fullfsync", 1)?;
    writer.query_row(&format!("PRAGMA journal_size_limit = {LOG_BYTES_KEPT}"), [], |_| Ok(()))?;
    if found == 0 {
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "user_version", FORMAT)?;
        transaction.commit()?;
    }
    Ok(())
}

/// The repository's number, if anything was ever pushed there.
pub(super) fn repository(db: &Connection, name: &RepositoryName) -> rusqlite::Result<Option<i64>> {
    db.query_row("SELECT id FROM repository WHERE name = ?1", [name.as_str()], |row| row.get(0)).optional()
}

/// The repository's number, or why there is none.
pub(super) fn known(db: &Connection, name: &RepositoryName) -> Result<i64, Failed> {
    let unknown = || Failed::Refused(RegistryError::NameUnknown { name: name.clone() });
    repository(db, name)?.ok_or_else(unknown)
}

/// The repository's number; makes it where there is none.
pub(super) fn ensure(db: &Connection, name: &RepositoryName) -> rusqlite::Result<i64> {
    db.execute("INSERT INTO repository (name) VALUES (?1) ON CONFLICT DO NOTHING", [name.as_str()])?;
    db.query_row("SELECT id FROM repository WHERE name = ?1", [name.as_str()], |row| row.get(0))
}

/// Gives a blob to a repository, or renews that it has it.
pub(super) fn link(
    db: &Connection,
    repository: i64,
    digest: &ContentDigest,
    size: u64,
    now: i64,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO blob (repository, digest, size, seen) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT DO UPDATE SET size = excluded.size, seen = max(seen, excluded.seen)";
    db.execute(sql, params![repository, digest.as_str(), size.cast_signed(), now])?;
    Ok(())
}

/// A blob's size, and when the repository was last asked or given it.
pub(super) fn blob(db: &Connection, repository: i64, digest: &ContentDigest) -> rusqlite::Result<Option<(u64, i64)>> {
    let sql = "SELECT size, seen FROM blob WHERE repository = ?1 AND digest = ?2";
    let found = db.query_row(sql, params![repository, digest.as_str()], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)));
    Ok(found.optional()?.map(|(size, seen)| (size.cast_unsigned(), seen)))
}

/// The manifest with a digest.
pub(super) fn manifest(db: &Connection, repository: i64, digest: &ContentDigest) -> rusqlite::Result<Option<Row>> {
    let sql = "SELECT media_type, size FROM manifest WHERE repository = ?1 AND digest = ?2";
    db.query_row(sql, params![repository, digest.as_str()], |row| {
        Ok(Row { digest: digest.clone(), media_type: row.get(0)?, size: row.get::<_, i64>(1)?.cast_unsigned() })
    })
    .optional()
}

/// The digest that a tag stands for, and whether a flight gave it.
pub(super) fn tagged(db: &Connection, repository: i64, tag: &str) -> Result<Option<(ContentDigest, bool)>, Failed> {
    let sql = "SELECT digest, flight FROM tag WHERE repository = ?1 AND name = ?2";
    let found =
        db.query_row(sql, params![repository, tag], |row| Ok((row.get::<_, String>(0)?, row.get(1)?))).optional()?;
    Ok(found.map(|(digest, flight)| Ok::<_, RegistryError>((ContentDigest::new(&digest)?, flight))).transpose()?)
}

/// Gives a tag to a manifest, taking it from another.
pub(super) fn tag(
    db: &Connection,
    repository: i64,
    name: &str,
    digest: &ContentDigest,
    flight: bool,
    now: i64,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO tag (repository, name, digest, flight, changed) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT DO UPDATE SET digest = excluded.digest, flight = max(flight, excluded.flight),
                   changed = excluded.changed";
    db.execute(sql, params![repository, name, digest.as_str(), flight, now])?;
    Ok(())
}

/// What a repository's manifest is stored with.
pub(super) struct NewManifest<'a> {
    pub(super) row: &'a Row,
    pub(super) subject: Option<&'a ContentDigest>,
    pub(super) artifact_type: Option<&'a str>,
    pub(super) annotations: Option<&'a str>,
    pub(super) references: &'a [ContentDigest],
    pub(super) flight: bool,
}

/// Gives a manifest to a repository.
pub(super) fn put_manifest(db: &Connection, repository: i64, new: &NewManifest<'_>, now: i64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO manifest
                   (repository, digest, media_type, size, subject, artifact_type, annotations, flight, pushed)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
               ON CONFLICT DO UPDATE SET media_type = excluded.media_type, flight = max(flight, excluded.flight),
                   artifact_type = excluded.artifact_type, pushed = excluded.pushed";
    let digest = new.row.digest.as_str();
    db.execute(
        sql,
        params![
            repository,
            digest,
            new.row.media_type,
            new.row.size.cast_signed(),
            new.subject.map(ContentDigest::as_str),
            new.artifact_type,
            new.annotations,
            new.flight,
            now
        ],
    )?;
    let mut insert =
        db.prepare("INSERT INTO reference (repository, target, manifest) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?;
    for target in new.references {
        insert.execute(params![repository, target.as_str(), digest])?;
    }
    Ok(())
}

/// One of the manifests of a repository that need something.
pub(super) fn needed_by(db: &Connection, repository: i64, digest: &ContentDigest) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT manifest FROM reference WHERE repository = ?1 AND target = ?2 LIMIT 1";
    db.query_row(sql, params![repository, digest.as_str()], |row| row.get(0)).optional()
}

/// The manifests that need something, at most `max`.
pub(super) fn indexes_of(
    db: &Connection,
    repository: i64,
    digest: &ContentDigest,
    max: u32,
) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT manifest FROM reference WHERE repository = ?1 AND target = ?2 ORDER BY manifest LIMIT ?3";
    let mut statement = db.prepare(sql)?;
    statement.query_map(params![repository, digest.as_str(), max], |row| row.get(0))?.collect()
}

/// Takes a manifest and its tags from a repository.
pub(super) fn delete_manifest(db: &Connection, repository: i64, digest: &str) -> rusqlite::Result<bool> {
    db.execute("DELETE FROM tag WHERE repository = ?1 AND digest = ?2", params![repository, digest])?;
    db.execute("DELETE FROM reference WHERE repository = ?1 AND manifest = ?2", params![repository, digest])?;
    Ok(db.execute("DELETE FROM manifest WHERE repository = ?1 AND digest = ?2", params![repository, digest])? > 0)
}
