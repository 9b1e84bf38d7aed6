//! A project: which sources, destinations, kinds of resources and times its applications may have.
//!
//! Source: Argo CD 3.4, documentation, "Projects", and the behaviour of its `AppProject`.

use jiff::Timestamp;
use prograde_kustomize::Place;
use prograde_model::pattern::Pattern;
use prograde_model::{Diagnostic, Diagnostics};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::argo::application::{Application, Destination, Metadata};
use crate::argo::window::{SyncWindow, decide};
use crate::codes;
use crate::generate::IN_CLUSTER;
use crate::glob::Glob;
use crate::repository::normal_url;

/// The namespace that Argo CD itself runs in, whose applications need no permission.
const CONTROLLER_NAMESPACE: &str = "argocd";

/// An Argo CD `AppProject`.
#[derive(Debug, Clone, PartialEq)]
pub struct AppProject {
    /// Where it is written.
    pub place: Place,
    /// Its metadata.
    pub metadata: Metadata,
    limits: Limits,
    windows: Vec<SyncWindow>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Limits {
    source_repos: Vec<String>,
    destinations: Vec<Destination>,
    cluster_resource_whitelist: Vec<Kinds>,
    cluster_resource_blacklist: Vec<Kinds>,
    // A list that is there and empty allows nothing.
    namespace_resource_whitelist: Option<Vec<Kinds>>,
    namespace_resource_blacklist: Vec<Kinds>,
    source_namespaces: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Kinds {
    group: String,
    kind: String,
    name: String,
}

/// A limit that an application breaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// The field of the project that says so.
    pub limit: &'static str,
    /// What is not allowed.
    pub message: String,
    /// The file with what is not allowed.
    pub file: String,
    /// The line there.
    pub line: u32,
}

/// An object that an application deploys, and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// The object.
    pub object: Json,
    /// Where it is written.
    pub place: Place,
}

impl AppProject {
    pub(crate) fn new(place: Place, object: &Json) -> Result<Self, Diagnostics> {
        let part = |name: &str| object.get(name).cloned().unwrap_or_else(|| Json::Object(serde_json::Map::new()));
        let wrong = |problem: serde_json::Error| {
            Diagnostics::from(place.diagnostic(codes::FIELD, format!("it can't be read: {problem}"), ""))
        };
        let metadata = serde_json::from_value(part("metadata")).map_err(wrong)?;
        let limits = serde_json::from_value(part("spec")).map_err(wrong)?;
        let windows = object.pointer("/spec/syncWindows").and_then(Json::as_array);
        let windows = windows.into_iter().flatten().map(|window| SyncWindow::read(&place, window));
        let windows = windows.collect::<Result<_, Diagnostic>>()?;
        Ok(Self { place, metadata, limits, windows })
    }

    /// Whether it has sync windows: what it allows depends on the time.
    pub fn is_timed(&self) -> bool {
        !self.windows.is_empty()
    }

    /// What Argo CD takes for the project `default` where nobody has written one: everything is allowed.
    pub fn default_project() -> Self {
        let all = || vec![Kinds { group: "*".to_owned(), kind: "*".to_owned(), name: String::new() }];
        let any = Destination { server: "*".to_owned(), name: String::new(), namespace: "*".to_owned() };
        let limits = Limits {
            source_repos: vec!["*".to_owned()],
            destinations: vec![any],
            cluster_resource_whitelist: all(),
            ..Limits::default()
        };
        let metadata = Metadata { name: "default".to_owned(), ..Metadata::default() };
        Self { place: Place::file("default"), metadata, limits, windows: Vec::new() }
    }

    /// The limits that an application and what it deploys break at a moment. None means that it may be synced by itself.
    pub fn permits(&self, application: &Application, objects: &[Rendered], now: Timestamp) -> Vec<Broken> {
        let mut broken = Vec::new();
        let mut say = |limit: &'static str, message: String, place: &Place| {
            broken.push(Broken { limit, message, file: place.file.to_string(), line: place.line });
        };
        let name = application.name();
        let project = &self.metadata.name;
        for source in application.sources() {
            if !self.permits_source(&source.repo_url) {
                let message =
                    format!("`{name}` comes from `{}`, which the project `{project}` does not allow", source.repo_url);
                say("sourceRepos", message, &application.place);
            }
        }
        let destination = &application.spec.destination;
        if !self.permits_destination(destination) {
            let message =
                format!("`{name}` goes to {}, which the project `{project}` does not allow", shown(destination));
            say("destinations", message, &application.place);
        }
        let namespace = &application.metadata.namespace;
        if !(namespace.is_empty()
            || namespace == CONTROLLER_NAMESPACE
            || matches_any(&self.limits.source_namespaces, namespace))
        {
            let message =
                format!("`{name}` is in the namespace `{namespace}`, from which the project `{project}` takes none");
            say("sourceNamespaces", message, &application.place);
        }
        for one in objects {
            if let Some((limit, message)) = self.refuses(&one.object, destination) {
                say(
                    limit,
                    format!("`{name}` deploys {message}, which the project `{project}` does not allow"),
                    &one.place,
                );
            }
        }
        if let Some(why) = decide(&self.windows, application, now) {
            say("syncWindows", format!("`{name}` may not be synced now: {why}"), &self.place);
        }
        broken
    }

    fn permits_source(&self, url: &str) -> bool {
        let url = normal_url(url);
        let mut allowed = false;
        for pattern in &self.limits.source_repos {
            match pattern.strip_prefix('!') {
                Some(denied) if matches(&normal_url(denied), &url, Some('/')) => return false,
                // A negation that does not match allows, as in Argo CD.
                Some(_) => allowed = true,
                None => allowed |= matches(&normal_url(pattern), &url, Some('/')),
            }
        }
        allowed
    }

    fn permits_destination(&self, wanted: &Destination) -> bool {
        let mut wanted = wanted.clone();
        // The one cluster of which address and name are known everywhere.
        if wanted.server == IN_CLUSTER && wanted.name.is_empty() {
            "in-cluster".clone_into(&mut wanted.name);
        } else if wanted.name == "in-cluster" && wanted.server.is_empty() {
            IN_CLUSTER.clone_into(&mut wanted.server);
        }
        let mut allowed = false;
        for item in &self.limits.destinations {
            let name = !wanted.name.is_empty() && signed(&item.name, &wanted.name);
            let server = !wanted.server.is_empty() && signed(&item.server, &wanted.server);
            let namespace = signed(&item.namespace, &wanted.namespace);
            let denies = |pattern: &str| pattern.starts_with('!');
            if (server || name) && namespace {
                allowed = true;
            } else if (!name && denies(&item.name))
                || (!server && denies(&item.server) && namespace)
                || (!namespace && denies(&item.namespace) && server)
            {
                return false;
            }
        }
        allowed
    }

    /// Which limit an object breaks, and what it is.
    fn refuses(&self, object: &Json, destination: &Destination) -> Option<(&'static str, String)> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Json::as_str).unwrap_or_default();
        let (version, kind, name) = (text("/apiVersion"), text("/kind"), text("/metadata/name"));
        let group = version.split_once('/').map_or("", |(group, _)| group);
        let what = format!("{kind} `{name}`");
        let inside = |list: &[Kinds]| {
            list.iter().any(|item| {
                matches_path(&item.kind, kind)
                    && matches_path(&item.group, group)
                    && (item.name.is_empty() || matches_path(&item.name, name))
            })
        };
        if is_cluster_wide(group, kind) {
            if inside(&self.limits.cluster_resource_blacklist) {
                return Some(("clusterResourceBlacklist", what));
            }
            return (!inside(&self.limits.cluster_resource_whitelist)).then_some(("clusterResourceWhitelist", what));
        }
        if inside(&self.limits.namespace_resource_blacklist) {
            return Some(("namespaceResourceBlacklist", what));
        }
        if self.limits.namespace_resource_whitelist.as_ref().is_some_and(|list| !inside(list)) {
            return Some(("namespaceResourceWhitelist", what));
        }
        let own = text("/metadata/namespace");
        let there = Destination { namespace: own.to_owned(), ..destination.clone() };
        let elsewhere = !own.is_empty() && own != destination.namespace;
        (elsewhere && !self.permits_destination(&there))
            .then(|| ("destinations", format!("{what} into the namespace `{own}`")))
    }
}

fn shown(destination: &Destination) -> String {
    let cluster = if destination.server.is_empty() { &destination.name } else { &destination.server };
    format!("the namespace `{}` of `{cluster}`", destination.namespace)
}

/// Whether a pattern, which `!` may turn round, matches.
fn signed(pattern: &str, value: &str) -> bool {
    match pattern.strip_prefix('!') {
        Some(pattern) => !matches(pattern, value, None),
        None => matches(pattern, value, None),
    }
}

pub(crate) fn matches(pattern: &str, value: &str, separator: Option<char>) -> bool {
    pattern == "*" || Glob::gobwas(pattern, separator).is_ok_and(|glob| glob.is_match(value))
}

fn matches_path(pattern: &str, value: &str) -> bool {
    Glob::directory(pattern).is_ok_and(|glob| glob.is_match(value))
}

/// Whether one of the patterns, globs or `/regular expressions/`, matches.
fn matches_any(patterns: &[String], value: &str) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
        Some(source) => Pattern::anywhere(source).is_ok_and(|pattern| pattern.is_match(value)),
        None => matches(pattern, value, None),
    })
}

/// Whether objects of a kind belong to no namespace.
///
/// Source: Kubernetes 1.34, `kubectl api-resources --namespaced=false`; and the kinds of often used operators.
fn is_cluster_wide(group: &str, kind: &str) -> bool {
    const KINDS: [(&str, &[&str]); 13] = [
        ("", &["ComponentStatus", "Namespace", "Node", "PersistentVolume"]),
        (
            "admissionregistration.k8s.io",
            &[
                "MutatingAdmissionPolicy",
                "MutatingAdmissionPolicyBinding",
                "MutatingWebhookConfiguration",
                "ValidatingAdmissionPolicy",
                "ValidatingAdmissionPolicyBinding",
                "ValidatingWebhookConfiguration",
            ],
        ),
        ("apiextensions.k8s.io", &["CustomResourceDefinition"]),
        ("apiregistration.k8s.io", &["APIService"]),
        ("certificates.k8s.io", &["CertificateSigningRequest", "ClusterTrustBundle"]),
        ("cert-manager.io", &["ClusterIssuer"]),
        ("external-secrets.io", &["ClusterExternalSecret", "ClusterSecretStore"]),
        ("flowcontrol.apiserver.k8s.io", &["FlowSchema", "PriorityLevelConfiguration"]),
        ("gateway.networking.k8s.io", &["GatewayClass"]),
        ("kyverno.io", &["ClusterCleanupPolicy", "ClusterPolicy"]),
        ("networking.k8s.io", &["IPAddress", "IngressClass", "ServiceCIDR"]),
        ("rbac.authorization.k8s.io", &["ClusterRole", "ClusterRoleBinding"]),
        ("storage.k8s.io", &["CSIDriver", "CSINode", "StorageClass", "VolumeAttachment", "VolumeAttributesClass"]),
    ];
    (group, kind) == ("scheduling.k8s.io", "PriorityClass")
        || (group, kind) == ("node.k8s.io", "RuntimeClass")
        || KINDS.iter().any(|(known, kinds)| *known == group && kinds.contains(&kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(project: &str, application: &str, object: &str) -> Vec<String> {
        let text = format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: AppProject\nmetadata: {{name: p}}\nspec: {project}\n---\napiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: a}}\nspec: {application}\n"
        );
        let mut objects = crate::Objects::default();
        crate::read("a.yaml", &text, &mut objects);
        assert!(objects.problems.is_empty(), "{:?}", objects.problems);
        let rendered = Rendered { object: serde_json::from_str(object).unwrap(), place: Place::file("o.yaml") };
        let now = "2026-11-28T12:30:00Z".parse().unwrap();
        let found = objects.projects[0].permits(&objects.applications[0], &[rendered], now);
        found.into_iter().map(|one| one.limit.to_owned()).collect()
    }

    const APPLICATION: &str = "{project: p, source: {repoURL: 'https://git.example/team/app.git', path: x}, destination: {server: 'https://kubernetes.default.svc', namespace: web}}";
    const POD: &str = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"}}"#;
    const ROLE: &str = r#"{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"x"}}"#;

    #[test]
    fn each_limit_is_named() {
        let all = "sourceRepos: ['*'], destinations: [{server: '*', namespace: '*'}]";
        for (project, object, expected) in [
            (format!("{{{all}}}"), POD, vec![]),
            (format!("{{{all}}}"), ROLE, vec!["clusterResourceWhitelist"]),
            (format!("{{{all}, clusterResourceWhitelist: [{{group: '*', kind: '*'}}]}}"), ROLE, vec![]),
            (format!("{{{all}, namespaceResourceBlacklist: [{{group: '', kind: Pod}}]}}"), POD, vec!["namespaceResourceBlacklist"]),
            (format!("{{{all}, namespaceResourceWhitelist: []}}"), POD, vec!["namespaceResourceWhitelist"]),
            ("{}".to_owned(), POD, vec!["sourceRepos", "destinations"]),
            ("{sourceRepos: ['https://git.example/*'], destinations: [{server: '*', namespace: 'web*'}]}".to_owned(), POD, vec!["sourceRepos"]),
            ("{sourceRepos: ['https://git.example/team/*'], destinations: [{name: in-cluster, namespace: 'web*'}]}".to_owned(), POD, vec![]),
            ("{sourceRepos: ['*', '!https://git.example/**'], destinations: [{server: '*', namespace: '!web'}, {server: '*', namespace: '*'}]}".to_owned(), POD, vec!["sourceRepos", "destinations"]),
            (format!("{{{all}, syncWindows: [{{kind: deny, schedule: '0 * * * *', duration: 1h, applications: ['*']}}]}}"), POD, vec!["syncWindows"]),
        ] {
            assert_eq!(broken(&project, APPLICATION, object), expected, "{project}");
        }
        let other = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x","namespace":"kube-system"}}"#;
        let limited = "{sourceRepos: ['*'], destinations: [{server: '*', namespace: web}]}";
        assert_eq!(broken(limited, APPLICATION, other), ["destinations"]);
    }
}
