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
/// A base or file that lies on another machine.
pub const REMOTE: &str = "PG1001";
/// A Helm chart.
pub const HELM: &str = "PG1002";
/// A generator, transformer or validator that is a program.
pub const PLUGIN: &str = "PG1003";
/// A replacement whose source or target can't be found or written.
pub const REPLACEMENT: &str = "PG1004";
/// A variable that can't be resolved.
pub const VARIABLE: &str = "PG1005";
/// A reference that more than one object could be meant by.
pub const AMBIGUOUS: &str = "PG1006";
/// A value that can't be printed.
pub const VALUE: &str = "PG1007";
/// A schema that can't be used.
pub const SCHEMA: &str = "PG1008";
/// A validator that changed what it was to look at.
pub const VALIDATOR: &str = "PG1009";
/// Transformer configurations that contradict each other.
pub const CONFIGURATION: &str = "PG1010";
