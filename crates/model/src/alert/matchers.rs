//! Matchers as they are written in `alertmanager.yml`, on the command line, and in the API.
//!
//! The classic syntax, as Alertmanager 0.25 reads it: a value may be quoted or not, may be empty, and a backslash that
//! escapes nothing stands for itself.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::labels::is_label_name;
use crate::matcher::{Comparison, Matcher};
use crate::pattern::{Pattern, PatternError};

/// Why a text is no matcher.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MatcherError {
    /// There is no name, or none of the four operators after it.
    #[error("{0:?} is not a matcher: write `name=\"value\"`, or `!=`, `=~` or `!~` for the sign")]
    Form(String),
    /// A quote stands where none may.
    #[error("the value of {0:?} has a quote that is not escaped")]
    Quote(String),
    /// The value is no regular expression.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

impl Matcher {
    /// A matcher of its parts.
    pub fn new(name: &str, operator: &str, value: &str) -> Result<Self, MatcherError> {
        let comparison = match operator {
            "=" => Comparison::Equal(value.to_owned()),
            "!=" => Comparison::NotEqual(value.to_owned()),
            "=~" => Comparison::Matches(Pattern::new(value)?),
            "!~" => Comparison::MatchesNot(Pattern::new(value)?),
            _ => return Err(MatcherError::Form(format!("{name}{operator}{value}"))),
        };
        Ok(Self { name: name.to_owned(), comparison })
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        let parts = |matcher: &Self| (matcher.operator(), matcher.value().to_owned());
        self.name == other.name && parts(self) == parts(other)
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value().replace('\\', r"\\").replace('\n', r"\n").replace('"', "\\\"");
        write!(f, "{}{}\"{value}\"", self.name, self.operator())
    }
}

/// Reads a matcher such as `severity=~"page|ticket"`.
pub fn matcher(text: &str) -> Result<Matcher, MatcherError> {
    let malformed = || MatcherError::Form(text.trim().chars().take(100).collect());
    let trimmed = text.trim();
    let end = trimmed.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).ok_or_else(malformed)?;
    let (name, rest) = trimmed.split_at(end);
    // A metric's name may have colons as well, and is allowed here.
    if !is_label_name(&name.replace(':', "_")) {
        return Err(malformed());
    }
    let rest = rest.trim_start();
    let operator = ["=~", "!=", "!~", "="].into_iter().find(|sign| rest.starts_with(sign)).ok_or_else(malformed)?;
    let value = rest.get(operator.len()..).unwrap_or_default().trim_start();
    Matcher::new(name, operator, &unquoted(value)?)
}

/// The value of a quoted or bare text.
fn unquoted(written: &str) -> Result<String, MatcherError> {
    let wrong = || MatcherError::Quote(written.chars().take(100).collect());
    let inside = match written.strip_prefix('"') {
        Some(tail) => tail,
        None => written,
    };
    let mut closed = !written.starts_with('"');
    let mut value = String::with_capacity(inside.len());
    let mut chars = inside.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => value.push('\n'),
                Some(escaped @ ('"' | '\\')) => value.push(escaped),
                Some(other) => value.extend(['\\', other]),
                None => value.push('\\'),
            },
            '"' if !closed && chars.peek().is_none() => closed = true,
            '"' => return Err(wrong()),
            other => value.push(other),
        }
    }
    if closed { Ok(value) } else { Err(wrong()) }
}

/// Reads matchers separated by commas, in braces or not, such as `{a="b", c!~"d.*"}`.
pub fn matchers(text: &str) -> Result<Vec<Matcher>, MatcherError> {
    let text = text.strip_prefix('{').unwrap_or(text);
    let text = text.strip_suffix('}').unwrap_or(text);
    let mut tokens = Vec::new();
    let (mut begin, mut quoted, mut escaped) = (0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            ',' if !quoted => {
                tokens.push(text.get(begin..at).unwrap_or_default());
                begin = at + 1;
            }
            '"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = c == '\\' && !escaped;
    }
    let last = text.get(begin..).unwrap_or_default();
    tokens.extend((!last.is_empty()).then_some(last));
    tokens.into_iter().map(matcher).collect()
}

/// Matchers in one text, as they stand in a group's key: `{a="b",c!="d"}`.
pub fn written(matchers: &[Matcher]) -> String {
    let all: Vec<String> = matchers.iter().map(ToString::to_string).collect();
    format!("{{{}}}", all.join(","))
}

/// A matcher as the API has it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    name: String,
    value: String,
    is_regex: bool,
    #[serde(default = "yes")]
    is_equal: bool,
}

fn yes() -> bool {
    true
}

impl Serialize for Matcher {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (is_regex, is_equal) = match &self.comparison {
            Comparison::Equal(_) => (false, true),
            Comparison::NotEqual(_) => (false, false),
            Comparison::Matches(_) => (true, true),
            Comparison::MatchesNot(_) => (true, false),
        };
        Wire { name: self.name.clone(), value: self.value().to_owned(), is_regex, is_equal }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Matcher {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        if !is_label_name(&wire.name) {
            return Err(serde::de::Error::custom(format!("{:?} is not a label's name", wire.name)));
        }
        let operator = match (wire.is_regex, wire.is_equal) {
            (false, true) => "=",
            (false, false) => "!=",
            (true, true) => "=~",
            (true, false) => "!~",
        };
        Self::new(&wire.name, operator, &wire.value).map_err(serde::de::Error::custom)
    }
}
