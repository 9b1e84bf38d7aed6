//! Why the journal did not do what it was asked, in the kinds that a caller tells apart.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::ErrorCode;

/// Why the journal did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JournalError {
    /// Another process, or another `Journal` in this one, has it open for writing.
    #[error("the journal {} is in use by another process", .path.display())]
    Locked {
        /// The journal's file.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("{} is not a journal: {reason}", .path.display())]
    NotAJournal {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: &'static str,
    },
    /// The file was written by a later release.
    #[error("the journal {} has format {found}; this release knows formats up to {known}", .path.display())]
    NewerFormat {
        /// The journal's file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The latest format that this release knows.
        known: i64,
    },
    /// The file was written by an earlier release and was opened read-only, so that it can't be brought up to date.
    #[error("the journal {} has the old format {found}; open it for writing once to bring it to {known}", .path.display())]
    OlderFormat {
        /// The journal's file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The format that this release reads.
        known: i64,
    },
    /// The journal was opened read-only, or its directory or file system forbids writing.
    #[error("the journal {} can't be written: it was opened read-only, or its permissions or file system forbid it", .path.display())]
    ReadOnly {
        /// The journal's file.
        path: PathBuf,
    },
    /// No space was left. Nothing of the append is stored; the journal goes on once there is space.
    #[error("no space is left for the journal {}", .path.display())]
    DiskFull {
        /// The journal's file.
        path: PathBuf,
    },
    /// SQLite found its own structures damaged.
    #[error("the journal {} is damaged: {detail}", .path.display())]
    Corrupt {
        /// The journal's file.
        path: PathBuf,
        /// What SQLite said.
        detail: String,
    },
    /// The events do not fit their hashes or numbers: something other than the journal changed them.
    #[error("the journal is broken at event {sequence}: {reason}")]
    Broken {
        /// The first event that does not fit.
        sequence: u64,
        /// What does not fit.
        reason: &'static str,
    },
    /// A file could not be opened or created.
    #[error("can't open {}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// SQLite failed otherwise, such as by an input/output error. Whether an append was stored is then unknown until
    /// its subject is read again.
    #[error("the journal {} failed: {detail}", .path.display())]
    Storage {
        /// The journal's file.
        path: PathBuf,
        /// What SQLite said.
        detail: String,
    },
    /// The subject is not at the version that the caller expected. Nothing was stored.
    #[error("{subject} is at version {actual}, not {expected}")]
    Conflict {
        /// The subject.
        subject: String,
        /// The version that the caller expected.
        expected: u64,
        /// The version that the subject is at.
        actual: u64,
    },
    /// A subject or an event type that may not be stored.
    #[error("the {what} is refused: {reason}")]
    InvalidName {
        /// `subject` or `event type`.
        what: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The time has no RFC 3339 form: its year is before 0.
    #[error("the event's time lies before year 0")]
    InvalidTime,
    /// One payload is too large.
    #[error("a payload is larger than {limit} bytes of JSON text")]
    PayloadTooLarge {
        /// [`crate::PAYLOAD_BYTES_MAX`].
        limit: usize,
    },
    /// One payload is nested too deeply for readers to parse.
    #[error("a payload is nested deeper than {limit} arrays and objects")]
    PayloadTooDeep {
        /// [`crate::PAYLOAD_DEPTH_MAX`].
        limit: usize,
    },
    /// One append has too many events, or too many bytes in all.
    #[error(
        "an append of {events} events is too large; at most {} events with {} bytes of payload in all are stored at once",
        crate::APPEND_EVENTS_MAX,
        crate::APPEND_BYTES_MAX
    )]
    AppendTooLarge {
        /// How many events it has.
        events: usize,
    },
    /// The subject has too many events to be returned at once: read it in pages.
    #[error("{subject} has more than {limit} events")]
    SubjectTooLong {
        /// The subject.
        subject: String,
        /// [`crate::SUBJECT_EVENTS_MAX`].
        limit: usize,
    },
    /// Too much was waiting: nothing was done.
    #[error("the journal was too busy to start within {seconds} s")]
    Busy {
        /// How long was waited, in seconds.
        seconds: u64,
    },
    /// No answer came. An append may still be stored: read its subject before trying again.
    #[error("the journal did not answer within {seconds} s")]
    Unanswered {
        /// How long was waited, in seconds.
        seconds: u64,
    },
    /// The journal was closed.
    #[error("the journal is closed")]
    Closed,
}

impl JournalError {
    /// The kind of a file error: a place that forbids writing is told apart.
    pub(crate) fn from_io(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        let kind = error.kind();
        if matches!(kind, io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) {
            Self::ReadOnly { path }
        } else if matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            Self::DiskFull { path }
        } else {
            Self::Io { path, source: Arc::new(error) }
        }
    }

    /// The kind of an SQLite error (SQLite, "Result and Error Codes").
    pub(crate) fn from_sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        let path = path.to_owned();
        let detail = error.to_string();
        // The shared memory of the write-ahead log can't grow (SQLite, "Result and Error Codes", 4874).
        let no_room = error.sqlite_error().is_some_and(|e| e.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE);
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull { path },
            Some(_) if no_room => Self::DiskFull { path },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Self::ReadOnly { path },
            Some(ErrorCode::NotADatabase) => Self::NotAJournal { path, reason: "it is not an SQLite database" },
            // The only constraint is the index by subject; it can be violated only by an index that was tampered with.
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::ConstraintViolation) => Self::Corrupt { path, detail },
            // rusqlite's enum, not ours: it may grow.
            _ => Self::Storage { path, detail },
        }
    }
}
