//! `on`: whether and when a push starts a workflow.

use prograde_yaml::{Node, Value};

use super::reader::Reader;
use crate::codes;
use crate::pattern::{Dialect, Pattern};
use crate::workflow::{PatternList, PushFilter};

/// The most patterns in one filter.
const PATTERNS_MAX: usize = 500;

const FILTERS: &[&str] = &["branches", "branches-ignore", "tags", "tags-ignore", "paths", "paths-ignore"];

/// GitHub's events; those other than `push` never happen here.
const EVENTS: &[&str] = &[
    "branch_protection_rule",
    "check_run",
    "check_suite",
    "create",
    "delete",
    "deployment",
    "deployment_status",
    "discussion",
    "discussion_comment",
    "fork",
    "gollum",
    "image_version",
    "issue_comment",
    "issues",
    "label",
    "merge_group",
    "milestone",
    "page_build",
    "public",
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
    "pull_request_target",
    "push",
    "registry_package",
    "release",
    "repository_dispatch",
    "schedule",
    "status",
    "watch",
    "workflow_call",
    "workflow_dispatch",
    "workflow_run",
];

/// Reads `on`; `None` where no push starts the workflow.
pub(super) fn push(reader: &mut Reader<'_>, on: &Node) -> Option<PushFilter> {
    let named: Vec<(String, (u32, u32), Option<&Node>)> = match &on.value {
        Value::Mapping(entries) => {
            entries.iter().map(|(key, body)| (key.name.clone(), (key.line, key.column), Some(body))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Sequence(_) => {
            reader.texts(on, "on").into_iter().map(|(name, at)| (name, at, None)).collect()
        }
    };
    let mut filter = None;
    for (name, at, body) in named {
        if !EVENTS.contains(&name.as_str()) {
            let near = crate::expression::check::nearest(&name, EVENTS.iter().copied());
            let hint = near.map_or_else(String::new, |near| format!("did you mean `{near}`?"));
            reader.report(codes::TRIGGER, at, format!("`{name}` is not an event"), hint);
        } else if name == "push" {
            filter = Some(body.map(|node| read(reader, node)).unwrap_or_default());
        }
    }
    filter
}

fn read(reader: &mut Reader<'_>, node: &Node) -> PushFilter {
    if matches!(node.value, Value::Null) {
        return PushFilter::default();
    }
    reader.mapping(node, "push", FILTERS, &[]);
    let mut list = |name: &str| {
        let (taken, ignored) = (node.get(name), node.get(&format!("{name}-ignore")));
        if let (Some(_), Some(ignored)) = (taken, ignored) {
            let hint = format!("keep `{name}` and put `!` before what it should leave out");
            let message = format!("`{name}` and `{name}-ignore` can't be used together");
            reader.at_node(codes::TRIGGER, ignored, message, hint);
        }
        match (taken, ignored) {
            (Some(taken), _) => Some(patterns(reader, taken, name, true)),
            (None, Some(ignored)) => Some(patterns(reader, ignored, name, false)),
            (None, None) => None,
        }
    };
    let (branches, tags, paths) = (list("branches"), list("tags"), list("paths"));
    PushFilter { tags_only: tags.is_some() && branches.is_none(), branches, paths }
}

fn patterns(reader: &mut Reader<'_>, node: &Node, what: &str, take: bool) -> PatternList {
    let texts = reader.texts(node, what);
    if texts.len() > PATTERNS_MAX {
        let message = format!("`{what}` has {} patterns, more than the {PATTERNS_MAX} allowed", texts.len());
        reader.at_node(codes::LIMIT, node, message, "use `*` and `**` to say more with fewer");
        return PatternList { otherwise: !take, patterns: Vec::new() };
    }
    let mut list = PatternList { otherwise: !take, patterns: Vec::new() };
    for (text, at) in &texts {
        let (own, taken) = match text.strip_prefix('!') {
            Some(rest) if take => (rest, false),
            _ => (text.as_str(), take),
        };
        match Pattern::new(own, Dialect::Filter) {
            Ok(pattern) => list.patterns.push((pattern, taken)),
            Err(error) => reader.report(codes::TRIGGER, *at, format!("{text:?} can't be a filter: {error}"), ""),
        }
    }
    if take && !texts.is_empty() && list.patterns.iter().all(|(_, taken)| !taken) && reader.findings.is_empty() {
        let hint = format!("add a pattern without `!`, or use `{what}-ignore`");
        reader.at_node(codes::TRIGGER, node, format!("`{what}` has only patterns with `!`, so nothing matches"), hint);
    }
    list
}
