//! Receivers that are programs: webhooks and PagerDuty.

use prograde_yaml::Node;

use super::{Global, Http, Reader, Secret, http, text_or};

/// JSON is posted.
#[derive(Debug, Clone, PartialEq)]
pub struct Webhook {
    /// Where to.
    pub url: Secret,
    /// How many alerts are told of at most; 0 is any number.
    pub max_alerts: u64,
    /// How.
    pub http: Http,
}

/// PagerDuty's Events API v2.
#[derive(Debug, Clone, PartialEq)]
pub struct PagerDuty {
    /// The integration's key.
    pub routing_key: Secret,
    /// Where events are posted.
    pub url: String,
    /// The title.
    pub description: String,
    /// `critical`, `error`, `warning` or `info`, once filled in.
    pub severity: String,
    /// The program that sends.
    pub client: String,
    /// Where it can be looked at.
    pub client_url: String,
    /// What the event comes from.
    pub source: String,
    /// `class`, `component` and `group`.
    pub class: [String; 3],
    /// More to read.
    pub details: Vec<(String, String)>,
    /// `src`, `href` and `alt` of pictures.
    pub images: Vec<[String; 3]>,
    /// `href` and `text` of links.
    pub links: Vec<[String; 2]>,
    /// How.
    pub http: Http,
}

/// What stands under `details` unless it is set otherwise.
const DETAILS: [(&str, &str); 4] = [
    ("firing", r#"{{ template "pagerduty.default.instances" .Alerts.Firing }}"#),
    ("resolved", r#"{{ template "pagerduty.default.instances" .Alerts.Resolved }}"#),
    ("num_firing", "{{ .Alerts.Firing | len }}"),
    ("num_resolved", "{{ .Alerts.Resolved | len }}"),
];

const URL: &str = "https://events.pagerduty.com/v2/enqueue";

impl Webhook {
    pub(super) fn read(reader: &mut Reader<'_>, node: &Node, global: &Global) -> Option<Self> {
        const FIELDS: [&str; 4] = ["send_resolved", "url", "max_alerts", "http_config"];
        if !reader.mapping(node, "a webhook", &FIELDS) {
            return None;
        }
        if Reader::field(node, "url").is_none() {
            reader.report(node, "a webhook must have `url`", "add `url`");
        }
        let max_alerts = reader.text(node, "max_alerts").unwrap_or_else(|| "0".into()).parse();
        if max_alerts.is_err() {
            let place = node.get("max_alerts").unwrap_or(node);
            reader.report(place, "expected a whole number in `max_alerts`", "leave it out for no limit");
        }
        let http = http::read(reader, node, &global.http);
        let url = reader.url(node, "url").map(Secret::Inline)?;
        Some(Self { url, max_alerts: max_alerts.ok()?, http })
    }
}

impl PagerDuty {
    pub(super) fn read(reader: &mut Reader<'_>, node: &Node, global: &Global) -> Option<Self> {
        const FIELDS: [&str; 18] = [
            "send_resolved",
            "routing_key",
            "routing_key_file",
            "service_key",
            "service_key_file",
            "url",
            "client",
            "client_url",
            "source",
            "description",
            "severity",
            "details",
            "class",
            "component",
            "group",
            "images",
            "links",
            "http_config",
        ];
        const V1: &str = "use `routing_key` with an integration of the kind Events API v2";
        if !reader.mapping(node, "a PagerDuty receiver", &FIELDS) {
            return None;
        }
        reader.refuse(node, &[("service_key", V1), ("service_key_file", V1)]);
        let is_v1 = node.get("service_key").or(node.get("service_key_file")).is_some();
        let routing_key = http::secret(reader, node, "routing_key");
        if routing_key.is_none() && !is_v1 {
            reader.report(
                node,
                "a PagerDuty receiver must have `routing_key`",
                "add `routing_key` or `routing_key_file`",
            );
        }
        let url = reader.url(node, "url").or_else(|| global.pagerduty_url.clone());
        let mut details: Vec<(String, String)> =
            DETAILS.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        for (name, text, _) in reader.pairs(node, "details") {
            details.retain(|(other, _)| *other != name);
            details.push((name, text));
        }
        details.sort();
        let images = triples(reader, node);
        let links = pairs(reader, node);
        let client = text_or(reader, node, "client", r#"{{ template "pagerduty.default.client" . }}"#);
        Some(Self {
            url: url.unwrap_or_else(|| URL.to_owned()),
            description: text_or(reader, node, "description", r#"{{ template "pagerduty.default.description" . }}"#),
            severity: text_or(reader, node, "severity", "error"),
            source: reader.text(node, "source").unwrap_or_else(|| client.clone()),
            client,
            client_url: text_or(reader, node, "client_url", r#"{{ template "pagerduty.default.clientURL" . }}"#),
            class: ["class", "component", "group"].map(|field| text_or(reader, node, field, "")),
            details,
            images,
            links,
            http: http::read(reader, node, &global.http),
            routing_key: routing_key?,
        })
    }
}

fn triples(reader: &mut Reader<'_>, node: &Node) -> Vec<[String; 3]> {
    let mut found = Vec::new();
    for item in reader.items(node, "images") {
        reader.mapping(item, "an image", &["src", "href", "alt"]);
        found.push(["src", "href", "alt"].map(|field| text_or(reader, item, field, "")));
    }
    found
}

fn pairs(reader: &mut Reader<'_>, node: &Node) -> Vec<[String; 2]> {
    let mut found = Vec::new();
    for item in reader.items(node, "links") {
        reader.mapping(item, "a link", &["href", "text"]);
        found.push(["href", "text"].map(|field| text_or(reader, item, field, "")));
    }
    found
}
