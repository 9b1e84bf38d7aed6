//! Numbers with a point, as Go writes them.
//!
//! Source: Go 1.26, documentation of `strconv`, `FormatFloat`.

/// As by the verb `v`: the shortest text that gives the same number back, with an exponent below 1e-04 and from 1e+06 on.
pub fn float(value: f64) -> String {
    match unsigned_or_special(value, 'v', None) {
        Ok((true, digits)) => format!("-{digits}"),
        Ok((false, digits)) => digits,
        Err(special) => special.to_owned(),
    }
}

/// Whether it is negative, and its digits; or the word for what has none.
pub(crate) fn unsigned_or_special(
    value: f64,
    verb: char,
    precision: Option<usize>,
) -> Result<(bool, String), &'static str> {
    if value.is_nan() {
        return Err("NaN");
    }
    if value.is_infinite() {
        return Err(if value > 0.0 { "+Inf" } else { "-Inf" });
    }
    let magnitude = value.abs();
    let digits = match verb.to_ascii_lowercase() {
        'e' => {
            let digits = Digits::rounded(magnitude, precision.unwrap_or(6));
            digits.with_exponent(precision.unwrap_or(6))
        }
        'f' => format!("{magnitude:.*}", precision.unwrap_or(6)),
        _ => general(magnitude, precision),
    };
    let digits = if verb.is_ascii_uppercase() { digits.to_ascii_uppercase() } else { digits };
    Ok((value.is_sign_negative(), digits))
}

/// The verb `g`: with an exponent where it is small or large for the digits.
fn general(magnitude: f64, precision: Option<usize>) -> String {
    let (digits, wanted) = match precision {
        None => (Digits::shortest(magnitude), 6),
        Some(precision) => (Digits::rounded(magnitude, precision.max(1) - 1), precision.max(1)),
    };
    let digits = digits.trimmed();
    let count = i64::try_from(digits.digits.len()).unwrap_or(i64::MAX);
    let wanted = i64::try_from(wanted).unwrap_or(i64::MAX);
    let point = digits.exponent + 1;
    let exponent_from = if precision.is_some() && wanted > count && count >= point { count } else { wanted };
    if digits.exponent < -4 || digits.exponent >= exponent_from {
        let fraction = digits.digits.len().saturating_sub(1);
        return digits.with_exponent(fraction);
    }
    digits.plain()
}

/// `d.ddd` times ten to the power of `exponent`.
struct Digits {
    digits: String,
    exponent: i64,
}

impl Digits {
    fn shortest(magnitude: f64) -> Self {
        Self::read(&format!("{magnitude:e}"))
    }

    /// With so many digits after the first.
    fn rounded(magnitude: f64, fraction: usize) -> Self {
        Self::read(&format!("{magnitude:.fraction$e}"))
    }

    fn read(scientific: &str) -> Self {
        let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
        Self { digits: mantissa.replace('.', ""), exponent: exponent.parse().unwrap_or(0) }
    }

    fn trimmed(mut self) -> Self {
        let length = self.digits.trim_end_matches('0').len().max(1);
        self.digits.truncate(length);
        self
    }

    fn with_exponent(&self, fraction: usize) -> String {
        let (first, rest) = self.digits.split_at_checked(1).unwrap_or(("0", ""));
        let point = if fraction > 0 { "." } else { "" };
        let sign = if self.exponent < 0 { '-' } else { '+' };
        format!("{first}{point}{rest}e{sign}{:02}", self.exponent.unsigned_abs())
    }

    fn plain(&self) -> String {
        let before = self.exponent + 1;
        let Ok(before) = usize::try_from(before) else {
            let zeros = usize::try_from(before.unsigned_abs()).unwrap_or(0);
            return format!("0.{}{}", "0".repeat(zeros), self.digits);
        };
        match self.digits.split_at_checked(before) {
            Some(("", fraction)) => format!("0.{fraction}"),
            Some((whole, "")) => whole.to_owned(),
            Some((whole, fraction)) => format!("{whole}.{fraction}"),
            None => format!("{}{}", self.digits, "0".repeat(before - self.digits.len())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_as_short_as_can_be() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.5, "1.5"),
            (123_456.0, "123456"),
            (1e6, "1e+06"),
            (123_456_789.0, "1.23456789e+08"),
            (1e21, "1e+21"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(float(value), expected);
        }
    }
}
