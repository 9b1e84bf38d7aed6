//! Alerts of rules on their way to where alerts are handled.
//!
//! Each is posted when it begins to fire, again each minute, and when it is resolved; in between it is taken to fire for
//! four times the longer of a minute and the group's period, as Prometheus has it.
//!
//! Source: Prometheus 2.42, `rules/alerting.go` (`needsSending`), `cmd/prometheus` (`sendAlerts`).

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use prograde_notify::Handle;
use prograde_notify::api::Request;
use prograde_observe::rules::alert::{Alert, Standing};
use prograde_observe::rules::template::External;
use prograde_observe::rules::{Alerting, Rule};
use prograde_observe::scrape::Senders;
use prograde_observe::{Labels, relabel};
use serde_json::{Map, Value, json};

use super::rules::GroupState;

/// How long it is waited until an alert that still fires is posted again.
const AGAIN_MS: i64 = 60_000;

/// Where alerts are posted, and what is done to them before.
#[derive(Clone)]
pub(crate) struct Receiver {
    /// Alerts as this server handles them, if it does.
    pub(crate) alerts: Option<Handle>,
    /// Alertmanagers elsewhere.
    pub(crate) senders: Arc<Senders>,
    pub(crate) relabelling: Arc<Vec<relabel::Rule>>,
    pub(crate) external: Arc<External>,
}

/// When each alert of a group was last posted as firing, by the rule's place and its labels.
#[derive(Debug, Default)]
pub(crate) struct Posted(BTreeMap<(usize, Labels), i64>);

impl Receiver {
    /// Posts what there is to say of a group's alerts. What could not be posted is posted at the next evaluation.
    pub(crate) async fn tell(&self, group: &GroupState, posted: &mut Posted, now_ms: i64) {
        let (body, after) = self.due(group, posted, now_ms);
        if body.is_empty() {
            return;
        }
        self.senders.send(&body);
        if let Some(alerts) = &self.alerts {
            let body = Value::from(body).to_string();
            let request = Request { method: "POST", path: "/alerts", query: &[], body: body.as_bytes() };
            let answer = alerts.answer(&request).await;
            if answer.status != 200 {
                let why = answer.body.unwrap_or_default();
                tracing::error!(group = group.group.name, status = answer.status, "alerts could not be handled: {why}");
                return;
            }
        }
        *posted = after;
    }

    /// What is to be posted, and what has been once it is.
    fn due(&self, group: &GroupState, posted: &Posted, now_ms: i64) -> (Vec<Value>, Posted) {
        let mut due = Vec::new();
        let mut after = BTreeMap::new();
        let lasts_ms = group.interval_ms.max(AGAIN_MS).saturating_mul(4);
        let states = group.states();
        let rules = group.group.rules.iter().zip(states.iter()).enumerate();
        for (place, (rule, state)) in rules {
            let Rule::Alerting(rule) = rule else { continue };
            for (labels, alert) in &state.alerts {
                let key = (place, labels.clone());
                let before = posted.0.get(&key).copied();
                let (ends_ms, at_ms) = match (alert.standing, before) {
                    (Standing::Pending, _) | (Standing::Resolved { .. }, None) => continue,
                    (Standing::Firing { .. }, Some(before)) if now_ms.saturating_sub(before) < AGAIN_MS => {
                        after.insert(key, before);
                        continue;
                    }
                    (Standing::Firing { .. }, _) => (now_ms.saturating_add(lasts_ms), Some(now_ms)),
                    (Standing::Resolved { at_ms }, Some(_)) => (at_ms, None),
                };
                due.extend(self.one(rule, labels, alert, ends_ms));
                after.extend(at_ms.map(|at_ms| (key, at_ms)));
            }
        }
        (due, Posted(after))
    }

    /// One alert as it is posted; nothing where relabelling drops it.
    fn one(&self, rule: &Alerting, labels: &Labels, alert: &Alert, ends_ms: i64) -> Option<Value> {
        let outside = self.external.labels.iter().filter(|label| labels.get(&label.name).is_empty());
        let labels = outside.fold(labels.clone(), |labels, label| labels.with(&label.name, &label.value));
        let labels = relabel::apply(&self.relabelling, &labels)?;
        let begins_ms = match alert.standing {
            Standing::Firing { since_ms, .. } => since_ms,
            Standing::Pending | Standing::Resolved { .. } => alert.active_since_ms,
        };
        let query = serde_urlencoded::to_string([("query", &rule.query)]).unwrap_or_default();
        let object: Map<String, Value> =
            labels.iter().map(|label| (label.name.to_string(), Value::from(&*label.value))).collect();
        Some(json!({
            "labels": object,
            "annotations": alert.annotations,
            "startsAt": time(begins_ms),
            "endsAt": time(ends_ms),
            "generatorURL": format!("{}/api/v1/query?{query}", self.external.url),
        }))
    }
}

fn time(ms: i64) -> String {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX).to_string()
}
