//! What is taken in, what is not, and what is found.

use super::*;
use prograde_observe::tsdb::DatabaseError;

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
