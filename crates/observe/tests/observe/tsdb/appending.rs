//! What is taken in, what is not, and what is found.

use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use prograde_observe::tsdb::{DatabaseError, Durability};

#[test]
fn what_can_t_be_kept_is_counted_by_its_reason() {
    let fixture = Fixture::new();
    let database = Database::open(Options { series_max: 2, ..fixture.options() }).unwrap();
    let (a, b, c) = (labels(&[("__name__", "a")]), labels(&[("__name__", "b")]), labels(&[("__name__", "c")]));
    let nan = f64::from_bits(0x7ff8_0000_0000_0123);
    let appended = append(&database, &a, &[(NOW_MS, nan), (NOW_MS, nan), (NOW_MS, f64::NAN), (NOW_MS - 1, 1.0)]);
    assert_eq!(appended, Appended { kept: 2, duplicate: 1, out_of_order: 1, ..Appended::default() });
    let hour = 3_600_000;
    let appended =
        append(&database, &b, &[(NOW_MS - 15 * 24 * hour - 1, 1.0), (NOW_MS + hour + 1, 1.0), (NOW_MS + hour, 1.0)]);
    assert_eq!(appended, Appended { kept: 1, out_of_bounds: 2, ..Appended::default() });
    assert_eq!(append(&database, &c, &[(NOW_MS, 1.0)]), Appended { over_limit: 1, ..Appended::default() });
    let long = labels(&[("__name__", &"x".repeat(100_000))]);
    let roomy = Fixture::new();
    assert_eq!(append(&roomy.open(), &long, &[(NOW_MS, 1.0)]), Appended { over_limit: 1, ..Appended::default() });
    assert_eq!(
        all(&database, &[], i64::MIN, i64::MAX),
        [("a".to_owned(), vec![(NOW_MS, nan.to_bits())]), ("b".to_owned(), vec![(NOW_MS + hour, 1.0_f64.to_bits())])]
    );
}

#[test]
fn one_database_at_a_time_has_a_folder_open() {
    let fixture = Fixture::new();
    let first = fixture.open();
    let second = Database::open(fixture.options());
    assert!(matches!(second, Err(DatabaseError::InUse { .. })), "{second:?}");
    drop(first);
    drop(fixture.open());
}

#[test]
fn a_series_without_labels_is_a_series() {
    let fixture = Fixture::new();
    append(&fixture.open(), &Labels::default(), &[(NOW_MS, 1.0)]);
    assert_eq!(all(&fixture.open(), &[], 0, NOW_MS).len(), 1);
}

#[test]
fn matchers_mean_what_they_do_in_prometheus() {
    let fixture = Fixture::new();
    let database = fixture.open();
    for (job, path) in [("pad", "/"), ("pad", ""), ("sat", "/a"), ("", "/")] {
        append(&database, &labels(&[("__name__", "up"), ("job", job), ("path", path)]), &[(NOW_MS, 1.0)]);
    }
    let check = |matchers: &[(&str, &str, &str)], expected: &[&str]| {
        let list: Vec<Matcher> = matchers.iter().map(|(name, op, value)| matcher(name, op, value)).collect();
        let found: Vec<String> = all(&database, &list, 0, NOW_MS).into_iter().map(|(labels, _)| labels).collect();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(found, expected, "{matchers:?}");
    };
    let (pad, pad_root, sat, root) =
        (r#"up{job="pad"}"#, r#"up{job="pad", path="/"}"#, r#"up{job="sat", path="/a"}"#, r#"up{path="/"}"#);
    check(&[("job", "=", "pad")], &[pad_root, pad]);
    check(&[("job", "=", "")], &[root]);
    check(&[("job", "!=", "pad")], &[sat, root]);
    check(&[("job", "!=", "")], &[pad_root, sat, pad]);
    check(&[("job", "=~", "pad|")], &[pad_root, pad, root]);
    check(&[("job", "=~", ".+")], &[pad_root, sat, pad]);
    check(&[("job", "=~", ".*")], &[pad_root, sat, pad, root]);
    check(&[("job", "!~", "p.*|")], &[sat]);
    check(&[("job", "!~", "p.*")], &[sat, root]);
    check(&[("path", "=~", "/.*"), ("job", "!=", "sat"), ("__name__", "=", "up")], &[pad_root, root]);
    check(&[("nothing", "=", "")], &[pad_root, sat, pad, root]);
    check(&[("nothing", "=~", "x.+")], &[]);
}

#[test]
fn queries_see_whole_batches_while_blocks_are_cut() {
    const BATCHES: i64 = 3000;
    let fixture = Fixture::new();
    let options = Options { block_ms: 1000, retention_ms: 40_000_000, ..fixture.options() };
    let database = Database::open(options).unwrap();
    let series = ["a", "b", "c"].map(|name| labels(&[("__name__", name)]));
    let reached = AtomicI64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for batch in 1..=BATCHES {
                let sample = Sample { timestamp: NOW_MS + batch * 10, value: 1.0 };
                let batch_of = series.each_ref().map(|labels| Incoming { labels, sample });
                assert_eq!(database.append(&batch_of).unwrap().kept, 3);
                reached.store(batch, Ordering::Release);
            }
        });
        scope.spawn(|| {
            while reached.load(Ordering::Acquire) < BATCHES {
                database.maintain(NOW_MS + reached.load(Ordering::Acquire) * 10).unwrap();
            }
        });
        while reached.load(Ordering::Acquire) < BATCHES {
            let before = reached.load(Ordering::Acquire);
            let found = all(&database, &[], i64::MIN, i64::MAX);
            let lengths: Vec<usize> = found.iter().map(|(_, samples)| samples.len()).collect();
            assert!(before == 0 || lengths.len() == 3, "{lengths:?}");
            for (name, samples) in &found {
                assert!(
                    samples.len() == lengths[0] && i64::try_from(samples.len()).unwrap() >= before,
                    "{name} {lengths:?}"
                );
                assert!((1..).zip(samples).all(|(index, (time, _))| *time == NOW_MS + index * 10), "{name}");
            }
        }
    });
    let stats = database.stats().unwrap();
    assert!(stats.blocks > 0 && stats.block_samples + stats.head_samples == 9000, "{stats:?}");
}

#[test]
fn a_selection_of_more_samples_than_allowed_is_an_error() {
    let fixture = Fixture::new();
    let database = Database::open(Options { select_samples_max: 2, ..fixture.options() }).unwrap();
    let name = labels(&[("__name__", "a")]);
    append(&database, &name, &[(NOW_MS, 1.0), (NOW_MS + 1, 1.0)]);
    assert_eq!(all(&database, &[], 0, NOW_MS)[0].1.len(), 1);
    append(&database, &name, &[(NOW_MS + 2, 1.0)]);
    let error = database.select(&[], 0, i64::MAX).unwrap_err();
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "the series that are asked for have more than 2 samples");
}

#[test]
fn appends_that_wait_for_the_disk_may_wait_together() {
    let fixture = Fixture::new();
    let open = || Database::open(Options { durability: Durability::Power, ..fixture.options() }).unwrap();
    let database = open();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let database = &database;
            scope.spawn(move || {
                let labels = labels(&[("writer", &format!("{writer}"))]);
                (1..=20).for_each(|time| assert_eq!(append(database, &labels, &[(NOW_MS + time, 1.0)]).kept, 1));
            });
        }
    });
    drop(database);
    let lengths: Vec<usize> = all(&open(), &[], 0, i64::MAX).iter().map(|(_, samples)| samples.len()).collect();
    assert_eq!(lengths, [20; 4]);
}
