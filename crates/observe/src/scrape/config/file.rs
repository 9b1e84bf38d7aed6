//! The file as a whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use prograde_model::diagnostic::{Diagnostic, Diagnostics};
use prograde_yaml::Node;

use super::job::{DISCOVERIES, LIMITS, has_star_only_at_the_end};
use super::reader::Reader;
use super::{Alertmanagers, CODE, Config, Global, Limits, ScrapeJob, http};
use crate::relabel::Rule;

const FIELDS: [&str; 8] =
    ["global", "rule_files", "scrape_configs", "alerting", "remote_write", "remote_read", "storage", "tracing"];
const GLOBAL_FIELDS: [&str; 5] =
    ["scrape_interval", "scrape_timeout", "evaluation_interval", "external_labels", "query_log_file"];
const ALERTMANAGER_FIELDS: [&str; 8] = [
    "scheme",
    "path_prefix",
    "timeout",
    "api_version",
    "static_configs",
    "file_sd_configs",
    "kubernetes_sd_configs",
    "relabel_configs",
];

/// Reads a file; relative paths in it are relative to its folder.
pub fn load(path: &Path) -> Result<Config, Diagnostics> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Diagnostic::file(CODE, &name, format!("the file can't be read: {error}"), "name a file that is there")
    })?;
    parse(&name, &text, path.parent().unwrap_or(Path::new("")))
}

/// Reads the text of a file; `file` is only for messages, and relative paths in it are joined to `folder`.
pub fn parse(file: &str, text: &str, folder: &Path) -> Result<Config, Diagnostics> {
    let documents = prograde_yaml::documents(file, text)?;
    let mut reader = Reader::new(file);
    let mut config = match documents.as_slice() {
        [] => Config::default(),
        [document] => reader.config(document, folder),
        [_, second, ..] => {
            reader.report(second, "the configuration is one document", "put all of it into one");
            Config::default()
        }
    };
    let by_place = |finding: &Diagnostic| (finding.line, finding.column);
    reader.found.sort_by_key(by_place);
    reader.notices.sort_by_key(by_place);
    config.notices = reader.notices;
    if reader.found.is_empty() { Ok(config) } else { Err(Diagnostics(reader.found)) }
}

impl Reader<'_> {
    fn config(&mut self, node: &Node, folder: &Path) -> Config {
        if !self.mapping(node, "the configuration", &[&FIELDS]) {
            return Config::default();
        }
        self.refuse(
            node,
            "remote_write",
            "let the other side query this one, or scrape the targets from there as well",
        );
        self.refuse(node, "remote_read", "query the other side itself");
        self.leave_aside(node, "storage", "it is about Prometheus' own storage");
        self.leave_aside(node, "tracing", "it is about Prometheus' own process");
        let global = self.global(node);
        let (alertmanagers, alert_relabelling) = self.alerting(node, folder);
        Config {
            rule_files: self.rule_files(node, folder),
            jobs: self.jobs(node, &global, folder),
            alertmanagers,
            alert_relabelling,
            global,
            notices: Vec::new(),
        }
    }

    fn global(&mut self, node: &Node) -> Global {
        let default = Global::default();
        let Some(global) = node.get("global").filter(|global| !matches!(global.value, prograde_yaml::Value::Null))
        else {
            return default;
        };
        if !self.mapping(global, "`global`", &[&GLOBAL_FIELDS, &LIMITS]) {
            return default;
        }
        self.leave_aside(global, "query_log_file", "it is about Prometheus' own process");
        let scrape_interval_ms = self.duration(global, "scrape_interval").unwrap_or(default.scrape_interval_ms);
        let timeout_ms = self.duration(global, "scrape_timeout");
        if timeout_ms.is_some_and(|timeout_ms| timeout_ms > scrape_interval_ms) {
            let place = global.get("scrape_timeout").unwrap_or(global);
            self.report(place, "a scrape may not take longer than its interval", "make `scrape_timeout` shorter");
        }
        Global {
            scrape_interval_ms,
            scrape_timeout_ms: timeout_ms.unwrap_or(default.scrape_timeout_ms.min(scrape_interval_ms)),
            evaluation_interval_ms: self
                .duration(global, "evaluation_interval")
                .unwrap_or(default.evaluation_interval_ms),
            external_labels: self.labels(global, "external_labels"),
            limits: self.limits(global, Limits::default()),
        }
    }

    fn rule_files(&mut self, node: &Node, folder: &Path) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for item in self.items(node, "rule_files") {
            let Some(path) = self.scalar(item, "rule_files") else { continue };
            if !has_star_only_at_the_end(&path) {
                self.report(item, format!("`{path}` can't be a path of rules"), "use `*` only in the last part");
            }
            files.push(folder.join(path));
        }
        files
    }

    fn jobs(&mut self, node: &Node, global: &Global, folder: &Path) -> Vec<ScrapeJob> {
        let mut jobs: BTreeMap<String, u32> = BTreeMap::new();
        let mut all = Vec::new();
        for item in self.items(node, "scrape_configs") {
            let Some(job) = self.job(item, global, folder) else { continue };
            if let Some(line) = jobs.insert(job.name.clone(), item.line) {
                let place = item.get("job_name").unwrap_or(item);
                let message = format!("there is another job called `{}` in line {line}", job.name);
                self.report(place, message, "give one another name");
            }
            all.push(job);
        }
        all
    }

    fn alerting(&mut self, node: &Node, folder: &Path) -> (Vec<Alertmanagers>, Vec<Rule>) {
        let Some(alerting) = node.get("alerting").filter(|node| !matches!(node.value, prograde_yaml::Value::Null))
        else {
            return (Vec::new(), Vec::new());
        };
        if !self.mapping(alerting, "`alerting`", &[&["alert_relabel_configs", "alertmanagers"]]) {
            return (Vec::new(), Vec::new());
        }
        let relabelling = self.relabelling(alerting, "alert_relabel_configs");
        let items = self.items(alerting, "alertmanagers");
        (items.iter().filter_map(|item| self.alertmanagers(item, folder)).collect(), relabelling)
    }

    fn alertmanagers(&mut self, node: &Node, folder: &Path) -> Option<Alertmanagers> {
        if !self.mapping(node, "an Alertmanager", &[&ALERTMANAGER_FIELDS, &http::FIELDS, &DISCOVERIES]) {
            return None;
        }
        for discovery in DISCOVERIES.iter().chain(&["file_sd_configs", "kubernetes_sd_configs"]) {
            self.refuse(node, discovery, "name the Alertmanagers in `static_configs`");
        }
        let version = self.text(node, "api_version").unwrap_or_else(|| "v2".to_owned());
        if version == "v1" {
            self.refuse(node, "api_version", "use v2, which Alertmanager has since 0.16");
        } else if version != "v2" {
            let place = node.get("api_version").unwrap_or(node);
            self.report(place, format!("unknown version `{version}`"), "use v2");
        }
        Some(Alertmanagers {
            scheme: self.scheme(node),
            path_prefix: self.text(node, "path_prefix").unwrap_or_default(),
            timeout_ms: self.duration(node, "timeout").unwrap_or(10_000),
            http: self.http(node, folder),
            targets: self.groups(node, "static_configs"),
            relabelling: self.relabelling(node, "relabel_configs"),
        })
    }
}
