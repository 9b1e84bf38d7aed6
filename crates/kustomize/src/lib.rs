//! Kustomize in process: a tree of files in, Kubernetes objects out, byte for byte what `kustomize build` (5.8) prints.
//! No file system, no network, no program is touched, and what would need one is refused rather than passed over.
//!
//! A rendering goes through three stages. [`load`] and [`kustomization`] read; [`render()`] walks through
//! kustomizations that include each other and carries out, at each, generators and transformations in Kustomize's order;
//! once at the end come hashes, references, variables and the order of objects. Objects are [`Node`]s, which keep type
//! and style of every text until [`emit`] prints them.

mod budget;
pub mod codes;
mod config;
mod emit;
mod fields;
mod files;
mod folded;
mod generate;
pub mod helm;
mod id;
mod json_patch;
mod kustomization;
mod load;
mod merge;
mod names;
mod node;
mod options;
mod order;
mod origin;
mod patch;
mod place;
mod plugin;
mod reader;
mod remote;
mod render;
mod replacement;
mod resource;
mod scalar;
mod schema;
mod selector;
mod stand_in;
mod transform;
mod tree;
mod variables;

pub use budget::{KUSTOMIZATIONS_MAX, NESTING_MAX, OBJECTS_MAX, WORK_BYTES_MAX};
pub use files::{Files, Link, Replaced, Surrounded};
pub use id::{Gvk, Id};
pub use load::{KUSTOMIZATION_FILES, Reads, documents, documents_last_counts};
pub use node::{ENTRIES_MAX, Entry, Kind, Node, Scalar, Value};
pub use options::Options;
pub use place::Place;
pub use remote::{RemoteBase, Remotes};
pub use render::{Renderer, Rendering};
pub use resource::Resource;
pub use scalar::Tag;
pub use schema::{TypeOf, is_cluster_scoped, kubernetes_type};
pub use stand_in::stand_in;
pub use tree::{BYTES_MAX, FILES_MAX, FileTree, PATH_BYTES_MAX, TreeError, is_plain, is_within, join};

use prograde_model::Diagnostics;

/// Renders the kustomization in the directory `dir` of a tree; the empty path is the tree's root.
pub fn render(tree: &dyn Files, dir: &str) -> Result<Rendering, Diagnostics> {
    Renderer::new(tree).render(dir)
}

/// One object as `kustomize build` prints it.
pub fn yaml(value: &serde_json::Value) -> String {
    emit::document(value)
}

/// The name of an object's file in a directory, without its ending: what it is and is called, as `kustomize build --output`
/// puts it together.
pub fn file_name(parts: &[&str]) -> String {
    let parts: Vec<&str> = parts.iter().copied().filter(|part| !part.is_empty()).collect();
    parts.join("_").to_lowercase().replace(['/', '\\'], "-")
}
