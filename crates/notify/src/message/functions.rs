//! The functions that Alertmanager's templates have beside Go's own.

use prograde_model::pattern::Pattern;
use prograde_template::{CallError, Functions, Value};

/// All of them.
#[must_use]
pub fn functions() -> Functions<'static> {
    Functions::new()
        .with("toUpper", |arguments| of_text(arguments, str::to_uppercase))
        .with("toLower", |arguments| of_text(arguments, str::to_lowercase))
        .with("title", |arguments| of_text(arguments, title))
        .with("join", join)
        .with("match", |arguments| {
            let [pattern, text] = texts(arguments, "match")?;
            Ok(Value::from(compiled(&pattern)?.is_match(&text)))
        })
        .with("safeHtml", |arguments| {
            let [text] = texts(arguments, "safeHtml")?;
            Ok(Value::markup(text.into()))
        })
        .with("reReplaceAll", |arguments| {
            let [pattern, replacement, text] = texts(arguments, "reReplaceAll")?;
            let replaced = compiled(&pattern)?.replace_all(&text, &replacement, TEXT_BYTES_MAX);
            replaced
                .map(Value::from)
                .ok_or_else(|| CallError::new(format!("it makes more than {TEXT_BYTES_MAX} bytes")))
        })
        .with("stringSlice", |arguments| {
            arguments
                .iter()
                .map(|argument| text(argument, "stringSlice").map(Value::from))
                .collect::<Result<Vec<_>, _>>()
                .map(Value::from)
        })
}

/// The longest text that a replacement may make.
const TEXT_BYTES_MAX: usize = 1024 * 1024;

fn compiled(pattern: &str) -> Result<Pattern, CallError> {
    Pattern::anywhere(pattern).map_err(|error| CallError::new(error.to_string()))
}

fn text(argument: &Value, function: &str) -> Result<String, CallError> {
    let text = argument.as_text().map(|text| text.to_string());
    text.ok_or_else(|| CallError::new(format!("{function} takes texts, and was given {}", argument.kind())))
}

fn texts<const COUNT: usize>(arguments: &[Value], function: &str) -> Result<[String; COUNT], CallError> {
    let texts = arguments.iter().map(|argument| text(argument, function)).collect::<Result<Vec<_>, _>>()?;
    let given = texts.len();
    texts.try_into().map_err(|_| CallError::new(format!("{function} takes {COUNT} arguments, and was given {given}")))
}

fn of_text(arguments: &[Value], change: fn(&str) -> String) -> Result<Value, CallError> {
    let [text] = texts(arguments, "the function")?;
    Ok(Value::from(change(&text)))
}

/// The first letter of each word as a capital, the others not; digits belong to the word that they stand in.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_word = false;
    for c in text.chars() {
        if in_word {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        in_word = c.is_alphabetic() || c == '_' || (in_word && (c.is_numeric() || c == '\''));
    }
    out
}

/// The separator comes first, so that a list can be piped in.
fn join(arguments: &[Value]) -> Result<Value, CallError> {
    let [separator, list] = arguments else { return Err(CallError::new("join takes a separator and a list")) };
    let Value::List(list) = list.plain() else { return Err(CallError::new("join takes a list of texts")) };
    let parts = list.iter().map(|part| text(part, "join")).collect::<Result<Vec<_>, _>>()?;
    Ok(Value::from(parts.join(&text(separator, "join")?)))
}
