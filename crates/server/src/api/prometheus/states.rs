//! How targets, rules and alerts are.

use std::collections::BTreeMap;

use axum::extract::State;
use jiff::Timestamp;
use prograde_model::duration;
use prograde_observe::Labels;
use prograde_observe::rules::alert::{Alert, Alerts, Standing};
use prograde_observe::rules::{Alerting, Recording, Rule};
use prograde_observe::scrape::state::ActiveTarget;
use serde_json::{Map, Value, json};

use super::answer::{Data, Refused};
use super::encode;
use super::parameters::Parameters;
use crate::api::Context;
use crate::metrics::rules::{GroupState, RuleState};

/// `targets`: what is scraped, and what relabelling has dropped.
pub(super) async fn targets(State(context): State<Context>, parameters: Parameters) -> Result<Data, Refused> {
    let state = parameters.get("state").unwrap_or("any");
    let (active, dropped) = match state.to_ascii_lowercase().as_str() {
        "active" => (true, false),
        "dropped" => (false, true),
        "any" => (true, true),
        _ => return Err(Refused::parameter("state", "expected active, dropped or any")),
    };
    let found = context.metrics.scraping().targets();
    let active: Vec<Value> = found.active.iter().filter(|_| active).map(active_target).collect();
    let dropped: Vec<Value> =
        found.dropped.iter().filter(|_| dropped).map(|labels| json!({"discoveredLabels": object(labels)})).collect();
    Ok(Data::of(&json!({"activeTargets": active, "droppedTargets": dropped})))
}

fn active_target(ActiveTarget { job, target, status }: &ActiveTarget) -> Value {
    json!({
        "discoveredLabels": object(&target.discovered),
        "labels": object(&target.labels),
        "scrapePool": job,
        "scrapeUrl": target.url,
        "globalUrl": target.url,
        "lastError": status.last_error,
        "lastScrape": time(status.last_scrape_ms),
        "lastScrapeDuration": status.last_duration_seconds,
        "health": status.health.as_str(),
        "scrapeInterval": duration::format(target.interval_ms),
        "scrapeTimeout": duration::format(target.timeout_ms),
    })
}

/// `metadata`: what targets say about their metrics, by metric, each description once.
pub(super) async fn metadata(State(context): State<Context>, parameters: Parameters) -> Result<Data, Refused> {
    let limit = match parameters.get("limit") {
        None => usize::MAX,
        Some(text) => text.parse().map_err(|_| Refused::parameter("limit", "expected a number"))?,
    };
    let wanted = parameters.get("metric");
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for of in context.metrics.scraping().metadata() {
        if wanted.is_some_and(|wanted| wanted != of.metric) {
            continue;
        }
        let described = json!({"type": of.metadata.kind.as_str(), "help": of.metadata.help, "unit": of.metadata.unit});
        let all = found.entry(of.metric).or_default();
        if !all.contains(&described) {
            all.push(described);
        }
    }
    Ok(Data::of(
        &found.into_iter().take(limit).map(|(metric, all)| (metric, Value::from(all))).collect::<Map<_, _>>().into(),
    ))
}

/// `rules`: the groups with their rules, how these go, and their alerts.
pub(super) async fn rules(State(context): State<Context>, parameters: Parameters) -> Result<Data, Refused> {
    let (alerting, recording) = match parameters.get("type").unwrap_or_default() {
        "" => (true, true),
        "alert" => (true, false),
        "record" => (false, true),
        _ => return Err(Refused::parameter("type", "expected alert or record")),
    };
    let groups: Vec<Value> = context
        .metrics
        .groups()
        .await
        .iter()
        .map(|group| {
            let states = group.states();
            let rules = group.group.rules.iter().zip(states.iter()).filter_map(|(rule, state)| match rule {
                Rule::Alerting(rule) => alerting.then(|| alerting_rule(rule, state)),
                Rule::Recording(rule) => recording.then(|| recording_rule(rule, state)),
            });
            group_of(group, &states, &rules.collect::<Vec<_>>())
        })
        .collect();
    Ok(Data::of(&json!({"groups": groups})))
}

#[expect(clippy::cast_precision_loss, reason = "seconds of a period, for people")]
fn group_of(group: &GroupState, states: &[RuleState], rules: &[Value]) -> Value {
    json!({
        "name": group.group.name,
        "file": group.file.to_string_lossy(),
        "interval": group.interval_ms as f64 / 1_000.0,
        "limit": group.group.limit.unwrap_or(0),
        "evaluationTime": states.iter().map(|state| state.took_s).sum::<f64>(),
        "lastEvaluation": time(states.iter().filter_map(|state| state.at_ms).max()),
        "rules": rules,
    })
}

fn alerting_rule(rule: &Alerting, state: &RuleState) -> Value {
    let standing = |wanted: fn(&Alert) -> bool| state.alerts.values().any(wanted);
    let now = if standing(is_firing) {
        "firing"
    } else if standing(|alert| alert.standing == Standing::Pending) {
        "pending"
    } else {
        "inactive"
    };
    let mut value = json!({
        "type": "alerting",
        "name": rule.alert,
        "query": rule.query,
        "duration": seconds(rule.for_ms),
        "keepFiringFor": seconds(rule.keep_firing_for_ms),
        "labels": pairs(&rule.labels),
        "annotations": pairs(&rule.annotations),
        "alerts": active(&state.alerts),
        "state": now,
    });
    how_it_goes(value.as_object_mut(), state);
    value
}

fn recording_rule(rule: &Recording, state: &RuleState) -> Value {
    let mut value =
        json!({"type": "recording", "name": rule.record, "query": rule.query, "labels": pairs(&rule.labels)});
    how_it_goes(value.as_object_mut(), state);
    value
}

/// Adds how a rule's last evaluation went.
fn how_it_goes(rule: Option<&mut Map<String, Value>>, state: &RuleState) {
    let Some(rule) = rule else { return };
    let health = match (state.at_ms, &state.error) {
        (None, _) => "unknown",
        (Some(_), None) => "ok",
        (Some(_), Some(_)) => "err",
    };
    rule.insert("health".to_owned(), health.into());
    if let Some(error) = &state.error {
        rule.insert("lastError".to_owned(), error.as_str().into());
    }
    rule.insert("evaluationTime".to_owned(), state.took_s.into());
    rule.insert("lastEvaluation".to_owned(), time(state.at_ms).into());
}

/// `alerts`: all that are pending or firing.
pub(super) async fn alerts(State(context): State<Context>) -> Data {
    let mut found = Vec::new();
    for group in context.metrics.groups().await {
        for state in group.states().iter() {
            found.extend(active(&state.alerts));
        }
    }
    Data::of(&json!({"alerts": found}))
}

fn active(alerts: &Alerts) -> Vec<Value> {
    let is_active = |alert: &Alert| !matches!(alert.standing, Standing::Resolved { .. });
    alerts.iter().filter(|(_, alert)| is_active(alert)).map(|(labels, alert)| one(labels, alert)).collect()
}

fn one(labels: &Labels, alert: &Alert) -> Value {
    let mut value = Vec::new();
    encode::number(&mut value, alert.value);
    json!({
        "labels": object(labels),
        "annotations": alert.annotations,
        "state": if is_firing(alert) { "firing" } else { "pending" },
        "activeAt": time(Some(alert.active_since_ms)),
        "value": String::from_utf8_lossy(&value),
    })
}

fn is_firing(alert: &Alert) -> bool {
    matches!(alert.standing, Standing::Firing { .. })
}

/// `-/reload`: reads the files again that say what is done.
pub(super) async fn reload(State(context): State<Context>) -> Result<Data, Refused> {
    let reloaded = context.metrics.reload().await;
    reloaded.map_err(|found| Refused::bad_data(format!("nothing has changed, because of\n{found}")))?;
    Ok(Data::of(&Value::Null))
}

fn object(labels: &Labels) -> Map<String, Value> {
    labels.iter().map(|label| (label.name.to_string(), Value::from(&*label.value))).collect()
}

fn pairs(pairs: &[(String, String)]) -> Map<String, Value> {
    pairs.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect()
}

/// RFC 3339; Go's time of nothing where there was none.
fn time(ms: Option<i64>) -> String {
    let at = ms.and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), |at| at.to_string())
}

#[expect(clippy::cast_precision_loss, reason = "seconds of a rule, exact to the millisecond for all that is asked for")]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}
