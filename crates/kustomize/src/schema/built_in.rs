//! The Kubernetes API's own schema: a text whose lines were found when the program was built, and are understood when they are
//! asked for. A process that renders one kustomization needs few of them.

use std::borrow::Cow;
use std::sync::{LazyLock, OnceLock};

use super::{Known, Type};

const TEXT: &str = include_str!("../../data/kubernetes.txt");

/// How many definitions there are.
pub(super) const COUNT: usize = count(b'D');

/// Where the lines of each sort begin.
static DEFINITIONS: [usize; COUNT] = starts(b'D');
static KINDS: [usize; count(b'K')] = starts(b'K');
static CLUSTER_SCOPED: [usize; count(b'C')] = starts(b'C');

/// What the definitions say, as far as somebody asked.
static KNOWN: [OnceLock<Known>; COUNT] = [const { OnceLock::new() }; COUNT];

/// The definitions of two types that are compared by meaning.
pub(super) static QUANTITY: LazyLock<Option<usize>> =
    LazyLock::new(|| named("io.k8s.apimachinery.pkg.api.resource.Quantity"));
pub(super) static INT_OR_STRING: LazyLock<Option<usize>> =
    LazyLock::new(|| named("io.k8s.apimachinery.pkg.util.intstr.IntOrString"));

/// How many lines begin with a letter.
const fn count(letter: u8) -> usize {
    let (mut rest, mut found, mut before) = (TEXT.as_bytes(), 0, b'\n');
    while let [byte, more @ ..] = rest {
        if before == b'\n' && *byte == letter {
            found += 1;
        }
        (before, rest) = (*byte, more);
    }
    found
}

/// Where the lines that begin with a letter do.
#[allow(clippy::indexing_slicing, reason = "what is out of bounds here ends the build")]
const fn starts<const N: usize>(letter: u8) -> [usize; N] {
    let (mut found, mut next) = ([0; N], 0);
    let (mut rest, mut at, mut before) = (TEXT.as_bytes(), 0, b'\n');
    while let [byte, more @ ..] = rest {
        if before == b'\n' && *byte == letter {
            found[next] = at;
            next += 1;
        }
        at += 1;
        (before, rest) = (*byte, more);
    }
    found
}

/// The words of a line behind its letter.
fn words(start: usize) -> impl Iterator<Item = &'static str> {
    let line = TEXT.get(start..).and_then(|text| text.split('\n').next()).unwrap_or_default();
    line.split_ascii_whitespace().skip(1)
}

/// Which line of a sort begins with these words, and the words behind them.
fn find<const N: usize>(starts: &[usize], wanted: [&str; N]) -> Option<(usize, impl Iterator<Item = &'static str>)> {
    let wanted = wanted.join(" ");
    let at = starts.binary_search_by(|start| {
        let line = TEXT.as_bytes().get(start + "D ".len()..).unwrap_or_default();
        let (head, rest) = line.split_at_checked(wanted.len()).unwrap_or((line, &[]));
        let is_longer = !matches!(rest.first(), None | Some(b' ' | b'\n'));
        head.cmp(wanted.as_bytes()).then(is_longer.cmp(&false))
    });
    let at = at.ok()?;
    Some((at, words(*starts.get(at)?).skip(N)))
}

/// What a definition says.
pub(super) fn definition(number: usize) -> Option<&'static Known> {
    let (known, start) = (KNOWN.get(number)?, DEFINITIONS.get(number)?);
    Some(known.get_or_init(|| read(words(*start).skip(1))))
}

/// The number of a definition.
pub(super) fn named(name: &str) -> Option<usize> {
    find(&DEFINITIONS, [name]).map(|(at, _)| at)
}

/// The number of a kind's definition.
pub(super) fn kind(group: &str, version: &str, kind: &str) -> Option<usize> {
    let (_, mut rest) = find(&KINDS, [written(group), version, kind])?;
    rest.next()?.parse().ok()
}

/// Whether a kind has no namespace.
pub(super) fn is_cluster_scoped(group: &str, version: &str, kind: &str) -> bool {
    find(&CLUSTER_SCOPED, [written(group), version, kind]).is_some()
}

/// How a group is written.
fn written(group: &str) -> &str {
    if group.is_empty() { "-" } else { group }
}

fn read(fields: impl Iterator<Item = &'static str>) -> Known {
    let mut known = Known::default();
    for (name, text) in fields.filter_map(|field| field.split_once('=')) {
        if name == "*" {
            known.others = Some(Box::new(read_type(text)));
        } else {
            known.fields.push((Cow::Borrowed(name), read_type(text)));
        }
    }
    known
}

fn read_type(text: &str) -> Type {
    if let Some(number) = text.strip_prefix('@') {
        return Type::Definition(number.parse().unwrap_or(usize::MAX));
    }
    let mut known = Known::default();
    if let Some(inner) = text.strip_prefix("{}") {
        known.others = Some(Box::new(read_type(inner)));
    } else if let Some((keys, inner)) = text.split_once("[]") {
        known.items = Some(Box::new(read_type(inner)));
        let split = |keys: &str| keys.split(',').filter(|key| !key.is_empty()).map(str::to_owned).collect();
        known.merged = keys.strip_prefix('+').map(split);
    }
    Type::Known(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_searched_is_sorted() {
        assert!(DEFINITIONS.is_sorted_by(|one, other| words(*one).next() < words(*other).next()));
        for starts in [&KINDS[..], &CLUSTER_SCOPED[..]] {
            assert!(starts.is_sorted_by(|one, other| words(*one).take(3).lt(words(*other).take(3))));
        }
        let known: Vec<&Known> = (0..COUNT).map(|number| definition(number).unwrap()).collect();
        assert!(known.iter().all(|known| known.fields.is_sorted_by(|one, other| one.0 < other.0)));
    }

    #[test]
    fn every_line_is_found() {
        let lines = TEXT.lines().filter(|line| !line.starts_with('#'));
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            let core = |group: &'static str| if group == "-" { "" } else { group };
            match words[..] {
                ["D", name, ..] => assert!(named(name).is_some(), "{line}"),
                ["K", group, version, name, number] => {
                    let found = kind(core(group), version, name);
                    assert!(found == number.parse().ok() && found.is_some_and(|number| number < COUNT), "{line}");
                }
                ["C", group, version, name] => assert!(is_cluster_scoped(core(group), version, name), "{line}"),
                _ => panic!("{line}"),
            }
        }
        assert_eq!(kind("apps", "v1", "Deploymen"), None);
        assert!(!is_cluster_scoped("apps", "v1", "Deployment"));
    }
}
