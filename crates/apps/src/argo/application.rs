//! An application: what is deployed, from where, to where, and how it is kept in step.

use std::collections::BTreeMap;

use prograde_kustomize::Place;
use prograde_model::Diagnostic;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use crate::argo::fields;
use crate::codes;
use crate::schema::{Type, nearest, normal};

/// The API version of Argo CD's objects.
pub const API_VERSION: &str = "argoproj.io/v1alpha1";
/// The finalizer with which Argo CD deletes what an application has in the cluster before the application itself.
///
/// Source: Argo CD 3.4, user guide, "App Deletion".
pub const FINALIZER: &str = "resources-finalizer.argocd.argoproj.io";

/// An Argo CD `Application`, as a file or an ApplicationSet gives it.
#[derive(Debug, Clone, PartialEq)]
pub struct Application {
    /// Where it, or the ApplicationSet that makes it, is written.
    pub place: Place,
    /// The ApplicationSet that makes it.
    pub set: Option<String>,
    /// Whether it stays although its ApplicationSet makes it no longer.
    pub outlives_set: bool,
    /// Its metadata.
    pub metadata: Metadata,
    /// What it says.
    pub spec: Spec,
    object: Json,
}

/// Names and marks of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Metadata {
    /// Its name.
    pub name: String,
    /// Its namespace; empty where none is said.
    pub namespace: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// What has to happen before it is deleted.
    pub finalizers: Vec<String>,
}

/// How what an application has in the cluster goes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finalizer {
    /// An object goes after all that it owns.
    Foreground,
    /// An object goes before what it owns.
    Background,
}

/// `spec` of an Application.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// The one source.
    pub source: Option<Source>,
    /// Several sources.
    pub sources: Vec<Source>,
    /// Where it goes.
    pub destination: Destination,
    /// The project that limits it; empty for `default`.
    pub project: String,
    /// How it is kept in step.
    pub sync_policy: Option<SyncPolicy>,
    /// Differences that don't count.
    pub ignore_differences: Vec<IgnoreDifference>,
    /// What people are told.
    pub info: Vec<Info>,
    /// How many deployments are remembered.
    pub revision_history_limit: Option<i64>,
    /// Rendered manifests in branches of their own: kept as it is written.
    pub source_hydrator: Option<Json>,
}

/// Where manifests come from.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Source {
    /// The repository's address.
    #[serde(rename = "repoURL")]
    pub repo_url: String,
    /// The directory in it.
    pub path: String,
    /// Branch, tag, commit or a chart's version.
    pub target_revision: String,
    /// Options of Helm.
    pub helm: Option<Helm>,
    /// Options of Kustomize.
    pub kustomize: Option<Kustomize>,
    /// Options of plain directories.
    pub directory: Option<Directory>,
    /// A plugin: kept as it is written.
    pub plugin: Option<Json>,
    /// A chart's name.
    pub chart: String,
    /// The name by which other sources refer to this one.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The source's own name.
    pub name: String,
}

/// Options of Helm.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Helm {
    /// Files of values; `$NAME/PATH` is in the source that is called so.
    pub value_files: Vec<String>,
    /// Single values.
    pub parameters: Vec<HelmParameter>,
    /// The release's name.
    pub release_name: String,
    /// Values as a text.
    pub values: String,
    /// Values from files.
    pub file_parameters: Vec<HelmFile>,
    /// Helm's version.
    pub version: String,
    /// Whether credentials go to all hosts.
    pub pass_credentials: bool,
    /// Whether files of values may be missing.
    pub ignore_missing_value_files: bool,
    /// Whether custom resource definitions are left out.
    pub skip_crds: bool,
    /// Values as an object.
    pub values_object: Option<Json>,
    /// The namespace that the chart is told.
    pub namespace: String,
    /// The version of Kubernetes that the chart is told.
    pub kube_version: String,
    /// The API versions that the chart is told.
    pub api_versions: Vec<String>,
    /// Whether tests are left out.
    pub skip_tests: bool,
    /// Whether values are not held against the chart's schema.
    pub skip_schema_validation: bool,
}

/// A value for Helm.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HelmParameter {
    /// Its path.
    pub name: String,
    /// The value.
    pub value: String,
    /// Whether it is a text in any case.
    pub force_string: bool,
}

/// A value for Helm that is a file's content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct HelmFile {
    /// Its path among the values.
    pub name: String,
    /// The file.
    pub path: String,
}

/// Options of Kustomize.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Kustomize {
    /// What is put before names.
    pub name_prefix: String,
    /// What is put behind names.
    pub name_suffix: String,
    /// Other images: `NAME=NEW:TAG`, `NAME:TAG`, `NAME@DIGEST`.
    pub images: Vec<String>,
    /// Labels of all objects.
    pub common_labels: BTreeMap<String, String>,
    /// Kustomize's version.
    pub version: String,
    /// Annotations of all objects.
    pub common_annotations: BTreeMap<String, String>,
    /// Whether labels may replace others.
    pub force_common_labels: bool,
    /// Whether annotations may replace others.
    pub force_common_annotations: bool,
    /// The namespace of all objects.
    pub namespace: String,
    /// Whether annotations are filled in from the build's environment.
    pub common_annotations_envsubst: bool,
    /// Numbers of replicas.
    pub replicas: Vec<Replicas>,
    /// Patches, as in a kustomization.
    pub patches: Vec<Json>,
    /// Components.
    pub components: Vec<String>,
    /// Whether components may be missing.
    pub ignore_missing_components: bool,
    /// Whether labels stay out of selectors.
    pub label_without_selector: bool,
    /// The version of Kubernetes that Helm charts are told.
    pub kube_version: String,
    /// The API versions that Helm charts are told.
    pub api_versions: Vec<String>,
    /// Whether labels that stay out of selectors go into templates.
    pub label_include_templates: bool,
}

/// A number of replicas.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Replicas {
    /// The object's name.
    pub name: String,
    /// A number, or a text that is one.
    pub count: Json,
}

/// Options of plain directories.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Directory {
    /// Whether directories below count.
    pub recurse: bool,
    /// Options of Jsonnet.
    pub jsonnet: Option<Json>,
    /// Files that don't count.
    pub exclude: String,
    /// The only files that count.
    pub include: String,
}

/// Where an application goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Destination {
    /// The cluster's address.
    pub server: String,
    /// The cluster's name.
    pub name: String,
    /// The namespace of objects that say none.
    pub namespace: String,
}

/// How an application is kept in step.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SyncPolicy {
    /// That it happens by itself.
    pub automated: Option<Automated>,
    /// Options, as `NAME=VALUE`.
    pub sync_options: Vec<String>,
    /// What happens after a failure.
    pub retry: Option<Retry>,
    /// Marks of the namespace that is made.
    pub managed_namespace_metadata: Option<Json>,
}

/// That an application is kept in step by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Automated {
    /// Whether what is gone from the source is deleted; no by default.
    pub prune: Option<bool>,
    /// Whether changes in the cluster are undone; no by default.
    pub self_heal: Option<bool>,
    /// Whether nothing at all may be left; no by default.
    pub allow_empty: Option<bool>,
    /// Whether it is in force; yes by default.
    pub enabled: Option<bool>,
}

/// What happens after a failure.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Retry {
    /// How often it is tried again; negative for no limit.
    pub limit: i64,
    /// How long is waited.
    pub backoff: Option<Backoff>,
    /// Whether a newer revision is taken.
    pub refresh: bool,
}

/// How long is waited before the next attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Backoff {
    /// Before the first one.
    pub duration: String,
    /// By how much each is longer than the one before.
    pub factor: Option<i64>,
    /// At most.
    pub max_duration: String,
}

/// Differences that don't count.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct IgnoreDifference {
    /// The API group; empty for the core.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// The object; empty for all.
    pub name: String,
    /// The namespace; empty for all.
    pub namespace: String,
    /// Places, as JSON pointers.
    pub json_pointers: Vec<String>,
    /// Places, as expressions of jq.
    #[serde(rename = "jqPathExpressions")]
    pub jq_path_expressions: Vec<String>,
    /// Whoever manages the fields that don't count.
    pub managed_fields_managers: Vec<String>,
}

/// What people are told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Info {
    /// What it is.
    pub name: String,
    /// The text.
    pub value: String,
}

/// What sync options there are, with the values that they take; none for any text.
///
/// Source: Argo CD 3.4, user guide, "Sync Options", and gitops-engine's `sync/common`.
const SYNC_OPTIONS: [(&str, &[&str]); 17] = [
    ("ApplyOutOfSyncOnly", &["true", "false"]),
    ("ClientSideApplyMigration", &["true", "false"]),
    ("CreateNamespace", &["true", "false"]),
    ("Delete", &["true", "false", "confirm"]),
    ("DryRun", &["true", "false"]),
    ("FailOnSharedResource", &["true", "false"]),
    ("Force", &["true", "false"]),
    ("Prune", &["true", "false", "confirm"]),
    ("PruneLast", &["true", "false"]),
    ("PrunePropagationPolicy", &["foreground", "background", "orphan"]),
    ("Replace", &["true", "false"]),
    ("RespectIgnoreDifferences", &["true", "false"]),
    ("ServerSideApply", &["true", "false"]),
    ("SkipDryRunOnMissingResource", &["true", "false"]),
    ("SkipHooks", &["true", "false"]),
    ("Validate", &["true", "false"]),
    ("ValidateOnly", &["true", "false"]),
];

impl Application {
    /// An application of an object that was checked against the table of fields.
    pub(crate) fn new(place: Place, set: Option<String>, object: &Json) -> Result<Self, Diagnostic> {
        let mut object = normal(object, Type::Struct(&fields::APPLICATION));
        if let Some(map) = object.as_object_mut() {
            // What the cluster says about itself is none of what is wanted.
            map.shift_remove("status");
            map.shift_remove("operation");
            map.insert("apiVersion".to_owned(), Json::from(API_VERSION));
            map.insert("kind".to_owned(), Json::from("Application"));
            map.sort_keys();
        }
        let wrong =
            |problem: &serde_json::Error| place.diagnostic(codes::FIELD, format!("it can't be read: {problem}"), "");
        let part = |name: &str| object.get(name).cloned().unwrap_or(Json::Object(Map::new()));
        let metadata = serde_json::from_value(part("metadata")).map_err(|problem| wrong(&problem))?;
        let spec = serde_json::from_value(part("spec")).map_err(|problem| wrong(&problem))?;
        Ok(Self { place, set, outlives_set: false, metadata, spec, object })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    /// The project that limits it.
    pub fn project(&self) -> &str {
        if self.spec.project.is_empty() { "default" } else { &self.spec.project }
    }

    /// Where its manifests come from: the several sources, or else the one.
    pub fn sources(&self) -> Vec<&Source> {
        if self.spec.sources.is_empty() {
            self.spec.source.iter().collect()
        } else {
            self.spec.sources.iter().collect()
        }
    }

    /// The object as it is given to the API server, in Go's order of fields.
    pub fn object(&self) -> &Json {
        &self.object
    }

    /// The object as YAML.
    pub fn to_yaml(&self) -> String {
        prograde_kustomize::yaml(&self.object)
    }

    /// Whether what it has in the cluster goes with it, and if so, whether whatever owns other objects goes before these.
    pub fn finalizer(&self) -> Option<Finalizer> {
        let own = |one: &String| match one.strip_prefix(FINALIZER)? {
            "" | "/foreground" => Some(Finalizer::Foreground),
            "/background" => Some(Finalizer::Background),
            _ => None,
        };
        self.metadata.finalizers.iter().find_map(own)
    }

    /// Whether it is kept in step by itself.
    pub fn is_automated(&self) -> bool {
        let policy = self.spec.sync_policy.as_ref().and_then(|policy| policy.automated);
        policy.is_some_and(|automated| automated.enabled.unwrap_or(true))
    }

    /// What is wrong with it although each field is well-formed.
    pub fn problems(&self) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        let mut say = |message: String, hint: &str| found.push(self.place.diagnostic(codes::VALUE, message, hint));
        let name = self.name();
        if name.is_empty() {
            say("an Application has no name".to_owned(), "set `metadata.name`");
        }
        if self.spec.source.is_some() && !self.spec.sources.is_empty() {
            say(format!("`{name}` has both `source` and `sources`"), "leave one of them out: `sources` counts");
        }
        if self.sources().is_empty() && self.spec.source_hydrator.is_none() {
            say(format!("`{name}` has no source"), "set `spec.source` or `spec.sources`");
        }
        let destination = &self.spec.destination;
        match (destination.server.is_empty(), destination.name.is_empty()) {
            (true, true) => {
                say(format!("`{name}` goes to no cluster"), "set `spec.destination.server` or `spec.destination.name`");
            }
            (false, false) => {
                say(format!("`{name}` names its cluster twice"), "set either `server` or `name`, not both");
            }
            (true, false) | (false, true) => {}
        }
        for source in self.sources() {
            source_problems(name, source, self.spec.sources.len() > 1, &mut say);
        }
        if let Some(policy) = &self.spec.sync_policy {
            sync_problems(name, policy, &mut say);
        }
        found
    }
}

fn source_problems(name: &str, source: &Source, several: bool, say: &mut impl FnMut(String, &str)) {
    if source.repo_url.is_empty() {
        say(format!("a source of `{name}` has no `repoURL`"), "name the repository");
    }
    let nothing = source.path.is_empty() && source.chart.is_empty();
    if nothing && (!several || source.reference.is_empty()) {
        say(format!("a source of `{name}` has neither `path` nor `chart`"), "name what is deployed, or set `ref`");
    }
    if !source.reference.is_empty() && !source.chart.is_empty() {
        say(format!("a chart of `{name}` has a `ref`"), "only a Git repository can be referred to");
    }
    let set = [source.helm.is_some(), source.kustomize.is_some(), source.directory.is_some(), source.plugin.is_some()];
    if set.iter().filter(|set| **set).count() > 1 {
        say(
            format!("a source of `{name}` is of several types"),
            "set one of `helm`, `kustomize`, `directory`, `plugin`",
        );
    }
}

fn sync_problems(name: &str, policy: &SyncPolicy, say: &mut impl FnMut(String, &str)) {
    for option in &policy.sync_options {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        let Some((_, values)) = SYNC_OPTIONS.iter().find(|(known, _)| *known == key) else {
            let names: Vec<&str> = SYNC_OPTIONS.iter().map(|(known, _)| *known).collect();
            let hint = nearest(key, &names)
                .map_or_else(|| format!("there are {}", names.join(", ")), |near| format!("did you mean `{near}`?"));
            say(
                format!("`{name}` has a sync option that does not exist: `{}`", crate::schema::shortened(option)),
                &hint,
            );
            continue;
        };
        if !values.contains(&value) {
            say(
                format!("the sync option `{}` of `{name}` has no such value", crate::schema::shortened(option)),
                &format!("write `{key}=` and one of {}", values.join(", ")),
            );
        }
    }
    let Some(backoff) = policy.retry.as_ref().and_then(|retry| retry.backoff.as_ref()) else { return };
    for (field, text) in [("duration", &backoff.duration), ("maxDuration", &backoff.max_duration)] {
        if !text.is_empty() && crate::time::duration(text).is_none() {
            say(
                format!("`retry.backoff.{field}` of `{name}` is no duration: `{}`", crate::schema::shortened(text)),
                "write it like `5s` or `3m`",
            );
        }
    }
}
