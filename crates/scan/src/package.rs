//! What a thing is made of: packages, who needs whom, and what could not be told.

use std::collections::BTreeSet;

use prograde_model::Diagnostic;
use serde::Serialize;

use crate::ecosystem::{Ecosystem, Kind};
use crate::purl;

/// What a package is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// To run.
    Runtime,
    /// To run, where it can be had.
    Optional,
    /// To build and to test.
    Development,
}

/// From where a package is taken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The ecosystem's public registry.
    Registry,
    /// Another registry, or a file at an address.
    Url(String),
    /// A Git repository, with the commit after `#` or `@` where it is known.
    Git(String),
    /// Beside the file that names it: part of the project itself.
    Local,
}

/// A checksum of what is installed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hash {
    /// The algorithm, as CycloneDX spells it: `SHA-256`.
    pub algorithm: &'static str,
    /// Hex digits.
    pub digits: String,
}

/// The package that a distribution built another one from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// One package as one file names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Where it comes from.
    pub ecosystem: Ecosystem,
    /// Its name, as its ecosystem writes it; Maven's are `group:artifact`.
    pub name: String,
    /// Its version; none where the file does not say it.
    pub version: Option<String>,
    /// What a distribution built it from.
    pub source: Option<Source>,
    /// Its licence, as it declares it.
    pub licence: Option<String>,
    /// Checksums.
    pub hashes: Vec<Hash>,
    /// What it is needed for.
    pub scope: Scope,
    /// From where it is taken.
    pub origin: Origin,
    /// The architecture, where a distribution says one.
    pub architecture: Option<String>,
    /// The file that names it.
    pub file: String,
    /// The line in it, from 1; 0 where lines mean nothing.
    pub line: u32,
    /// The packages that it needs, by their places in the inventory.
    pub needs: Vec<usize>,
}

impl Package {
    /// A package of a registry that is needed to run.
    pub fn new(kind: Kind, name: impl Into<String>, version: Option<String>, file: &str, line: u32) -> Self {
        Self {
            ecosystem: Ecosystem::of(kind),
            name: name.into(),
            version: version.filter(|version| !version.is_empty()),
            source: None,
            licence: None,
            hashes: Vec::new(),
            scope: Scope::Runtime,
            origin: Origin::Registry,
            architecture: None,
            file: file.to_owned(),
            line,
            needs: Vec::new(),
        }
    }

    /// The package URL.
    pub fn purl(&self) -> String {
        purl::of(self)
    }

    /// Name and version, for people.
    pub fn shown(&self) -> String {
        match &self.version {
            Some(version) => format!("{} {version}", self.name),
            None => self.name.clone(),
        }
    }
}

/// What an image's operating system says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Distribution {
    /// `ID`, such as `debian`.
    pub id: String,
    /// `VERSION_ID`, such as `12`.
    pub version: String,
    /// `PRETTY_NAME`.
    pub name: String,
}

/// The project that a lock file belongs to, and what it needs itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Its name, where the file says it.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// The file.
    pub file: String,
    /// The packages that it needs directly.
    pub needs: Vec<usize>,
}

/// Everything that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// All packages.
    pub packages: Vec<Package>,
    /// The projects.
    pub roots: Vec<Root>,
    /// The operating system of an image.
    pub distribution: Option<Distribution>,
    /// The files that packages were found in.
    pub files: Vec<String>,
    /// What could not be told, such as a version that is not pinned. No error: the rest stands.
    pub notes: Vec<Diagnostic>,
    /// Files that could not be read, so that what they name is missing here.
    pub errors: Vec<Diagnostic>,
}

impl Inventory {
    /// Of one file, still empty.
    pub fn of_file(file: &str) -> Self {
        Self { files: vec![file.to_owned()], ..Self::default() }
    }

    /// Adds another inventory's packages behind the own ones.
    pub fn merge(&mut self, mut other: Self) {
        let offset = self.packages.len();
        for package in &mut other.packages {
            for need in &mut package.needs {
                *need += offset;
            }
        }
        for root in &mut other.roots {
            for need in &mut root.needs {
                *need += offset;
            }
        }
        self.packages.append(&mut other.packages);
        self.roots.append(&mut other.roots);
        self.files.append(&mut other.files);
        self.notes.append(&mut other.notes);
        self.errors.append(&mut other.errors);
        if other.distribution.is_some() {
            self.distribution = other.distribution;
        }
    }

    /// Marks as for development whatever nothing but `development` leads to. Files that do not say what is for
    /// development say at least what the project needs for it.
    pub(crate) fn mark_development(&mut self, runtime: &[usize], development: &[usize]) {
        let needed = self.reached(runtime);
        for at in self.reached(development).difference(&needed) {
            if let Some(package) = self.packages.get_mut(*at) {
                package.scope = Scope::Development;
            }
        }
    }

    fn reached(&self, from: &[usize]) -> BTreeSet<usize> {
        let mut seen = BTreeSet::new();
        let mut open = from.to_vec();
        while let Some(at) = open.pop() {
            if seen.insert(at) {
                open.extend(self.packages.get(at).map(|package| package.needs.as_slice()).unwrap_or_default());
            }
        }
        seen
    }
}

/// Where lines begin in a text.
#[derive(Debug)]
pub(crate) struct Lines(Vec<usize>);

impl Lines {
    pub(crate) fn of(text: &str) -> Self {
        Self(memchr::memchr_iter(b'\n', text.as_bytes()).collect())
    }

    /// The line of a byte, from 1.
    pub(crate) fn at(&self, byte: usize) -> u32 {
        u32::try_from(self.0.partition_point(|end| *end < byte)).unwrap_or(u32::MAX - 1) + 1
    }
}

/// Finds things in the order in which they stand in a text, each from where the last one was found.
pub(crate) struct Cursor<'a> {
    text: &'a str,
    lines: Lines,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, lines: Lines::of(text), at: 0 }
    }

    /// The line of the next place with this text; 0 where there is none any more.
    pub(crate) fn line_of(&mut self, needle: &str) -> u32 {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let Some(found) = memchr::memmem::find(rest, needle.as_bytes()) else { return 0 };
        let place = self.at + found;
        self.at = place + needle.len();
        self.lines.at(place)
    }
}

/// A checksum in the form of Subresource Integrity: `sha512-…` in base64. Unknown algorithms are left out.
pub(crate) fn integrity(text: &str) -> Vec<Hash> {
    use base64::Engine;
    let one = |part: &str| {
        let (name, value) = part.split_once('-')?;
        let algorithm = algorithm(name)?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(value.split('?').next()?).ok()?;
        Some(Hash { algorithm, digits: hex::encode(bytes) }).filter(is_whole)
    };
    text.split_whitespace().filter_map(one).collect()
}

/// A checksum in the form `sha256:…` in hex digits.
pub(crate) fn hex_hash(text: &str) -> Option<Hash> {
    let (name, digits) = text.split_once([':', '='])?;
    let hash = Hash { algorithm: algorithm(name)?, digits: digits.to_ascii_lowercase() };
    Some(hash).filter(is_whole)
}

fn is_whole(hash: &Hash) -> bool {
    let length = match hash.algorithm {
        "MD5" => 32,
        "SHA-1" => 40,
        "SHA-256" => 64,
        "SHA-384" => 96,
        _ => 128,
    };
    hash.digits.len() == length && hash.digits.bytes().all(|b| b.is_ascii_hexdigit())
}

fn algorithm(name: &str) -> Option<&'static str> {
    Some(match name.to_ascii_lowercase().as_str() {
        "md5" => "MD5",
        "sha1" => "SHA-1",
        "sha256" => "SHA-256",
        "sha384" => "SHA-384",
        "sha512" => "SHA-512",
        _ => return None,
    })
}
