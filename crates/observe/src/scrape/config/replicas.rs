//! `kubernetes_sd_configs` with the role `pod`: the replicas of the local node, which stand for a cluster's pods.
//!
//! There is no API server: whatever says how to reach one is refused, with every other role.
//!
//! Source: Prometheus documentation, "Configuration", `kubernetes_sd_config`.

use prograde_yaml::Node;

use super::http;
use super::reader::Reader;

/// Replicas that a job scrapes. They are given while it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replicas {
    /// Namespaces, which are environments here; all of them where it is empty.
    pub namespaces: Vec<String>,
}

const FIELDS: [&str; 6] = ["role", "api_server", "kubeconfig_file", "namespaces", "selectors", "attach_metadata"];
const NO_SERVER: &str = "leave it out: the local node's replicas are found without an API server";
const ROLES: &str = "use `role: pod`: each replica is a pod, with a target for each of its container ports";

impl Reader<'_> {
    pub(super) fn replicas(&mut self, node: &Node) -> Vec<Replicas> {
        let items = self.items(node, "kubernetes_sd_configs");
        items.iter().filter_map(|item| self.replicas_of(item)).collect()
    }

    fn replicas_of(&mut self, node: &Node) -> Option<Replicas> {
        if !self.mapping(node, "`kubernetes_sd_configs`", &[&FIELDS, &http::FIELDS]) {
            return None;
        }
        for field in ["api_server", "kubeconfig_file"].iter().chain(&http::FIELDS) {
            self.refuse(node, field, NO_SERVER);
        }
        self.refuse(node, "selectors", "keep targets with `relabel_configs`, by `__meta_kubernetes_pod_label_...`");
        self.refuse(node, "attach_metadata", "there is one node, this machine, and it has no labels");
        match self.text(node, "role").as_deref() {
            Some("pod") => {}
            None => self.report(node, "`kubernetes_sd_configs` must say its `role`", ROLES),
            Some(role @ ("node" | "service" | "endpoints" | "endpointslice" | "ingress")) => {
                let message = format!("the role `{role}` is not supported");
                self.refuse_value(node.get("role").unwrap_or(node), message, ROLES);
            }
            Some(role) => {
                let message = format!("unknown role `{role}`");
                self.report(node.get("role").unwrap_or(node), message, ROLES);
            }
        }
        let mut namespaces = Vec::new();
        if let Some(within) = node.get("namespaces")
            && self.mapping(within, "`namespaces`", &[&["own_namespace", "names"]])
        {
            namespaces = self.texts(within, "names");
            if self.boolean(within, "own_namespace", false) {
                let message = "`own_namespace` is not supported";
                let hint = "name environments in `names`: the server is in none";
                self.refuse_value(within.get("own_namespace").unwrap_or(within), message.to_owned(), hint);
            }
        }
        Some(Replicas { namespaces })
    }
}
