//! Numbers and texts as Go writes them, regular expressions as Go reads them, and semantic versions' ranges.

use std::cell::RefCell;
use std::collections::HashMap;

use regex::{Regex, RegexBuilder};
use semver::Version;
use serde_json::{Number, Value};

/// How large a compiled regular expression may be, in bytes.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// How many compiled ones a thread remembers.
const COMPILED_MAX: usize = 32;

/// The number of a value that is one.
pub(crate) fn float(number: &Number) -> f64 {
    number.as_f64().unwrap_or(f64::NAN)
}

/// A number as JSON, whole where it is whole.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked before")]
pub(crate) fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e15 {
        return Value::from(value as i64);
    }
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

/// Compiles a regular expression that is written for Go's RE2. The engine takes linear time whatever the expression; what
/// is left to bound is its size.
///
/// Source of the differences: the syntax pages of Go's `regexp/syntax` (classes such as `\d` are ASCII) and of the crate
/// `regex` (nested classes and `&&` within classes).
///
/// Policies ask the same of each resource, and compiling takes longer than all else: each thread remembers a few.
pub(crate) fn regex(pattern: &str) -> Result<Regex, String> {
    let known = COMPILED.with_borrow(|known| known.get(pattern).cloned());
    if let Some(known) = known {
        return Ok(known);
    }
    let made = compile(pattern)?;
    COMPILED.with_borrow_mut(|known| {
        if known.len() >= COMPILED_MAX {
            known.clear();
        }
        known.insert(pattern.to_owned(), made.clone());
    });
    Ok(made)
}

thread_local! {
    static COMPILED: RefCell<HashMap<String, Regex>> = RefCell::default();
}

fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > 4096 {
        return Err(format!("the regular expression has {} bytes, more than 4096", pattern.len()));
    }
    RegexBuilder::new(&translated(pattern))
        .size_limit(REGEX_BYTES_MAX)
        .dfa_size_limit(REGEX_BYTES_MAX)
        .nest_limit(64)
        .build()
        .map_err(|error| format!("the regular expression `{pattern}` can't be used: {}", last_line(&error.to_string())))
}

fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or(text).trim_start_matches("error: ").to_owned()
}

fn translated(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut characters = pattern.chars().peekable();
    let mut class = false;
    let mut class_begins = false;
    while let Some(character) = characters.next() {
        let begins = std::mem::take(&mut class_begins);
        match character {
            '\\' => {
                let Some(next) = characters.next() else {
                    out.push('\\');
                    break;
                };
                match (next, class) {
                    ('d', false) => out.push_str("[0-9]"),
                    ('d', true) => out.push_str("0-9"),
                    ('D', _) => out.push_str("[^0-9]"),
                    ('w', false) => out.push_str("[0-9A-Za-z_]"),
                    ('w', true) => out.push_str("0-9A-Za-z_"),
                    ('W', _) => out.push_str("[^0-9A-Za-z_]"),
                    ('s', false) => out.push_str("[\\t\\n\\x0c\\r ]"),
                    ('s', true) => out.push_str("\\t\\n\\x0c\\r "),
                    ('S', _) => out.push_str("[^\\t\\n\\x0c\\r ]"),
                    ('b', false) => out.push_str("(?-u:\\b)"),
                    ('B', false) => out.push_str("(?-u:\\B)"),
                    _ => out.extend(['\\', next]),
                }
            }
            '[' if !class => {
                class = true;
                class_begins = true;
                out.push('[');
            }
            '[' if characters.peek() != Some(&':') => out.push_str("\\["),
            '^' if begins => {
                class_begins = true;
                out.push('^');
            }
            ']' if class && begins => out.push_str("\\]"),
            '[' => {
                // A named class such as [:alpha:] within a class.
                out.push('[');
                for inner in characters.by_ref() {
                    out.push(inner);
                    if inner == ']' {
                        break;
                    }
                }
            }
            ']' if class => {
                class = false;
                out.push(']');
            }
            '&' | '~' if class => out.extend(['\\', character]),
            other => out.push(other),
        }
    }
    out
}

/// A replacement as Go's `Expand` reads it: `$1x` means the group `1x`, `$1` and `${1}` the first group.
pub(super) fn replacement(text: &str) -> String {
    text.to_owned()
}

/// Whether a version is within a range such as `>=1.0.0 <2.0.0 || !3.1.0`, `1.2.x` or `>1.2`.
pub(super) fn in_range(version: &str, range: &str) -> Result<bool, String> {
    let version = Version::parse(version.trim()).unwrap_or(Version::new(0, 0, 0));
    let mut any = false;
    for alternative in range.split("||") {
        let mut all = true;
        let mut parts = 0;
        for part in joined(alternative) {
            parts += 1;
            all &= part_holds(&version, &part).ok_or_else(|| format!("`{range}` is no range of versions"))?;
        }
        if parts == 0 {
            return Err(format!("`{range}` is no range of versions"));
        }
        any |= all;
    }
    Ok(any)
}

/// Parts of a range; an operator may stand apart from its version.
fn joined(alternative: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut open = String::new();
    for word in alternative.split_whitespace() {
        open.push_str(word);
        if word.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '*') {
            parts.push(std::mem::take(&mut open));
        }
    }
    if !open.is_empty() {
        parts.push(open);
    }
    parts
}

fn part_holds(version: &Version, part: &str) -> Option<bool> {
    let start = part.find(|c: char| c.is_ascii_digit() || c == 'x' || c == '*')?;
    let (operator, wanted) = part.split_at(start);
    let base = wanted.split(['-', '+']).next()?;
    let numbers: Vec<&str> = base.split('.').collect();
    let wild = numbers.iter().position(|part| matches!(*part, "x" | "X" | "*")).unwrap_or(numbers.len());
    if wild >= 3 {
        let wanted = Version::parse(wanted).ok()?;
        return holds(operator, version.cmp_precedence(&wanted));
    }
    let mut low = [0_u64; 3];
    for (slot, text) in low.iter_mut().zip(numbers.iter().take(wild)) {
        *slot = text.parse().ok()?;
    }
    let [major, minor, patch] = low;
    let low = Version::new(major, minor, patch);
    let high = match wild {
        0 => return Some(true),
        1 => Version::new(major + 1, 0, 0),
        _ => Version::new(major, minor + 1, 0),
    };
    let (at_least, below) = (*version >= low, *version < high);
    Some(match operator {
        "" | "=" | "==" => at_least && below,
        "!" | "!=" => !(at_least && below),
        ">" => !below,
        ">=" => at_least,
        "<" => !at_least,
        "<=" => below,
        _ => return None,
    })
}

fn holds(operator: &str, order: std::cmp::Ordering) -> Option<bool> {
    Some(match operator {
        "" | "=" | "==" => order.is_eq(),
        "!" | "!=" => order.is_ne(),
        ">" => order.is_gt(),
        ">=" => order.is_ge(),
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regular_expressions_as_in_go() {
        let check = |pattern: &str, text: &str, want: bool| {
            assert_eq!(regex(pattern).unwrap().is_match(text), want, "{pattern} {text}");
        };
        check(r"^\d+$", "12", true);
        check(r"^\d+$", "١٢", false);
        check(r"^[\w.-]+$", "a_b.c-d", true);
        check(r"^[[]$", "[", true);
        check(r"^[]a]+$", "a]", true);
        check(r"^[^]]$", "a", true);
        check(r"^[[:alpha:]&&]+$", "a&", true);
        check(r"\bword\b", "a word", true);
        check(r"a\/b", "a/b", true);
        check("(?i)ABC", "xabc", true);
    }

    #[test]
    fn hostile_expressions_are_refused_or_linear() {
        assert!(regex("(a{1000}){1000}").is_err());
        assert!(regex(&"(".repeat(1_000)).is_err());
        assert!(regex(&"a".repeat(10_000)).is_err());
        assert!(!regex("^(a+)+$").unwrap().is_match(&format!("{}b", "a".repeat(50_000))));
    }

    #[test]
    fn ranges_of_versions() {
        let check = |version: &str, range: &str, want: bool| assert_eq!(in_range(version, range), Ok(want), "{range}");
        check("4.1.3", ">=4.1.x", true);
        check("4.1.3", "!4.x.x", false);
        check("1.2.3", "1.2.3", true);
        check("1.2.3-alpha", "<1.2.3", true);
        check("2.0.0", ">1.0.0 <2.0.0 || 2.x", true);
        assert!(in_range("1.0.0", "what").is_err());
    }
}
