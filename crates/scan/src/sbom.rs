//! Bills of materials: written as CycloneDX 1.6, SPDX 2.3 and SPDX 3.0, read from all three, and compared.
//!
//! Invariant: the same inventory under the same name and time gives the same bytes.

mod components;
mod cyclonedx;
mod diff;
mod read;
mod spdx2;
mod spdx3;

pub use cyclonedx::write as cyclonedx;
pub(crate) use cyclonedx::{number, tools};
pub use diff::{Change, Diff, diff};
pub use read::{is_one, read};
pub use spdx2::write as spdx2;
pub use spdx3::write as spdx3;

/// What a document says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The name of what is described.
    pub name: String,
    /// Its version, where one is known.
    pub version: Option<String>,
    /// When the document was made, RFC 3339 to the second.
    pub created: Option<String>,
    /// The version of this program.
    pub tool_version: String,
}

/// When a document without a time is said to be made where its format wants one.
const EPOCH: &str = "1970-01-01T00:00:00Z";

/// A UUID that follows from a content (RFC 9562, version 8).
fn uuid_of(content: &[u8]) -> String {
    use sha2::Digest;
    let hash = sha2::Sha256::digest(content);
    let mut bytes = [0_u8; 16];
    for (to, from) in bytes.iter_mut().zip(hash) {
        *to = from;
    }
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
    *version = *version & 0x0f | 0x80;
    *variant = *variant & 0x3f | 0x80;
    let digits = hex::encode(bytes);
    let parts = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)];
    parts.map(|(start, end)| digits.get(start..end).unwrap_or_default()).join("-")
}

#[cfg(test)]
mod tests;
