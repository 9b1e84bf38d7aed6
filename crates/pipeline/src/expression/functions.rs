//! The functions of expressions, by GitHub's documentation ("Evaluate expressions in workflows and actions", section
//! "Functions"). Results are bounded, so that no workflow can make a text grow without end.

use serde_json::Value as Json;

use super::evaluate::EvaluationError;
use super::value::{equal, text_of};

/// The longest text that an expression may give, in bytes: also the limit of an output.
pub(super) const TEXT_BYTES_MAX: usize = 1024 * 1024;

fn folded(value: &Json) -> String {
    text_of(value).to_uppercase()
}

/// `contains(search, item)`: a member of a list, or part of a text.
pub(super) fn contains(search: &Json, item: &Json) -> bool {
    match search {
        Json::Array(items) => items.iter().any(|own| equal(own, item)),
        Json::Object(_) => false,
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {
            !is_collection(item) && folded(search).contains(&folded(item))
        }
    }
}

/// `startsWith(text, start)`.
pub(super) fn starts_with(text: &Json, start: &Json) -> bool {
    !is_collection(text) && !is_collection(start) && folded(text).starts_with(&folded(start))
}

/// `endsWith(text, end)`.
pub(super) fn ends_with(text: &Json, end: &Json) -> bool {
    !is_collection(text) && !is_collection(end) && folded(text).ends_with(&folded(end))
}

fn is_collection(value: &Json) -> bool {
    value.is_array() || value.is_object()
}

/// `join(list, separator)`.
pub(super) fn join(list: &Json, separator: Option<&Json>) -> Result<Json, EvaluationError> {
    let Json::Array(items) = list else {
        return Ok(Json::String(if is_collection(list) { String::new() } else { text_of(list) }));
    };
    let separator = separator.map_or_else(|| ",".to_owned(), text_of);
    let mut joined = String::new();
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            joined.push_str(&separator);
        }
        joined.push_str(&text_of(item));
        bounded(&joined)?;
    }
    Ok(Json::String(joined))
}

/// `toJSON(value)`, written with an indent of two spaces.
pub(super) fn to_json(value: &Json) -> Result<Json, EvaluationError> {
    let text = serde_json::to_string_pretty(value).map_err(|error| EvaluationError::Json(error.to_string()))?;
    bounded(&text)?;
    Ok(Json::String(text))
}

/// `fromJSON(text)`.
pub(super) fn from_json(text: &Json) -> Result<Json, EvaluationError> {
    serde_json::from_str(&text_of(text)).map_err(|error| EvaluationError::Json(error.to_string()))
}

/// `format(text, arguments…)`: `{0}` is the first argument, `{{` and `}}` are braces.
pub(super) fn format(pattern: &str, arguments: &[Json]) -> Result<Json, EvaluationError> {
    let broken = || EvaluationError::Format(pattern.chars().take(100).collect());
    let mut text = String::new();
    let mut rest = pattern;
    while let Some(brace) = rest.find(['{', '}']) {
        let (before, from_brace) = rest.split_at(brace);
        text.push_str(before);
        rest = if let Some(after) = from_brace.strip_prefix("{{") {
            text.push('{');
            after
        } else if let Some(after) = from_brace.strip_prefix("}}") {
            text.push('}');
            after
        } else {
            let (index, after) =
                from_brace.strip_prefix('{').and_then(|inner| inner.split_once('}')).ok_or_else(broken)?;
            let argument = index.parse::<usize>().ok().and_then(|index| arguments.get(index)).ok_or_else(broken)?;
            text.push_str(&text_of(argument));
            after
        };
        bounded(&text)?;
    }
    text.push_str(rest);
    bounded(&text)?;
    Ok(Json::String(text))
}

/// Refuses a text that has grown too long.
pub(super) fn bounded(text: &str) -> Result<(), EvaluationError> {
    if text.len() > TEXT_BYTES_MAX { Err(EvaluationError::TooLong) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn format_fills_in_and_refuses_what_is_missing() {
        assert_eq!(format("ü {{{0}}} {1}", &[json!("a"), json!(2)]).unwrap(), json!("ü {a} 2"));
        for broken in ["{", "}", "{2}", "{x}", "{-1}"] {
            assert!(format(broken, &[json!(1), json!(2)]).is_err(), "{broken}");
        }
        let long = json!("x".repeat(TEXT_BYTES_MAX / 2));
        assert_eq!(format(&"{0}".repeat(1000), &[long]), Err(EvaluationError::TooLong));
    }

    #[test]
    fn lists_join_and_json_goes_both_ways() {
        assert_eq!(join(&json!([1, "b", null]), Some(&json!("-"))).unwrap(), json!("1-b-"));
        assert_eq!(from_json(&to_json(&json!({"a": [1]})).unwrap()).unwrap(), json!({"a": [1]}));
        assert!(from_json(&json!("{")).is_err());
        assert!(from_json(&json!("[".repeat(10_000))).is_err());
    }

    #[test]
    fn searching_ignores_case_and_knows_lists() {
        assert!(contains(&json!("Hello"), &json!("LL")));
        assert!(contains(&json!(["Push"]), &json!("push")));
        assert!(!contains(&json!(["pushes"]), &json!("push")));
        assert!(starts_with(&json!("refs/heads/x"), &json!("REFS/")) && ends_with(&json!("a.rs"), &json!(".RS")));
        assert!(!starts_with(&json!([1]), &json!("")));
    }
}
