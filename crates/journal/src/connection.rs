//! Opens connections to a journal's file and keeps other processes from writing it.
//!
//! The lock is on a file beside the journal, not on the journal: SQLite's own POSIX locks on a file are lost when the
//! process closes any other descriptor of that file (SQLite, "How To Corrupt An SQLite Database File", section 2.2).
//! For the same reason nothing here opens the journal's file but SQLite.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::error::JournalError;
use crate::format;

/// How long a statement waits for another process's lock, such as that of a backup.
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// A write-ahead log that grew past this, in bytes, is cut back when it has been written into the file.
const LOG_BYTES_KEPT: i64 = 64 << 20;

/// Where a journal is, and how it is read.
#[derive(Debug, Clone)]
pub(crate) struct Location {
    /// Absolute, without symbolic links.
    pub(crate) path: PathBuf,
    /// Nobody has it open and nobody can: SQLite must not look for the log's shared memory.
    immutable: bool,
}

/// The connection that writes.
pub(crate) struct WriteConnection {
    // Fields are dropped in this order: SQLite lets go before anyone else may come in.
    pub(crate) connection: Connection,
    _lock: File,
}

impl WriteConnection {
    /// Puts the log into the file, so that the file alone is the journal, and lets go of it and then of the lock.
    pub(crate) fn close(self) -> rusqlite::Result<()> {
        let left = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0));
        // The log is complete by itself: that it stays because somebody reads, or no space is left, is no failure.
        if !matches!(left, Ok(false)) {
            tracing::info!("the journal's log stays beside it: it is being read, or no space is left");
        }
        self.connection.close().map_err(|(_, error)| error)
    }
}

/// Opens a journal for writing; creates it, or brings it up to date, where needed.
pub(crate) fn open_for_writing(path: &Path) -> Result<(WriteConnection, Location), JournalError> {
    let path = resolve(path)?;
    let lock = lock(&path)?;
    let failed = |error| JournalError::from_sqlite(&path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut connection = open(&path, flags).map_err(failed)?;
    // SQLite opens a file that may not be written for reading, without a word.
    if connection.is_readonly("main").map_err(failed)? {
        return Err(JournalError::ReadOnly { path });
    }
    // Only what is known to be a journal is changed, and be it by a pragma.
    let found = format::identify(&connection, &path)?;
    configure_writer(&connection, &path)?;
    format::migrate(&mut connection, &path, found)?;
    if found == 0 {
        sync_directory(&path)?;
    }
    Ok((WriteConnection { connection, _lock: lock }, Location { path, immutable: false }))
}

/// Finds out how a journal can be read, whether or not somebody writes it.
pub(crate) fn locate_for_reading(path: &Path) -> Result<Location, JournalError> {
    let path = resolve(path)?;
    // SQLite would say only that it can't open it.
    fs::metadata(&path).map_err(|error| JournalError::from_io(&path, error))?;
    let mut location = Location { path, immutable: false };
    let first_read = location.open_reader().and_then(|reader| reader.query_row("PRAGMA user_version", [], |_| Ok(())));
    if let Err(error) = first_read {
        // Also a reader needs the log's shared memory, a file beside the journal. Without a log there is no writer, and
        // where a file can't be created there will be none.
        let no_shared_memory = matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly));
        location.immutable = no_shared_memory && !beside(&location.path, "-wal").exists();
    }
    let failed = |error| JournalError::from_sqlite(&location.path, &error);
    let format = format::identify(&location.open_reader().map_err(failed)?, &location.path)?;
    match format {
        0 => Err(JournalError::NotAJournal { path: location.path, reason: "it is empty" }),
        format::FORMAT => Ok(location),
        found => Err(JournalError::OlderFormat { path: location.path, found, known: format::FORMAT }),
    }
}

impl Location {
    /// A new connection that can't write.
    pub(crate) fn open_reader(&self) -> rusqlite::Result<Connection> {
        if self.immutable {
            open(&immutable_uri(&self.path), OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI)
        } else {
            open(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        }
    }

    /// An error of one of this journal's connections.
    pub(crate) fn failed(&self, error: &rusqlite::Error) -> JournalError {
        JournalError::from_sqlite(&self.path, error)
    }
}

fn open(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    // Each connection is used by one thread at a time: it needs no mutex of SQLite's.
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_WAIT)?;
    // A file from elsewhere may be hostile (SQLite, "Defense Against The Dark Arts").
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    Ok(connection)
}

fn configure_writer(connection: &Connection, path: &Path) -> Result<(), JournalError> {
    let failed = |error| JournalError::from_sqlite(path, &error);
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(failed)?;
    if mode != "wal" {
        let detail = format!("its file system allows no write-ahead log (journal mode {mode})");
        return Err(JournalError::Storage { path: path.to_owned(), detail });
    }
    let set = |pragma: &str, value: i64| connection.pragma_update(None, pragma, value).map_err(failed);
    // FULL: each commit waits until the log is on the disk.
    set("synchronous", 2)?;
    // Where fsync does not reach the platter (macOS), ask for what does.
    set("fullfsync", 1)?;
    set("checkpoint_fullfsync", 1)?;
    // This one answers with the new limit.
    connection.query_row(&format!("PRAGMA journal_size_limit = {LOG_BYTES_KEPT}"), [], |_| Ok(())).map_err(failed)
}

fn lock(path: &Path) -> Result<File, JournalError> {
    let lock_path = beside(path, ".lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&lock_path)
        .map_err(|error| JournalError::from_io(path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(JournalError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(JournalError::from_io(&lock_path, error)),
    }
}

/// The file's name must be as durable as what is in it.
fn sync_directory(path: &Path) -> Result<(), JournalError> {
    let directory = path.parent().unwrap_or(path);
    File::open(directory).and_then(|open| open.sync_all()).map_err(|error| JournalError::from_io(directory, error))
}

/// One journal has one lock, by whatever links it is reached.
fn resolve(path: &Path) -> Result<PathBuf, JournalError> {
    let resolved = match path.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => resolve_new(path),
        done => done,
    };
    resolved.map_err(|error| JournalError::from_io(path, error))
}

fn resolve_new(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(parent.canonicalize()?.join(name))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// SQLite's `file:` URI for a file that nobody changes, with the characters that would end the path written as escapes
/// (SQLite, "Uniform Resource Identifiers").
fn immutable_uri(path: &Path) -> PathBuf {
    let mut uri = b"file:".to_vec();
    for &byte in path.as_os_str().as_bytes() {
        if matches!(byte, b'%' | b'?' | b'#') {
            uri.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            uri.push(byte);
        }
    }
    uri.extend_from_slice(b"?immutable=1");
    OsString::from_vec(uri).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_waits_for_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let (writer, _) = open_for_writing(&directory.path().join("journal.db")).unwrap();
        let pragma = |name: &str| writer.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(pragma("synchronous"), 2);
        assert_eq!(pragma("application_id"), i64::from(format::APPLICATION_ID));
        assert_eq!(pragma("user_version"), format::FORMAT);
    }

    #[test]
    fn an_immutable_journal_may_have_any_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a?b#c%41 d.db");
        drop(open_for_writing(&path).unwrap());
        let location = Location { path, immutable: true };
        let format = format::identify(&location.open_reader().unwrap(), &location.path).unwrap();
        assert_eq!(format, format::FORMAT);
    }

    #[test]
    fn links_lead_to_the_same_lock() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.db");
        let _writer = open_for_writing(&path).unwrap();
        let link = directory.path().join("link.db");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(open_for_writing(&link), Err(JournalError::Locked { .. })));
    }
}
