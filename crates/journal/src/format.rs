//! What a journal's file looks like, and the steps that bring an older file up to date.
//!
//! SQLite's header carries [`APPLICATION_ID`], which says that a file is a journal, and in `user_version` its format.
//! A step never changes: golden files of every format are kept under `tests/golden/`, and each must open for ever.

use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::error::JournalError;

/// `PRGD` in ASCII, as SQLite's `application_id` (SQLite, "Database File Format", section 1.3.16).
pub(crate) const APPLICATION_ID: i32 = i32::from_be_bytes(*b"PRGD");

/// The format that this release writes: the number of steps.
#[expect(clippy::cast_possible_wrap, reason = "there are a handful of steps")]
pub(crate) const FORMAT: i64 = STEPS.len() as i64;

/// `STEPS[n]` brings format `n` to `n + 1`; format 0 is an empty file.
const STEPS: [&str; 1] = [
    // The triggers are no protection against who can write the file, which the hashes are for. They keep a slip in
    // this crate or in a repair session from changing what happened.
    "CREATE TABLE event (
        sequence        INTEGER PRIMARY KEY,
        subject         TEXT    NOT NULL,
        subject_version INTEGER NOT NULL,
        event_type      TEXT    NOT NULL,
        version         INTEGER NOT NULL,
        at              TEXT    NOT NULL,
        payload         TEXT    NOT NULL,
        hash            BLOB    NOT NULL
     ) STRICT;
     CREATE UNIQUE INDEX event_by_subject ON event (subject, subject_version);
     CREATE TRIGGER event_never_changes BEFORE UPDATE ON event
        BEGIN SELECT RAISE(ABORT, 'events never change'); END;
     CREATE TRIGGER event_never_goes BEFORE DELETE ON event
        BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END;
     CREATE TABLE head (
        id       INTEGER PRIMARY KEY CHECK (id = 1),
        sequence INTEGER NOT NULL,
        hash     BLOB    NOT NULL
     ) STRICT;
     INSERT INTO head (id, sequence, hash) VALUES (1, 0, zeroblob(32));",
];

/// Tells a journal, an empty file and anything else apart; returns the format, 0 for an empty file.
pub(crate) fn identify(connection: &Connection, path: &Path) -> Result<i64, JournalError> {
    let failed = |error| JournalError::from_sqlite(path, &error);
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(failed);
    let application = number("PRAGMA application_id")?;
    let format = number("PRAGMA user_version")?;
    if application == 0 && format == 0 && number("SELECT count(*) FROM sqlite_schema")? == 0 {
        return Ok(0);
    }
    if application != i64::from(APPLICATION_ID) || format < 1 {
        return Err(JournalError::NotAJournal { path: path.to_owned(), reason: "it is another program's database" });
    }
    if format > FORMAT {
        return Err(JournalError::NewerFormat { path: path.to_owned(), found: format, known: FORMAT });
    }
    Ok(format)
}

/// Brings a file of format `from` up to date.
pub(crate) fn migrate(connection: &mut Connection, path: &Path, from: i64) -> Result<(), JournalError> {
    run_steps(connection, from, &STEPS).map_err(|error| JournalError::from_sqlite(path, &error))
}

/// Each step is one transaction together with its number, so that a crash leaves one format or the next.
fn run_steps(connection: &mut Connection, from: i64, steps: &[&str]) -> rusqlite::Result<()> {
    for (format, step) in (1_i64..).zip(steps).filter(|(format, _)| *format > from) {
        let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", format)?;
        transaction.commit()?;
        if from > 0 {
            tracing::info!(format, "journal brought to a new format");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format_of(connection: &Connection) -> i64 {
        connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn only_the_missing_steps_run() {
        let mut connection = Connection::open_in_memory().unwrap();
        let steps = ["CREATE TABLE a (x)", "ALTER TABLE a ADD y", "INSERT INTO a VALUES (1, 2)"];
        run_steps(&mut connection, 0, &steps[..1]).unwrap();
        assert_eq!(format_of(&connection), 1);
        run_steps(&mut connection, 1, &steps).unwrap();
        assert_eq!(format_of(&connection), 3);
        run_steps(&mut connection, 3, &steps).unwrap();
        let rows: i64 = connection.query_row("SELECT count(*) FROM a WHERE x + y = 3", [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 1);
    }

    #[test]
    fn a_step_that_fails_leaves_the_format_before_it() {
        let mut connection = Connection::open_in_memory().unwrap();
        let steps = ["CREATE TABLE a (x)", "CREATE TABLE b (x); CREATE TABLE a (x)"];
        run_steps(&mut connection, 0, &steps).unwrap_err();
        assert_eq!(format_of(&connection), 1);
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
        assert_eq!(tables, 1, "the failed step's first table is gone with it");
    }

    #[test]
    fn events_can_be_neither_changed_nor_deleted() {
        let mut connection = Connection::open_in_memory().unwrap();
        run_steps(&mut connection, 0, &STEPS).unwrap();
        connection.execute("INSERT INTO event VALUES (1, 's', 1, 't', 1, 'a', '{}', zeroblob(32))", []).unwrap();
        let refused = |sql: &str| connection.execute(sql, []).unwrap_err().to_string();
        assert_eq!(refused("UPDATE event SET payload = '[]'"), "events never change");
        assert_eq!(refused("DELETE FROM event"), "events are never deleted");
    }
}
