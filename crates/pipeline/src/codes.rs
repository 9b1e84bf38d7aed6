//! The codes of this crate's diagnostics. Each has a page in `docs/errors/`; a code's meaning never changes.

/// A key has the wrong kind of value, or a required one is missing.
pub const SHAPE: &str = "PG0201";
/// A key that is unknown or not supported.
pub const KEY: &str = "PG0202";
/// An action that is not built in.
pub const ACTION: &str = "PG0203";
/// An input of a built-in action that is unknown or not supported.
pub const INPUT: &str = "PG0204";
/// A text that is not an expression.
pub const EXPRESSION: &str = "PG0205";
/// An expression refers to what is not provided where it stands.
pub const CONTEXT: &str = "PG0206";
/// `runs-on` names a machine that this is not.
pub const RUNS_ON: &str = "PG0207";
/// A shell that is not supported.
pub const SHELL: &str = "PG0208";
/// `needs` names no job, or jobs need each other in a circle.
pub const NEEDS: &str = "PG0209";
/// A matrix that can't be expanded.
pub const MATRIX: &str = "PG0210";
/// More of something than is allowed.
pub const LIMIT: &str = "PG0211";
/// A trigger's filter that can't be used.
pub const TRIGGER: &str = "PG0212";
/// A name that is taken or not allowed.
pub const NAME: &str = "PG0213";
/// A note: a key that is accepted and has no effect here.
pub const NO_EFFECT: &str = "PG0290";
