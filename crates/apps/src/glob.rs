//! The three kinds of patterns that Argo CD uses: Go's `path.Match` for directories, Git's pathspecs for files, and
//! `gobwas/glob` for addresses and names in projects. All in time bounded by pattern times text.

/// The longest pattern, in characters.
pub const PATTERN_LETTERS_MAX: usize = 1_000;
/// The longest text that is compared, in characters.
const TEXT_LETTERS_MAX: usize = 4_096;

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq)]
enum Part {
    /// This letter.
    Letter(char),
    /// Any letter; whether that includes separators.
    One(bool),
    /// Any number of letters; whether that includes separators.
    Many(bool),
    /// One of these ranges, or none of them.
    Class(Vec<(char, char)>, bool),
}

/// Why a pattern can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no pattern")]
pub struct PatternError(String);

/// A pattern with its alternatives.
#[derive(Debug, Clone)]
pub struct Glob {
    alternatives: Vec<Vec<Part>>,
    separator: Option<char>,
}

impl Glob {
    /// As Go's `path.Match`: `*` and `?` stay within one directory.
    pub fn directory(pattern: &str) -> Result<Self, PatternError> {
        let parts = parse(pattern, Rules { stars: false, separator: Some('/'), not: '^', braces: false })?;
        Ok(Self { alternatives: parts, separator: Some('/') })
    }

    /// As Git's pathspecs: `*` matches across directories, and a directory's name all that is in it.
    pub fn pathspec(pattern: &str) -> Result<Self, PatternError> {
        let pattern = pattern.strip_prefix("./").unwrap_or(pattern);
        let parts = parse(pattern, Rules { stars: true, separator: None, not: '!', braces: false })?;
        Ok(Self { alternatives: parts, separator: None })
    }

    /// As `gobwas/glob`: `*` stays between separators where there is one, `**` does not; `{a,b}` has alternatives.
    pub fn gobwas(pattern: &str, separator: Option<char>) -> Result<Self, PatternError> {
        let parts = parse(pattern, Rules { stars: true, separator, not: '!', braces: true })?;
        Ok(Self { alternatives: parts, separator })
    }

    /// Whether the whole text matches.
    pub fn is_match(&self, text: &str) -> bool {
        let letters: Vec<char> = text.chars().take(TEXT_LETTERS_MAX + 1).collect();
        letters.len() <= TEXT_LETTERS_MAX && self.alternatives.iter().any(|parts| self.matches(parts, &letters))
    }

    /// Whether the text, or a directory that it is in, matches.
    pub fn is_match_within(&self, path: &str) -> bool {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        ends.into_iter().any(|end| path.get(..end).is_some_and(|dir| self.is_match(dir)))
    }

    /// All positions that can be reached after each part.
    fn matches(&self, parts: &[Part], letters: &[char]) -> bool {
        let mut reached = vec![false; letters.len() + 1];
        if let Some(first) = reached.first_mut() {
            *first = true;
        }
        for part in parts {
            let mut next = vec![false; letters.len() + 1];
            if let (Part::Many(all), Some(first), Some(start)) = (part, next.first_mut(), reached.first()) {
                let _ = all;
                *first = *start;
            }
            for (index, letter) in letters.iter().enumerate() {
                let here = reached.get(index).copied().unwrap_or(false);
                let arrives = match part {
                    Part::Many(all) => {
                        let before = next.get(index).copied().unwrap_or(false);
                        reached.get(index + 1).copied().unwrap_or(false) || (before && (*all || !self.parts(*letter)))
                    }
                    Part::One(all) => here && (*all || !self.parts(*letter)),
                    Part::Letter(wanted) => here && wanted == letter,
                    Part::Class(ranges, not) => {
                        let inside = ranges.iter().any(|(from, to)| from <= letter && letter <= to);
                        here && inside != *not && !self.parts(*letter)
                    }
                };
                if let Some(place) = next.get_mut(index + 1) {
                    *place = arrives;
                }
            }
            reached = next;
        }
        reached.last().copied().unwrap_or(false)
    }

    fn parts(&self, letter: char) -> bool {
        self.separator == Some(letter)
    }
}

#[derive(Clone, Copy)]
struct Rules {
    /// Whether `**` means more than `*`.
    stars: bool,
    separator: Option<char>,
    /// What negates a class.
    not: char,
    /// Whether `{a,b}` has a meaning.
    braces: bool,
}

fn parse(pattern: &str, rules: Rules) -> Result<Vec<Vec<Part>>, PatternError> {
    let wrong = || PatternError(pattern.chars().take(80).collect());
    if pattern.chars().count() > PATTERN_LETTERS_MAX {
        return Err(wrong());
    }
    let texts = if rules.braces { expanded(pattern).ok_or_else(wrong)? } else { vec![pattern.to_owned()] };
    texts.iter().map(|text| sequence(text, rules).ok_or_else(wrong)).collect()
}

/// `{a,b}` written out; not nested, and not more than 64 times.
fn expanded(pattern: &str) -> Option<Vec<String>> {
    let mut done = vec![String::new()];
    let mut rest = pattern;
    while let Some(at) = rest.find(['{', '\\']) {
        let (before, after) = rest.split_at_checked(at)?;
        for text in &mut done {
            text.push_str(before);
        }
        if after.starts_with('\\') {
            let mut letters = after.chars();
            let pair: String = letters.by_ref().take(2).collect();
            for text in &mut done {
                text.push_str(&pair);
            }
            rest = letters.as_str();
            continue;
        }
        let (inside, tail) = after.strip_prefix('{')?.split_once('}')?;
        if inside.contains('{') {
            return None;
        }
        let choices: Vec<&str> = inside.split(',').collect();
        if done.len() * choices.len() > 64 {
            return None;
        }
        done = done.iter().flat_map(|text| choices.iter().map(move |choice| format!("{text}{choice}"))).collect();
        rest = tail;
    }
    for text in &mut done {
        text.push_str(rest);
    }
    Some(done)
}

fn sequence(text: &str, rules: Rules) -> Option<Vec<Part>> {
    let mut letters = text.chars().peekable();
    let mut parts = Vec::new();
    while let Some(letter) = letters.next() {
        parts.push(match letter {
            '*' => {
                let mut count = 1;
                while letters.next_if_eq(&'*').is_some() {
                    count += 1;
                }
                Part::Many(rules.separator.is_none() || (rules.stars && count > 1))
            }
            '?' => Part::One(rules.separator.is_none()),
            '\\' => Part::Letter(letters.next()?),
            '[' => class(&mut letters, rules.not)?,
            letter => Part::Letter(letter),
        });
    }
    Some(parts)
}

fn class(letters: &mut std::iter::Peekable<std::str::Chars<'_>>, not: char) -> Option<Part> {
    let negated = letters.next_if(|letter| *letter == not || (not == '!' && *letter == '^')).is_some();
    let mut ranges = Vec::new();
    loop {
        let mut from = letters.next()?;
        if from == ']' && !ranges.is_empty() {
            return Some(Part::Class(ranges, negated));
        }
        if from == '\\' {
            from = letters.next()?;
        }
        let mut to = from;
        if letters.next_if_eq(&'-').is_some() {
            match letters.next()? {
                ']' => {
                    ranges.push((from, from));
                    ranges.push(('-', '-'));
                    return Some(Part::Class(ranges, negated));
                }
                '\\' => to = letters.next()?,
                end => to = end,
            }
        }
        ranges.push((from, to));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(glob: Result<Glob, PatternError>, yes: &[&str], no: &[&str]) {
        let glob = glob.unwrap();
        for text in yes {
            assert!(glob.is_match(text), "{glob:?} {text}");
        }
        for text in no {
            assert!(!glob.is_match(text), "{glob:?} {text}");
        }
    }

    #[test]
    fn each_kind_matches_as_its_library_does() {
        check(Glob::directory("add-ons/*"), &["add-ons/a", "add-ons/"], &["add-ons", "add-ons/a/b", "x/add-ons/a"]);
        check(Glob::directory("**"), &["a"], &["a/b"]);
        check(Glob::directory("[a-c]?/x"), &["a1/x", "c_/x"], &["d1/x", "a//x"]);
        check(Glob::pathspec("c/**/config.json"), &["c/a/config.json", "c/a/b/config.json"], &["c/config.json"]);
        check(Glob::pathspec("*.yaml"), &["a/b.yaml", "c.yaml"], &["a.yml"]);
        check(Glob::gobwas("https://x/*", Some('/')), &["https://x/a"], &["https://x/a/b", "https://y/a"]);
        check(Glob::gobwas("https://x/**", Some('/')), &["https://x/a/b"], &["https://y/a"]);
        check(Glob::gobwas("{dev,test}-*", None), &["dev-1", "test-a/b"], &["prod-1", "dev"]);
        assert!(Glob::pathspec("a").unwrap().is_match_within("a/b/c"));
        for wrong in ["[", "[a", "a\\", "[]"] {
            assert!(Glob::directory(wrong).is_err(), "{wrong}");
        }
        assert!(Glob::gobwas("{a{b}}", None).is_err() && Glob::gobwas("{a", None).is_err());
    }

    #[test]
    fn hostile_patterns_end() {
        let glob = Glob::pathspec(&"*a".repeat(400)).unwrap();
        assert!(!glob.is_match(&"a".repeat(300)));
        assert!(Glob::directory(&"*".repeat(2_000)).is_err());
        assert!(Glob::gobwas(&"{a,b}".repeat(20), None).is_err());
    }
}
