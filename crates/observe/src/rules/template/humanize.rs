//! Numbers as people read them, with four digits.
//!
//! Source: Prometheus 2.42, `template/template.go`.

use prograde_template::{Value, printf};

const LARGE: [&str; 8] = ["k", "M", "G", "T", "P", "E", "Z", "Y"];
const SMALL: [&str; 8] = ["m", "u", "n", "p", "f", "a", "z", "y"];
const BINARY: [&str; 8] = ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"];

/// `%.4g`
pub(super) fn short(number: f64) -> String {
    // The verb takes every number, and what it gives is short.
    printf("%.4g", &[Value::Float(number)], 64).unwrap_or_default()
}

/// With a metric prefix.
pub(super) fn decimal(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return short(number);
    }
    let (number, prefix) = if number.abs() >= 1.0 { divided(number, 1000.0, &LARGE) } else { multiplied(number) };
    format!("{}{prefix}", short(number))
}

/// With a binary prefix.
pub(super) fn binary(number: f64) -> String {
    if number.abs() <= 1.0 || !number.is_finite() {
        return short(number);
    }
    let (number, prefix) = divided(number, 1024.0, &BINARY);
    format!("{}{prefix}", short(number))
}

pub(super) fn percentage(number: f64) -> String {
    format!("{}%", short(number * 100.0))
}

/// Seconds as days, hours, minutes and seconds.
pub(super) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return short(seconds);
    }
    if seconds == 0.0 {
        return format!("{}s", short(seconds));
    }
    if seconds.abs() < 1.0 {
        let (number, prefix) = multiplied(seconds);
        return format!("{}{prefix}s", short(number));
    }
    let sign = if seconds < 0.0 { "-" } else { "" };
    let magnitude = seconds.abs();
    #[expect(clippy::cast_possible_truncation, reason = "a longer time stops at the longest that can be counted")]
    let whole = magnitude as i64;
    let (days, hours, minutes, rest) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60, whole % 60);
    if days != 0 {
        format!("{sign}{days}d {hours}h {minutes}m {rest}s")
    } else if hours != 0 {
        format!("{sign}{hours}h {minutes}m {rest}s")
    } else if minutes != 0 {
        format!("{sign}{minutes}m {rest}s")
    } else {
        format!("{sign}{}s", short(magnitude))
    }
}

/// Divided until it is less than a step, or there is no larger prefix.
fn divided(mut number: f64, step: f64, prefixes: &[&'static str]) -> (f64, &'static str) {
    let mut prefix = "";
    for next in prefixes {
        if number.abs() < step {
            break;
        }
        prefix = next;
        number /= step;
    }
    (number, prefix)
}

/// Multiplied until it is at least 1, or there is no smaller prefix.
fn multiplied(mut number: f64) -> (f64, &'static str) {
    let mut prefix = "";
    for next in SMALL {
        if number.abs() >= 1.0 {
            break;
        }
        prefix = next;
        number *= 1000.0;
    }
    (number, prefix)
}
