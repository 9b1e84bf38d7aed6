//! What is asked of a cluster. [`Api`](crate::Api) is the real one.

use std::sync::Arc;

use async_trait::async_trait;
use prograde_resource::options::Propagation;
use serde_json::Value;

use crate::kinds::{Kinds, Resource};
use crate::refused::Refused;

/// One object's place.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The kind.
    pub resource: &'a Resource,
    /// The namespace; of no meaning for what is in none.
    pub namespace: &'a str,
    /// The name.
    pub name: &'a str,
}

/// How an object is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Server-side apply.
    Apply,
    /// All of it, if it is still the version that it says.
    Replace,
}

/// What is to be written.
#[derive(Debug, Clone, Copy)]
pub struct Write<'a> {
    /// How.
    pub way: Way,
    /// The object.
    pub object: &'a Value,
    /// Whether it is only tried.
    pub dry: bool,
    /// Whether the server is strict about fields that it does not know; it decides itself where nothing is said.
    pub validate: Option<bool>,
}

/// What is known of objects of a kind.
#[derive(Debug, Clone, Default)]
pub struct Listed {
    /// The metadata of each, with its kind.
    pub objects: Vec<Value>,
    /// The version of the list, from which can be watched.
    pub version: String,
}

/// Hears of changes: the object's metadata, and whether it is gone.
pub type Hearing<'a> = &'a (dyn Fn(&Value, bool) + Send + Sync);

/// A cluster.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// The kinds that it knows; asked for anew, or as they were.
    async fn kinds(&self, anew: bool) -> Result<Arc<Kinds>, Refused>;
    /// An object, where it is there.
    async fn get(&self, place: Place<'_>) -> Result<Option<Value>, Refused>;
    /// The metadata of all objects of a kind, in all namespaces or in one.
    async fn list(&self, resource: &Resource, namespace: Option<&str>) -> Result<Listed, Refused>;
    /// Writes an object, and says how it is then.
    async fn write(&self, place: Place<'_>, write: Write<'_>) -> Result<Value, Refused>;
    /// Deletes the object of this UID. That it is not there any more is no error.
    async fn delete(&self, place: Place<'_>, uid: &str, propagation: Propagation) -> Result<(), Refused>;
    /// Hears of changes since a version, until the server ends it.
    async fn watch(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        version: &str,
        hearing: Hearing<'_>,
    ) -> Result<(), Refused>;
}
