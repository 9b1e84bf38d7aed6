//! What an object is called, and which objects are meant by a name.

use std::fmt;

use crate::schema;

/// The namespace that stands for none in the names of objects that have none.
const CLUSTER: &str = "_non_namespaceable_";
const DEFAULT: &str = "default";

/// Group, version and kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gvk {
    /// The API group; empty for the core group.
    pub group: String,
    /// The version.
    pub version: String,
    /// The kind.
    pub kind: String,
}

impl Gvk {
    /// From the two fields of an object.
    pub fn new(api_version: &str, kind: &str) -> Self {
        let (group, version) = Self::split(api_version);
        Self { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() }
    }

    /// Group and version of the field `apiVersion`.
    pub(crate) fn split(api_version: &str) -> (&str, &str) {
        api_version.split_once('/').unwrap_or(("", api_version))
    }

    /// The field `apiVersion`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Whether a selector, whose empty fields match everything, selects this.
    pub fn is_selected(&self, selector: &Gvk) -> bool {
        let fits = |wanted: &str, have: &str| wanted.is_empty() || wanted == have;
        fits(&selector.group, &self.group) && fits(&selector.version, &self.version) && fits(&selector.kind, &self.kind)
    }

    /// How field specifications are sorted.
    pub(crate) fn sort_key(&self) -> (i32, String) {
        (crate::order::rank(&self.kind), crate::order::gvk_text(self))
    }
}

impl fmt::Display for Gvk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or = |text: &str, none: &'static str| if text.is_empty() { none.to_owned() } else { text.to_owned() };
        let (kind, version) = (or(&self.kind, "[noKind]"), or(&self.version, "[noVer]"));
        write!(f, "{kind}.{version}.{}", or(&self.group, "[noGrp]"))
    }
}

/// What an object is called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Id {
    /// Group, version and kind.
    pub gvk: Gvk,
    /// The namespace, as written; empty for none.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// Whether objects of this kind have no namespace.
    pub cluster_scoped: bool,
}

impl Id {
    /// The namespace that the object is in, also where none is written.
    pub fn effective_namespace(&self) -> &str {
        if self.cluster_scoped {
            CLUSTER
        } else if self.namespace.is_empty() {
            DEFAULT
        } else {
            &self.namespace
        }
    }

    /// Whether both mean the same object.
    pub fn same(&self, other: &Id) -> bool {
        self.name == other.name && self.gvk == other.gvk && self.effective_namespace() == other.effective_namespace()
    }

    /// Something to find equal ids by.
    pub(crate) fn key(&self) -> (Gvk, String, String) {
        (self.gvk.clone(), self.effective_namespace().to_owned(), self.name.clone())
    }

    /// Whether a selector, whose empty fields match everything, selects this.
    pub fn is_selected(&self, selector: &Id) -> bool {
        (selector.name.is_empty() || selector.name == self.name)
            && (selector.namespace.is_empty() || selector.effective_namespace() == self.effective_namespace())
            && self.gvk.is_selected(&selector.gvk)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let namespace = if self.namespace.is_empty() { String::new() } else { format!(" in {}", self.namespace) };
        let kind = if self.gvk.kind.is_empty() { "object" } else { &self.gvk.kind };
        let name = if self.name.is_empty() { String::new() } else { format!(" {}", self.name) };
        write!(f, "{kind}{name}{namespace}")
    }
}

/// The id of an object of a kind, which knows whether the kind has namespaces.
pub(crate) fn id(scopes: &schema::Schemas, gvk: Gvk, namespace: &str, name: &str) -> Id {
    let cluster_scoped = scopes.is_cluster_scoped(&gvk);
    Id { gvk, namespace: namespace.to_owned(), name: name.to_owned(), cluster_scoped }
}
