//! What differs between users belongs in a flag: it can be changed for some of them, and without a release.

use super::Findings;
use super::leaf::{Leaf, words};
use crate::codes;

/// Words that say that something is switched on for people.
const WORDS: [&str; 6] = ["feature", "features", "experiment", "experiments", "beta", "toggle"];
/// Names that end in these words say whom something is for, or for how many.
const ENDINGS: [[&str; 2]; 8] = [
    ["rollout", "percent"],
    ["rollout", "percentage"],
    ["allowed", "users"],
    ["beta", "users"],
    ["pilot", "users"],
    ["enabled", "users"],
    ["allowed", "tenants"],
    ["enabled", "tenants"],
];

pub(super) fn look(leaves: &[Leaf<'_>], found: &mut Findings) {
    for leaf in leaves {
        let Some(name) = leaf.setting().filter(|name| is_switch(name, leaf.text)) else { continue };
        let (kind, object) = (leaf.object.kind(), leaf.object.name());
        let message =
            format!("`{name}` of {kind} `{object}` decides what users see, for all of an environment at once");
        let hint =
            "make it a flag (docs/guides/flags.md): it can be on for some users, and off at once, without a release";
        found.add(leaf.object, leaf.place, codes::SWITCH_IN_MANIFEST, message, hint);
    }
}

fn is_switch(name: &str, text: &str) -> bool {
    let words = words(name);
    let is_about_users =
        words.last_chunk::<2>().is_some_and(|[one, two]| ENDINGS.contains(&[one.as_str(), two.as_str()]));
    is_about_users || (words.iter().any(|word| WORDS.contains(&word.as_str())) && switches(text))
}

/// Whether a value switches something: on or off, or a share.
fn switches(text: &str) -> bool {
    let text = text.trim().trim_end_matches('%').to_ascii_lowercase();
    matches!(text.as_str(), "true" | "false" | "on" | "off" | "yes" | "no" | "enabled" | "disabled")
        || text.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_are_told_from_settings() {
        for (name, text) in [
            ("FEATURE_NEW_CART", "true"),
            ("betaCheckout", "off"),
            ("SEARCH_ROLLOUT_PERCENT", "10"),
            ("BETA_USERS", "ann,bob"),
        ] {
            assert!(is_switch(name, text), "{name}");
        }
        for (name, text) in
            [("METRICS_ENABLED", "true"), ("FEATURE_SERVER", "http://flags"), ("PERCENT", "5"), ("USERS", "a")]
        {
            assert!(!is_switch(name, text), "{name}");
        }
    }
}
