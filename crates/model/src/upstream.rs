//! What following a branch on a Git host comes to: the host is believed as long as it only adds to what was there.

use crate::ids::CommitId;

/// What is to be done about what the host says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There is nothing new.
    InStep,
    /// The branch goes on to what the host has.
    Advance,
    /// The host has no such branch. Nothing is taken away because of it.
    Gone,
    /// What is here is no longer part of the host's branch. Only a person can say whether that is meant.
    Rewritten,
}

/// Decides what to do where `ours` is here and `theirs` on the host.
///
/// `descends` says whether theirs comes after ours, and is asked only where both are there and differ. `accepted` is what a
/// person has said may be followed in any case.
pub fn decide(
    ours: Option<&CommitId>,
    theirs: Option<&CommitId>,
    accepted: Option<&CommitId>,
    descends: impl FnOnce() -> bool,
) -> Step {
    match (ours, theirs) {
        (_, None) => Step::Gone,
        (None, Some(_)) => Step::Advance,
        (Some(ours), Some(theirs)) if ours == theirs => Step::InStep,
        (Some(_), Some(theirs)) if accepted == Some(theirs) || descends() => Step::Advance,
        (Some(_), Some(_)) => Step::Rewritten,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_may_only_add() {
        let commit = |digit: &str| digit.repeat(40).parse::<CommitId>().unwrap();
        let (a, b) = (commit("a"), commit("b"));
        let never = || unreachable!("nothing to compare");
        assert_eq!(decide(None, None, None, never), Step::Gone);
        assert_eq!(decide(Some(&a), None, None, never), Step::Gone);
        assert_eq!(decide(None, Some(&a), None, never), Step::Advance);
        assert_eq!(decide(Some(&a), Some(&a), None, never), Step::InStep);
        assert_eq!(decide(Some(&a), Some(&b), None, || true), Step::Advance);
        assert_eq!(decide(Some(&a), Some(&b), None, || false), Step::Rewritten);
        assert_eq!(decide(Some(&a), Some(&b), Some(&a), || false), Step::Rewritten);
        assert_eq!(decide(Some(&a), Some(&b), Some(&b), never), Step::Advance);
    }
}
