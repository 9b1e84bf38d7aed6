//! Text to tokens.

use serde_json::Value;

/// One token.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A bare name.
    Name(String),
    /// A name in double quotes.
    Quoted(String),
    /// A raw text or a JSON literal.
    Literal(Value),
    /// A whole number, in indexes and slices.
    Number(i64),
    /// Anything that is punctuation.
    Sign(&'static str),
    /// The end.
    End,
}

/// Signs, the longer ones first.
const SIGNS: [&str; 27] = [
    "||", "&&", "==", "!=", "<=", ">=", "[?", "[]", ".", "*", "]", "[", "(", ")", "{", "}", ",", ":", "|", "&", "<",
    ">", "!", "@", "=", "+", "/",
];

/// Tokens and where each begins, in bytes.
pub(super) fn tokens(text: &str) -> Result<Vec<(Token, usize)>, String> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..) {
        let Some(first) = rest.chars().next() else { break };
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let (token, length) = next(rest, first).map_err(|why| format!("{why} at character {}", at + 1))?;
        found.push((token, at));
        at += length;
    }
    found.push((Token::End, text.len()));
    Ok(found)
}

fn next(rest: &str, first: char) -> Result<(Token, usize), String> {
    match first {
        'a'..='z' | 'A'..='Z' | '_' => {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            Ok((Token::Name(rest.get(..end).unwrap_or_default().to_owned()), end))
        }
        '-' | '0'..='9' => {
            let end =
                rest.get(1..).and_then(|tail| tail.find(|c: char| !c.is_ascii_digit())).map_or(rest.len(), |e| e + 1);
            let digits = rest.get(..end).unwrap_or_default();
            let number = digits.parse().map_err(|_| format!("`{digits}` is no number"))?;
            Ok((Token::Number(number), end))
        }
        '"' => {
            let (body, length) = delimited(rest, '"')?;
            let quoted = format!("\"{body}\"");
            let name = serde_json::from_str(&quoted).map_err(|_| format!("{quoted} is no quoted name"))?;
            Ok((Token::Quoted(name), length))
        }
        '\'' => {
            let (body, length) = delimited(rest, '\'')?;
            Ok((Token::Literal(Value::String(body.replace("\\'", "'"))), length))
        }
        '`' => {
            let (body, length) = delimited(rest, '`')?;
            let body = body.replace("\\`", "`");
            let value = serde_json::from_str(&body).map_err(|_| format!("`{body}` is no JSON"))?;
            Ok((Token::Literal(value), length))
        }
        _ => {
            let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
            sign.map(|sign| (Token::Sign(sign), sign.len())).ok_or_else(|| format!("unexpected `{first}`"))
        }
    }
}

/// What stands between two delimiters, and the length with them. A backslash keeps the next character.
fn delimited(rest: &str, delimiter: char) -> Result<(&str, usize), String> {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if character == '\\' {
            escaped = true;
        } else if character == delimiter {
            return Ok((rest.get(1..at).unwrap_or_default(), at + 1));
        }
    }
    Err(format!("the closing {delimiter} is missing"))
}
