//! Kubernetes' quantities, such as `500m`, `1.5`, `64Mi` and `1e3` (API reference, `Quantity`).

use crate::located::{Located, Value};

/// In what a quantity is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// In wholes.
    One,
    /// In thousandths.
    Thousandth,
}

/// The most digits of a quantity that are read: more than Kubernetes keeps.
const DIGITS_MAX: usize = 18;

/// So many units, rounded up as Kubernetes does. None for what is no quantity, is negative or is too large.
pub(super) fn read(value: &Located, unit: Unit) -> Option<u64> {
    match &value.value {
        Value::Text(text) => parse(text, unit),
        Value::Number(number) => parse(&number.to_string(), unit),
        Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) => None,
    }
}

fn parse(text: &str, unit: Unit) -> Option<u64> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{part}");
    if digits.is_empty() || digits.len() > DIGITS_MAX || part.contains('.') {
        return None;
    }
    let (times, by) = scale(suffix)?;
    let thousandths = if unit == Unit::Thousandth { 1_000 } else { 1 };
    let above = digits.parse::<u128>().ok()?.checked_mul(times)?.checked_mul(thousandths)?;
    let below = 10_u128.checked_pow(u32::try_from(part.len()).ok()?)?.checked_mul(by)?;
    u64::try_from(above.div_ceil(below)).ok()
}

/// What a suffix multiplies by and divides by.
fn scale(suffix: &str) -> Option<(u128, u128)> {
    let kilo = |power| 1_000_u128.checked_pow(power).map(|times| (times, 1));
    let small = |power| 1_000_u128.checked_pow(power).map(|by| (1, by));
    let binary = |power| 1_024_u128.checked_pow(power).map(|times| (times, 1));
    match suffix {
        "" => Some((1, 1)),
        "n" => small(3),
        "u" => small(2),
        "m" => small(1),
        "k" => kilo(1),
        "M" => kilo(2),
        "G" => kilo(3),
        "T" => kilo(4),
        "P" => kilo(5),
        "E" => kilo(6),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            let power = 10_u128.checked_pow(exponent.unsigned_abs())?;
            Some(if exponent < 0 { (1, power) } else { (power, 1) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them() {
        for (text, wholes, thousandths) in [
            ("0", 0, 0),
            ("500m", 1, 500),
            ("1.5", 2, 1_500),
            ("+2", 2, 2_000),
            (".25", 1, 250),
            ("3.", 3, 3_000),
            ("1u", 1, 1),
            ("100n", 1, 1),
            ("64Mi", 67_108_864, 67_108_864_000),
            ("0.5Gi", 536_870_912, 536_870_912_000),
            ("1k", 1_000, 1_000_000),
            ("2M", 2_000_000, 2_000_000_000),
            ("1e3", 1_000, 1_000_000),
            ("12E-1", 2, 1_200),
        ] {
            assert_eq!(
                (parse(text, Unit::One), parse(text, Unit::Thousandth)),
                (Some(wholes), Some(thousandths)),
                "{text}"
            );
        }
        assert_eq!(parse("9E", Unit::One), Some(9_000_000_000_000_000_000));
        for bad in [
            "",
            "-1",
            "m",
            ".",
            "1.2.3",
            "1 m",
            "1Ko",
            "1mi",
            "1e",
            "1e99",
            "99E",
            "NaN",
            "1000000000000000000000",
            "1e-99",
        ] {
            assert_eq!(parse(bad, Unit::One), None, "{bad}");
        }
    }
}
