//! The codes of this crate's diagnostics. Each has a page in `docs/errors/`; a code is never given a second meaning.

pub use prograde_kustomize::codes::TOO_LARGE;

/// An object that a workload needs is not there, or there is more than one.
pub const OBJECTS: &str = "PG0420";
/// A kind of object that the runtime can't run.
pub const KIND: &str = "PG0421";
/// A field that would change behaviour and can't be had.
pub const REFUSED_FIELD: &str = "PG0422";
/// A field that Kubernetes does not have there.
pub const UNKNOWN_FIELD: &str = "PG0423";
/// A field with a value that Kubernetes would refuse.
pub const INVALID_VALUE: &str = "PG0424";
/// A reference to a `ConfigMap`, `Secret` or key that is not rendered.
pub const REFERENCE: &str = "PG0425";
/// A selector that does not select the pods.
pub const SELECTOR: &str = "PG0426";
/// An image that is not the service's own, by the digest that was built.
pub const IMAGE: &str = "PG0427";
/// An autoscaler that can't be followed.
pub const AUTOSCALER: &str = "PG0428";
/// A secret's value in Git.
pub const SECRET_IN_GIT: &str = "PG0430";
/// A base that names an environment.
pub const ENVIRONMENT_IN_BASE: &str = "PG0431";
/// An environment that names another one.
pub const OTHER_ENVIRONMENT: &str = "PG0432";
/// A value that every overlay sets alike.
pub const COPIES: &str = "PG0433";
/// A setting of a manifest that decides what users see.
pub const SWITCH_IN_MANIFEST: &str = "PG0434";
