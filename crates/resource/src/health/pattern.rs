//! Lua's patterns with a budget: the library's own may take time that is exponential in the length of a text, and can't be
//! interrupted.
//!
//! Source of the language: Lua 5.2 Reference Manual, section 6.4.1 (<https://www.lua.org/manual/5.2/manual.html#6.4.1>).

use std::cell::Cell;

/// How deep a match may nest.
const DEPTH_MAX: usize = 200;
/// How many captures a pattern may have.
const CAPTURES_MAX: usize = 32;

/// Why a pattern can't be matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum PatternError {
    #[error("malformed pattern")]
    Malformed,
    #[error("invalid capture in a pattern")]
    Capture,
    #[error("a pattern is too complex")]
    Complex,
    #[error("the script takes too many steps")]
    Steps,
}

/// What was captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Capture {
    /// From and to.
    Text(usize, usize),
    /// A position.
    Position(usize),
}

#[derive(Clone, Copy)]
enum Part {
    Open(usize),
    Closed(usize, usize),
    Position(usize),
}

/// Steps that are left, shared by everything that a script does.
#[derive(Debug)]
pub(super) struct Budget(Cell<u64>);

impl Budget {
    pub(super) fn new(steps: u64) -> Self {
        Self(Cell::new(steps))
    }

    /// Takes steps away; false where there are no more.
    pub(super) fn take(&self, steps: u64) -> bool {
        let left = self.0.get();
        self.0.set(left.saturating_sub(steps));
        left > steps
    }

    pub(super) fn is_spent(&self) -> bool {
        self.0.get() == 0
    }
}

/// Matches one pattern against one text.
pub(super) struct Matcher<'a> {
    text: &'a [u8],
    pattern: &'a [u8],
    parts: Vec<Part>,
    budget: &'a Budget,
}

type Found = Result<Option<usize>, PatternError>;

impl<'a> Matcher<'a> {
    pub(super) fn new(text: &'a [u8], pattern: &'a [u8], budget: &'a Budget) -> Self {
        Self { text, pattern, parts: Vec::new(), budget }
    }

    /// The first match at or after a place: where it begins and ends.
    pub(super) fn search(&mut self, from: usize) -> Result<Option<(usize, usize)>, PatternError> {
        let anchored = self.pattern.first() == Some(&b'^');
        let mut at = from;
        while at <= self.text.len() {
            self.parts.clear();
            if let Some(end) = self.matched(at, usize::from(anchored), 0)? {
                return Ok(Some((at, end)));
            }
            if anchored {
                break;
            }
            at += 1;
        }
        Ok(None)
    }

    /// What the last match captured; the whole match where nothing else was.
    pub(super) fn captures(&self, whole: (usize, usize)) -> Result<Vec<Capture>, PatternError> {
        if self.parts.is_empty() {
            return Ok(vec![Capture::Text(whole.0, whole.1)]);
        }
        let made = self.parts.iter().map(|part| match part {
            Part::Closed(from, to) => Ok(Capture::Text(*from, *to)),
            Part::Position(at) => Ok(Capture::Position(*at)),
            Part::Open(_) => Err(PatternError::Malformed),
        });
        made.collect()
    }

    /// Whether the last match captured anything.
    pub(super) fn has_captures(&self) -> bool {
        !self.parts.is_empty()
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.get(at).copied()
    }

    fn sign(&self, at: usize) -> Option<u8> {
        self.pattern.get(at).copied()
    }

    fn matched(&mut self, mut at: usize, mut sign: usize, depth: usize) -> Found {
        if depth > DEPTH_MAX {
            return Err(PatternError::Complex);
        }
        loop {
            if !self.budget.take(1) {
                return Err(PatternError::Steps);
            }
            let Some(first) = self.sign(sign) else { return Ok(Some(at)) };
            match (first, self.sign(sign + 1)) {
                (b'(', Some(b')')) => return self.within(Part::Position(at), at, sign + 2, depth),
                (b'(', _) => return self.within(Part::Open(at), at, sign + 1, depth),
                (b')', _) => return self.close(at, sign + 1, depth),
                (b'$', None) => return Ok((at == self.text.len()).then_some(at)),
                (b'%', Some(b'b')) => match self.balanced(at, sign + 2)? {
                    Some(end) => (at, sign) = (end, sign + 4),
                    None => return Ok(None),
                },
                (b'%', Some(b'f')) => match self.frontier(at, sign + 2)? {
                    Some(next) => sign = next,
                    None => return Ok(None),
                },
                (b'%', Some(digit)) if digit.is_ascii_digit() => match self.repeated(at, digit)? {
                    Some(end) => (at, sign) = (end, sign + 2),
                    None => return Ok(None),
                },
                _ => {
                    let end = self.class_end(sign)?;
                    match self.sign(end) {
                        Some(b'?') => {
                            if self.single(at, sign, end)
                                && let Some(found) = self.matched(at + 1, end + 1, depth + 1)?
                            {
                                return Ok(Some(found));
                            }
                            sign = end + 1;
                        }
                        Some(b'*') => return self.longest(at, 0, sign, end, depth),
                        Some(b'+') => return self.longest(at, 1, sign, end, depth),
                        Some(b'-') => return self.shortest(at, sign, end, depth),
                        _ if self.single(at, sign, end) => (at, sign) = (at + 1, end),
                        _ => return Ok(None),
                    }
                }
            }
        }
    }

    /// Goes on within a new capture, and forgets it where that fails.
    fn within(&mut self, part: Part, at: usize, sign: usize, depth: usize) -> Found {
        if self.parts.len() >= CAPTURES_MAX {
            return Err(PatternError::Complex);
        }
        self.parts.push(part);
        let open = self.parts.len();
        let found = self.matched(at, sign, depth + 1)?;
        if found.is_none() {
            self.parts.truncate(open - 1);
        }
        Ok(found)
    }

    fn close(&mut self, at: usize, sign: usize, depth: usize) -> Found {
        let open = self.parts.iter().rposition(|part| matches!(part, Part::Open(_))).ok_or(PatternError::Capture)?;
        let Some(part) = self.parts.get_mut(open) else { return Err(PatternError::Capture) };
        let before = *part;
        if let Part::Open(from) = before {
            *part = Part::Closed(from, at);
        }
        let found = self.matched(at, sign, depth + 1)?;
        if found.is_none()
            && let Some(part) = self.parts.get_mut(open)
        {
            *part = before;
        }
        Ok(found)
    }

    fn longest(&mut self, at: usize, least: usize, sign: usize, end: usize, depth: usize) -> Found {
        let mut count = 0;
        while self.single(at + count, sign, end) {
            count += 1;
        }
        if !self.budget.take(count as u64) {
            return Err(PatternError::Steps);
        }
        loop {
            if count < least {
                return Ok(None);
            }
            if let Some(found) = self.matched(at + count, end + 1, depth + 1)? {
                return Ok(Some(found));
            }
            let Some(fewer) = count.checked_sub(1) else { return Ok(None) };
            count = fewer;
        }
    }

    fn shortest(&mut self, mut at: usize, sign: usize, end: usize, depth: usize) -> Found {
        loop {
            if let Some(found) = self.matched(at, end + 1, depth + 1)? {
                return Ok(Some(found));
            }
            if !self.single(at, sign, end) {
                return Ok(None);
            }
            at += 1;
        }
    }

    fn balanced(&self, at: usize, sign: usize) -> Found {
        let (Some(open), Some(close)) = (self.sign(sign), self.sign(sign + 1)) else {
            return Err(PatternError::Malformed);
        };
        if self.byte(at) != Some(open) {
            return Ok(None);
        }
        let mut level = 1_usize;
        for (offset, byte) in self.text.iter().enumerate().skip(at + 1) {
            if !self.budget.take(1) {
                return Err(PatternError::Steps);
            }
            if *byte == close {
                level -= 1;
                if level == 0 {
                    return Ok(Some(offset + 1));
                }
            } else if *byte == open {
                level += 1;
            }
        }
        Ok(None)
    }

    /// The sign after a frontier that lies here.
    fn frontier(&self, at: usize, sign: usize) -> Found {
        if self.sign(sign) != Some(b'[') {
            return Err(PatternError::Malformed);
        }
        let end = self.class_end(sign)?;
        let before = at.checked_sub(1).and_then(|before| self.byte(before)).unwrap_or(0);
        let here = self.byte(at).unwrap_or(0);
        let lies = !self.in_set(before, sign, end) && self.in_set(here, sign, end);
        Ok(lies.then_some(end))
    }

    fn repeated(&self, at: usize, digit: u8) -> Found {
        let number = usize::from(digit - b'0').checked_sub(1).ok_or(PatternError::Capture)?;
        let Some(Part::Closed(from, to)) = self.parts.get(number).copied() else { return Err(PatternError::Capture) };
        let captured = self.text.get(from..to).unwrap_or_default();
        if !self.budget.take(captured.len() as u64) {
            return Err(PatternError::Steps);
        }
        let same = self.text.get(at..).is_some_and(|rest| rest.starts_with(captured));
        Ok(same.then_some(at + captured.len()))
    }

    /// Where the item that begins at a sign ends.
    fn class_end(&self, sign: usize) -> Result<usize, PatternError> {
        match self.sign(sign) {
            Some(b'%') => self.sign(sign + 1).map(|_| sign + 2).ok_or(PatternError::Malformed),
            Some(b'[') => {
                let mut at = sign + 1 + usize::from(self.sign(sign + 1) == Some(b'^'));
                loop {
                    // The first sign is in the set even where it is the bracket.
                    at += if self.sign(at).ok_or(PatternError::Malformed)? == b'%' { 2 } else { 1 };
                    if self.sign(at).ok_or(PatternError::Malformed)? == b']' {
                        return Ok(at + 1);
                    }
                }
            }
            Some(_) => Ok(sign + 1),
            None => Err(PatternError::Malformed),
        }
    }

    fn single(&self, at: usize, sign: usize, end: usize) -> bool {
        let Some(byte) = self.byte(at) else { return false };
        match self.sign(sign) {
            Some(b'.') => true,
            Some(b'%') => self.sign(sign + 1).is_some_and(|class| in_class(byte, class)),
            Some(b'[') => self.in_set(byte, sign, end),
            Some(other) => other == byte,
            None => false,
        }
    }

    fn in_set(&self, byte: u8, sign: usize, end: usize) -> bool {
        let negated = self.sign(sign + 1) == Some(b'^');
        let mut at = sign + 1 + usize::from(negated);
        let last = end.saturating_sub(1);
        while at < last {
            let Some(here) = self.sign(at) else { break };
            if here == b'%' {
                if self.sign(at + 1).is_some_and(|class| in_class(byte, class)) {
                    return !negated;
                }
                at += 2;
            } else if self.sign(at + 1) == Some(b'-') && at + 2 < last {
                if self.sign(at + 2).is_some_and(|to| (here..=to).contains(&byte)) {
                    return !negated;
                }
                at += 3;
            } else if here == byte {
                return !negated;
            } else {
                at += 1;
            }
        }
        negated
    }
}

fn in_class(byte: u8, class: u8) -> bool {
    let is = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'g' => byte.is_ascii_graphic(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => byte.is_ascii_whitespace() || byte == 0x0b,
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return class == byte,
    };
    is != class.is_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, pattern: &str) -> Result<Option<Vec<String>>, PatternError> {
        let budget = Budget::new(1_000_000);
        let mut matcher = Matcher::new(text.as_bytes(), pattern.as_bytes(), &budget);
        let Some(whole) = matcher.search(0)? else { return Ok(None) };
        let captures = matcher.captures(whole)?;
        let shown = |capture: Capture| match capture {
            Capture::Text(from, to) => text[from..to].to_owned(),
            Capture::Position(at) => (at + 1).to_string(),
        };
        Ok(Some(captures.into_iter().map(shown).collect()))
    }

    fn found(text: &str, pattern: &str, captures: &[&str]) {
        let expected = captures.iter().map(|one| (*one).to_owned()).collect();
        assert_eq!(check(text, pattern), Ok(Some(expected)), "{text} {pattern}");
    }

    #[test]
    fn patterns_match_as_the_manual_says() {
        found("hello world", "o w", &["o w"]);
        found("2024-05-06T07:08:09Z", "(%d+)-(%d+)-(%d+)T", &["2024", "05", "06"]);
        found("  key = value  ", "^%s*(%S+)%s*=%s*(%S+)%s*$", &["key", "value"]);
        found("aaab", "a-b", &["aaab"]);
        found("aaab", "a*", &["aaa"]);
        found("<a><b>", "<(.-)>", &["a"]);
        found("x(a(b)c)y", "%b()", &["(a(b)c)"]);
        found("THE (quick) fox", "%f[%a]%a+%f[%A]", &["THE"]);
        found("abcabc", "(abc)%1", &["abc"]);
        found("hello", "()ll()", &["3", "5"]);
        found("a]b", "[]]", &["]"]);
        found("a-b", "[a%-]+", &["a-"]);
        found("xyz", "[^x]+", &["yz"]);
        found("colour", "colou?r", &["colour"]);
        found("a.b", "%.", &["."]);
        found("5%", "%d%%", &["5%"]);
        found("", "", &[""]);
        assert_eq!(check("abc", "^b"), Ok(None));
        assert_eq!(check("abc", "b$"), Ok(None));
        for wrong in ["[", "[a", "%", "(", ")", "%1", "%b", "%bx", "%f", "[%"] {
            assert!(check("abc%(", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn work_is_bounded() {
        let text = "a".repeat(3_000);
        assert_eq!(check(&text, ".-.-.-.-b"), Err(PatternError::Steps));
        assert_eq!(check(&text, &"a?".repeat(1_000)), Err(PatternError::Complex));
        assert_eq!(check(&text, &"(".repeat(50)), Err(PatternError::Complex));
    }
}
