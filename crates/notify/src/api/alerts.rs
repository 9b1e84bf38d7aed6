//! Alerts and their groups.

use std::collections::BTreeMap;

use jiff::Timestamp;
use prograde_model::alert::{Alert, Dispatcher, Fingerprint, Posted};
use prograde_model::labels::{Labels, is_label_name};
use serde::Deserialize;
use serde_json::{Value, json};

use super::filter::Filter;
use super::{Answer, decode, written};

/// How many labels an alert may have, and how many annotations.
const LABELS_MAX: usize = 200;
/// The longest value of a label or annotation, in bytes.
const VALUE_BYTES_MAX: usize = 64 * 1024;

/// An alert as it is posted.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
    #[serde(default)]
    starts_at: Option<String>,
    #[serde(default)]
    ends_at: Option<String>,
    #[serde(default, rename = "generatorURL")]
    generator_url: Option<String>,
}

/// Takes what is good, and says what is not.
pub(super) fn post(dispatcher: &Dispatcher, body: &[u8], now: Timestamp) -> Result<Answer, Answer> {
    let wires: Vec<Wire> = decode(body)?;
    let (mut good, mut wrong) = (Vec::new(), Vec::new());
    for wire in wires {
        match posted(wire) {
            Ok(alert) => good.push(alert),
            Err(why) => wrong.push(why),
        }
    }
    let facts = dispatcher.receive(good, now).map_err(|error| Answer::failed(503, error.to_string()))?;
    if wrong.is_empty() {
        return Ok(Answer::done(facts));
    }
    wrong.truncate(10);
    Ok(Answer { facts, ..Answer::failed(400, wrong.join("; ")) })
}

fn posted(wire: Wire) -> Result<Posted, String> {
    let annotations = wire.annotations.unwrap_or_default();
    for (name, value) in wire.labels.iter().chain(&annotations) {
        if !is_label_name(name) {
            return Err(format!("invalid name {:?}", name.chars().take(100).collect::<String>()));
        }
        if value.len() > VALUE_BYTES_MAX {
            return Err(format!("the value of {name} has more than {VALUE_BYTES_MAX} bytes"));
        }
    }
    if wire.labels.len().max(annotations.len()) > LABELS_MAX {
        return Err(format!("an alert has more than {LABELS_MAX} labels or annotations"));
    }
    let labels: Labels = wire.labels.iter().collect();
    if labels.is_empty() {
        return Err("at least one label pair required".into());
    }
    let starts_at = time(wire.starts_at.as_deref())?;
    let ends_at = time(wire.ends_at.as_deref())?;
    if starts_at.zip(ends_at).is_some_and(|(start, end)| end < start) {
        return Err("start time must be before end time".into());
    }
    let generator_url = wire.generator_url.unwrap_or_default();
    Ok(Posted { labels, annotations, starts_at, ends_at, generator_url })
}

/// A time; Go's zero time is none.
fn time(text: Option<&str>) -> Result<Option<Timestamp>, String> {
    let Some(text) = text.filter(|text| !text.is_empty() && !text.starts_with("0001-01-01T00:00:00")) else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| format!("{:?} is not a time", text.chars().take(40).collect::<String>()))
}

/// All alerts that fire and are asked for.
pub(super) fn list(dispatcher: &Dispatcher, query: &[(String, String)], now: Timestamp) -> Result<Answer, Answer> {
    let filter = Filter::read(query)?;
    let mut found = Vec::new();
    for (fingerprint, alert) in dispatcher.firing().filter(|(_, alert)| !alert.has_ended(now)) {
        let receivers = dispatcher.receivers_of(fingerprint);
        if receivers.iter().any(|receiver| filter.wants_receiver(receiver)) {
            found.extend(shown(dispatcher, &filter, fingerprint, alert, &receivers, now));
        }
    }
    Ok(Answer::ok(Value::Array(found)))
}

/// The groups with what fires in them and is asked for; those without are left out.
pub(super) fn groups(dispatcher: &Dispatcher, query: &[(String, String)], now: Timestamp) -> Result<Answer, Answer> {
    let filter = Filter::read(query)?;
    let mut found = Vec::new();
    for group in dispatcher.groups().filter(|group| filter.wants_receiver(&group.receiver)) {
        let alerts = group.firing.iter().filter_map(|fingerprint| {
            let alert = dispatcher.alert(*fingerprint).filter(|alert| !alert.has_ended(now))?;
            let receivers = dispatcher.receivers_of(*fingerprint);
            shown(dispatcher, &filter, *fingerprint, alert, &receivers, now)
        });
        let alerts: Vec<Value> = alerts.collect();
        if alerts.is_empty() {
            continue;
        }
        let mut shown = json!({
            "labels": group.labels,
            "receiver": {"name": group.receiver},
            "alerts": alerts,
            "groupKey": group.key,
        });
        if let (Some(taken), Some(fields)) = (dispatcher.acknowledgement(&group.key), shown.as_object_mut()) {
            let taken = json!({"by": taken.by, "comment": taken.comment, "at": written(taken.at)});
            fields.insert("acknowledged".into(), taken);
        }
        found.push((group.labels.clone(), group.receiver.clone(), shown));
    }
    found.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    Ok(Answer::ok(found.into_iter().map(|(.., shown)| shown).collect()))
}

/// An alert as it is shown, if it is asked for.
fn shown(
    dispatcher: &Dispatcher,
    filter: &Filter,
    fingerprint: Fingerprint,
    alert: &Alert,
    receivers: &[&str],
    now: Timestamp,
) -> Option<Value> {
    let mutes = dispatcher.mutes(&alert.labels, now);
    if !filter.wants(&alert.labels, &mutes) {
        return None;
    }
    Some(json!({
        "annotations": alert.annotations,
        "endsAt": written(alert.ends_at),
        "fingerprint": fingerprint,
        "receivers": receivers.iter().map(|name| json!({"name": name})).collect::<Vec<_>>(),
        "startsAt": written(alert.starts_at),
        "status": {
            "inhibitedBy": mutes.inhibited_by,
            "silencedBy": mutes.silenced_by,
            "state": if mutes.is_empty() { "active" } else { "suppressed" },
        },
        "updatedAt": written(alert.updated_at),
        "generatorURL": alert.generator_url,
        "labels": alert.labels,
    }))
}
