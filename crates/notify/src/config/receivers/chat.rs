//! Receivers that people read: Slack, and the three that are ours alone.

use prograde_yaml::Node;

use super::{Global, Http, Reader, Secret, http, needed, text_or};

/// Slack's incoming webhooks.
#[derive(Debug, Clone, PartialEq)]
pub struct Slack {
    /// The webhook.
    pub api_url: Secret,
    /// A channel, if not the webhook's own.
    pub channel: String,
    /// Texts of the message and its attachment, by the names that Slack has for them.
    pub texts: Vec<(&'static str, String)>,
    /// Small tables.
    pub fields: Vec<Field>,
    /// Whether they stand beside each other unless they say otherwise.
    pub short_fields: bool,
    /// Whether names are made links.
    pub link_names: bool,
    /// In which texts there is markup.
    pub mrkdwn_in: Vec<String>,
    /// How.
    pub http: Http,
}

/// One entry of a small table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// What stands above.
    pub title: String,
    /// What stands below.
    pub value: String,
    /// Whether another may stand beside it.
    pub short: Option<bool>,
}

/// A room of Matrix (Matrix specification, client-server API, `PUT /rooms/{roomId}/send`).
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// The home server.
    pub homeserver_url: String,
    /// The room's id, such as `!abc:example.org`.
    pub room_id: String,
    /// Who we are there.
    pub access_token: Secret,
    /// The message.
    pub text: String,
    /// The message for who reads HTML; empty for none.
    pub html: String,
    /// How.
    pub http: Http,
}

/// A topic of ntfy (docs.ntfy.sh, "Publishing", as JSON).
#[derive(Debug, Clone, PartialEq)]
pub struct Ntfy {
    /// The server.
    pub url: String,
    /// The topic. Who knows it can read it, unless the server says otherwise.
    pub topic: String,
    /// Who we are there, if that is asked.
    pub token: Option<Secret>,
    /// The title.
    pub title: String,
    /// The message.
    pub text: String,
    /// `min` to `max`, or 1 to 5, once filled in.
    pub priority: String,
    /// Words that are shown as pictures, separated by commas.
    pub tags: String,
    /// What a click opens.
    pub click: String,
    /// How.
    pub http: Http,
}

/// The server's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Console {
    /// The line.
    pub text: String,
}

/// Texts of a message to Slack: where they are written, and what they are unless that is set otherwise. The last column is
/// `true` for those of the attachment.
pub(crate) const SLACK_TEXTS: [(&str, &str, bool); 13] = [
    ("username", r#"{{ template "slack.default.username" . }}"#, false),
    ("icon_emoji", r#"{{ template "slack.default.iconemoji" . }}"#, false),
    ("icon_url", r#"{{ template "slack.default.iconurl" . }}"#, false),
    ("color", r#"{{ if eq .Status "firing" }}danger{{ else }}good{{ end }}"#, true),
    ("title", r#"{{ template "slack.default.title" . }}"#, true),
    ("title_link", r#"{{ template "slack.default.titlelink" . }}"#, true),
    ("pretext", r#"{{ template "slack.default.pretext" . }}"#, true),
    ("text", r#"{{ template "slack.default.text" . }}"#, true),
    ("fallback", r#"{{ template "slack.default.fallback" . }}"#, true),
    ("callback_id", r#"{{ template "slack.default.callbackid" . }}"#, true),
    ("footer", r#"{{ template "slack.default.footer" . }}"#, true),
    ("image_url", "", true),
    ("thumb_url", "", true),
];

impl Slack {
    pub(super) fn read(reader: &mut Reader<'_>, node: &Node, global: &Global) -> Option<Self> {
        const OTHERS: [&str; 10] = [
            "send_resolved",
            "api_url",
            "api_url_file",
            "http_config",
            "channel",
            "fields",
            "short_fields",
            "link_names",
            "mrkdwn_in",
            "actions",
        ];
        let known: Vec<&str> = OTHERS.into_iter().chain(SLACK_TEXTS.map(|(name, ..)| name)).collect();
        if !reader.mapping(node, "a Slack receiver", &known) {
            return None;
        }
        reader.refuse(node, &[("actions", "put links into `text`, such as <https://example.org|runbook>")]);
        let api_url = http::secret_url(reader, node, "api_url");
        let has_own = Reader::field(node, "api_url").is_some() || Reader::field(node, "api_url_file").is_some();
        if !has_own && global.slack_api_url.is_none() {
            let hint = "add `api_url` or `api_url_file` here, or `slack_api_url` to `global`";
            reader.report(node, "there is no address of Slack", hint);
        }
        let markup = ["fallback", "pretext", "text"].map(str::to_owned);
        let texts = SLACK_TEXTS.map(|(name, default, _)| (name, text_or(reader, node, name, default)));
        let mrkdwn_in = reader.texts(node, "mrkdwn_in");
        Some(Self {
            channel: text_or(reader, node, "channel", ""),
            texts: texts.into(),
            fields: fields(reader, node),
            short_fields: reader.flag(node, "short_fields").unwrap_or(false),
            link_names: reader.flag(node, "link_names").unwrap_or(false),
            mrkdwn_in: if mrkdwn_in.is_empty() { markup.into() } else { mrkdwn_in },
            http: http::read(reader, node, &global.http),
            api_url: api_url.or_else(|| global.slack_api_url.clone())?,
        })
    }
}

fn fields(reader: &mut Reader<'_>, node: &Node) -> Vec<Field> {
    let mut found = Vec::new();
    for item in reader.items(node, "fields") {
        reader.mapping(item, "a field of a Slack receiver", &["title", "value", "short"]);
        let title = needed(reader, item, "title", "a field of a Slack receiver");
        let value = needed(reader, item, "value", "a field of a Slack receiver");
        let short = reader.flag(item, "short");
        found.extend(title.zip(value).map(|(title, value)| Field { title, value, short }));
    }
    found
}

impl Matrix {
    pub(super) fn read(reader: &mut Reader<'_>, node: &Node, global: &Global) -> Option<Self> {
        const FIELDS: [&str; 8] = [
            "send_resolved",
            "homeserver_url",
            "room_id",
            "access_token",
            "access_token_file",
            "text",
            "html",
            "http_config",
        ];
        if !reader.mapping(node, "a Matrix receiver", &FIELDS) {
            return None;
        }
        needed(reader, node, "homeserver_url", "a Matrix receiver");
        let homeserver_url = reader.url(node, "homeserver_url").filter(|url| !url.is_empty());
        let room_id = needed(reader, node, "room_id", "a Matrix receiver");
        let access_token = http::secret(reader, node, "access_token");
        if access_token.is_none() {
            reader.report(
                node,
                "a Matrix receiver must have an access token",
                "add `access_token` or `access_token_file`",
            );
        }
        let text = text_or(reader, node, "text", r#"{{ template "matrix.default.text" . }}"#);
        let html = text_or(reader, node, "html", "");
        let http = http::read(reader, node, &global.http);
        Some(Self { homeserver_url: homeserver_url?, room_id: room_id?, access_token: access_token?, text, html, http })
    }
}

/// What a click on a message of ntfy opens, unless that is set otherwise: where a page is acknowledged, or all alerts.
const CLICK: &str = "{{ if .Page }}{{ .Page.AcknowledgeURL }}{{ else }}{{ .ExternalURL }}{{ end }}";

impl Ntfy {
    pub(super) fn read(reader: &mut Reader<'_>, node: &Node, global: &Global) -> Option<Self> {
        const FIELDS: [&str; 11] = [
            "send_resolved",
            "url",
            "topic",
            "token",
            "token_file",
            "title",
            "text",
            "priority",
            "tags",
            "click",
            "http_config",
        ];
        if !reader.mapping(node, "an ntfy receiver", &FIELDS) {
            return None;
        }
        let topic = needed(reader, node, "topic", "an ntfy receiver");
        let priority = r#"{{ if eq .Status "firing" }}high{{ else }}default{{ end }}"#;
        Some(Self {
            url: reader.url(node, "url").unwrap_or_else(|| "https://ntfy.sh".into()),
            token: http::secret(reader, node, "token"),
            title: text_or(reader, node, "title", r#"{{ template "ntfy.default.title" . }}"#),
            text: text_or(reader, node, "text", r#"{{ template "ntfy.default.text" . }}"#),
            priority: text_or(reader, node, "priority", priority),
            tags: text_or(reader, node, "tags", ""),
            click: text_or(reader, node, "click", CLICK),
            http: http::read(reader, node, &global.http),
            topic: topic?,
        })
    }
}

impl Console {
    pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Self> {
        if !reader.mapping(node, "a console receiver", &["send_resolved", "text"]) {
            return None;
        }
        Some(Self { text: text_or(reader, node, "text", r#"{{ template "console.default.text" . }}"#) })
    }
}
