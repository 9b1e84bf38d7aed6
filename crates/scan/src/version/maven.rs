//! Maven's versions: the "Version Order Specification" of its POM reference, as `ComparableVersion` of Maven 3.9 does it.

use std::cmp::Ordering;

use super::by_number;

/// What a version falls into.
#[derive(Debug, PartialEq, Eq)]
enum Item {
    Number(String),
    Word(String),
    List(Vec<Item>),
}

/// A version; every text is one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Version(Vec<Item>);

/// The words with a meaning, in their order; the empty one is a release.
const QUALIFIERS: [&str; 7] = ["alpha", "beta", "milestone", "rc", "snapshot", "", "sp"];

/// Reads a version. Lists are nested by every hyphen and every change between digits and letters; the longest version
/// that is compared bounds how deep.
pub(super) fn parse(text: &str) -> Version {
    let text = text.to_lowercase();
    // The lists that are open, the outermost first; each but the first is an item of the one before it.
    let mut open: Vec<Vec<Item>> = vec![Vec::new()];
    let mut token = String::new();
    let mut in_digits = false;
    for c in text.chars() {
        if c == '.' || c == '-' {
            close_token(&mut open, &mut token, in_digits, Next::Separator);
            if c == '-' {
                open.push(Vec::new());
            }
        } else {
            let digit = c.is_ascii_digit();
            if digit != in_digits && !token.is_empty() {
                close_token(&mut open, &mut token, in_digits, if digit { Next::Digit } else { Next::Letter });
                open.push(Vec::new());
            }
            in_digits = digit;
            token.push(c);
        }
    }
    if !token.is_empty() {
        close_token(&mut open, &mut token, in_digits, Next::End);
    }
    let mut inner: Option<Vec<Item>> = None;
    while let Some(mut list) = open.pop() {
        list.extend(inner.take().map(Item::List));
        normalise(&mut list);
        inner = Some(list);
    }
    Version(inner.unwrap_or_default())
}

/// What stands after a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Separator,
    Digit,
    Letter,
    End,
}

fn close_token(open: &mut Vec<Vec<Item>>, token: &mut String, in_digits: bool, next: Next) {
    let text = std::mem::take(token);
    // `.X1` and `.X` at the end count as `-X` for every word X.
    if next != Next::Separator && !in_digits && open.last().is_some_and(|list| !list.is_empty()) {
        open.push(Vec::new());
    }
    let item = if text.is_empty() {
        Item::Number("0".to_owned())
    } else if in_digits {
        Item::Number(text)
    } else {
        Item::Word(word(text, next == Next::Digit))
    };
    if let Some(list) = open.last_mut() {
        list.push(item);
    }
}

fn word(text: String, before_digit: bool) -> String {
    match (text.as_str(), before_digit) {
        ("a", true) => "alpha".to_owned(),
        ("b", true) => "beta".to_owned(),
        ("m", true) => "milestone".to_owned(),
        ("ga" | "final" | "release", _) => String::new(),
        ("cr", _) => "rc".to_owned(),
        _ => text,
    }
}

/// Takes off what is nothing at the end, and in front of lists at the end.
fn normalise(list: &mut Vec<Item>) {
    let mut at = list.len();
    while at > 0 {
        at -= 1;
        match list.get(at) {
            Some(item) if item.is_nothing() => {
                list.remove(at);
            }
            Some(Item::List(_)) => {}
            Some(Item::Number(_) | Item::Word(_)) | None => break,
        }
    }
}

impl Item {
    fn is_nothing(&self) -> bool {
        match self {
            Self::Number(digits) => digits.bytes().all(|b| b == b'0'),
            Self::Word(word) => word.is_empty(),
            Self::List(items) => items.is_empty(),
        }
    }

    /// How an item stands to there being none.
    fn to_nothing(&self) -> Ordering {
        match self {
            Self::Number(_) => {
                if self.is_nothing() {
                    Ordering::Equal
                } else {
                    Ordering::Greater
                }
            }
            Self::Word(word) => rank(word).cmp(&rank("")),
            Self::List(items) => {
                items.iter().map(Self::to_nothing).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
            }
        }
    }

    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(left), Self::Number(right)) => by_number(left, right),
            (Self::Word(left), Self::Word(right)) => rank(left).cmp(&rank(right)),
            (Self::List(left), Self::List(right)) => compare_lists(left, right),
            (Self::Number(_), _) | (Self::List(_), Self::Word(_)) => Ordering::Greater,
            (Self::Word(_), _) | (Self::List(_), Self::Number(_)) => Ordering::Less,
        }
    }
}

fn rank(word: &str) -> (usize, &str) {
    match QUALIFIERS.iter().position(|known| *known == word) {
        Some(at) => (at, ""),
        None => (QUALIFIERS.len(), word),
    }
}

fn compare_lists(left: &[Item], right: &[Item]) -> Ordering {
    for at in 0..left.len().max(right.len()) {
        let order = match (left.get(at), right.get(at)) {
            (Some(left), Some(right)) => left.compare(right),
            (Some(left), None) => left.to_nothing(),
            (None, Some(right)) => right.to_nothing().reverse(),
            (None, None) => Ordering::Equal,
        };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        compare_lists(&self.0, &other.0)
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
