//! Which objects a patch is for: `target` of a patch. Texts are regular expressions that must match the whole, as in
//! Kustomize; label selectors are those of the Kubernetes API ("Labels and Selectors", set-based requirements too).

use prograde_model::Diagnostic;
use regex_lite::{Regex, RegexBuilder};

use crate::codes;
use crate::id::{Gvk, Id};
use crate::node::Node;
use crate::reader::Reader;
use crate::resource::Resource;
use crate::schema::Schemas;

/// Why a target can't be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TargetError {
    /// A regular expression.
    #[error("the target's `{field}` is not a regular expression: {source}")]
    Pattern { field: &'static str, source: regex_lite::Error },
    /// A label selector.
    #[error("`{0}` is not a label selector such as `app=web,tier in (a, b),!legacy`")]
    Selector(String),
}

/// What an object must be for a patch to be applied to it.
#[derive(Debug, Clone)]
pub(crate) struct Target {
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
    /// Reads a target.
    pub(crate) fn read(node: &Node, reader: Reader<'_>) -> Result<Self, Diagnostic> {
        let mut reader = reader;
        let gvk = reader.gvk()?;
        let (name, namespace) = (reader.text_or_empty("name")?, reader.text_or_empty("namespace")?);
        let labels = reader.text_or_empty("labelSelector")?;
        let annotations = reader.text_or_empty("annotationSelector")?;
        reader.finish()?;
        let wrong = |error: TargetError| node.place.diagnostic(codes::INVALID_FIELD, error.to_string(), "");
        Ok(Self {
            group: pattern("group", &gvk.group).map_err(wrong)?,
            version: pattern("version", &gvk.version).map_err(wrong)?,
            kind: pattern("kind", &gvk.kind).map_err(wrong)?,
            name: pattern("name", &name).map_err(wrong)?,
            namespace: pattern("namespace", &namespace).map_err(wrong)?,
            labels: requirements(&labels).map_err(wrong)?,
            annotations: requirements(&annotations).map_err(wrong)?,
        })
    }

    /// Whether the object is meant. Name and namespace may be those it was written with, or those it has now.
    pub(crate) fn matches(&self, resource: &Resource, scopes: &Schemas) -> bool {
        let (first, now) = (resource.first_id(scopes), resource.id(scopes));
        let either = |pattern: Option<&Regex>, one: &str, other: &str| fits(pattern, one) || fits(pattern, other);
        either(self.namespace.as_ref(), first.effective_namespace(), now.effective_namespace())
            && either(self.name.as_ref(), &first.name, &now.name)
            && self.fits_gvk(&now.gvk)
            && self.fits_texts(&resource.tree)
    }

    fn fits_gvk(&self, gvk: &Gvk) -> bool {
        fits(self.group.as_ref(), &gvk.group)
            && fits(self.version.as_ref(), &gvk.version)
            && fits(self.kind.as_ref(), &gvk.kind)
    }

    /// Whether the labels and annotations are those that are asked for.
    pub(crate) fn fits_texts(&self, tree: &Node) -> bool {
        holds(&self.labels, tree.at(&["metadata", "labels"]))
            && holds(&self.annotations, tree.at(&["metadata", "annotations"]))
    }

    /// Whether labels or annotations are asked for.
    pub(crate) fn asks_texts(&self) -> bool {
        !(self.labels.is_empty() && self.annotations.is_empty())
    }

    /// Whether group, version, kind, name or namespace are asked for.
    pub(crate) fn asks_id(&self) -> bool {
        [&self.group, &self.version, &self.kind, &self.name, &self.namespace].into_iter().any(Option::is_some)
    }

    /// Whether an id is meant, with the namespace as it is written.
    pub(crate) fn fits_id(&self, id: &Id) -> bool {
        self.fits_gvk(&id.gvk) && fits(self.name.as_ref(), &id.name) && fits(self.namespace.as_ref(), &id.namespace)
    }
}

fn pattern(field: &'static str, text: &str) -> Result<Option<Regex>, TargetError> {
    if text.is_empty() {
        return Ok(None);
    }
    RegexBuilder::new(&format!("^(?:{text})$"))
        .size_limit(1 << 20)
        .build()
        .map(Some)
        .map_err(|source| TargetError::Pattern { field, source })
}

fn fits(pattern: Option<&Regex>, text: &str) -> bool {
    pattern.is_none_or(|pattern| pattern.is_match(text))
}

fn holds(requirements: &[Requirement], pairs: Option<&Node>) -> bool {
    let value = |key: &str| pairs.and_then(|pairs| pairs.get(key)).map(Node::raw);
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
        assert!(pattern("name", "(").is_err());
    }
}
