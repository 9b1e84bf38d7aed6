//! The labels that a target's series is stored under.

use std::borrow::Cow;

use super::Settings;
use crate::exposition::Line;
use crate::labels::{Labels, METRIC_NAME, is_label_name};
use crate::relabel;
use crate::scrape::config::Limits;

/// What is put before a target's own label where a sample has the same one.
const EXPORTED: &str = "exported_";

/// Why a series can't be stored, and with it the scrape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SeriesError {
    /// A label comes twice.
    #[error("{metric} has the label `{label}` twice")]
    Twice {
        /// The metric.
        metric: String,
        /// The label.
        label: String,
    },
    /// Relabelling has taken the name away.
    #[error("{0} has no name after relabelling")]
    NoName(Labels),
    /// Relabelling has made a name that can't be one.
    #[error("`{0}` can't be the name of a metric or a label")]
    Name(String),
    /// Too many labels.
    #[error("label_limit exceeded: {metric} has {found} labels, more than {limit}")]
    Labels {
        /// The metric.
        metric: String,
        /// How many it has.
        found: usize,
        /// The limit.
        limit: u64,
    },
    /// A name or a value is too long.
    #[error("{field} exceeded: label `{label}` of {metric} has {found} bytes, more than {limit}")]
    Length {
        /// The limit's name.
        field: &'static str,
        /// The metric.
        metric: String,
        /// The label.
        label: String,
        /// How long it is.
        found: usize,
        /// The limit.
        limit: u64,
    },
}

/// The labels after those of the target have been set and relabelling is done; none where it is dropped.
pub(super) fn stored(settings: &Settings, target: &Labels, line: &Line<'_>) -> Result<Option<Labels>, SeriesError> {
    let exposed = line.labels();
    check_unique(&exposed)?;
    let joined = if settings.honor_labels { honoring(&exposed, target) } else { overriding(&exposed, target) };
    let Some(labels) = relabel::apply(&settings.relabelling, &joined).filter(|labels| !labels.is_empty()) else {
        return Ok(None);
    };
    let name = labels.get(METRIC_NAME);
    if name.is_empty() {
        return Err(SeriesError::NoName(labels));
    }
    if !is_label_name(&name.replace(':', "_")) {
        return Err(SeriesError::Name(name.to_owned()));
    }
    if let Some(label) = labels.iter().find(|label| !is_label_name(&label.name)) {
        return Err(SeriesError::Name(label.name.to_string()));
    }
    check_limits(settings.limits, &labels)?;
    Ok(Some(labels))
}

type Exposed<'a> = [(&'a str, Cow<'a, str>)];

fn check_unique(exposed: &Exposed<'_>) -> Result<(), SeriesError> {
    let mut names: Vec<&str> = exposed.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    let twice = names.windows(2).find_map(|pair| (pair.first() == pair.last()).then(|| pair.first().copied())?);
    let metric = || exposed.first().map_or(String::new(), |(_, name)| cut(name));
    twice.map_or(Ok(()), |label| Err(SeriesError::Twice { metric: metric(), label: cut(label) }))
}

/// The sample's labels hold, even those without a value.
fn honoring(exposed: &Exposed<'_>, target: &Labels) -> Labels {
    let missing = target.iter().filter(|label| !exposed.iter().any(|(name, _)| **name == *label.name));
    let own = exposed.iter().map(|(name, value)| (*name, value.as_ref()));
    own.chain(missing.map(|label| (&*label.name, &*label.value))).collect()
}

/// The target's labels hold; the sample's are called otherwise.
fn overriding(exposed: &Exposed<'_>, target: &Labels) -> Labels {
    let has = |name: &str| exposed.iter().any(|(other, _)| *other == name) || !target.get(name).is_empty();
    let (mut conflicting, others): (Vec<_>, Vec<_>) =
        exposed.iter().partition(|(name, value)| !value.is_empty() && !target.get(name).is_empty());
    // The shortest first, so that `exported_a` is renamed after `a` has been.
    conflicting.sort_by_key(|(name, _)| name.len());
    let mut renamed: Vec<(String, &str)> = Vec::new();
    for (name, value) in conflicting {
        let mut new = format!("{EXPORTED}{name}");
        while has(&new) || renamed.iter().any(|(other, _)| *other == new) {
            new.insert_str(0, EXPORTED);
        }
        renamed.push((new, value));
    }
    let own = others.into_iter().map(|(name, value)| (*name, value.as_ref()));
    let own = own.chain(renamed.iter().map(|(name, value)| (name.as_str(), *value)));
    own.chain(target.iter().map(|label| (&*label.name, &*label.value))).collect()
}

fn check_limits(limits: Limits, labels: &Labels) -> Result<(), SeriesError> {
    let metric = || cut(labels.get(METRIC_NAME));
    let found = labels.iter().count();
    if let Some(limit) = limits.labels.filter(|limit| found as u64 > *limit) {
        return Err(SeriesError::Labels { metric: metric(), found, limit });
    }
    for label in labels.iter() {
        let lengths = [
            ("label_name_length_limit", label.name.len(), limits.label_name_bytes),
            ("label_value_length_limit", label.value.len(), limits.label_value_bytes),
        ];
        for (field, found, limit) in lengths {
            if let Some(limit) = limit.filter(|limit| found as u64 > *limit) {
                return Err(SeriesError::Length { field, metric: metric(), label: cut(&label.name), found, limit });
            }
        }
    }
    Ok(())
}

/// A name may be as long as a body; a message may not.
fn cut(name: &str) -> String {
    name.chars().take(50).collect()
}
