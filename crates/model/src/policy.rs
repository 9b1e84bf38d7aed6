//! What policies said to a release that they let in.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The policies that had something to say to a release's manifests, by their names. One that had to stop the release would
/// have ended its flight.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyAnswers {
    /// Those that hold for all that they apply to.
    pub passed: BTreeSet<String>,
    /// Those that are violated and only tell.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub violated: BTreeSet<String>,
}

impl PolicyAnswers {
    /// Whether no policy had anything to say.
    pub fn is_empty(&self) -> bool {
        self.passed.is_empty() && self.violated.is_empty()
    }

    /// Takes one policy's answer about one resource. What is violated once has not passed.
    pub fn take(&mut self, policy: &str, is_violated: bool) {
        if is_violated {
            self.passed.remove(policy);
            self.violated.insert(policy.to_owned());
        } else if !self.violated.contains(policy) {
            self.passed.insert(policy.to_owned());
        }
    }

    /// Takes what was said of other manifests of the same release.
    pub fn merge(&mut self, other: &Self) {
        let violated = other.violated.iter().map(|policy| (policy, true));
        for (policy, is_violated) in violated.chain(other.passed.iter().map(|policy| (policy, false))) {
            self.take(policy, is_violated);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_violated_once_has_not_passed() {
        let mut all = PolicyAnswers::default();
        assert!(all.is_empty());
        for (policy, is_violated) in [("a", false), ("b", false), ("b", true), ("b", false), ("c", true)] {
            all.take(policy, is_violated);
        }
        let mut other = PolicyAnswers::default();
        other.take("a", true);
        other.take("c", false);
        other.take("d", false);
        all.merge(&other);
        assert_eq!(all.passed.iter().collect::<Vec<_>>(), ["d"]);
        assert_eq!(all.violated.iter().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert!(!all.is_empty());
    }
}
