//! Relabelling: rules that keep, drop and rewrite the labels of targets and of samples.
//!
//! Each rule sees what the one before it has left. Patterns match the whole value, as everywhere.
//!
//! Source: Prometheus documentation, "Configuration", `relabel_config`; Prometheus 2.42, `model/relabel`.

use md5::{Digest as _, Md5};

use crate::labels::{Labels, is_label_name};
use crate::pattern::{Pattern, PatternError};

/// One rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// The labels whose values are looked at.
    pub source_labels: Vec<String>,
    /// What stands between the values.
    pub separator: String,
    /// What is done.
    pub action: Action,
}

impl Rule {
    /// Gives a label the value of another one.
    pub(crate) fn copy(from: &str, to: &str) -> Result<Self, PatternError> {
        let regex = Pattern::new("(.*)")?;
        let action = Action::Replace { regex, target: to.to_owned(), replacement: "$1".to_owned() };
        Ok(Self { source_labels: vec![from.to_owned()], separator: String::new(), action })
    }
}

/// What a rule does, given the joined values of its source labels.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Sets a label, if the value matches. Both texts may refer to what the pattern has captured.
    Replace {
        /// What the value must match.
        regex: Pattern,
        /// The label.
        target: String,
        /// Its new value; an empty one takes the label away.
        replacement: String,
    },
    /// Keeps only what matches.
    Keep(Pattern),
    /// Drops what matches.
    Drop(Pattern),
    /// Keeps only where a label has the value.
    KeepEqual(String),
    /// Drops where a label has the value.
    DropEqual(String),
    /// Sets a label to a hash of the value.
    HashMod {
        /// The hash is less than that; at least 1.
        modulus: u64,
        /// The label.
        target: String,
    },
    /// Copies each label whose name matches to another name.
    LabelMap {
        /// What the name must match.
        regex: Pattern,
        /// The new name; may refer to what the pattern has captured.
        replacement: String,
    },
    /// Takes away labels whose names match.
    LabelDrop(Pattern),
    /// Takes away labels whose names do not match.
    LabelKeep(Pattern),
    /// Sets a label to the value in lower case.
    Lowercase(String),
    /// Sets a label to the value in upper case.
    Uppercase(String),
}

/// The labels after all rules; `None` if one of them drops it.
pub fn apply(rules: &[Rule], labels: &Labels) -> Option<Labels> {
    rules.iter().try_fold(labels.clone(), |labels, rule| apply_one(rule, labels))
}

fn apply_one(rule: &Rule, labels: Labels) -> Option<Labels> {
    let value = || joined(rule, &labels);
    match &rule.action {
        Action::Replace { regex, target, replacement } => Some(replace(&labels, &value(), regex, target, replacement)),
        Action::Keep(regex) => regex.is_match(&value()).then_some(labels),
        Action::Drop(regex) => (!regex.is_match(&value())).then_some(labels),
        Action::KeepEqual(target) => (labels.get(target) == value()).then_some(labels),
        Action::DropEqual(target) => (labels.get(target) != value()).then_some(labels),
        Action::HashMod { modulus, target } => Some(labels.with(target, &(hash(&value()) % modulus).to_string())),
        Action::LabelMap { regex, replacement } => Some(map_names(&labels, regex, replacement)),
        Action::LabelDrop(regex) => Some(labels.retain(|name| !regex.is_match(name))),
        Action::LabelKeep(regex) => Some(labels.retain(|name| regex.is_match(name))),
        Action::Lowercase(target) => Some(labels.with(target, &value().chars().map(lower).collect::<String>())),
        Action::Uppercase(target) => Some(labels.with(target, &value().chars().map(upper).collect::<String>())),
    }
}

fn joined(rule: &Rule, labels: &Labels) -> String {
    match rule.source_labels.as_slice() {
        [] => String::new(),
        [first, others @ ..] => others.iter().fold(labels.get(first).to_owned(), |mut joined, name| {
            joined.push_str(&rule.separator);
            joined.push_str(labels.get(name));
            joined
        }),
    }
}

fn replace(labels: &Labels, value: &str, regex: &Pattern, target: &str, replacement: &str) -> Labels {
    let Some(name) = regex.expand(value, target) else { return labels.clone() };
    let new = regex.expand(value, replacement).unwrap_or_default();
    if !is_label_name(&name) || new.is_empty() {
        // By its name as it is written, not as it is filled in; so does Prometheus.
        return labels.with(target, "");
    }
    labels.with(&name, &new)
}

fn map_names(labels: &Labels, regex: &Pattern, replacement: &str) -> Labels {
    let renamed = labels.iter().filter_map(|label| Some((regex.expand(&label.name, replacement)?, &label.value)));
    renamed.fold(labels.clone(), |mapped, (name, value)| mapped.with(&name, value))
}

/// The last eight bytes of the MD5 digest.
fn hash(value: &str) -> u64 {
    let digest: [u8; 16] = Md5::digest(value).into();
    digest.iter().skip(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// One character for one, as in Go.
fn lower(c: char) -> char {
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) => one,
        // The only one with two in lower case, of which Go takes the first.
        (Some(first), Some(_)) => first,
        (None, _) => c,
    }
}

/// One character for one, as in Go; a character that would become several stays as it is.
fn upper(c: char) -> char {
    let mut upper = c.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(one), None) => one,
        (Some(_) | None, _) => c,
    }
}

/// True of a label's name in which `$1` and `${name}` may stand.
pub(crate) fn is_name_template(text: &str) -> bool {
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word = |text: &str| text.len() - text.trim_start_matches(is_word).len();
        let taken = match (first, rest.get(1..).unwrap_or_default()) {
            ('$', tail) if tail.starts_with('{') => {
                let name = word(tail.get(1..).unwrap_or_default());
                let closes = tail.get(1 + name..).is_some_and(|tail| tail.starts_with('}'));
                if name > 0 && closes { name + 3 } else { 0 }
            }
            ('$', tail) => word(tail) + usize::from(word(tail) > 0),
            (c, _) => usize::from(is_word(c) && !(rest.len() == text.len() && c.is_ascii_digit())),
        };
        if taken == 0 {
            return false;
        }
        rest = rest.get(taken..).unwrap_or_default();
    }
    !text.is_empty()
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_refer_to_captures() {
        for good in ["a", "_a1", "$1", "${1}", "a${name}b", "${1}_x", "$a$b"] {
            assert!(is_name_template(good), "{good}");
        }
        for bad in ["", "1a", "$", "${}", "${1", "a-b", "a.$1", "${a-b}", "é", "a$"] {
            assert!(!is_name_template(bad), "{bad}");
        }
    }

    #[test]
    fn hashes_are_those_of_md5() {
        // `printf a | md5sum` is 0cc175b9c0f1b6a831c399e269772661.
        assert_eq!(hash("a"), 0x31c3_99e2_6977_2661);
    }

    #[test]
    fn case_is_changed_character_by_character() {
        assert_eq!("AÉİẞΣ".chars().map(lower).collect::<String>(), "aéißσ");
        assert_eq!("aéŉ".chars().map(upper).collect::<String>(), "AÉŉ");
    }
}
