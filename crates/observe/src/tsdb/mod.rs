//! The embedded store of time series: compressed in memory, logged on the disk, and cut into blocks of two hours.
//!
//! ```text
//! append ──▶ wal/0000000007.wal ──▶ head (memory) ──▶ maintain: blocks/0000000003.block
//!                    ▲                    │
//!                    └── checkpoint ◀─────┘ replaces what is in blocks, or in the checkpoint itself
//! select ◀── head, blocks
//! ```
//!
//! A sample is judged by its series' latest one, written to the log, and then to the head. Once a block's time is over by half
//! of its length, its chunks are written to a file of their own, the head forgets them, and a checkpoint takes the log's place.
//! Blocks are put together into longer ones later, and deleted when all of their samples are older than what is kept.
//!
//! # Promises
//!
//! - What [`Append::append`](crate::Append::append) returned for is there after the process was killed at any moment. With
//!   [`Durability::Power`] it is there after the machine lost its power as well; with [`Durability::Process`] so is what was
//!   appended before the last [`Database::maintain`] began.
//! - A query sees all of a batch or nothing of it, as far as it is not in a block.
//! - A file that was changed is an error that names it, never a wrong sample: all that is read is compared with a CRC-32C
//!   before, and nothing is set aside in memory for a length that was read without a bound.
//! - Memory is bounded by the number of series ([`Options::series_max`]) and by how far ahead samples may be
//!   ([`Options::ahead_ms_max`]), as long as `maintain` is called; what goes beyond is refused and counted.
//!
//! # What to do with a damaged file
//!
//! A log that is damaged in the middle keeps the database from opening, since samples that were acknowledged would be missing
//! without a word, and so does a block whose directory is damaged. With [`Options::repair`] the damaged records are skipped, the
//! block is set aside, and both are told in [`Recovery`]. Damage elsewhere in a block fails the queries that need that part. Its
//! file may be moved away while the database is closed; its samples are then gone.

mod appender;
mod bits;
mod block;
mod blocks;
mod candidates;
mod chunk;
mod codec;
mod compact;
mod database;
mod disk;
mod error;
mod head;
mod histograms;
mod maintain;
mod options;
mod read;
#[cfg(test)]
mod tests;
mod wal;

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub use database::{Database, Stats};
pub use error::DatabaseError;
pub use maintain::Maintained;
pub use options::{Durability, Options};
pub use wal::replay::{Loss, Recovery};

// Whoever panics while holding a lock has left nothing half done that a later one would trip over: samples are in the log
// before they are in memory.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
