//! Functions of texts.

use prograde_template::{CallError, Value, printf};
use sha1::{Digest as _, Sha1};
use sha2::{Sha256, Sha512};

use super::{Answer, BYTES_MAX, bounded, int, is_empty, list, no_such, shown, text, texts_list};
use crate::template::{Missing, dict};

pub(super) const NAMES: &[&str] = &[
    "abbrev",
    "abbrevboth",
    "adler32sum",
    "atoi",
    "camelcase",
    "cat",
    "coalesce",
    "contains",
    "default",
    "empty",
    "fail",
    "hasPrefix",
    "hasSuffix",
    "hello",
    "indent",
    "initials",
    "join",
    "kebabcase",
    "lower",
    "nindent",
    "nospace",
    "plural",
    "quote",
    "repeat",
    "replace",
    "sha1sum",
    "sha256sum",
    "sha512sum",
    "snakecase",
    "split",
    "splitList",
    "splitn",
    "squote",
    "substr",
    "swapcase",
    "ternary",
    "title",
    "toString",
    "trim",
    "trimAll",
    "trimPrefix",
    "trimSuffix",
    "trimall",
    "trunc",
    "untitle",
    "upper",
    "wrap",
    "wrapWith",
];

pub(super) fn call(name: &str, arguments: &[Value], missing: Missing) -> Answer {
    match (name, arguments) {
        ("hello", []) => Ok(Value::from("Hello!")),
        ("fail", [why]) => Err(CallError::new(text(why)?.to_string())),
        ("default", [fallback, ..]) => {
            Ok(arguments.get(1).filter(|given| !is_empty(given)).unwrap_or(fallback).clone())
        }
        ("empty", [value]) => Ok(Value::Bool(is_empty(value))),
        ("coalesce", values) => Ok(values.iter().find(|value| !is_empty(value)).cloned().unwrap_or_default()),
        ("ternary", [yes, no, Value::Bool(flag)]) => Ok(if *flag { yes.clone() } else { no.clone() }),
        ("toString", [value]) => bounded(shown(value)),
        ("plural", [one, many, count]) => Ok(if int(count)? == 1 { one.clone() } else { many.clone() }),
        ("quote" | "squote" | "cat", values) => joined(name, values),
        ("join", [separator, items]) => bounded(strings(items).join(&text(separator)?)),
        ("split", [separator, whole]) => Ok(numbered(text(whole)?.split(&*text(separator)?), missing)),
        ("splitn", [separator, count, whole]) => {
            let (count, whole, separator) = (int(count)?, text(whole)?, text(separator)?);
            let parts: Vec<&str> = match usize::try_from(count) {
                Ok(count) => whole.splitn(count, &*separator).collect(),
                Err(_) => whole.split(&*separator).collect(),
            };
            Ok(numbered(parts, missing))
        }
        ("splitList", [separator, whole]) => {
            let (separator, whole) = (text(separator)?, text(whole)?);
            if separator.is_empty() {
                return texts_list(whole.chars().map(String::from));
            }
            texts_list(whole.split(&*separator))
        }
        (_, [one]) => of_one(name, one, arguments),
        (_, [first, second]) => of_two(name, first, second, arguments),
        (_, [first, second, third]) => of_three(name, first, second, third, arguments),
        _ => Err(no_such(name, arguments)),
    }
}

fn of_one(name: &str, value: &Value, arguments: &[Value]) -> Answer {
    let given = text(value)?;
    let out = match name {
        "upper" => given.to_uppercase(),
        "lower" => given.to_lowercase(),
        "trim" => given.trim().to_owned(),
        "title" => each_word(&given, true),
        "untitle" => each_word(&given, false),
        "nospace" => given.chars().filter(|letter| !letter.is_whitespace()).collect(),
        "initials" => given.split_whitespace().filter_map(|word| word.chars().next()).collect(),
        "swapcase" => swap_case(&given),
        "snakecase" => super::names::separated(&given, '_'),
        "kebabcase" => super::names::separated(&given, '-'),
        "camelcase" => super::names::pascal(&given),
        "sha1sum" => hex::encode(Sha1::digest(given.as_bytes())),
        "sha256sum" => hex::encode(Sha256::digest(given.as_bytes())),
        "sha512sum" => hex::encode(Sha512::digest(given.as_bytes())),
        "adler32sum" => adler32(given.as_bytes()).to_string(),
        "atoi" => return Ok(Value::Int(given.parse().unwrap_or(0))),
        _ => return Err(no_such(name, arguments)),
    };
    bounded(out)
}

fn of_two(name: &str, first: &Value, second: &Value, arguments: &[Value]) -> Answer {
    let given = text(second)?;
    let out = match name {
        "contains" => return Ok(Value::Bool(given.contains(&*text(first)?))),
        "hasPrefix" => return Ok(Value::Bool(given.starts_with(&*text(first)?))),
        "hasSuffix" => return Ok(Value::Bool(given.ends_with(&*text(first)?))),
        "trimPrefix" => {
            let prefix = text(first)?;
            given.strip_prefix(&*prefix).unwrap_or(&given).to_owned()
        }
        "trimSuffix" => {
            let suffix = text(first)?;
            given.strip_suffix(&*suffix).unwrap_or(&given).to_owned()
        }
        "trimAll" | "trimall" => {
            let letters = text(first)?;
            given.trim_matches(|letter| letters.contains(letter)).to_owned()
        }
        "repeat" => repeated(&given, int(first)?)?,
        "trunc" => truncated(&given, int(first)?)?,
        "indent" => indented(&given, int(first)?)?,
        "nindent" => format!("\n{}", indented(&given, int(first)?)?),
        "abbrev" => abbreviated(&given, int(first)?),
        "wrap" => wrapped(&given, int(first)?, "\n", false)?,
        _ => return Err(no_such(name, arguments)),
    };
    bounded(out)
}

fn of_three(name: &str, first: &Value, second: &Value, third: &Value, arguments: &[Value]) -> Answer {
    let given = text(third)?;
    let out = match name {
        "replace" => {
            let (old, new) = (text(first)?, text(second)?);
            let count = given.matches(&*old).count();
            if count.saturating_mul(new.len()) > BYTES_MAX {
                return Err(CallError::new(format!("this makes more than {BYTES_MAX} bytes")));
            }
            given.replace(&*old, &new)
        }
        "substr" => {
            let (start, end) = (int(first)?, int(second)?);
            let length = i64::try_from(given.len()).unwrap_or(i64::MAX);
            let (from, to) = match (start, end) {
                (start, end) if start < 0 => (0, end),
                (start, end) if end < 0 || end > length => (start, length),
                (start, end) => (start, end),
            };
            cut(&given, from, to)?.to_owned()
        }
        "abbrevboth" => abbreviated_both(&given, int(first)?, int(second)?),
        "wrapWith" => wrapped(&given, int(first)?, &text(second)?, true)?,
        _ => return Err(no_such(name, arguments)),
    };
    bounded(out)
}

/// Bytes of a text; Go cuts characters in two, which is refused here.
fn cut(given: &str, from: i64, to: i64) -> Result<&str, CallError> {
    let place = |at: i64| usize::try_from(at).ok();
    place(from)
        .zip(place(to))
        .and_then(|(from, to)| given.get(from..to))
        .ok_or_else(|| CallError::new("a bound is out of range or inside of a character"))
}

fn truncated(given: &str, count: i64) -> Result<String, CallError> {
    let length = i64::try_from(given.len()).unwrap_or(i64::MAX);
    Ok(match count {
        count if count < 0 && length + count > 0 => cut(given, length + count, length)?.to_owned(),
        count if count >= 0 && length > count => cut(given, 0, count)?.to_owned(),
        _ => given.to_owned(),
    })
}

fn repeated(given: &str, count: i64) -> Result<String, CallError> {
    let count =
        usize::try_from(count).map_err(|_| CallError::new("a text can't be repeated a negative number of times"))?;
    if given.len().saturating_mul(count) > BYTES_MAX {
        return Err(CallError::new(format!("this makes more than {BYTES_MAX} bytes")));
    }
    Ok(given.repeat(count))
}

fn indented(given: &str, spaces: i64) -> Result<String, CallError> {
    let pad = repeated(" ", spaces)?;
    if pad.len().saturating_mul(given.matches('\n').count() + 1) > BYTES_MAX {
        return Err(CallError::new(format!("this makes more than {BYTES_MAX} bytes")));
    }
    Ok(format!("{pad}{}", given.replace('\n', &format!("\n{pad}"))))
}

fn each_word(given: &str, up: bool) -> String {
    let mut out = String::with_capacity(given.len());
    let mut starts = true;
    for letter in given.chars() {
        if starts && up {
            out.extend(letter.to_uppercase());
        } else if starts {
            out.extend(letter.to_lowercase());
        } else {
            out.push(letter);
        }
        // Go's `strings.Title` starts a word after whatever is no letter, digit or underscore.
        starts =
            if up { !(letter.is_alphanumeric() || letter == '_' || letter == '\'') } else { letter.is_whitespace() };
    }
    out
}

fn swap_case(given: &str) -> String {
    let mut out = String::with_capacity(given.len());
    for letter in given.chars() {
        if letter.is_uppercase() {
            out.extend(letter.to_lowercase());
        } else if letter.is_lowercase() {
            out.extend(letter.to_uppercase());
        } else {
            out.push(letter);
        }
    }
    out
}

fn abbreviated(given: &str, width: i64) -> String {
    if width < 4 {
        return given.to_owned();
    }
    let width = usize::try_from(width).unwrap_or(usize::MAX);
    if given.len() <= width {
        return given.to_owned();
    }
    let short: String = given.chars().take(width - 3).collect();
    format!("{short}...")
}

/// Source: Masterminds/goutils, `AbbreviateFull`.
fn abbreviated_both(given: &str, left: i64, right: i64) -> String {
    if right < 4 || (left > 0 && right < 7) {
        return given.to_owned();
    }
    let letters: Vec<char> = given.chars().collect();
    let length = letters.len();
    let width = usize::try_from(right).unwrap_or(usize::MAX);
    if length <= width {
        return given.to_owned();
    }
    let mut offset = usize::try_from(left).unwrap_or(0).min(length);
    if length - offset < width - 3 {
        offset = length - (width - 3);
    }
    let part = |from: usize, count: usize| letters.iter().skip(from).take(count).collect::<String>();
    if offset <= 4 {
        return format!("{}...", part(0, width - 3));
    }
    if offset + width - 3 < length {
        return format!("...{}", abbreviated(&part(offset, length), right - 3));
    }
    format!("...{}", part(length - (width - 3), length))
}

/// Source: Masterminds/goutils, `WrapCustom`.
fn wrapped(given: &str, width: i64, line_end: &str, cuts: bool) -> Result<String, CallError> {
    let width = usize::try_from(width).unwrap_or(0).max(1);
    let line_end = if line_end.is_empty() { "\n" } else { line_end };
    let letters: Vec<char> = given.chars().collect();
    let mut out = String::new();
    let mut at = 0;
    while letters.len() - at > width {
        if letters.get(at) == Some(&' ') {
            at += 1;
            continue;
        }
        let window = letters.get(at..=(at + width).min(letters.len() - 1)).unwrap_or_default();
        let space = window.iter().rposition(|letter| *letter == ' ');
        let end = match space {
            Some(space) => at + space,
            None if cuts => at + width,
            None => match letters.iter().skip(at + width).position(|letter| *letter == ' ') {
                Some(after) => at + width + after,
                None => break,
            },
        };
        out.extend(letters.get(at..end).unwrap_or_default());
        out.push_str(line_end);
        at = if space.is_some() || !cuts { end + 1 } else { end };
        if out.len() > BYTES_MAX {
            return Err(CallError::new(format!("this makes more than {BYTES_MAX} bytes")));
        }
        if at >= letters.len() {
            return Ok(out);
        }
    }
    out.extend(letters.get(at..).unwrap_or_default());
    Ok(out)
}

fn joined(name: &str, values: &[Value]) -> Answer {
    let mut parts = Vec::new();
    for value in values.iter().filter(|value| !matches!(value.plain(), Value::Nil)) {
        parts.push(match name {
            "quote" => printf("%q", &[Value::from(shown(value))], BYTES_MAX)?,
            "squote" => format!("'{}'", shown(value)),
            _ => shown(value),
        });
    }
    let joined = parts.join(" ");
    bounded(if name == "cat" { joined.trim().to_owned() } else { joined })
}

/// A list's items as texts; anything else as a list of itself.
pub(super) fn strings(value: &Value) -> Vec<String> {
    match list(value) {
        Ok(items) => items.iter().filter(|item| !matches!(item.plain(), Value::Nil)).map(shown).collect(),
        Err(_) => vec![shown(value)],
    }
}

fn numbered<'a>(parts: impl IntoIterator<Item = &'a str>, missing: Missing) -> Value {
    let named = |(index, part): (usize, &str)| (format!("_{index}").as_str().into(), Value::from(part));
    dict(parts.into_iter().enumerate().map(named).collect(), missing, true)
}

/// Source: RFC 1950, section 9.
fn adler32(bytes: &[u8]) -> u32 {
    let (mut low, mut high) = (1_u32, 0_u32);
    for byte in bytes {
        low = (low + u32::from(*byte)) % 65_521;
        high = (high + low) % 65_521;
    }
    (high << 16) | low
}
