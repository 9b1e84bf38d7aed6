//! What the labels of a series or an alert must be for it to be selected.

use crate::labels::Labels;
use crate::pattern::Pattern;

/// How a label's value is compared.
#[derive(Debug, Clone)]
pub enum Comparison {
    /// `=`
    Equal(String),
    /// `!=`
    NotEqual(String),
    /// `=~`
    Matches(Pattern),
    /// `!~`
    MatchesNot(Pattern),
}

/// A condition on one label. A label that is not there has the empty value.
#[derive(Debug, Clone)]
pub struct Matcher {
    /// The label's name.
    pub name: String,
    /// What its value must be.
    pub comparison: Comparison,
}

impl Matcher {
    /// `name="value"`
    pub fn equal(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), comparison: Comparison::Equal(value.into()) }
    }

    /// How it is written between the name and the value.
    pub fn operator(&self) -> &'static str {
        match &self.comparison {
            Comparison::Equal(_) => "=",
            Comparison::NotEqual(_) => "!=",
            Comparison::Matches(_) => "=~",
            Comparison::MatchesNot(_) => "!~",
        }
    }

    /// What a label's value is compared with.
    pub fn value(&self) -> &str {
        match &self.comparison {
            Comparison::Equal(value) | Comparison::NotEqual(value) => value,
            Comparison::Matches(pattern) | Comparison::MatchesNot(pattern) => pattern.source(),
        }
    }

    /// True if a label of this value is wanted.
    pub fn accepts(&self, value: &str) -> bool {
        match &self.comparison {
            Comparison::Equal(wanted) => value == wanted,
            Comparison::NotEqual(unwanted) => value != unwanted,
            Comparison::Matches(pattern) => pattern.is_match(value),
            Comparison::MatchesNot(pattern) => !pattern.is_match(value),
        }
    }

    /// True if all of the matchers accept the series.
    pub fn accept_all(matchers: &[Self], labels: &Labels) -> bool {
        matchers.iter().all(|matcher| matcher.accepts(labels.get(&matcher.name)))
    }
}
