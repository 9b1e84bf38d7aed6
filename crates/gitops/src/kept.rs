//! Folders that are kept by name. Invariant: what has its name is whole, whatever was killed.

use std::io;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

/// How folders begin that are not whole yet.
const PREFIX: &str = ".new-";
/// After this long, what was left by somebody who was killed is removed.
const LEFT_AFTER: Duration = Duration::from_hours(1);

/// A folder in `dir` that has no name yet, and goes with the answer unless it gets one.
pub(crate) async fn begin(dir: &Path) -> io::Result<TempDir> {
    tokio::fs::create_dir_all(dir).await?;
    let mut entries = tokio::fs::read_dir(dir).await?;
    while let Some(entry) = entries.next_entry().await? {
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        let made = entry.metadata().await.and_then(|metadata| metadata.modified());
        let age = made.ok().and_then(|made| made.elapsed().ok());
        if is_ours && age.is_some_and(|age| age > LEFT_AFTER) {
            tokio::fs::remove_dir_all(entry.path()).await?;
        }
    }
    tempfile::Builder::new().prefix(PREFIX).tempdir_in(dir)
}

/// Gives a folder its name; somebody else's of the same name is the same.
pub(crate) async fn finish(new: &Path, named: &Path) -> io::Result<()> {
    match tokio::fs::rename(new, named).await {
        Err(_) if named.is_dir() => Ok(()),
        done => done,
    }
}
