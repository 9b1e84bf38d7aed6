//! Whoever can write the file can change it; nobody can do so unseen.

use rusqlite::Connection;

use super::*;

/// Lets SQL loose on a closed journal of nine events on three subjects, and returns what opening and verifying say.
async fn tamper(sql: &str) -> (Result<(), JournalError>, JournalError) {
    let fixture = Fixture::new();
    let journal = fixture.open();
    fill(&journal, 9).await;
    journal.close().await.unwrap();
    let intruder = Connection::open(fixture.path()).unwrap();
    intruder.execute_batch("DROP TRIGGER event_never_changes; DROP TRIGGER event_never_goes;").unwrap();
    intruder.execute_batch(sql).unwrap();
    drop(intruder);
    let opened = Journal::open(&fixture.path()).map(drop);
    let verified = Journal::open_read_only(&fixture.path()).unwrap().verify().await;
    (opened, verified.expect_err(sql))
}

async fn check(sql: &str, broken_at: u64, because: &str) {
    match tamper(sql).await {
        (_, JournalError::Broken { sequence, reason }) => {
            assert_eq!(sequence, broken_at, "{sql}: {reason}");
            assert!(reason.contains(because), "{sql}: {reason}");
        }
        (_, other) => panic!("{sql}: {other}"),
    }
}

#[tokio::test]
async fn every_changed_column_is_found() {
    for change in [
        "payload = replace(payload, '4', '5')",
        "payload = payload || ' '",
        "payload = ''",
        "subject = 'subject/x'",
        "subject_version = 9",
        "event_type = 'test.happened!'",
        "version = 2",
        "at = '2026-01-02T03:04:05.000000001Z'",
        "hash = zeroblob(32)",
    ] {
        check(&format!("UPDATE event SET {change} WHERE sequence = 5"), 5, "its contents do not match its hash").await;
    }
    for change in
        ["hash = zeroblob(31)", "subject_version = -1", "version = 4294967296", "payload = CAST(x'ff' AS TEXT)"]
    {
        let sql = format!("UPDATE event SET {change} WHERE sequence = 5");
        check(&sql, 5, "a column holds a value of another kind").await;
    }
}

#[tokio::test]
async fn moved_deleted_and_inserted_rows_are_found() {
    let swap = "UPDATE event SET sequence = 100 WHERE sequence = 4; UPDATE event SET sequence = 4 WHERE sequence = 5;
                UPDATE event SET sequence = 5 WHERE sequence = 100;";
    check(swap, 4, "its contents do not match its hash").await;
    check("DELETE FROM event WHERE sequence = 5", 6, "the event before it is missing").await;
    check("DELETE FROM event WHERE sequence = 1", 2, "the event before it is missing").await;
    let close_the_gap = "DELETE FROM event WHERE sequence = 5;
                         UPDATE event SET sequence = sequence - 1 WHERE sequence > 5;";
    check(close_the_gap, 5, "its contents do not match its hash").await;
    let forged = "INSERT INTO event SELECT 10, subject, 4, event_type, version, at, payload, hash FROM event
                  WHERE sequence = 9";
    check(forged, 10, "its contents do not match its hash").await;
    check("UPDATE event SET sequence = -9 WHERE sequence = 9", 0, "a sequence is below 1").await;
}

#[tokio::test]
async fn a_tail_that_was_cut_off_is_found_also_when_opening() {
    for (sql, first_missing) in [
        ("DELETE FROM event WHERE sequence = 9", 9),
        ("DELETE FROM event WHERE sequence > 3", 4),
        ("DELETE FROM event", 1),
    ] {
        check(sql, first_missing, "all events after it are missing").await;
        let (opened, _) = tamper(sql).await;
        assert!(
            matches!(opened, Err(JournalError::Broken { sequence, .. }) if sequence == first_missing),
            "{opened:?}"
        );
    }
    check("DELETE FROM head", 0, "the record of the last event is missing").await;
    check("UPDATE head SET hash = zeroblob(32)", 9, "its hash is not the recorded last hash").await;
    check("UPDATE head SET sequence = 8", 9, "it comes after the recorded last event").await;
}

#[tokio::test]
async fn a_reader_is_never_given_an_altered_event() {
    let fixture = Fixture::new();
    let journal = fixture.open();
    fill(&journal, 9).await;
    let intruder = Connection::open(fixture.path()).unwrap();
    intruder.execute_batch("DROP TRIGGER event_never_changes; DROP TRIGGER event_never_goes;").unwrap();
    intruder.execute("UPDATE event SET payload = '{\"n\":44}' WHERE sequence = 4", []).unwrap();
    let broken = |result: Result<Vec<StoredEvent>, JournalError>, at| {
        assert!(matches!(result, Err(JournalError::Broken { sequence, .. }) if sequence == at), "{result:?}");
    };
    broken(journal.read_after(0, 100).await, 4);
    broken(journal.read_subject("subject/0").await, 4);
    assert_eq!(journal.read_after(4, 100).await.unwrap().len(), 5);
    let mut follower = journal.subscribe(3);
    assert!(matches!(follower.next().await, Err(JournalError::Broken { sequence: 4, .. })));

    intruder.execute("DELETE FROM event WHERE sequence = 5", []).unwrap();
    broken(journal.read_subject("subject/1").await, 8);
    broken(journal.read_after(4, 1).await, 6);
}

#[tokio::test]
async fn an_index_that_hides_an_event_is_damage() {
    let sql = "PRAGMA writable_schema = ON;
               UPDATE sqlite_schema SET sql = sql || ' WHERE sequence <> 5' WHERE name = 'event_by_subject';
               PRAGMA writable_schema = RESET; REINDEX;
               PRAGMA writable_schema = ON;
               UPDATE sqlite_schema SET sql = replace(sql, ' WHERE sequence <> 5', '') WHERE name = 'event_by_subject';";
    let (_, verified) = tamper(sql).await;
    assert!(matches!(verified, JournalError::Corrupt { .. }), "{verified}");
}
