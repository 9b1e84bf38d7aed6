//! Values of expressions: JSON, with GitHub's rules for truth, text, numbers and comparison ("Evaluate expressions in
//! workflows and actions", section "Operators").

use std::cmp::Ordering;

use github_actions_expressions::Evaluation;
use serde_json::Value as Json;

/// The same as the library's value; lists and objects keep only what they are, since that is all that comparison asks.
fn evaluation(value: &Json) -> Evaluation {
    match value {
        Json::Null => Evaluation::Null,
        Json::Bool(flag) => Evaluation::Boolean(*flag),
        Json::Number(number) => Evaluation::Number(number.as_f64().unwrap_or(f64::NAN)),
        Json::String(text) => Evaluation::String(text.clone()),
        Json::Array(_) => Evaluation::Array(Vec::new()),
        Json::Object(_) => Evaluation::Object(std::collections::HashMap::new()),
    }
}

/// Whether a value counts as true.
pub(crate) fn is_true(value: &Json) -> bool {
    evaluation(value).as_boolean()
}

/// A value as text.
pub(crate) fn text_of(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => {
            evaluation(value).sema().to_string()
        }
    }
}

/// Whether two values are equal: texts without regard to case, different kinds as numbers.
pub(super) fn equal(left: &Json, right: &Json) -> bool {
    evaluation(left).sema() == evaluation(right).sema()
}

/// How two values are ordered; `None` where they are not, as a number and a text that is none.
pub(super) fn order(left: &Json, right: &Json) -> Option<Ordering> {
    evaluation(left).sema().partial_cmp(&evaluation(right).sema())
}

/// A number as JSON, whole numbers without a fraction.
pub(super) fn number(value: f64) -> Json {
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and below 2^53 on the line above its use")]
    if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 {
        Json::from(value as i64)
    } else {
        serde_json::Number::from_f64(value).map_or(Json::Null, Json::Number)
    }
}

/// A member of an object, without regard to ASCII case, the exact name first.
pub(super) fn member<'a>(object: &'a serde_json::Map<String, Json>, name: &str) -> Option<&'a Json> {
    object.get(name).or_else(|| object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_compare_as_github_compares_them() {
        assert!(equal(&json!("Main"), &json!("main")));
        assert!(equal(&json!(null), &json!(0)));
        assert!(equal(&json!("1"), &json!(1)));
        assert!(!equal(&json!("x"), &json!(0)));
        assert!(!equal(&json!([1]), &json!([1])));
        assert_eq!(order(&json!("2"), &json!(10)), Some(Ordering::Less));
        assert_eq!(order(&json!("x"), &json!(1)), None);
    }

    #[test]
    fn values_become_text_as_github_writes_them() {
        for (value, text) in [
            (json!(null), ""),
            (json!(true), "true"),
            (json!(18), "18"),
            (json!(1.5), "1.5"),
            (json!([1]), "Array"),
            (json!({}), "Object"),
        ] {
            assert_eq!(text_of(&value), text);
        }
        assert_eq!(number(3.0), json!(3));
    }
}
