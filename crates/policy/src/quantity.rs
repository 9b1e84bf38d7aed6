//! Kubernetes' resource quantities: `100m`, `1.5Gi`, `2e3`.
//!
//! Source of the grammar and of the rounding: the reference of `Quantity` in Kubernetes' API documentation
//! (<https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>). Values are kept in billionths;
//! what is finer is rounded away from zero, what is larger is capped, as there.

use std::fmt;

/// The largest number of characters that are read as a quantity.
const LENGTH_MAX: usize = 64;

/// Billionths in one.
const NANO: i128 = 1_000_000_000;

/// How a quantity is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `m`, `k`, `M`, ….
    Decimal,
    /// `Ki`, `Mi`, ….
    Binary,
    /// `e3`.
    Exponent,
}

/// One quantity.
#[derive(Debug, Clone, Copy)]
pub struct Quantity {
    /// The value in billionths.
    pub nano: i128,
    /// How it was written.
    pub format: Format,
}

/// Decimal suffixes and their power of ten.
const DECIMAL: [(&str, i32); 9] =
    [("n", -9), ("u", -6), ("m", -3), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
/// Binary suffixes and their power of two.
const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

impl Quantity {
    /// Reads a quantity.
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || text.len() > LENGTH_MAX || !text.is_ascii() {
            return None;
        }
        let (negative, rest) = match text.as_bytes().first()? {
            b'-' => (true, text.get(1..)?),
            b'+' => (false, text.get(1..)?),
            _ => (false, text),
        };
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (digits, suffix) = rest.split_at(end);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return None;
        }
        let (multiplier, ten, format) = suffix_of(suffix)?;
        let nano = scale(whole, fraction, multiplier, ten)?;
        Some(Self { nano: if negative { -nano } else { nano }, format })
    }

    /// The value as a float, for divisions.
    #[expect(clippy::cast_precision_loss, reason = "callers ask for an approximation")]
    pub fn as_f64(self) -> f64 {
        self.nano as f64 / NANO as f64
    }

    /// A whole number.
    pub fn whole(value: i64, format: Format) -> Self {
        Self { nano: i128::from(value) * NANO, format }
    }

    /// The whole part, where there is no other.
    pub fn as_whole(self) -> Option<i64> {
        (self.nano % NANO == 0).then(|| i64::try_from(self.nano / NANO).ok()).flatten()
    }
}

/// Multiplier, power of ten and format of a suffix.
fn suffix_of(suffix: &str) -> Option<(i128, i32, Format)> {
    if suffix.is_empty() {
        return Some((1, 0, Format::Decimal));
    }
    if let Some((_, shift)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return Some((1_i128 << shift, 0, Format::Binary));
    }
    if let Some((_, ten)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Some((1, *ten, Format::Decimal));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?;
    let ten: i32 = exponent.parse().ok()?;
    (-30..=30).contains(&ten).then_some((1, ten, Format::Exponent))
}

/// Billionths of `whole.fraction × multiplier × 10^ten`, rounded up, capped far above what Kubernetes allows.
fn scale(whole: &str, fraction: &str, multiplier: i128, ten: i32) -> Option<i128> {
    let fraction = fraction.trim_end_matches('0');
    let mut mantissa: i128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        mantissa = mantissa.checked_mul(10)?.checked_add(i128::from(digit.wrapping_sub(b'0')))?;
    }
    let mantissa = mantissa.checked_mul(multiplier)?;
    let exponent = 9 + ten - i32::try_from(fraction.len()).ok()?;
    let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
    if exponent >= 0 {
        return mantissa.checked_mul(power);
    }
    Some(mantissa / power + i128::from(mantissa % power != 0))
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.nano < 0 { "-" } else { "" };
        let nano = self.nano.abs();
        if self.format == Format::Binary && nano % NANO == 0 && nano / NANO >= 1024 {
            let value = nano / NANO;
            let fits = BINARY.iter().rev().find(|(_, shift)| value % (1_i128 << shift) == 0);
            return match fits {
                Some((name, shift)) => write!(f, "{sign}{}{name}", value >> shift),
                None => write!(f, "{sign}{value}"),
            };
        }
        let steps =
            [(18, "E"), (15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k"), (0, ""), (-3, "m"), (-6, "u"), (-9, "n")];
        for (ten, name) in steps {
            let unit = 10_i128.pow(u32::try_from(ten + 9).unwrap_or(0));
            if nano % unit == 0 && (nano != 0 || ten == 0) {
                return match (self.format, ten) {
                    (Format::Exponent, ten) if ten != 0 => write!(f, "{sign}{}e{ten}", nano / unit),
                    (Format::Decimal | Format::Binary | Format::Exponent, _) => {
                        write!(f, "{sign}{}{name}", nano / unit)
                    }
                };
            }
        }
        write!(f, "0")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, canonical: &str) {
        assert_eq!(Quantity::parse(text).map(|q| q.to_string()).as_deref(), Some(canonical), "{text}");
    }

    #[test]
    fn read_and_written_canonically() {
        check("100m", "100m");
        check("0.1", "100m");
        check("1.5Gi", "1536Mi");
        check("1000", "1k");
        check("1024Ki", "1Mi");
        check("2e3", "2e3");
        check("0", "0");
        check("-5", "-5");
        check("1E", "1E");
    }

    #[test]
    fn order_is_by_value() {
        let nano = |text: &str| Quantity::parse(text).unwrap().nano;
        assert!(nano("1Gi") > nano("1G"));
        assert_eq!(nano("1000m"), nano("1"));
        assert!(nano("512Mi") < nano("1Gi"));
    }

    #[test]
    fn what_is_no_quantity() {
        for text in ["", "abc", "1 Gi", "1.2.3", "1Kib", ".", "-", "1e999", &"9".repeat(60), "10s"] {
            assert!(Quantity::parse(text).is_none(), "{text}");
        }
    }
}
