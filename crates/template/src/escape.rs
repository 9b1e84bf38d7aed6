//! Texts made safe to stand in other languages.
//!
//! Source: Go 1.26, documentation of `text/template`, `HTMLEscapeString` and `JSEscapeString`, and of `net/url`, `QueryEscape`.

use std::fmt::Write as _;

use crate::format::is_printable;

/// As content or quoted attribute of HTML.
pub fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\0' => escaped.push('\u{fffd}'),
            '"' => escaped.push_str("&#34;"),
            '\'' => escaped.push_str("&#39;"),
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Within quotes of JavaScript, also where that is inside of HTML.
pub(crate) fn js(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' | '\'' | '"' => escaped.extend(['\\', letter]),
            '<' | '>' | '&' | '=' | '\0'..' ' => push_code_point(&mut escaped, letter),
            ' '..='~' => escaped.push(letter),
            other if is_printable(other) => escaped.push(other),
            other => push_code_point(&mut escaped, other),
        }
    }
    escaped
}

fn push_code_point(escaped: &mut String, letter: char) {
    // Writing to a text can't fail.
    let _ = write!(escaped, "\\u{:04X}", u32::from(letter));
}

/// As a value in a URL's query.
pub(crate) fn query(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            b' ' => escaped.push('+'),
            other => {
                let _ = write!(escaped, "%{other:02X}");
            }
        }
    }
    escaped
}
