//! Sloth's files: `version: prometheus/v1`, and the same as a Kubernetes resource, whose fields are written in camel case.
//!
//! Source: Sloth 0.11, `pkg/prometheus/api/v1/README.md`, `pkg/kubernetes/api/sloth/v1/README.md`.

use std::collections::BTreeMap;

use prograde_model::objective::{Alerting, Indicator, Notes, Objective, Window};
use prograde_yaml::Node;

use super::{ENVIRONMENT, SERVICE, query};
use crate::rules::reader::Reader;

/// The window of all objectives: Sloth takes it from its command line, where this is the default.
const PERIOD_MS: i64 = 30 * 24 * 3_600_000;

/// How fields are called.
struct Names {
    error_ratio_query: &'static str,
    error_query: &'static str,
    total_query: &'static str,
    page_alert: &'static str,
    ticket_alert: &'static str,
}

const FILE: Names = Names {
    error_ratio_query: "error_ratio_query",
    error_query: "error_query",
    total_query: "total_query",
    page_alert: "page_alert",
    ticket_alert: "ticket_alert",
};
const RESOURCE: Names = Names {
    error_ratio_query: "errorRatioQuery",
    error_query: "errorQuery",
    total_query: "totalQuery",
    page_alert: "pageAlert",
    ticket_alert: "ticketAlert",
};

/// What all objectives of a document have in common.
struct Common {
    service: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    names: &'static Names,
}

impl Reader<'_> {
    pub(super) fn sloth(&mut self, node: &Node) -> Vec<Objective> {
        let known = ["version", "service", "labels", "slos", "slo_plugins"];
        if !self.mapping(node, "Sloth's file", &known) {
            return Vec::new();
        }
        self.sloth_spec(node, BTreeMap::new(), &FILE)
    }

    pub(super) fn sloth_resource(&mut self, node: &Node) -> Vec<Objective> {
        let known = ["apiVersion", "kind", "metadata", "spec", "status"];
        if !self.mapping(node, "a PrometheusServiceLevel", &known) {
            return Vec::new();
        }
        let annotations =
            node.get("metadata").map(|metadata| self.named_texts(metadata, "annotations")).unwrap_or_default();
        let Some(spec) = node.get("spec") else {
            self.report(node, "`spec` is missing", "add `spec`");
            return Vec::new();
        };
        if !self.mapping(spec, "`spec`", &["service", "labels", "slos", "sloPlugins"]) {
            return Vec::new();
        }
        self.sloth_spec(spec, annotations, &RESOURCE)
    }

    fn sloth_spec(
        &mut self,
        node: &Node,
        mut annotations: BTreeMap<String, String>,
        names: &'static Names,
    ) -> Vec<Objective> {
        for field in ["slo_plugins", "sloPlugins"] {
            self.no_plugin(node, field);
        }
        let Some(service) = self.needed(node, "service") else { return Vec::new() };
        let mut labels = self.series_labels(node, "labels");
        // Labels can't have a slash, so that in files without annotations these two stand there.
        for (label, annotation) in [("prograde_service", SERVICE), ("prograde_environment", ENVIRONMENT)] {
            if let Some(value) = labels.remove(label) {
                annotations.insert(annotation.to_owned(), value);
            }
        }
        let common = Common { service, labels, annotations, names };
        let slos = self.items(node, "slos");
        if slos.is_empty() {
            self.report(node, "there is no objective in `slos`", "add one");
        }
        slos.iter().filter_map(|slo| self.sloth_objective(slo, &common)).collect()
    }

    fn no_plugin(&mut self, node: &Node, field: &str) {
        if let Some(plugin) = node.get(field) {
            let hint = "write the queries themselves, as `events` or `raw`";
            self.unsupported(plugin, "Sloth's plugins are programs in Go, and are not run", hint);
        }
    }

    fn sloth_objective(&mut self, node: &Node, common: &Common) -> Option<Objective> {
        let known = ["name", "description", "objective", "labels", "sli", "alerting", "plugins"];
        if !self.mapping(node, "an objective", &known) {
            return None;
        }
        self.no_plugin(node, "plugins");
        let name = self.needed(node, "name")?;
        let id = self.id(node, &common.service, &name);
        let percent = self.figure(node, "objective");
        if percent.is_none() && node.get("objective").is_none() {
            self.report(
                node,
                "`objective` is missing",
                "add the percentage that must be good, such as `objective: 99.9`",
            );
        }
        let target = self.target(node.get("objective").unwrap_or(node), percent.map(|percent| percent / 100.0));
        let indicator = self.sloth_indicator(node, common.names);
        let alerting = self.sloth_alerting(node, common.names);
        let mut labels = common.labels.clone();
        labels.extend(self.series_labels(node, "labels"));
        let gate = self.gate(node, &common.service, &common.annotations);
        Some(Objective {
            id,
            name,
            service: common.service.clone(),
            description: self.text(node, "description").unwrap_or_default(),
            target: target?,
            window: Window::Rolling(PERIOD_MS),
            indicator: indicator?,
            labels,
            alerting: alerting?,
            gate,
        })
    }

    fn sloth_indicator(&mut self, node: &Node, names: &Names) -> Option<Indicator> {
        let hint = "add `sli` with `events` or `raw`";
        let Some(sli) = node.get("sli") else {
            self.report(node, "`sli` is missing", hint);
            return None;
        };
        if !self.mapping(sli, "an indicator", &["events", "raw", "plugin"]) {
            return None;
        }
        self.no_plugin(sli, "plugin");
        match (sli.get("events"), sli.get("raw"), sli.get("plugin")) {
            (Some(events), None, None) => {
                self.mapping(events, "`events`", &[names.error_query, names.total_query]);
                let bad = self.window_query(events, names.error_query);
                let total = self.window_query(events, names.total_query);
                Some(Indicator::Events { bad: bad?, total: total? })
            }
            (None, Some(raw), None) => {
                self.mapping(raw, "`raw`", &[names.error_ratio_query]);
                Some(Indicator::Ratio(self.window_query(raw, names.error_ratio_query)?))
            }
            (None, None, Some(_)) => None,
            _ => {
                self.report(sli, "an indicator has either `events` or `raw`", hint);
                None
            }
        }
    }

    /// A query with a place for the window.
    fn window_query(&mut self, node: &Node, field: &str) -> Option<String> {
        let text = self.needed(node, field)?;
        let place = node.get(field).unwrap_or(node);
        if !query::has_window(&text) {
            let hint = "write `[{{.window}}]` where the range stands";
            self.report(place, format!("`{field}` has no `{{{{.window}}}}`"), hint);
            return None;
        }
        self.query(place, text)
    }

    fn sloth_alerting(&mut self, node: &Node, names: &Names) -> Option<Alerting> {
        let Some(alerting) = node.get("alerting") else {
            self.report(node, "`alerting` is missing", "add `alerting: { name: MyAlert }`");
            return None;
        };
        let known = ["name", "labels", "annotations", names.page_alert, names.ticket_alert];
        if !self.mapping(alerting, "`alerting`", &known) {
            return None;
        }
        let common = self.notes(alerting);
        let page = self.sloth_alert(alerting, names.page_alert, &common);
        let ticket = self.sloth_alert(alerting, names.ticket_alert, &common);
        let is_named = page.is_some() || ticket.is_some();
        let name = if is_named { self.needed(alerting, "name")? } else { String::new() };
        Some(Alerting { name, page, ticket, conditions: Vec::new() })
    }

    /// What goes along with one of the two; none where it is disabled.
    fn sloth_alert(&mut self, node: &Node, field: &str, common: &Notes) -> Option<Notes> {
        let mut notes = common.clone();
        if let Some(alert) = node.get(field) {
            self.mapping(alert, &format!("`{field}`"), &["disable", "labels", "annotations"]);
            if self.flag(alert, "disable") == Some(true) {
                return None;
            }
            let own = self.notes(alert);
            notes.labels.extend(own.labels);
            notes.annotations.extend(own.annotations);
        }
        Some(notes)
    }
}
