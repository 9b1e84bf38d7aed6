//! The end of the chain, recorded beside the events in the same transaction: a tail that was cut off leaves the record
//! pointing beyond the last event.

use rusqlite::{Connection, OptionalExtension, Row};

use crate::chain::{Hash, NO_HASH};
use crate::connection::Location;
use crate::error::JournalError;

/// The last event's sequence and hash; 0 and zeros when there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) sequence: u64,
    pub(crate) hash: Hash,
}

/// The recorded head, if it is that of the last event.
pub(crate) fn read_head(connection: &Connection, location: &Location) -> Result<Head, JournalError> {
    let recorded = one(connection, location, "SELECT sequence, hash FROM head WHERE id = 1")?
        .ok_or(JournalError::Broken { sequence: 0, reason: "the record of the last event is missing" })?;
    let last = one(connection, location, "SELECT sequence, hash FROM event ORDER BY sequence DESC LIMIT 1")?
        .unwrap_or(Head { sequence: 0, hash: NO_HASH });
    let broken = |sequence, reason| Err(JournalError::Broken { sequence, reason });
    if last.sequence < recorded.sequence {
        broken(last.sequence + 1, "it and all events after it are missing")
    } else if last.sequence > recorded.sequence {
        broken(recorded.sequence + 1, "it comes after the recorded last event")
    } else if last.hash != recorded.hash {
        broken(recorded.sequence, "its hash is not the recorded last hash")
    } else {
        Ok(recorded)
    }
}

fn one(connection: &Connection, location: &Location, sql: &str) -> Result<Option<Head>, JournalError> {
    let pair = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, Hash>(1)?));
    let found = connection.query_row(sql, [], pair).optional().map_err(|error| location.failed(&error))?;
    let Some((sequence, hash)) = found else { return Ok(None) };
    let sequence =
        u64::try_from(sequence).map_err(|_| JournalError::Broken { sequence: 0, reason: "a sequence is below 0" })?;
    Ok(Some(Head { sequence, hash }))
}
