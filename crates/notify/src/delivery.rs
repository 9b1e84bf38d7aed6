//! One attempt to tell somebody: a notification becomes a request, and what comes back a success or a failure.
//!
//! What is sent is Alertmanager's, so that whoever reads it need not change. Nothing here waits or tries again; how often
//! and how long is the service's affair, by the model's policy.

mod chat;
mod mail;
mod outgoing;
mod pager;
mod teller;

use std::path::PathBuf;
use std::time::Duration;

use prograde_model::alert::{Failure, Notification};
use prograde_template::Value;

use crate::config::{Kind, Way};
use crate::message::{Data, Messages, PageLink};
use outgoing::{Client, Outgoing};

pub use teller::Teller;

/// How long one attempt may take, from the name's resolution to the answer's last byte.
pub const ATTEMPT_MAX: Duration = Duration::from_secs(15);

/// Tells receivers.
#[derive(Debug)]
pub struct Delivery {
    messages: Messages,
    /// Where files with secrets are looked for.
    folder: PathBuf,
    external_url: String,
    client: Client,
}

/// A notification that is being written for one way of telling one receiver.
struct Letter<'a> {
    delivery: &'a Delivery,
    notification: &'a Notification,
    way: &'a str,
    data: Value,
    page: Option<&'a PageLink>,
}

impl Letter<'_> {
    /// A field's text, filled in.
    fn text(&self, field: &str) -> Result<String, Failure> {
        let filled = self.delivery.messages.fill(&self.notification.key.receiver, self.way, field, &self.data);
        filled.map_err(|error| Failure::Lasting { why: error.to_string() })
    }

    /// The same for HTML.
    fn html(&self, field: &str) -> Result<String, Failure> {
        let filled = self.delivery.messages.fill_html(&self.notification.key.receiver, self.way, field, &self.data);
        filled.map_err(|error| Failure::Lasting { why: error.to_string() })
    }
}

impl Delivery {
    /// With the texts of a configuration, whose files lie in `folder`.
    pub fn new(messages: Messages, folder: PathBuf, external_url: String) -> Self {
        Self { messages, folder, external_url, client: Client::new() }
    }

    /// Tells a receiver once, also of the page where one is why it is told. Blocks until it is told, or for the given time.
    pub fn attempt(
        &self,
        way: &Way,
        notification: &Notification,
        page: Option<&PageLink>,
        timeout: Duration,
    ) -> Result<(), Failure> {
        let timeout = timeout.min(ATTEMPT_MAX);
        let data = Data::new(notification, &self.external_url, usize::MAX).of_page(page);
        let letter = Letter { delivery: self, notification, way: &way.name, data: data.value(), page };
        let request = match &way.kind {
            Kind::Webhook(webhook) => pager::webhook(self, webhook, notification, page)?,
            Kind::Email(email) => return mail::send(&letter, email, timeout),
            Kind::PagerDuty(pager) => pager::pager_duty(&letter, pager, &data)?,
            Kind::Slack(slack) => chat::slack(&letter, slack)?,
            Kind::Matrix(matrix) => chat::matrix(&letter, matrix)?,
            Kind::Ntfy(ntfy) => chat::ntfy(&letter, ntfy)?,
            Kind::Console(_) => {
                let text = letter.text("text")?;
                tracing::info!(receiver = notification.key.receiver, status = data.status, "alert: {text}");
                return Ok(());
            }
            Kind::Oncall(_) => {
                let why = "whoever is on call is told by pages alone".to_owned();
                return Err(Failure::Lasting { why });
            }
        };
        self.client.send(&request, timeout)
    }
}

/// Posts a document to an address that somebody gave for an answer. Blocks until it is taken, or for the given time.
pub fn post(url: &str, body: serde_json::Value, timeout: Duration) -> Result<(), Failure> {
    let (method, url, authorization) = (http::Method::POST, url.to_owned(), None);
    let outgoing = Outgoing { method, url, body, authorization, follow_redirects: false, proxy_url: None };
    Client::new().send(&outgoing, timeout.min(ATTEMPT_MAX))
}

/// A text cut to so many characters, with an ellipsis in place of what is cut off.
fn cut(text: String, max: usize) -> String {
    if text.chars().count() <= max {
        return text;
    }
    text.chars().take(max.saturating_sub(1)).chain(['…']).collect()
}
