//! Subscriptions: every event once, in order, whatever the follower does.

use std::time::Duration;

use prograde_journal::Subscription;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::*;

/// Generous: it ends a test that hangs, and measures nothing.
const PATIENCE: Duration = Duration::from_mins(1);

async fn next(subscription: &mut Subscription) -> Result<StoredEvent, JournalError> {
    timeout(PATIENCE, subscription.next()).await.expect("no event came")
}

#[tokio::test]
async fn a_follower_catches_up_and_then_goes_along() {
    let fixture = Fixture::new();
    let journal = fixture.open();
    fill(&journal, 9).await;
    let mut follower = journal.subscribe(4);
    for sequence in 5..=9 {
        assert_eq!(next(&mut follower).await.unwrap().sequence, sequence);
    }
    let stored = append(&journal, "subject/0", 3, 9).await.unwrap();
    assert_eq!(next(&mut follower).await.unwrap(), stored[0]);
    assert_eq!(follower.cursor(), 10);

    // One that is ahead of the journal waits for it.
    let mut ahead = journal.subscribe(11);
    append(&journal, "subject/1", 3, 10).await.unwrap();
    append(&journal, "subject/2", 3, 11).await.unwrap();
    assert_eq!(next(&mut ahead).await.unwrap().sequence, 12);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_at_any_pace_see_every_event_once_in_order() {
    const EVENTS: u64 = 2000;
    let fixture = Fixture::new();
    let journal = fixture.open();
    let mut tasks = JoinSet::new();
    for pace in 0..4_u64 {
        let mut follower = journal.subscribe(0);
        tasks.spawn(async move {
            for sequence in 1..=EVENTS {
                assert_eq!(next(&mut follower).await.unwrap().sequence, sequence);
                // The slower ones lag behind by many pages.
                for _ in 0..pace * 20 {
                    tokio::task::yield_now().await;
                }
            }
        });
    }
    for writer in 0..4 {
        let journal = journal.clone();
        tasks.spawn(async move {
            let subject = format!("subject/{writer}");
            for version in (0..EVENTS / 4).step_by(10) {
                journal.append(&subject, version, at(0), vec![event(json!(1)); 10]).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
}

#[tokio::test]
async fn giving_up_waiting_loses_nothing() {
    const EVENTS: u64 = 600;
    let fixture = Fixture::new();
    let journal = fixture.open();
    let mut follower = journal.subscribe(0);
    let mut seen = Vec::new();
    let mut given_up = 0;
    for version in 0..EVENTS / 10 {
        journal.append("s", version * 10, at(0), vec![event(json!(1)); 10]).await.unwrap();
        // Polled once and dropped, in every state that it can be in.
        tokio::select! {
            biased;
            event = follower.next() => seen.push(event.unwrap().sequence),
            () = std::future::ready(()) => given_up += 1,
        }
    }
    while seen.len() < usize::try_from(EVENTS).unwrap() {
        seen.push(next(&mut follower).await.unwrap().sequence);
    }
    assert!(given_up > 0, "no wait was given up");
    assert!(seen.into_iter().eq(1..=EVENTS));
}

#[tokio::test]
async fn closing_ends_followers_after_what_they_hold() {
    let fixture = Fixture::new();
    let journal = fixture.open();
    fill(&journal, 3).await;
    let mut idle = journal.subscribe(3);
    let mut busy = journal.subscribe(0);
    assert_eq!(next(&mut busy).await.unwrap().sequence, 1);
    journal.close().await.unwrap();
    assert!(matches!(next(&mut idle).await, Err(JournalError::Closed)));
    assert_eq!(next(&mut busy).await.unwrap().sequence, 2);
    assert_eq!(next(&mut busy).await.unwrap().sequence, 3);
    assert!(matches!(next(&mut busy).await, Err(JournalError::Closed)));
}

#[tokio::test]
async fn a_reader_of_another_process_s_journal_ends_at_its_end() {
    let fixture = Fixture::new();
    let writer = fixture.open();
    fill(&writer, 2).await;
    let reader = Journal::open_read_only(&fixture.path()).unwrap();
    let mut follower = reader.subscribe(0);
    assert_eq!(next(&mut follower).await.unwrap().sequence, 1);
    assert_eq!(next(&mut follower).await.unwrap().sequence, 2);
    assert!(matches!(next(&mut follower).await, Err(JournalError::ReadOnly { .. })));
    append(&writer, "later", 0, 1).await.unwrap();
    assert_eq!(next(&mut follower).await.unwrap().sequence, 3, "it goes on where it was");
}
