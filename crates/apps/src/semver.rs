//! Versions and ranges as Masterminds' `semver` has them, which Flux and Sprig use: `1.x`, `~1.2`, `^1.0.x-0`,
//! `>=1.0 <2.0 || 3.1 - 3.4`.
//!
//! Source: Masterminds/semver 3.5, README, and its behaviour: `tests/apps/semver.rs` asks it.

use std::cmp::Ordering;
use std::fmt;

/// The longest version, in bytes, as in Masterminds' library.
const VERSION_BYTES_MAX: usize = 256;
/// The longest range, in bytes, as in Masterminds' library.
const RANGE_BYTES_MAX: usize = 512;
/// The most alternatives of a range, as in Masterminds' library.
const ALTERNATIVES_MAX: usize = 32;

/// Why a text is no version or no range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SemverError {
    /// No version.
    #[error("`{0}` is no semantic version")]
    Version(String),
    /// No range.
    #[error("`{0}` is no range of semantic versions")]
    Range(String),
}

/// A version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The first number.
    pub major: u64,
    /// The second number.
    pub minor: u64,
    /// The third number.
    pub patch: u64,
    /// What is behind `-`.
    pub pre: String,
    /// What is behind `+`. It does not count when versions are compared.
    pub metadata: String,
    /// The text that was read.
    pub original: String,
}

impl Version {
    /// Reads a version; a `v` in front, and minor and patch, may be there or not.
    pub fn parse(text: &str) -> Result<Self, SemverError> {
        let wrong = || SemverError::Version(text.chars().take(80).collect());
        if text.len() > VERSION_BYTES_MAX {
            return Err(wrong());
        }
        let rest = text.strip_prefix('v').unwrap_or(text);
        let (rest, metadata) = rest.split_once('+').map_or((rest, ""), |(rest, metadata)| (rest, metadata));
        let (numbers, pre) = rest.split_once('-').map_or((rest, ""), |(numbers, pre)| (numbers, pre));
        if (rest.len() > numbers.len() && !is_identifiers(pre, true))
            || (text.contains('+') && !is_identifiers(metadata, false))
        {
            return Err(wrong());
        }
        let numbers: Vec<u64> = numbers.split('.').map(number).collect::<Option<_>>().ok_or_else(wrong)?;
        let (major, minor, patch) = match numbers.as_slice() {
            [major] => (*major, 0, 0),
            [major, minor] => (*major, *minor, 0),
            [major, minor, patch] => (*major, *minor, *patch),
            _ => return Err(wrong()),
        };
        Ok(Self { major, minor, patch, pre: pre.to_owned(), metadata: metadata.to_owned(), original: text.to_owned() })
    }

    fn numbers(&self) -> (u64, u64, u64) {
        (self.major, self.minor, self.patch)
    }

    /// Which comes first; what is behind `+` does not count.
    pub fn precedence(&self, other: &Self) -> Ordering {
        self.numbers().cmp(&other.numbers()).then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => compare_pre(&self.pre, &other.pre),
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        if !self.pre.is_empty() {
            write!(f, "-{}", self.pre)?;
        }
        if self.metadata.is_empty() { Ok(()) } else { write!(f, "+{}", self.metadata) }
    }
}

fn number(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

fn is_identifiers(text: &str, is_pre: bool) -> bool {
    text.split('.').all(|part| {
        let plain = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let is_number = part.bytes().all(|byte| byte.is_ascii_digit());
        plain && !(is_pre && is_number && part.len() > 1 && part.starts_with('0'))
    })
}

/// Source: Semantic Versioning 2.0.0, item 11.
fn compare_pre(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.split('.'), right.split('.'));
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(left), Some(right)) => match (number(left), number(right)) {
                (Some(left), Some(right)) => left.cmp(&right),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => left.cmp(right),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// A range of versions: one of its alternatives has to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    alternatives: Vec<Alternative>,
}

/// Conditions that all have to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Alternative {
    conditions: Vec<Condition>,
    /// Whether versions before a release count: where one of the conditions names one.
    includes_pre: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    how: How,
    version: Version,
    /// Whether a number is left open, and which one.
    open: Open,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Equal,
    Not,
    Above,
    Below,
    AtLeast,
    AtMost,
    Tilde,
    Caret,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    No,
    Major,
    Minor,
    Patch,
}

/// Operators, the longer ones first.
const OPERATORS: [(&str, How); 11] = [
    ("!=", How::Not),
    (">=", How::AtLeast),
    ("=>", How::AtLeast),
    ("<=", How::AtMost),
    ("=<", How::AtMost),
    ("~>", How::Tilde),
    ("=", How::Equal),
    (">", How::Above),
    ("<", How::Below),
    ("~", How::Tilde),
    ("^", How::Caret),
];

impl Range {
    /// Reads a range.
    pub fn parse(text: &str) -> Result<Self, SemverError> {
        let wrong = || SemverError::Range(text.chars().take(80).collect());
        if text.len() > RANGE_BYTES_MAX {
            return Err(wrong());
        }
        let alternatives: Vec<&str> = text.split("||").collect();
        if alternatives.len() > ALTERNATIVES_MAX {
            return Err(wrong());
        }
        let read = |text: &str| alternative(text).ok_or_else(wrong);
        Ok(Self { alternatives: alternatives.into_iter().map(read).collect::<Result<_, _>>()? })
    }

    /// Whether a version is in the range.
    pub fn holds(&self, version: &Version) -> bool {
        self.alternatives.iter().any(|alternative| {
            (version.pre.is_empty() || alternative.includes_pre)
                && alternative.conditions.iter().all(|condition| condition.holds(version))
        })
    }
}

fn alternative(text: &str) -> Option<Alternative> {
    let mut conditions = Vec::new();
    let mut rest = text.trim_start();
    // Masterminds' library writes `A - B` out without a space in front: what comes before has to end with a comma.
    let mut is_separate = true;
    loop {
        let has_operator = OPERATORS.iter().any(|(operator, _)| rest.starts_with(operator));
        let (condition, after) = condition(rest)?;
        let spaced = after.trim_start();
        // `A - B` stands for everything from A to B.
        if let Some(end) =
            spaced.strip_prefix('-').filter(|end| spaced.len() < after.len() && end.starts_with(char::is_whitespace))
        {
            let end = end.trim_start();
            let is_plain = !OPERATORS.iter().any(|(operator, _)| end.starts_with(operator));
            let (last, after) = self::condition(end)?;
            if has_operator || !is_plain || !is_separate {
                return None;
            }
            conditions.push(Condition { how: How::AtLeast, ..condition });
            conditions.push(Condition { how: How::AtMost, ..last });
            rest = after;
        } else {
            conditions.push(condition);
            rest = after;
        }
        let trimmed = rest.trim_start();
        if trimmed.is_empty() {
            break;
        }
        match trimmed.strip_prefix(',') {
            Some(after) => (rest, is_separate) = (after.trim_start(), true),
            None if trimmed.len() < rest.len() => (rest, is_separate) = (trimmed, false),
            None => return None,
        }
    }
    let includes_pre = conditions.iter().any(|condition| !condition.version.pre.is_empty());
    Some(Alternative { conditions, includes_pre })
}

/// One condition at the beginning of a text, and what comes after it.
fn condition(text: &str) -> Option<(Condition, &str)> {
    let operator = OPERATORS.iter().find(|(operator, _)| text.starts_with(operator));
    let (how, rest) = operator.map_or((How::Equal, text), |(operator, how)| {
        (*how, text.get(operator.len()..).unwrap_or_default().trim_start())
    });
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '+' | '*');
    let end = rest.find(|letter| !is_part(letter)).unwrap_or(rest.len());
    let (version, after) = rest.split_at_checked(end)?;
    let (version, open) = opened(version)?;
    Some((Condition { how, version, open }, after))
}

/// A version of which numbers may be missing or `x`, `X` or `*`.
fn opened(text: &str) -> Option<(Version, Open)> {
    let plain = text.strip_prefix('v').unwrap_or(text);
    let end = plain.find(['-', '+']).unwrap_or(plain.len());
    let (numbers, suffix) = plain.split_at_checked(end)?;
    let parts: Vec<&str> = numbers.split('.').collect();
    if parts.len() > 3 || parts.iter().any(|part| part.is_empty()) {
        return None;
    }
    let is_open = |index: usize| parts.get(index).is_none_or(|part| matches!(*part, "x" | "X" | "*"));
    let (major, minor) = (parts.first()?, parts.get(1));
    // What is behind `+` does not count where a number is open.
    let pre = suffix.split('+').next().unwrap_or_default();
    let (full, open) = if is_open(0) {
        (format!("0.0.0{pre}"), Open::Major)
    } else if is_open(1) {
        (format!("{major}.0.0{pre}"), Open::Minor)
    } else if is_open(2) {
        (format!("{major}.{}.0{pre}", minor?), Open::Patch)
    } else {
        (plain.to_owned(), Open::No)
    };
    Some((Version::parse(&full).ok()?, open))
}

impl Condition {
    fn holds(&self, version: &Version) -> bool {
        let order = version.precedence(&self.version);
        match self.how {
            How::Equal if self.open == Open::No => order == Ordering::Equal,
            How::Equal | How::Tilde => self.tilde(version, order),
            How::Not => self.differs(version, order),
            How::Above => self.above(version, order),
            How::Below => order == Ordering::Less,
            How::AtLeast => order != Ordering::Less,
            How::AtMost => self.at_most(version, order),
            How::Caret => self.caret(version, order),
        }
    }

    fn differs(&self, version: &Version, order: Ordering) -> bool {
        match self.open {
            Open::No => order != Ordering::Equal,
            // `!=*` is compared with 0.0.0, number by number.
            Open::Major => version.numbers() != self.version.numbers() || order != Ordering::Equal,
            Open::Minor => version.major != self.version.major,
            Open::Patch => {
                (version.major, version.minor) != (self.version.major, self.version.minor)
                    || ((!version.pre.is_empty() || !self.version.pre.is_empty())
                        && pre_order(version, &self.version) != Ordering::Equal)
            }
        }
    }

    fn above(&self, version: &Version, order: Ordering) -> bool {
        match (self.open, version.major.cmp(&self.version.major)) {
            (Open::No, _) | (Open::Major, Ordering::Equal) => order == Ordering::Greater,
            (_, Ordering::Greater) => true,
            (_, Ordering::Less) | (Open::Minor, Ordering::Equal) => false,
            (Open::Patch, Ordering::Equal) => version.minor > self.version.minor,
        }
    }

    fn at_most(&self, version: &Version, order: Ordering) -> bool {
        if self.open == Open::No {
            return order != Ordering::Greater;
        }
        match version.major.cmp(&self.version.major) {
            Ordering::Greater => false,
            Ordering::Equal => version.minor <= self.version.minor || self.open == Open::Minor,
            Ordering::Less => true,
        }
    }

    fn tilde(&self, version: &Version, order: Ordering) -> bool {
        let is_zero = self.version.numbers() == (0, 0, 0) && matches!(self.open, Open::No | Open::Major);
        order != Ordering::Less
            && (is_zero
                || (version.major == self.version.major
                    && (version.minor == self.version.minor || self.open == Open::Minor)))
    }

    fn caret(&self, version: &Version, order: Ordering) -> bool {
        if order == Ordering::Less {
            return false;
        }
        let wanted = &self.version;
        if wanted.major > 0 || self.open == Open::Minor {
            return version.major == wanted.major;
        }
        if version.major > 0 {
            return false;
        }
        if wanted.minor > 0 || self.open == Open::Patch {
            return version.minor == wanted.minor;
        }
        version.minor == 0 && version.patch == wanted.patch
    }
}

fn pre_order(left: &Version, right: &Version) -> Ordering {
    match (left.pre.is_empty(), right.pre.is_empty()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => compare_pre(&left.pre, &right.pre),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered() {
        let ordered = [
            "0.9.0",
            "1.0.0-0",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-rc.2",
            "1.0.0-rc.10",
            "v1",
            "1.0.1",
            "1.1",
            "2",
        ];
        for pair in ordered.windows(2) {
            let (left, right) = (Version::parse(pair[0]).unwrap(), Version::parse(pair[1]).unwrap());
            assert_eq!(left.precedence(&right), Ordering::Less, "{pair:?}");
        }
        for wrong in ["", "v", "1.2.3.4", "1..2", "a", "1.0.0-", "1.0.0-01", "1.0.0+", "1.0.0-a..b", "-1", "1.0.0-ä"] {
            assert!(Version::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn ranges_hold() {
        let check = |range: &str, yes: &[&str], no: &[&str]| {
            let read = Range::parse(range).unwrap();
            for (versions, expected) in [(yes, true), (no, false)] {
                for version in versions {
                    assert_eq!(read.holds(&Version::parse(version).unwrap()), expected, "{range}: {version}");
                }
            }
        };
        check(">=1.0.0 <2.0.0", &["1.0.0", "v1.9.9"], &["0.9.9", "2.0.0", "1.5.0-rc.1"]);
        check("^1.0.x-0", &["1.0.0-rc.1", "1.0.0", "1.4.0-beta"], &["2.0.0", "0.9.0", "2.0.0-rc.1"]);
        check("5.1.x", &["5.1.0", "5.1.9"], &["5.2.0", "5.0.9", "5.1.3-rc.1"]);
        check("1.2 - 1.4.5 || 3.x", &["1.2.0", "1.4.5", "3.9.9"], &["1.4.6", "2.0.0", "4.0.0"]);
        check("*", &["0.0.1", "9.9.9"], &["1.0.0-rc.1"]);
        check("~1.2.3, !=1.2.5", &["1.2.3", "1.2.9"], &["1.2.5", "1.3.0"]);
        check("^0.2.3", &["0.2.3", "0.2.9"], &["0.3.0", "0.2.2"]);
        check(">11", &["12.0.0"], &["11.1.0"]);
        for wrong in ["", "a", ">=", "1.2.3.4", ">> 1", "1.2.3 4 -", &"1 ".repeat(300), &"1||".repeat(40)] {
            assert!(Range::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
