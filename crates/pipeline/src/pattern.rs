//! Glob patterns in GitHub's two dialects: the filters of a trigger (workflow syntax, "Filter pattern cheat sheet") and
//! the paths of artifacts and `hashFiles` (`@actions/glob`).
//!
//! A pattern is matched by following all of its states at once, so that no pattern takes more than its length times the
//! text's length, however hostile.

/// The longest pattern that is taken, in characters.
const CHARS_MAX: usize = 4096;

/// Why a pattern can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PatternError {
    #[error("the pattern is empty")]
    Empty,
    #[error("the pattern has more than {CHARS_MAX} characters")]
    TooLong,
    #[error("`{0}` at the start has nothing to repeat")]
    NothingToRepeat(char),
    #[error("`[` is never closed")]
    OpenClass,
    #[error("the range `{0}-{1}` is empty")]
    EmptyRange(char, char),
}

/// Which rules a pattern is read by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `branches`, `tags` and `paths`: `?` and `+` repeat the character before them.
    Filter,
    /// Artifact paths and `hashFiles`: `?` is one character, `+` is itself, and `**` stands for whole segments.
    Path,
}

/// One compiled pattern, without the `!` that may stand before it.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    atoms: Vec<(Atom, Repeat)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Atom {
    Char(char),
    NotSlash,
    Any,
    Class {
        ranges: Vec<(char, char)>,
        negated: bool,
    },
    /// Zero or more whole segments with their slashes, or nothing: what `**/` stands for.
    Segments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeat {
    Once,
    Optional,
    OneOrMore,
    ZeroOrMore,
}

impl Pattern {
    /// Compiles `text`.
    pub(crate) fn new(text: &str, dialect: Dialect) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        let chars: Vec<char> = text.chars().collect();
        if chars.len() > CHARS_MAX {
            return Err(PatternError::TooLong);
        }
        let mut atoms: Vec<(Atom, Repeat)> = Vec::new();
        let mut rest = chars.as_slice();
        let mut at_segment_start = true;
        while let [first, tail @ ..] = rest {
            rest = match (*first, tail, dialect) {
                ('*', ['*', '/', after @ ..], _) if at_segment_start => {
                    atoms.push((Atom::Segments, Repeat::Once));
                    after
                }
                ('*', ['*', after @ ..], _) => {
                    atoms.push((Atom::Any, Repeat::ZeroOrMore));
                    after
                }
                ('*', _, _) => {
                    atoms.push((Atom::NotSlash, Repeat::ZeroOrMore));
                    tail
                }
                ('?', _, Dialect::Path) => {
                    atoms.push((Atom::NotSlash, Repeat::Once));
                    tail
                }
                (mark @ ('?' | '+'), _, Dialect::Filter) => {
                    repeat_last(&mut atoms, mark)?;
                    tail
                }
                ('[', _, _) => {
                    let (class, after) = class(tail)?;
                    atoms.push((class, Repeat::Once));
                    after
                }
                ('\\', [escaped, after @ ..], _) => {
                    atoms.push((Atom::Char(*escaped), Repeat::Once));
                    after
                }
                (other, _, _) => {
                    atoms.push((Atom::Char(other), Repeat::Once));
                    tail
                }
            };
            at_segment_start = matches!(atoms.last(), Some((Atom::Char('/') | Atom::Segments, Repeat::Once)));
        }
        Ok(Self { atoms })
    }

    /// Whether the whole of `text` matches.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let mut states = vec![false; self.atoms.len() + 1];
        if let Some(first) = states.first_mut() {
            *first = true;
        }
        self.close(&mut states, true);
        for c in text.chars() {
            let mut next = vec![false; states.len()];
            for (index, (atom, repeat)) in self.atoms.iter().enumerate() {
                if !states.get(index).copied().unwrap_or(false) || !atom.accepts(c) {
                    continue;
                }
                let stays = matches!(repeat, Repeat::OneOrMore | Repeat::ZeroOrMore) || *atom == Atom::Segments;
                if stays && let Some(slot) = next.get_mut(index) {
                    *slot = true;
                }
                let leaves = *atom != Atom::Segments || c == '/';
                if leaves && let Some(slot) = next.get_mut(index + 1) {
                    *slot = true;
                }
            }
            states = next;
            self.close(&mut states, c == '/');
        }
        states.last().copied().unwrap_or(false)
    }

    /// Goes on past the atoms that may be absent. `**/` may only be left between segments.
    fn close(&self, states: &mut [bool], between_segments: bool) {
        for (index, (atom, repeat)) in self.atoms.iter().enumerate() {
            let may_be_absent = matches!(repeat, Repeat::Optional | Repeat::ZeroOrMore)
                || (*atom == Atom::Segments && between_segments);
            if may_be_absent
                && states.get(index).copied().unwrap_or(false)
                && let Some(slot) = states.get_mut(index + 1)
            {
                *slot = true;
            }
        }
    }
}

impl Atom {
    fn accepts(&self, c: char) -> bool {
        match self {
            Self::Char(own) => *own == c,
            Self::NotSlash => c != '/',
            Self::Any | Self::Segments => true,
            Self::Class { ranges, negated } => {
                c != '/' && ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
            }
        }
    }
}

fn repeat_last(atoms: &mut [(Atom, Repeat)], mark: char) -> Result<(), PatternError> {
    let wanted = if mark == '+' { Repeat::OneOrMore } else { Repeat::Optional };
    match atoms.last_mut() {
        Some((_, repeat)) => {
            *repeat = match (*repeat, wanted) {
                (Repeat::Once, _) => wanted,
                (before, now) if before == now => now,
                (Repeat::Optional | Repeat::OneOrMore | Repeat::ZeroOrMore, _) => Repeat::ZeroOrMore,
            };
            Ok(())
        }
        None => Err(PatternError::NothingToRepeat(mark)),
    }
}

/// Reads a class after its `[`; gives it and what follows its `]`.
fn class(chars: &[char]) -> Result<(Atom, &[char]), PatternError> {
    let (negated, mut rest) = match chars {
        ['!' | '^', tail @ ..] => (true, tail),
        _ => (false, chars),
    };
    let mut ranges = Vec::new();
    loop {
        rest = match rest {
            [] => return Err(PatternError::OpenClass),
            [']', tail @ ..] if !ranges.is_empty() => return Ok((Atom::Class { ranges, negated }, tail)),
            [low, '-', high, tail @ ..] if *high != ']' => {
                if low > high {
                    return Err(PatternError::EmptyRange(*low, *high));
                }
                ranges.push((*low, *high));
                tail
            }
            [one, tail @ ..] => {
                ranges.push((*one, *one));
                tail
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(dialect: Dialect, pattern: &str, yes: &[&str], no: &[&str]) {
        let compiled = Pattern::new(pattern, dialect).unwrap();
        for text in yes {
            assert!(compiled.matches(text), "{pattern} should match {text}");
        }
        for text in no {
            assert!(!compiled.matches(text), "{pattern} should not match {text}");
        }
    }

    /// The examples of GitHub's "Filter pattern cheat sheet".
    #[test]
    fn filters_match_as_githubs_documentation_says() {
        let check = |pattern, yes: &[&str], no: &[&str]| check(Dialect::Filter, pattern, yes, no);
        check("feature/*", &["feature/my-branch", "feature/your-branch"], &["feature/a/b", "feature"]);
        check("feature/**", &["feature/beta-a/my-branch", "feature/your-branch"], &["feature", "features/a"]);
        check("main", &["main"], &["main2", "xmain", "Main"]);
        check("releases/mona-the-octocat", &["releases/mona-the-octocat"], &["releases"]);
        check("*", &["main", "releases"], &["all/the/branches"]);
        check("**", &["all/the/branches", "every/tag", "x"], &[]);
        check("*feature", &["mona-feature", "feature", "ver-10-feature"], &["feature-x", "a/feature"]);
        check("v2*", &["v2", "v2.0", "v2.9"], &["v1", "v2/x"]);
        check("v[12].[0-9]+.[0-9]+", &["v1.10.1", "v2.0.0"], &["v3.0.0", "v1..1", "v1.0"]);
        check("*.jsx?", &["page.js", "page.jsx"], &["page.jsxx", "js/page.js"]);
        check("**.js", &["index.js", "js/index.js", "src/js/app.js"], &["index.ts"]);
        check("docs/*", &["docs/README.md", "docs/file.txt"], &["docs/a/b.txt"]);
        check("docs/**/*.md", &["docs/README.md", "docs/a/markdown/hello.md"], &["docs/a.txt", "xdocs/a.md"]);
        check("**/docs/**", &["docs/hello.md", "dir/docs/my-file.txt", "space/docs/plan/space.doc"], &["mydocs/x"]);
        check("**/README.md", &["README.md", "js/README.md"], &["js/xREADME.md"]);
        check("**/*src/**", &["a/src/app.js", "my-src/code/js/app.js"], &["src2/x"]);
        check("**/migrate-*.sql", &["migrate-10909.sql", "db/migrate-v1.0.sql", "db/sept/migrate-v1.sql"], &["m.sql"]);
    }

    #[test]
    fn paths_match_as_a_shell_would() {
        let check = |pattern, yes: &[&str], no: &[&str]| check(Dialect::Path, pattern, yes, no);
        check("target/?.bin", &["target/a.bin"], &["target/.bin", "target/ab.bin"]);
        check("**/*.lock", &["Cargo.lock", "a/b/c.lock"], &["Cargo.toml"]);
        check("a/**/b", &["a/b", "a/x/b", "a/x/y/b"], &["ab", "a/xb"]);
        check("a+b[!c]", &["a+bd"], &["a+bc", "aab"]);
        check("\\*", &["*"], &["x"]);
    }

    #[test]
    fn broken_patterns_say_why() {
        let error = |pattern: &str| Pattern::new(pattern, Dialect::Filter).unwrap_err();
        assert_eq!(error(""), PatternError::Empty);
        assert_eq!(error("+a"), PatternError::NothingToRepeat('+'));
        assert_eq!(error("a[bc"), PatternError::OpenClass);
        assert_eq!(error("a[z-a]"), PatternError::EmptyRange('z', 'a'));
        assert_eq!(error(&"x".repeat(CHARS_MAX + 1)), PatternError::TooLong);
    }

    #[test]
    fn a_pattern_made_to_backtrack_is_answered_at_once() {
        let hostile = "*a".repeat(500);
        assert!(!Pattern::new(&hostile, Dialect::Path).unwrap().matches(&"a".repeat(400)));
        assert!(Pattern::new(&hostile, Dialect::Path).unwrap().matches(&"a".repeat(600)));
    }

    proptest! {
        #[test]
        fn any_text_compiles_or_is_refused_and_never_panics(pattern in "\\PC{0,40}", text in "\\PC{0,40}") {
            for dialect in [Dialect::Filter, Dialect::Path] {
                if let Ok(pattern) = Pattern::new(&pattern, dialect) {
                    pattern.matches(&text);
                }
            }
        }

        #[test]
        fn a_text_without_marks_matches_itself_alone(text in "[a-z/._-]{1,30}", other in "[a-z/._-]{1,30}") {
            let pattern = Pattern::new(&text, Dialect::Filter).unwrap();
            prop_assert!(pattern.matches(&text));
            prop_assert_eq!(pattern.matches(&other), text == other);
        }
    }
}
