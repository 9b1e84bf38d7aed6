//! Layers, applied one over the other as far as packages are concerned (OCI image specification, layer.md).

use std::collections::BTreeMap;
use std::io::{self, Read};

use prograde_model::Diagnostic;
use sha2::{Digest, Sha256};

use super::archive::Layer;
use super::{BYTES_MAX, distribution, malformed};
use crate::package::Inventory;
use crate::{binary, codes, lock};

/// The largest file that is looked into, in bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// The most files of all layers.
const ENTRIES_MAX: u64 = 10_000_000;
/// The most bytes that are kept of all files.
const KEPT_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// What matters of a file.
enum Kept {
    Text(Vec<u8>),
    Program(Inventory),
}

/// The files that matter, by their paths without a slash in front.
#[derive(Default)]
pub(super) struct Tree {
    files: BTreeMap<String, Kept>,
    notes: Vec<Diagnostic>,
    bytes: u64,
    kept: u64,
    entries: u64,
}

/// Hashes and counts what passes.
struct Hashing<'a> {
    inner: &'a mut dyn Read,
    hash: Sha256,
}

impl Read for Hashing<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(into)?;
        self.hash.update(into.get(..length).unwrap_or_default());
        Ok(length)
    }
}

pub(super) fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

impl Tree {
    pub(super) fn apply(&mut self, reader: &mut dyn Read, layer: &Layer, shown: &str) -> Result<(), Diagnostic> {
        let bad = |error: io::Error| malformed(shown, format!("a layer can't be read: {error}"));
        let mut hashing = Hashing { inner: reader, hash: Sha256::new() };
        let mut start = Vec::new();
        (&mut hashing).take(4).read_to_end(&mut start).map_err(bad)?;
        let whole = io::Cursor::new(start.clone()).chain(&mut hashing);
        match start.as_slice() {
            [0x1f, 0x8b, ..] => self.unpack(flate2::read::MultiGzDecoder::new(whole), shown)?,
            [0x28, 0xb5, 0x2f, 0xfd] => {
                let decoder =
                    ruzstd::decoding::StreamingDecoder::new(whole).map_err(|error| malformed(shown, error))?;
                self.unpack(decoder, shown)?;
            }
            _ => self.unpack(whole, shown)?,
        }
        io::copy(&mut hashing, &mut io::sink()).map_err(bad)?;
        let digest = format!("sha256:{}", hex::encode(hashing.hash.finalize()));
        match &layer.digest {
            Some(said) if said.starts_with("sha256:") && *said != digest => {
                Err(malformed(shown, format!("a layer is not what its digest {said} says")))
            }
            _ => Ok(()),
        }
    }

    fn unpack(&mut self, reader: impl Read, shown: &str) -> Result<(), Diagnostic> {
        let bad = |error: io::Error| malformed(shown, format!("a layer can't be read: {error}"));
        let left = BYTES_MAX.saturating_sub(self.bytes);
        let mut counted = Counted { inner: reader, count: 0, limit: left };
        let mut hidden = Vec::new();
        let mut added = BTreeMap::new();
        let mut archive = tar::Archive::new(&mut counted);
        for entry in archive.entries().map_err(bad)? {
            let mut entry = entry.map_err(bad)?;
            self.entries += 1;
            if self.entries > ENTRIES_MAX {
                return Err(Diagnostic::file(
                    codes::TOO_LARGE,
                    shown,
                    format!("it has more than {ENTRIES_MAX} files"),
                    "",
                ));
            }
            let path =
                String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").trim_matches('/').to_owned();
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
            if let Some(removed) = name.strip_prefix(".wh.") {
                let folder = if folder.is_empty() { String::new() } else { format!("{folder}/") };
                hidden.push(if removed == ".wh..opq" { folder } else { format!("{folder}{removed}") });
                continue;
            }
            let executable = entry.header().mode().is_ok_and(|mode| mode & 0o111 != 0);
            let kind = entry.header().entry_type();
            if !kind.is_file() {
                hidden.extend((!kind.is_dir()).then(|| path.clone()));
                continue;
            }
            if let Some(kept) = self.look_into(&path, executable, entry.size(), &mut entry, shown)? {
                added.insert(path, kept);
            } else {
                hidden.push(path);
            }
        }
        self.bytes += counted.count;
        for path in hidden {
            let inside = format!("{}/", path.trim_end_matches('/'));
            self.files.retain(|name, _| *name != path && !name.starts_with(&inside));
        }
        self.files.append(&mut added);
        Ok(())
    }

    fn look_into(
        &mut self,
        path: &str,
        executable: bool,
        size: u64,
        reader: &mut impl Read,
        shown: &str,
    ) -> Result<Option<Kept>, Diagnostic> {
        let bad = |error: io::Error| malformed(shown, format!("`{path}` can't be read: {error}"));
        let wanted = distribution::is_wanted(path) || (lock::kind_of(path).is_some() && !in_package(path));
        if !(wanted || executable) {
            return Ok(None);
        }
        if size > FILE_BYTES_MAX {
            let message = format!("`{path}` has {size} bytes and is not looked into");
            self.notes.push(Diagnostic::file(codes::TOO_LARGE, shown, message, ""));
            return Ok(None);
        }
        let mut bytes = Vec::new();
        if !wanted {
            reader.take(4).read_to_end(&mut bytes).map_err(bad)?;
            if !binary::is_binary(&bytes) {
                return Ok(None);
            }
        }
        reader.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(bad)?;
        if !wanted {
            return match binary::read(path, &bytes) {
                Ok(found) => Ok(found.map(Kept::Program)),
                Err(error) => {
                    self.notes.push(error);
                    Ok(None)
                }
            };
        }
        self.kept += bytes.len() as u64;
        if self.kept > KEPT_BYTES_MAX {
            return Err(Diagnostic::file(
                codes::TOO_LARGE,
                shown,
                "its lists of packages are larger than what is read",
                "",
            ));
        }
        Ok(Some(Kept::Text(bytes)))
    }

    /// The packages of all files.
    pub(super) fn inventory(self, shown: &str) -> Result<Inventory, Diagnostic> {
        let mut inventory = Inventory { notes: self.notes, files: vec![shown.to_owned()], ..Inventory::default() };
        let texts: BTreeMap<&str, String> = self
            .files
            .iter()
            .filter_map(|(path, kept)| match kept {
                Kept::Text(bytes) => Some((path.as_str(), String::from_utf8_lossy(bytes).into_owned())),
                Kept::Program(_) => None,
            })
            .collect();
        inventory.merge(distribution::inventory(&texts, shown));
        let beside = |name: &str| texts.get(name).cloned();
        for (path, kept) in &self.files {
            match kept {
                Kept::Program(found) => inventory.merge(found.clone()),
                Kept::Text(_) => {
                    let Some((kind, text)) = lock::kind_of(path).zip(texts.get(path.as_str())) else { continue };
                    match lock::parse(kind, path, text, &beside) {
                        Ok(found) => inventory.merge(found),
                        Err(error) => inventory.errors.push(error),
                    }
                }
            }
        }
        Ok(inventory)
    }
}

/// Installed packages bring along lock files of their own that say nothing of what is installed.
fn in_package(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, "node_modules" | "site-packages" | "dist-packages" | "gems"))
}

/// Counts what passes, and ends with an error where there is more than there may be.
struct Counted<R> {
    inner: R,
    count: u64,
    limit: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(into)?;
        self.count += length as u64;
        if self.count > self.limit {
            return Err(io::Error::other(format!("it unpacks to more than {BYTES_MAX} bytes")));
        }
        Ok(length)
    }
}
