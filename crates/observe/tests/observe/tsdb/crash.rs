//! A process that is killed in the middle of appending loses nothing that it was told is kept.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::*;

/// Set for the child process of [`no_sample_is_lost_when_the_process_is_killed`].
const CRASHING_STORE: &str = "PROGRADE_TEST_CRASHING_STORE";
const WRITERS: usize = 3;
const ROUNDS: usize = 5;

fn series_of(writer: usize) -> Labels {
    labels(&[("__name__", "crash"), ("writer", &writer.to_string())])
}

#[test]
fn no_sample_is_lost_when_the_process_is_killed() {
    let fixture = Fixture::new();
    let mut acknowledged = [0_i64; WRITERS];
    for round in 1..=ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tsdb::crash::crashing_child", "--ignored", "--nocapture"])
            .env(CRASHING_STORE, fixture.folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut seen = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            if let Some((writer, time)) = line.unwrap().strip_prefix("kept ").and_then(|rest| rest.split_once(' ')) {
                let latest = &mut acknowledged[writer.parse::<usize>().unwrap()];
                *latest = (*latest).max(time.parse().unwrap());
                seen += 1;
            }
            if seen == 200 * round {
                // SIGKILL; what it printed before is read to the end.
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(seen >= 200 * round, "the child died by itself");
        let database = fixture.open();
        for (writer, latest) in acknowledged.iter().enumerate() {
            let wanted = [matcher("writer", "=", &writer.to_string())];
            let found = all(&database, &wanted, 0, i64::MAX);
            let samples = found.first().map(|(_, samples)| samples.as_slice()).unwrap_or_default();
            let times: Vec<i64> = samples.iter().map(|(time, _)| time - NOW_MS).collect();
            assert!(times.len() >= usize::try_from(*latest).unwrap(), "{latest} was acknowledged");
            // Whole, and in order.
            assert!((1..).zip(&times).all(|(expected, time)| expected == *time));
        }
    }
}

#[test]
#[ignore = "runs as a child process of the test above, until it is killed"]
fn crashing_child() {
    let path = PathBuf::from(std::env::var_os(CRASHING_STORE).unwrap());
    let database = Database::open(Options::new(path, NOW_MS)).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let database = &database;
            scope.spawn(move || {
                let labels = series_of(writer);
                let has = all(database, &[matcher("writer", "=", &writer.to_string())], 0, i64::MAX);
                let begin = has.first().map_or(0, |(_, samples)| i64::try_from(samples.len()).unwrap());
                for time in (begin + 1..).step_by(3) {
                    append(database, &labels, &[0, 1, 2].map(|more| (NOW_MS + time + more, 0.5)));
                    println!("kept {writer} {}", time + 2);
                }
            });
        }
        // Checkpoints and cuts of the log happen meanwhile.
        loop {
            database.maintain(NOW_MS).unwrap();
        }
    });
}
