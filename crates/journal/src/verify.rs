//! Checks a whole journal: SQLite's structures, every link of the chain, every subject's numbers, and the recorded end.

use rusqlite::{Connection, InterruptHandle, Transaction, TransactionBehavior};

use crate::chain::NO_HASH;
use crate::connection::Location;
use crate::error::JournalError;
use crate::head::read_head;
use crate::reader::{COLUMNS, checked_event};

/// What a journal that was found whole consists of. Kept elsewhere, it shows later that this part is still the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// How many events there are; the last one's sequence.
    pub events: u64,
    /// The last event's hash, which stands for all: 64 lower-case hex digits, all zero when there is no event.
    pub head_hash: String,
}

/// Stops the check when whoever asked for it gives up. The connection is the check's own: nobody else is interrupted.
pub(crate) struct Interrupt(InterruptHandle);

impl Interrupt {
    pub(crate) fn of(connection: &Connection) -> Self {
        Self(connection.get_interrupt_handle())
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.0.interrupt();
    }
}

/// Checks what is stored now; what is appended meanwhile is not seen.
pub(crate) fn verify(connection: &mut Connection, location: &Location) -> Result<VerifyReport, JournalError> {
    let snapshot = Transaction::new(connection, TransactionBehavior::Deferred).map_err(|e| location.failed(&e))?;
    check_structure(&snapshot, location)?;
    let report = check_chain(&snapshot, location)?;
    check_subjects(&snapshot, location)?;
    read_head(&snapshot, location)?;
    Ok(report)
}

fn check_structure(connection: &Connection, location: &Location) -> Result<(), JournalError> {
    let found: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(|error| location.failed(&error))?;
    if found == "ok" { Ok(()) } else { Err(JournalError::Corrupt { path: location.path.clone(), detail: found }) }
}

fn check_chain(connection: &Connection, location: &Location) -> Result<VerifyReport, JournalError> {
    let failed = |error| location.failed(&error);
    let mut statement = connection.prepare(&format!("{COLUMNS} ORDER BY sequence")).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut report = VerifyReport { events: 0, head_hash: hex::encode(NO_HASH) };
    while let Some(row) = rows.next().map_err(failed)? {
        let (event, _) = checked_event(row, location)?;
        report.events += 1;
        if event.sequence != report.events {
            return Err(JournalError::Broken { sequence: report.events, reason: "it is missing" });
        }
        report.head_hash = event.hash;
    }
    Ok(report)
}

/// Reads the index by subject from end to end: within a subject, versions count 1, 2, 3 as sequences rise.
fn check_subjects(connection: &Connection, location: &Location) -> Result<(), JournalError> {
    let failed = |error| location.failed(&error);
    let sql = "SELECT subject, subject_version, sequence FROM event INDEXED BY event_by_subject ORDER BY 1, 2";
    let mut statement = connection.prepare(sql).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let (mut subject, mut version, mut sequence) = (String::new(), 0_i64, 0_i64);
    while let Some(row) = rows.next().map_err(failed)? {
        let next: String = row.get(0).map_err(failed)?;
        if next != subject {
            (subject, version, sequence) = (next, 0, 0);
        }
        let (next_version, next_sequence): (i64, i64) =
            row.get(1).and_then(|version| Ok((version, row.get(2)?))).map_err(failed)?;
        if next_version != version + 1 || next_sequence <= sequence {
            let sequence = u64::try_from(next_sequence).unwrap_or(0);
            return Err(JournalError::Broken { sequence, reason: "its place in its subject is wrong" });
        }
        (version, sequence) = (next_version, next_sequence);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::Link;
    use crate::connection::open_for_writing;

    /// A chain with good hashes and a good head, written past the checks of an append.
    fn forged(places: &[(&str, u64)]) -> Result<VerifyReport, JournalError> {
        let directory = tempfile::tempdir().unwrap();
        let (mut writer, location) = open_for_writing(&directory.path().join("journal.db")).unwrap();
        let (mut previous, at, payload) = (NO_HASH, "2026-01-02T03:04:05.000000000Z", "null");
        for (sequence, &(subject, subject_version)) in (1..).zip(places) {
            let link = Link {
                previous: &previous,
                sequence,
                subject,
                subject_version,
                event_type: "t",
                version: 1,
                at,
                payload,
            };
            let hash = link.hash();
            let numbers = [sequence, subject_version].map(|number| i64::try_from(number).unwrap());
            let row = (numbers[0], subject, numbers[1], "t", 1, at, payload, hash);
            writer.connection.execute("INSERT INTO event VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)", row).unwrap();
            writer.connection.execute("UPDATE head SET sequence = ?1, hash = ?2", (numbers[0], hash)).unwrap();
            previous = hash;
        }
        verify(&mut writer.connection, &location)
    }

    #[test]
    fn a_chain_that_fits_but_numbers_its_subjects_wrongly_is_broken() {
        assert_eq!(forged(&[("a", 1), ("b", 1), ("a", 2), ("b", 2)]).unwrap().events, 4);
        for (places, at) in [
            (&[("a", 1), ("b", 2)][..], 2),
            (&[("a", 0)], 1),
            (&[("a", 1), ("b", 1), ("a", 3)], 3),
            (&[("a", 2), ("a", 1)], 1),
        ] {
            let found = forged(places);
            assert!(matches!(found, Err(JournalError::Broken { sequence, .. }) if sequence == at), "{found:?}");
        }
    }
}
