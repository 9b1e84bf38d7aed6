//! What a recording rule writes.

use std::collections::BTreeSet;

use super::{Recording, RuleError, check_limit};
use crate::labels::{Labels, METRIC_NAME};

/// The series that a rule writes, given its expression's answer.
pub fn record<T>(
    rule: &Recording,
    answer: Vec<(Labels, T)>,
    limit: Option<usize>,
) -> Result<Vec<(Labels, T)>, RuleError> {
    let mut seen = BTreeSet::new();
    let mut recorded = Vec::with_capacity(answer.len());
    for (labels, value) in answer {
        let named = labels.with(METRIC_NAME, &rule.record);
        let labels = rule.labels.iter().fold(named, |labels, (name, value)| labels.with(name, value));
        if !seen.insert(labels.clone()) {
            return Err(RuleError::SameLabels(labels));
        }
        recorded.push((labels, value));
    }
    check_limit(recorded.len(), limit)?;
    Ok(recorded)
}

/// The series that a rule wrote last time and does not write any more: each is ended with a marker of staleness.
pub fn ended<T>(last_time: &BTreeSet<Labels>, now: &[(Labels, T)]) -> Vec<Labels> {
    let written: BTreeSet<&Labels> = now.iter().map(|(labels, _)| labels).collect();
    last_time.iter().filter(|labels| !written.contains(labels)).cloned().collect()
}
