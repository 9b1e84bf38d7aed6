//! All changes on the disk go through here, so that tests can stop after any of them.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use super::error::DatabaseError;

/// The disk.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    /// How many changes are made before all fail, as if the process had ended.
    #[cfg(test)]
    pub(super) steps_left: Option<std::sync::Arc<std::sync::atomic::AtomicI64>>,
}

impl Disk {
    /// A new file.
    pub(super) fn create(&self, path: &Path) -> Result<File, DatabaseError> {
        self.step("create", path)?;
        File::options().read(true).write(true).create_new(true).open(path).map_err(DatabaseError::io("create", path))
    }

    /// Writes at the end of what was written before.
    pub(super) fn write(&self, mut file: &File, path: &Path, bytes: &[u8]) -> Result<(), DatabaseError> {
        if let Err(stopped) = self.step("write to", path) {
            // A process may end in the middle of a write.
            let half = bytes.get(..bytes.len() / 2).unwrap_or_default();
            file.write_all(half).map_err(DatabaseError::io("write to", path))?;
            return Err(stopped);
        }
        file.write_all(bytes).map_err(DatabaseError::io("write to", path))
    }

    /// Cuts a file, or makes it longer.
    pub(super) fn set_length(&self, file: &File, path: &Path, length: u64) -> Result<(), DatabaseError> {
        self.step("cut", path)?;
        file.set_len(length).map_err(DatabaseError::io("cut", path))
    }

    /// Waits until the file's content is on the disk.
    pub(super) fn sync(&self, file: &File, path: &Path) -> Result<(), DatabaseError> {
        self.step("flush", path)?;
        file.sync_data().map_err(DatabaseError::io("flush", path))
    }

    /// Waits until a folder's list of files is on the disk.
    pub(super) fn sync_folder(&self, path: &Path) -> Result<(), DatabaseError> {
        self.step("flush", path)?;
        File::open(path).and_then(|folder| folder.sync_all()).map_err(DatabaseError::io("flush", path))
    }

    /// Makes a folder, and those around it, unless they are there.
    pub(super) fn create_folder(&self, path: &Path) -> Result<(), DatabaseError> {
        self.step("create", path)?;
        fs::create_dir_all(path).map_err(DatabaseError::io("create", path))
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> Result<(), DatabaseError> {
        self.step("rename", from)?;
        fs::rename(from, to).map_err(DatabaseError::io("rename", from))
    }

    pub(super) fn remove(&self, path: &Path) -> Result<(), DatabaseError> {
        self.step("remove", path)?;
        fs::remove_file(path).map_err(DatabaseError::io("remove", path))
    }

    #[cfg(test)]
    fn step(&self, doing: &'static str, path: &Path) -> Result<(), DatabaseError> {
        let Some(left) = &self.steps_left else { return Ok(()) };
        if left.fetch_sub(1, std::sync::atomic::Ordering::Relaxed) > 0 {
            return Ok(());
        }
        Err(DatabaseError::io(doing, path)(std::io::Error::other("stopped by the test")))
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "only tests stop")]
    fn step(&self, _: &'static str, _: &Path) -> Result<(), DatabaseError> {
        Ok(())
    }
}

/// The numbered files of a folder with an extension, ascending. What has no number is not ours.
pub(super) fn numbered(folder: &Path, extension: &str) -> Result<Vec<u64>, DatabaseError> {
    let mut numbers = Vec::new();
    let failed = || DatabaseError::io("list", folder);
    for entry in fs::read_dir(folder).map_err(failed())? {
        let path = entry.map_err(failed())?.path();
        if path.extension().is_some_and(|found| found == extension) {
            numbers.extend(path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok()));
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The name of a numbered file.
pub(super) fn name(number: u64, extension: &str) -> String {
    format!("{number:010}.{extension}")
}
