//! Makes the indexed file from advisories.

use std::collections::BTreeMap;

use prograde_model::Diagnostic;
use serde_json::json;

use super::advisory::Advisory;
use super::index::{self, Header, SourceInfo};
use super::osv::Read;
use super::{osv, rustsec};
use crate::codes;
use crate::ecosystem::Kind;

/// How many unreadable advisories are told one by one.
const NOTES_MAX: usize = 20;

/// Collects advisories.
#[derive(Debug, Default)]
pub struct Builder {
    packages: BTreeMap<(Kind, String), BTreeMap<String, String>>,
    sources: Vec<SourceInfo>,
    /// Advisories that can't be read, and what could not be taken from others.
    pub notes: Vec<Diagnostic>,
    unreadable: usize,
    git_ranges: usize,
}

impl Builder {
    /// Begins a source; what is added from now on is from it.
    pub fn begin(&mut self, name: &str) {
        self.sources.push(SourceInfo { name: name.to_owned(), ..SourceInfo::default() });
    }

    /// Names the last source by where it was fetched from.
    pub fn rename_source(&mut self, name: &str) {
        if let Some(source) = self.sources.last_mut() {
            name.clone_into(&mut source.name);
        }
    }

    /// How many advisories were taken.
    pub fn advisories(&self) -> u64 {
        self.sources.iter().map(|source| source.advisories).sum()
    }

    /// How many could not be read.
    pub fn unreadable(&self) -> usize {
        self.unreadable
    }

    /// How many ranges were of Git commits, about which versions say nothing.
    pub fn git_ranges(&self) -> usize {
        self.git_ranges
    }

    /// Adds an advisory in OSV's format.
    pub fn add_osv(&mut self, file: &str, text: &[u8]) {
        self.add(file, osv::read(text));
    }

    /// Adds an advisory in RustSec's format.
    pub fn add_rustsec(&mut self, file: &str, text: &[u8]) {
        let text = std::str::from_utf8(text).map_err(|error| error.to_string());
        self.add(file, text.and_then(rustsec::read));
    }

    /// Leaves out an advisory, with the reason.
    pub fn refuse(&mut self, file: &str, why: impl Into<String>) {
        self.unreadable += 1;
        if self.notes.len() < NOTES_MAX {
            self.notes.push(Diagnostic::file(codes::ADVISORY_FORM, file, why, "it is left out; the others stand"));
        }
    }

    fn add(&mut self, file: &str, read: Result<Read, String>) {
        let read = match read {
            Ok(read) => read,
            Err(why) => return self.refuse(file, why),
        };
        self.git_ranges += read.git_ranges;
        let Some(source) = self.sources.last_mut() else { return };
        if read.withdrawn {
            source.withdrawn += 1;
            return;
        }
        if !read.advisories.is_empty() {
            source.advisories += 1;
        }
        for (key, advisory) in read.advisories {
            if let Some(modified) =
                advisory.modified.as_ref().filter(|modified| source.newest.as_ref() < Some(modified))
            {
                source.newest = Some(modified.clone());
            }
            self.packages.entry(key).or_default().insert(advisory.id.clone(), text_of(&advisory));
        }
    }

    /// The file's bytes.
    pub fn finish(self, created: &str) -> Vec<u8> {
        let mut ecosystems: BTreeMap<String, u64> = BTreeMap::new();
        let mut blocks = Vec::with_capacity(self.packages.len());
        for ((kind, name), advisories) in self.packages {
            *ecosystems.entry(kind.name().to_owned()).or_default() += advisories.len() as u64;
            let head = json!({"kind": kind.name(), "name": name}).to_string();
            let all: Vec<String> = advisories.into_values().collect();
            let block = format!("{},\"advisories\":[{}]}}", head.trim_end_matches('}'), all.join(","));
            blocks.push((index::key(kind, &name), block.into_bytes()));
        }
        let header = Header { created: created.to_owned(), sources: self.sources, ecosystems };
        index::write(&header, blocks)
    }
}

fn text_of(advisory: &Advisory) -> String {
    // Strings, numbers and lists of them: there is nothing that can't be written.
    serde_json::to_string(advisory).unwrap_or_default()
}
