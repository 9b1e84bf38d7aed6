//! Durations as Prometheus and Alertmanager write them: `1h30m`, units from large to small, each once.
//!
//! Source: Prometheus documentation, "Querying basics", "Time durations".

/// The units with their milliseconds, in the order in which they may come.
const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Prometheus counts nanoseconds in 63 bits.
const MS_MAX: i64 = i64::MAX / 1_000_000;

/// Milliseconds; `None` where it is no duration, is nothing, or is longer than Prometheus can count.
pub fn parse(text: &str) -> Option<i64> {
    parse_or_nothing(text).filter(|ms| *ms > 0)
}

/// As [`parse`], but `0` and `0s` are durations, as in rule files.
pub fn parse_or_nothing(text: &str) -> Option<i64> {
    if text == "0" {
        return Some(0);
    }
    let mut units = UNITS.iter();
    let mut rest = text;
    let mut total = 0_i64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, after) = tail.split_at(end);
        let (_, ms) = units.find(|(name, _)| *name == unit)?;
        total = number.parse::<i64>().ok()?.checked_mul(*ms)?.checked_add(total)?;
        rest = after;
    }
    (!text.is_empty() && total <= MS_MAX).then_some(total)
}

/// Milliseconds as Prometheus writes them: years, weeks and days only where nothing is left over.
pub fn format(ms: i64) -> String {
    let mut left = ms;
    let mut text = String::new();
    for (unit, size) in UNITS {
        let whole_only = matches!(unit, "y" | "w" | "d");
        if left >= size && (!whole_only || left % size == 0) {
            text = format!("{text}{}{unit}", left / size);
            left %= size;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::{format, parse};

    #[test]
    fn durations_are_written_as_prometheus_writes_them() {
        for (ms, text) in [(0, "0s"), (15_000, "15s"), (90_500, "1m30s500ms"), (86_400_000, "1d"), (90_000_000, "25h")]
        {
            assert_eq!(format(ms), text);
        }
    }

    #[test]
    fn units_come_from_large_to_small() {
        assert_eq!(parse("1h30m"), Some(5_400_000));
        assert_eq!(parse("1y2w3d4h5m6s7ms"), Some(33_019_506_007));
        assert_eq!(parse("324ms"), Some(324));
        for wrong in ["", "5", "m", "1m1h", "1m1m", "1.5m", "0s", "300y", "99999999999999999999s", "1x", "-1m"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
