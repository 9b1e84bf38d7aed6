//! Alpine's versions: `number{.number}{letter}{_suffix{number}}{~hash}{-r#}` (apk-package(5)), as apk-tools 3 orders them.

use std::cmp::Ordering;

use super::{by_number, digits_only};

/// The parts of a version, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Version<'a>(Vec<Part<'a>>);

/// A part. Where versions differ in the kind of a part, the kind that stands earlier here is the later version.
#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    First(&'a str),
    Number(&'a str),
    Letter(u8),
    Suffix(usize),
    SuffixNumber(&'a str),
    Hash(&'a str),
    Revision(&'a str),
}

/// The suffixes in their order; the first four stand before the version without any.
const SUFFIXES: [&str; 9] = ["alpha", "beta", "pre", "rc", "cvs", "svn", "git", "hg", "p"];
const BEFORE_RELEASE: usize = 4;
const END: u8 = 7;

/// None where the text is no version.
pub(super) fn parse(text: &str) -> Option<Version<'_>> {
    let (text, revision) = match text.rsplit_once("-r") {
        Some((before, number)) if digits_only(number) => (before, Some(number)),
        Some(_) | None => (text, None),
    };
    let (text, hash) = text.split_once('~').map_or((text, None), |(text, hash)| (text, Some(hash)));
    let mut suffixes = text.split('_');
    let mut parts = numbers(suffixes.next()?)?;
    for suffix in suffixes {
        let length = suffix.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (name, number) = suffix.split_at_checked(length)?;
        parts.push(Part::Suffix(SUFFIXES.iter().position(|known| *known == name)?));
        if !number.is_empty() {
            parts.push(Part::SuffixNumber(Some(number).filter(|number| digits_only(number))?));
        }
    }
    if let Some(hash) = hash {
        let good = !hash.is_empty() && hash.bytes().all(|b| b.is_ascii_hexdigit());
        parts.push(Part::Hash(Some(hash).filter(|_| good)?));
    }
    parts.extend(revision.map(Part::Revision));
    Some(Version(parts))
}

fn numbers(text: &str) -> Option<Vec<Part<'_>>> {
    let last = text.bytes().last().filter(u8::is_ascii_lowercase);
    let text = if last.is_some() { text.get(..text.len() - 1)? } else { text };
    let mut parts = Vec::new();
    for number in text.split('.') {
        let number = Some(number).filter(|number| digits_only(number))?;
        parts.push(if parts.is_empty() { Part::First(number) } else { Part::Number(number) });
    }
    parts.extend(last.map(Part::Letter));
    Some(parts)
}

impl Part<'_> {
    fn place(&self) -> u8 {
        match self {
            Self::First(_) => 0,
            Self::Number(_) => 1,
            Self::Letter(_) => 2,
            Self::Suffix(_) => 3,
            Self::SuffixNumber(_) => 4,
            Self::Hash(_) => 5,
            Self::Revision(_) => 6,
        }
    }

    fn is_before_release(&self) -> bool {
        matches!(self, Self::Suffix(at) if *at < BEFORE_RELEASE)
    }

    /// How two parts of the same kind stand; none where the kinds differ.
    fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            // A number with leading zeros is read as what follows a decimal point.
            (Self::Number(left), Self::Number(right)) if left.starts_with('0') || right.starts_with('0') => {
                Some(left.cmp(right))
            }
            (Self::First(left), Self::First(right))
            | (Self::Number(left), Self::Number(right))
            | (Self::SuffixNumber(left), Self::SuffixNumber(right))
            | (Self::Revision(left), Self::Revision(right)) => Some(by_number(left, right)),
            (Self::Letter(left), Self::Letter(right)) => Some(left.cmp(right)),
            (Self::Suffix(left), Self::Suffix(right)) => Some(left.cmp(right)),
            (Self::Hash(left), Self::Hash(right)) => Some(left.cmp(right)),
            (_, _) => None,
        }
    }
}

impl Ord for Version<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let (mut left, mut right) = (self.0.iter(), other.0.iter());
        loop {
            let (one, two) = (left.next(), right.next());
            let same_kind = one.zip(two).and_then(|(one, two)| one.compare(two));
            match same_kind {
                Some(Ordering::Equal) => {}
                Some(order) => return order,
                None if one.is_none() && two.is_none() => return Ordering::Equal,
                None if one.is_some_and(Part::is_before_release) => return Ordering::Less,
                None if two.is_some_and(Part::is_before_release) => return Ordering::Greater,
                None => return two.map_or(END, Part::place).cmp(&one.map_or(END, Part::place)),
            }
        }
    }
}

impl PartialOrd for Version<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
