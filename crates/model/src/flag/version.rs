//! `sem_ver`: versions compared as flagd does (flagd.dev, "Semantic Version Operation Specification"), with the order of
//! Semantic Versioning 2.0.0, section 11.

use std::cmp::Ordering;

use serde_json::Value;

/// A version without its build metadata, which orders nothing.
#[derive(Debug, PartialEq, Eq)]
struct Version<'a> {
    numbers: [u64; 3],
    before_release: Vec<&'a str>,
}

/// `[one, operator, other]`; none where that can't be compared.
pub(super) fn compare(one: &Value, operator: &Value, other: &Value) -> Option<bool> {
    let (one, other) = (plain(one)?, plain(other)?);
    let (one, other) = (Version::read(&one)?, Version::read(&other)?);
    let order = one.order(&other);
    let ([major, minor, _], [other_major, other_minor, _]) = (one.numbers, other.numbers);
    match operator.as_str()? {
        "=" => Some(order.is_eq()),
        "!=" => Some(order.is_ne()),
        "<" => Some(order.is_lt()),
        "<=" => Some(order.is_le()),
        ">" => Some(order.is_gt()),
        ">=" => Some(order.is_ge()),
        "^" => Some(major == other_major),
        "~" => Some((major, minor) == (other_major, other_minor)),
        _ => None,
    }
}

/// A text or a number; a client may send `2` or `1.5` for a version.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

impl<'a> Version<'a> {
    /// One to three numbers, with an optional `v` in front, as flagd completes `1` and `1.2`.
    fn read(text: &'a str) -> Option<Self> {
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
        let (core, before) = text.split_once('-').map_or((text, None), |(core, before)| (core, Some(before)));
        let mut numbers = [0; 3];
        let mut parts = core.split('.');
        for (place, slot) in numbers.iter_mut().enumerate() {
            match parts.next() {
                Some(part) => *slot = numeric(part)?,
                None if place > 0 => break,
                None => return None,
            }
        }
        let named = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let before_release: Vec<&str> = before.map(|before| before.split('.').collect()).unwrap_or_default();
        let numbered = |part: &&&str| part.bytes().all(|b| b.is_ascii_digit());
        let good = parts.next().is_none()
            && build.is_none_or(|build| build.split('.').all(named))
            && before_release.iter().all(|part| named(part))
            && before_release.iter().filter(numbered).all(|part| part.len() == 1 || !part.starts_with('0'));
        good.then_some(Self { numbers, before_release })
    }

    fn order(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| {
            match (self.before_release.is_empty(), other.before_release.is_empty()) {
                (true, true) => Ordering::Equal,
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) => self
                    .before_release
                    .iter()
                    .map(|part| rank(part))
                    .cmp(other.before_release.iter().map(|part| rank(part))),
            }
        })
    }
}

/// Numbers come before texts, and are compared as numbers however many digits they have.
fn rank(part: &str) -> (bool, usize, &str) {
    let is_number = part.bytes().all(|b| b.is_ascii_digit());
    (!is_number, if is_number { part.len() } else { 0 }, part)
}

fn numeric(part: &str) -> Option<u64> {
    let good = part.bytes().all(|b| b.is_ascii_digit()) && (part.len() == 1 || !part.starts_with('0'));
    part.parse().ok().filter(|_| good)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn holds(one: &str, operator: &str, other: &str) -> Option<bool> {
        compare(&json!(one), &json!(operator), &json!(other))
    }

    /// The example of Semantic Versioning 2.0.0, section 11.4.
    #[test]
    fn the_order_of_the_specification() {
        let ascending = [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "2.0.0",
            "2.1.0",
            "2.1.1",
        ];
        for (index, one) in ascending.iter().enumerate() {
            for (place, other) in ascending.iter().enumerate() {
                assert_eq!(holds(one, "<", other), Some(index < place), "{one} {other}");
                assert_eq!(holds(one, ">=", other), Some(index >= place), "{one} {other}");
            }
        }
    }

    #[test]
    fn what_flagd_makes_of_versions() {
        assert_eq!(holds("v1.2.3", "=", "1.2.3+build.7"), Some(true));
        assert_eq!(holds("1", "=", "1.0.0"), Some(true));
        assert_eq!(holds("1.2", "!=", "1.2.0"), Some(false));
        assert_eq!(holds("1.9.9", "^", "1.0.0"), Some(true));
        assert_eq!(holds("1.9.9", "~", "1.0.0"), Some(false));
        assert_eq!(compare(&json!(2), &json!(">"), &json!("1.99")), Some(true));
        for (one, operator, other) in [
            ("1.2.3.4", "=", "1.2.3.4"),
            ("", "=", ""),
            ("myVersion_1", "<", "2"),
            ("1.02.3", "=", "1.2.3"),
            ("1.0.0-", "=", "1.0.0"),
            ("1.0.0", "=>", "1.0.0"),
            ("99999999999999999999", ">", "1"),
        ] {
            assert_eq!(holds(one, operator, other), None, "{one} {operator} {other}");
        }
        assert_eq!(compare(&json!(null), &json!("="), &json!("1")), None);
    }
}
