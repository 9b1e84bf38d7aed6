//! What programs are sent: webhooks, and PagerDuty's events.
//!
//! Source: Alertmanager documentation, "Configuration", `webhook_config`; PagerDuty, "Events API v2 overview".

use prograde_model::alert::{Failure, Notification};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::outgoing::{Outgoing, secret};
use super::{Delivery, Letter, cut};
use crate::config::{PagerDuty, Webhook};
use crate::message::{Data, PageLink};

/// PagerDuty takes summaries up to this length, in characters.
const SUMMARY_MAX: usize = 1024;
/// PagerDuty takes events up to 512 KB.
const EVENT_BYTES_MAX: usize = 512_000;

/// The JSON of version 4.
pub(super) fn webhook(
    delivery: &Delivery,
    webhook: &Webhook,
    notification: &Notification,
    page: Option<&PageLink>,
) -> Result<Outgoing, Failure> {
    let max = usize::try_from(webhook.max_alerts).ok().filter(|max| *max > 0).unwrap_or(usize::MAX);
    let data = Data::new(notification, &delivery.external_url, max).of_page(page);
    let truncated = notification.alerts.len() - data.alerts.len();
    let mut body = serde_json::to_value(&data).map_err(|error| Failure::Lasting { why: error.to_string() })?;
    if let Some(fields) = body.as_object_mut() {
        fields.insert("version".into(), "4".into());
        fields.insert("groupKey".into(), notification.key.group.as_str().into());
        fields.insert("truncatedAlerts".into(), truncated.into());
    }
    Outgoing::post(secret(&webhook.url, &delivery.folder)?, body, &webhook.http, &delivery.folder)
}

/// An event that opens or closes the group's incident. The same group has the same key for ever, so that a repetition, and
/// one that was sent and not recorded, changes nothing there.
pub(super) fn pager_duty(letter: &Letter<'_>, pager: &PagerDuty, data: &Data) -> Result<Outgoing, Failure> {
    let folder = &letter.delivery.folder;
    let dedup_key = hex::encode(Sha256::digest(letter.notification.key.group.as_bytes()));
    let routing_key = secret(&pager.routing_key, folder)?;
    let action = if data.status == "firing" { "trigger" } else { "resolve" };
    let mut payload = Map::new();
    payload.insert("summary".into(), cut(letter.text("description")?, SUMMARY_MAX).into());
    payload.insert("source".into(), letter.text("source")?.into());
    payload.insert("severity".into(), letter.text("severity")?.into());
    for field in ["class", "component", "group"] {
        let text = letter.text(field)?;
        if !text.is_empty() {
            payload.insert(field.into(), text.into());
        }
    }
    let mut details = Map::new();
    for (name, _) in &pager.details {
        details.insert(name.clone(), letter.text(&format!("details.{name}"))?.into());
    }
    payload.insert("custom_details".into(), Value::Object(details));
    let mut body = json!({
        "routing_key": routing_key,
        "dedup_key": dedup_key,
        "event_action": action,
        "client": letter.text("client")?,
        "client_url": letter.text("client_url")?,
        "payload": payload,
    });
    let images = list(letter, "images", pager.images.len(), &["src", "href", "alt"])?;
    let links = list(letter, "links", pager.links.len(), &["href", "text"])?;
    for (name, all) in [("images", images), ("links", links)] {
        if let Some(fields) = body.as_object_mut().filter(|_| !all.is_empty()) {
            fields.insert(name.into(), all.into());
        }
    }
    if body.to_string().len() > EVENT_BYTES_MAX
        && let Some(details) = body.pointer_mut("/payload/custom_details")
    {
        // Better a page with less in it than none.
        *details = json!({"error": "left out: the event would be larger than PagerDuty takes"});
    }
    Outgoing::post(pager.url.clone(), body, &pager.http, folder)
}

/// Pictures or links; those whose first field is empty once filled in are left out.
fn list(letter: &Letter<'_>, name: &str, count: usize, fields: &[&str]) -> Result<Vec<Value>, Failure> {
    let mut all = Vec::new();
    for index in 0..count {
        let mut one = Map::new();
        for field in fields {
            let text = letter.text(&format!("{name}.{index}.{field}"))?;
            one.insert((*field).to_owned(), text.into());
        }
        let has_first = fields.first().and_then(|field| one.get(*field)).is_some_and(|first| first != "");
        all.extend(has_first.then_some(Value::Object(one)));
    }
    Ok(all)
}
