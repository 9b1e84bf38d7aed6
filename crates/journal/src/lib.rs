//! Prograde's journal: an append-only, hash-chained record of events in one SQLite file.
//!
//! The journal knows what an event looks like, not what it means: a subject, a type, a version of that type, a time
//! and a JSON payload. It promises that
//!
//! * an append is all or nothing, and succeeds only if its subject still is at the version that the caller saw;
//! * what was acknowledged is on the disk (write-ahead log, `synchronous=FULL`) and is there after a crash;
//! * `sequence` counts 1, 2, 3 over the journal, and `subject_version` 1, 2, 3 within a subject, without gaps;
//! * nothing that was altered is ever read as if it were not: every read checks the event against its hash.
//!
//! Times are the caller's and are stored as given. A clock may be set back, so a later `sequence` may carry an earlier
//! `at`: order is what `sequence` says.
//!
//! # The hash chain
//!
//! Each event has a hash, the SHA-256 (FIPS 180-4) of these eight fields one after the other, each preceded by its
//! length in bytes as an unsigned 64-bit big-endian number:
//!
//! | field | bytes |
//! |---|---|
//! | previous hash | the 32 bytes of the event with the preceding `sequence`; 32 zero bytes for event 1 |
//! | `sequence` | decimal digits |
//! | `subject` | UTF-8 |
//! | `subject_version` | decimal digits |
//! | `event_type` | UTF-8 |
//! | `version` | decimal digits |
//! | `at` | RFC 3339 in UTC with nine digits of fraction, such as `2026-01-02T03:04:05.000000000Z` |
//! | `payload` | the JSON text exactly as stored, UTF-8 |
//!
//! The columns of table `event` hold exactly these texts and numbers, and `hash` the 32 bytes, so that a dozen lines in
//! any language check a journal without Prograde:
//!
//! ```python
//! import hashlib, sqlite3
//! previous, count = bytes(32), 0
//! for *fields, stored in sqlite3.connect("file:journal.db?mode=ro", uri=True).execute(
//!         "SELECT sequence, subject, subject_version, event_type, version, at, payload, hash FROM event ORDER BY 1"):
//!     digest = hashlib.sha256()
//!     for field in [previous] + [str(f).encode() for f in fields]:
//!         digest.update(len(field).to_bytes(8, "big") + field)
//!     previous, count = digest.digest(), count + 1
//!     assert fields[0] == count and stored == previous, f"event {count} was altered"
//! print(count, previous.hex())
//! ```
//!
//! Table `head` repeats the last event's sequence and hash in the same transaction, so that a tail that was cut off is
//! noticed. Who can write the file can also rewrite the whole chain and the head: to notice that, keep a
//! [`VerifyReport`] somewhere else and compare the hash at its sequence later.
//!
//! # Processes
//!
//! One process writes, kept alone by a lock on `<file>.lock`, an empty file that stays. Any number may read at the same
//! time through [`Journal::open_read_only`].

pub mod cloudevents;

mod chain;
mod connection;
mod error;
mod event;
mod format;
mod head;
mod journal;
mod reader;
mod subscription;
mod verify;
mod writer;

pub use error::JournalError;
pub use event::{
    APPEND_BYTES_MAX, APPEND_EVENTS_MAX, NewEvent, PAYLOAD_BYTES_MAX, PAYLOAD_DEPTH_MAX, SUBJECT_BYTES_MAX,
    StoredEvent, TYPE_BYTES_MAX,
};
pub use journal::Journal;
pub use reader::{PAGE_BYTES_MAX, PAGE_EVENTS_MAX, SUBJECT_EVENTS_MAX};
pub use subscription::Subscription;
pub use verify::VerifyReport;
