//! Blocks: all samples of some hours in one file that never changes.
//!
//! | part | content |
//! |---|---|
//! | header | `PGBLK\n` and the format's number in two bytes, the lowest first |
//! | pages | in any order, each with the CRC-32C (RFC 3720, appendix B.4) of its content behind it; chunks are pages as well |
//! | directory | a page that says where the others are |
//! | footer | the directory's offset and length in 8 bytes each, the CRC-32C of these 16, and `PGBLKEND` |
//!
//! The pages are
//!
//! - **texts**: all names and values of labels, sorted, [`TEXTS_PER_PAGE`] to a page; a text is known by its place in the order;
//! - **series**: sorted by their labels, [`SERIES_PER_PAGE`] to a page: the texts of their labels, and for each of their chunks
//!   its times, its number of samples, which says what they are, and its length; a series' chunks lie behind each other;
//! - **values**: of each label the values, sorted, [`VALUES_PER_PAGE`] to a page, and where their series are listed;
//! - **postings**: of each value the series, ascending, as differences;
//! - **chunks**: as they were in memory.
//!
//! Only the directory is held in memory, with the first value of each page of values: some kilobytes for a hundred thousand
//! series. Everything else is read with `pread` when a query needs it, and is in the system's page cache where it is needed
//! often. Mapping the file would save a copy, but is `unsafe`, and a disk's error would end the process.

mod directory;
mod reader;
mod select;
mod writer;

pub(super) use reader::Block;
pub(super) use select::{Found, Walk};
pub(super) use writer::{BlockWriter, Texts};

/// How many texts share a page.
const TEXTS_PER_PAGE: usize = 256;
/// How many series share a page.
const SERIES_PER_PAGE: usize = 128;
/// How many values share a page.
const VALUES_PER_PAGE: usize = 256;

/// The extension of blocks.
pub(super) const EXTENSION: &str = "block";

const LETTERS: [u8; 6] = *b"PGBLK\n";
/// Format 1 has no histograms.
const FORMAT: u16 = 2;
const HEADER_BYTES: usize = 8;
const END: [u8; 8] = *b"PGBLKEND";
const FOOTER_BYTES: usize = 28;
/// The checksum behind each page.
const SUM_BYTES: usize = 4;
