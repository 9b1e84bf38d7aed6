//! The fields of Argo CD's objects.
//!
//! Source: Argo CD 3.4, `pkg/apis/application/v1alpha1`: the names, types and `omitempty` of the structs there.

use crate::schema::Type::{Any, Bool, BoolMap, Int, IntOrText, List, Struct as Shape, Text, TextMap};
use crate::schema::{Struct, always, exact, field, pointer};

const TEXTS: crate::schema::Type = List(&Text);

const NAME_VALUE: Struct = exact("an entry", &[always("name", Text), always("value", Text)]);
const HELM_PARAMETER: Struct =
    exact("a Helm parameter", &[field("name", Text), field("value", Text), field("forceString", Bool)]);
const HELM_FILE: Struct = exact("a Helm file parameter", &[field("name", Text), field("path", Text)]);
const HELM: Struct = exact(
    "`helm`",
    &[
        field("valueFiles", TEXTS),
        field("parameters", List(&Shape(&HELM_PARAMETER))),
        field("releaseName", Text),
        field("values", Text),
        field("fileParameters", List(&Shape(&HELM_FILE))),
        field("version", Text),
        field("passCredentials", Bool),
        field("ignoreMissingValueFiles", Bool),
        field("skipCrds", Bool),
        pointer("valuesObject", Any),
        field("namespace", Text),
        field("kubeVersion", Text),
        field("apiVersions", TEXTS),
        field("skipTests", Bool),
        field("skipSchemaValidation", Bool),
    ],
);
const REPLICAS: Struct = exact("a number of replicas", &[always("name", Text), always("count", IntOrText)]);
const PATCH_TARGET: Struct = exact(
    "a patch's target",
    &[
        field("group", Text),
        field("version", Text),
        field("kind", Text),
        field("name", Text),
        field("namespace", Text),
        field("annotationSelector", Text),
        field("labelSelector", Text),
    ],
);
const PATCH: Struct = exact(
    "a patch",
    &[field("path", Text), field("patch", Text), pointer("target", Shape(&PATCH_TARGET)), field("options", BoolMap)],
);
const KUSTOMIZE: Struct = exact(
    "`kustomize`",
    &[
        field("namePrefix", Text),
        field("nameSuffix", Text),
        field("images", TEXTS),
        field("commonLabels", TextMap),
        field("version", Text),
        field("commonAnnotations", TextMap),
        field("forceCommonLabels", Bool),
        field("forceCommonAnnotations", Bool),
        field("namespace", Text),
        field("commonAnnotationsEnvsubst", Bool),
        field("replicas", List(&Shape(&REPLICAS))),
        field("patches", List(&Shape(&PATCH))),
        field("components", TEXTS),
        field("ignoreMissingComponents", Bool),
        field("labelWithoutSelector", Bool),
        field("kubeVersion", Text),
        field("apiVersions", TEXTS),
        field("labelIncludeTemplates", Bool),
    ],
);
const JSONNET_VARIABLE: Struct =
    exact("a Jsonnet variable", &[always("name", Text), always("value", Text), field("code", Bool)]);
const JSONNET: Struct = exact(
    "`jsonnet`",
    &[
        field("extVars", List(&Shape(&JSONNET_VARIABLE))),
        field("tlas", List(&Shape(&JSONNET_VARIABLE))),
        field("libs", TEXTS),
    ],
);
const DIRECTORY: Struct = exact(
    "`directory`",
    &[field("recurse", Bool), pointer("jsonnet", Shape(&JSONNET)), field("exclude", Text), field("include", Text)],
);
const PLUGIN_PARAMETER: Struct = exact(
    "a plugin's parameter",
    &[field("name", Text), pointer("string", Text), pointer("map", TextMap), pointer("array", TEXTS)],
);
const PLUGIN: Struct = exact(
    "`plugin`",
    &[
        field("name", Text),
        field("env", List(&Shape(&NAME_VALUE))),
        field("parameters", List(&Shape(&PLUGIN_PARAMETER))),
    ],
);
const SOURCE: Struct = exact(
    "a source",
    &[
        always("repoURL", Text),
        field("path", Text),
        field("targetRevision", Text),
        pointer("helm", Shape(&HELM)),
        pointer("kustomize", Shape(&KUSTOMIZE)),
        pointer("directory", Shape(&DIRECTORY)),
        pointer("plugin", Shape(&PLUGIN)),
        field("chart", Text),
        field("ref", Text),
        field("name", Text),
    ],
);
const DRY_SOURCE: Struct = exact(
    "`drySource`",
    &[
        always("repoURL", Text),
        always("targetRevision", Text),
        always("path", Text),
        pointer("helm", Shape(&HELM)),
        pointer("kustomize", Shape(&KUSTOMIZE)),
        pointer("directory", Shape(&DIRECTORY)),
        pointer("plugin", Shape(&PLUGIN)),
    ],
);
const SYNC_SOURCE: Struct = exact("`syncSource`", &[always("targetBranch", Text), always("path", Text)]);
const HYDRATE_TO: Struct = exact("`hydrateTo`", &[always("targetBranch", Text)]);
const HYDRATOR: Struct = exact(
    "`sourceHydrator`",
    &[
        always("drySource", Shape(&DRY_SOURCE)),
        always("syncSource", Shape(&SYNC_SOURCE)),
        pointer("hydrateTo", Shape(&HYDRATE_TO)),
    ],
);
const DESTINATION: Struct =
    exact("a destination", &[field("server", Text), field("namespace", Text), field("name", Text)]);
const AUTOMATED: Struct = exact(
    "`automated`",
    &[pointer("prune", Bool), pointer("selfHeal", Bool), pointer("allowEmpty", Bool), pointer("enabled", Bool)],
);
const BACKOFF: Struct =
    exact("`backoff`", &[field("duration", Text), pointer("factor", Int), field("maxDuration", Text)]);
const RETRY: Struct =
    exact("`retry`", &[field("limit", Int), pointer("backoff", Shape(&BACKOFF)), field("refresh", Bool)]);
const NAMESPACE_METADATA: Struct =
    exact("`managedNamespaceMetadata`", &[field("labels", TextMap), field("annotations", TextMap)]);
const SYNC_POLICY: Struct = exact(
    "`syncPolicy`",
    &[
        pointer("automated", Shape(&AUTOMATED)),
        field("syncOptions", TEXTS),
        pointer("retry", Shape(&RETRY)),
        pointer("managedNamespaceMetadata", Shape(&NAMESPACE_METADATA)),
    ],
);
const IGNORED: Struct = exact(
    "an entry of `ignoreDifferences`",
    &[
        field("group", Text),
        always("kind", Text),
        field("name", Text),
        field("namespace", Text),
        field("jsonPointers", TEXTS),
        field("jqPathExpressions", TEXTS),
        field("managedFieldsManagers", TEXTS),
    ],
);
/// `spec` of an Application.
pub(crate) const SPEC: Struct = exact(
    "an Application's `spec`",
    &[
        pointer("source", Shape(&SOURCE)),
        always("destination", Shape(&DESTINATION)),
        always("project", Text),
        pointer("syncPolicy", Shape(&SYNC_POLICY)),
        field("ignoreDifferences", List(&Shape(&IGNORED))),
        field("info", List(&Shape(&NAME_VALUE))),
        pointer("revisionHistoryLimit", Int),
        field("sources", List(&Shape(&SOURCE))),
        pointer("sourceHydrator", Shape(&HYDRATOR)),
    ],
);
/// Metadata of any object: what is used, and whatever else the API server keeps there.
const METADATA: Struct = Struct {
    name: "`metadata`",
    fields: &[
        field("name", Text),
        field("namespace", Text),
        field("labels", TextMap),
        field("annotations", TextMap),
        field("finalizers", TEXTS),
    ],
    open: true,
};
/// An Application.
pub(crate) const APPLICATION: Struct = exact(
    "an Application",
    &[
        field("apiVersion", Text),
        field("kind", Text),
        always("metadata", Shape(&METADATA)),
        always("spec", Shape(&SPEC)),
        pointer("status", Any),
        pointer("operation", Any),
    ],
);

const TEMPLATE_METADATA: Struct = exact(
    "a template's `metadata`",
    &[
        field("name", Text),
        field("namespace", Text),
        field("labels", TextMap),
        field("annotations", TextMap),
        field("finalizers", TEXTS),
    ],
);
/// A template of Applications.
pub(crate) const TEMPLATE: Struct =
    exact("a template", &[always("metadata", Shape(&TEMPLATE_METADATA)), always("spec", Shape(&SPEC))]);
const REQUIREMENT: Struct =
    exact("an entry of `matchExpressions`", &[always("key", Text), always("operator", Text), field("values", TEXTS)]);
/// A label selector.
pub(crate) const SELECTOR: Struct =
    exact("a selector", &[field("matchLabels", TextMap), field("matchExpressions", List(&Shape(&REQUIREMENT)))]);

const LIST: Struct = exact(
    "`list`",
    &[always("elements", List(&Any)), field("template", Shape(&TEMPLATE)), field("elementsYaml", Text)],
);
const CLUSTERS: Struct = exact(
    "`clusters`",
    &[
        field("selector", Shape(&SELECTOR)),
        field("template", Shape(&TEMPLATE)),
        field("values", TextMap),
        field("flatList", Bool),
    ],
);
const GIT_PATH: Struct = exact("an entry of `git`", &[always("path", Text), field("exclude", Bool)]);
const GIT: Struct = exact(
    "`git`",
    &[
        always("repoURL", Text),
        field("directories", List(&Shape(&GIT_PATH))),
        field("files", List(&Shape(&GIT_PATH))),
        always("revision", Text),
        pointer("requeueAfterSeconds", Int),
        field("template", Shape(&TEMPLATE)),
        field("pathParamPrefix", Text),
        field("values", TextMap),
    ],
);
const TERMINAL: Struct = exact(
    "a generator that is nested twice",
    &[
        pointer("list", Shape(&LIST)),
        pointer("clusters", Shape(&CLUSTERS)),
        pointer("git", Shape(&GIT)),
        pointer("scmProvider", Any),
        pointer("clusterDecisionResource", Any),
        pointer("pullRequest", Any),
        pointer("plugin", Any),
        pointer("selector", Shape(&SELECTOR)),
    ],
);
const NESTED_MATRIX: Struct = exact("`matrix`", &[always("generators", List(&Shape(&TERMINAL)))]);
const NESTED_MERGE: Struct =
    exact("`merge`", &[always("generators", List(&Shape(&TERMINAL))), always("mergeKeys", TEXTS)]);
const NESTED: Struct = exact(
    "a nested generator",
    &[
        pointer("list", Shape(&LIST)),
        pointer("clusters", Shape(&CLUSTERS)),
        pointer("git", Shape(&GIT)),
        pointer("scmProvider", Any),
        pointer("clusterDecisionResource", Any),
        pointer("pullRequest", Any),
        pointer("matrix", Shape(&NESTED_MATRIX)),
        pointer("merge", Shape(&NESTED_MERGE)),
        pointer("plugin", Any),
        pointer("selector", Shape(&SELECTOR)),
    ],
);
const MATRIX: Struct =
    exact("`matrix`", &[always("generators", List(&Shape(&NESTED))), field("template", Shape(&TEMPLATE))]);
const MERGE: Struct = exact(
    "`merge`",
    &[always("generators", List(&Shape(&NESTED))), always("mergeKeys", TEXTS), field("template", Shape(&TEMPLATE))],
);
const GENERATOR: Struct = exact(
    "a generator",
    &[
        pointer("list", Shape(&LIST)),
        pointer("clusters", Shape(&CLUSTERS)),
        pointer("git", Shape(&GIT)),
        pointer("scmProvider", Any),
        pointer("clusterDecisionResource", Any),
        pointer("pullRequest", Any),
        pointer("matrix", Shape(&MATRIX)),
        pointer("merge", Shape(&MERGE)),
        pointer("plugin", Any),
        pointer("selector", Shape(&SELECTOR)),
    ],
);
const SET_SYNC_POLICY: Struct = exact(
    "an ApplicationSet's `syncPolicy`",
    &[field("preserveResourcesOnDeletion", Bool), pointer("applicationsSync", Text)],
);
const MATCH: Struct =
    exact("an entry of `matchExpressions`", &[field("key", Text), field("operator", Text), field("values", TEXTS)]);
const STEP: Struct =
    exact("a step", &[field("matchExpressions", List(&Shape(&MATCH))), pointer("maxUpdate", IntOrText)]);
const ROLLING: Struct = exact("`rollingSync`", &[field("steps", List(&Shape(&STEP)))]);
const STRATEGY: Struct =
    exact("`strategy`", &[field("type", Text), pointer("rollingSync", Shape(&ROLLING)), field("deletionOrder", Text)]);
const PRESERVED: Struct = exact("`preservedFields`", &[field("annotations", TEXTS), field("labels", TEXTS)]);
const SET_IGNORED: Struct = exact(
    "an entry of `ignoreApplicationDifferences`",
    &[field("name", Text), field("jsonPointers", TEXTS), field("jqPathExpressions", TEXTS)],
);
const SET_SPEC: Struct = exact(
    "an ApplicationSet's `spec`",
    &[
        field("goTemplate", Bool),
        always("generators", List(&Shape(&GENERATOR))),
        always("template", Shape(&TEMPLATE)),
        pointer("syncPolicy", Shape(&SET_SYNC_POLICY)),
        pointer("strategy", Shape(&STRATEGY)),
        pointer("preservedFields", Shape(&PRESERVED)),
        field("goTemplateOptions", TEXTS),
        field("applyNestedSelectors", Bool),
        field("ignoreApplicationDifferences", List(&Shape(&SET_IGNORED))),
        pointer("templatePatch", Text),
    ],
);
/// An ApplicationSet.
pub(crate) const APPLICATION_SET: Struct = exact(
    "an ApplicationSet",
    &[
        field("apiVersion", Text),
        field("kind", Text),
        always("metadata", Shape(&METADATA)),
        always("spec", Shape(&SET_SPEC)),
        pointer("status", Any),
    ],
);

const GROUP_KIND: Struct = exact("a kind of resource", &[always("group", Text), always("kind", Text)]);
const CLUSTER_RESOURCE: Struct =
    exact("a kind of resource", &[always("group", Text), always("kind", Text), field("name", Text)]);
const ORPHAN: Struct = exact("an orphaned resource", &[field("group", Text), field("kind", Text), field("name", Text)]);
const ORPHANS: Struct = exact("`orphanedResources`", &[pointer("warn", Bool), field("ignore", List(&Shape(&ORPHAN)))]);
const JWT: Struct = exact("a token", &[always("iat", Int), field("exp", Int), field("id", Text)]);
const ROLE: Struct = exact(
    "a role",
    &[
        always("name", Text),
        field("description", Text),
        field("policies", TEXTS),
        field("jwtTokens", List(&Shape(&JWT))),
        field("groups", TEXTS),
    ],
);
const WINDOW: Struct = exact(
    "a sync window",
    &[
        field("kind", Text),
        field("schedule", Text),
        field("duration", Text),
        field("applications", TEXTS),
        field("namespaces", TEXTS),
        field("clusters", TEXTS),
        field("manualSync", Bool),
        field("timeZone", Text),
        field("andOperator", Bool),
        field("description", Text),
    ],
);
const KEY: Struct = exact("a signature key", &[always("keyID", Text)]);
const ACCOUNT: Struct = exact(
    "a destination's service account",
    &[always("server", Text), field("namespace", Text), always("defaultServiceAccount", Text)],
);
const PROJECT_SPEC: Struct = exact(
    "an AppProject's `spec`",
    &[
        field("sourceRepos", TEXTS),
        field("destinations", List(&Shape(&DESTINATION))),
        field("description", Text),
        field("roles", List(&Shape(&ROLE))),
        field("clusterResourceWhitelist", List(&Shape(&CLUSTER_RESOURCE))),
        field("namespaceResourceBlacklist", List(&Shape(&GROUP_KIND))),
        pointer("orphanedResources", Shape(&ORPHANS)),
        field("syncWindows", List(&Shape(&WINDOW))),
        field("namespaceResourceWhitelist", List(&Shape(&GROUP_KIND))),
        field("signatureKeys", List(&Shape(&KEY))),
        field("clusterResourceBlacklist", List(&Shape(&CLUSTER_RESOURCE))),
        field("sourceNamespaces", TEXTS),
        field("permitOnlyProjectScopedClusters", Bool),
        field("destinationServiceAccounts", List(&Shape(&ACCOUNT))),
    ],
);
/// An AppProject.
pub(crate) const PROJECT: Struct = exact(
    "an AppProject",
    &[
        field("apiVersion", Text),
        field("kind", Text),
        always("metadata", Shape(&METADATA)),
        always("spec", Shape(&PROJECT_SPEC)),
        pointer("status", Any),
    ],
);
