//! What a template is given, and what a webhook is sent: the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use prograde_model::alert::{Fingerprint, Notification};
use prograde_template::{CallError, Object, Value, time};
use serde::Serialize;

type Texts = BTreeMap<String, String>;

/// Go's zero time, which stands for an end that has not come.
const NO_END: &str = "0001-01-01T00:00:00Z";
/// The same in milliseconds.
const NO_END_MS: i64 = -62_135_596_800_000;

/// A notification as receivers see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Data {
    /// The receiver's name.
    pub receiver: String,
    /// `firing` if any of the alerts does, else `resolved`.
    pub status: &'static str,
    /// The alerts.
    pub alerts: Vec<WireAlert>,
    /// The labels that name the group.
    pub group_labels: Texts,
    /// Labels that all alerts have.
    pub common_labels: Texts,
    /// Annotations that all alerts have.
    pub common_annotations: Texts,
    /// Where we are found.
    #[serde(rename = "externalURL")]
    pub external_url: String,
    /// The page, where somebody is told because they are on call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<PageLink>,
}

/// What somebody who is on call is told beside the alerts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PageLink {
    /// The page's name, such as `P-17`.
    pub id: String,
    /// Who is told.
    pub person: String,
    /// What it says in a line.
    pub title: String,
    /// Where they acknowledge it. Whoever knows the address can.
    #[serde(rename = "acknowledgeURL", skip_serializing_if = "String::is_empty")]
    pub acknowledge_url: String,
    /// Whether it only tries out whether people are reached.
    pub test: bool,
    /// Whether a message to Slack has buttons that answer it.
    #[serde(skip)]
    pub buttons: bool,
}

impl PageLink {
    fn value(&self) -> Value {
        Value::record(
            "Page",
            vec![
                ("ID", Value::from(self.id.as_str())),
                ("Person", Value::from(self.person.as_str())),
                ("Title", Value::from(self.title.as_str())),
                ("AcknowledgeURL", Value::from(self.acknowledge_url.as_str())),
                ("Test", Value::Bool(self.test)),
            ],
        )
    }
}

/// An alert as receivers see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WireAlert {
    /// `firing` or `resolved`.
    pub status: &'static str,
    /// Its labels.
    pub labels: Texts,
    /// Its annotations.
    pub annotations: Texts,
    /// When it began.
    pub starts_at: String,
    /// When it ended, if it has.
    pub ends_at: String,
    /// Where it can be looked at.
    #[serde(rename = "generatorURL")]
    pub generator_url: String,
    /// What it is known by.
    pub fingerprint: Fingerprint,
    #[serde(skip)]
    starts_ms: i64,
    #[serde(skip)]
    ends_ms: i64,
}

impl Data {
    /// Of a notification. Where no more than so many alerts are wanted, the first ones.
    pub fn new(notification: &Notification, external_url: &str, alerts_max: usize) -> Self {
        let alerts: Vec<WireAlert> = notification
            .alerts
            .iter()
            .take(alerts_max)
            .map(|(alert, fires)| WireAlert {
                status: if *fires { "firing" } else { "resolved" },
                labels: alert.labels.iter().map(|label| (label.name.to_string(), label.value.to_string())).collect(),
                annotations: alert.annotations.clone(),
                starts_at: alert.starts_at.to_string(),
                ends_at: if *fires { NO_END.to_owned() } else { alert.ends_at.to_string() },
                generator_url: alert.generator_url.clone(),
                fingerprint: alert.fingerprint(),
                starts_ms: alert.starts_at.as_millisecond(),
                ends_ms: if *fires { NO_END_MS } else { alert.ends_at.as_millisecond() },
            })
            .collect();
        let fires = alerts.iter().any(|alert| alert.status == "firing");
        let labels = notification.group_labels.iter();
        Self {
            receiver: notification.key.receiver.clone(),
            status: if fires { "firing" } else { "resolved" },
            group_labels: labels.map(|label| (label.name.to_string(), label.value.to_string())).collect(),
            common_labels: common(alerts.iter().map(|alert| &alert.labels)),
            common_annotations: common(alerts.iter().map(|alert| &alert.annotations)),
            external_url: external_url.to_owned(),
            page: None,
            alerts,
        }
    }

    /// The same for somebody who is on call.
    #[must_use]
    pub fn of_page(self, page: Option<&PageLink>) -> Self {
        Self { page: page.cloned(), ..self }
    }

    /// As a template sees it.
    pub fn value(&self) -> Value {
        Value::record(
            "Data",
            vec![
                ("Receiver", Value::from(self.receiver.as_str())),
                ("Status", Value::from(self.status)),
                ("Alerts", alerts(self.alerts.iter().map(WireAlert::value).collect())),
                ("GroupLabels", pairs(&self.group_labels)),
                ("CommonLabels", pairs(&self.common_labels)),
                ("CommonAnnotations", pairs(&self.common_annotations)),
                ("ExternalURL", Value::from(self.external_url.as_str())),
                ("Page", self.page.as_ref().map_or(Value::Nil, PageLink::value)),
            ],
        )
    }
}

impl WireAlert {
    fn value(&self) -> (bool, Value) {
        let moment = |ms| time(ms).unwrap_or_default();
        let value = Value::record(
            "Alert",
            vec![
                ("Status", Value::from(self.status)),
                ("Labels", pairs(&self.labels)),
                ("Annotations", pairs(&self.annotations)),
                ("StartsAt", moment(self.starts_ms)),
                ("EndsAt", moment(self.ends_ms)),
                ("GeneratorURL", Value::from(self.generator_url.as_str())),
                ("Fingerprint", Value::from(self.fingerprint.to_string())),
            ],
        );
        (self.status == "firing", value)
    }
}

/// What all have alike.
fn common<'a>(mut all: impl Iterator<Item = &'a Texts>) -> Texts {
    let mut common = all.next().cloned().unwrap_or_default();
    for other in all {
        common.retain(|name, value| other.get(name) == Some(value));
    }
    common
}

/// Alertmanager's `KV`: texts by name, with methods.
#[derive(Debug)]
struct Pairs(Texts);

fn pairs(texts: &Texts) -> Value {
    Value::Object(Arc::new(Pairs(texts.clone())))
}

impl Pairs {
    /// In order, with the alert's name first.
    fn sorted(&self) -> Vec<(&String, &String)> {
        let (mut first, others): (Vec<_>, Vec<_>) = self.0.iter().partition(|(name, _)| *name == "alertname");
        first.extend(others);
        first
    }

    fn without(&self, names: &[Value]) -> Result<Value, CallError> {
        let [Value::List(names)] =
            names.iter().map(Value::plain).collect::<Vec<_>>().try_into().unwrap_or([Value::Nil])
        else {
            return Err(CallError::new("Remove takes a list of names"));
        };
        let names: Vec<Arc<str>> = names.iter().filter_map(Value::as_text).collect();
        let left = self.0.iter().filter(|(name, _)| !names.iter().any(|other| **other == *name.as_str()));
        Ok(pairs(&left.map(|(name, value)| (name.clone(), value.clone())).collect()))
    }
}

impl Object for Pairs {
    fn name(&self) -> &'static str {
        "KV"
    }

    fn member(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, CallError>> {
        let sorted = || self.sorted().into_iter();
        Some(match name {
            "SortedPairs" => Ok(sorted_pairs(sorted().map(|(name, value)| (name.clone(), value.clone())).collect())),
            "Names" => Ok(sorted().map(|(name, _)| Value::from(name.as_str())).collect::<Vec<_>>().into()),
            "Values" => Ok(sorted().map(|(_, value)| Value::from(value.as_str())).collect::<Vec<_>>().into()),
            "Remove" => self.without(arguments),
            // A label that is not there is an empty text.
            label => Ok(Value::from(self.0.get(label).map(String::as_str).unwrap_or_default())),
        })
    }

    fn plain(&self) -> Value {
        Value::texts(self.0.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }
}

/// Alertmanager's `Pairs`: names and values in order.
#[derive(Debug)]
struct SortedPairs(Vec<(String, String)>);

fn sorted_pairs(pairs: Vec<(String, String)>) -> Value {
    Value::Object(Arc::new(SortedPairs(pairs)))
}

impl Object for SortedPairs {
    fn name(&self) -> &'static str {
        "Pairs"
    }

    fn member(&self, name: &str, _: &[Value]) -> Option<Result<Value, CallError>> {
        let texts = |of: fn(&(String, String)) -> &String| {
            let texts = self.0.iter().map(|pair| Value::from(of(pair).as_str()));
            Some(Ok(texts.collect::<Vec<_>>().into()))
        };
        match name {
            "Names" => texts(|pair| &pair.0),
            "Values" => texts(|pair| &pair.1),
            _ => None,
        }
    }

    fn plain(&self) -> Value {
        let records = self.0.iter().map(|(name, value)| {
            Value::record("Pair", vec![("Name", Value::from(name.as_str())), ("Value", Value::from(value.as_str()))])
        });
        records.collect::<Vec<_>>().into()
    }
}

/// Alertmanager's `Alerts`: each with whether it fires.
#[derive(Debug)]
struct Alerts(Vec<(bool, Value)>);

fn alerts(alerts: Vec<(bool, Value)>) -> Value {
    Value::Object(Arc::new(Alerts(alerts)))
}

impl Object for Alerts {
    fn name(&self) -> &'static str {
        "Alerts"
    }

    fn member(&self, name: &str, _: &[Value]) -> Option<Result<Value, CallError>> {
        let that = |fires: bool| {
            let wanted = self.0.iter().filter(|(other, _)| *other == fires);
            Some(Ok(Value::from(wanted.map(|(_, alert)| alert.clone()).collect::<Vec<_>>())))
        };
        match name {
            "Firing" => that(true),
            "Resolved" => that(false),
            _ => None,
        }
    }

    fn plain(&self) -> Value {
        self.0.iter().map(|(_, alert)| alert.clone()).collect::<Vec<_>>().into()
    }
}
