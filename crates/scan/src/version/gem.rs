//! `RubyGems`' versions, as `Gem::Version#<=>` orders them: segments of digits and letters, where a text stands before
//! every number, and zeros at the end of either half count for nothing.

use std::cmp::Ordering;

use super::{Number, by_number, digits_only};

/// A version's segments without what counts for nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Version(Vec<Segment>);

#[derive(Debug, PartialEq, Eq)]
enum Segment {
    Text(String),
    Number(String),
}

/// None where the text is no version.
pub(super) fn parse(text: &str) -> Option<Version> {
    if !is_correct(text) {
        return None;
    }
    let text = text.replace('-', ".pre.");
    let mut segments: Vec<Segment> = Vec::new();
    for part in text.split('.') {
        let mut rest = part;
        while let Some(first) = rest.bytes().next() {
            let digit = first.is_ascii_digit();
            let length = rest.bytes().take_while(|b| b.is_ascii_digit() == digit).count();
            let (run, after) = rest.split_at_checked(length)?;
            segments.push(if digit { Segment::Number(run.to_owned()) } else { Segment::Text(run.to_owned()) });
            rest = after;
        }
    }
    let first_text = segments.iter().position(|segment| matches!(segment, Segment::Text(_)));
    let mut tail = segments.split_off(first_text.unwrap_or(segments.len()));
    for half in [&mut segments, &mut tail] {
        while half.last().is_some_and(Segment::is_zero) {
            half.pop();
        }
    }
    segments.append(&mut tail);
    Some(Version(segments))
}

/// `[0-9]+(\.[0-9a-zA-Z]+)*(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?`
fn is_correct(text: &str) -> bool {
    let (release, pre) = text.split_once('-').map_or((text, None), |(release, pre)| (release, Some(pre)));
    let mut parts = release.split('.');
    let word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric());
    let hyphened = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    parts.next().is_some_and(digits_only) && parts.all(word) && pre.is_none_or(|pre| pre.split('.').all(hyphened))
}

impl Segment {
    fn is_zero(&self) -> bool {
        matches!(self, Self::Number(digits) if Number(digits).is_zero())
    }

    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Text(left), Self::Text(right)) => left.cmp(right),
            (Self::Number(left), Self::Number(right)) => by_number(left, right),
            (Self::Text(_), Self::Number(_)) => Ordering::Less,
            (Self::Number(_), Self::Text(_)) => Ordering::Greater,
        }
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let zero = Segment::Number("0".to_owned());
        for at in 0..self.0.len().max(other.0.len()) {
            let order = self.0.get(at).unwrap_or(&zero).compare(other.0.get(at).unwrap_or(&zero));
            if order.is_ne() {
                return order;
            }
        }
        Ordering::Equal
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
