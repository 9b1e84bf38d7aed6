//! The blocks of a database: which there are, and which take whose place.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::block::{Block, EXTENSION};
use super::disk::{self, Disk};
use super::error::DatabaseError;
use super::wal::replay::Loss;

/// All blocks at one moment, by their time. Whoever holds the list can read them, even if they are deleted meanwhile.
pub(super) type Blocks = Arc<[Arc<Block>]>;

pub(super) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(disk::name(number, EXTENSION))
}

/// Opens all blocks of a folder. Those that another has taken the place of are deleted: the process ended before it came to
/// that. Those that are damaged are set aside and told, if that is wanted, or else an error.
pub(super) fn open_all(
    disk: &Disk,
    folder: &Path,
    repair: bool,
    losses: &mut Vec<Loss>,
) -> Result<Vec<Arc<Block>>, DatabaseError> {
    let mut blocks = Vec::new();
    for number in disk::numbered(folder, EXTENSION)? {
        match Block::open(number, &path(folder, number)) {
            Ok(block) => blocks.push(Arc::new(block)),
            Err(DatabaseError::Damaged { path, offset, reason }) if repair => {
                disk.rename(&path, &path.with_extension("damaged"))?;
                losses.push(Loss { path, offset, reason });
            }
            Err(error) => return Err(error),
        }
    }
    let replaced: HashSet<u64> = blocks.iter().flat_map(|block| block.summary().replaces.iter().copied()).collect();
    let (gone, mut kept): (Vec<_>, Vec<_>) = blocks.into_iter().partition(|block| replaced.contains(&block.number()));
    for block in gone {
        disk.remove(block.path())?;
    }
    sort(&mut kept);
    Ok(kept)
}

/// By their time.
pub(super) fn sort(blocks: &mut [Arc<Block>]) {
    blocks.sort_by_key(|block| (block.summary().from_ms, block.number()));
}

/// The next number. It is higher than that of all blocks, and so than all that they have taken the place of.
pub(super) fn next_number(blocks: &[Arc<Block>]) -> u64 {
    blocks.iter().map(|block| block.number()).max().map_or(1, |highest| highest + 1)
}

/// When the blocks' time ends: what is before is in one of them, or was deleted.
pub(super) fn end(blocks: &[Arc<Block>]) -> i64 {
    blocks.iter().map(|block| block.summary().until_ms).max().unwrap_or(i64::MIN)
}
