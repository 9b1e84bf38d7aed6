//! Settings from variables.

use std::ffi::OsString;
use std::time::Duration;

use pad::settings::{BadSetting, Settings};

fn read(variables: &[(&str, &str)]) -> Result<Settings, BadSetting> {
    Settings::from_variables(variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))))
}

#[test]
fn without_variables_the_defaults_hold() {
    assert_eq!(read(&[("HOME", "/")]), Ok(Settings::default()));
    assert_eq!(Settings::default().address.to_string(), "0.0.0.0:8080");
}

#[test]
fn every_variable_is_read() {
    let settings = read(&[
        ("PORT", "9000"),
        ("PAD_HOST", "::1"),
        ("PAD_DRAIN_SECONDS", "0"),
        ("PAD_SHUTDOWN_SECONDS", "2.5"),
        ("PAD_COMMIT", "c0ffee1"),
        ("PAD_ERROR_SHARE", "0.25"),
        ("PAD_LATENCY_SHARE", "1"),
        ("PAD_LATENCY_MS", "70"),
        ("PAD_CRASH_AT_START", "true"),
    ])
    .unwrap();
    assert_eq!(settings.address.to_string(), "[::1]:9000");
    assert_eq!((settings.drain, settings.shutdown), (Duration::ZERO, Duration::from_millis(2500)));
    assert_eq!(settings.commit.as_deref(), Some("c0ffee1"));
    let faults = settings.faults;
    assert_eq!((faults.error_share, faults.latency_share), (0.25, 1.0));
    assert_eq!((faults.latency, faults.crash_at_start), (Duration::from_millis(70), true));
}

#[test]
fn a_bad_value_is_named_with_what_would_be_right() {
    for (name, bad) in [
        ("PORT", ["", "http", "65536", "-1", " 80"]),
        ("PAD_HOST", ["", "localhost", "256.0.0.1", "1.2.3.4:80", "*"]),
        ("PAD_DRAIN_SECONDS", ["", "-1", "301", "NaN", "5s"]),
        ("PAD_SHUTDOWN_SECONDS", ["", "-1", "1e99", "inf", "1,5"]),
        ("PAD_COMMIT", ["", "main", "C0FFEE12", "c0ffee", "c0ffee1\n"]),
        ("PAD_ERROR_SHARE", ["", "1.01", "-0.1", "5%", "NaN"]),
        ("PAD_LATENCY_SHARE", ["", "2", "-1", "half", "inf"]),
        ("PAD_LATENCY_MS", ["", "60001", "-5", "1.5", "99999999999999999999"]),
        ("PAD_CRASH_AT_START", ["", "yes", "1", "True", "no"]),
    ] {
        for value in bad {
            let message = read(&[(name, value)]).expect_err(value).to_string();
            assert!(message.starts_with(&format!("{name}={value:?} can't be used: expected ")), "{message}");
        }
    }
}
