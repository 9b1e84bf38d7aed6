//! What differs between environments belongs in their overlays: a base names none of them, and none names another.

use std::collections::BTreeSet;

use super::leaf::{Leaf, leaves};
use super::{Family, Findings};
use crate::codes;

pub(super) fn look(family: &Family<'_>, found: &mut Findings) {
    let names: Vec<&str> = family.environments.iter().map(|environment| environment.name).collect();
    // What the base says is said of the base, whether or not that is let pass.
    let mut of_base = BTreeSet::new();
    for base in &family.bases {
        for leaf in leaves(&base.objects).iter().filter(|leaf| concerns(leaf)) {
            let Some(name) = names.iter().find(|name| is_named(leaf.text, name)) else { continue };
            let message = format!("{} names `{name}`, and is in what {} share", shown(leaf), listed(&names));
            let hint = "leave out of the base what is true of one environment only, and set it in that one's overlay";
            of_base.insert(at(leaf));
            found.add(leaf.object, leaf.place, codes::ENVIRONMENT_IN_BASE, message, hint);
        }
    }
    for environment in &family.environments {
        for leaf in environment.leaves.iter().filter(|leaf| concerns(leaf)) {
            let other = names.iter().find(|name| **name != environment.name && is_named(leaf.text, name));
            let Some(other) = other.filter(|_| !is_named(leaf.text, environment.name) && !of_base.contains(&at(leaf)))
            else {
                continue;
            };
            let message = format!("{} names `{other}`, and is rendered for `{}`", shown(leaf), environment.name);
            let hint = "what belongs to one environment is set in its overlay; look whether this one means the other";
            found.add(leaf.object, leaf.place, codes::OTHER_ENVIRONMENT, message, hint);
        }
    }
}

/// Whether a value may name a place: programs and what is written for people are left out.
fn concerns(leaf: &Leaf<'_>) -> bool {
    !["annotations", "labels", "matchLabels", "command", "args"].iter().any(|name| leaf.is_below(name))
        && !matches!(leaf.field(), "kind" | "apiVersion")
}

/// Whether a text has a name as a word of its own.
fn is_named(text: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric();
    text.match_indices(name).any(|(at, _)| {
        let (before, after) = (text.get(..at).unwrap_or_default(), text.get(at + name.len()..).unwrap_or_default());
        !before.ends_with(is_part) && !after.starts_with(is_part)
    })
}

fn at(leaf: &Leaf<'_>) -> (String, u32, u32) {
    (leaf.place.file.to_string(), leaf.place.line, leaf.place.column)
}

fn shown(leaf: &Leaf<'_>) -> String {
    let (kind, object) = (leaf.object.kind(), leaf.object.name());
    format!("`{}` of {kind} `{object}`", leaf.setting().unwrap_or(leaf.field()))
}

fn listed(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| ["`", name, "`"].concat()).collect();
    quoted.split_last().map_or_else(String::new, |(last, rest)| [&rest.join(", "), " and ", last].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_whole_words() {
        for text in ["test", "api.test.example.org", "logs-test", "a test_b"] {
            assert!(is_named(text, "test"), "{text}");
        }
        for text in ["latest", "testing", "contest", ""] {
            assert!(!is_named(text, "test"), "{text}");
        }
    }
}
