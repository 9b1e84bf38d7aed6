//! One object on its way through a rendering: its tree, what it was called before, and where it came from.

use std::collections::BTreeMap;

use prograde_model::Diagnostic;
use serde_json::Value as Json;

use crate::codes;
use crate::id::{Gvk, Id, id};
use crate::node::{Kind, Node};
use crate::origin::Origin;
use crate::place::Place;
use crate::schema::Schemas;

/// The annotations that Kustomize keeps for itself while it works, and takes away in the end.
const OWN_ANNOTATIONS: [&str; 19] = [
    "internal.config.kubernetes.io/previousKinds",
    "internal.config.kubernetes.io/previousNames",
    "internal.config.kubernetes.io/prefixes",
    "internal.config.kubernetes.io/suffixes",
    "internal.config.kubernetes.io/previousNamespaces",
    "internal.config.kubernetes.io/allowNameChange",
    "internal.config.kubernetes.io/allowKindChange",
    "internal.config.kubernetes.io/refBy",
    "internal.config.kubernetes.io/generatorBehavior",
    "internal.config.kubernetes.io/needsHashSuffix",
    "internal.config.kubernetes.io/path",
    "internal.config.kubernetes.io/index",
    "internal.config.kubernetes.io/seqindent",
    "internal.config.kubernetes.io/id",
    "internal.config.kubernetes.io/annotations-migration-resource-id",
    "config.kubernetes.io/path",
    "config.kubernetes.io/index",
    "config.k8s.io/id",
    FROM_CHART,
];
const FROM_CHART: &str = "internal.config.kubernetes.io/helm-generated";
const ORIGIN: &str = "config.kubernetes.io/origin";
const TRANSFORMATIONS: &str = "alpha.config.kubernetes.io/transformations";
const NEEDS_HASH: &str = "internal.config.kubernetes.io/needsHashSuffix";
const LOCAL: &str = "config.kubernetes.io/local-config";

/// What a generated object does to one that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Behavior {
    /// It must not be there.
    #[default]
    Create,
    /// It is replaced.
    Replace,
    /// Its data is kept where the new object has none.
    Merge,
}

/// What an object was called earlier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Earlier {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) kind: String,
}

/// One object. `Debug` shows no values, because they may be secrets.
#[derive(Debug, Clone)]
pub struct Resource {
    /// The object's fields.
    pub tree: Node,
    pub(crate) earlier: Vec<Earlier>,
    pub(crate) prefixes: Vec<String>,
    pub(crate) suffixes: Vec<String>,
    pub(crate) behavior: Behavior,
    pub(crate) needs_hash: bool,
    pub(crate) allow_name_change: bool,
    pub(crate) allow_kind_change: bool,
    pub(crate) origin: Option<Origin>,
    pub(crate) transformations: Vec<Origin>,
    pub(crate) variables: Vec<String>,
    /// Whether Helm made it, and was told the namespace that it is in.
    pub(crate) from_chart: bool,
}

impl Resource {
    /// An object from a tree that has been looked at.
    pub(crate) fn new(tree: Node) -> Self {
        let mut made = Self {
            tree,
            earlier: Vec::new(),
            prefixes: Vec::new(),
            suffixes: Vec::new(),
            behavior: Behavior::Create,
            needs_hash: false,
            allow_name_change: false,
            allow_kind_change: false,
            origin: None,
            transformations: Vec::new(),
            variables: Vec::new(),
            from_chart: false,
        };
        made.from_chart = made.annotation(FROM_CHART) == Some("true");
        made.needs_hash = made.annotation(NEEDS_HASH) == Some("enabled");
        made
    }

    /// The object itself, with the place of every value.
    pub fn tree(&self) -> &Node {
        &self.tree
    }

    /// Where the object was written.
    pub fn place(&self) -> &Place {
        &self.tree.place
    }

    /// Whether a patch has deleted the object.
    pub(crate) fn is_deleted(&self) -> bool {
        self.tree.is_empty()
    }

    /// The kind.
    pub fn kind(&self) -> &str {
        self.tree.text_at(&["kind"])
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.meta("name")
    }

    /// The namespace as written; empty for none.
    pub fn namespace(&self) -> &str {
        self.meta("namespace")
    }

    fn meta(&self, field: &str) -> &str {
        match self.tree.at(&["metadata", field]) {
            Some(found) if !found.is_empty() => found.raw(),
            Some(_) | None => "",
        }
    }

    /// The namespace that the object is in, also where none is written; none for kinds that have no namespaces.
    pub fn effective_namespace(&self) -> Option<String> {
        let id = self.id(&Schemas::new());
        (!id.cluster_scoped).then(|| id.effective_namespace().to_owned())
    }

    /// Group, version and kind.
    pub fn gvk(&self) -> Gvk {
        Gvk::new(self.tree.text_at(&["apiVersion"]), self.kind())
    }

    /// What the object is called now.
    pub(crate) fn id(&self, scopes: &Schemas) -> Id {
        id(scopes, self.gvk(), self.namespace(), self.name())
    }

    /// Whether the object is called so now. Names are compared first: there may be many objects to ask.
    pub(crate) fn is(&self, id: &Id, scopes: &Schemas) -> bool {
        self.name() == id.name && self.id(scopes).same(id)
    }

    /// Whether the object has, or had, a name, wherever.
    pub(crate) fn is_or_was(&self, name: &str) -> bool {
        self.name() == name || self.earlier.iter().any(|earlier| earlier.name == name)
    }

    /// What the object was called earlier, first things first.
    pub(crate) fn earlier_ids(&self) -> impl Iterator<Item = Id> + '_ {
        let gvk = self.gvk();
        self.earlier.iter().map(move |earlier| Id {
            gvk: Gvk { kind: earlier.kind.clone(), ..gvk.clone() },
            namespace: earlier.namespace.clone(),
            name: earlier.name.clone(),
            cluster_scoped: false,
        })
    }

    /// What the object was called where it was written.
    pub(crate) fn first_id(&self, scopes: &Schemas) -> Id {
        self.earlier_ids().next().unwrap_or_else(|| self.id(scopes))
    }

    /// Whether any of the names that the object has or had is meant.
    pub(crate) fn any_id(&self, scopes: &Schemas, meant: impl Fn(&Id) -> bool) -> bool {
        !self.is_deleted() && (self.earlier_ids().any(|id| meant(&id)) || meant(&self.id(scopes)))
    }

    /// Keeps the present name for later.
    pub(crate) fn remember(&mut self, scopes: &Schemas) {
        let id = self.id(scopes);
        let namespace = id.effective_namespace().to_owned();
        self.earlier.push(Earlier { namespace, name: id.name, kind: id.gvk.kind });
    }

    /// One annotation.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.tree.at(&["metadata", "annotations", name]).map(Node::raw)
    }

    /// The labels or annotations as texts.
    pub(crate) fn texts(&self, field: &str) -> BTreeMap<String, String> {
        let map = self.tree.at(&["metadata", field]);
        map.into_iter()
            .flat_map(Node::entries)
            .map(|entry| (entry.name.clone(), entry.value.raw().to_owned()))
            .collect()
    }

    /// Puts all labels or annotations in anew; none takes the field away.
    pub(crate) fn set_texts(&mut self, field: &str, texts: &BTreeMap<String, String>) {
        let place = self.tree.place.clone();
        let Some(metadata) = self.tree.map_at("metadata") else { return };
        metadata.remove(field);
        if texts.is_empty() {
            return;
        }
        let mut map = Node::map(&place);
        for (name, text) in texts {
            map.set(name, Node::text(&place, text.as_str()));
        }
        metadata.set(field, map);
    }

    /// Gives the object a name.
    pub(crate) fn set_name(&mut self, name: &str) {
        let value = Node::scalar(&self.tree.place, crate::scalar::Tag::Open, name);
        if let Some(metadata) = self.tree.map_at("metadata") {
            metadata.put("name", value);
        }
    }

    /// Gives the object a namespace, or none.
    pub(crate) fn set_namespace(&mut self, namespace: &str) {
        let value = Node::scalar(&self.tree.place, crate::scalar::Tag::Open, namespace);
        if namespace.is_empty() {
            if let Some(metadata) = self.tree.get_mut("metadata") {
                metadata.remove("namespace");
            }
        } else if let Some(metadata) = self.tree.map_at("metadata") {
            metadata.put("namespace", value);
        }
    }

    /// Whether the object is for tools on the developer's machine only.
    pub(crate) fn is_local(&self) -> bool {
        self.annotation(LOCAL).is_some_and(|value| value != "false")
    }

    /// Takes Kustomize's own annotations away, and puts those in that were asked for.
    pub(crate) fn finish(&mut self, origins: bool, transformations: bool) {
        let mut annotations = self.texts("annotations");
        for own in OWN_ANNOTATIONS.into_iter().chain([ORIGIN, TRANSFORMATIONS]) {
            annotations.remove(own);
        }
        if let Some(origin) = self.origin.as_ref().filter(|_| origins) {
            annotations.insert(ORIGIN.into(), origin.text());
        }
        if transformations && !self.transformations.is_empty() {
            annotations.insert(TRANSFORMATIONS.into(), Origin::list_text(&self.transformations));
        }
        self.set_texts("annotations", &annotations);
    }

    /// The object as it is printed.
    pub fn to_json(&self) -> Result<Json, Diagnostic> {
        self.tree.to_json()
    }
}

/// Refuses what is no Kubernetes object.
pub(crate) fn check(tree: &Node) -> Result<(), Diagnostic> {
    let wrong = |message: String| {
        Err(tree.place.diagnostic(
            codes::NOT_AN_OBJECT,
            message,
            "an object has `apiVersion`, `kind` and `metadata.name`",
        ))
    };
    if tree.kind() != Kind::Map {
        return wrong(format!("expected an object, found {}", tree.kind_text()));
    }
    let kind = tree.text_at(&["kind"]);
    if kind.is_empty() || tree.get("kind").is_some_and(Node::is_null) {
        return wrong("the object has no `kind`".into());
    }
    if kind.ends_with("List") {
        return Ok(());
    }
    if tree.at(&["metadata", "name"]).is_none_or(|name| name.is_empty() || name.raw().is_empty()) {
        return wrong(format!("the {kind} has no `metadata.name`"));
    }
    Ok(())
}
