//! What is known to be wrong with packages: advisories in OSV's format and RustSec's, in one indexed file.
//!
//! Invariant: a lookup reads the index and the advisories of that one package, and whatever it reads was checked
//! against a checksum. The file is replaced as a whole or not at all.

mod advisory;
mod build;
mod index;
mod osv;
mod rustsec;
mod sources;

pub use advisory::{Advisory, Affected, Event, Interval, Range, RangeKind};
pub use build::Builder;
pub use index::{Database, Header, SourceInfo};
pub use sources::read_source;

#[cfg(test)]
mod tests;
