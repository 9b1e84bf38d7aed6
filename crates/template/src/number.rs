//! Constants: numbers, characters and quoted texts, written as in Go.
//!
//! Source: The Go Programming Language Specification, "Integer literals" to "String literals".

/// A number. What it is follows from how it is written: one with a point or an exponent is a float.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    Int(i64),
    Float(f64),
}

/// Reads a number; `None` if it is none, or none that fits.
pub(crate) fn number(text: &str) -> Option<Number> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if !underscores_separate_digits(unsigned) {
        return None;
    }
    let digits = unsigned.replace('_', "").to_ascii_lowercase();
    let is_float = match digits.strip_prefix("0x") {
        Some(hex) => hex.contains(['.', 'p']),
        None => digits.contains(['.', 'e']) && !digits.starts_with("0b") && !digits.starts_with("0o"),
    };
    if is_float {
        let value = float(&digits).filter(|value| value.is_finite())?;
        return Some(Number::Float(if negative { -value } else { value }));
    }
    let magnitude = i128::from(integer(&digits)?);
    i64::try_from(if negative { -magnitude } else { magnitude }).ok().map(Number::Int)
}

fn integer(digits: &str) -> Option<u64> {
    let (base, digits) = match digits.get(..2) {
        Some("0x") => (16, digits.get(2..)?),
        Some("0o") => (8, digits.get(2..)?),
        Some("0b") => (2, digits.get(2..)?),
        Some(_) if digits.starts_with('0') => (8, digits.get(1..)?),
        Some(_) | None => (10, digits),
    };
    if digits.starts_with(['+', '-']) { None } else { u64::from_str_radix(digits, base).ok() }
}

fn float(digits: &str) -> Option<f64> {
    if let Some(hex) = digits.strip_prefix("0x") {
        return hex_float(hex);
    }
    // Rust's own reading knows words, such as `inf`, which can't come here.
    digits.parse().ok()
}

/// `1.8p3`: a mantissa in base 16 and a power of two, which a float with a point in base 16 must have.
fn hex_float(text: &str) -> Option<f64> {
    let (mantissa, power) = text.split_once('p')?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    // What a float holds exactly, so that nothing is rounded twice.
    let mantissa = u64::from_str_radix(&digits, 16).ok().filter(|mantissa| *mantissa < 1 << 53)?;
    let power: i32 = power.parse().ok().filter(|power: &i32| power.abs() <= 2000)?;
    let shift = power - i32::try_from(fraction.len()).ok()?.checked_mul(4)?;
    #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
    let value = mantissa as f64;
    Some(value * 2f64.powi(shift))
}

/// Whether each `_` is between two digits, or between a base's prefix and a digit.
fn underscores_separate_digits(text: &str) -> bool {
    let mut before = '_';
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        if letter == '_' {
            let after_prefix = at == 2 && text.starts_with('0') && before.is_ascii_alphabetic();
            let after = letters.peek().is_some_and(|(_, next)| next.is_ascii_hexdigit());
            if !(before.is_ascii_hexdigit() || after_prefix) || !after {
                return false;
            }
        }
        before = letter;
    }
    true
}

/// The character between two `'`.
pub(crate) fn character(quoted: &str) -> Option<char> {
    let text = unquote_with(quoted.strip_prefix('\'')?.strip_suffix('\'')?, '\'')?;
    let mut letters = text.chars();
    letters.next().filter(|_| letters.next().is_none())
}

/// The text between two `"`. Escapes that make no UTF-8 are refused: texts are Unicode here.
pub(crate) fn unquote(quoted: &str) -> Option<String> {
    unquote_with(quoted.strip_prefix('"')?.strip_suffix('"')?, '"')
}

fn unquote_with(text: &str, quote: char) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (plain, escape) = rest.split_at(at);
        if plain.contains(quote) {
            return None;
        }
        bytes.extend_from_slice(plain.as_bytes());
        rest = unescape(escape.strip_prefix('\\')?, quote, &mut bytes)?;
    }
    if rest.contains(quote) {
        return None;
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

/// Adds what an escape stands for; gives what comes after it.
fn unescape<'a>(escape: &'a str, quote: char, bytes: &mut Vec<u8>) -> Option<&'a str> {
    let mut letters = escape.chars();
    let letter = letters.next()?;
    let simple = match letter {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' => b'\\',
        '0'..='7' => {
            bytes.push(u8::from_str_radix(digits(escape, 3)?, 8).ok()?);
            return escape.get(3..);
        }
        'x' => {
            bytes.push(u8::from_str_radix(digits(letters.as_str(), 2)?, 16).ok()?);
            return letters.as_str().get(2..);
        }
        'u' => return code_point(letters.as_str(), 4, bytes),
        'U' => return code_point(letters.as_str(), 8, bytes),
        _ if letter == quote => u8::try_from(quote).ok()?,
        _ => return None,
    };
    bytes.push(simple);
    Some(letters.as_str())
}

fn code_point<'a>(text: &'a str, length: usize, bytes: &mut Vec<u8>) -> Option<&'a str> {
    let value = u32::from_str_radix(digits(text, length)?, 16).ok()?;
    let mut encoded = [0; 4];
    bytes.extend_from_slice(char::from_u32(value)?.encode_utf8(&mut encoded).as_bytes());
    text.get(length..)
}

fn digits(text: &str, length: usize) -> Option<&str> {
    text.get(..length).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_what_they_are_written_as() {
        let int = |value| Some(Number::Int(value));
        for (text, expected) in [
            ("0", int(0)),
            ("-12", int(-12)),
            ("+0x_1F", int(31)),
            ("010", int(8)),
            ("0b101", int(5)),
            ("1_000", int(1000)),
            ("-9223372036854775808", int(i64::MIN)),
            ("9223372036854775808", None),
            ("1e3", Some(Number::Float(1000.0))),
            (".5", Some(Number::Float(0.5))),
            ("0x1.8p3", Some(Number::Float(12.0))),
            ("1e400", None),
            ("1__0", None),
            ("_1", None),
            ("089", None),
            ("0x", None),
            (".", None),
            ("-", None),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
    }

    #[test]
    fn quotes_hold_escapes() {
        assert_eq!(unquote(r#""a\t\"\\\x41\101\u00e9\U0001F680'""#).unwrap(), "a\t\"\\AA\u{e9}\u{1f680}'");
        for broken in [r#""\'""#, r#""\q""#, r#""\xff""#, r#""\ud800""#, r#""\8""#, r#""\x+1""#, r#""\1é""#] {
            assert_eq!(unquote(broken), None, "{broken}");
        }
        assert_eq!(character(r"'\''"), Some('\''));
        assert_eq!(character("'é'"), Some('é'));
        for broken in ["''", "'ab'", r#"'\"'"#] {
            assert_eq!(character(broken), None, "{broken}");
        }
    }
}
