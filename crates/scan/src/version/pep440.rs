//! Python's versions: PEP 440, "Summary of permitted suffixes and relative ordering" and "Normalization".

use super::{Number, digits_only};

/// The parts in the order in which they count.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    epoch: Digits,
    release: Vec<Digits>,
    pre: Stage,
    post: Option<Digits>,
    dev: Dev,
    local: Option<Vec<Local>>,
}

/// Where a version stands before its release: a development release of nothing else, a pre-release, or none.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    BeforeAll,
    Pre(u8, Digits),
    Released,
}

/// A development release stands before what it leads to.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Dev {
    Numbered(Digits),
    None,
}

/// Texts stand before numbers.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Local {
    Text(String),
    Number(Digits),
}

/// A number of any length that owns its digits.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Digits(String);

impl Digits {
    fn new(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Ord for Digits {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        Number(&self.0).cmp(&Number(&other.0))
    }
}

impl PartialOrd for Digits {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// None where the text is no version.
pub(super) fn parse(text: &str) -> Option<Version> {
    let text = text.to_ascii_lowercase();
    let text = text.strip_prefix('v').unwrap_or(&text);
    let (public, local) = text.split_once('+').map_or((text, None), |(public, local)| (public, Some(local)));
    let local = local.map_or(Some(None), |local| local_parts(local).map(Some))?;
    let (epoch, rest) = public.split_once('!').map_or(("0", public), |(epoch, rest)| (epoch, rest));
    if !digits_only(epoch) {
        return None;
    }
    let mut reader = Reader(rest);
    let mut release = vec![reader.number()?];
    while let Some(next) = reader.part_of_release() {
        release.push(next);
    }
    let pre = reader.pre();
    let post = reader.post();
    let dev = reader.dev();
    if !reader.0.is_empty() {
        return None;
    }
    while release.len() > 1 && release.last().is_some_and(|last| Number(last).is_zero()) {
        release.pop();
    }
    let stage = match pre {
        Some((letter, number)) => Stage::Pre(letter, Digits::new(number)),
        None if post.is_none() && dev.is_some() => Stage::BeforeAll,
        None => Stage::Released,
    };
    Some(Version {
        epoch: Digits::new(significant(epoch)),
        release: release.into_iter().map(|part| Digits::new(significant(part))).collect(),
        pre: stage,
        post: post.map(|number| Digits::new(significant(number))),
        dev: dev.map_or(Dev::None, |number| Dev::Numbered(Digits::new(significant(number)))),
        local,
    })
}

fn significant(number: &str) -> &str {
    let short = number.trim_start_matches('0');
    if short.is_empty() { "0" } else { short }
}

fn local_parts(text: &str) -> Option<Vec<Local>> {
    let part = |part: &str| {
        if part.is_empty() || !part.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return None;
        }
        Some(if digits_only(part) {
            Local::Number(Digits::new(significant(part)))
        } else {
            Local::Text(part.to_owned())
        })
    };
    text.split(['.', '-', '_']).map(part).collect()
}

/// What is left to read.
struct Reader<'a>(&'a str);

impl<'a> Reader<'a> {
    fn number(&mut self) -> Option<&'a str> {
        let length = self.0.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(number).filter(|number| !number.is_empty())
    }

    fn part_of_release(&mut self) -> Option<&'a str> {
        let mut after = Reader(self.0.strip_prefix('.')?);
        let number = after.number()?;
        self.0 = after.0;
        Some(number)
    }

    /// A word of these, with separators around it, and the number after it, `0` where there is none.
    fn word(&mut self, words: &[&str]) -> Option<(usize, &'a str)> {
        let rest = self.0.strip_prefix(['.', '-', '_']).unwrap_or(self.0);
        let (at, rest) = words.iter().enumerate().find_map(|(at, word)| Some((at, rest.strip_prefix(word)?)))?;
        let mut after = Reader(rest.strip_prefix(['.', '-', '_']).unwrap_or(rest));
        if let Some(number) = after.number() {
            self.0 = after.0;
            return Some((at, significant(number)));
        }
        self.0 = rest;
        Some((at, "0"))
    }

    fn pre(&mut self) -> Option<(u8, &'a str)> {
        let (at, number) = self.word(&["alpha", "a", "beta", "b", "preview", "pre", "rc", "c"])?;
        let letter = match at {
            0 | 1 => b'a',
            2 | 3 => b'b',
            _ => b'r',
        };
        Some((letter, number))
    }

    fn post(&mut self) -> Option<&'a str> {
        if let Some(rest) = self.0.strip_prefix('-') {
            let mut after = Reader(rest);
            if let Some(number) = after.number() {
                self.0 = after.0;
                return Some(number);
            }
        }
        self.word(&["post", "rev", "r"]).map(|(_, number)| number)
    }

    fn dev(&mut self) -> Option<&'a str> {
        self.word(&["dev"]).map(|(_, number)| number)
    }
}

/// A project's name as PEP 503 has it: lower case, runs of `-`, `_` and `.` as one `-`.
pub fn normalised_name(name: &str) -> String {
    let mut normal = String::with_capacity(name.len());
    for part in name.split(['-', '_', '.']).filter(|part| !part.is_empty()) {
        if !normal.is_empty() {
            normal.push('-');
        }
        normal.push_str(&part.to_ascii_lowercase());
    }
    normal
}
