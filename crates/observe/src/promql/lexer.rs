//! From text to tokens.
//!
//! Source: Prometheus documentation, "Querying basics"; Prometheus 2.42, `promql/parser/lex.go`, whose odd corners are kept:
//! a number that begins with 0 is octal if it can be, and a newline ends a quoted string but not one in backticks.

use super::error::{ParseError, Reason};
use prograde_model::duration;

/// A token.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A name or a keyword; which of them, the parser knows.
    Word(String),
    /// A number.
    Number(f64),
    /// Milliseconds.
    Duration(i64),
    /// A string, without quotes and escapes.
    Text(String),
    /// Anything else, as it is written.
    Sign(&'static str),
    /// The end of the text.
    End,
}

impl Token {
    /// For messages.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Word(word) => format!("{word:?}"),
            Self::Number(number) => format!("number {number}"),
            Self::Duration(_) => "duration".to_owned(),
            Self::Text(_) => "string".to_owned(),
            Self::Sign(sign) => format!("{sign:?}"),
            Self::End => "end of the query".to_owned(),
        }
    }
}

/// Longer signs first.
const SIGNS: [&str; 24] = [
    "==", "!=", "=~", "!~", "<=", ">=", "=", "<", ">", "+", "-", "*", "/", "%", "^", "(", ")", "{", "}", "[", "]", ",",
    ":", "@",
];

/// All tokens with where they begin, in bytes. The last is [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, ParseError> {
    let mut lexer = Lexer { text, at: 0, in_brackets: false, in_braces: false };
    let mut found = Vec::new();
    loop {
        lexer.skip_space();
        let at = lexer.at;
        let token = lexer.next().map_err(|reason| ParseError::new(text, at, reason))?;
        let ends = token == Token::End;
        found.push((at, token));
        if ends {
            return Ok(found);
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    in_brackets: bool,
    in_braces: bool,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r']);
            self.at += rest.len() - trimmed.len();
            if !trimmed.starts_with('#') {
                return;
            }
            self.at += trimmed.find(['\n', '\r']).unwrap_or(trimmed.len());
        }
    }

    fn next(&mut self) -> Result<Token, Reason> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(Token::End) };
        let second_is_digit = rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
        match first {
            '"' | '\'' | '`' => self.string(first),
            '0'..='9' if !self.in_braces => self.number(),
            '.' if second_is_digit && !self.in_braces => self.number(),
            'a'..='z' | 'A'..='Z' | '_' => Ok(self.word()),
            ':' if !self.in_brackets && !self.in_braces => Ok(self.word()),
            other => self.sign().ok_or(Reason::Character(other)),
        }
    }

    /// Letters, digits and underscores; colons as well where a metric's name may be.
    fn word(&mut self) -> Token {
        let in_braces = self.in_braces;
        let ends = |c: char| !(c.is_ascii_alphanumeric() || c == '_' || (c == ':' && !in_braces));
        let rest = self.rest();
        let (word, _) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
        self.at += word.len();
        Token::Word(word.to_owned())
    }

    fn sign(&mut self) -> Option<Token> {
        let rest = self.rest();
        let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign))?;
        let only_in_braces = matches!(sign, "=~" | "!~" | "=");
        let anywhere = matches!(sign, "{" | "}" | "," | "!=");
        // `a{b==c}` has two equal signs, each on its own.
        let sign = if self.in_braces && sign == "==" { "=" } else { sign };
        if !anywhere && sign != "=" && only_in_braces != self.in_braces {
            return None;
        }
        match sign {
            "{" => self.in_braces = true,
            "}" => self.in_braces = false,
            "[" => self.in_brackets = true,
            "]" => self.in_brackets = false,
            _ => {}
        }
        self.at += sign.len();
        Some(Token::Sign(sign))
    }

    /// A number or a duration: all that looks like the one or the other, and nothing alphanumeric after it.
    fn number(&mut self) -> Result<Token, Reason> {
        let rest = self.rest();
        let mut end = 0;
        let mut before = ' ';
        let is_hex = rest.starts_with("0x") || rest.starts_with("0X");
        for c in rest.chars() {
            let signs_exponent = matches!(c, '+' | '-') && matches!(before, 'e' | 'E') && !is_hex;
            if !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.') || signs_exponent) {
                break;
            }
            end += c.len_utf8();
            before = c;
        }
        let text = rest.get(..end).unwrap_or_default();
        self.at += end;
        if let Some(number) = number(text) {
            return Ok(Token::Number(number));
        }
        let looks_like_duration = text.ends_with(['s', 'm', 'h', 'd', 'w', 'y']) && !text.contains(['.', '_']);
        match duration::parse(text) {
            Some(ms) => Ok(Token::Duration(ms)),
            None if looks_like_duration => Err(Reason::Duration),
            None => Err(Reason::Number(text.to_owned())),
        }
    }

    fn string(&mut self, quote: char) -> Result<Token, Reason> {
        let inside = self.rest().get(1..).unwrap_or_default();
        if quote == '`' {
            let end = inside.find('`').ok_or(Reason::UnterminatedString)?;
            self.at += end + 2;
            // As Go reads raw strings.
            return Ok(Token::Text(inside.get(..end).unwrap_or_default().replace('\r', "")));
        }
        let mut bytes = Vec::new();
        let mut rest = inside;
        while let Some(first) = rest.chars().next() {
            match first {
                '\n' => break,
                '\\' => rest = escape(rest.get(1..).unwrap_or_default(), quote, &mut bytes)?,
                other => {
                    rest = rest.get(other.len_utf8()..).unwrap_or_default();
                    if other == quote {
                        self.at = self.text.len() - rest.len();
                        return String::from_utf8(bytes).map(Token::Text).map_err(|_| Reason::NotUtf8);
                    }
                    bytes.extend(other.encode_utf8(&mut [0; 4]).bytes());
                }
            }
        }
        Err(Reason::UnterminatedString)
    }
}

/// Reads what follows a backslash; gives what is left. Source: Go's specification, "Rune literals".
fn escape<'a>(tail: &'a str, quote: char, bytes: &mut Vec<u8>) -> Result<&'a str, Reason> {
    let letter = tail.chars().next().ok_or(Reason::UnterminatedString)?;
    let after = tail.get(letter.len_utf8()..).unwrap_or_default();
    let digits = |text: &'a str, count: usize, radix: u32| -> Result<(u32, &'a str), Reason> {
        let digits = text.get(..count).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let value = digits.and_then(|digits| u32::from_str_radix(digits, radix).ok()).ok_or(Reason::Escape)?;
        Ok((value, text.get(count..).unwrap_or_default()))
    };
    let simple = match letter {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' => b'\\',
        '"' | '\'' if letter == quote => u8::try_from(letter).map_err(|_| Reason::Escape)?,
        'x' | '0'..='7' => {
            let (value, after) = if letter == 'x' { digits(after, 2, 16)? } else { digits(tail, 3, 8)? };
            bytes.push(u8::try_from(value).map_err(|_| Reason::Escape)?);
            return Ok(after);
        }
        'u' | 'U' => {
            let (value, after) = digits(after, if letter == 'u' { 4 } else { 8 }, 16)?;
            let character = char::from_u32(value).ok_or(Reason::Escape)?;
            bytes.extend(character.encode_utf8(&mut [0; 4]).bytes());
            return Ok(after);
        }
        _ => return Err(Reason::Escape),
    };
    bytes.push(simple);
    Ok(after)
}

/// A number as Go's `ParseInt` with any base reads it, or else its `ParseFloat`, less what PromQL's lexer does not take.
fn number(text: &str) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a number is a float; so does Prometheus read it")]
    let float = |integer: i64| integer as f64;
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        let digits = Some(digits).filter(|digits| !digits.starts_with('+'));
        return digits.and_then(|digits| i64::from_str_radix(digits, 16).ok()).map(float);
    }
    let octal = text.strip_prefix('0').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    if let Some(integer) = octal.and_then(|digits| i64::from_str_radix(digits, 8).ok()) {
        return Some(float(integer));
    }
    // Rust reads words such as "infinity" as numbers too; none begins with a digit or a point.
    text.parse::<f64>().ok().filter(|number| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Token> {
        tokens(text).unwrap().into_iter().map(|(_, token)| token).collect()
    }

    #[test]
    fn numbers_durations_strings_and_words() {
        let word = |text: &str| Token::Word(text.to_owned());
        let text = |text: &str| Token::Text(text.to_owned());
        let numbers = read("0x1F 017 08 1.5e3 .5 5. 1e-2");
        let values = [31.0, 15.0, 8.0, 1500.0, 0.5, 5.0, 0.01].map(Token::Number);
        assert_eq!(numbers[..7], values);
        assert_eq!(read("a:b # c\n5m")[..2], [word("a:b"), Token::Duration(300_000)]);
        assert_eq!(read(r#""a\"\x41\101\u00e9\n" 'b"' `\n`"#)[..3], [text("a\"AAé\n"), text("b\""), text("\\n")]);
        assert_eq!(read("1e5-2")[..3], [Token::Number(1e5), Token::Sign("-"), Token::Number(2.0)]);
    }

    #[test]
    fn refusals_say_where() {
        for (text, expected) in [
            ("1 +\n é", "2:2: unexpected character 'é'"),
            (
                "a[1m1h]",
                "1:3: a duration has units from large to small, such as 1h30m, and is more than 0 and less than 292 years",
            ),
            ("1_000", "1:1: bad number or duration \"1_000\""),
            ("1e400", "1:1: bad number or duration \"1e400\""),
            ("'a\nb'", "1:1: the string has no end"),
            (r#""\xff""#, "1:1: the string's escapes give bytes that are not UTF-8"),
            (r#""\q""#, "1:1: unknown escape sequence"),
            ("a =~ b", "1:3: unexpected character '='"),
        ] {
            assert_eq!(tokens(text).unwrap_err().to_string(), expected, "{text}");
        }
    }
}
