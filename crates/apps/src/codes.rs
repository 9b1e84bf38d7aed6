//! The codes of this crate's diagnostics. Each has a page in `docs/errors/`; a code is never given a second meaning.

/// A field that an object does not have, or a value of another kind than the field takes.
pub const FIELD: &str = "PG1340";
/// A value that a field can't have, or fields that contradict each other.
pub const VALUE: &str = "PG1341";
/// Something that is only done by a program or a cluster: Helm, Jsonnet, plugins, generators that ask others.
pub const UNSUPPORTED: &str = "PG1342";
/// A template that can't be read or filled in.
pub const TEMPLATE: &str = "PG1343";
/// A generator whose parameters don't fit together.
pub const GENERATOR: &str = "PG1344";
/// A generator that needs to know which clusters there are.
pub const CLUSTERS: &str = "PG1345";
/// A repository that is not known here, or a path that leaves it.
pub const REPOSITORY: &str = "PG1346";
/// Two applications of the same name.
pub const DUPLICATE: &str = "PG1347";
/// More than is generated or rendered.
pub const TOO_LARGE: &str = "PG1348";
/// Applications that contain each other, or nest too deeply.
pub const CYCLE: &str = "PG1349";
/// A template's patch that can't be applied.
pub const PATCH: &str = "PG1350";
/// What a project does not allow.
pub const REFUSED: &str = "PG1351";
/// A project that is not there.
pub const PROJECT: &str = "PG1352";
/// A sync window's schedule, duration or time zone that can't be read.
pub const WINDOW: &str = "PG1353";
/// A source that can't be rendered.
pub const SOURCE: &str = "PG1354";
/// An image policy that can't be used.
pub const POLICY: &str = "PG1360";
/// No tag of a repository may be chosen.
pub const NO_TAG: &str = "PG1361";
/// A marker that can't be read, or that stands beside no value.
pub const MARKER: &str = "PG1362";
/// A message of commits that can't be filled in.
pub const MESSAGE: &str = "PG1363";
/// An image repository whose tags are not known.
pub const TAGS: &str = "PG1364";
