//! Which series may match, from an index of labels.
//!
//! A label that a series does not have counts as empty, so a matcher that accepts an empty value says nothing that an index
//! of labels could answer by looking something up. Those that do not are looked up and narrow the candidates down; what is
//! left is compared by its labels, with all matchers. An index can therefore only leave out what does not match.

use super::error::DatabaseError;
use crate::matcher::{Comparison, Matcher};

/// What knows the series of each label's values. Numbers of series may come unsorted where they are of several values, but
/// never twice.
pub(super) trait Index {
    /// All series, ascending.
    fn all(&self) -> Vec<u32>;
    /// How many values a label has.
    fn value_count(&self, name: &str) -> usize;
    /// Those with a label of this value, ascending.
    fn equal(&self, name: &str, value: &str) -> Result<Vec<u32>, DatabaseError>;
    /// Those with a label whose value is accepted.
    fn accepted(&self, name: &str, accepts: &dyn Fn(&str) -> bool) -> Result<Vec<u32>, DatabaseError>;
}

/// The series, ascending, among which are all those that the matchers accept.
pub(super) fn candidates(index: &impl Index, matchers: &[Matcher]) -> Result<Vec<u32>, DatabaseError> {
    let (equal, others): (Vec<&Matcher>, Vec<&Matcher>) =
        matchers.iter().filter(|matcher| !matcher.accepts("")).partition(|matcher| value_of(matcher).is_some());
    let mut found: Option<Vec<u32>> = None;
    for matcher in equal {
        let ids = index.equal(&matcher.name, value_of(matcher).unwrap_or_default())?;
        found = Some(narrowed(found, ids));
    }
    for matcher in others {
        // Where only a few series are left, it costs less to look at each of them than at each value.
        if found.as_ref().is_some_and(|ids| ids.len() <= index.value_count(&matcher.name)) {
            continue;
        }
        let mut ids = index.accepted(&matcher.name, &|value| matcher.accepts(value))?;
        ids.sort_unstable();
        found = Some(narrowed(found, ids));
    }
    Ok(found.unwrap_or_else(|| index.all()))
}

fn narrowed(found: Option<Vec<u32>>, ids: Vec<u32>) -> Vec<u32> {
    match found {
        Some(before) => common(&before, &ids),
        None => ids,
    }
}

fn value_of(matcher: &Matcher) -> Option<&str> {
    match &matcher.comparison {
        Comparison::Equal(value) => Some(value),
        Comparison::NotEqual(_) | Comparison::Matches(_) | Comparison::MatchesNot(_) => None,
    }
}

/// What is in both, of two ascending lists.
fn common(a: &[u32], b: &[u32]) -> Vec<u32> {
    let (few, many) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let mut rest = many;
    let mut both = Vec::new();
    for id in few {
        // Ever wider steps, as the next one is likely near.
        let mut step = 1;
        while rest.get(step).is_some_and(|other| other < id) {
            step *= 2;
        }
        let near = rest.get(..=step).unwrap_or(rest);
        rest = rest.get(near.partition_point(|other| other < id)..).unwrap_or_default();
        if rest.first() == Some(id) {
            both.push(*id);
        }
    }
    both
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn what_is_in_both_is_found(a in proptest::collection::btree_set(0_u32..200, 0..60), b in proptest::collection::btree_set(0_u32..200, 0..60)) {
            let list = |set: &BTreeSet<u32>| set.iter().copied().collect::<Vec<_>>();
            let expected: Vec<u32> = a.intersection(&b).copied().collect();
            prop_assert_eq!(common(&list(&a), &list(&b)), expected);
        }
    }
}
