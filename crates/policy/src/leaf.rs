//! What a single value is compared with in a pattern: texts with operators, alternatives, ranges, wildcards, quantities
//! and durations, compiled once.
//!
//! Source: Kyverno's documentation, "Validate Rules", "Operators" and "Wildcards".

use std::cmp::Ordering;

use serde_json::Value;

use crate::jmespath::float;
use crate::quantity::Quantity;
use crate::{duration, wildcard};

/// How a value is compared with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    NotEqual,
    More,
    MoreEqual,
    Less,
    LessEqual,
    InRange,
    NotInRange,
}

/// A compiled leaf.
#[derive(Debug, Clone)]
pub(crate) enum Leaf {
    Null,
    Bool(bool),
    Number(f64),
    Text { raw: String, alternatives: Vec<Vec<Term>> },
}

/// One comparison.
#[derive(Debug, Clone)]
pub(crate) enum Term {
    Compare(Comparison),
    Between(Comparison, Comparison),
    Outside(Comparison, Comparison),
}

/// An operator and what stands right of it, read in every way that it can be.
#[derive(Debug, Clone)]
pub(crate) struct Comparison {
    operator: Operator,
    text: String,
    duration: Option<i64>,
    quantity: Option<i128>,
}

/// The operator that a text begins with, or a range.
pub(crate) fn operator_of(text: &str) -> (Operator, usize) {
    if text.len() < 2 {
        return (Operator::Equal, 0);
    }
    for (sign, operator) in [
        (">=", Operator::MoreEqual),
        ("<=", Operator::LessEqual),
        (">", Operator::More),
        ("<", Operator::Less),
        ("!", Operator::NotEqual),
    ] {
        if text.starts_with(sign) {
            return (operator, sign.len());
        }
    }
    if range(text, "!-").is_some() {
        return (Operator::NotInRange, 0);
    }
    if range(text, "-").is_some() {
        return (Operator::InRange, 0);
    }
    (Operator::Equal, 0)
}

/// Both ends of a range.
fn range<'t>(text: &'t str, between: &str) -> Option<(&'t str, &'t str)> {
    let is_end = |end: &str| {
        let digits = end.strip_prefix(['-', '+', '|']).unwrap_or(end);
        let number = digits.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let all = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        all(whole) && all(fraction)
    };
    text.match_indices(between).find_map(|(at, _)| {
        let (left, right) = (text.get(..at)?, text.get(at + between.len()..)?);
        (is_end(left) && is_end(right)).then_some((left, right))
    })
}

impl Comparison {
    fn new(operator: Operator, text: &str) -> Self {
        let text = text.trim_matches(' ');
        Self {
            operator,
            text: text.to_owned(),
            duration: duration::parse(text),
            quantity: Quantity::parse(text).map(|quantity| quantity.nano),
        }
    }

    fn holds(&self, value: &Value) -> bool {
        if self.duration.is_none() && self.quantity.is_none() {
            return self.text_holds(value);
        }
        if let Some(written) = as_number_text(value) {
            if let (Some(wanted), Some(found)) = (self.duration, duration::parse(&written)) {
                return self.ordered(found.cmp(&wanted));
            }
            if let (Some(wanted), Some(found)) = (self.quantity, Quantity::parse(&written)) {
                return self.ordered(found.nano.cmp(&wanted));
            }
        }
        self.text_holds(value)
    }

    fn ordered(&self, order: Ordering) -> bool {
        match self.operator {
            Operator::Equal | Operator::InRange | Operator::NotInRange => order.is_eq(),
            Operator::NotEqual => order.is_ne(),
            Operator::More => order.is_gt(),
            Operator::MoreEqual => order.is_ge(),
            Operator::Less => order.is_lt(),
            Operator::LessEqual => order.is_le(),
        }
    }

    fn text_holds(&self, value: &Value) -> bool {
        let written;
        let text = match value {
            Value::String(text) => text.as_str(),
            Value::Bool(flag) => {
                if *flag {
                    "true"
                } else {
                    "false"
                }
            }
            Value::Number(number) => {
                written = go_exponent(number);
                written.as_str()
            }
            Value::Null | Value::Array(_) | Value::Object(_) => return false,
        };
        match self.operator {
            Operator::Equal => wildcard::matches(&self.text, text),
            Operator::NotEqual => !wildcard::matches(&self.text, text),
            Operator::More
            | Operator::MoreEqual
            | Operator::Less
            | Operator::LessEqual
            | Operator::InRange
            | Operator::NotInRange => false,
        }
    }
}

/// A number as Go writes it for comparisons with texts: whole ones plainly, others with an exponent.
fn go_exponent(number: &serde_json::Number) -> String {
    if number.is_f64() { format!("{:E}", float(number)) } else { number.to_string() }
}

/// A value as durations and quantities are read from it; nothing counts as 0.
fn as_number_text(value: &Value) -> Option<std::borrow::Cow<'_, str>> {
    match value {
        Value::Null => Some("0".into()),
        Value::String(text) => Some(text.into()),
        Value::Number(number) => Some(number.to_string().into()),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn term(text: &str) -> Term {
    let ends = |between: &str, low: Operator, high: Operator| {
        range(text, between).map(|(left, right)| (Comparison::new(low, left), Comparison::new(high, right)))
    };
    match operator_of(text) {
        (Operator::InRange, _) => {
            if let Some((low, high)) = ends("-", Operator::MoreEqual, Operator::LessEqual) {
                return Term::Between(low, high);
            }
        }
        (Operator::NotInRange, _) => {
            if let Some((low, high)) = ends("!-", Operator::Less, Operator::More) {
                return Term::Outside(low, high);
            }
        }
        (operator, length) => {
            return Term::Compare(Comparison::new(operator, text.get(length..).unwrap_or_default()));
        }
    }
    Term::Compare(Comparison::new(Operator::Equal, text))
}

impl Term {
    fn holds(&self, value: &Value) -> bool {
        match self {
            Self::Compare(comparison) => comparison.holds(value),
            Self::Between(low, high) => low.holds(value) && high.holds(value),
            Self::Outside(low, high) => low.holds(value) || high.holds(value),
        }
    }
}

impl Leaf {
    /// Compiles a text.
    pub(crate) fn text(raw: &str) -> Self {
        let all = |alternative: &str| {
            alternative.trim_matches(' ').split('&').map(|part| term(part.trim_matches(' '))).collect()
        };
        Self::Text { raw: raw.to_owned(), alternatives: raw.split('|').map(all).collect() }
    }

    /// Whether one value fits.
    #[expect(clippy::float_cmp, reason = "numbers in patterns are compared as they are written")]
    pub(crate) fn matches(&self, value: &Value) -> bool {
        match self {
            Self::Null => match value {
                Value::Null => true,
                Value::Bool(flag) => !flag,
                Value::Number(number) => float(number) == 0.0,
                Value::String(text) => text.is_empty(),
                Value::Array(_) | Value::Object(_) => false,
            },
            Self::Bool(wanted) => value.as_bool() == Some(*wanted),
            Self::Number(wanted) => match value {
                Value::Number(number) => float(number) == *wanted,
                Value::String(text) => text.parse::<f64>().is_ok_and(|number| number == *wanted),
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => false,
            },
            Self::Text { raw, alternatives } => {
                value.as_str() == Some(raw) || alternatives.iter().any(|all| all.iter().all(|term| term.holds(value)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn check(pattern: &str, value: Value, want: bool) {
        assert_eq!(Leaf::text(pattern).matches(&value), want, "{pattern} {value}");
    }

    #[test]
    fn operators_ranges_and_alternatives() {
        check("nginx:*", json!("nginx:1"), true);
        check("!*:latest", json!("nginx:latest"), false);
        check("!*:latest & *:*", json!("nginx"), false);
        check("a | b", json!("b"), true);
        check(">5", json!(6), true);
        check(">=1Gi", json!("1024Mi"), true);
        check("<1h", json!("59m"), true);
        check("1-5", json!(5), true);
        check("1-5", json!(6), false);
        check("1Gi-2Gi", json!("1536Mi"), true);
        check("10!-20", json!(15), false);
        check("10!-20", json!(21), true);
        check("?*", json!(""), false);
        check("?*", json!("x"), true);
        check("?*", json!(null), false);
        check("*", json!(null), false);
        check("true", json!(true), true);
        check("0", json!(null), true);
        check("!root", json!("x"), true);
        check("100m", json!("0.1"), true);
        check("1-5-2", json!("1-5-2"), true);
    }

    #[test]
    fn other_types() {
        assert!(Leaf::Number(5.0).matches(&json!("5")));
        assert!(!Leaf::Bool(true).matches(&json!("true")));
        assert!(Leaf::Null.matches(&json!("")));
        assert!(!Leaf::Null.matches(&json!([])));
    }

    proptest! {
        #[test]
        fn a_range_is_its_two_bounds(low in 0_i64..100, high in 0_i64..100, value in -10_i64..120) {
            let between = Leaf::text(&format!("{low}-{high}")).matches(&json!(value));
            prop_assert_eq!(between, low <= value && value <= high);
            let outside = Leaf::text(&format!("{low}!-{high}")).matches(&json!(value));
            prop_assert_eq!(outside, value < low || value > high);
        }

        #[test]
        fn a_text_fits_itself(text in "\\PC{0,20}") {
            prop_assert!(Leaf::text(&text).matches(&json!(text)));
        }

        #[test]
        fn negation_is_the_opposite(pattern in "[a-c*?]{2,6}", value in "[a-c]{0,6}") {
            let positive = Leaf::text(&pattern).matches(&json!(value));
            prop_assert_eq!(Leaf::text(&format!("!{pattern}")).matches(&json!(value)), !positive);
        }
    }
}
