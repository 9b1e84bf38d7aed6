//! The parts by themselves.

use jiff::civil::date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::*;

#[test]
fn matchers_are_read_as_alertmanager_does() {
    let reads = |text: &str| matchers(text).map_or_else(|error| format!("error: {error}"), |all| written(&all));
    for (text, written) in [
        ("a=b", "{a=\"b\"}"),
        (" a != \"b c\" ", "{a!=\"b c\"}"),
        ("{a=~\"b|c\",d!~e.*}", "{a=~\"b|c\",d!~\"e.*\"}"),
        ("a=\"x,y\", b=z,", "{a=\"x,y\",b=\"z\"}"),
        ("a=", "{a=\"\"}"),
        ("a=\"\"", "{a=\"\"}"),
        (r#"a="q\"\\\n\d""#, r#"{a="q\"\\\n\\d"}"#),
        (r"a=b\", r#"{a="b\\"}"#),
        ("a:b=c", "{a:b=\"c\"}"),
        ("a=b}", "{a=\"b\"}"),
        ("", "{}"),
        ("{}", "{}"),
        ("a==b", "{a=\"=b\"}"),
    ] {
        assert_eq!(reads(text), written, "{text}");
    }
    for wrong in [
        "a",
        "=b",
        "1a=b",
        "a=\"b",
        "a=b\"",
        "a=\"b\"c",
        "a=\"b\"\"",
        "a=~\"(\"",
        ",",
        "a=b,,c=d",
        "a-b=c",
        "é=x",
        "a=\"b\\\"",
    ] {
        assert!(reads(wrong).starts_with("error: "), "{wrong}: {}", reads(wrong));
    }
}

#[test]
fn fingerprints_are_alertmanagers() {
    // As Alertmanager 0.25 shows it for `amtool alert add alertname=Full disk=a`; see `crates/notify/tests`.
    let labels = [("alertname", "Full"), ("disk", "a")].into_iter().collect();
    let fingerprint = Fingerprint::of(&labels);
    assert_eq!(fingerprint.to_string().parse::<Fingerprint>().unwrap(), fingerprint);
    assert_eq!(Fingerprint::of(&crate::labels::Labels::default()).to_string(), "cbf29ce484222325");
}

fn interval() -> TimeInterval {
    TimeInterval {
        times: Vec::new(),
        weekdays: Vec::new(),
        days_of_month: Vec::new(),
        months: Vec::new(),
        years: Vec::new(),
        zone: TimeZone::UTC,
    }
}

fn utc(month: i8, day: i8, hour: i8, minute: i8) -> Timestamp {
    date(2023, month, day).at(hour, minute, 0, 0).to_zoned(TimeZone::UTC).unwrap().timestamp()
}

#[test]
fn an_interval_holds_times_days_and_months() {
    let hours = TimeInterval { times: vec![(540, 1020), (1200, 1440)], ..interval() };
    assert!(hours.holds(utc(1, 1, 9, 0)) && hours.holds(utc(1, 1, 23, 59)) && !hours.holds(utc(1, 1, 17, 0)));
    let span = |begin, end| Span { begin, end };
    // 1 January 2023 is a Sunday.
    let weekdays = TimeInterval { weekdays: vec![span(1, 5)], ..interval() };
    assert!(!weekdays.holds(utc(1, 1, 0, 0)) && weekdays.holds(utc(1, 2, 0, 0)) && weekdays.holds(utc(1, 6, 0, 0)));
    let last_days = TimeInterval { days_of_month: vec![DayOfMonth(span(-3, -1))], ..interval() };
    assert!(
        last_days.holds(utc(2, 26, 0, 0)) && last_days.holds(utc(2, 28, 0, 0)) && !last_days.holds(utc(2, 25, 0, 0))
    );
    let first_to_last = TimeInterval { days_of_month: vec![DayOfMonth(span(30, 31))], ..interval() };
    assert!(!first_to_last.holds(utc(2, 28, 0, 0)) && first_to_last.holds(utc(4, 30, 0, 0)));
    let cut = TimeInterval { days_of_month: vec![DayOfMonth(span(-31, -28))], ..interval() };
    assert!(cut.holds(utc(2, 1, 0, 0)) && !cut.holds(utc(2, 2, 0, 0)) && cut.holds(utc(1, 4, 0, 0)));
    let spring = TimeInterval { months: vec![span(3, 5)], years: vec![span(2023, 2023)], ..interval() };
    assert!(spring.holds(utc(5, 31, 0, 0)) && !spring.holds(utc(6, 1, 0, 0)));
    let elsewhere = TimeZone::fixed(jiff::tz::offset(10));
    let there = TimeInterval { weekdays: vec![span(1, 1)], zone: elsewhere, ..interval() };
    assert!(there.holds(utc(1, 1, 14, 0)) && !there.holds(utc(1, 1, 13, 59)));
}

#[test]
fn waits_between_attempts_double_and_end() {
    let retry = Retry::default();
    let failure = |retry_after| Failure::Passing { why: "status 500".into(), retry_after };
    let hour = SignedDuration::from_hours(1);
    let wait = |attempt, random| match retry.next(attempt, &failure(None), hour, random) {
        Attempt::After(wait) => wait.as_millis(),
        Attempt::GiveUp => panic!("gave up"),
    };
    assert_eq!([1, 2, 3, 8, 60, 999].map(|attempt| wait(attempt, 0)), [500, 1000, 2000, 60_000, 60_000, 60_000]);
    assert!((0..1000).all(|random| (250..=500).contains(&wait(1, random))));
    let asked = SignedDuration::from_mins(2);
    assert_eq!(retry.next(1, &failure(Some(asked)), hour, 7), Attempt::After(asked));
    assert_eq!(retry.next(1, &failure(Some(hour)), hour, 7), Attempt::GiveUp);
    assert_eq!(retry.next(1_000, &failure(None), hour, 7), Attempt::GiveUp);
    assert_eq!(retry.next(1, &Failure::Lasting { why: "status 400".into() }, hour, 7), Attempt::GiveUp);
    assert_eq!(Failure::of_status(204, "", None), None);
    assert_eq!(Failure::of_status(404, " gone ", None).unwrap().why(), "status 404: gone");
    assert!(matches!(Failure::of_status(429, "", Some(asked)), Some(Failure::Passing { retry_after: Some(_), .. })));
}

#[test]
fn alerts_of_one_stretch_keep_their_start() {
    let at = |minute| Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minute);
    let alert = |starts, ends, timeout| Alert {
        labels: [("alertname", "Full")].into_iter().collect(),
        annotations: BTreeMap::new(),
        starts_at: at(starts),
        ends_at: at(ends),
        timeout,
        updated_at: at(0),
        generator_url: String::new(),
    };
    let merged = |old: Alert, new, now| {
        let merged = old.merged(new, at(now));
        (merged.starts_at.duration_since(at(0)).as_mins(), merged.ends_at.duration_since(at(0)).as_mins())
    };
    let span_mins = merged(alert(0, 10, false), alert(5, 20, false), 6);
    assert_eq!(span_mins, (0, 20));
    assert_eq!(merged(alert(0, 10, false), alert(12, 20, false), 12), (12, 20));
    // An end that was said holds against a guess; a guess does not.
    assert_eq!(merged(alert(0, 30, false), alert(5, 20, true), 6), (0, 30));
    assert_eq!(merged(alert(0, 30, true), alert(5, 20, false), 6), (0, 20));
    assert_eq!(merged(alert(0, 30, false), alert(0, 6, false), 7), (0, 6));
}
