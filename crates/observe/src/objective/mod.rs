//! Objectives as teams write them, and what is evaluated for each: recording rules of its error ratios, and alerts on how fast
//! its budget goes.
//!
//! [`read`] takes `OpenSLO` v1 and Sloth's `prometheus/v1`, also as the Kubernetes resource `PrometheusServiceLevel`.
//! [`rules::file`] makes a rule file of what was read, with Sloth's names, so that dashboards made for it work.
//!
//! Source: `OpenSLO`, "Specification", v1; Sloth 0.11, `pkg/prometheus/api/v1`, `pkg/kubernetes/api/sloth/v1`.

mod openslo;
mod query;
pub mod rules;
mod sloth;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use prograde_model::diagnostic::{Diagnostic, Diagnostics};
use prograde_model::ids::{EnvironmentName, ServiceName};
use prograde_model::objective::{Notes, Objective};
use prograde_yaml::{Node, Value};

use crate::rules::reader::Reader;
pub use query::filled;

/// The code of findings about the form of files.
pub const CODE: &str = "PG0680";
/// The code of findings about queries.
pub const QUERY_CODE: &str = "PG0681";
/// The code of what a format can say and prograde can't do.
pub const UNSUPPORTED_CODE: &str = "PG0682";

/// How many objectives may be read at most: each has some twenty rules.
const OBJECTIVES_MAX: usize = 2_000;
/// The longest name of an objective with its service.
const ID_BYTES_MAX: usize = 200;

/// Where an objective says which service of prograde it is about, and which environment, if they have other names.
const SERVICE: &str = "prograde/service";
const ENVIRONMENT: &str = "prograde/environment";

/// What was read.
#[derive(Debug, Clone, Default)]
pub struct Read {
    /// The objectives, in the order in which they stand.
    pub objectives: Vec<Objective>,
    /// What is said that has no effect here.
    pub notices: Vec<String>,
}

/// One document of a file.
struct Document<'a> {
    file: &'a str,
    node: Node,
}

/// Reads files, by their names and texts; what one of them names may stand in another. All that is wrong with any of them.
pub fn read(files: &[(String, String)]) -> Result<Read, Diagnostics> {
    let (mut documents, mut found) = (Vec::new(), Vec::new());
    for (file, text) in files {
        match prograde_yaml::documents(file, text) {
            Ok(nodes) => documents.extend(nodes.into_iter().map(|node| Document { file, node })),
            Err(of_file) => found.extend(Diagnostics::from(of_file).0),
        }
    }
    let open = openslo::Known::collect(&documents, &mut found);
    let (mut read, mut places) = (Read::default(), BTreeMap::<String, String>::new());
    for document in &documents {
        let mut reader = Reader::new(document.file, CODE);
        let objectives = reader.objectives(&document.node, &open, &mut read.notices);
        for objective in objectives {
            let place = format!("{}:{}", document.file, document.node.line);
            if let Some(before) = places.insert(objective.id.clone(), place) {
                let message = format!("there is an objective {} already, in {before}", objective.id);
                reader.report(&document.node, message, "give one of the two another name");
            }
            read.objectives.push(objective);
        }
        found.extend(reader.found);
    }
    if read.objectives.len() > OBJECTIVES_MAX {
        let message =
            format!("there are {} objectives, more than the {OBJECTIVES_MAX} that are kept", read.objectives.len());
        found.push(Diagnostic::file(CODE, "objectives", message, "have another server look after some of them"));
    }
    if !found.is_empty() {
        found.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        return Err(Diagnostics(found));
    }
    Ok(read)
}

impl<'r> Reader<'r> {
    /// The objectives of a document, of whichever format it is.
    fn objectives(&mut self, node: &Node, open: &openslo::Known<'r>, notices: &mut Vec<String>) -> Vec<Objective> {
        let field = |name: &str| node.get(name).and_then(Node::as_str);
        match (field("apiVersion"), field("kind"), field("version")) {
            (Some("openslo/v1"), Some(kind), _) => self.openslo(node, kind, open, notices),
            (Some("sloth.slok.dev/v1"), Some("PrometheusServiceLevel"), _) => self.sloth_resource(node),
            (None, None, Some("prometheus/v1")) => self.sloth(node),
            (Some(version), ..) if version.starts_with("openslo/") => {
                let hint = "write `apiVersion: openslo/v1`";
                self.unsupported(
                    node.get("apiVersion").unwrap_or(node),
                    format!("version {version} is not read"),
                    hint,
                );
                Vec::new()
            }
            _ => {
                let hint =
                    "begin with `apiVersion: openslo/v1` and `kind: SLO`, or with Sloth's `version: prometheus/v1`";
                self.report(node, "this is neither OpenSLO nor Sloth", hint);
                Vec::new()
            }
        }
    }

    /// Something that the format knows and that can't be done.
    fn unsupported(&mut self, node: &Node, message: impl Into<String>, hint: &str) {
        self.found.push(Diagnostic::file(UNSUPPORTED_CODE, self.file, message, hint).at(node.line, node.column));
    }

    /// A text that must be there.
    fn needed(&mut self, node: &Node, field: &str) -> Option<String> {
        let text = self.text(node, field).filter(|text| !text.trim().is_empty());
        if text.is_none() && self.found.iter().all(|found| (found.line, found.column) != (node.line, node.column)) {
            self.report(node, format!("`{field}` is missing"), &format!("add `{field}`"));
        }
        text
    }

    /// A number, also in quotes.
    fn figure(&mut self, node: &Node, field: &str) -> Option<f64> {
        let value = node.get(field)?;
        let number = match &value.value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            Value::Null | Value::Bool(_) | Value::Sequence(_) | Value::Mapping(_) => None,
        };
        let number = number.filter(|number| number.is_finite());
        if number.is_none() {
            self.report(value, format!("expected a number in `{field}`, found {}", value.kind()), "");
        }
        number
    }

    fn flag(&mut self, node: &Node, field: &str) -> Option<bool> {
        let value = node.get(field)?;
        if let Value::Bool(flag) = &value.value {
            return Some(*flag);
        }
        self.report(value, format!("expected true or false in `{field}`, found {}", value.kind()), "");
        None
    }

    /// Texts by their names.
    fn named_texts(&mut self, node: &Node, field: &str) -> BTreeMap<String, String> {
        let Some(mapping) = node.get(field) else { return BTreeMap::new() };
        if !matches!(mapping.value, Value::Mapping(_) | Value::Null) {
            self.report(mapping, format!("expected a mapping in `{field}`, found {}", mapping.kind()), "");
        }
        let entries = mapping.entries().iter();
        entries.filter_map(|(key, value)| Some((key.name.clone(), self.scalar(value, field)?))).collect()
    }

    /// Labels of series and alerts.
    fn series_labels(&mut self, node: &Node, field: &str) -> BTreeMap<String, String> {
        if let Some(mapping) = node.get(field) {
            for (key, value) in mapping.entries().iter().filter(|(key, _)| !crate::labels::is_label_name(&key.name)) {
                let message = format!("`{}` can't be a label's name", key.name);
                self.report(value, message, "use letters, digits and `_`");
            }
        }
        self.named_texts(node, field)
    }

    fn notes(&mut self, node: &Node) -> Notes {
        Notes { labels: self.series_labels(node, "labels"), annotations: self.named_texts(node, "annotations") }
    }

    /// A target as a share of 1.
    fn target(&mut self, node: &Node, share: Option<f64>) -> Option<f64> {
        let share = share?;
        if share > 0.0 && share < 1.0 {
            return Some(prograde_model::objective::rounded(share));
        }
        let hint = "an objective of 100% leaves no budget, and one of 0% promises nothing: write 99.9%, for example";
        self.report(node, format!("a target of {}% can't be kept an account of", share * 100.0), hint);
        None
    }

    /// The name by which an objective is known.
    fn id(&mut self, node: &Node, service: &str, name: &str) -> String {
        let id = format!("{service}-{name}");
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if id.len() > ID_BYTES_MAX || !id.chars().all(plain) {
            let message = format!("{id:?} can't be the name of an objective");
            self.report(node, message, "use letters, digits, `-`, `_` and `.` for the service and the name");
        }
        id
    }

    /// Whose gate is held: what the annotations say, or the service of the objective's own name.
    fn gate(
        &mut self,
        node: &Node,
        service: &str,
        annotations: &BTreeMap<String, String>,
    ) -> Option<(ServiceName, Option<EnvironmentName>)> {
        let named = annotations.get(SERVICE);
        let environment = annotations.get(ENVIRONMENT).and_then(|name| match name.parse() {
            Ok(name) => Some(name),
            Err(error) => {
                self.report(node, format!("{name:?} is not an environment: {error}"), "write it as in `prograde.yaml`");
                None
            }
        });
        match (named.map_or(service, String::as_str).parse(), named) {
            (Ok(service), _) => Some((service, environment)),
            (Err(error), Some(name)) => {
                self.report(node, format!("{name:?} is not a service: {error}"), "write it as in `prograde.yaml`");
                None
            }
            // A service that is not deployed from here has no gate.
            (Err(_), None) => None,
        }
    }

    /// A query that can be read once the window is filled in.
    fn query(&mut self, node: &Node, query: String) -> Option<String> {
        match query::check(&query) {
            Ok(()) => Some(query),
            Err(why) => {
                let hint = "the first numbers count lines and characters of the query; `{{.window}}` is the window";
                let finding = Diagnostic::file(QUERY_CODE, self.file, format!("the query can't be read: {why}"), hint);
                self.found.push(finding.at(node.line, node.column));
                None
            }
        }
    }
}
