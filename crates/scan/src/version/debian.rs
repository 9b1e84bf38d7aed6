//! Debian's versions: Debian Policy Manual 5.6.12, as dpkg orders them.

use std::cmp::Ordering;

use super::{Number, by_number, digits_only};

/// Epoch, upstream's version and Debian's revision.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Version<'a> {
    epoch: Number<'a>,
    upstream: &'a str,
    revision: &'a str,
}

/// None where the text is no version.
pub(super) fn parse(text: &str) -> Option<Version<'_>> {
    let (epoch, rest) = text.split_once(':').unwrap_or(("0", text));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    let allowed = |extra: &'static str| {
        move |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '~') || extra.contains(c)
    };
    let good = digits_only(epoch)
        && !upstream.is_empty()
        && upstream.chars().all(allowed("-:_"))
        && revision.chars().all(allowed("_"));
    good.then_some(Version { epoch: Number(epoch), upstream, revision })
}

/// Alternates between texts, in which `~` stands before the end, the end before letters, and letters before all else,
/// and numbers.
fn compare_parts(mut left: &str, mut right: &str) -> Ordering {
    while !left.is_empty() || !right.is_empty() {
        let (left_text, left_rest) = take(left, |b| !b.is_ascii_digit());
        let (right_text, right_rest) = take(right, |b| !b.is_ascii_digit());
        let texts = compare_texts(left_text, right_text);
        let (left_number, left_rest) = take(left_rest, |b| b.is_ascii_digit());
        let (right_number, right_rest) = take(right_rest, |b| b.is_ascii_digit());
        let order = texts.then_with(|| by_number(left_number, right_number));
        if order.is_ne() {
            return order;
        }
        (left, right) = (left_rest, right_rest);
    }
    Ordering::Equal
}

fn take(text: &str, of: impl Fn(u8) -> bool) -> (&str, &str) {
    let length = text.bytes().take_while(|b| of(*b)).count();
    text.split_at_checked(length).unwrap_or((text, ""))
}

fn compare_texts(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.bytes(), right.bytes());
    loop {
        match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (one, other) => {
                let order = weight(one).cmp(&weight(other));
                if order.is_ne() {
                    return order;
                }
            }
        }
    }
}

fn weight(byte: Option<u8>) -> i32 {
    match byte {
        None => 0,
        Some(b'~') => -1,
        Some(b) if b.is_ascii_alphabetic() => i32::from(b),
        Some(b) => i32::from(b) + 256,
    }
}

impl Ord for Version<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.epoch
            .cmp(&other.epoch)
            .then_with(|| compare_parts(self.upstream, other.upstream))
            .then_with(|| compare_parts(self.revision, other.revision))
    }
}

impl PartialOrd for Version<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
