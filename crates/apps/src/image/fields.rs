//! The fields of Flux's objects.
//!
//! Source: Flux 2.7, API references of `image.toolkit.fluxcd.io/v1`: the names, types and `omitempty` of the structs there.

use crate::schema::Type::{Any, Bool, List, Struct as Shape, Text, TextMap};
use crate::schema::{Struct, always, exact, field, pointer};

const TEXTS: crate::schema::Type = List(&Text);
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
const NAME: Struct = exact("a reference", &[always("name", Text)]);
const NAMESPACED: Struct = exact("a reference", &[always("name", Text), field("namespace", Text)]);
const REPOSITORY_SPEC: Struct = exact(
    "an ImageRepository's `spec`",
    &[
        field("image", Text),
        always("interval", Text),
        pointer("timeout", Text),
        pointer("secretRef", Shape(&NAME)),
        pointer("proxySecretRef", Shape(&NAME)),
        field("serviceAccountName", Text),
        pointer("certSecretRef", Shape(&NAME)),
        field("suspend", Bool),
        pointer("accessFrom", Any),
        field("exclusionList", TEXTS),
        field("provider", Text),
        field("insecure", Bool),
    ],
);
/// An ImageRepository.
pub(crate) const REPOSITORY: Struct = exact(
    "an ImageRepository",
    &[
        field("apiVersion", Text),
        field("kind", Text),
        always("metadata", Shape(&METADATA)),
        always("spec", Shape(&REPOSITORY_SPEC)),
        pointer("status", Any),
    ],
);
const SEMVER: Struct = exact("`semver`", &[always("range", Text)]);
const ORDER: Struct = exact("an order", &[field("order", Text)]);
const CHOICE: Struct = exact(
    "`policy`",
    &[pointer("semver", Shape(&SEMVER)), pointer("alphabetical", Shape(&ORDER)), pointer("numerical", Shape(&ORDER))],
);
const FILTER: Struct = exact("`filterTags`", &[field("pattern", Text), field("extract", Text)]);
const POLICY_SPEC: Struct = exact(
    "an ImagePolicy's `spec`",
    &[
        always("imageRepositoryRef", Shape(&NAMESPACED)),
        always("policy", Shape(&CHOICE)),
        pointer("filterTags", Shape(&FILTER)),
        field("digestReflectionPolicy", Text),
        pointer("interval", Text),
        field("suspend", Bool),
    ],
);
/// An ImagePolicy.
pub(crate) const POLICY: Struct = exact(
    "an ImagePolicy",
    &[
        field("apiVersion", Text),
        field("kind", Text),
        always("metadata", Shape(&METADATA)),
        always("spec", Shape(&POLICY_SPEC)),
        pointer("status", Any),
    ],
);
const SOURCE: Struct = exact(
    "`sourceRef`",
    &[field("apiVersion", Text), always("kind", Text), always("name", Text), field("namespace", Text)],
);
const GIT_REF: Struct = exact(
    "`ref`",
    &[field("branch", Text), field("tag", Text), field("semver", Text), field("name", Text), field("commit", Text)],
);
const CHECKOUT: Struct = exact("`checkout`", &[always("ref", Shape(&GIT_REF))]);
const AUTHOR: Struct = exact("`author`", &[field("name", Text), always("email", Text)]);
const SIGNING: Struct = exact("`signingKey`", &[always("secretRef", Shape(&NAME)), field("type", Text)]);
const COMMIT: Struct = exact(
    "`commit`",
    &[
        always("author", Shape(&AUTHOR)),
        pointer("signingKey", Shape(&SIGNING)),
        field("messageTemplate", Text),
        field("messageTemplateValues", TextMap),
    ],
);
const PUSH: Struct = exact("`push`", &[field("branch", Text), field("refspec", Text), field("options", TextMap)]);
const GIT: Struct = exact(
    "`git`",
    &[pointer("checkout", Shape(&CHECKOUT)), always("commit", Shape(&COMMIT)), pointer("push", Shape(&PUSH))],
);
const UPDATE: Struct = exact("`update`", &[field("strategy", Text), field("path", Text)]);
const AUTOMATION_SPEC: Struct = exact(
    "an ImageUpdateAutomation's `spec`",
    &[
        always("sourceRef", Shape(&SOURCE)),
        pointer("git", Shape(&GIT)),
        always("interval", Text),
        pointer("policySelector", Shape(&crate::argo::fields::SELECTOR)),
        pointer("update", Shape(&UPDATE)),
        field("suspend", Bool),
    ],
);
/// An ImageUpdateAutomation.
pub(crate) const AUTOMATION: Struct = exact(
    "an ImageUpdateAutomation",
    &[
        field("apiVersion", Text),
        field("kind", Text),
        always("metadata", Shape(&METADATA)),
        always("spec", Shape(&AUTOMATION_SPEC)),
        pointer("status", Any),
    ],
);
