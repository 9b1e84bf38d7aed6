//! One job of `scrape_configs`.

use std::collections::BTreeMap;
use std::path::Path;

use prograde_yaml::{Node, Value};

use super::reader::Reader;
use super::{Global, Limits, ScrapeJob, TargetFiles, TargetGroup, http};
use crate::scrape::target;

const FIELDS: [&str; 13] = [
    "job_name",
    "honor_labels",
    "honor_timestamps",
    "params",
    "scrape_interval",
    "scrape_timeout",
    "metrics_path",
    "scheme",
    "static_configs",
    "file_sd_configs",
    "kubernetes_sd_configs",
    "relabel_configs",
    "metric_relabel_configs",
];
pub(super) const LIMITS: [&str; 6] = [
    "body_size_limit",
    "sample_limit",
    "label_limit",
    "label_name_length_limit",
    "label_value_length_limit",
    "target_limit",
];
/// What asks a platform for targets.
pub(super) const DISCOVERIES: [&str; 26] = [
    "azure_sd_configs",
    "consul_sd_configs",
    "digitalocean_sd_configs",
    "dns_sd_configs",
    "docker_sd_configs",
    "dockerswarm_sd_configs",
    "ec2_sd_configs",
    "eureka_sd_configs",
    "gce_sd_configs",
    "hetzner_sd_configs",
    "http_sd_configs",
    "ionos_sd_configs",
    "kuma_sd_configs",
    "lightsail_sd_configs",
    "linode_sd_configs",
    "marathon_sd_configs",
    "nerve_sd_configs",
    "nomad_sd_configs",
    "openstack_sd_configs",
    "ovhcloud_sd_configs",
    "puppetdb_sd_configs",
    "scaleway_sd_configs",
    "serverset_sd_configs",
    "triton_sd_configs",
    "uyuni_sd_configs",
    "vultr_sd_configs",
];
const DISCOVERY_WAY_OUT: &str =
    "have the targets written into a file and name it in `file_sd_configs`, which is read again when it changes";

/// Where files of targets are looked for: `*` only in the last part.
const FILES_HINT: &str = "name files that end in .json, .yml or .yaml, with `*` only in the last part of the path";

impl Reader<'_> {
    pub(super) fn job(&mut self, node: &Node, global: &Global, folder: &Path) -> Option<ScrapeJob> {
        if !self.mapping(node, "a scrape config", &[&FIELDS, &LIMITS, &http::FIELDS, &DISCOVERIES]) {
            return None;
        }
        for discovery in DISCOVERIES {
            self.refuse(node, discovery, DISCOVERY_WAY_OUT);
        }
        let name = self.text(node, "job_name").unwrap_or_default();
        if name.is_empty() {
            self.report(node, "a scrape config must have a name", "add `job_name`");
        }
        let (interval_ms, timeout_ms) = self.job_times(node, global);
        let default = ScrapeJob::named(name);
        let found_before = self.found.len();
        let job = ScrapeJob {
            honor_labels: self.boolean(node, "honor_labels", default.honor_labels),
            honor_timestamps: self.boolean(node, "honor_timestamps", default.honor_timestamps),
            params: self.params(node),
            interval_ms,
            timeout_ms,
            metrics_path: self.text(node, "metrics_path").unwrap_or_else(|| default.metrics_path.clone()),
            scheme: self.scheme(node),
            http: self.http(node, folder),
            targets: self.groups(node, "static_configs"),
            target_files: self.target_files(node, folder),
            replicas: self.replicas(node),
            relabelling: self.relabelling(node, "relabel_configs"),
            metric_relabelling: self.relabelling(node, "metric_relabel_configs"),
            limits: self.limits(node, global.limits),
            ..default
        };
        if self.found.len() == found_before {
            self.check_targets(node, &job);
        }
        Some(job)
    }

    fn job_times(&mut self, node: &Node, global: &Global) -> (i64, i64) {
        let interval_ms = self.duration(node, "scrape_interval").unwrap_or(global.scrape_interval_ms);
        let timeout_ms = self.duration(node, "scrape_timeout");
        if timeout_ms.is_some_and(|timeout_ms| timeout_ms > interval_ms) {
            let place = node.get("scrape_timeout").unwrap_or(node);
            self.report(place, "a scrape may not take longer than its interval", "make `scrape_timeout` shorter");
        }
        (interval_ms, timeout_ms.unwrap_or(global.scrape_timeout_ms.min(interval_ms)))
    }

    pub(super) fn scheme(&mut self, node: &Node) -> String {
        let scheme = self.text(node, "scheme").unwrap_or_else(|| "http".to_owned());
        if !["http", "https"].contains(&scheme.as_str()) {
            let place = node.get("scheme").unwrap_or(node);
            self.report(place, format!("unknown scheme `{scheme}`"), "use http or https");
        }
        scheme
    }

    fn params(&mut self, node: &Node) -> BTreeMap<String, Vec<String>> {
        let mut params = BTreeMap::new();
        for (key, value) in self.entries(node, "params") {
            if !matches!(value.value, Value::Sequence(_) | Value::Null) {
                self.report(value, format!("expected a list in `params`, found {}", value.kind()), "write `[value]`");
            }
            let values = value.items().iter().filter_map(|item| self.scalar(item, "params")).collect();
            params.insert(key.name.clone(), values);
        }
        params
    }

    pub(super) fn limits(&mut self, node: &Node, global: Limits) -> Limits {
        Limits {
            body_bytes: self.bytes(node, "body_size_limit").or(global.body_bytes),
            samples: self.count(node, "sample_limit").or(global.samples),
            labels: self.count(node, "label_limit").or(global.labels),
            label_name_bytes: self.count(node, "label_name_length_limit").or(global.label_name_bytes),
            label_value_bytes: self.count(node, "label_value_length_limit").or(global.label_value_bytes),
            targets: self.count(node, "target_limit").or(global.targets),
        }
    }

    /// Groups of targets, in `static_configs` or in a file of its own.
    pub(super) fn groups(&mut self, node: &Node, field: &str) -> Vec<TargetGroup> {
        let items = self.items(node, field);
        items.iter().filter_map(|item| self.group(item)).collect()
    }

    pub(crate) fn group(&mut self, node: &Node) -> Option<TargetGroup> {
        if !self.mapping(node, "a group of targets", &[&["targets", "labels"]]) {
            return None;
        }
        Some(TargetGroup { addresses: self.texts(node, "targets"), labels: self.labels(node, "labels") })
    }

    fn target_files(&mut self, node: &Node, folder: &Path) -> Vec<TargetFiles> {
        let mut all = Vec::new();
        for item in self.items(node, "file_sd_configs") {
            if !self.mapping(item, "`file_sd_configs`", &[&["files", "refresh_interval"]]) {
                continue;
            }
            // Files are looked at more often than anyone asks for.
            self.duration(item, "refresh_interval");
            let names = self.items(item, "files");
            if names.is_empty() {
                self.report(item, "no files are named", "add `files`");
            }
            let mut files = Vec::new();
            for name in names {
                let Some(text) = self.scalar(name, "files") else { continue };
                let extension = text.rsplit('.').next().unwrap_or_default();
                let is_known = ["json", "yml", "yaml", "JSON", "YML", "YAML"].contains(&extension);
                if !(is_known && text.contains('.') && has_star_only_at_the_end(&text)) {
                    self.report(name, format!("`{text}` can't be a file of targets"), FILES_HINT);
                }
                files.push(folder.join(text));
            }
            all.push(TargetFiles { files });
        }
        all
    }

    /// Finds what can't be a target before anyone tries to scrape it.
    fn check_targets(&mut self, node: &Node, job: &ScrapeJob) {
        for (group, place) in job.targets.iter().zip(self.items(node, "static_configs")) {
            let addresses = place.get("targets").map(Node::items).unwrap_or_default();
            for (found, address) in target::of_group(job, group).into_iter().zip(addresses) {
                if let Err(error) = found {
                    self.report(address, error.error.to_string(), "write `host:port`, without a scheme and a path");
                }
            }
        }
    }
}

/// Paths may have `*` in their last part only.
pub(super) fn has_star_only_at_the_end(path: &str) -> bool {
    path.split_once('*').is_none_or(|(_, tail)| !tail.contains('/'))
}
