//! Where advisories are read from: zip archives and directories of JSON as OSV exports them, and the RustSec database as
//! a directory or a tar archive.

use std::fs::{self, File};
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use prograde_model::Diagnostic;

use super::build::Builder;
use crate::codes;

/// The largest advisory, in bytes.
const ADVISORY_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// The most files of one source.
const FILES_MAX: usize = 4_000_000;
/// The most bytes of one source, unpacked.
const TOTAL_BYTES_MAX: u64 = 32 * 1024 * 1024 * 1024;
/// How deep directories may stand within each other.
const DEPTH_MAX: usize = 16;

/// What has been read so far.
#[derive(Default)]
struct Spent {
    files: usize,
    bytes: u64,
}

/// Reads a source into the builder.
pub fn read_source(path: &Path, builder: &mut Builder) -> Result<(), Diagnostic> {
    let shown = path.display().to_string();
    builder.begin(&shown);
    let before = (builder.advisories(), builder.unreadable());
    let mut spent = Spent::default();
    let meta = fs::metadata(path).map_err(|error| cant_read(&shown, &error.to_string()))?;
    if meta.is_dir() {
        directory(path, builder, &mut spent)?;
    } else {
        file(path, builder, &mut spent)?;
    }
    if builder.advisories() == before.0 {
        let why = match builder.unreadable() - before.1 {
            0 => "it has no advisories on packages that are known".to_owned(),
            count => format!("none of its {count} advisories can be read"),
        };
        let hint = "expected a zip archive or a directory of OSV's JSON, or the RustSec database";
        return Err(Diagnostic::file(codes::ADVISORY_SOURCE, shown, why, hint));
    }
    Ok(())
}

fn cant_read(name: &str, why: &str) -> Diagnostic {
    Diagnostic::file(codes::ADVISORY_SOURCE, name, format!("advisories can't be read: {why}"), "")
}

fn file(path: &Path, builder: &mut Builder, spent: &mut Spent) -> Result<(), Diagnostic> {
    let shown = path.display().to_string();
    let mut opened = File::open(path).map_err(|error| cant_read(&shown, &error.to_string()))?;
    let mut start = [0_u8; 4];
    let length = opened.read(&mut start).map_err(|error| cant_read(&shown, &error.to_string()))?;
    opened.rewind().map_err(|error| cant_read(&shown, &error.to_string()))?;
    match start.get(..length).unwrap_or_default() {
        [b'P', b'K', ..] => archive(&shown, opened, builder, spent),
        [0x1f, 0x8b, ..] => tarball(&shown, flate2::read::GzDecoder::new(BufReader::new(opened)), builder, spent),
        _ if shown.ends_with(".tar") => tarball(&shown, BufReader::new(opened), builder, spent),
        _ => advisory(&shown, opened, builder, spent),
    }
}

/// One file: JSON of OSV, alone or as a list, or Markdown of RustSec. Others are left alone.
fn advisory(name: &str, reader: impl Read, builder: &mut Builder, spent: &mut Spent) -> Result<(), Diagnostic> {
    let (json, markdown) = (name.ends_with(".json"), name.ends_with(".md") && name.contains("RUSTSEC-"));
    if !json && !markdown {
        return Ok(());
    }
    spent.files += 1;
    let mut text = Vec::new();
    let read = reader.take(ADVISORY_BYTES_MAX + 1).read_to_end(&mut text);
    spent.bytes += text.len() as u64;
    if spent.files > FILES_MAX || spent.bytes > TOTAL_BYTES_MAX {
        let message = format!("there is more than {FILES_MAX} files or {TOTAL_BYTES_MAX} bytes");
        return Err(Diagnostic::file(codes::TOO_LARGE, name, message, "update from parts of it"));
    }
    if let Err(error) = read {
        builder.refuse(name, error.to_string());
    } else if text.len() as u64 > ADVISORY_BYTES_MAX {
        builder.refuse(name, format!("it has more than the {ADVISORY_BYTES_MAX} bytes that are read"));
    } else if markdown {
        builder.add_rustsec(name, &text);
    } else if text.trim_ascii_start().starts_with(b"[") {
        match serde_json::from_slice::<Vec<serde_json::Value>>(&text) {
            Ok(list) => list.iter().for_each(|one| builder.add_osv(name, one.to_string().as_bytes())),
            Err(error) => builder.refuse(name, error.to_string()),
        }
    } else {
        builder.add_osv(name, &text);
    }
    Ok(())
}

fn archive(shown: &str, opened: File, builder: &mut Builder, spent: &mut Spent) -> Result<(), Diagnostic> {
    let bad = |error: zip::result::ZipError| cant_read(shown, &error.to_string());
    let mut archive = zip::ZipArchive::new(BufReader::new(opened)).map_err(bad)?;
    for at in 0..archive.len() {
        let entry = archive.by_index(at);
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                builder.refuse(&format!("{shown}!{at}"), error.to_string());
                continue;
            }
        };
        if entry.is_file() {
            let name = entry.name().map_or_else(|_| at.to_string(), std::borrow::Cow::into_owned);
            let name = format!("{shown}!{name}");
            advisory(&name, entry, builder, spent)?;
        }
    }
    Ok(())
}

fn tarball(shown: &str, reader: impl Read, builder: &mut Builder, spent: &mut Spent) -> Result<(), Diagnostic> {
    let bad = |error: std::io::Error| cant_read(shown, &error.to_string());
    // The bound holds for what is skipped as well.
    let mut archive = tar::Archive::new(reader.take(TOTAL_BYTES_MAX));
    for entry in archive.entries().map_err(bad)? {
        let entry = entry.map_err(bad)?;
        if entry.header().entry_type().is_file() {
            let name = format!("{shown}!{}", String::from_utf8_lossy(&entry.path_bytes()));
            advisory(&name, entry, builder, spent)?;
        }
    }
    Ok(())
}

/// Files in order of their names, so that the same directory gives the same database.
fn directory(path: &Path, builder: &mut Builder, spent: &mut Spent) -> Result<(), Diagnostic> {
    let mut open: Vec<(PathBuf, usize)> = vec![(path.to_owned(), 0)];
    while let Some((folder, depth)) = open.pop() {
        let shown = folder.display().to_string();
        let bad = |error: std::io::Error| cant_read(&shown, &error.to_string());
        let mut entries: Vec<_> = fs::read_dir(&folder).map_err(bad)?.collect::<Result<_, _>>().map_err(bad)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let kind = entry.file_type().map_err(bad)?;
            let path = entry.path();
            let name = path.display().to_string();
            if kind.is_dir() && depth < DEPTH_MAX && entry.file_name() != ".git" {
                open.push((path, depth + 1));
            } else if kind.is_file() && name.ends_with(".zip") {
                file(&path, builder, spent)?;
            } else if kind.is_file() && (name.ends_with(".json") || name.ends_with(".md")) {
                let opened = File::open(&path).map_err(|error| cant_read(&name, &error.to_string()))?;
                advisory(&name, opened, builder, spent)?;
            }
        }
    }
    Ok(())
}
