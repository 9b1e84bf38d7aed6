//! Go's durations, as Kyverno's patterns, conditions and functions use them: `1h30m`, `1.5s`, `-2m`.

/// Nanoseconds in a unit.
const UNITS: [(&str, i128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Nanoseconds of a Go duration; `None` where the text is none or does not fit 64 bits.
pub fn parse(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let (_, nano) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(scaled(number, *nano)?)?;
        rest = tail;
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

fn scaled(number: &str, nano: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || number.len() > 40 {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction = fraction.get(..fraction.len().min(15))?;
    let part: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let power = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    whole.checked_mul(nano)?.checked_add(part * nano / power)
}

/// As Go writes it: `1h30m0s`, `1.5s`, `20ms`, `0s`.
pub fn format(nano: i64) -> String {
    let sign = if nano < 0 { "-" } else { "" };
    let value = nano.unsigned_abs();
    if value == 0 {
        return "0s".to_owned();
    }
    if value < 1_000_000_000 {
        let (unit, size) = match value {
            0..1_000 => ("ns", 1),
            1_000..1_000_000 => ("µs", 1_000),
            _ => ("ms", 1_000_000),
        };
        return format!("{sign}{}{unit}", decimal(value, size));
    }
    let (hours, minutes) = (value / 3_600_000_000_000, value / 60_000_000_000 % 60);
    let seconds = decimal(value % 60_000_000_000, 1_000_000_000);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, _) => format!("{sign}{minutes}m{seconds}s"),
        _ => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

fn decimal(value: u64, size: u64) -> String {
    let (whole, part) = (value / size, value % size);
    if part == 0 {
        return whole.to_string();
    }
    let width = size.to_string().len() - 1;
    format!("{whole}.{}", format!("{part:0width$}").trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_and_written_like_go() {
        let check = |text: &str, want: &str| assert_eq!(parse(text).map(format).as_deref(), Some(want), "{text}");
        check("1h30m", "1h30m0s");
        check("90s", "1m30s");
        check("1.5s", "1.5s");
        check("-2m", "-2m0s");
        check("100ms", "100ms");
        check("0", "0s");
        check("8760h", "8760h0m0s");
    }

    #[test]
    fn what_is_no_duration() {
        for text in ["", "1", "h", "1d", "1.2.3s", "1h-2m", "99999999999999h", "-"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
