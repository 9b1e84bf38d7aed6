//! Regular expressions as Prometheus and Alertmanager have them: RE2's syntax, as Go's `regexp` reads it, matched against the whole value.
//!
//! Done by the crate `regex` and not by `regex-lite`, which the workspace has as well: RE2 folds case and knows classes
//! (`\pL`, `\p{Greek}`) by Unicode, and `regex-lite` has no tables for either. Both crates match in linear time and bound
//! the size of what they compile, so a pattern from outside can't run away. Where `regex` reads the same text otherwise
//! than RE2, [`translated`] writes it so that it means the same:
//!
//! - `\d`, `\s`, `\w` and `\b` are ASCII in RE2;
//! - in a class, `[`, `&&`, `--` and `~~` stand for themselves in RE2;
//! - `{` stands for itself where no repetition follows, and `\Q...\E` quotes;
//! - `\123` is octal in RE2;
//! - RE2 has no flags but `i`, `m`, `s` and `U`.
//!
//! As in Prometheus 2.42, `.` does not match a line's end (in 3.x it does).
//!
//! Source: RE2's syntax page; Go, `regexp/syntax`.

use std::fmt;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};

/// The longest pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 16 * 1024;
/// The largest compiled form, in bytes.
const COMPILED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How deep groups may nest.
const NEST_MAX: u32 = 100;

/// Why a pattern is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Longer than is read.
    #[error("the regular expression has {bytes} bytes, more than the {PATTERN_BYTES_MAX} that are read")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Not an expression that can be matched.
    #[error("the regular expression can't be read: {why}")]
    Invalid {
        /// What the parser says.
        why: String,
    },
}

/// A compiled pattern. It matches a value from its beginning to its end, unless it may be [`anywhere`](Self::anywhere).
#[derive(Clone)]
pub struct Pattern {
    source: Arc<str>,
    regex: Regex,
}

/// By their texts.
impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.source)
    }
}

impl Pattern {
    /// Compiles a pattern in RE2's syntax.
    pub fn new(source: &str) -> Result<Self, PatternError> {
        Self::compiled(source, "^(?:", ")$")
    }

    /// Compiles a pattern that is looked for anywhere in a value, as templates do.
    pub fn anywhere(source: &str) -> Result<Self, PatternError> {
        Self::compiled(source, "(?:", ")")
    }

    fn compiled(source: &str, before: &str, after: &str) -> Result<Self, PatternError> {
        let whole = format!("{before}{}{after}", translated(source)?);
        let built = RegexBuilder::new(&whole).size_limit(COMPILED_BYTES_MAX).nest_limit(NEST_MAX).build();
        // The error's own text draws the pattern over several lines; the last line says what is wrong.
        let reason = |error: regex::Error| {
            let text = error.to_string();
            let line = text.lines().last().unwrap_or_default();
            PatternError::Invalid { why: line.trim_start_matches("error: ").to_owned() }
        };
        Ok(Self { source: source.into(), regex: built.map_err(reason)? })
    }

    /// The text that it was compiled from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The value with each match replaced, as [`Self::expand`] fills in; `None` if it gets longer than `bytes_max`.
    pub fn replace_all(&self, value: &str, replacement: &str, bytes_max: usize) -> Option<String> {
        let mut replaced = String::new();
        let mut copied = 0;
        for captures in self.regex.captures_iter(value) {
            let found = captures.get_match();
            replaced.push_str(value.get(copied..found.start())?);
            captures.expand(replacement, &mut replaced);
            copied = found.end();
            if replaced.len() > bytes_max {
                return None;
            }
        }
        replaced.push_str(value.get(copied..)?);
        Some(replaced).filter(|replaced| replaced.len() <= bytes_max)
    }

    /// True if the whole value matches, or any part of it if the pattern may be [`anywhere`](Self::anywhere).
    pub fn is_match(&self, value: &str) -> bool {
        self.regex.is_match(value)
    }

    /// Where the pattern matches in a value, the first `count_max` times.
    pub fn matches(&self, value: &str, count_max: usize) -> Vec<std::ops::Range<usize>> {
        self.regex.find_iter(value).take(count_max).map(|found| found.range()).collect()
    }

    /// The replacement with `$1`, `${name}` and `$$` filled in from a value that matches; `None` if it does not.
    pub fn expand(&self, value: &str, replacement: &str) -> Option<String> {
        let captures = self.regex.captures(value)?;
        let mut expanded = String::new();
        captures.expand(replacement, &mut expanded);
        Some(expanded)
    }
}

fn invalid(why: &str) -> PatternError {
    PatternError::Invalid { why: why.to_owned() }
}

/// The pattern in the syntax of the crate `regex`.
fn translated(source: &str) -> Result<String, PatternError> {
    if source.len() > PATTERN_BYTES_MAX {
        return Err(PatternError::TooLong { bytes: source.len() });
    }
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    let mut class: Option<Class> = None;
    let mut repeated = Repeated::No;
    let mut open_groups = 0_u32;
    while let Some(first) = rest.chars().next() {
        if class.is_none() {
            repeated = repeated.then(first, rest)?;
        }
        if first == '\\' {
            rest = escape(rest, class.is_some(), &mut out)?;
            if let Some(class) = &mut class {
                class.is_first = false;
            }
            continue;
        }
        let after = rest.get(first.len_utf8()..).unwrap_or_default();
        if let Some(inside) = &mut class {
            let (taken, ends) = inside.take(first, rest, &mut out)?;
            rest = taken;
            if ends {
                class = None;
            }
            continue;
        }
        rest = match first {
            '[' => {
                let (negated, tail) = after.strip_prefix('^').map_or((false, after), |tail| (true, tail));
                out.push_str(if negated { "[^" } else { "[" });
                class = Some(Class { is_first: true });
                tail
            }
            '{' => {
                let counts = repetition(rest).unwrap_or_default();
                out.push_str(if counts.is_empty() { "\\{" } else { counts });
                rest.get(counts.len().max(1)..).unwrap_or_default()
            }
            '(' => {
                check_flags(after)?;
                open_groups += 1;
                out.push('(');
                after
            }
            ')' => {
                // Else it would close the group that the whole pattern stands in.
                open_groups = open_groups.checked_sub(1).ok_or_else(|| invalid("unopened group"))?;
                out.push(')');
                after
            }
            other => {
                out.push(other);
                after
            }
        };
    }
    Ok(out)
}

/// What comes before, in terms of repetition. RE2 refuses to repeat a repetition, which the crate does not.
#[derive(Clone, Copy, PartialEq)]
enum Repeated {
    No,
    /// A `?` would make it lazy.
    Greedy,
    Lazy,
}

impl Repeated {
    fn then(self, first: char, rest: &str) -> Result<Self, PatternError> {
        let repeats = matches!(first, '*' | '+' | '?') || repetition(rest).is_some();
        match self {
            // After a bracket, `?` begins flags; that nothing can be repeated there, the crate says.
            Self::No if repeats => match repetition(rest).map(counts_too_far) {
                Some(true) => Err(invalid("a repetition of more than 1000")),
                Some(false) | None => Ok(Self::Greedy),
            },
            Self::Greedy if first == '?' => Ok(Self::Lazy),
            Self::Greedy | Self::Lazy if repeats => Err(invalid("a repetition can't be repeated")),
            Self::No | Self::Greedy | Self::Lazy => Ok(Self::No),
        }
    }
}

/// The inside of `[...]`.
struct Class {
    /// Nothing but `^` has been read: a `]` here stands for itself.
    is_first: bool,
}

impl Class {
    /// Takes one character, or a named class; says what is left, and whether the class ends with it.
    fn take<'a>(&mut self, first: char, rest: &'a str, out: &mut String) -> Result<(&'a str, bool), PatternError> {
        let was_first = std::mem::replace(&mut self.is_first, false);
        let after = rest.get(first.len_utf8()..).unwrap_or_default();
        match first {
            ']' if !was_first => {
                out.push(']');
                return Ok((after, true));
            }
            '[' => {
                if let Some(end) = rest.strip_prefix("[:").and_then(|tail| tail.find(":]")) {
                    let (named, tail) = rest.split_at(end + 4);
                    let name = named.trim_matches(['[', ':', ']']);
                    if !POSIX.contains(&name.strip_prefix('^').unwrap_or(name)) {
                        return Err(invalid("unknown class of POSIX"));
                    }
                    out.push_str(named);
                    return Ok((tail, false));
                }
                out.push_str("\\[");
            }
            ']' | '&' | '~' => out.extend(['\\', first]),
            // Two dashes are a range that ends with a dash, or begins with one; never a subtraction.
            '-' if was_first => out.push_str("\\-"),
            '-' if after.starts_with('-') => {
                out.push_str("-\\-");
                return Ok((after.get(1..).unwrap_or_default(), false));
            }
            other => out.push(other),
        }
        Ok((after, false))
    }
}

/// The classes `[:name:]`.
const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];

/// Takes an escape; gives what is left.
fn escape<'a>(rest: &'a str, in_class: bool, out: &mut String) -> Result<&'a str, PatternError> {
    let tail = rest.get(1..).unwrap_or_default();
    let Some(letter) = tail.chars().next() else { return Err(invalid("a backslash at the end")) };
    let after = tail.get(letter.len_utf8()..).unwrap_or_default();
    match letter {
        'd' => out.push_str("[0-9]"),
        'D' => out.push_str("[^0-9]"),
        's' => out.push_str(r"[\t\n\x0c\r ]"),
        'S' => out.push_str(r"[^\t\n\x0c\r ]"),
        'w' => out.push_str("[0-9A-Za-z_]"),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        'b' if !in_class => out.push_str(r"(?-u:\b)"),
        'Q' if !in_class => {
            // Without its end it would quote the end of the group that the whole pattern stands in.
            let (quoted, after) = after.split_once("\\E").ok_or_else(|| invalid("unclosed quotation"))?;
            out.push_str(&regex::escape(quoted));
            return Ok(after);
        }
        // Only the crate knows these.
        '<' | '>' => out.push(letter),
        'p' | 'P' => return unicode_class(letter == 'P', after, out),
        // `\x{10ffff}`: these braces are no repetition.
        'x' if after.starts_with('{') => {
            let (inside, after) = after.split_once('}').unwrap_or((after, ""));
            out.extend(["\\x", inside, "}"]);
            return Ok(after);
        }
        '0'..='7' => return Ok(octal(tail, out)),
        other => out.extend(['\\', other]),
    }
    Ok(after)
}

/// The general categories of Unicode by their short names, which RE2 knows them by. Others are names of scripts.
const CATEGORIES: [&str; 37] = [
    "C", "Cc", "Cf", "Co", "Cs", "L", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn", "N", "Nd", "Nl", "No", "P",
    "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm", "So", "Z", "Zl", "Zp", "Zs", "Any",
];

/// Takes what follows `\p` or `\P`: `L`, `{Greek}` or `{^Greek}`.
fn unicode_class<'a>(negated: bool, after: &'a str, out: &mut String) -> Result<&'a str, PatternError> {
    let (name, rest) = match after.strip_prefix('{') {
        Some(inside) => inside.split_once('}').ok_or_else(|| invalid("unclosed class of Unicode"))?,
        None => after.split_at(after.chars().next().map_or(0, char::len_utf8)),
    };
    let (negated, name) = name.strip_prefix('^').map_or((negated, name), |name| (!negated, name));
    // The crate is lenient about case; RE2 is not.
    let is_script = name.len() > 2 && name.starts_with(|c: char| c.is_ascii_uppercase());
    if !(CATEGORIES.contains(&name) || is_script) {
        return Err(invalid("unknown class of Unicode"));
    }
    out.extend([if negated { "\\P{" } else { "\\p{" }, name, "}"]);
    Ok(rest)
}

/// Takes an octal number of up to three digits; a single one that is not 0 would be a backreference, which neither has.
fn octal<'a>(tail: &'a str, out: &mut String) -> &'a str {
    let count = tail.chars().take(3).take_while(|c| c.is_digit(8)).count();
    let (digits, after) = tail.split_at(count);
    match u32::from_str_radix(digits, 8) {
        Ok(code) if count > 1 || code == 0 => out.extend(["\\x{", &format!("{code:x}"), "}"]),
        Ok(_) | Err(_) => out.extend(["\\", digits]),
    }
    after
}

/// The `{n}`, `{n,}` or `{n,m}` that the text begins with. RE2 takes counts up to 1000.
fn repetition(text: &str) -> Option<&str> {
    let end = text.strip_prefix('{')?.find('}')?;
    let inside = text.get(1..=end)?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is = match inside.split_once(',') {
        Some((least, most)) => is_number(least) && (most.is_empty() || is_number(most)),
        None => is_number(inside),
    };
    text.get(..end + 2).filter(|_| is)
}

fn counts_too_far(repetition: &str) -> bool {
    let counts = repetition.split(|c: char| !c.is_ascii_digit()).filter(|count| !count.is_empty());
    counts.into_iter().any(|count| count.parse::<u32>().map_or(true, |count| count > 1000))
}

/// Refuses flags that RE2 does not have, given what follows a `(`.
fn check_flags(after: &str) -> Result<(), PatternError> {
    let Some(flags) = after.strip_prefix('?') else { return Ok(()) };
    let end = flags.find([':', ')', '<', 'P', '=', '!']).unwrap_or(flags.len());
    let unknown = flags.get(..end).unwrap_or_default().chars().find(|flag| !"imsU-".contains(*flag));
    unknown.map_or(Ok(()), |flag| Err(PatternError::Invalid { why: format!("unknown flag '{flag}'") }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, value: &str) -> bool {
        Pattern::new(pattern).unwrap().is_match(value)
    }

    #[test]
    fn a_pattern_matches_the_whole_value() {
        assert!(matches("a|bc", "bc"));
        assert!(!matches("a|b", "ab"));
        assert!(matches("", "") && !matches("", "a"));
        assert!(matches("(?i)É.*", "éa") && !matches(".", "\n") && matches("(?s).", "\n"));
    }

    #[test]
    fn what_re2_reads_otherwise_means_the_same_here() {
        for (pattern, yes, no) in [
            (r"\d", "1", "١"),
            (r"\w+", "a_1", "é"),
            (r"[\d.]+", "1.2", "1,2"),
            (r"[^\W]", "a", "-"),
            (r"a{x}", "a{x}", "ax"),
            (r"a{,2}", "a{,2}", "aa"),
            (r"a{2}", "aa", "a{2}"),
            (r"\Qa.b(\E+", "a.b((", "axb("),
            (r"\141[\0\142]\60", "ab0", "ac0"),
            ("[a[b]", "[", "c"),
            ("[a&&b]", "&", "c"),
            ("[]a]", "]", "b"),
            ("[^]a]", "b", "]"),
            ("[[:alpha:]_]", "a", "1"),
            (r"\pL\p{Greek}", "éα", "1α"),
            (r"[\p{^L}_]\PN", "1a", "aa"),
            (r"a\b.*", "a b", "ab"),
            ("a*?1*b{2}?3{1}", "a1bb3", "a1b"),
            (r"\x{e9}(?i:x?)", "éX", "e"),
            ("[!--]", "#", "a"),
        ] {
            assert!(matches(pattern, yes), "{pattern} should match {yes}");
            assert!(!matches(pattern, no), "{pattern} should not match {no}");
        }
    }

    #[test]
    fn what_can_not_be_matched_is_refused() {
        for pattern in [
            "(",
            "a**",
            "[",
            r"\",
            "(?=a)",
            "(?x)a",
            r"\1",
            r"\Qa",
            "a)|(b",
            r"(a)\",
            r"\pl",
            r"\p{greek}",
            r"\p{L",
            r"\p",
            "a{1001}",
            "a{2}{3}",
            "a*?*",
            "x{2,1}",
        ] {
            assert!(Pattern::new(pattern).is_err(), "{pattern}");
        }
        assert_eq!(Pattern::new(&"a".repeat(20_000)).unwrap_err(), PatternError::TooLong { bytes: 20_000 });
        assert!(Pattern::new(&"(".repeat(10_000)).is_err());
    }

    #[test]
    fn captures_fill_a_replacement() {
        let pattern = Pattern::new("(?P<first>[a-z]+)-(.*)").unwrap();
        assert_eq!(pattern.expand("ab-c", "$2/${first}$$ $3").as_deref(), Some("c/ab$ "));
        assert_eq!(pattern.expand("ab", "$1"), None);
    }
}
