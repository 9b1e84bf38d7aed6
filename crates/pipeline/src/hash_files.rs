//! `hashFiles`: one hash over all files that the patterns match (GitHub's documentation of expressions).

use std::fs;
use std::io;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use crate::files::{FilesError, Search, find};

/// The SHA-256 of the SHA-256s of all files, in the order of their paths; empty where nothing matches.
pub(crate) fn hash(workspace: &Path, patterns: &[String]) -> Result<String, FilesError> {
    let lines = patterns.iter().flat_map(|pattern| pattern.lines()).map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let searches = lines.map(|line| Search::new(line, workspace)).collect::<Result<Vec<_>, _>>()?;
    let files = find(&searches, &[workspace.to_owned()], true, &CancellationToken::new())?;
    if files.is_empty() {
        return Ok(String::new());
    }
    let mut all = Sha256::new();
    for path in files {
        let mut file = fs::File::open(&path).map_err(|error| FilesError::io(&path, error))?;
        let mut one = Sha256::new();
        io::copy(&mut file, &mut HashWriter(&mut one)).map_err(|error| FilesError::io(&path, error))?;
        all.update(one.finalize());
    }
    Ok(hex::encode(all.finalize()))
}

struct HashWriter<'a>(&'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_of_the_contents_hashes() {
        let directory = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(directory.path()).unwrap();
        fs::write(root.join("a.lock"), "a").unwrap();
        fs::write(root.join("b.lock"), "b").unwrap();
        let expected = hex::encode(Sha256::digest([Sha256::digest("a"), Sha256::digest("b")].concat()));
        assert_eq!(hash(&root, &["*.lock".to_owned()]).unwrap(), expected);
        assert_eq!(hash(&root, &["*.nope".to_owned()]).unwrap(), "");
        assert_ne!(hash(&root, &["*.lock\n!b.lock".to_owned()]).unwrap(), expected);
        assert!(hash(&root, &["../*".to_owned()]).is_err());
    }
}
