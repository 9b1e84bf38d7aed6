//! Why a text is not a query.

use std::fmt;

use super::expression::Kind;
use crate::pattern::PatternError;

/// A refusal and where it is in the text.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct ParseError {
    /// Where the offending part begins.
    pub place: Place,
    /// What is wrong with it.
    pub reason: Reason,
}

/// A place in a text, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

impl ParseError {
    /// `at` counts bytes from the beginning of the text.
    pub(super) fn new(text: &str, at: usize, reason: Reason) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self { place: Place { line, column }, reason }
    }
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Reason {
    /// Longer than is read.
    #[error("the query has {bytes} bytes, more than the {max} that are read")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// Nested, or chained by operators, deeper than is read.
    #[error("the query nests or chains more than {max} expressions; split it with recording rules")]
    TooDeep {
        /// The limit.
        max: u32,
    },
    /// A character that begins nothing.
    #[error("unexpected character {0:?}")]
    Character(char),
    /// Something else was due.
    #[error("unexpected {found}, expected {expected}")]
    Unexpected {
        /// What is there.
        found: String,
        /// What could be.
        expected: &'static str,
    },
    /// A string without its end.
    #[error("the string has no end")]
    UnterminatedString,
    /// A backslash followed by what means nothing.
    #[error("unknown escape sequence")]
    Escape,
    /// Escapes that give bytes that are no text.
    #[error("the string's escapes give bytes that are not UTF-8")]
    NotUtf8,
    /// Digits that are no number.
    #[error("bad number or duration {0:?}")]
    Number(String),
    /// A duration with units in another order, of nothing, or longer than 292 years.
    #[error("a duration has units from large to small, such as 1h30m, and is more than 0 and less than 292 years")]
    Duration,
    /// A time for `@` that no series can have.
    #[error("the time of the @ modifier is out of bounds")]
    AtBounds,
    /// A function that nobody knows.
    #[error("unknown function {0:?}")]
    UnknownFunction(String),
    /// Something of Prometheus that is not supported here.
    #[error("{name} is not supported: {why}")]
    Unsupported {
        /// How it is written.
        name: String,
        /// What is missing, and the way out.
        why: &'static str,
    },
    /// Too few or too many arguments.
    #[error("{function} takes {expected} arguments, not {found}")]
    Arguments {
        /// The function or aggregation.
        function: String,
        /// How many it takes.
        expected: String,
        /// How many there are.
        found: usize,
    },
    /// A scalar where a vector is due, and the like.
    #[error("expected {expected} in {context}, got {found}")]
    Type {
        /// What is due.
        expected: &'static str,
        /// Where.
        context: String,
        /// What is there.
        found: Kind,
    },
    /// More than a description of series.
    #[error("expected a selector such as up{{job=\"a\"}} and nothing else, got {0}")]
    NoSelector(Kind),
    /// `bool` where nothing is compared.
    #[error("bool can only be used with comparisons")]
    BoolWithoutComparison,
    /// A comparison of two numbers that would filter nothing.
    #[error("comparisons between scalars must use bool")]
    ScalarComparison,
    /// `on(...)` or `ignoring(...)` where there is nothing to match.
    #[error("vector matching is only allowed between instant vectors")]
    MatchingScalars,
    /// `and`, `or` and `unless` match many to many.
    #[error("no grouping is allowed for set operations")]
    GroupedSet,
    /// A label that is to be matched and copied at once.
    #[error("label {0:?} must not occur in on and group at once")]
    MatchedAndGrouped(String),
    /// Not a name that a label can have.
    #[error("{0:?} is not a label's name")]
    LabelName(String),
    /// `a{__name__="b"}`
    #[error("the metric's name must not be set twice")]
    NameTwice,
    /// A selector that would select everything.
    #[error("a selector must have at least one matcher that does not accept the empty value")]
    SelectsEverything,
    /// A modifier after something that reads no series.
    #[error("{0} must follow a selector or a subquery")]
    Modifier(&'static str),
    /// The same modifier again.
    #[error("{0} may not be set twice")]
    ModifierTwice(&'static str),
    /// A range of something that is no plain selector.
    #[error(
        "a range is only allowed after a selector without modifiers; for other expressions write a subquery such as [5m:1m]"
    )]
    Range,
    /// A regular expression that can't be used.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}
