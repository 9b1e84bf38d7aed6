//! Databases of every format that was ever released open, answer, and go on.

use std::fs;
use std::path::{Path, PathBuf};

use prograde_observe::HistogramSample;

use super::histograms::{append_histogram, sample, told};
use super::*;

fn golden(format: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/tsdb-format-{format}"))
}

fn copy(from: &Path, to: &Path) {
    for part in ["blocks", "wal"] {
        fs::create_dir_all(to.join(part)).unwrap();
        for entry in fs::read_dir(from.join(part)).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, to.join(part).join(path.file_name().unwrap())).unwrap();
        }
    }
}

const HOUR_MS: i64 = 3_600_000;

/// What is in the golden files: counters, gauges, markers and NaNs, over a block, a checkpoint and a log.
fn samples(index: i64) -> Vec<(i64, f64)> {
    let tenths = |number: i64| f64::from(i32::try_from(number).unwrap()) * 0.1;
    let value = |step: i64| match (index, step % 40) {
        (1, 7) => Sample::stale(0).value,
        (2, 9) => f64::from_bits(0xfff8_0000_0000_0123),
        (3, _) => f64::NEG_INFINITY,
        (4, rest) => f64::from_bits(u64::MAX / 41 * rest.cast_unsigned()),
        (_, rest) => tenths(step * index - rest),
    };
    (0..720).map(|step| (NOW_MS + step * 15_000 + (step * index) % 7, value(step))).collect()
}

fn series(index: i64) -> Labels {
    labels(&[("__name__", "golden"), ("i", &index.to_string()), ("text", if index % 2 == 0 { "é\n\"" } else { "" })])
}

fn expected() -> Vec<(String, Vec<(i64, u64)>)> {
    let bits = |index| samples(index).into_iter().map(|(time, value)| (time, value.to_bits())).collect();
    let mut all: Vec<_> = (0..5).map(|index| (series(index).to_string(), bits(index))).collect();
    all.sort();
    all
}

fn histograms() -> Labels {
    labels(&[("__name__", "golden_histograms")])
}

fn opens_and_goes_on(format: u32, histograms_wanted: usize) {
    let fixture = Fixture::new();
    copy(&golden(format), fixture.folder.path());
    let open = || Database::open(Options { now_ms: NOW_MS + 3 * HOUR_MS, ..fixture.options() }).unwrap();
    let of_floats = [matcher("__name__", "=", "golden")];
    let database = open();
    assert_eq!(all(&database, &of_floats, i64::MIN, i64::MAX), expected());
    let of_histograms = |database: &Database| told(database, "golden_histograms", i64::MIN, i64::MAX);
    let wanted: Vec<(i64, String)> = (0..720).take(histograms_wanted).map(golden_histogram).collect();
    assert_eq!(of_histograms(&database), wanted);
    let stats = database.stats().unwrap();
    assert!(stats.blocks == 1 && stats.head_samples > 0 && database.recovery().torn.is_none(), "{stats:?}");
    let third = all(&database, &[matcher("i", "=", "3")], NOW_MS, NOW_MS + HOUR_MS);
    assert_eq!((third.len(), third[0].1.len()), (1, 240));
    let late = HistogramSample { timestamp: NOW_MS + 3 * HOUR_MS, ..sample(719) };
    assert_eq!(append(&database, &series(0), &[(late.timestamp, 1.0)]).kept, 1);
    assert_eq!(append_histogram(&database, &histograms(), &late).kept, 1);
    drop(database);
    let database = open();
    assert_eq!(of_histograms(&database).len(), histograms_wanted + 1);
    database.maintain(NOW_MS + 8 * HOUR_MS).unwrap();
    drop(database);
    let database = open();
    let after = all(&database, &of_floats, i64::MIN, i64::MAX);
    assert_eq!(after.iter().map(|(_, samples)| samples.len()).sum::<usize>(), 5 * 720 + 1);
    assert_eq!(of_histograms(&database).len(), histograms_wanted + 1);
}

fn golden_histogram(step: i64) -> (i64, String) {
    let sample = sample(step);
    (sample.timestamp, format!("{:?}", sample.histogram))
}

#[test]
fn a_database_of_format_1_opens_and_goes_on() {
    opens_and_goes_on(1, 0);
}

/// The first with histograms.
#[test]
fn a_database_of_format_2_opens_and_goes_on() {
    opens_and_goes_on(2, 720);
}

#[test]
#[ignore = "writes the golden files of a new format; run once when the format changes"]
fn write_the_golden_files() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let append_steps = |from: usize, to: usize| {
        for step in from..to {
            for index in 0..5 {
                append(&database, &series(index), &samples(index)[step..=step]);
            }
            append_histogram(&database, &histograms(), &sample(i64::try_from(step).unwrap()));
        }
    };
    database.maintain(NOW_MS + 2 * HOUR_MS).unwrap();
    append_steps(0, 600);
    assert_eq!(database.maintain(NOW_MS + 3 * HOUR_MS + HOUR_MS / 2).unwrap().blocks_cut, 1);
    append_steps(600, 720);
    assert_eq!(all(&database, &[matcher("__name__", "=", "golden")], i64::MIN, i64::MAX), expected());
    drop(database);
    assert!(!golden(2).exists(), "golden files are kept for ever");
    copy(fixture.folder.path(), &golden(2));
}
