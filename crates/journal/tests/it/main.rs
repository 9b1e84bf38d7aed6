//! The journal as its users meet it: through its interface, its file, and its process's death.
#![cfg(test)]

mod appending;
mod crash;
mod files;
mod following;
mod golden;
mod tampering;

use std::path::PathBuf;

use jiff::Timestamp;
use prograde_journal::{Journal, JournalError, NewEvent, StoredEvent};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A journal in a directory of its own.
struct Fixture {
    directory: TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("journal.db")
    }

    fn open(&self) -> Journal {
        Journal::open(&self.path()).unwrap()
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_323_045 + second).unwrap()
}

fn event(payload: Value) -> NewEvent {
    NewEvent { event_type: "test.happened".into(), version: 1, payload }
}

/// One event with a number.
async fn append(journal: &Journal, subject: &str, version: u64, n: u64) -> Result<Vec<StoredEvent>, JournalError> {
    journal.append(subject, version, at(0), vec![event(json!({ "n": n }))]).await
}

/// `count` events on three subjects in turn.
async fn fill(journal: &Journal, count: u64) {
    for n in 0..count {
        append(journal, &format!("subject/{}", n % 3), n / 3, n).await.unwrap();
    }
}

async fn all(journal: &Journal) -> Vec<StoredEvent> {
    let mut events: Vec<StoredEvent> = Vec::new();
    loop {
        let page = journal.read_after(events.last().map_or(0, |last| last.sequence), 1000).await.unwrap();
        if page.is_empty() {
            return events;
        }
        events.extend(page);
    }
}
