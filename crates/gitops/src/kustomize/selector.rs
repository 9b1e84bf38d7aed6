//! Which objects a patch is for: `target` of a patch. Texts are regular expressions that must match the whole, as in
//! Kustomize; label selectors are those of the Kubernetes API ("Labels and Selectors", set-based requirements too).

use regex_lite::{Regex, RegexBuilder};

use super::resource::Resource;
use crate::located::Located;

/// Why a target can't be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum TargetError {
    /// A regular expression.
    #[error("the target's `{field}` is not a regular expression: {source}")]
    Pattern { field: &'static str, source: regex_lite::Error },
    /// A label selector.
    #[error("`{0}` is not a label selector such as `app=web,tier in (a, b),!legacy`")]
    Selector(String),
}

/// What an object must be for a patch to be applied to it.
pub(super) struct Target {
    group: Option<Regex>,
    version: Option<Regex>,
    kind: Option<Regex>,
    name: Option<Regex>,
    namespace: Option<Regex>,
    labels: Vec<Requirement>,
    annotations: Vec<Requirement>,
}

/// One part of a label selector.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    Exists(String),
    Absent(String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
}

impl Target {
    /// A target of group, version, kind, name and namespace, a label selector and an annotation selector.
    pub(super) fn new(
        patterns: [Option<&str>; 5],
        labels: Option<&str>,
        annotations: Option<&str>,
    ) -> Result<Self, TargetError> {
        let [group, version, kind, name, namespace] = patterns;
        Ok(Self {
            group: pattern("group", group)?,
            version: pattern("version", version)?,
            kind: pattern("kind", kind)?,
            name: pattern("name", name)?,
            namespace: pattern("namespace", namespace)?,
            labels: requirements(labels.unwrap_or_default())?,
            annotations: requirements(annotations.unwrap_or_default())?,
        })
    }

    /// Whether the object is meant. Name and namespace may be those it was written with, or those it has now.
    pub(super) fn matches(&self, resource: &Resource) -> bool {
        let (original, current) = (resource.original(), resource.id());
        let either = |pattern: Option<&Regex>, one: &str, other: &str| fits(pattern, one) || fits(pattern, other);
        // Objects without a namespace are matched under a name that no pattern means.
        let visible = |namespace: &str| {
            if namespace.is_empty() { "_non_namespaceable_".to_owned() } else { namespace.to_owned() }
        };
        either(self.namespace.as_ref(), &visible(&original.namespace), &visible(&current.namespace))
            && either(self.name.as_ref(), &original.name, &current.name)
            && fits(self.group.as_ref(), &current.group)
            && fits(self.version.as_ref(), &current.version)
            && fits(self.kind.as_ref(), &current.kind)
            && holds(&self.labels, resource.tree.at(&["metadata", "labels"]))
            && holds(&self.annotations, resource.tree.at(&["metadata", "annotations"]))
    }
}

fn pattern(field: &'static str, text: Option<&str>) -> Result<Option<Regex>, TargetError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    RegexBuilder::new(&format!("^(?:{text})$"))
        .size_limit(1 << 20)
        .build()
        .map(Some)
        .map_err(|source| TargetError::Pattern { field, source })
}

fn fits(pattern: Option<&Regex>, text: &str) -> bool {
    pattern.is_none_or(|pattern| pattern.is_match(text))
}

fn holds(requirements: &[Requirement], pairs: Option<&Located>) -> bool {
    let value = |key: &str| pairs.and_then(|pairs| pairs.get(key)).map(|value| value.as_str().unwrap_or_default());
    requirements.iter().all(|requirement| match requirement {
        Requirement::Exists(key) => value(key).is_some(),
        Requirement::Absent(key) => value(key).is_none(),
        Requirement::In(key, values) => value(key).is_some_and(|value| values.iter().any(|v| v == value)),
        Requirement::NotIn(key, values) => value(key).is_none_or(|value| values.iter().all(|v| v != value)),
    })
}

fn requirements(text: &str) -> Result<Vec<Requirement>, TargetError> {
    split_outside_parentheses(text)
        .into_iter()
        .map(|part| {
            requirement(part.trim()).ok_or_else(|| TargetError::Selector(part.trim().chars().take(100).collect()))
        })
        .collect()
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut inside = false;
    let parts = text.split(|c| {
        inside = (inside || c == '(') && c != ')';
        c == ',' && !inside
    });
    if text.trim().is_empty() { vec![] } else { parts.collect() }
}

fn requirement(text: &str) -> Option<Requirement> {
    if let Some(key) = text.strip_prefix('!') {
        return Some(Requirement::Absent(label_key(key)?));
    }
    for (sign, equal) in [("!=", false), ("==", true), ("=", true)] {
        if let Some((key, value)) = text.split_once(sign) {
            let (key, value) = (label_key(key)?, vec![value.trim().to_owned()]);
            return Some(if equal { Requirement::In(key, value) } else { Requirement::NotIn(key, value) });
        }
    }
    if let Some(set) = text.strip_suffix(')') {
        let (head, values) = set.split_once('(')?;
        let values = values.split(',').map(|value| value.trim().to_owned()).collect();
        let head = head.trim_end();
        if let Some(key) = head.strip_suffix(" notin") {
            return Some(Requirement::NotIn(label_key(key)?, values));
        }
        return Some(Requirement::In(label_key(head.strip_suffix(" in")?)?, values));
    }
    Some(Requirement::Exists(label_key(text)?))
}

fn label_key(text: &str) -> Option<String> {
    let key = text.trim();
    let plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    plain.then(|| key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_those_of_the_kubernetes_api() {
        let read = |text| requirements(text).map_err(|error| error.to_string());
        assert_eq!(
            read("app=web, tier in (a, b),!legacy,x!=y,z,n notin (q)").unwrap(),
            [
                Requirement::In("app".into(), vec!["web".into()]),
                Requirement::In("tier".into(), vec!["a".into(), "b".into()]),
                Requirement::Absent("legacy".into()),
                Requirement::NotIn("x".into(), vec!["y".into()]),
                Requirement::Exists("z".into()),
                Requirement::NotIn("n".into(), vec!["q".into()]),
            ]
        );
        for bad in ["=a", "a b", "a in (b", "a,,b", "!"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(pattern("name", Some("(")).is_err());
    }
}
