//! `route` and `inhibit_rules`.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use prograde_model::alert::{GroupBy, Inhibition, Route, matchers};
use prograde_model::labels::is_label_name;
use prograde_model::matcher::Matcher;
use prograde_yaml::Node;

use super::reader::Reader;

const FIELDS: [&str; 12] = [
    "receiver",
    "group_by",
    "group_wait",
    "group_interval",
    "repeat_interval",
    "match",
    "match_re",
    "matchers",
    "mute_time_intervals",
    "active_time_intervals",
    "continue",
    "routes",
];

/// How deep routes may stand within each other.
const NEST_MAX: u32 = 50;

/// The tree. Receivers and intervals are named where they are used, so that a name that is not there can be pointed at.
pub(super) struct Names<'n> {
    pub(super) receivers: Vec<(String, &'n Node)>,
    pub(super) intervals: Vec<(String, &'n Node)>,
}

/// Reads the root and all below it.
pub(super) fn root<'n>(reader: &mut Reader<'_>, node: &'n Node, names: &mut Names<'n>) -> Route {
    for field in ["match", "match_re", "matchers"] {
        if let Some(value) =
            Reader::field(node, field).filter(|value| !(value.entries().is_empty() && value.items().is_empty()))
        {
            reader.report(
                value,
                format!("the top route takes every alert and can't have `{field}`"),
                "move it into a route of `routes`",
            );
        }
    }
    for field in ["mute_time_intervals", "active_time_intervals"] {
        if let Some(value) = Reader::field(node, field).filter(|value| !value.items().is_empty()) {
            reader.report(value, format!("the top route can't have `{field}`"), "move it into a route of `routes`");
        }
    }
    if reader.flag(node, "continue") == Some(true) {
        let place = node.get("continue").unwrap_or(node);
        reader.report(place, "the top route can't have `continue`", "take it out: there is nothing after it");
    }
    if reader.text(node, "receiver").is_none_or(|name| name.is_empty()) {
        reader.report(node, "the top route must have a receiver", "add `receiver`");
    }
    let defaults = Route {
        receiver: String::new(),
        matchers: Vec::new(),
        group_by: GroupBy::Labels(BTreeSet::new()),
        group_wait: SignedDuration::from_secs(30),
        group_interval: SignedDuration::from_mins(5),
        repeat_interval: SignedDuration::from_hours(4),
        mute_time_intervals: Vec::new(),
        active_time_intervals: Vec::new(),
        goes_on: false,
        routes: Vec::new(),
    };
    route(reader, node, &defaults, names, 0)
}

fn route<'n>(reader: &mut Reader<'_>, node: &'n Node, parent: &Route, names: &mut Names<'n>, depth: u32) -> Route {
    let inherited = Route {
        matchers: Vec::new(),
        mute_time_intervals: Vec::new(),
        active_time_intervals: Vec::new(),
        goes_on: false,
        routes: Vec::new(),
        ..parent.clone()
    };
    if depth > NEST_MAX {
        reader.report(node, format!("routes stand within each other more than {NEST_MAX} deep"), "write fewer levels");
        return inherited;
    }
    if !reader.mapping(node, "a route", &FIELDS) {
        return inherited;
    }
    let receiver = reader.text(node, "receiver").filter(|name| !name.is_empty());
    if let (Some(name), Some(place)) = (&receiver, node.get("receiver")) {
        names.receivers.push((name.clone(), place));
    }
    for field in ["mute_time_intervals", "active_time_intervals"] {
        for item in reader.items(node, field) {
            names.intervals.extend(reader.scalar(item, field).map(|name| (name, item)));
        }
    }
    let mut own = all_matchers(reader, node, ["match", "match_re", "matchers"]);
    own.sort_by(|a, b| a.name.cmp(&b.name));
    let here = Route {
        receiver: receiver.unwrap_or(inherited.receiver),
        matchers: own,
        group_by: group_by(reader, node).unwrap_or(inherited.group_by),
        group_wait: reader.duration(node, "group_wait").unwrap_or(inherited.group_wait),
        group_interval: positive(reader, node, "group_interval").unwrap_or(inherited.group_interval),
        repeat_interval: positive(reader, node, "repeat_interval").unwrap_or(inherited.repeat_interval),
        mute_time_intervals: reader.texts(node, "mute_time_intervals"),
        active_time_intervals: reader.texts(node, "active_time_intervals"),
        goes_on: reader.flag(node, "continue").unwrap_or(false),
        routes: Vec::new(),
    };
    let routes = reader.items(node, "routes").iter().map(|child| route(reader, child, &here, names, depth + 1));
    let routes = routes.collect();
    Route { routes, ..here }
}

fn positive(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<SignedDuration> {
    let duration = reader.duration(node, name)?;
    if duration.is_zero() {
        reader.report(node.get(name).unwrap_or(node), format!("`{name}` can't be zero"), "write a duration such as 5m");
    }
    Some(duration)
}

fn group_by(reader: &mut Reader<'_>, node: &Node) -> Option<GroupBy> {
    let items = reader.items(node, "group_by");
    let mut names = BTreeSet::new();
    for item in items {
        let Some(name) = reader.scalar(item, "group_by") else { continue };
        if name != "..." && !is_label_name(&name) {
            reader.report(item, format!("`{name}` in `group_by` is not a label's name"), "use letters, digits and `_`");
        }
        if !names.insert(name.clone()) {
            reader.report(item, format!("`{name}` stands twice in `group_by`"), "take one out");
        }
    }
    if names.remove("...") {
        if !names.is_empty() {
            let place = node.get("group_by").unwrap_or(node);
            reader.report(
                place,
                "`...` in `group_by` means all labels and can't stand beside others",
                "keep one or the other",
            );
        }
        return Some(GroupBy::All);
    }
    (!names.is_empty()).then_some(GroupBy::Labels(names))
}

/// The matchers in the three forms in which they may be written: exact, as regular expressions, and as texts.
fn all_matchers(reader: &mut Reader<'_>, node: &Node, [exact, patterns, texts]: [&str; 3]) -> Vec<Matcher> {
    let mut found = Vec::new();
    for (field, operator) in [(exact, "="), (patterns, "=~")] {
        for (name, value, place) in reader.pairs(node, field) {
            if !is_label_name(&name) {
                reader.report(
                    place,
                    format!("`{name}` in `{field}` is not a label's name"),
                    "use letters, digits and `_`",
                );
            }
            match Matcher::new(&name, operator, &value) {
                Ok(matcher) => found.push(matcher),
                Err(error) => reader.report(place, format!("`{name}` in `{field}`: {error}"), ""),
            }
        }
    }
    for item in reader.items(node, texts) {
        let Some(text) = reader.scalar(item, texts) else { continue };
        match matchers(&text) {
            Ok(read) => found.extend(read),
            Err(error) => reader.report(item, error.to_string(), ""),
        }
    }
    found
}

/// Reads the inhibition rules.
pub(super) fn inhibitions(reader: &mut Reader<'_>, node: &Node) -> Vec<Inhibition> {
    const FIELDS: [&str; 7] = [
        "source_match",
        "source_match_re",
        "source_matchers",
        "target_match",
        "target_match_re",
        "target_matchers",
        "equal",
    ];
    let mut rules = Vec::new();
    for item in reader.items(node, "inhibit_rules") {
        if !reader.mapping(item, "an inhibition rule", &FIELDS) {
            continue;
        }
        let mut equal = BTreeSet::new();
        for name in reader.items(item, "equal") {
            let Some(text) = reader.scalar(name, "equal") else { continue };
            if !is_label_name(&text) {
                reader.report(
                    name,
                    format!("`{text}` in `equal` is not a label's name"),
                    "use letters, digits and `_`",
                );
            }
            equal.insert(text);
        }
        let source = all_matchers(reader, item, ["source_match", "source_match_re", "source_matchers"]);
        let target = all_matchers(reader, item, ["target_match", "target_match_re", "target_matchers"]);
        rules.push(Inhibition { source, target, equal });
    }
    rules
}
