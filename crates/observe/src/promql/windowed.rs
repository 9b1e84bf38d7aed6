//! A query of counters made one of a window: every selector becomes a function of its samples in the window.

use super::error::{ParseError, Reason};
use super::lexer::{self, Token};

/// Words that take labels in parentheses.
const LABELLED: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
/// Words that are no metric's name. `offset` would move the window.
const KEYWORDS: [&str; 7] = ["and", "or", "unless", "bool", "atan2", "inf", "nan"];

/// The text with `function(selector[range])` in the place of each selector. The text must hold no range of its own, and
/// nothing that moves a selector in time.
pub(crate) fn windowed(text: &str, function: &str, range: &str) -> Result<String, ParseError> {
    let tokens = lexer::tokens(text)?;
    let refuse = |at: usize, name: &str| {
        let why = "it can't stand in a query that is to be asked over windows";
        Err(ParseError::new(text, at, Reason::Unsupported { name: name.to_owned(), why }))
    };
    let (mut written, mut copied, mut at) = (String::new(), 0, 0);
    while let Some((start, token)) = tokens.get(at) {
        let is_sign = |offset: usize, sign: &str| matches!(tokens.get(at + offset), Some((_, Token::Sign(found))) if *found == sign);
        match token {
            Token::Sign("[") => return refuse(*start, "a range"),
            Token::Sign("@") => return refuse(*start, "`@`"),
            Token::Word(word) if word.eq_ignore_ascii_case("offset") => return refuse(*start, "`offset`"),
            Token::Word(word) if is_one_of(word, &LABELLED) && is_sign(1, "(") => {
                while !is_closed(tokens.get(at), ")") {
                    at += 1;
                }
            }
            Token::Word(word)
                if is_one_of(word, &KEYWORDS) || is_sign(1, "(") || is_aggregation(tokens.get(at + 1)) => {}
            Token::Word(_) | Token::Sign("{") => {
                let mut end = at;
                if is_sign(0, "{") || is_sign(1, "{") {
                    while !is_closed(tokens.get(end), "}") {
                        end += 1;
                    }
                }
                let stop = tokens.get(end).map_or(text.len(), |(begins, last)| begins + width(last));
                let before = text.get(copied..*start).unwrap_or_default();
                let selector = text.get(*start..stop).unwrap_or_default();
                written.extend([before, function, "(", selector, "[", range, "])"]);
                (copied, at) = (stop, end);
            }
            Token::Sign(_) | Token::Number(_) | Token::Duration(_) | Token::Text(_) | Token::End => {}
        }
        at += 1;
    }
    written.push_str(text.get(copied..).unwrap_or_default());
    Ok(written)
}

fn is_one_of(word: &str, words: &[&str]) -> bool {
    words.iter().any(|one| word.eq_ignore_ascii_case(one))
}

/// `sum by (job) (...)`: what stands before `by` is no metric.
fn is_aggregation(next: Option<&(usize, Token)>) -> bool {
    matches!(next, Some((_, Token::Word(word))) if is_one_of(word, &["by", "without"]))
}

/// Whether a sign stands there, or nothing does any more.
fn is_closed(token: Option<&(usize, Token)>, sign: &str) -> bool {
    match token {
        Some((_, Token::Sign(found))) => *found == sign,
        Some((_, Token::End)) | None => true,
        Some((_, Token::Word(_) | Token::Number(_) | Token::Duration(_) | Token::Text(_))) => false,
    }
}

/// How many bytes a word or a sign has in the text.
fn width(token: &Token) -> usize {
    match token {
        Token::Word(word) => word.len(),
        Token::Sign(sign) => sign.len(),
        Token::Number(_) | Token::Duration(_) | Token::Text(_) | Token::End => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let written = windowed(text, "rate", "5m").unwrap();
        assert_eq!(written, expected);
        crate::promql::parse(&written).unwrap();
    }

    #[test]
    fn every_selector_is_taken_over_the_window() {
        check("http_requests_total", "rate(http_requests_total[5m])");
        check("sum(a{code=~\"5..|}\"})", "sum(rate(a{code=~\"5..|}\"}[5m]))");
        check("sum by (job) (a) - on(job) b{x='1'}", "sum by (job) (rate(a[5m])) - on(job) rate(b{x='1'}[5m])");
        check(
            "sum(a) without (pod) or {__name__=\"b\"}",
            "sum(rate(a[5m])) without (pod) or rate({__name__=\"b\"}[5m])",
        );
        check("a + 2 * clamp_min(b, 1)", "rate(a[5m]) + 2 * clamp_min(rate(b[5m]), 1)");
        check("a * on(job) group_left(x, y) b # c", "rate(a[5m]) * on(job) group_left(x, y) rate(b[5m]) # c");
    }

    #[test]
    fn what_has_a_time_of_its_own_is_refused() {
        for text in ["sum(rate(a[5m]))", "a offset 1h", "a @ 5", "max_over_time(a[1h:1m])", "a{"] {
            let broken = windowed(text, "rate", "5m").and_then(|text| crate::promql::parse(&text));
            assert!(broken.is_err(), "{text}");
        }
    }
}
