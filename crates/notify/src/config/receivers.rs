//! `receivers`: who can be told, and how.

mod chat;
mod mail;
mod oncall;
mod pager;

use prograde_model::alert::Integration;
use prograde_yaml::Node;

use super::CODE_RECEIVER;
use super::http::{self, Http};
use super::reader::Reader;
use super::secret::Secret;

pub(crate) use chat::SLACK_TEXTS;
pub use chat::{Console, Field, Matrix, Ntfy, Slack};
pub(super) use mail::MailGlobal;
pub use mail::{Email, Login, MailTls};
pub use oncall::Oncall;
pub use pager::{PagerDuty, Webhook};

/// The kinds that we have, in the order in which a receiver's are numbered and told.
const KINDS: [&str; 8] = [
    "webhook_configs",
    "email_configs",
    "pagerduty_configs",
    "slack_configs",
    "matrix_configs",
    "ntfy_configs",
    "console_configs",
    "oncall_configs",
];

/// The kinds of Alertmanager that we do not have, and what to do instead.
const OTHERS: [(&str, &str); 12] = [
    ("opsgenie_configs", "use `webhook_configs` with Opsgenie's Prometheus integration"),
    ("victorops_configs", "use `webhook_configs` with Splunk On-Call's REST integration"),
    ("pushover_configs", "use `ntfy_configs`, or `webhook_configs` with a bridge"),
    ("wechat_configs", "use `webhook_configs` with a bridge"),
    ("sns_configs", "use `webhook_configs` with a bridge"),
    ("telegram_configs", "use `webhook_configs` with a bridge, or `matrix_configs`"),
    ("discord_configs", "use `slack_configs` with the webhook's address and `/slack` behind it"),
    ("webex_configs", "use `webhook_configs` with a bridge"),
    ("msteams_configs", "use `webhook_configs` with a bridge"),
    ("msteamsv2_configs", "use `webhook_configs` with a bridge"),
    ("jira_configs", "use `webhook_configs` with a bridge"),
    ("rocketchat_configs", "use `slack_configs` with Rocket.Chat's incoming webhook"),
];

/// One way of telling a receiver.
#[derive(Debug, Clone, PartialEq)]
pub struct Way {
    /// The kind and its place among those of its kind, such as `webhook/0`.
    pub name: String,
    /// Whether ends are told too.
    pub send_resolved: bool,
    /// How.
    pub kind: Kind,
}

/// How somebody is told. Texts are templates.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// JSON is posted.
    Webhook(Webhook),
    /// A mail is sent.
    Email(Box<Email>),
    /// PagerDuty's Events API v2.
    PagerDuty(PagerDuty),
    /// Slack's incoming webhooks.
    Slack(Slack),
    /// A room of Matrix; ours alone.
    Matrix(Matrix),
    /// A topic of ntfy; ours alone.
    Ntfy(Ntfy),
    /// The server's log; ours alone.
    Console(Console),
    /// Whoever is on call, until somebody acknowledges; ours alone.
    Oncall(Oncall),
}

impl Way {
    pub(super) fn integration(&self) -> Integration {
        Integration { name: self.name.clone(), send_resolved: self.send_resolved }
    }
}

/// What receivers take from `global`.
pub(super) struct Global {
    pub(super) http: Http,
    pub(super) slack_api_url: Option<Secret>,
    pub(super) pagerduty_url: Option<String>,
    pub(super) mail: MailGlobal,
}

/// Reads all receivers, by name in their order.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node, global: &Global) -> Vec<(String, Vec<Way>)> {
    let mut receivers: Vec<(String, Vec<Way>)> = Vec::new();
    for item in reader.items(node, "receivers") {
        let known: Vec<&str> =
            ["name"].into_iter().chain(KINDS).chain(OTHERS.into_iter().map(|(kind, _)| kind)).collect();
        if !reader.mapping(item, "a receiver", &known) {
            continue;
        }
        for (kind, hint) in OTHERS {
            if let Some(value) = Reader::field(item, kind).filter(|value| !value.items().is_empty()) {
                reader.report_as(
                    CODE_RECEIVER,
                    value,
                    format!("`{kind}` is a kind of receiver that we do not have"),
                    hint,
                );
            }
        }
        let name = reader.text(item, "name").unwrap_or_default();
        if name.is_empty() {
            reader.report(item, "a receiver must have a name", "add `name`");
        }
        if receivers.iter().any(|(other, _)| *other == name) {
            let place = item.get("name").unwrap_or(item);
            reader.report(place, format!("there are two receivers called `{name}`"), "give one another name");
        }
        let ways = KINDS.iter().flat_map(|kind| ways(reader, item, kind, global)).collect();
        receivers.push((name, ways));
    }
    receivers
}

fn ways(reader: &mut Reader<'_>, receiver: &Node, kind: &str, global: &Global) -> Vec<Way> {
    let short = kind.trim_end_matches("_configs");
    let mut ways = Vec::new();
    for (index, item) in reader.items(receiver, kind).iter().enumerate() {
        let (read, resolved) = match short {
            "webhook" => (Webhook::read(reader, item, global).map(Kind::Webhook), true),
            "email" => (Email::read(reader, item, &global.mail).map(|email| Kind::Email(Box::new(email))), false),
            "pagerduty" => (PagerDuty::read(reader, item, global).map(Kind::PagerDuty), true),
            "slack" => (Slack::read(reader, item, global).map(Kind::Slack), false),
            "matrix" => (Matrix::read(reader, item, global).map(Kind::Matrix), true),
            "ntfy" => (Ntfy::read(reader, item, global).map(Kind::Ntfy), true),
            "console" => (Console::read(reader, item).map(Kind::Console), true),
            _ => (Oncall::read(reader, item).map(Kind::Oncall), true),
        };
        let send_resolved = reader.flag(item, "send_resolved").unwrap_or(resolved);
        ways.extend(read.map(|kind| Way { name: format!("{short}/{index}"), send_resolved, kind }));
    }
    ways
}

/// The text of a field, or a default that is itself a template.
fn text_or(reader: &mut Reader<'_>, node: &Node, field: &str, default: &str) -> String {
    reader.text(node, field).unwrap_or_else(|| default.to_owned())
}

/// A text that must be there.
fn needed(reader: &mut Reader<'_>, node: &Node, field: &str, what: &str) -> Option<String> {
    let text = reader.text(node, field).filter(|text| !text.is_empty());
    if text.is_none() {
        reader.report(node, format!("{what} must have `{field}`"), &format!("add `{field}`"));
    }
    text
}
