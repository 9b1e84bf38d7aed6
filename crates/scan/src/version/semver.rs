//! Semantic Versioning 2.0.0, section 11, as crates.io, npm and Go's modules use it. A leading `v` or `=` and missing
//! minor or patch numbers are taken as Go and npm take them; what follows `+` does not count.

use std::cmp::Ordering;

use super::{Number, digits_only};

/// A version that was understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Version<'a> {
    core: [Number<'a>; 3],
    pre: Vec<Identifier<'a>>,
}

/// Numbers stand before texts.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier<'a> {
    Number(Number<'a>),
    Text(&'a str),
}

/// None where the text is no version.
pub(super) fn parse(text: &str) -> Option<Version<'_>> {
    let text = text.trim_start_matches('=').trim_start();
    let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
    if build.is_some_and(|build| !build.split('.').all(is_identifier)) {
        return None;
    }
    let (numbers, pre) = text.split_once('-').map_or((text, None), |(numbers, pre)| (numbers, Some(pre)));
    let mut core = [Number("0"); 3];
    let mut places = core.iter_mut();
    for number in numbers.split('.') {
        *places.next()? = Number(Some(number).filter(|number| digits_only(number))?);
    }
    let pre = pre.map_or(Some(Vec::new()), |pre| pre.split('.').map(identifier).collect())?;
    Some(Version { core, pre })
}

fn is_identifier(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn identifier(part: &str) -> Option<Identifier<'_>> {
    if !is_identifier(part) {
        return None;
    }
    Some(if digits_only(part) { Identifier::Number(Number(part)) } else { Identifier::Text(part) })
}

impl Ord for Version<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.core.cmp(&other.core).then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => self.pre.cmp(&other.pre),
        })
    }
}

impl PartialOrd for Version<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
