//! A process that is killed in the middle of appending loses nothing that it was told is stored.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use tokio::task::JoinSet;

use super::*;

/// Set for the child process of [`no_acknowledged_event_is_lost_when_the_process_is_killed`].
const CRASHING_JOURNAL: &str = "PROGRADE_TEST_CRASHING_JOURNAL";
const WRITERS: usize = 4;

#[tokio::test]
async fn no_acknowledged_event_is_lost_when_the_process_is_killed() {
    let fixture = Fixture::new();
    let mut acknowledged: Vec<(u64, String)> = Vec::new();
    for round in 1..=5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::crashing_child", "--ignored", "--nocapture"])
            .env(CRASHING_JOURNAL, fixture.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let enough = acknowledged.len() + 50 * round;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            if let Some((sequence, hash)) = line.unwrap().strip_prefix("stored ").and_then(|rest| rest.split_once(' '))
            {
                acknowledged.push((sequence.parse().unwrap(), hash.to_owned()));
            }
            if acknowledged.len() == enough {
                // SIGKILL; what it printed before is read to the end.
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(acknowledged.len() >= enough, "the child died by itself");

        // First as an operator would look at it, beside the log that the dead process left.
        let reader = Journal::open_read_only(&fixture.path()).unwrap();
        let report = reader.verify().await.unwrap();
        reader.close().await.unwrap();
        let journal = fixture.open();
        assert_eq!(journal.verify().await.unwrap(), report);
        let events = all(&journal).await;
        for (sequence, hash) in &acknowledged {
            let event = events.get(usize::try_from(*sequence).unwrap() - 1);
            assert_eq!(event.map(|event| &event.hash), Some(hash), "event {sequence} was acknowledged");
        }
        journal.close().await.unwrap();
    }
}

#[tokio::test]
#[ignore = "runs as a child process of the test above, until it is killed"]
async fn crashing_child() {
    let path = PathBuf::from(std::env::var_os(CRASHING_JOURNAL).unwrap());
    let journal = Journal::open(&path).unwrap();
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let journal = journal.clone();
        writers.spawn(async move {
            let subject = format!("writer/{writer}");
            let mut version = journal.read_subject(&subject).await.unwrap().len() as u64;
            loop {
                let events = vec![event(json!(version)), event(Value::String("x".repeat(500)))];
                for stored in journal.append(&subject, version, at(0), events).await.unwrap() {
                    version = stored.subject_version;
                    println!("stored {} {}", stored.sequence, stored.hash);
                }
            }
        });
    }
    writers.join_all().await;
}
