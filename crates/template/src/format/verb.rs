//! One value as one verb shows it.
//!
//! Source: Go 1.26, documentation of `fmt`, "Printing".

use super::float::unsigned_or_special;
use super::quote::{is_printable, quote, quote_character};
use crate::error::CallError;
use crate::value::Value;

/// What is written between `%` and the verb.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spec {
    /// `%+v`: fields with their names.
    pub(crate) names: bool,
    pub(crate) plus: bool,
    pub(crate) left: bool,
    pub(crate) sharp: bool,
    pub(crate) space: bool,
    pub(crate) zero: bool,
    /// In characters.
    pub(crate) width: Option<usize>,
    pub(crate) precision: Option<usize>,
}

/// Adds a value. A verb that the value does not have is told in the text, as in Go; one that we don't have is an error.
pub(crate) fn push(printed: &mut String, spec: &Spec, verb: char, value: &Value) -> Result<(), CallError> {
    match value.plain() {
        Value::Nil if verb == 'v' => pad(printed, spec, "<nil>"),
        Value::Nil => printed.extend(["%!", verb.encode_utf8(&mut [0; 4]), "(<nil>)"]),
        Value::Bool(flag) if matches!(verb, 't' | 'v') => pad(printed, spec, if flag { "true" } else { "false" }),
        Value::Int(number) if "vdbOoxXcqU".contains(verb) => integer(printed, spec, verb, number),
        Value::Float(number) if "veEfFgG".contains(verb) => push_float(printed, spec, verb, number)?,
        Value::Float(_) if "bxX".contains(verb) => {
            return Err(CallError::new(format!("`%{verb}` is not supported for numbers with a point")));
        }
        Value::Text(text) if "vsxXq".contains(verb) => push_text(printed, spec, verb, &text)?,
        Value::List(list) => {
            printed.push('[');
            between(printed, list.iter(), |printed, item| element(printed, spec, verb, item))?;
            printed.push(']');
        }
        Value::Map(map) => {
            printed.push_str("map[");
            between(printed, map.entries.iter(), |printed, (name, value)| {
                push(printed, spec, verb, &Value::Text(name.clone()))?;
                printed.push(':');
                element(printed, spec, verb, value)
            })?;
            printed.push(']');
        }
        Value::Record(record) => {
            printed.push('{');
            between(printed, record.fields.iter(), |printed, (name, value)| {
                if spec.names {
                    printed.extend([name, ":"]);
                }
                element(printed, spec, verb, value)
            })?;
            printed.push('}');
        }
        // Go shows an address.
        Value::Function(_) => printed.push_str("(function)"),
        Value::Object(object) => printed.extend(["(", object.name(), ")"]),
        value @ (Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_)) => {
            printed.extend(["%!", verb.encode_utf8(&mut [0; 4]), "("]);
            push_with_type(printed, spec, &value)?;
            printed.push(')');
        }
    }
    Ok(())
}

/// What is in a list, map or struct: nothing is told without its verb.
fn element(printed: &mut String, spec: &Spec, verb: char, value: &Value) -> Result<(), CallError> {
    if let Value::Nil = value {
        printed.push_str("<nil>");
        return Ok(());
    }
    push(printed, spec, verb, value)
}

fn between<T>(
    printed: &mut String,
    items: impl Iterator<Item = T>,
    mut each: impl FnMut(&mut String, T) -> Result<(), CallError>,
) -> Result<(), CallError> {
    for (index, item) in items.enumerate() {
        if index > 0 {
            printed.push(' ');
        }
        each(printed, item)?;
    }
    Ok(())
}

/// `int=5`
pub(crate) fn push_with_type(printed: &mut String, spec: &Spec, value: &Value) -> Result<(), CallError> {
    if let Value::Nil = value {
        printed.push_str("<nil>");
        return Ok(());
    }
    printed.extend([value.kind(), "="]);
    push(printed, spec, 'v', value)
}

/// Fills up to the width, with zeros only on the left.
fn pad(printed: &mut String, spec: &Spec, text: &str) {
    let missing = spec.width.unwrap_or(0).saturating_sub(text.chars().count());
    let filler = if spec.zero && !spec.left { "0" } else { " " }.repeat(missing);
    printed.extend(if spec.left { [text, &filler] } else { [&filler, text] });
}

fn push_text(printed: &mut String, spec: &Spec, verb: char, text: &str) -> Result<(), CallError> {
    if verb == 'q' && spec.sharp {
        return Err(CallError::new("`%#q` is not supported"));
    }
    let is_hex = matches!(verb, 'x' | 'X');
    let end = spec.precision.and_then(|precision| text.char_indices().nth(precision));
    let cut = end.map_or(text, |(end, _)| text.get(..end).unwrap_or(text));
    if is_hex {
        let bytes = text.as_bytes();
        let bytes = bytes.get(..spec.precision.unwrap_or(bytes.len())).unwrap_or(bytes);
        pad(printed, spec, &hex(bytes, spec, verb == 'X'));
    } else if verb == 'q' {
        pad(printed, spec, &quote(cut, spec.plus));
    } else {
        pad(printed, spec, cut);
    }
    Ok(())
}

fn hex(bytes: &[u8], spec: &Spec, upper: bool) -> String {
    let prefix = match (spec.sharp && !bytes.is_empty(), upper) {
        (false, _) => "",
        (true, false) => "0x",
        (true, true) => "0X",
    };
    let digits = |byte: &u8| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") };
    let digits: Vec<String> = bytes.iter().map(digits).collect();
    if spec.space {
        format!("{prefix}{}", digits.join(&format!(" {prefix}")))
    } else {
        format!("{prefix}{}", digits.concat())
    }
}

fn integer(printed: &mut String, spec: &Spec, verb: char, number: i64) {
    let known = u32::try_from(number).ok().and_then(char::from_u32);
    let character = known.unwrap_or(char::REPLACEMENT_CHARACTER);
    match verb {
        'c' => return pad(printed, spec, character.encode_utf8(&mut [0; 4])),
        'q' => return pad(printed, spec, &quote_character(character, spec.plus)),
        'U' => return pad(printed, &Spec { zero: false, ..*spec }, &code_point(spec, number, known)),
        _ => {}
    }
    let magnitude = number.unsigned_abs();
    let (mut digits, prefix) = match verb {
        'b' => (format!("{magnitude:b}"), if spec.sharp { "0b" } else { "" }),
        'o' => (format!("{magnitude:o}"), ""),
        'O' => (format!("{magnitude:o}"), "0o"),
        'x' => (format!("{magnitude:x}"), if spec.sharp { "0x" } else { "" }),
        'X' => (format!("{magnitude:X}"), if spec.sharp { "0X" } else { "" }),
        _ => (magnitude.to_string(), ""),
    };
    let sign = sign(number < 0, spec.plus, spec.space);
    let filled = match (spec.precision, spec.width) {
        (Some(0), _) if number == 0 => return pad(printed, &Spec { zero: false, ..*spec }, ""),
        (Some(precision), _) => precision,
        (None, Some(width)) if spec.zero && !spec.left => width.saturating_sub(sign.len()),
        (None, _) => 0,
    };
    digits.insert_str(0, &"0".repeat(filled.saturating_sub(digits.len())));
    if spec.sharp && matches!(verb, 'o' | 'O') && !digits.starts_with('0') {
        digits.insert(0, '0');
    }
    pad(printed, &Spec { zero: false, ..*spec }, &format!("{sign}{prefix}{digits}"));
}

fn code_point(spec: &Spec, number: i64, character: Option<char>) -> String {
    let width = spec.precision.unwrap_or(4).max(4);
    let code = format!("U+{number:0width$X}");
    match character.filter(|character| spec.sharp && is_printable(*character)) {
        Some(character) => format!("{code} '{character}'"),
        None => code,
    }
}

fn sign(negative: bool, plus: bool, space: bool) -> &'static str {
    match (negative, plus, space) {
        (true, _, _) => "-",
        (false, true, _) => "+",
        (false, false, true) => " ",
        (false, false, false) => "",
    }
}

fn push_float(printed: &mut String, spec: &Spec, verb: char, number: f64) -> Result<(), CallError> {
    if spec.sharp {
        return Err(CallError::new(format!("`%#{verb}` is not supported for numbers with a point")));
    }
    let (negative, digits) = match unsigned_or_special(number, verb, spec.precision) {
        Ok(found) => found,
        Err(special) => {
            let word = special.trim_start_matches(['+', '-']);
            let sign = match (special, spec.plus, spec.space) {
                ("NaN" | "+Inf", false, true) => " ",
                ("NaN", false, false) => "",
                ("-Inf", _, _) => "-",
                _ => "+",
            };
            pad(printed, &Spec { zero: false, ..*spec }, &format!("{sign}{word}"));
            return Ok(());
        }
    };
    let sign = sign(negative, spec.plus, spec.space);
    if spec.zero && !spec.left {
        printed.push_str(sign);
        let width = spec.width.map(|width| width.saturating_sub(sign.len()));
        pad(printed, &Spec { width, ..*spec }, &digits);
    } else {
        pad(printed, spec, &format!("{sign}{digits}"));
    }
    Ok(())
}
