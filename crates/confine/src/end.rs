//! How a container ended, in a file that outlives both it and the server which started it.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

const FILE: &str = "end.json";
const BYTES_MAX: u64 = 64 * 1024;

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// Its program ended with this status.
    Status(i32),
    /// Its program was ended by this signal.
    Signal(i32),
    /// The kernel ended a process of it, because its memory was used up.
    OutOfMemory,
    /// It could not be made, or its program could not be executed.
    Failed(String),
}

impl End {
    /// Writes it into the container's folder, whole or not at all.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        let (path, new) = (dir.join(FILE), dir.join("end.new"));
        fs::write(&new, serde_json::to_vec(self)?)?;
        fs::rename(new, path)
    }

    /// What the container's folder tells; none where nothing was told, because it was killed.
    pub fn read(dir: &Path) -> Option<Self> {
        let path = dir.join(FILE);
        let size = fs::metadata(&path).ok()?.len();
        serde_json::from_slice(&fs::read(path).ok().filter(|_| size <= BYTES_MAX)?).ok()
    }

    /// Forgets the end before.
    pub fn forget(dir: &Path) -> io::Result<()> {
        match fs::remove_file(dir.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_read_as_it_was_written_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(End::read(dir.path()), None);
        End::forget(dir.path()).unwrap();
        for end in [End::Status(3), End::Signal(9), End::OutOfMemory, End::Failed("no".to_owned())] {
            end.write(dir.path()).unwrap();
            assert_eq!(End::read(dir.path()), Some(end));
        }
        for hostile in ["", "null", r#"{"status":"x"}"#, r#"{"status":99999999999}"#, &"[".repeat(1000)] {
            fs::write(dir.path().join(FILE), hostile).unwrap();
            assert_eq!(End::read(dir.path()), None);
        }
        End::forget(dir.path()).unwrap();
        assert_eq!(End::read(dir.path()), None);
    }
}
