//! `OpenSLO`, version 1. What one object names may stand in any file that is read with it.
//!
//! Source: `OpenSLO`, "Specification", v1.

mod alerts;
mod indicator;
mod window;

use std::collections::BTreeMap;

use prograde_model::diagnostic::Diagnostic;
use prograde_model::objective::Objective;
use prograde_yaml::{Node, Value};

use super::{CODE, Document};
use crate::rules::reader::Reader;

/// Kinds that others name.
const NAMED: [&str; 6] = ["DataSource", "SLI", "AlertPolicy", "AlertCondition", "AlertNotificationTarget", "Service"];

/// The objects that others name, by kind and name, with the files that they stand in.
pub(super) struct Known<'a>(BTreeMap<(&'a str, &'a str), (&'a str, &'a Node)>);

impl<'a> Known<'a> {
    pub(super) fn collect(documents: &'a [Document<'a>], found: &mut Vec<Diagnostic>) -> Self {
        let mut known = BTreeMap::new();
        for document in documents {
            let node = &document.node;
            let text = |node: Option<&'a Node>| node.and_then(Node::as_str);
            let kind = text(node.get("kind")).and_then(|kind| NAMED.into_iter().find(|named| *named == kind));
            let name = text(node.get("metadata").and_then(|metadata| metadata.get("name")));
            if text(node.get("apiVersion")) != Some("openslo/v1") {
                continue;
            }
            if let (Some(kind), Some(name)) = (kind, name)
                && known.insert((kind, name), (document.file, node)).is_some()
            {
                let message = format!("there are two objects of kind {kind} called {name:?}");
                found.push(Diagnostic::file(CODE, document.file, message, "give one another name").at(node.line, 1));
            }
        }
        Self(known)
    }

    /// The object that a text names, and its file.
    fn find(&self, reader: &mut Reader<'_>, kind: &'static str, place: &Node) -> Option<(&'a str, &'a Node)> {
        let name = reader.scalar(place, kind)?;
        let object = self.0.get(&(kind, name.as_str())).copied();
        if object.is_none() {
            reader.report(place, format!("there is no {kind} called {name:?}"), "read the file that it is in as well");
        }
        object
    }
}

/// What an SLO's objectives have in common.
struct Common {
    name: String,
    service: String,
    description: String,
    annotations: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
}

impl<'r> Reader<'r> {
    /// What an object in another file says; findings name that file.
    fn in_file<T>(&mut self, file: &'r str, read: impl FnOnce(&mut Self) -> T) -> T {
        let here = std::mem::replace(&mut self.file, file);
        let read = read(self);
        self.file = here;
        read
    }

    /// The objectives of an SLO; of any other object none.
    pub(super) fn openslo(
        &mut self,
        node: &Node,
        kind: &str,
        known: &Known<'r>,
        notices: &mut Vec<String>,
    ) -> Vec<Objective> {
        if !self.mapping(node, "an object of OpenSLO", &["apiVersion", "kind", "metadata", "spec"]) {
            return Vec::new();
        }
        match kind {
            "SLO" => self.slo(node, known, notices),
            "DataSource" => {
                self.data_source(node, notices);
                Vec::new()
            }
            // These say something to those who name them alone.
            "SLI" | "AlertPolicy" | "AlertCondition" | "AlertNotificationTarget" | "Service" => Vec::new(),
            other => {
                let hint = "OpenSLO v1 has SLO, SLI, DataSource, Service, AlertPolicy, AlertCondition and AlertNotificationTarget";
                self.report(node.get("kind").unwrap_or(node), format!("`{other}` is no kind of OpenSLO v1"), hint);
                Vec::new()
            }
        }
    }

    fn data_source(&mut self, node: &Node, notices: &mut Vec<String>) {
        let Some(spec) = node.get("spec") else { return };
        self.mapping(spec, "a DataSource", &["description", "type", "connectionDetails"]);
        if let Some(details) = spec.get("connectionDetails").filter(|details| !details.entries().is_empty()) {
            let place = format!("{}:{}", self.file, details.line);
            notices.push(format!("{place}: `connectionDetails` have no effect: this server's own series are asked"));
        }
    }

    fn slo(&mut self, node: &Node, known: &Known<'r>, notices: &mut Vec<String>) -> Vec<Objective> {
        const KNOWN: [&str; 8] = [
            "description",
            "service",
            "indicator",
            "indicatorRef",
            "timeWindow",
            "budgetingMethod",
            "objectives",
            "alertPolicies",
        ];
        let Some(spec) = node.get("spec") else {
            self.report(node, "`spec` is missing", "add `spec`");
            return Vec::new();
        };
        if !self.mapping(spec, "an SLO", &KNOWN) {
            return Vec::new();
        }
        let Some(common) = self.common(node, spec) else { return Vec::new() };
        let window = self.time_window(spec, notices);
        let method = self.method(spec);
        let policies = self.policies(spec, known, &common.name);
        let items = self.items(spec, "objectives");
        if items.is_empty() {
            self.report(spec, "there is no objective in `objectives`", "add one with a `target`");
        }
        let mut objectives = Vec::new();
        for (place, item) in items.iter().enumerate() {
            let name = if place == 0 { common.name.clone() } else { format!("{}-{}", common.name, place + 1) };
            let target = self.objective_target(item);
            let indicator = method.and_then(|method| self.indicator(spec, item, (method, window.as_ref()), known));
            let gate = self.gate(node, &common.service, &common.annotations);
            let id = self.id(node, &common.service, &name);
            let (Some(target), Some(window), Some(indicator), Some(alerting)) =
                (target, window.clone(), indicator, policies.clone())
            else {
                continue;
            };
            let (service, description) = (common.service.clone(), common.description.clone());
            let labels = common.labels.clone();
            objectives.push(Objective {
                id,
                name,
                service,
                description,
                target,
                window,
                indicator,
                labels,
                alerting,
                gate,
            });
        }
        objectives
    }

    fn common(&mut self, node: &Node, spec: &Node) -> Option<Common> {
        let Some(metadata) = node.get("metadata") else {
            self.report(node, "`metadata` is missing", "add `metadata: { name: availability }`");
            return None;
        };
        self.mapping(metadata, "`metadata`", &["name", "displayName", "labels", "annotations"]);
        let name = self.needed(metadata, "name");
        let service = self.needed(spec, "service");
        let shown = self.text(metadata, "displayName").unwrap_or_default();
        let description = self.text(spec, "description").unwrap_or(shown);
        let annotations = self.named_texts(metadata, "annotations");
        Some(Common { name: name?, service: service?, description, annotations, labels: self.free_labels(metadata) })
    }

    /// Labels may have names that series can't have, and lists as values.
    fn free_labels(&mut self, metadata: &Node) -> BTreeMap<String, String> {
        let entries = metadata.get("labels").map(Node::entries).unwrap_or_default();
        let mut labels = BTreeMap::new();
        for (key, value) in entries {
            let name: String = key.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
            let name = if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name };
            let text = if matches!(value.value, Value::Sequence(_)) {
                let items: Vec<String> = value.items().iter().filter_map(|item| self.scalar(item, "labels")).collect();
                Some(items.join(","))
            } else {
                self.scalar(value, "labels")
            };
            labels.extend(text.map(|text| (name, text)));
        }
        labels
    }

    fn objective_target(&mut self, node: &Node) -> Option<f64> {
        const KNOWN: [&str; 7] =
            ["displayName", "op", "value", "target", "targetPercent", "timeSliceTarget", "timeSliceWindow"];
        self.mapping(node, "an objective", &KNOWN);
        match (node.get("target"), node.get("targetPercent")) {
            (Some(place), None) => {
                let target = self.figure(node, "target");
                self.target(place, target)
            }
            (None, Some(place)) => {
                let percent = self.figure(node, "targetPercent");
                self.target(place, percent.map(|percent| percent / 100.0))
            }
            (Some(_), Some(_)) | (None, None) => {
                let hint = "write `target: 0.999` or `targetPercent: 99.9`";
                self.report(node, "an objective has either `target` or `targetPercent`", hint);
                None
            }
        }
    }
}
