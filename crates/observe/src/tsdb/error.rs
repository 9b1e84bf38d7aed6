//! Why the database did not do what it was asked.

use std::io;
use std::path::{Path, PathBuf};

/// Why the database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// Another process, or another [`super::Database`] in this one, has the folder open.
    #[error("the time series in {} are in use by another process", .path.display())]
    InUse {
        /// The database's folder.
        path: PathBuf,
    },
    /// A file does not hold what was written to it.
    #[error("{} is damaged at byte {offset}: {reason}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it the piece begins that does not fit.
        offset: u64,
        /// What does not fit.
        reason: &'static str,
    },
    /// A file was written by a later release.
    #[error("{} has format {found}; this release knows formats up to {known}", .path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u16,
        /// The latest format that this release knows.
        known: u16,
    },
    /// The operating system refused something.
    #[error("can't {doing} {}", .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The log failed earlier, and nothing can be kept until [`super::Database::maintain`] has written what is in memory anew.
    #[error("the log in {} failed, and takes nothing in until it could be written anew", .path.display())]
    LogFailed {
        /// The log's folder.
        path: PathBuf,
    },
    /// A query asks for more samples than may be in memory for it.
    #[error("the series that are asked for have more than {max} samples")]
    TooManySamples {
        /// [`super::Options::select_samples_max`].
        max: u64,
    },
}

impl DatabaseError {
    /// The error's code, which `docs/errors/` has a page for.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InUse { .. } => "PG0610",
            Self::Damaged { .. } => "PG0611",
            Self::NewerFormat { .. } => "PG0612",
            Self::Io { .. } => "PG0613",
            Self::LogFailed { .. } => "PG0614",
            Self::TooManySamples { .. } => "PG0615",
        }
    }

    /// Keeps what was tried with a file beside what the operating system said.
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, path: path.to_owned(), source }
    }
}
