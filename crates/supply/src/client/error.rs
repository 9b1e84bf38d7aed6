//! What can go wrong between us and a registry, in the reader's terms. No message holds a secret or an address with its
//! query, which may be one.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use prograde_model::Digest;

/// Why a registry was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// A text that names no image.
    #[error("{text:?} is not a reference to an image: {why}")]
    InvalidReference {
        /// The text, cut to 300 characters.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// No connection, or one that broke; it may work later.
    #[error("{host} can't be reached: {why}")]
    Unreachable {
        /// Host and port.
        host: String,
        /// What happened.
        why: String,
    },
    /// The other side was silent, or slower than is worth waiting.
    #[error("{host} did not answer in time ({what})")]
    Timeout {
        /// Host and port.
        host: String,
        /// Which wait ended.
        what: String,
    },
    /// The registry does not accept the credentials, or there are none.
    #[error("{host} does not let us {action}: {why}")]
    Unauthorised {
        /// Host and port.
        host: String,
        /// What was tried.
        action: String,
        /// What it says.
        why: String,
    },
    /// What was asked for is not there.
    #[error("{what} is not in the registry {host}")]
    NotFound {
        /// Host and port.
        host: String,
        /// What.
        what: String,
    },
    /// The registry answered with another status than is expected.
    #[error("{host} answered {status} to {action}: {why}")]
    Refused {
        /// Host and port.
        host: String,
        /// The HTTP status.
        status: u16,
        /// What was tried.
        action: String,
        /// What it says.
        why: String,
    },
    /// The registry wants to be left alone for longer than we wait.
    #[error("{host} has too many requests and asks to wait for {} s", wait.as_secs())]
    Busy {
        /// Host and port.
        host: String,
        /// How long it asks to wait.
        wait: Duration,
    },
    /// The registry sends us where credentials may not go, or round in circles.
    #[error("{host} can't be followed: {why}")]
    Misled {
        /// Host and port.
        host: String,
        /// Where it leads, and why that is not followed.
        why: String,
    },
    /// An answer that can't be understood.
    #[error("{host} sent {what} that can't be understood: {why}")]
    Invalid {
        /// Host and port.
        host: String,
        /// What it should have been.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// More than the limits allow.
    #[error("{what} is too large: the limit is {limit}")]
    TooLarge {
        /// What.
        what: String,
        /// The limit, with its unit.
        limit: String,
    },
    /// The bytes are not those that were asked for.
    #[error("{host} sent {found} in place of {promised}")]
    Corrupt {
        /// Host and port.
        host: String,
        /// The digest or length that was promised.
        promised: String,
        /// What came.
        found: String,
    },
    /// Credentials that can't be read.
    #[error("no credentials for {registry}: {why}")]
    Credentials {
        /// For which registry.
        registry: String,
        /// What is wrong, without a secret.
        why: String,
    },
    /// Others changed the same list again and again.
    #[error("the list of what belongs to {subject} is changed by others all the time")]
    Contended {
        /// The image.
        subject: Digest,
    },
    /// A file on this machine.
    #[error("can't {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl RegistryError {
    /// Whether the same may work later without anybody changing anything.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::Busy { .. } | Self::Contended { .. } => true,
            Self::Refused { status, .. } => *status >= 500,
            Self::InvalidReference { .. }
            | Self::Unauthorised { .. }
            | Self::NotFound { .. }
            | Self::Misled { .. }
            | Self::Invalid { .. }
            | Self::TooLarge { .. }
            | Self::Corrupt { .. }
            | Self::Credentials { .. }
            | Self::File { .. } => false,
        }
    }
}
