//! The hash of one event, as the crate's documentation defines it. What is hashed is what is stored, byte for byte.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

/// SHA-256 of an event.
pub(crate) type Hash = [u8; 32];

/// What stands for the hash before the first event.
pub(crate) const NO_HASH: Hash = [0; 32];

/// The hashed columns of one event, in the order of hashing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link<'a> {
    pub(crate) previous: &'a Hash,
    pub(crate) sequence: u64,
    pub(crate) subject: &'a str,
    pub(crate) subject_version: u64,
    pub(crate) event_type: &'a str,
    pub(crate) version: u32,
    pub(crate) at: &'a str,
    pub(crate) payload: &'a str,
}

impl Link<'_> {
    pub(crate) fn hash(&self) -> Hash {
        let mut hasher = Sha256::new();
        let mut field = |bytes: &[u8]| {
            hasher.update((bytes.len() as u64).to_be_bytes());
            hasher.update(bytes);
        };
        field(self.previous);
        field(self.sequence.to_string().as_bytes());
        field(self.subject.as_bytes());
        field(self.subject_version.to_string().as_bytes());
        field(self.event_type.as_bytes());
        field(self.version.to_string().as_bytes());
        field(self.at.as_bytes());
        field(self.payload.as_bytes());
        hasher.finalize().into()
    }
}

/// The time as it is stored and hashed; `None` before year 0, which RFC 3339 can't write.
pub(crate) fn time_text(at: Timestamp) -> Option<String> {
    let text = format!("{at:.9}");
    (!text.starts_with('-')).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Link<'_> = Link {
        previous: &NO_HASH,
        sequence: 1,
        subject: "flight/4bf92f3577b34da6a3ce929d0e0e4736",
        subject_version: 1,
        event_type: "flight.opened",
        version: 1,
        at: "2026-01-02T03:04:05.000000006Z",
        payload: r#"{"commit":"0123","é":1.5}"#,
    };

    #[test]
    fn the_encoding_is_the_documented_one() {
        // Computed with Python's hashlib from the table in the crate's documentation.
        assert_eq!(hex::encode(FIRST.hash()), "b89d5ce4de22eeda95fbee5db59209d5e1b456ec65d0ab910a973645eaf48e11");
    }

    #[test]
    fn every_field_and_every_border_between_fields_counts() {
        let other = [1; 32];
        let changed = [
            Link { previous: &other, ..FIRST },
            Link { sequence: 2, ..FIRST },
            Link { subject: "flight/4bf92f3577b34da6a3ce929d0e0e4737", ..FIRST },
            Link { subject_version: 2, ..FIRST },
            Link { event_type: "flight.closed", ..FIRST },
            Link { version: 2, ..FIRST },
            Link { at: "2026-01-02T03:04:05.000000007Z", ..FIRST },
            Link { payload: r#"{"commit":"0123","é":1.50}"#, ..FIRST },
            // The same bytes, divided otherwise.
            Link { sequence: 11, subject_version: 1, subject: "", ..FIRST },
            Link { sequence: 1, subject_version: 11, subject: "", ..FIRST },
            Link { event_type: "flight.opened1", version: 1, ..FIRST },
            Link { event_type: "flight.opened", version: 11, ..FIRST },
        ];
        let mut hashes: Vec<Hash> = changed.iter().map(Link::hash).chain([FIRST.hash()]).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), changed.len() + 1);
    }

    #[test]
    fn times_have_nine_digits_and_a_four_digit_year() {
        let text = |at: &str| time_text(at.parse().unwrap());
        assert_eq!(text("2026-01-02T03:04:05Z").unwrap(), "2026-01-02T03:04:05.000000000Z");
        assert_eq!(text("0000-01-01T00:00:00.5+00:00").unwrap(), "0000-01-01T00:00:00.500000000Z");
        assert_eq!(text("-000001-01-01T00:00:00Z"), None);
    }
}
