//! What a kustomization renders to, as workloads are read from it: objects whose values are typed and located. The
//! rendering itself is `prograde-kustomize`'s.

use std::fmt;

use prograde_kustomize::{Files, Options, Renderer};
use prograde_model::Diagnostics;

use crate::located::{Located, Place, Value};

/// One object. `Debug` shows no values, because they may be secrets.
#[derive(Clone, PartialEq)]
pub struct Resource {
    pub(crate) tree: Located,
}

/// What a kustomization has become.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// The objects, in the order in which they are applied.
    pub resources: Vec<Resource>,
    /// Whether a program made a part of them, which may make another the next time.
    pub program: bool,
}

/// Renders the kustomization in the directory `dir` of a tree; the empty path is the tree's root.
pub fn render(tree: &dyn Files, dir: &str) -> Result<Rendered, Diagnostics> {
    render_with(tree, dir, Options::default())
}

/// The same, as options say.
pub(crate) fn render_with(tree: &dyn Files, dir: &str, options: Options) -> Result<Rendered, Diagnostics> {
    let rendering = Renderer::with(tree, options).render(dir)?;
    let objects = rendering.resources.iter().map(|resource| Ok(Resource { tree: Located::from_node(&resource.tree)? }));
    let resources = objects.collect::<Result<_, prograde_model::Diagnostic>>()?;
    Ok(Rendered { resources, program: rendering.reads.program })
}

/// The objects as YAML documents, for people and snapshots. Values of `Secret`s are left out.
pub fn to_yaml(resources: &[Resource]) -> String {
    let mut text = String::new();
    for resource in resources {
        if !text.is_empty() {
            text.push_str("---\n");
        }
        let mut tree = resource.tree.clone();
        if resource.kind() == "Secret" {
            for field in ["data", "stringData"] {
                for entry in tree.get_mut(field).and_then(Located::entries_mut).into_iter().flatten() {
                    entry.value.value = Value::Text("***".into());
                }
            }
        }
        text.push_str(&prograde_kustomize::yaml(&tree.to_json()));
    }
    text
}

impl Resource {
    /// The object with the place of each part.
    pub fn tree(&self) -> &Located {
        &self.tree
    }

    /// Where the object begins in the file that a person wrote.
    pub fn origin(&self) -> &Place {
        &self.tree.place
    }

    /// `apiVersion`.
    pub fn api_version(&self) -> &str {
        self.tree.text_at(&["apiVersion"]).unwrap_or_default()
    }

    /// `kind`.
    pub fn kind(&self) -> &str {
        self.tree.text_at(&["kind"]).unwrap_or_default()
    }

    /// `metadata.name`.
    pub fn name(&self) -> &str {
        self.tree.text_at(&["metadata", "name"]).unwrap_or_default()
    }

    /// `metadata.namespace`; empty where none is given.
    pub fn namespace(&self) -> &str {
        self.tree.text_at(&["metadata", "namespace"]).unwrap_or_default()
    }

    /// The namespace that it is in, also where none is given.
    pub(crate) fn effective_namespace(&self) -> &str {
        match self.namespace() {
            "" => "default",
            given => given,
        }
    }

    /// Kind and name, for messages.
    pub fn id(&self) -> String {
        format!("{} {}", self.kind(), self.name())
    }

    /// The object as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        self.tree.to_json()
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {}", self.id(), self.origin())
    }
}
