//! Where an alert stands: pending, firing, or resolved.
//!
//! ```text
//!            in the answer            for `for`                 not in the answer for `keep_firing_for`
//! (nothing) ───────────────▶ Pending ───────────▶ Firing ──────────────────────────────────────────────▶ Resolved
//!     ▲                         │                    ▲                                                       │ │
//!     └─────────────────────────┘                    └───────── Pending ◀─────────────────────────────────────┘ │
//!           not in the answer                                         in the answer again                        │
//!     ▲                                                                                      after 15 minutes   │
//!     └──────────────────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Source: Prometheus documentation, "Alerting rules"; Prometheus 2.42, `rules/alerting.go`.

use std::collections::BTreeMap;

use super::{Alerting, RuleError, check_limit};
use crate::labels::{Labels, METRIC_NAME};
use crate::matcher::Matcher;
use crate::store::{Store, StoreError};

/// How long a resolved alert is remembered, so that whoever missed that it is resolved can be told again.
pub const RESOLVED_REMEMBERED_MS: i64 = 15 * 60_000;

/// How long nothing may have been evaluated for alerts to go on where they were.
const OUTAGE_MAX_MS: i64 = 3_600_000;

/// The series that holds since when alerts are active.
const FOR_STATE: &str = "ALERTS_FOR_STATE";

/// The label that holds an alert's name.
const ALERT_NAME: &str = "alertname";

/// One alert.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// Since when its series has been in the answer.
    pub active_since_ms: i64,
    /// The series' value when it was last in the answer.
    pub value: f64,
    /// What people are told.
    pub annotations: BTreeMap<String, String>,
    /// Where it stands.
    pub standing: Standing,
}

/// Where an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// In the answer, but not for long enough.
    Pending,
    /// Somebody should know.
    Firing {
        /// When it began to fire.
        since_ms: i64,
        /// Since when it has fired without being in the answer.
        unseen_since_ms: Option<i64>,
    },
    /// It has fired, and does so no more.
    Resolved {
        /// When it was resolved.
        at_ms: i64,
    },
}

/// All alerts of a rule, by their labels.
pub type Alerts = BTreeMap<Labels, Alert>;

/// Fills in a template, given the labels and the value of the series, as [`template::filled`](super::template::filled) does.
pub type Expand<'a> = &'a dyn Fn(&str, &Labels, f64) -> String;

/// A rule's alerts after an evaluation, given those before it and its expression's answer.
///
/// After an error the alerts remain as they were before; but as in Prometheus, a rule that exceeds its limit forgets them.
pub fn next(
    rule: &Alerting,
    before: &Alerts,
    answer: &[(Labels, f64)],
    now_ms: i64,
    limit: Option<usize>,
    expand: Expand<'_>,
) -> Result<Alerts, RuleError> {
    let mut seen = Alerts::new();
    for (labels, value) in answer {
        let (labels, alert) = seen_now(rule, labels, *value, now_ms, expand);
        if seen.insert(labels.clone(), alert).is_some() {
            return Err(RuleError::SameLabels(labels));
        }
    }
    let mut after: Alerts = before
        .iter()
        .filter(|(labels, _)| !seen.contains_key(*labels))
        .filter_map(|(labels, alert)| Some((labels.clone(), unseen(rule, alert, now_ms)?)))
        .collect();
    for (labels, found) in seen {
        let alert = match before.get(&labels) {
            Some(alert) => seen_again(alert, found),
            None => found,
        };
        after.insert(labels, due(rule, alert, now_ms));
    }
    let active = after.values().filter(|alert| !matches!(alert.standing, Standing::Resolved { .. })).count();
    check_limit(active, limit)?;
    Ok(after)
}

/// A series in the answer as a new alert.
fn seen_now(rule: &Alerting, series: &Labels, value: f64, now_ms: i64, expand: Expand<'_>) -> (Labels, Alert) {
    let expanded = |(name, template): &(String, String)| (name.clone(), expand(template, series, value));
    let set = |labels: Labels, pair| {
        let (name, value) = expanded(pair);
        labels.with(&name, &value)
    };
    let labels = rule.labels.iter().fold(series.without_metric_name(), set).with(ALERT_NAME, &rule.alert);
    let annotations = rule.annotations.iter().map(expanded).collect();
    (labels, Alert { active_since_ms: now_ms, value, annotations, standing: Standing::Pending })
}

/// An alert whose series is in the answer again; one that was resolved begins anew.
fn seen_again(alert: &Alert, found: Alert) -> Alert {
    let standing = match alert.standing {
        Standing::Resolved { .. } => return found,
        Standing::Pending => Standing::Pending,
        Standing::Firing { since_ms, .. } => Standing::Firing { since_ms, unseen_since_ms: None },
    };
    Alert { active_since_ms: alert.active_since_ms, standing, ..found }
}

/// An alert that has been pending for long enough fires.
fn due(rule: &Alerting, alert: Alert, now_ms: i64) -> Alert {
    let is_due = alert.standing == Standing::Pending && now_ms.saturating_sub(alert.active_since_ms) >= rule.for_ms;
    let firing = Standing::Firing { since_ms: now_ms, unseen_since_ms: None };
    Alert { standing: if is_due { firing } else { alert.standing }, ..alert }
}

/// An alert whose series is not in the answer; `None` if nobody needs to remember it.
fn unseen(rule: &Alerting, alert: &Alert, now_ms: i64) -> Option<Alert> {
    let standing = match alert.standing {
        Standing::Pending => return None,
        Standing::Firing { since_ms, unseen_since_ms } => {
            let unseen_since_ms = unseen_since_ms.unwrap_or(now_ms);
            if now_ms.saturating_sub(unseen_since_ms) < rule.keep_firing_for_ms {
                Standing::Firing { since_ms, unseen_since_ms: Some(unseen_since_ms) }
            } else {
                Standing::Resolved { at_ms: now_ms }
            }
        }
        Standing::Resolved { at_ms } if now_ms.saturating_sub(at_ms) > RESOLVED_REMEMBERED_MS => return None,
        resolved @ Standing::Resolved { .. } => resolved,
    };
    Some(Alert { standing, ..alert.clone() })
}

/// Alerts that were active before a restart go on from there, given what [`series`] has written before. To be called after
/// the first evaluation; the time in which nothing was evaluated counts for nobody, and after an hour of it all begins anew.
///
/// Prometheus does not do so for alerts of less than ten minutes, and lets others wait for that long in any case
/// (`--rules.alert.for-grace-period`): there the time counts.
pub fn restore(rule: &Alerting, alerts: &mut Alerts, store: &dyn Store, now_ms: i64) -> Result<(), StoreError> {
    if rule.for_ms == 0 || alerts.is_empty() {
        return Ok(());
    }
    let matchers = [Matcher::equal(METRIC_NAME, FOR_STATE), Matcher::equal(ALERT_NAME, rule.alert.as_str())];
    let written = store.select(&matchers, now_ms.saturating_sub(OUTAGE_MAX_MS), now_ms.saturating_sub(1))?;
    for series in written {
        let Some(alert) = alerts.get_mut(&series.labels.without_metric_name()) else { continue };
        // A marker says that it had ended before.
        let Some(last) = series.samples.last().filter(|sample| !sample.is_stale()) else { continue };
        #[expect(clippy::cast_possible_truncation, reason = "seconds since 1970, and no alert is older than that")]
        let active_since_ms = (last.value * 1000.0) as i64;
        let active_ms = last.timestamp.saturating_sub(active_since_ms);
        alert.active_since_ms = now_ms.saturating_sub(active_ms.max(0));
        *alert = due(rule, alert.clone(), now_ms);
    }
    Ok(())
}

/// The series that tell of alerts: `ALERTS`, and `ALERTS_FOR_STATE` with the second since which each is active.
pub fn series(alerts: &Alerts) -> Vec<(Labels, f64)> {
    let mut series = Vec::new();
    for (labels, alert) in alerts {
        let state = match alert.standing {
            Standing::Pending => "pending",
            Standing::Firing { .. } => "firing",
            Standing::Resolved { .. } => continue,
        };
        series.push((labels.with(METRIC_NAME, "ALERTS").with("alertstate", state), 1.0));
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are counted exactly")]
        let since = alert.active_since_ms.div_euclid(1000) as f64;
        series.push((labels.with(METRIC_NAME, FOR_STATE), since));
    }
    series
}
