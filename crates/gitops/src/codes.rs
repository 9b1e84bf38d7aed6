//! The codes of this crate's diagnostics. Each has a page in `docs/errors/`; a code is never given a second meaning.

/// A file or directory that is named is not there.
pub const MISSING: &str = "PG0401";
/// A field of a kustomization that is not supported.
pub const UNSUPPORTED_FIELD: &str = "PG0402";
/// A field of a kustomization with a value that it can't have.
pub const INVALID_FIELD: &str = "PG0403";
/// A path that leaves the tree, or a symbolic link.
pub const ESCAPE: &str = "PG0404";
/// Kustomizations that include each other, or nest too deeply.
pub const CYCLE: &str = "PG0405";
/// A document that is not a Kubernetes object.
pub const NOT_AN_OBJECT: &str = "PG0406";
/// Two objects with the same identity.
pub const DUPLICATE: &str = "PG0407";
/// A patch, replica count or merge whose target is not there or not unique.
pub const NO_TARGET: &str = "PG0408";
/// A patch that is malformed or can't be applied.
pub const PATCH: &str = "PG0409";
/// A generator's entry that is malformed.
pub const GENERATOR: &str = "PG0410";
/// More than is rendered: files, objects, bytes or depth.
pub const TOO_LARGE: &str = "PG0411";
/// An object whose structure a transformation can't be applied to.
pub const STRUCTURE: &str = "PG0412";
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
