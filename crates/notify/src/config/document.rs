//! The whole file, from `global` to the names that routes use.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use prograde_model::alert::{Receiver, Routing};
use prograde_yaml::{Node, Value};

use super::reader::Reader;
use super::receivers::{self, Global, MailGlobal};
use super::route::{self, Names};
use super::{Config, http, interval, mask};

const FIELDS: [&str; 7] =
    ["global", "templates", "route", "inhibit_rules", "receivers", "mute_time_intervals", "time_intervals"];

const GLOBAL_FIELDS: [&str; 5] =
    ["resolve_timeout", "http_config", "slack_api_url", "slack_api_url_file", "pagerduty_url"];

/// Those of receivers that we do not have are without effect as long as no such receiver is there.
const GLOBAL_OTHERS: [&str; 11] = [
    "opsgenie_api_key",
    "opsgenie_api_key_file",
    "opsgenie_api_url",
    "victorops_api_key",
    "victorops_api_key_file",
    "victorops_api_url",
    "wechat_api_corp_id",
    "wechat_api_secret",
    "wechat_api_url",
    "telegram_api_url",
    "webex_api_url",
];

/// Reads the document; `None` where it is none.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Config> {
    if !reader.mapping(node, "the configuration", &FIELDS) {
        return None;
    }
    let global_node =
        node.get("global").cloned().unwrap_or(Node { line: node.line, column: node.column, value: Value::Null });
    let known: Vec<&str> = GLOBAL_FIELDS.iter().chain(&MailGlobal::FIELDS).chain(&GLOBAL_OTHERS).copied().collect();
    reader.mapping(&global_node, "`global`", &known);
    let global = Global::read(reader, &global_node);
    let resolve_timeout = reader.duration(&global_node, "resolve_timeout");
    let templates = reader.texts(node, "templates");
    let ways = receivers::read(reader, node, &global);
    let mut time_intervals = BTreeMap::new();
    interval::read(reader, node, "mute_time_intervals", &mut time_intervals);
    interval::read(reader, node, "time_intervals", &mut time_intervals);
    let inhibitions = route::inhibitions(reader, node);
    let Some(root) = Reader::field(node, "route") else {
        reader.report(node, "there is no route", "add `route` with a `receiver`");
        return None;
    };
    let mut names = Names { receivers: Vec::new(), intervals: Vec::new() };
    let root = route::root(reader, root, &mut names);
    let there: BTreeSet<&str> = ways.iter().map(|(name, _)| name.as_str()).collect();
    for (name, place) in names.receivers {
        if !there.contains(name.as_str()) {
            reader.report(
                place,
                format!("there is no receiver `{name}`"),
                "add it to `receivers`, or correct the name",
            );
        }
    }
    for (name, place) in names.intervals {
        if !time_intervals.contains_key(&name) {
            reader.report(
                place,
                format!("there is no time interval `{name}`"),
                "add it to `time_intervals`, or correct the name",
            );
        }
    }
    let receivers = ways.iter().map(|(name, ways)| {
        let integrations = ways.iter().map(receivers::Way::integration).collect();
        (name.clone(), Receiver { name: name.clone(), integrations })
    });
    let routing = Routing {
        root,
        receivers: receivers.collect(),
        inhibitions,
        time_intervals,
        resolve_timeout: resolve_timeout.unwrap_or(SignedDuration::from_mins(5)),
    };
    let shown = serde_json::to_string_pretty(&mask::shown(node)).unwrap_or_default();
    Some(Config { routing, ways, templates, shown })
}

impl Global {
    fn read(reader: &mut Reader<'_>, node: &Node) -> Self {
        let http = http::read(reader, node, &http::Http::default());
        let slack_api_url = http::secret_url(reader, node, "slack_api_url");
        let pagerduty_url = reader.url(node, "pagerduty_url");
        Self { http, slack_api_url, pagerduty_url, mail: MailGlobal::read(reader, node) }
    }
}
