//! The codes of this crate's diagnostics. Each has a page in `docs/errors/`; a code is never given a second meaning.

/// A document that is not a Kubernetes object.
pub const NOT_AN_OBJECT: &str = "PG1320";
/// The same object is written twice.
pub const DUPLICATE: &str = "PG1321";
/// More objects, or larger ones, than are read.
pub const TOO_LARGE: &str = "PG1322";
/// A health script that can't be read.
pub const SCRIPT: &str = "PG1323";
/// Rules of health in CEL that can't be read.
pub const EXPRESSION: &str = "PG1324";
/// A rule of what is to be ignored that can't be used.
pub const IGNORE: &str = "PG1325";
/// An annotation about the sync that has no meaning.
pub const ANNOTATION: &str = "PG1326";
/// Something is not healthy.
pub const UNHEALTHY: &str = "PG1327";
/// What runs is not what should.
pub const DRIFTED: &str = "PG1328";
