//! Durations as Go writes them.

use std::time::Duration;

/// A duration such as `1h30m`, `1.5s` or `0`; nothing for anything else or a negative one.
///
/// Source: Go, `time.ParseDuration`.
pub(crate) fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() || text.len() > 64 {
        return None;
    }
    let mut seconds = 0.0_f64;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !(letter.is_ascii_digit() || letter == '.'))?;
        let (number, after) = rest.split_at_checked(end)?;
        let unit_end = after.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(unit_end)?;
        let unit = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * unit;
        rest = after;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

/// A duration as Argo CD reads it: as Go writes it, or a bare number of seconds.
pub fn duration(text: &str) -> Option<Duration> {
    text.parse::<u64>().ok().map(Duration::from_secs).or_else(|| go_duration(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_does() {
        for (text, seconds) in [("1h30m", Some(5400.0)), ("1.5s", Some(1.5)), ("0", Some(0.0)), ("300ms", Some(0.3))] {
            assert_eq!(go_duration(text).map(|duration| duration.as_secs_f64()), seconds, "{text}");
        }
        for wrong in ["", "1", "h", "1d", "-1s", "1s2", "1e3s", "9999999999999999999999h"] {
            assert!(go_duration(wrong).is_none(), "{wrong}");
        }
    }
}
