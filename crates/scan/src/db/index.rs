//! The file: a magic, a header in JSON, a table of hashes sorted for search, and a block of JSON for each package.
//!
//! ```text
//! "PGVULN01" | header length u32 | entries u32 | header | entries × (hash u64, offset u64, length u32, CRC-32C u32)
//!            | CRC-32C of all that u32 | blocks
//! ```
//! All numbers are little-endian. Opening reads up to the blocks; a lookup reads one block.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use prograde_model::Diagnostic;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::advisory::Advisory;
use super::osv::stored_name;
use crate::codes;
use crate::ecosystem::Kind;

const MAGIC: &[u8; 8] = b"PGVULN01";
const FIXED_BYTES: usize = 16;
const ENTRY_BYTES: usize = 24;
/// The longest header that is read.
const HEADER_BYTES_MAX: u32 = 16 * 1024 * 1024;
/// The most packages: 16 million, a table of 400 MB.
const ENTRIES_MAX: u32 = 1 << 24;
/// The longest block that is read.
const BLOCK_BYTES_MAX: u32 = 512 * 1024 * 1024;

/// What a database says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Header {
    /// When it was made, RFC 3339.
    pub created: String,
    /// From what.
    pub sources: Vec<SourceInfo>,
    /// How many advisories it has for each ecosystem.
    pub ecosystems: BTreeMap<String, u64>,
}

/// What came from one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct SourceInfo {
    /// The path or address.
    pub name: String,
    /// How many advisories were taken.
    pub advisories: u64,
    /// How many were left out because they were taken back.
    pub withdrawn: u64,
    /// When the newest of them was changed, RFC 3339.
    pub newest: Option<String>,
}

/// Where blocks are read from.
#[derive(Debug)]
enum Blocks {
    File(File),
    Memory(Vec<u8>),
}

/// A database that is open.
#[derive(Debug)]
pub struct Database {
    /// What it says about itself.
    pub header: Header,
    name: String,
    table: Vec<u8>,
    start: u64,
    blocks: Blocks,
}

#[derive(Deserialize)]
struct Block {
    kind: String,
    name: String,
    advisories: Vec<Advisory>,
}

/// The hash under which a package is found.
pub(super) fn key(kind: Kind, name: &str) -> u64 {
    let digest = Sha256::new().chain_update(kind.name()).chain_update([0]).chain_update(name).finalize();
    digest.iter().take(8).fold(0, |key, byte| key << 8 | u64::from(*byte))
}

/// The whole file.
pub(super) fn write(header: &Header, mut blocks: Vec<(u64, Vec<u8>)>) -> Vec<u8> {
    blocks.sort_by_key(|(key, _)| *key);
    let text = serde_json::to_vec(header).unwrap_or_default();
    let mut file = Vec::new();
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    file.extend_from_slice(&u32::try_from(blocks.len()).unwrap_or(u32::MAX).to_le_bytes());
    file.extend_from_slice(&text);
    let mut offset = 0_u64;
    for (key, block) in &blocks {
        file.extend_from_slice(&key.to_le_bytes());
        file.extend_from_slice(&offset.to_le_bytes());
        file.extend_from_slice(&u32::try_from(block.len()).unwrap_or(u32::MAX).to_le_bytes());
        file.extend_from_slice(&crc32c::crc32c(block).to_le_bytes());
        offset += block.len() as u64;
    }
    file.extend_from_slice(&crc32c::crc32c(&file).to_le_bytes());
    for (_, block) in blocks {
        file.extend_from_slice(&block);
    }
    file
}

impl Database {
    /// Whether a file is a database, by its first bytes.
    pub fn is_one(start: &[u8]) -> bool {
        start.starts_with(MAGIC)
    }

    /// Opens a file; it reads the header and the table.
    pub fn open(path: &Path) -> Result<Self, Diagnostic> {
        let name = path.display().to_string();
        let mut file = File::open(path).map_err(|error| unreadable(&name, &error))?;
        let size = file.metadata().map_err(|error| unreadable(&name, &error))?.len();
        let mut read = |length: usize| -> Result<Vec<u8>, Diagnostic> {
            let mut bytes = vec![0; length];
            file.read_exact(&mut bytes).map_err(|_| damaged(&name, "it ends too early"))?;
            Ok(bytes)
        };
        let fixed = read(FIXED_BYTES)?;
        let (header_bytes, entries) = lengths(&name, &fixed, size)?;
        let head = read(header_bytes + entries * ENTRY_BYTES + 4)?;
        let start = (FIXED_BYTES + head.len()) as u64;
        let (header, table) = parse_head(&name, &fixed, &head, header_bytes)?;
        Ok(Self { header, name, table, start, blocks: Blocks::File(file) })
    }

    /// The same of bytes in memory.
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Self, Diagnostic> {
        let short = || damaged(name, "it ends too early");
        let fixed = bytes.get(..FIXED_BYTES).ok_or_else(short)?;
        let (header_bytes, entries) = lengths(name, fixed, bytes.len() as u64)?;
        let end = FIXED_BYTES + header_bytes + entries * ENTRY_BYTES + 4;
        let head = bytes.get(FIXED_BYTES..end).ok_or_else(short)?;
        let (header, table) = parse_head(name, fixed, head, header_bytes)?;
        Ok(Self { header, name: name.to_owned(), table, start: end as u64, blocks: Blocks::Memory(bytes) })
    }

    /// All advisories on a package.
    pub fn advisories(&self, kind: Kind, name: &str) -> Result<Vec<Advisory>, Diagnostic> {
        let name = stored_name(kind, name);
        let wanted = key(kind, &name);
        let count = self.table.len() / ENTRY_BYTES;
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.entry(middle).is_some_and(|entry| entry.key < wanted) { low = middle + 1 } else { high = middle }
        }
        let mut found = Vec::new();
        for at in low..count {
            let Some(entry) = self.entry(at).filter(|entry| entry.key == wanted) else { break };
            let block = self.block(&entry)?;
            if block.kind == kind.name() && block.name == name {
                found.extend(block.advisories);
            }
        }
        Ok(found)
    }

    /// Whether it has anything on an ecosystem.
    pub fn knows(&self, kind: Kind) -> bool {
        self.header.ecosystems.contains_key(kind.name())
    }

    /// How many packages it has something on.
    pub fn packages(&self) -> u64 {
        (self.table.len() / ENTRY_BYTES) as u64
    }

    /// Reads everything and checks it; gives the number of bytes.
    pub fn verify(&self) -> Result<u64, Diagnostic> {
        let mut bytes = self.start;
        for at in 0..self.table.len() / ENTRY_BYTES {
            let Some(entry) = self.entry(at) else { break };
            self.block(&entry)?;
            bytes += u64::from(entry.length);
        }
        Ok(bytes)
    }

    fn entry(&self, at: usize) -> Option<Entry> {
        let bytes = self.table.get(at * ENTRY_BYTES..(at + 1) * ENTRY_BYTES)?;
        Some(Entry {
            key: u64_at(bytes, 0)?,
            offset: u64_at(bytes, 8)?,
            length: u32_at(bytes, 16)?,
            crc: u32_at(bytes, 20)?,
        })
    }

    fn block(&self, entry: &Entry) -> Result<Block, Diagnostic> {
        if entry.length > BLOCK_BYTES_MAX {
            return Err(damaged(&self.name, "a block is longer than any may be"));
        }
        let place = self.start.saturating_add(entry.offset);
        let length = entry.length as usize;
        let bytes = match &self.blocks {
            Blocks::File(file) => {
                let mut bytes = vec![0; length];
                file.read_exact_at(&mut bytes, place).map_err(|_| damaged(&self.name, "it ends too early"))?;
                bytes
            }
            Blocks::Memory(all) => {
                let start = usize::try_from(place).unwrap_or(usize::MAX);
                let bytes = all.get(start..start.saturating_add(length));
                bytes.ok_or_else(|| damaged(&self.name, "it ends too early"))?.to_vec()
            }
        };
        if crc32c::crc32c(&bytes) != entry.crc {
            return Err(damaged(&self.name, "a checksum does not fit"));
        }
        serde_json::from_slice(&bytes).map_err(|error| damaged(&self.name, &error.to_string()))
    }
}

struct Entry {
    key: u64,
    offset: u64,
    length: u32,
    crc: u32,
}

/// The lengths of header and table, believed only as far as the file is long.
fn lengths(name: &str, fixed: &[u8], size: u64) -> Result<(usize, usize), Diagnostic> {
    if !fixed.starts_with(MAGIC) {
        return Err(damaged(name, "it does not begin as a database does"));
    }
    let (header, entries) = (u32_at(fixed, 8).unwrap_or(u32::MAX), u32_at(fixed, 12).unwrap_or(u32::MAX));
    let claimed = u64::from(header) + u64::from(entries) * ENTRY_BYTES as u64;
    if header > HEADER_BYTES_MAX || entries > ENTRIES_MAX || claimed > size {
        return Err(damaged(name, "it claims to be longer than it is"));
    }
    Ok((header as usize, entries as usize))
}

fn parse_head(name: &str, fixed: &[u8], head: &[u8], header_bytes: usize) -> Result<(Header, Vec<u8>), Diagnostic> {
    let short = || damaged(name, "it ends too early");
    let (body, crc) = head.split_at_checked(head.len().saturating_sub(4)).ok_or_else(short)?;
    let sum = crc32c::crc32c_append(crc32c::crc32c(fixed), body);
    if u32_at(crc, 0) != Some(sum) {
        return Err(damaged(name, "a checksum does not fit"));
    }
    let (header, table) = body.split_at_checked(header_bytes).ok_or_else(short)?;
    let header = serde_json::from_slice(header).map_err(|error| damaged(name, &error.to_string()))?;
    Ok((header, table.to_vec()))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn damaged(name: &str, why: &str) -> Diagnostic {
    let message = format!("the database of vulnerabilities can't be used: {why}");
    Diagnostic::file(codes::DATABASE_DAMAGED, name, message, "make it again with `prograde db update`")
}

fn unreadable(name: &str, error: &io::Error) -> Diagnostic {
    if error.kind() == io::ErrorKind::NotFound {
        let message = "there is no database of vulnerabilities here";
        return Diagnostic::file(
            codes::NO_DATABASE,
            name,
            message,
            "make it with `prograde db update`, or name one with `--db FILE`",
        );
    }
    damaged(name, &error.to_string())
}
