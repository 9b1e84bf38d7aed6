//! What can go wrong with an image, in the reader's terms.

use std::io;
use std::path::{Path, PathBuf};

use prograde_model::{Digest, InvalidName};

/// Why an image was not built, read or unpacked.
#[derive(Debug, thiserror::Error)]
pub enum SupplyError {
    /// A file that should go into the image is not there.
    #[error("{} does not exist", path.display())]
    MissingFile {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// What should go into the image is a directory, a link, a device or the like.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// Which.
        path: PathBuf,
    },
    /// A file that should go into the image has no content.
    #[error("{} is empty", path.display())]
    EmptyFile {
        /// Which.
        path: PathBuf,
    },
    /// The file that the image should start can't be started.
    #[error("{} can't be executed: {why}", path.display())]
    NotExecutable {
        /// Which.
        path: PathBuf,
        /// What it lacks.
        why: &'static str,
    },
    /// A file changed while it was read.
    #[error("{} changed while it was read", path.display())]
    Changed {
        /// Which.
        path: PathBuf,
    },
    /// The description of the image makes no sense.
    #[error("the image can't be made: {field} {why}")]
    InvalidSpec {
        /// The field, with its value where that helps.
        field: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A tag that the OCI image specification does not allow (annotations.md, `org.opencontainers.image.ref.name`).
    #[error("{tag:?} is not a tag: expected letters and digits, with single separators out of `-._:@+/` between them")]
    InvalidTag {
        /// The text, cut to 100 characters.
        tag: String,
    },
    /// The directory is not an OCI image layout of a version that is known.
    #[error("{} is not an OCI image layout: {why}", path.display())]
    InvalidLayout {
        /// The file at fault.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A blob is not in the layout.
    #[error("blob {digest} is missing")]
    MissingBlob {
        /// Which.
        digest: Digest,
    },
    /// A blob's bytes are not those that its name promises.
    #[error("blob {digest} is corrupt: its content is {found}")]
    Corrupt {
        /// What was promised: the blob's digest, or the digest of a layer's uncompressed content.
        digest: Digest,
        /// What was found.
        found: String,
    },
    /// A manifest or configuration can't be understood.
    #[error("{digest} is not a valid {what}: {why}")]
    InvalidDocument {
        /// Which blob.
        digest: Digest,
        /// What it should have been.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Something that this product can't read, such as a Docker manifest or a zstd layer.
    #[error("{digest} has the media type {media_type:?}, which is not supported")]
    UnsupportedMediaType {
        /// Which blob.
        digest: Digest,
        /// Its media type, cut to 100 characters.
        media_type: String,
    },
    /// An image or program for another kind of machine.
    #[error("{subject} is for {found}, and this machine is {host}")]
    WrongPlatform {
        /// The image's digest or the program's path.
        subject: String,
        /// What it is for, such as `linux/arm64`.
        found: String,
        /// What this machine is.
        host: String,
    },
    /// More than the limits allow: perhaps a decompression bomb.
    #[error("{what} is too large: the limit is {limit}")]
    TooLarge {
        /// What.
        what: String,
        /// The limit, with its unit.
        limit: String,
    },
    /// A layer holds an entry that would reach outside of the image, or that an unprivileged image may not hold.
    #[error("layer entry {path:?} is refused: {why}")]
    UnsafeEntry {
        /// The entry's path, cut to 200 characters.
        path: String,
        /// Why.
        why: &'static str,
    },
    /// A layer's compression or archive is broken.
    #[error("layer {digest} is not a readable archive")]
    BrokenLayer {
        /// Which.
        digest: Digest,
        /// Where it broke.
        source: io::Error,
    },
    /// The disk or the quota is full.
    #[error("no space left for {}", path.display())]
    DiskFull {
        /// What was to be written.
        path: PathBuf,
    },
    /// Others hold a lock for longer than is worth waiting.
    #[error("{} is locked by another process", path.display())]
    Busy {
        /// The lock.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("can't {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A digest that is none.
    #[error(transparent)]
    InvalidName(#[from] InvalidName),
    /// The work was stopped, as the process is ending.
    #[error("the work on the image was stopped")]
    Stopped,
}

/// Turns an error of the operating system into ours; a full disk is told apart.
pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SupplyError {
    move |source| {
        let path = path.to_owned();
        if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            SupplyError::DiskFull { path }
        } else {
            SupplyError::Io { action, path, source }
        }
    }
}

/// At most `max` characters of a text from outside, for a message.
pub(crate) fn cut(text: &str, max: usize) -> String {
    text.chars().take(max).collect()
}

/// Runs what blocks outside of the asynchronous runtime.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SupplyError> + Send + 'static,
) -> Result<T, SupplyError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(SupplyError::Stopped),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_apart() {
        use std::io::Write as _;
        // The kernel's own full device: every write fails with ENOSPC.
        let full = Path::new("/dev/full");
        let mut file = std::fs::OpenOptions::new().write(true).open(full).unwrap();
        let error = file.write_all(b"x").map_err(io("write", full)).unwrap_err();
        assert!(matches!(error, SupplyError::DiskFull { .. }), "{error}");
        assert_eq!(error.to_string(), "no space left for /dev/full");
    }
}
