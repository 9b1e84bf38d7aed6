//! Values as texts, as Go prints them.
//!
//! Source: Go 1.26, documentation of `fmt`.

mod float;
mod quote;
mod verb;

use std::str::Chars;

pub use float::float;
pub(crate) use quote::is_printable;
use verb::Spec;

use crate::error::CallError;
use crate::value::Value;

/// The widest field and the most digits that may be asked for, as in Go.
const WIDTH_MAX: usize = 1_000_000;

/// Values one after the other, with a space between two that are both no texts.
pub fn print(values: &[Value]) -> String {
    let mut printed = String::new();
    let mut spaced = false;
    for value in values {
        let is_text = matches!(value, Value::Text(_));
        if spaced && !is_text {
            printed.push(' ');
        }
        spaced = !is_text;
        push_plain(&mut printed, value);
    }
    printed
}

/// Values with spaces between them, and a line's end.
pub(crate) fn println(values: &[Value]) -> String {
    let mut printed = String::new();
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            printed.push(' ');
        }
        push_plain(&mut printed, value);
    }
    printed.push('\n');
    printed
}

fn push_plain(printed: &mut String, value: &Value) {
    // The verb `v` takes every value.
    let _ = verb::push(printed, &Spec::default(), 'v', value);
}

/// A text with verbs, each of which takes a value.
pub(crate) fn printf(template: &str, values: &[Value], bytes_max: usize) -> Result<String, CallError> {
    let mut printed = String::new();
    let mut values = values.iter();
    let mut rest = template.chars();
    while let Some(letter) = rest.next() {
        if letter == '%' {
            directive(&mut printed, &mut rest, &mut values)?;
        } else {
            printed.push(letter);
        }
        if printed.len() > bytes_max {
            return Err(CallError::new(format!("this makes more than {bytes_max} bytes")));
        }
    }
    if values.len() > 0 {
        extra(&mut printed, values.as_slice())?;
    }
    Ok(printed)
}

/// One verb with its flags, after the `%`.
fn directive(
    printed: &mut String,
    rest: &mut Chars<'_>,
    values: &mut std::slice::Iter<'_, Value>,
) -> Result<(), CallError> {
    let mut spec = flags(rest);
    spec.width = amount(rest, values, &mut spec.left)?;
    if rest.as_str().starts_with('.') {
        rest.next();
        let mut negative = false;
        spec.precision = Some(amount(rest, values, &mut negative)?.filter(|_| !negative).unwrap_or(0));
    }
    let Some(verb) = rest.next() else {
        printed.push_str("%!(NOVERB)");
        return Ok(());
    };
    if verb == 'v' {
        spec.names = std::mem::take(&mut spec.plus);
    }
    match verb {
        '%' => printed.push('%'),
        '[' => return Err(CallError::new("numbered values (`%[1]d`) are not supported: give the values in order")),
        'T' | 'p' => return Err(CallError::new(format!("`%{verb}` is not supported"))),
        'v' if spec.sharp => return Err(CallError::new("`%#v` is not supported")),
        verb => match values.next() {
            Some(value) => verb::push(printed, &spec, verb, value)?,
            None => printed.extend(["%!", verb.to_string().as_str(), "(MISSING)"]),
        },
    }
    Ok(())
}

fn flags(rest: &mut Chars<'_>) -> Spec {
    let mut spec = Spec::default();
    loop {
        match rest.as_str().chars().next() {
            Some('+') => spec.plus = true,
            Some('-') => spec.left = true,
            Some('#') => spec.sharp = true,
            Some(' ') => spec.space = true,
            Some('0') => spec.zero = true,
            Some(_) | None => return spec,
        }
        rest.next();
    }
}

/// A width or precision: digits, or `*` for one that is taken from the values.
fn amount(
    rest: &mut Chars<'_>,
    values: &mut std::slice::Iter<'_, Value>,
    negative: &mut bool,
) -> Result<Option<usize>, CallError> {
    let too_large = || CallError::new(format!("a width or precision is no whole number up to {WIDTH_MAX}"));
    if rest.as_str().starts_with('*') {
        rest.next();
        let Some(Value::Int(amount)) = values.next() else { return Err(too_large()) };
        *negative |= *amount < 0;
        let amount = usize::try_from(amount.unsigned_abs()).unwrap_or(usize::MAX);
        return if amount > WIDTH_MAX { Err(too_large()) } else { Ok(Some(amount)) };
    }
    let after = rest.as_str().trim_start_matches(|letter: char| letter.is_ascii_digit());
    let digits = rest.as_str().strip_suffix(after).unwrap_or_default();
    if digits.is_empty() {
        return Ok(None);
    }
    let amount = digits.parse().ok().filter(|amount| *amount <= WIDTH_MAX).ok_or_else(too_large)?;
    *rest = after.chars();
    Ok(Some(amount))
}

/// What says that there were more values than verbs.
fn extra(printed: &mut String, values: &[Value]) -> Result<(), CallError> {
    printed.push_str("%!(EXTRA ");
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            printed.push_str(", ");
        }
        verb::push_with_type(printed, &Spec::default(), value)?;
    }
    printed.push(')');
    Ok(())
}
