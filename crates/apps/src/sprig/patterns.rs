//! Functions of regular expressions and of versions.

use prograde_model::pattern::Pattern;
use prograde_template::{CallError, Value};

use super::{Answer, BYTES_MAX, ITEMS_MAX, bounded, int, no_such, text, texts_list};
use crate::semver::{Range, Version};
use crate::template::{Missing, dict};

pub(super) const NAMES: &[&str] = &[
    "mustRegexFind",
    "mustRegexFindAll",
    "mustRegexMatch",
    "mustRegexReplaceAll",
    "mustRegexReplaceAllLiteral",
    "mustRegexSplit",
    "regexFind",
    "regexFindAll",
    "regexMatch",
    "regexQuoteMeta",
    "regexReplaceAll",
    "regexReplaceAllLiteral",
    "regexSplit",
    "semver",
    "semverCompare",
];

pub(super) fn call(name: &str, arguments: &[Value], missing: Missing) -> Answer {
    let plain = name.strip_prefix("mustR").map_or_else(|| name.to_owned(), |rest| format!("r{rest}"));
    match (plain.as_str(), arguments) {
        ("regexMatch", [of, value]) => Ok(Value::Bool(pattern(of)?.is_match(&text(value)?))),
        ("regexFind", [of, value]) => {
            let value = text(value)?;
            let found = pattern(of)?.matches(&value, 1).into_iter().next();
            bounded(found.and_then(|range| value.get(range)).unwrap_or_default().to_owned())
        }
        ("regexFindAll", [of, value, count]) => {
            let (value, count) = (text(value)?, usize::try_from(int(count)?).unwrap_or(ITEMS_MAX));
            let found = pattern(of)?.matches(&value, count);
            texts_list(found.into_iter().filter_map(|range| value.get(range)))
        }
        ("regexReplaceAll", [of, value, with]) => replaced(of, value, &text(with)?),
        ("regexReplaceAllLiteral", [of, value, with]) => replaced(of, value, &text(with)?.replace('$', "$$")),
        ("regexSplit", [of, value, count]) => split(of, value, int(count)?),
        ("regexQuoteMeta", [value]) => {
            let mut out = String::new();
            for letter in text(value)?.chars() {
                if "\\.+*?()|[]{}^$".contains(letter) {
                    out.push('\\');
                }
                out.push(letter);
            }
            bounded(out)
        }
        ("semver", [value]) => {
            let version = Version::parse(&text(value)?).map_err(|why| CallError::new(why.to_string()))?;
            Ok(parts(&version, missing))
        }
        ("semverCompare", [range, value]) => {
            let range = Range::parse(&text(range)?).map_err(|why| CallError::new(why.to_string()))?;
            let version = Version::parse(&text(value)?).map_err(|why| CallError::new(why.to_string()))?;
            Ok(Value::Bool(range.holds(&version)))
        }
        _ => Err(no_such(name, arguments)),
    }
}

fn pattern(value: &Value) -> Result<Pattern, CallError> {
    Pattern::anywhere(&text(value)?).map_err(|why| CallError::new(why.to_string()))
}

fn replaced(of: &Value, value: &Value, with: &str) -> Answer {
    let out = pattern(of)?.replace_all(&text(value)?, with, BYTES_MAX);
    out.map(Value::from).ok_or_else(|| CallError::new(format!("this makes more than {BYTES_MAX} bytes")))
}

fn split(of: &Value, value: &Value, count: i64) -> Answer {
    let value = text(value)?;
    let count = usize::try_from(count).unwrap_or(ITEMS_MAX);
    if count == 0 {
        return Ok(Value::from(Vec::new()));
    }
    let mut parts = Vec::new();
    let mut start = 0;
    for range in pattern(of)?.matches(&value, ITEMS_MAX) {
        if parts.len() + 1 >= count {
            break;
        }
        if range.end == 0 && range.is_empty() {
            continue;
        }
        parts.push(value.get(start..range.start).unwrap_or_default());
        start = range.end;
    }
    parts.push(value.get(start..).unwrap_or_default());
    texts_list(parts)
}

fn parts(version: &Version, missing: Missing) -> Value {
    let number = |number: u64| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
    let entries = [
        ("Major", number(version.major)),
        ("Minor", number(version.minor)),
        ("Patch", number(version.patch)),
        ("Prerelease", Value::from(version.pre.as_str())),
        ("Metadata", Value::from(version.metadata.as_str())),
        ("Original", Value::from(version.original.as_str())),
        ("String", Value::from(version.to_string())),
    ];
    dict(entries.into_iter().map(|(name, value)| (name.into(), value)).collect(), missing, false)
}
