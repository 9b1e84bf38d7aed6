//! What policies ask for that no request brings with it. Who evaluates them at admission has to know it, or refuses them
//! when they are read: a selector that is asked of labels that nobody knows would let things through in silence.
//!
//! Invariant: what is found here is too much rather than too little.

use std::fmt;

use prograde_yaml::{Node, Value};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Beyond {
    /// The namespace of the resource: its labels, or all of it.
    Namespace,
    /// The roles of who asks.
    Roles,
    /// Resources that stand for parameters.
    Params,
    /// Other answers of a cluster, a registry or the network.
    Answers,
    /// That other resources are made, changed or deleted.
    Effects,
}

impl fmt::Display for Beyond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Namespace => "the namespace of the resource",
            Self::Roles => "the roles of who asks",
            Self::Params => "parameters",
            Self::Answers => "answers of a cluster, a registry or the network",
            Self::Effects => "a change of other resources",
        })
    }
}

/// Something that a policy, a binding or an exception asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The file.
    pub file: String,
    /// Line and column.
    pub place: (u32, u32),
    /// The kind and the name of what asks.
    pub asker: String,
    /// What stands there.
    pub what: String,
    /// What that is.
    pub beyond: Beyond,
}

/// Fields of what is checked or made, in which names are those of resources and not of policies.
const CONTENT: [&str; 5] = ["pattern", "anyPattern", "patchStrategicMerge", "data", "template"];
/// What expressions call that, in small letters.
const WORDS: [(&str, Beyond); 10] = [
    ("namespaceobject", Beyond::Namespace),
    ("request.roles", Beyond::Roles),
    ("request.clusterroles", Beyond::Roles),
    ("resource.get(", Beyond::Answers),
    ("resource.list(", Beyond::Answers),
    ("resource.post(", Beyond::Answers),
    ("http.get(", Beyond::Answers),
    ("http.post(", Beyond::Answers),
    ("image.getmetadata(", Beyond::Answers),
    ("globalcontext.get(", Beyond::Answers),
];

/// Notes what a document asks for.
pub(crate) fn add(file: &str, document: &Node, found: &mut Vec<Reach>) {
    let text = |node: Option<&Node>| node.and_then(Node::as_str).unwrap_or_default().to_owned();
    let kind = text(document.get("kind"));
    let name = text(document.get("metadata").and_then(|metadata| metadata.get("name")));
    let mut walk = Walk { file, asker: format!("{kind} `{name}`"), found };
    let Some(spec) = document.get("spec").filter(|spec| !is_left_out(spec)) else { return };
    if kind.ends_with("GeneratingPolicy") || kind.ends_with("DeletingPolicy") {
        walk.note((document.line, document.column), &kind, Beyond::Effects);
        return;
    }
    walk.node(spec, false);
}

/// Whether a policy says that it is not asked at admission.
fn is_left_out(spec: &Node) -> bool {
    let new = spec.get("evaluation").and_then(|part| part.get("admission")).and_then(|part| part.get("enabled"));
    [spec.get("admission"), new].into_iter().flatten().any(|flag| flag.to_json() == serde_json::Value::Bool(false))
}

struct Walk<'w> {
    file: &'w str,
    asker: String,
    found: &'w mut Vec<Reach>,
}

impl Walk<'_> {
    fn note(&mut self, place: (u32, u32), what: &str, beyond: Beyond) {
        let (file, asker, what) = (self.file.to_owned(), self.asker.clone(), what.to_owned());
        self.found.push(Reach { file, place, asker, what, beyond });
    }

    fn node(&mut self, node: &Node, content: bool) {
        match &node.value {
            Value::String(text) => {
                let text = text.to_ascii_lowercase();
                for (word, beyond) in WORDS.iter().filter(|(word, _)| text.contains(word)) {
                    self.note((node.line, node.column), word.trim_end_matches('('), *beyond);
                }
            }
            Value::Sequence(items) => items.iter().for_each(|item| self.node(item, content)),
            Value::Mapping(entries) => {
                for (key, value) in entries {
                    let beyond = asked(&key.name, value).filter(|_| !content);
                    if let Some(beyond) = beyond {
                        self.note((key.line, key.column), &key.name, beyond);
                    }
                    self.node(value, content || CONTENT.contains(&key.name.as_str()));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// What a field asks for, where it says anything.
fn asked(name: &str, value: &Node) -> Option<Beyond> {
    let (list, map) = (!value.items().is_empty(), !value.entries().is_empty());
    match name {
        "namespaceSelector" if map => Some(Beyond::Namespace),
        "roles" | "clusterRoles" if list => Some(Beyond::Roles),
        "paramKind" | "paramRef" if map => Some(Beyond::Params),
        "configMap" | "apiCall" | "imageRegistry" | "globalReference" if map => Some(Beyond::Answers),
        "generate" if map || list => Some(Beyond::Effects),
        "targets" if list => Some(Beyond::Effects),
        "targetMatchConstraints" if map => Some(Beyond::Effects),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(spec: &str) -> Vec<(String, Beyond)> {
        let text = format!("apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nmetadata: {{name: p}}\nspec:\n{spec}\n");
        let documents = prograde_yaml::documents("p.yaml", &text).unwrap();
        let mut all = Vec::new();
        for document in &documents {
            add("p.yaml", document, &mut all);
        }
        all.into_iter().map(|reach| (format!("{}:{}", reach.what, reach.place.0), reach.beyond)).collect()
    }

    #[test]
    fn what_no_request_brings() {
        let check = |spec: &str, what: &str, beyond: Beyond| assert_eq!(found(spec), [(what.to_owned(), beyond)]);
        let resources = |rest: &str| format!("  rules:\n  - match: {{any: [{{resources: {{{rest}}}}}]}}");
        check(
            &resources("kinds: [Pod], namespaceSelector: {matchLabels: {a: b}}"),
            "namespaceSelector:6",
            Beyond::Namespace,
        );
        check("  rules:\n  - exclude:\n      any:\n      - clusterRoles: [admin]", "clusterRoles:8", Beyond::Roles);
        check("  rules:\n  - context: [{name: c, configMap: {name: a, namespace: b}}]", "configMap:6", Beyond::Answers);
        check("  rules:\n  - generate: {kind: NetworkPolicy, name: x}", "generate:6", Beyond::Effects);
        check("  paramKind: {apiVersion: v1, kind: ConfigMap}", "paramKind:5", Beyond::Params);
        check(
            "  validations: [{expression: \"namespaceObject.metadata.name == 'a'\"}]",
            "namespaceobject:5",
            Beyond::Namespace,
        );
        check("  rules:\n  - preconditions: \"{{ request.roles }}\"", "request.roles:6", Beyond::Roles);
    }

    #[test]
    fn fields_of_resources_are_theirs() {
        assert_eq!(found("  rules:\n  - validate: {pattern: {spec: {roles: [a], targets: [b]}}}"), []);
        assert_eq!(found("  matchConstraints: {namespaceSelector: {}}"), []);
        assert_eq!(found("  admission: false\n  rules:\n  - generate: {kind: NetworkPolicy, name: x}"), []);
    }

    #[test]
    fn shipped_sets_reach_for_nothing() {
        for name in crate::shipped::NAMES {
            let mut set = crate::PolicySet::default();
            crate::shipped::read(name, &mut set).unwrap().unwrap();
            assert_eq!(set.reaches, [], "{name}");
        }
    }
}
