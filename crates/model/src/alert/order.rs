//! The order in which a notification names its alerts: as Alertmanager, by job, by instance, then by all labels.

use std::cmp::Ordering;

use super::Alert;
use crate::labels::Labels;

/// Alerts in that order.
#[must_use]
pub fn sorted(mut alerts: Vec<Alert>) -> Vec<Alert> {
    alerts.sort_by(|a, b| compare(&a.labels, &b.labels));
    alerts
}

fn compare(a: &Labels, b: &Labels) -> Ordering {
    let by_label = |name| match (a.get(name), b.get(name)) {
        ("", "") => Ordering::Equal,
        // One that has the label comes first.
        ("", _) => Ordering::Greater,
        (_, "") => Ordering::Less,
        (a, b) => a.cmp(b),
    };
    let fewer_first = || a.len().cmp(&b.len());
    by_label("job").then_with(|| by_label("instance")).then_with(fewer_first).then_with(|| a.cmp(b))
}
