//! Secrets: in files and in all of Git's history.
//!
//! One automaton finds the keywords of all rules in one pass; a rule's expression runs only around its keywords, on an
//! engine whose time is linear in what it reads. No secret is kept or shown in full: findings carry its first few
//! characters and a hash.

mod allowed;
mod engine;
mod history;
mod judge;
mod rules;
mod tree;

pub(crate) use allowed::glob;
pub use allowed::{Allowed, FILE as ALLOWED_FILE};
pub use engine::{Engine, Hit};
pub use history::{Commits, history};
pub use rules::{Check, Rule, Rules};
pub use tree::{Searched, tree};

#[cfg(test)]
mod tests;

use crate::finding::{Finding, Kind, fingerprint};

/// How many characters of a secret are shown.
const SHOWN_CHARS: usize = 4;

/// A secret with all but its first few characters hidden.
fn masked(secret: &[u8]) -> String {
    let text = String::from_utf8_lossy(secret);
    let length = text.chars().count();
    if text.starts_with("-----BEGIN") {
        return text.lines().next().unwrap_or_default().split("-----").take(2).collect::<Vec<_>>().join("-----")
            + "-----…";
    }
    let shown = SHOWN_CHARS.min(length / 4);
    format!("{}… ({length} characters)", text.chars().take(shown).collect::<String>())
}

/// A hit as a finding. Its fingerprint follows from rule, file and secret, not from the line.
fn finding(rules: &Rules, hit: &Hit, content: &[u8], file: &str) -> Option<Finding> {
    let rule = rules.all.get(hit.rule)?;
    let secret = content.get(hit.start..hit.end)?;
    let mut finding = Finding::new(Kind::Secret, &rule.id, rule.severity, &rule.title, file, hit.line);
    finding.masked = Some(masked(secret));
    finding.fingerprint = fingerprint(&[&rule.id, file, &String::from_utf8_lossy(secret)]);
    "revoke it, keep the new one outside of the repository, and allow this one by its fingerprint"
        .clone_into(&mut finding.remedy);
    Some(finding)
}
