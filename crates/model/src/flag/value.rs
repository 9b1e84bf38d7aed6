//! How `JsonLogic` sees JSON values: truth, numbers, texts and the two kinds of equality (jsonlogic.com, "Truthy and
//! Falsy" and "Operations"; for primitives JavaScript's own rules). Lists and objects equal nothing but in `===`.

use std::borrow::Cow;

use serde_json::{Number, Value};

/// Whether a value counts as true: empty texts and lists, zero and nothing do not.
pub(super) fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64().is_some_and(|number| number != 0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(_) => true,
    }
}

/// The value as a number; NaN where it is none.
pub(super) fn number(value: &Value) -> f64 {
    match value {
        Value::Null => 0.0,
        Value::Bool(flag) => f64::from(u8::from(*flag)),
        Value::Number(number) => number.as_f64().unwrap_or(f64::NAN),
        Value::String(text) => match text.trim() {
            "" => 0.0,
            // Rust reads `inf`, `nan` and their like as numbers; JavaScript does not.
            text if text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b)) => {
                text.parse().unwrap_or(f64::NAN)
            }
            _ => f64::NAN,
        },
        Value::Array(_) | Value::Object(_) => f64::NAN,
    }
}

/// A number as JSON has it; nothing where it is not finite.
pub(super) fn from_number(number: f64) -> Value {
    /// The largest integer below which every integer has a number of its own (ECMA-262, `MAX_SAFE_INTEGER`).
    const SAFE_MAX: f64 = 9_007_199_254_740_991.0;
    if number.fract() == 0.0 && number.abs() <= SAFE_MAX {
        #[expect(clippy::cast_possible_truncation, reason = "an integer of at most 53 bits")]
        return Value::from(number as i64);
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

/// The value as a part of a text.
pub(super) fn text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        Value::Null => Cow::Borrowed(""),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Cow::Owned(value.to_string()),
    }
}

/// `==`: as JavaScript compares primitives.
pub(super) fn loosely_equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Null, Value::Null) => true,
        (Value::String(one), Value::String(other)) => one == other,
        (Value::Null | Value::Array(_) | Value::Object(_), _)
        | (_, Value::Null | Value::Array(_) | Value::Object(_)) => false,
        (
            Value::Bool(_) | Value::Number(_) | Value::String(_),
            Value::Bool(_) | Value::Number(_) | Value::String(_),
        ) => {
            #[expect(clippy::float_cmp, reason = "equality of numbers is what is asked for")]
            let equal = number(one) == number(other);
            equal
        }
    }
}

/// `===`: the same kind and the same value.
pub(super) fn strictly_equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(_), Value::Number(_)) => loosely_equal(one, other),
        _ => one == other,
    }
}

/// Less than, by the characters of two texts, else by numbers; nothing is less than what is no number.
pub(super) fn is_less(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::String(one), Value::String(other)) => one < other,
        _ => number(one) < number(other),
    }
}

/// Less than or equal, in the same way.
pub(super) fn is_at_most(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::String(one), Value::String(other)) => one <= other,
        _ => number(one) <= number(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn truth() {
        for (value, truth) in [
            (json!(0), false),
            (json!(-0.0), false),
            (json!(1.5), true),
            (json!(""), false),
            (json!("0"), true),
            (json!([]), false),
            (json!([false]), true),
            (json!({}), true),
            (json!(null), false),
        ] {
            assert_eq!(is_true(&value), truth, "{value}");
        }
    }

    #[test]
    fn equality() {
        for (one, other, loose, strict) in [
            (json!(1), json!(1.0), true, true),
            (json!(1), json!("1"), true, false),
            (json!(0), json!(""), true, false),
            (json!(0), json!(null), false, false),
            (json!(true), json!("1"), true, false),
            (json!("a"), json!("a"), true, true),
            (json!("inf"), json!("inf"), true, true),
            (json!("nan"), json!(0), false, false),
            (json!([1]), json!([1]), false, true),
        ] {
            assert_eq!((loosely_equal(&one, &other), strictly_equal(&one, &other)), (loose, strict), "{one} {other}");
            assert_eq!(loosely_equal(&other, &one), loose, "{other} {one}");
        }
    }

    #[test]
    fn order() {
        assert!(is_less(&json!("10"), &json!("9")), "texts by their characters");
        assert!(!is_less(&json!("10"), &json!(9)), "a text and a number by numbers");
        assert!(!is_less(&json!("x"), &json!(9)) && !is_at_most(&json!(9), &json!("x")));
        assert!(is_at_most(&json!(null), &json!(0)));
    }

    #[test]
    fn numbers_become_json_again() {
        assert_eq!(from_number(3.0).to_string(), "3");
        assert_eq!(from_number(0.5).to_string(), "0.5");
        assert_eq!(from_number(f64::NAN), Value::Null);
        assert_eq!(from_number(f64::INFINITY), Value::Null);
    }
}
