//! Sets of labels: the name of a series, and that of an alert.
//!
//! Invariant: sorted by name, no name twice, no empty value. In Prometheus' data model a label with an empty value is a
//! label that is not there, so `{a=""}` and `{}` are the same set.
//!
//! Source: Prometheus documentation, "Data model".

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The label that holds the metric's name.
pub const METRIC_NAME: &str = "__name__";

/// The label that holds the upper bound of a bucket of a conventional histogram.
pub const BUCKET: &str = "le";

/// One label of a set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    /// As in [`is_label_name`].
    pub name: Arc<str>,
    /// Never empty.
    pub value: Arc<str>,
}

/// A set of labels; cloning one costs a counter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Arc<[Label]>);

impl Default for Labels {
    fn default() -> Self {
        Self(Arc::new([]))
    }
}

impl Labels {
    /// The value of a label; empty where there is none, as PromQL sees it.
    pub fn get(&self, name: &str) -> &str {
        self.find(name).map_or("", |label| &label.value)
    }

    /// All labels, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &Label> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True of the set without any label.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A set of labels that are known to be sorted by name, without a name twice and without an empty value.
    pub fn from_sorted(labels: Vec<Label>) -> Self {
        Self(labels.into())
    }

    fn find(&self, name: &str) -> Option<&Label> {
        self.0.iter().find(|label| &*label.name == name)
    }

    /// The labels whose name the condition holds for.
    #[must_use]
    pub fn retain(&self, keep: impl Fn(&str) -> bool) -> Self {
        if self.0.iter().all(|label| keep(&label.name)) {
            return self.clone();
        }
        Self(self.0.iter().filter(|label| keep(&label.name)).cloned().collect())
    }

    /// The set without the metric's name: what is left of a name once its value has been calculated with.
    #[must_use]
    pub fn without_metric_name(&self) -> Self {
        self.retain(|name| name != METRIC_NAME)
    }

    /// The set with one label set; an empty value takes it away.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let others = self.0.iter().filter(|label| &*label.name != name);
        if value.is_empty() {
            return Self(others.cloned().collect());
        }
        let mut labels: Vec<Label> = others.cloned().collect();
        let at = labels.partition_point(|label| &*label.name < name);
        labels.insert(at, Label { name: name.into(), value: value.into() });
        Self(labels.into())
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Labels {
    /// Of a name that comes twice the last value holds.
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut sorted = BTreeMap::new();
        for (name, value) in pairs {
            sorted.insert(Arc::<str>::from(name.as_ref()), Arc::<str>::from(value.as_ref()));
        }
        let labels = sorted.into_iter().filter(|(_, value)| !value.is_empty());
        Self(labels.map(|(name, value)| Label { name, value }).collect())
    }
}

impl fmt::Display for Labels {
    /// `name{a="b"}`, as Prometheus writes series.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.get(METRIC_NAME))?;
        let mut others = self.0.iter().filter(|label| &*label.name != METRIC_NAME).peekable();
        if others.peek().is_none() && !self.get(METRIC_NAME).is_empty() {
            return Ok(());
        }
        f.write_str("{")?;
        for (index, label) in others.enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{}={:?}", label.name, &*label.value)?;
        }
        f.write_str("}")
    }
}

impl Serialize for Labels {
    /// A mapping from names to values.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for label in self.iter() {
            map.serialize_entry(&*label.name, &*label.value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(BTreeMap::<String, String>::deserialize(deserializer)?.into_iter().collect())
    }
}

/// True of `[a-zA-Z_][a-zA-Z0-9_]*`, which names of labels are; names of metrics may have colons as well.
pub fn is_label_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().copied().collect()
    }

    #[test]
    fn sets_are_sorted_and_hold_no_empty_value() {
        let set = labels(&[("b", "1"), ("a", "2"), ("c", ""), ("a", "3")]);
        assert_eq!(set.to_string(), r#"{a="3", b="1"}"#);
        assert_eq!(set.get("c"), "");
        assert_eq!(labels(&[("a", "")]), Labels::default());
    }

    #[test]
    fn a_set_with_a_label_more_or_less() {
        let set = labels(&[(METRIC_NAME, "up"), ("job", "pad")]);
        assert_eq!(set.to_string(), r#"up{job="pad"}"#);
        assert_eq!(set.without_metric_name().with("a", "é\"").to_string(), r#"{a="é\"", job="pad"}"#);
        assert_eq!(set.with("job", "").to_string(), "up");
        assert_eq!(set.with("job", "x").with("job", "pad"), set);
        assert_eq!(Labels::default().to_string(), "{}");
    }

    #[test]
    fn names_of_labels_are_letters_digits_and_underscores() {
        assert!(["a", "_", "A9_"].into_iter().all(is_label_name));
        assert!(!["", "9a", "a:b", "a-b", "é"].into_iter().any(is_label_name));
    }
}
