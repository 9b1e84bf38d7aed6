//! Sizes as Prometheus writes them: `15MB`, `1GiB`, `1.5KB`; all units are powers of 1024.

const UNITS: [&str; 7] = ["B", "KB", "MB", "GB", "TB", "PB", "EB"];

/// Bytes; `None` where it is no size.
pub(crate) fn parse(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut total = 0_u64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, after) = tail.split_at(end);
        let unit = unit.replace("iB", "B");
        let power = UNITS.iter().position(|name| *name == unit)?;
        let factor = 1024_f64.powi(i32::try_from(power).ok()?);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole bytes, and never negative")]
        let bytes = (number.parse::<f64>().ok()? * factor) as u64;
        total = total.checked_add(bytes)?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse("15MB"), Some(15 << 20));
        assert_eq!(parse("1.5KiB"), Some(1536));
        assert_eq!(parse("1GB512B"), Some((1 << 30) + 512));
        assert_eq!(parse("0"), Some(0));
        for wrong in ["", "15", "MB", "1XB", "1mb", "-1KB", "1.2.3KB", "1 KB"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
