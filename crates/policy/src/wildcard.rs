//! Wildcards as Kyverno uses them everywhere: `*` is any text, `?` is one character. Linear space, quadratic time at
//! worst, no recursion.

/// True where the text holds a wildcard.
pub fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// True where the whole text fits the pattern.
pub fn matches(pattern: &str, text: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    if !has_wildcard(pattern) {
        return pattern == text;
    }
    match_chars(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>())
}

/// The same as a regular expression, which has to match the whole text.
pub fn expression(pattern: &str) -> String {
    let parts = pattern.chars().map(|character| match character {
        '*' => "(?s:.*)".to_owned(),
        '?' => "(?s:.)".to_owned(),
        other => regex::escape(other.encode_utf8(&mut [0; 4])),
    });
    parts.collect()
}

/// The usual two-pointer match: on a mismatch only the last star is tried again, one character further.
fn match_chars(pattern: &[char], text: &[char]) -> bool {
    let (mut at_pattern, mut at_text) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(&character) = text.get(at_text) {
        match pattern.get(at_pattern) {
            Some('*') => {
                star = Some((at_pattern, at_text));
                at_pattern += 1;
            }
            Some(&wanted) if wanted == '?' || wanted == character => {
                at_pattern += 1;
                at_text += 1;
            }
            Some(_) | None => {
                let Some((star_pattern, star_text)) = star else { return false };
                at_pattern = star_pattern + 1;
                at_text = star_text + 1;
                star = Some((star_pattern, star_text + 1));
            }
        }
    }
    pattern.get(at_pattern..).is_none_or(|rest| rest.iter().all(|&left| left == '*'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stars_and_question_marks() {
        let check = |pattern: &str, text: &str, want: bool| {
            assert_eq!(matches(pattern, text), want, "{pattern} {text}");
            let expression = regex::Regex::new(&format!(r"\A(?:{})\z", expression(pattern))).unwrap();
            assert_eq!(expression.is_match(text), want, "{expression} {text}");
        };
        check("*", "", true);
        check("?*", "", false);
        check("?*", "a", true);
        check("nginx:*", "nginx:1", true);
        check("*:latest", "x:latest", true);
        check("*:latest", "x:latest2", false);
        check("a*b*c", "a--b--b--c", true);
        check("a.c|*", "abc|", false);
        check("(a*", "(a\n", true);
        check("", "", true);
        check("", "a", false);
        check("ä?ü", "äöü", true);
    }

    #[test]
    fn hostile_patterns_end() {
        let pattern = "*a".repeat(2_000);
        assert!(!matches(&pattern, &"a".repeat(1_999)));
        assert!(!matches(&format!("{pattern}b"), &"a".repeat(5_000)));
    }

    /// The obvious recursive definition, for short inputs.
    fn slow(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), None) => slow(rest, text),
            (Some(('*', rest)), Some((_, tail))) => slow(rest, text) || slow(pattern, tail),
            (None, Some(_)) | (Some(_), None) => false,
            (Some((&wanted, rest)), Some((&got, tail))) => (wanted == '?' || wanted == got) && slow(rest, tail),
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
            let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(matches(&pattern, &text), slow(&p, &t));
        }
    }
}
