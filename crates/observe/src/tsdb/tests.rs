//! The process ends after any change on the disk: what was kept is there, and nothing else.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::disk::Disk;
use super::{Database, DatabaseError, Options};
use crate::{Append as _, Incoming, Labels, Sample, Store as _};

const BLOCK_MS: i64 = 1000;

type Kept = BTreeMap<String, Vec<(i64, u64)>>;

fn open(path: &Path, now_ms: i64, disk: Disk) -> Result<Database, DatabaseError> {
    let options = Options { block_ms: BLOCK_MS, retention_ms: 100 * BLOCK_MS, ..Options::new(path, now_ms) };
    Database::open_on(disk, options)
}

fn series(index: i64) -> Labels {
    [("__name__", "m"), ("i", &index.to_string())].into_iter().collect()
}

/// What is done to a database before and while the process ends: appends, and what is due after them.
fn live(database: &Database, kept: &mut Kept, times: std::ops::Range<i64>) -> Result<(), DatabaseError> {
    for time in times {
        let all: Vec<Labels> = (0..3 + time % 2).map(series).collect();
        let timestamp = time * 90;
        let sample = |labels: &Labels| Sample {
            timestamp,
            value: f64::from_bits(labels.to_string().len() as u64 ^ time.cast_unsigned()),
        };
        let batch: Vec<Incoming<'_>> = all.iter().map(|labels| Incoming { labels, sample: sample(labels) }).collect();
        let appended = database.append(&batch);
        if appended.as_ref().is_ok_and(|appended| appended.kept == batch.len()) {
            for incoming in &batch {
                let samples = kept.entry(incoming.labels.to_string()).or_default();
                samples.push((timestamp, incoming.sample.value.to_bits()));
            }
        }
        if time % 7 == 6 {
            database.maintain(timestamp)?;
        }
        assert!(appended.is_err() || appended.is_ok_and(|appended| appended.out_of_order == 0));
    }
    Ok(())
}

fn found(database: &Database) -> Kept {
    let all = database.select(&[], i64::MIN, i64::MAX).unwrap();
    let bits = |samples: &[Sample]| samples.iter().map(|sample| (sample.timestamp, sample.value.to_bits())).collect();
    all.iter().map(|series| (series.labels.to_string(), bits(&series.samples))).collect()
}

/// True if all of `kept` is found. An append that failed may be there or not, but whole: it was on its way to the disk.
fn holds(found: &Kept, kept: &Kept) -> bool {
    kept.iter().all(|(labels, samples)| {
        found.get(labels).is_some_and(|found| samples.iter().all(|sample| found.contains(sample)))
    })
}

#[test]
fn wherever_the_process_ends_everything_kept_is_there() {
    for steps in 0.. {
        let folder = tempfile::tempdir().unwrap();
        let left = Arc::new(AtomicI64::new(steps));
        let disk = Disk { steps_left: Some(Arc::clone(&left)) };
        let mut kept = Kept::new();
        // Errors go on until the end: a process may try again before it ends.
        if let Ok(database) = open(folder.path(), 0, disk) {
            drop(live(&database, &mut kept, 0..45));
            assert_eq!(found(&database), found(&database));
        }
        let has_stopped = left.load(Ordering::Relaxed) < 0;
        let database =
            open(folder.path(), 0, Disk::default()).unwrap_or_else(|error| panic!("step {steps}: {error:?}"));
        let after = found(&database);
        assert!(holds(&after, &kept), "step {steps}: {kept:?}\n{after:?}");
        let extra = after.values().map(Vec::len).sum::<usize>() - kept.values().map(Vec::len).sum::<usize>();
        assert!(extra <= 4, "step {steps}: {extra} samples more than were kept");
        // It goes on, and what was half done leaves nothing behind.
        kept = after;
        live(&database, &mut kept, 45..60).unwrap();
        assert_eq!(found(&database), kept, "step {steps}");
        drop(database);
        let database = open(folder.path(), 0, Disk::default()).unwrap();
        assert_eq!(found(&database), kept, "step {steps}");
        if !has_stopped {
            let stats = database.stats().unwrap();
            assert!(stats.blocks >= 2 && stats.head_samples > 0, "{stats:?}");
            assert!(steps > 100, "only {steps} steps");
            return;
        }
    }
}

#[test]
fn a_log_that_failed_takes_samples_again_after_it_was_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let left = Arc::new(AtomicI64::new(i64::MAX));
    let disk = Disk { steps_left: Some(Arc::clone(&left)) };
    let database = open(folder.path(), 0, disk).unwrap();
    let mut kept = Kept::new();
    live(&database, &mut kept, 0..3).unwrap();
    // The write fails half way, and so does cutting it off.
    left.store(0, Ordering::Relaxed);
    let labels = series(0);
    let batch = [Incoming { labels: &labels, sample: Sample { timestamp: 400, value: 1.0 } }];
    database.append(&batch).unwrap_err();
    left.store(i64::MAX, Ordering::Relaxed);
    database.append(&batch).unwrap_err();
    assert_eq!(found(&database), kept);
    assert!(database.maintain(500).unwrap().checkpoint);
    live(&database, &mut kept, 5..9).unwrap();
    assert_eq!(found(&database), kept);
    drop(database);
    assert_eq!(found(&open(folder.path(), 0, Disk::default()).unwrap()), kept);
}

#[test]
fn blocks_are_put_together_and_deleted_when_they_are_old() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path(), 0, Disk::default()).unwrap();
    let mut kept = Kept::new();
    live(&database, &mut kept, 0..400).unwrap();
    let stats = database.stats().unwrap();
    // 36 s: three of 9 s, which are a tenth of the retention at most, and less than nine shorter ones.
    assert!((4..13).contains(&stats.blocks), "{stats:?}");
    assert_eq!(found(&database), kept);
    // 100 s are kept; a clock that runs ahead deletes nothing.
    database.maintain(i64::MAX).unwrap();
    assert_eq!(found(&database), kept);
    database.maintain(400 * 90).unwrap();
    live(&database, &mut kept, 400..2000).unwrap();
    let after = found(&database);
    let oldest = after.values().filter_map(|samples| samples.first()).map(|(time, _)| *time).min().unwrap();
    assert!((2000 * 90 - 112_000..2000 * 90 - 98_000).contains(&oldest), "{oldest}");
    for (labels, samples) in &after {
        assert!(kept[labels].ends_with(samples), "{labels}");
    }
}

#[test]
fn samples_before_the_last_block_are_out_of_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path(), 0, Disk::default()).unwrap();
    live(&database, &mut Kept::new(), 0..40).unwrap();
    assert!(database.stats().unwrap().blocks > 0);
    let late = series(77);
    let batch = [100, 3599].map(|timestamp| Incoming { labels: &late, sample: Sample { timestamp, value: 1.0 } });
    let appended = database.append(&batch).unwrap();
    assert_eq!((appended.out_of_bounds, appended.kept), (1, 1));
}
