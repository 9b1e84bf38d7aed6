//! Which fields a policy may have. A field that is not known here is an error where it stands, so that nothing that a
//! policy asks for is left out silently.
//!
//! Source: the API reference of Kyverno (<https://kyverno.io/docs/crds/>) and of Kubernetes'
//! `admissionregistration.k8s.io/v1`.

use prograde_model::Diagnostic;
use prograde_yaml::{Node, Value};

/// The code of an unknown or misused field.
pub(crate) const CODE: &str = "PG1101";

/// What may stand at a place.
pub(crate) enum Shape {
    /// Anything: patterns, values, metadata.
    Any,
    /// A text, a number or a boolean.
    Scalar,
    /// A mapping with these fields.
    Fields(&'static [(&'static str, &'static Shape)]),
    /// A list of the same.
    List(&'static Shape),
    /// One of the above, or a list of it.
    OneOrMany(&'static Shape),
    /// Known, and refused with a reason.
    Refused(&'static str),
}

use Shape::{Any, Fields, List, OneOrMany, Refused, Scalar};

static ANY: Shape = Any;
static TEXT: Shape = Scalar;
static TEXTS: Shape = OneOrMany(&TEXT);

static SELECTOR: Shape = Fields(&[
    ("matchLabels", &ANY),
    ("matchExpressions", &List(&Fields(&[("key", &TEXT), ("operator", &TEXT), ("values", &TEXTS)]))),
]);
static RESOURCES: Shape = Fields(&[
    ("kinds", &TEXTS),
    ("name", &TEXT),
    ("names", &TEXTS),
    ("namespaces", &TEXTS),
    ("annotations", &ANY),
    ("selector", &SELECTOR),
    ("namespaceSelector", &SELECTOR),
    ("operations", &TEXTS),
]);
static SUBJECTS: Shape = List(&Fields(&[("kind", &TEXT), ("name", &TEXT), ("namespace", &TEXT), ("apiGroup", &TEXT)]));
static FILTERS: Shape =
    List(&Fields(&[("resources", &RESOURCES), ("subjects", &SUBJECTS), ("roles", &TEXTS), ("clusterRoles", &TEXTS)]));
static MATCH: Shape = Fields(&[
    ("any", &FILTERS),
    ("all", &FILTERS),
    ("resources", &RESOURCES),
    ("subjects", &SUBJECTS),
    ("roles", &TEXTS),
    ("clusterRoles", &TEXTS),
]);
static CONTEXT: Shape = List(&Fields(&[
    ("name", &TEXT),
    ("variable", &Fields(&[("value", &ANY), ("jmesPath", &TEXT), ("default", &ANY)])),
    ("configMap", &Fields(&[("name", &TEXT), ("namespace", &TEXT)])),
    (
        "apiCall",
        &Fields(&[
            ("urlPath", &TEXT),
            ("method", &TEXT),
            ("data", &ANY),
            ("service", &ANY),
            ("jmesPath", &TEXT),
            ("default", &ANY),
        ]),
    ),
    ("globalReference", &Fields(&[("name", &TEXT), ("jmesPath", &TEXT)])),
    ("imageRegistry", &Fields(&[("reference", &TEXT), ("jmesPath", &TEXT), ("imageRegistryCredentials", &ANY)])),
]));
static OVERRIDES: Shape = List(&Fields(&[("action", &TEXT), ("namespaces", &TEXTS), ("namespaceSelector", &SELECTOR)]));
static CEL: Shape = Fields(&[
    ("expressions", &VALIDATIONS),
    ("variables", &VARIABLES),
    ("paramKind", &ANY),
    ("paramRef", &ANY),
    ("auditAnnotations", &ANY),
    ("generate", &TEXT),
]);
static VALIDATIONS: Shape = List(&Fields(&[
    ("expression", &TEXT),
    ("message", &TEXT),
    ("messageExpression", &TEXT),
    ("reason", &TEXT),
    ("identifier", &TEXT),
]));
static VARIABLES: Shape = List(&Fields(&[("name", &TEXT), ("expression", &TEXT)]));
static MATCH_CONDITIONS: Shape = List(&Fields(&[("name", &TEXT), ("expression", &TEXT)]));
static POD_SECURITY: Shape = Fields(&[("level", &TEXT), ("version", &TEXT), ("exclude", &POD_SECURITY_EXCLUDE)]);
static POD_SECURITY_EXCLUDE: Shape =
    List(&Fields(&[("controlName", &TEXT), ("images", &TEXTS), ("restrictedField", &TEXT), ("values", &TEXTS)]));
static FOREACH_VALIDATE: Shape = List(&Fields(&[
    ("list", &TEXT),
    ("elementScope", &TEXT),
    ("context", &CONTEXT),
    ("preconditions", &ANY),
    ("pattern", &ANY),
    ("anyPattern", &ANY),
    ("deny", &Fields(&[("conditions", &ANY)])),
    ("foreach", &FOREACH_VALIDATE),
]));
static MANIFESTS: Shape = Fields(&[
    ("attestors", &List(&ATTESTORS)),
    ("annotationDomain", &TEXT),
    (
        "ignoreFields",
        &List(&Fields(&[
            ("fields", &TEXTS),
            (
                "objects",
                &List(&Fields(&[
                    ("group", &TEXT),
                    ("version", &TEXT),
                    ("kind", &TEXT),
                    ("name", &TEXT),
                    ("namespace", &TEXT),
                ])),
            ),
        ])),
    ),
    ("repository", &TEXT),
    ("dryRun", &Fields(&[("enable", &TEXT), ("namespace", &TEXT)])),
]);
static ATTESTORS: Shape = Fields(&[
    ("count", &TEXT),
    (
        "entries",
        &List(&Fields(&[
            (
                "keys",
                &Fields(&[
                    ("publicKeys", &TEXT),
                    ("signatureAlgorithm", &TEXT),
                    ("kms", &TEXT),
                    ("secret", &ANY),
                    ("rekor", &ANY),
                    ("ctlog", &ANY),
                ]),
            ),
            ("certificates", &Refused("certificates of signers are not verified here; name a key")),
            ("keyless", &Refused("keyless signatures are not verified here; name a key")),
            ("attestor", &ANY),
            ("annotations", &ANY),
            ("repository", &Refused("signatures of manifests are read out of annotations alone")),
        ])),
    ),
]);
static VALIDATE: Shape = Fields(&[
    ("message", &TEXT),
    ("pattern", &ANY),
    ("anyPattern", &List(&ANY)),
    ("deny", &Fields(&[("conditions", &ANY)])),
    ("foreach", &FOREACH_VALIDATE),
    ("podSecurity", &POD_SECURITY),
    ("cel", &CEL),
    ("failureAction", &TEXT),
    ("failureActionOverrides", &OVERRIDES),
    ("allowExistingViolations", &TEXT),
    ("manifests", &MANIFESTS),
    ("assert", &Refused("assertion trees are not evaluated here; write a pattern or a CEL expression")),
]);
static FOREACH_MUTATE: Shape = List(&Fields(&[
    ("list", &TEXT),
    ("order", &TEXT),
    ("context", &CONTEXT),
    ("preconditions", &ANY),
    ("patchStrategicMerge", &ANY),
    ("patchesJson6902", &TEXT),
    ("foreach", &FOREACH_MUTATE),
]));
static MUTATE: Shape = Fields(&[
    ("patchStrategicMerge", &ANY),
    ("patchesJson6902", &TEXT),
    ("foreach", &FOREACH_MUTATE),
    ("mutateExistingOnPolicyUpdate", &TEXT),
    (
        "targets",
        &List(&Fields(&[
            ("apiVersion", &TEXT),
            ("kind", &TEXT),
            ("name", &TEXT),
            ("namespace", &TEXT),
            ("uid", &TEXT),
            ("selector", &SELECTOR),
            ("context", &CONTEXT),
            ("preconditions", &ANY),
        ])),
    ),
]);
static GENERATE_FIELDS: &[(&str, &Shape)] = &[
    ("apiVersion", &TEXT),
    ("kind", &TEXT),
    ("name", &TEXT),
    ("namespace", &TEXT),
    ("uid", &TEXT),
    ("data", &ANY),
    ("clone", &Fields(&[("name", &TEXT), ("namespace", &TEXT)])),
    ("cloneList", &Fields(&[("namespace", &TEXT), ("kinds", &TEXTS), ("selector", &SELECTOR)])),
    ("synchronize", &TEXT),
    ("orphanDownstreamOnPolicyDelete", &TEXT),
    ("generateExisting", &TEXT),
    ("foreach", &FOREACH_GENERATE),
];
static GENERATE: Shape = Fields(GENERATE_FIELDS);
static FOREACH_GENERATE: Shape = List(&Fields(&[
    ("list", &TEXT),
    ("context", &CONTEXT),
    ("preconditions", &ANY),
    ("apiVersion", &TEXT),
    ("kind", &TEXT),
    ("name", &TEXT),
    ("namespace", &TEXT),
    ("uid", &TEXT),
    ("data", &ANY),
    ("clone", &Fields(&[("name", &TEXT), ("namespace", &TEXT)])),
    ("cloneList", &Fields(&[("namespace", &TEXT), ("kinds", &TEXTS), ("selector", &SELECTOR)])),
]));
static REKOR: Shape = Fields(&[("url", &TEXT), ("pubkey", &TEXT), ("ignoreTlog", &TEXT)]);
static CTLOG: Shape = Fields(&[("pubkey", &TEXT), ("ignoreSCT", &TEXT), ("tsaCertChain", &TEXT)]);
static SIGNERS: Shape = Fields(&[
    ("count", &TEXT),
    (
        "entries",
        &List(&Fields(&[
            (
                "keys",
                &Fields(&[
                    ("publicKeys", &TEXT),
                    ("signatureAlgorithm", &TEXT),
                    ("kms", &TEXT),
                    ("secret", &ANY),
                    ("rekor", &REKOR),
                    ("ctlog", &CTLOG),
                ]),
            ),
            ("certificates", &Fields(&[("cert", &TEXT), ("certChain", &TEXT), ("rekor", &REKOR), ("ctlog", &CTLOG)])),
            (
                "keyless",
                &Fields(&[
                    ("issuer", &TEXT),
                    ("issuerRegExp", &TEXT),
                    ("subject", &TEXT),
                    ("subjectRegExp", &TEXT),
                    ("roots", &TEXT),
                    ("additionalExtensions", &ANY),
                    ("rekor", &REKOR),
                    ("ctlog", &CTLOG),
                ]),
            ),
            ("attestor", &SIGNERS),
            ("annotations", &ANY),
            ("repository", &TEXT),
        ])),
    ),
]);
static ATTESTATIONS: Shape = List(&Fields(&[
    ("name", &TEXT),
    ("type", &TEXT),
    ("predicateType", &TEXT),
    ("attestors", &List(&SIGNERS)),
    ("conditions", &ANY),
]));
static VERIFY_IMAGES: Shape = List(&Fields(&[
    ("type", &TEXT),
    ("imageReferences", &TEXTS),
    ("skipImageReferences", &TEXTS),
    ("image", &TEXT),
    ("key", &TEXT),
    ("roots", &TEXT),
    ("subject", &TEXT),
    ("issuer", &TEXT),
    ("additionalExtensions", &ANY),
    ("annotations", &ANY),
    ("attestors", &List(&SIGNERS)),
    ("attestations", &ATTESTATIONS),
    ("repository", &TEXT),
    ("cosignOCI11", &TEXT),
    ("mutateDigest", &TEXT),
    ("verifyDigest", &TEXT),
    ("required", &TEXT),
    ("imageRegistryCredentials", &ANY),
    ("useCache", &TEXT),
    ("validate", &ANY),
    ("failureAction", &TEXT),
]));
static RULE: Shape = Fields(&[
    ("name", &TEXT),
    ("match", &MATCH),
    ("exclude", &MATCH),
    ("context", &CONTEXT),
    ("preconditions", &ANY),
    ("celPreconditions", &MATCH_CONDITIONS),
    ("imageExtractors", &ANY),
    ("validate", &VALIDATE),
    ("mutate", &MUTATE),
    ("generate", &GENERATE),
    ("verifyImages", &VERIFY_IMAGES),
    ("skipBackgroundRequests", &TEXT),
    ("reportProperties", &ANY),
]);
/// `ClusterPolicy` and `Policy`.
pub(crate) static KYVERNO: Shape = Fields(&[
    ("apiVersion", &TEXT),
    ("kind", &TEXT),
    ("metadata", &ANY),
    ("status", &ANY),
    (
        "spec",
        &Fields(&[
            ("rules", &List(&RULE)),
            ("validationFailureAction", &TEXT),
            ("validationFailureActionOverrides", &OVERRIDES),
            ("background", &TEXT),
            ("admission", &TEXT),
            ("emitWarning", &TEXT),
            ("failurePolicy", &TEXT),
            ("applyRules", &TEXT),
            ("schemaValidation", &TEXT),
            ("webhookTimeoutSeconds", &TEXT),
            (
                "webhookConfiguration",
                &Fields(&[("matchConditions", &MATCH_CONDITIONS), ("failurePolicy", &TEXT), ("timeoutSeconds", &TEXT)]),
            ),
            ("mutateExistingOnPolicyUpdate", &TEXT),
            ("generateExisting", &TEXT),
            ("generateExistingOnPolicyUpdate", &TEXT),
            ("useServerSideApply", &TEXT),
            ("orphanDownstreamOnPolicyDelete", &TEXT),
        ]),
    ),
]);
static RESOURCE_RULES: Shape = List(&Fields(&[
    ("apiGroups", &TEXTS),
    ("apiVersions", &TEXTS),
    ("operations", &TEXTS),
    ("resources", &TEXTS),
    ("resourceNames", &TEXTS),
    ("scope", &TEXT),
]));
static MATCH_RESOURCES: Shape = Fields(&[
    ("resourceRules", &RESOURCE_RULES),
    ("excludeResourceRules", &RESOURCE_RULES),
    ("namespaceSelector", &SELECTOR),
    ("objectSelector", &SELECTOR),
    ("matchPolicy", &TEXT),
]);
/// `ValidatingAdmissionPolicy`.
pub(crate) static ADMISSION: Shape = Fields(&[
    ("apiVersion", &TEXT),
    ("kind", &TEXT),
    ("metadata", &ANY),
    ("status", &ANY),
    (
        "spec",
        &Fields(&[
            ("failurePolicy", &TEXT),
            ("matchConstraints", &MATCH_RESOURCES),
            ("matchConditions", &MATCH_CONDITIONS),
            ("validations", &VALIDATIONS),
            ("variables", &VARIABLES),
            ("auditAnnotations", &ANY),
            ("paramKind", &Fields(&[("apiVersion", &TEXT), ("kind", &TEXT)])),
        ]),
    ),
]);
/// `ValidatingAdmissionPolicyBinding`.
pub(crate) static BINDING: Shape = Fields(&[
    ("apiVersion", &TEXT),
    ("kind", &TEXT),
    ("metadata", &ANY),
    (
        "spec",
        &Fields(&[
            ("policyName", &TEXT),
            ("validationActions", &TEXTS),
            ("matchResources", &MATCH_RESOURCES),
            (
                "paramRef",
                &Fields(&[
                    ("name", &TEXT),
                    ("namespace", &TEXT),
                    ("selector", &SELECTOR),
                    ("parameterNotFoundAction", &TEXT),
                ]),
            ),
        ]),
    ),
]);
/// `ValidatingPolicy`.
pub(crate) static VALIDATING: Shape = Fields(&[
    ("apiVersion", &TEXT),
    ("kind", &TEXT),
    ("metadata", &ANY),
    ("status", &ANY),
    (
        "spec",
        &Fields(&[
            ("failurePolicy", &TEXT),
            ("matchConstraints", &MATCH_RESOURCES),
            ("matchConditions", &MATCH_CONDITIONS),
            ("validations", &VALIDATIONS),
            ("variables", &VARIABLES),
            ("auditAnnotations", &ANY),
            ("validationActions", &TEXTS),
            ("webhookConfiguration", &ANY),
            ("evaluation", &ANY),
            ("autogen", &ANY),
        ]),
    ),
]);
/// `ImageValidatingPolicy`.
pub(crate) static IMAGE_VALIDATING: Shape = Fields(&[
    ("apiVersion", &TEXT),
    ("kind", &TEXT),
    ("metadata", &ANY),
    ("status", &ANY),
    (
        "spec",
        &Fields(&[
            ("failurePolicy", &TEXT),
            ("matchConstraints", &MATCH_RESOURCES),
            ("matchConditions", &MATCH_CONDITIONS),
            ("matchImageReferences", &List(&Fields(&[("glob", &TEXT), ("expression", &TEXT)]))),
            ("images", &List(&Fields(&[("name", &TEXT), ("expression", &TEXT)]))),
            ("validations", &VALIDATIONS),
            ("variables", &VARIABLES),
            ("attestors", &List(&ANY)),
            ("attestations", &List(&ANY)),
            ("credentials", &ANY),
            (
                "validationConfigurations",
                &Fields(&[("mutateDigest", &TEXT), ("verifyDigest", &TEXT), ("required", &TEXT)]),
            ),
            ("auditAnnotations", &ANY),
            ("validationActions", &TEXTS),
            ("webhookConfiguration", &ANY),
            ("evaluation", &ANY),
            ("autogen", &ANY),
        ]),
    ),
]);
static EXPRESSION: Shape = Fields(&[("expression", &TEXT)]);
static MUTATIONS: Shape =
    List(&Fields(&[("patchType", &TEXT), ("applyConfiguration", &EXPRESSION), ("jsonPatch", &EXPRESSION)]));
/// `MutatingPolicy`.
pub(crate) static MUTATING: Shape = Fields(&[
    ("apiVersion", &TEXT),
    ("kind", &TEXT),
    ("metadata", &ANY),
    ("status", &ANY),
    (
        "spec",
        &Fields(&[
            ("failurePolicy", &TEXT),
            ("matchConstraints", &MATCH_RESOURCES),
            ("matchConditions", &MATCH_CONDITIONS),
            (
                "targetMatchConstraints",
                &Fields(&[
                    ("resourceRules", &RESOURCE_RULES),
                    ("excludeResourceRules", &RESOURCE_RULES),
                    ("namespaceSelector", &SELECTOR),
                    ("objectSelector", &SELECTOR),
                    ("matchPolicy", &TEXT),
                    ("expression", &TEXT),
                ]),
            ),
            ("targetMatchConditions", &MATCH_CONDITIONS),
            ("mutations", &MUTATIONS),
            ("variables", &VARIABLES),
            ("auditAnnotations", &ANY),
            ("webhookConfiguration", &ANY),
            ("evaluation", &ANY),
            ("autogen", &ANY),
            ("reinvocationPolicy", &TEXT),
        ]),
    ),
]);
/// `MutatingAdmissionPolicy`.
pub(crate) static MUTATING_ADMISSION: Shape = Fields(&[
    ("apiVersion", &TEXT),
    ("kind", &TEXT),
    ("metadata", &ANY),
    ("status", &ANY),
    (
        "spec",
        &Fields(&[
            ("failurePolicy", &TEXT),
            ("matchConstraints", &MATCH_RESOURCES),
            ("matchConditions", &MATCH_CONDITIONS),
            ("mutations", &MUTATIONS),
            ("variables", &VARIABLES),
            ("paramKind", &Fields(&[("apiVersion", &TEXT), ("kind", &TEXT)])),
            ("reinvocationPolicy", &TEXT),
        ]),
    ),
]);
/// `GeneratingPolicy`.
pub(crate) static GENERATING: Shape = Fields(&[
    ("apiVersion", &TEXT),
    ("kind", &TEXT),
    ("metadata", &ANY),
    ("status", &ANY),
    (
        "spec",
        &Fields(&[
            ("failurePolicy", &TEXT),
            ("matchConstraints", &MATCH_RESOURCES),
            ("matchConditions", &MATCH_CONDITIONS),
            ("variables", &VARIABLES),
            ("auditAnnotations", &ANY),
            ("webhookConfiguration", &ANY),
            ("evaluation", &ANY),
            ("useServerSideApply", &TEXT),
            (
                "generate",
                &List(&Fields(&[
                    ("expression", &TEXT),
                    ("template", &Fields(&[("value", &TEXT), ("interpolate", &TEXT)])),
                ])),
            ),
        ]),
    ),
]);
/// `DeletingPolicy`.
pub(crate) static DELETING: Shape = Fields(&[
    ("apiVersion", &TEXT),
    ("kind", &TEXT),
    ("metadata", &ANY),
    ("status", &ANY),
    (
        "spec",
        &Fields(&[
            ("matchConstraints", &MATCH_RESOURCES),
            ("conditions", &MATCH_CONDITIONS),
            ("variables", &VARIABLES),
            ("schedule", &TEXT),
            ("deletionPropagationPolicy", &TEXT),
        ]),
    ),
]);
/// `PolicyException`, of both groups.
pub(crate) static EXCEPTION: Shape = Fields(&[
    ("apiVersion", &TEXT),
    ("kind", &TEXT),
    ("metadata", &ANY),
    (
        "spec",
        &Fields(&[
            ("background", &TEXT),
            ("match", &MATCH),
            ("conditions", &ANY),
            ("exceptions", &List(&Fields(&[("policyName", &TEXT), ("ruleNames", &TEXTS)]))),
            ("podSecurity", &POD_SECURITY_EXCLUDE),
            ("policyRefs", &List(&Fields(&[("name", &TEXT), ("kind", &TEXT)]))),
            ("matchConditions", &MATCH_CONDITIONS),
            ("images", &TEXTS),
            ("allowedValues", &TEXTS),
            ("reportResult", &TEXT),
        ]),
    ),
]);

/// Everything in a node that its shape does not know.
pub(crate) fn check(file: &str, node: &Node, shape: &Shape, found: &mut Vec<Diagnostic>) {
    walk(file, node, shape, "", found);
}

fn walk(file: &str, node: &Node, shape: &Shape, path: &str, found: &mut Vec<Diagnostic>) {
    let mut say = |line, column, message: String, hint: &str| {
        found.push(Diagnostic::file(CODE, file, message, hint).at(line, column));
    };
    if matches!(node.value, Value::Null) && !matches!(shape, Refused(_)) {
        return;
    }
    match shape {
        Any => {}
        Refused(why) => {
            say(
                node.line,
                node.column,
                format!("{path} can't be evaluated: {why}"),
                "take the rule out of this policy",
            );
        }
        Scalar => {
            if matches!(node.value, Value::Mapping(_) | Value::Sequence(_)) {
                say(node.line, node.column, format!("{path} is {}, not a text", node.kind()), "");
            }
        }
        Fields(known) => {
            if !matches!(node.value, Value::Mapping(_)) {
                say(node.line, node.column, format!("{path} is {}, not a mapping", node.kind()), "");
            }
            for (key, value) in node.entries() {
                let inner = if path.is_empty() { key.name.clone() } else { format!("{path}.{}", key.name) };
                if let Some((_, shape)) = known.iter().find(|(name, _)| *name == key.name) {
                    walk(file, value, shape, &inner, found);
                    continue;
                }
                let message =
                    format!("unknown field {inner}; a policy that asks for something unknown is not evaluated");
                let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
                let hint = format!("known here: {}", names.join(", "));
                found.push(Diagnostic::file(CODE, file, message, hint).at(key.line, key.column));
            }
        }
        List(item) => {
            if !matches!(node.value, Value::Sequence(_)) {
                say(node.line, node.column, format!("{path} is {}, not a list", node.kind()), "");
            }
            for (index, value) in node.items().iter().enumerate() {
                walk(file, value, item, &format!("{path}[{index}]"), found);
            }
        }
        OneOrMany(item) => match &node.value {
            Value::Sequence(items) => items.iter().for_each(|value| walk(file, value, item, path, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Mapping(_) => {
                walk(file, node, item, path, found);
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_are_named_with_their_place() {
        let text = "kind: ClusterPolicy\nspec:\n  rules:\n  - name: a\n    validate:\n      patern: {}\n";
        let nodes = prograde_yaml::documents("p.yaml", text).unwrap();
        let mut found = Vec::new();
        check("p.yaml", &nodes[0], &KYVERNO, &mut found);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].to_string().starts_with("p.yaml:6:7: unknown field spec.rules[0].validate.patern"),
            "{}",
            found[0]
        );
    }
}
