//! What people are sent: messages to Slack, Matrix and ntfy.
//!
//! Source: Slack, "Sending messages using incoming webhooks", "Secondary message attachments"; Matrix specification,
//! client-server API, "Sending events to a room"; docs.ntfy.sh, "Publish as JSON".

use prograde_model::alert::Failure;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::outgoing::{Outgoing, secret};
use super::{Letter, cut};
use crate::config::{Matrix, Ntfy, Slack};
use crate::message::{PageLink, is_in_attachment};

/// The longest title that Slack shows, in characters.
const TITLE_MAX: usize = 1024;
/// A message of Matrix has at most 64 KiB as a whole.
const MATRIX_TEXT_MAX: usize = 10_000;
/// ntfy makes an attachment of a text that has more than 4096 bytes.
const NTFY_TEXT_MAX: usize = 1_000;

/// A message with one attachment.
pub(super) fn slack(letter: &Letter<'_>, slack: &Slack) -> Result<Outgoing, Failure> {
    let (mut message, mut attachment) = (Map::new(), Map::new());
    for (field, _) in &slack.texts {
        let text = letter.text(field)?;
        let text = if *field == "title" { cut(text, TITLE_MAX) } else { text };
        let part = if is_in_attachment(field) { &mut attachment } else { &mut message };
        if !text.is_empty() || *field == "fallback" {
            part.insert((*field).to_owned(), text.into());
        }
    }
    let mut fields = Vec::new();
    for (index, field) in slack.fields.iter().enumerate() {
        fields.push(json!({
            "title": letter.text(&format!("fields.{index}.title"))?,
            "value": letter.text(&format!("fields.{index}.value"))?,
            "short": field.short.unwrap_or(slack.short_fields),
        }));
    }
    if !fields.is_empty() {
        attachment.insert("fields".into(), fields.into());
    }
    // Alertmanager sends these even where nothing is in them.
    for field in ["callback_id", "footer"] {
        attachment.entry(field).or_insert_with(|| "".into());
    }
    attachment.insert("mrkdwn_in".into(), slack.mrkdwn_in.clone().into());
    let channel = letter.text("channel")?;
    if !channel.is_empty() {
        message.insert("channel".into(), channel.into());
    }
    if slack.link_names {
        message.insert("link_names".into(), true.into());
    }
    let mut attachments = vec![Value::Object(attachment)];
    attachments.extend(letter.page.filter(|page| page.buttons && !page.acknowledge_url.is_empty()).map(buttons));
    message.insert("attachments".into(), attachments.into());
    let folder = &letter.delivery.folder;
    Outgoing::post(secret(&slack.api_url, folder)?, Value::Object(message), &slack.http, folder)
}

/// Buttons that answer a page (Slack, "Block Kit", actions block). That a press is theirs, Slack's signature says.
fn buttons(page: &PageLink) -> Value {
    let button = |action: &str, text: &str, style: Option<&str>| {
        let mut button = json!({
            "type": "button",
            "text": {"type": "plain_text", "text": text},
            "action_id": action,
            "value": page.id,
        });
        if let (Some(style), Some(fields)) = (style, button.as_object_mut()) {
            fields.insert("style".into(), style.into());
        }
        button
    };
    let elements = [button("acknowledge", "Acknowledge", Some("primary")), button("resolve", "Resolve", None)];
    json!({"blocks": [{"type": "actions", "block_id": "prograde_page", "elements": elements}]})
}

/// A message in a room. The transaction's id is made of what is said and when it was decided, so that the server takes a
/// second attempt for the first one.
pub(super) fn matrix(letter: &Letter<'_>, matrix: &Matrix) -> Result<Outgoing, Failure> {
    let folder = &letter.delivery.folder;
    let notification = letter.notification;
    let unique = format!("{:?} {}", notification.key, notification.at);
    let transaction = hex::encode(Sha256::digest(unique.as_bytes()));
    let mut body = json!({"msgtype": "m.text", "body": cut(letter.text("text")?, MATRIX_TEXT_MAX)});
    let html = letter.html("html")?;
    if let Some(fields) = body.as_object_mut().filter(|_| !html.is_empty()) {
        fields.insert("format".into(), "org.matrix.custom.html".into());
        fields.insert("formatted_body".into(), cut(html, MATRIX_TEXT_MAX).into());
    }
    let server = matrix.homeserver_url.trim_end_matches('/');
    let room = in_path(&matrix.room_id);
    let url = format!("{server}/_matrix/client/v3/rooms/{room}/send/m.room.message/{transaction}");
    let outgoing = Outgoing::post(url, body, &matrix.http, folder)?;
    let authorization = Some(format!("Bearer {}", secret(&matrix.access_token, folder)?));
    Ok(Outgoing { method: http::Method::PUT, authorization, ..outgoing })
}

/// A message on a topic.
pub(super) fn ntfy(letter: &Letter<'_>, ntfy: &Ntfy) -> Result<Outgoing, Failure> {
    let folder = &letter.delivery.folder;
    let mut body = Map::new();
    body.insert("topic".into(), ntfy.topic.as_str().into());
    body.insert("title".into(), cut(letter.text("title")?, NTFY_TEXT_MAX).into());
    body.insert("message".into(), cut(letter.text("text")?, NTFY_TEXT_MAX).into());
    let priority = letter.text("priority")?;
    body.insert("priority".into(), importance(priority.trim())?.into());
    let tags = letter.text("tags")?;
    let tags: Vec<&str> = tags.split(',').map(str::trim).filter(|tag| !tag.is_empty()).collect();
    body.insert("tags".into(), tags.into());
    let click = letter.text("click")?;
    if !click.is_empty() {
        body.insert("click".into(), click.into());
    }
    if let Some((url, form)) = letter.page.and_then(|page| page.acknowledge_url.split_once('?')) {
        // A press in the app does what the form behind the address does (docs.ntfy.sh, "Send HTTP request").
        let headers = json!({"Content-Type": "application/x-www-form-urlencoded"});
        let action = json!({
            "action": "http", "label": "Acknowledge", "url": url, "method": "POST", "headers": headers, "body": form,
            "clear": true,
        });
        body.insert("actions".into(), json!([action]));
    }
    let outgoing = Outgoing::post(ntfy.url.clone(), Value::Object(body), &ntfy.http, folder)?;
    let token = ntfy.token.as_ref().map(|token| secret(token, folder)).transpose()?;
    let authorization = token.map(|token| format!("Bearer {token}")).or(outgoing.authorization);
    Ok(Outgoing { authorization, ..outgoing })
}

/// In JSON, ntfy's priorities are numbers.
fn importance(word: &str) -> Result<u8, Failure> {
    match word {
        "" | "3" | "default" => Ok(3),
        "1" | "min" => Ok(1),
        "2" | "low" => Ok(2),
        "4" | "high" => Ok(4),
        "5" | "max" | "urgent" => Ok(5),
        other => Err(Failure::Lasting { why: format!("`{other}` is no priority of ntfy") }),
    }
}

/// A text as one segment of a path (RFC 3986, section 3.3).
fn in_path(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.extend(format!("%{byte:02X}").chars());
        }
    }
    out
}
