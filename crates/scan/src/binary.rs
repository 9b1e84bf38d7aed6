//! Programs built with `cargo auditable`: what they are made of stands in them as JSON, compressed with zlib, in the
//! section `.dep-v0` (github.com/rust-secure-code/cargo-auditable, PARSING.md).

use std::io::Read;

use object::{Object, ObjectSection};
use prograde_model::Diagnostic;
use serde::Deserialize;

use crate::codes;
use crate::ecosystem::Kind;
use crate::package::{Inventory, Origin, Package, Root, Scope};

/// The most bytes that the list may have, unpacked.
const JSON_BYTES_MAX: u64 = 16 * 1024 * 1024;
const SECTION: &str = ".dep-v0";

#[derive(Deserialize)]
struct List {
    packages: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    version: String,
    #[serde(default)]
    source: String,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    dependencies: Vec<usize>,
    #[serde(default)]
    root: bool,
}

/// Whether a file is a program, by its first bytes.
pub fn is_binary(start: &[u8]) -> bool {
    start.starts_with(b"\x7fELF")
        || start.starts_with(b"MZ")
        || start.starts_with(&[0xcf, 0xfa, 0xed, 0xfe])
        || start.starts_with(&[0xfe, 0xed, 0xfa, 0xcf])
}

/// What a program is made of; none where it does not say.
pub fn read(file: &str, bytes: &[u8]) -> Result<Option<Inventory>, Diagnostic> {
    let Some(packed) = section(bytes) else { return Ok(None) };
    let bad = |why: String| {
        let message = format!("the section `{SECTION}` can't be read: {why}");
        Diagnostic::file(codes::LOCK_FORM, file, message, "build the program again with `cargo auditable build`")
    };
    let mut text = Vec::new();
    let unpacker = flate2::read::ZlibDecoder::new(packed.as_slice());
    unpacker.take(JSON_BYTES_MAX + 1).read_to_end(&mut text).map_err(|error| bad(error.to_string()))?;
    if text.len() as u64 > JSON_BYTES_MAX {
        let message = format!("the section `{SECTION}` unpacks to more than the {JSON_BYTES_MAX} bytes that are read");
        return Err(Diagnostic::file(codes::TOO_LARGE, file, message, ""));
    }
    let list: List = serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
    let count = list.packages.len();
    let mut inventory = Inventory::of_file(file);
    for entry in list.packages {
        if entry.dependencies.iter().any(|at| *at >= count) {
            return Err(bad(format!("`{}` needs a package that is not listed", entry.name)));
        }
        let mut package = Package::new(Kind::CratesIo, entry.name, Some(entry.version), file, 0);
        package.origin = match entry.source.as_str() {
            "" | "crates.io" => Origin::Registry,
            "local" => Origin::Local,
            "git" => Origin::Git("unknown".to_owned()),
            other => Origin::Url(other.to_owned()),
        };
        if entry.kind.as_deref() == Some("build") {
            package.scope = Scope::Development;
        }
        package.needs = entry.dependencies;
        if entry.root {
            let (name, version) = (Some(package.name.clone()), package.version.clone());
            inventory.roots.push(Root { name, version, file: file.to_owned(), needs: package.needs.clone() });
            package.origin = Origin::Local;
        }
        inventory.packages.push(package);
    }
    Ok(Some(inventory))
}

fn section(bytes: &[u8]) -> Option<Vec<u8>> {
    memchr::memmem::find(bytes, SECTION.as_bytes())?;
    let file = object::File::parse(bytes).ok()?;
    let section = file.section_by_name(SECTION)?;
    section.data().ok().map(<[u8]>::to_vec)
}
