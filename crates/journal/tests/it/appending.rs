//! What an append promises, and what reading gives back.

use prograde_journal::{APPEND_EVENTS_MAX, PAGE_BYTES_MAX, PAGE_EVENTS_MAX};
use tokio::task::JoinSet;

use super::*;

#[tokio::test]
async fn what_is_appended_is_what_is_read() {
    let fixture = Fixture::new();
    let journal = fixture.open();
    assert_eq!(journal.head().await.unwrap(), 0);
    assert!(all(&journal).await.is_empty());
    let payload = json!({ "z": 1, "a": [0.1, 1e300, -0.0, u64::MAX, "é\u{0}\n", null], "": {} });
    let first = journal.append("flight/1", 0, at(0), vec![event(payload.clone()), event(json!(2))]).await.unwrap();
    // The clock was set back.
    let second = journal.append("flight/2", 0, at(-60), vec![event(json!("x"))]).await.unwrap();

    let stored = [first.clone(), second.clone()].concat();
    assert_eq!(all(&journal).await, stored);
    assert_eq!(journal.read_after(1, 1).await.unwrap(), stored[1..2]);
    assert_eq!(journal.read_subject("flight/1").await.unwrap(), first);
    assert_eq!(journal.read_subject_after("flight/1", 1, 9).await.unwrap(), first[1..]);
    assert!(journal.read_subject("flight/3").await.unwrap().is_empty());
    assert_eq!(journal.head().await.unwrap(), 3);

    assert_eq!(first[0].payload, payload);
    assert_eq!(stored.iter().map(|e| (e.sequence, e.subject_version)).collect::<Vec<_>>(), [(1, 1), (2, 2), (3, 1)]);
    assert_eq!(stored[0].previous_hash, "0".repeat(64));
    assert_eq!(stored[2].previous_hash, stored[1].hash);
    assert_eq!(stored[2].at, at(-60));
    for cursor in [3, u64::MAX] {
        assert!(journal.read_after(cursor, 10).await.unwrap().is_empty());
        assert!(journal.read_subject_after("flight/1", cursor, 10).await.unwrap().is_empty());
    }
    assert!(journal.read_after(0, 0).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_subject_that_moved_on_refuses_and_stores_nothing() {
    let fixture = Fixture::new();
    let journal = fixture.open();
    fill(&journal, 4).await;
    for expected in [0, 1, 3, u64::MAX] {
        let events = vec![event(json!(1)), event(json!(2))];
        match journal.append("subject/0", expected, at(0), events).await {
            Err(JournalError::Conflict { subject, expected: said, actual: 2 }) => {
                assert_eq!((subject.as_str(), said), ("subject/0", expected));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(journal.head().await.unwrap(), 4);
    let nothing = journal.append("subject/0", 2, at(0), Vec::new()).await.unwrap();
    assert!(nothing.is_empty(), "no events only check the version");
    assert!(matches!(journal.append("subject/0", 1, at(0), Vec::new()).await, Err(JournalError::Conflict { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_on_many_subjects_get_gapless_numbers() {
    const WRITERS: u64 = 40;
    const ROUNDS: u64 = 10;
    let fixture = Fixture::new();
    let journal = fixture.open();
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let journal = journal.clone();
        // Two writers a subject: each has to try again when the other was faster.
        let subject = format!("subject/{}", writer / 2);
        writers.spawn(async move {
            let (mut version, mut stored) = (0, 0);
            while stored < ROUNDS {
                match append(&journal, &subject, version, stored).await {
                    Ok(events) => (version, stored) = (events[0].subject_version, stored + 1),
                    Err(JournalError::Conflict { actual, .. }) => version = actual,
                    Err(error) => panic!("{error}"),
                }
            }
        });
    }
    writers.join_all().await;
    let events = all(&journal).await;
    assert_eq!(events.len() as u64, WRITERS * ROUNDS);
    assert!((1..).zip(&events).all(|(sequence, event)| event.sequence == sequence));
    for subject in 0..WRITERS / 2 {
        let versions = journal.read_subject(&format!("subject/{subject}")).await.unwrap();
        assert!(versions.iter().map(|event| event.subject_version).eq(1..=2 * ROUNDS));
    }
    assert_eq!(journal.verify().await.unwrap().events, WRITERS * ROUNDS);
}

#[tokio::test]
async fn reads_are_bounded_in_events_and_in_bytes() {
    let fixture = Fixture::new();
    let journal = fixture.open();
    for (version, _) in (0..).step_by(APPEND_EVENTS_MAX).zip(0..11) {
        journal.append("many", version, at(0), vec![event(Value::Null); APPEND_EVENTS_MAX]).await.unwrap();
    }
    assert_eq!(journal.read_after(0, usize::MAX).await.unwrap().len(), PAGE_EVENTS_MAX);
    assert_eq!(journal.read_subject("many").await.unwrap().len(), 11 * APPEND_EVENTS_MAX);

    let large = event(Value::String("x".repeat(1_000_000)));
    journal.append("large", 0, at(0), vec![large.clone(); 8]).await.unwrap();
    let page = journal.read_subject_after("large", 0, 100).await.unwrap();
    assert_eq!(page.len(), PAGE_BYTES_MAX.div_ceil(1_000_000));
    assert_eq!(journal.read_subject("large").await.unwrap().len(), 8);
}

#[tokio::test]
async fn what_may_not_be_stored_is_refused_before_it_is_queued() {
    let fixture = Fixture::new();
    let journal = fixture.open();
    let long = "s".repeat(257);
    assert!(matches!(append(&journal, &long, 0, 1).await, Err(JournalError::InvalidName { what: "subject", .. })));
    let huge = journal.append("s", 0, at(0), vec![event(Value::String("x".repeat(1 << 20)))]).await;
    assert!(matches!(huge, Err(JournalError::PayloadTooLarge { .. })));
    let ancient = journal.append("s", 0, Timestamp::MIN, vec![event(json!(1))]).await;
    assert!(matches!(ancient, Err(JournalError::InvalidTime)));
    assert_eq!(journal.head().await.unwrap(), 0);
}

#[tokio::test]
async fn a_closed_journal_says_so_and_can_be_opened_again() {
    let fixture = Fixture::new();
    let journal = fixture.open();
    fill(&journal, 2).await;
    let left = journal.clone();
    journal.close().await.unwrap();
    assert!(matches!(append(&left, "s", 0, 1).await, Err(JournalError::Closed)));
    assert!(matches!(left.read_after(0, 1).await, Err(JournalError::Closed)));
    assert!(matches!(left.head().await, Err(JournalError::Closed)));
    assert!(matches!(left.verify().await, Err(JournalError::Closed)));
    left.close().await.unwrap();

    assert!(!fixture.path().with_file_name("journal.db-wal").exists(), "the file alone is the journal");
    let journal = fixture.open();
    assert_eq!(journal.head().await.unwrap(), 2);
    assert_eq!(append(&journal, "subject/0", 1, 2).await.unwrap()[0].sequence, 3);
}
