//! What a commit says that it is for: work that mends something passes gates that are held for features alone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The trailer that says it, as Git has trailers: in the last paragraph of the message.
const TRAILER: &str = "prograde-work";

/// Work that mends something. Everything else is a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// A defect is mended, or a change taken back.
    Fix,
    /// The service is made to fail less often.
    Reliability,
}

impl Work {
    /// What a commit's message says: by its trailer `Prograde-Work`, and where it has none, by the subject, as Conventional
    /// Commits 1.0.0 and `git revert` write it. A trailer of any other word says that it is a feature.
    pub fn of_message(message: &str) -> Option<Self> {
        match trailer(message) {
            Some("fix") => Some(Self::Fix),
            Some("reliability") => Some(Self::Reliability),
            Some(_) => None,
            None => is_fix(message.lines().next().unwrap_or_default()).then_some(Self::Fix),
        }
    }
}

/// The value of the last such trailer.
fn trailer(message: &str) -> Option<&str> {
    let (subject, body) = message.trim_end().split_once('\n')?;
    let last = body.rsplit("\n\n").next().filter(|_| !subject.is_empty())?;
    let mut values = last.lines().filter_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.trim_end().eq_ignore_ascii_case(TRAILER).then_some(value.trim())
    });
    values.next_back()
}

/// `fix: …`, `fix(scope)!: …`, `revert: …`, and `Revert "…"`.
fn is_fix(subject: &str) -> bool {
    if subject.starts_with("Revert \"") {
        return true;
    }
    let Some((head, text)) = subject.split_once(": ") else { return false };
    let head = head.strip_suffix('!').unwrap_or(head);
    let kind = match head.split_once('(') {
        Some((kind, scope)) if scope.len() > 1 && scope.ends_with(')') => kind,
        Some(_) => return false,
        None => head,
    };
    !text.trim().is_empty() && (kind.eq_ignore_ascii_case("fix") || kind.eq_ignore_ascii_case("revert"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(message: &str, expected: Option<Work>) {
        assert_eq!(Work::of_message(message), expected, "{message:?}");
    }

    #[test]
    fn a_subject_says_that_it_is_a_fix() {
        for subject in ["fix: a", "fix(orders): a", "Fix!: a", "fix(a b)!: c", "revert: a", "Revert \"Add a\""] {
            check(subject, Some(Work::Fix));
            check(&format!("{subject}\n\nWhy.\n"), Some(Work::Fix));
        }
        for subject in
            ["", "fix", "fix:", "fix:a", "fixes: a", "fix(: a", "fix(): a", "feat: fix: a", "Fix a", "Reverts"]
        {
            check(subject, None);
        }
    }

    #[test]
    fn a_trailer_says_more_than_the_subject() {
        check("Add a\n\nPrograde-Work: fix", Some(Work::Fix));
        check("Add a\n\nWhy.\n\nSigned-off-by: Ann\nprograde-work :  reliability\n", Some(Work::Reliability));
        check("fix: a\n\nPrograde-Work: feature\n", None);
        check("Add a\n\nPrograde-Work: fix\n\nWhy.\n", None);
        check("Prograde-Work: fix", None);
        check("Add a\n\nPrograde-Work: reliability\nPrograde-Work: fix", Some(Work::Fix));
    }
}
