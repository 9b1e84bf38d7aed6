//! What a text without quotes is taken for. Kustomize reads and writes YAML with two libraries that decide differently:
//! objects are read as YAML 1.2 with a few leftovers of 1.1, and what is printed is quoted so that a YAML 1.1 reader
//! takes it for the same (go.yaml.in/yaml/v3 3.0.5 and v2 2.4.4).

use serde_json::{Number, Value as Json};

/// The type of a scalar, by its short tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// Not decided: what the text looks like decides when it is printed.
    Open,
    /// `!!null`.
    Null,
    /// `!!bool`.
    Bool,
    /// `!!int`.
    Int,
    /// `!!float`.
    Float,
    /// `!!str`.
    Str,
    /// `!!timestamp`.
    Timestamp,
    /// `!!merge`, the key `<<`.
    Merge,
    /// `!!binary`.
    Binary,
    /// Any other tag, which is kept for nothing.
    Other,
}

/// Which library's rules are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    /// How objects are read.
    V3,
    /// How kustomizations are read, and what printed texts must not be mistaken for.
    V2,
}

/// The type of a plain text.
pub(crate) fn tag_of(text: &str, rules: Rules) -> Tag {
    if is_surely_text(text) { Tag::Str } else { resolve(text, rules).0 }
}

/// Whether a text begins as nothing else does.
fn is_surely_text(text: &str) -> bool {
    let others = b"yYnNtTfFoO~.+-0123456789";
    text.bytes().next().is_some_and(|first| !others.contains(&first))
}

/// The type and value of a plain text.
pub(crate) fn resolve(text: &str, rules: Rules) -> (Tag, Json) {
    let string = || (Tag::Str, Json::String(text.to_owned()));
    let Some(first) = text.bytes().next() else { return (Tag::Null, Json::Null) };
    if is_surely_text(text) {
        return string();
    }
    match text {
        "~" | "null" | "Null" | "NULL" => return (Tag::Null, Json::Null),
        "true" | "True" | "TRUE" => return (Tag::Bool, Json::Bool(true)),
        "false" | "False" | "FALSE" => return (Tag::Bool, Json::Bool(false)),
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" if rules == Rules::V2 => {
            return (Tag::Bool, Json::Bool(true));
        }
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" if rules == Rules::V2 => {
            return (Tag::Bool, Json::Bool(false));
        }
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf"
        | "-.INF" => return (Tag::Float, Json::Null),
        _ => {}
    }
    match first {
        b'.' => go_float(text).map_or_else(string, |number| (Tag::Float, float(number))),
        b'+' | b'-' | b'0'..=b'9' => numeric(text, rules).unwrap_or_else(string),
        _ => string(),
    }
}

fn float(number: f64) -> Json {
    Number::from_f64(number).map_or(Json::Null, Json::Number)
}

fn numeric(text: &str, rules: Rules) -> Option<(Tag, Json)> {
    if let Some(time) = timestamp(text, rules) {
        return Some((Tag::Timestamp, Json::String(time)));
    }
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    if let Some(number) = go_integer(&plain) {
        return Some((Tag::Int, Json::Number(number)));
    }
    if is_style_float(&plain)
        && let Ok(number) = plain.parse::<f64>()
    {
        return number.is_finite().then(|| (Tag::Float, float(number)));
    }
    if rules == Rules::V3 {
        let (sign, digits) = plain.strip_prefix('-').map_or(("", plain.as_str()), |rest| ("-", rest));
        if let Some(digits) = digits.strip_prefix("0o")
            && let Ok(number) = i64::from_str_radix(&format!("{sign}{digits}"), 8)
        {
            return Some((Tag::Int, Json::Number(number.into())));
        }
    }
    None
}

/// Go's `ParseInt` and `ParseUint` with base 0, after underscores were taken out.
fn go_integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let lower = digits.get(..2).unwrap_or_default().to_ascii_lowercase();
    let (base, digits) = match lower.as_str() {
        "0x" => (16, digits.get(2..)?),
        "0o" => (8, digits.get(2..)?),
        "0b" => (2, digits.get(2..)?),
        _ if digits.len() > 1 && digits.starts_with('0') => (8, digits.get(1..)?),
        _ => (10, digits),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(base)) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, base).ok()?;
    if negative {
        let number = 0_i64.checked_sub_unsigned(magnitude)?;
        return Some(number.into());
    }
    // A sign is allowed for what fits 63 bits only.
    if text.starts_with('+') && i64::try_from(magnitude).is_err() {
        return None;
    }
    Some(magnitude.into())
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_style_float(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..)),
        None => (text, None),
    };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let good = match mantissa.split_once('.') {
        None => digits(mantissa),
        Some(("", after)) => digits(after),
        Some((before, after)) => digits(before) && (after.is_empty() || digits(after)),
    };
    good && exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['-', '+']).unwrap_or(exponent)))
}

/// Go's `ParseFloat` for texts that begin with a dot.
fn go_float(text: &str) -> Option<f64> {
    let plain = is_style_float(text);
    plain.then(|| text.parse::<f64>().ok()).flatten()
}

/// A date, with or without a time, as Go prints it in JSON; `None` for what is none.
fn timestamp(text: &str, rules: Rules) -> Option<String> {
    let bytes = text.as_bytes();
    if bytes.len() < 8 || !bytes.get(..4)?.iter().all(u8::is_ascii_digit) || bytes.get(4) != Some(&b'-') {
        return None;
    }
    let (year, rest) = (text.get(..4)?, text.get(5..)?);
    let (month, rest) = rest.split_once('-')?;
    let day_end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (day, rest) = (rest.get(..day_end)?, rest.get(day_end..)?);
    let small = |part: &str, max: u32| {
        let good = (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        good.then(|| part.parse::<u32>().ok()).flatten().filter(|number| *number <= max)
    };
    let (month, day) = (small(month, 12)?, small(day, 31)?);
    let date = jiff::civil::Date::new(year.parse().ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    if rest.is_empty() {
        return Some(format!("{date}T00:00:00Z"));
    }
    let zoned = rest.starts_with(['T', 't']);
    if !zoned && (!rest.starts_with(' ') || rules == Rules::V3) {
        return None;
    }
    clock(rest.get(1..)?, zoned).map(|clock| format!("{date}T{clock}"))
}

fn clock(text: &str, zoned: bool) -> Option<String> {
    let zone_at = text.find(['Z', '+', '-']).unwrap_or(text.len());
    let (time, zone) = (text.get(..zone_at)?, text.get(zone_at..)?);
    if zoned == zone.is_empty() {
        return None;
    }
    let mut parts = time.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let (second, fraction) = second.split_once(['.', ',']).map_or((second, None), |(s, f)| (s, Some(f)));
    let two = |part: &str, below: u32| {
        let good = (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        good.then(|| part.parse::<u32>().ok()).flatten().filter(|number| *number < below)
    };
    let (hour, minute, second) = (two(hour, 24)?, two(minute, 60)?, two(second, 60)?);
    let fraction = match fraction {
        None => String::new(),
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            let kept: String = digits.chars().take(9).collect();
            let kept = kept.trim_end_matches('0');
            if kept.is_empty() { String::new() } else { format!(".{kept}") }
        }
        Some(_) => return None,
    };
    let zone = match zone {
        "" | "Z" => "Z".to_owned(),
        offset => {
            let (hours, minutes) = offset.get(1..)?.split_once(':')?;
            let whole = hours.len() == 2 && minutes.len() == 2 && two(hours, 25)? <= 24 && two(minutes, 60).is_some();
            match (whole, offset) {
                (true, "+00:00" | "-00:00") => "Z".to_owned(),
                (true, offset) => offset.to_owned(),
                (false, _) => return None,
            }
        }
    };
    Some(format!("{hour:02}:{minute:02}:{second:02}{fraction}{zone}"))
}

/// A float as Go's `FormatFloat(f, 'g', -1, 64)` writes it.
pub(crate) fn go_float_text(number: f64, exponent_from: i32) -> String {
    if number == 0.0 {
        return if number.is_sign_negative() { "-0".into() } else { "0".into() };
    }
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < -4 || exponent >= exponent_from {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    format!("{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_texts_have_types() {
        for (text, v3, v2) in [
            ("", Tag::Null, Tag::Null),
            ("yes", Tag::Str, Tag::Bool),
            ("n", Tag::Str, Tag::Bool),
            ("0777", Tag::Int, Tag::Int),
            ("0o17", Tag::Int, Tag::Int),
            ("089", Tag::Float, Tag::Float),
            ("1_000", Tag::Int, Tag::Int),
            ("1e3", Tag::Float, Tag::Float),
            ("1e400", Tag::Str, Tag::Str),
            (".5", Tag::Float, Tag::Float),
            ("1.2.3", Tag::Str, Tag::Str),
            ("2020-01-01", Tag::Timestamp, Tag::Timestamp),
            ("2020-13-01", Tag::Str, Tag::Str),
            ("12:30", Tag::Str, Tag::Str),
            ("<<", Tag::Str, Tag::Str),
            ("2020-01-01 10:00:00", Tag::Str, Tag::Timestamp),
            ("-", Tag::Str, Tag::Str),
        ] {
            assert_eq!((resolve(text, Rules::V3).0, resolve(text, Rules::V2).0), (v3, v2), "{text:?}");
        }
        assert_eq!(resolve("0777", Rules::V3).1, serde_json::json!(511));
        assert_eq!(resolve("2001-12-14t21:59:43.10-05:00", Rules::V3).1, "2001-12-14T21:59:43.1-05:00");
    }

    #[test]
    fn floats_are_written_as_go_does() {
        for (number, text) in [(1.5, "1.5"), (1e6, "1e+06"), (123_456.0, "123456"), (1e-5, "1e-05"), (0.0001, "0.0001")]
        {
            assert_eq!(go_float_text(number, 6), text);
        }
        assert_eq!(go_float_text(1e6, 21), "1000000");
    }
}
