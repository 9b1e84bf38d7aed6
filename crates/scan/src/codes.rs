//! The codes of everything that this crate refuses or warns of; each has a page in `docs/errors/`.

/// A lock file is not what its name says.
pub const LOCK_FORM: &str = "PG1201";
/// Something read is larger, deeper or longer than what is read.
pub const TOO_LARGE: &str = "PG1202";
/// A version is not one in its ecosystem, or is not known.
pub const VERSION: &str = "PG1203";
/// A file or directory that is scanned can't be read.
pub const UNREADABLE: &str = "PG1204";
/// It is not known what kind of thing should be scanned.
pub const UNKNOWN_TARGET: &str = "PG1205";
/// An image is not one.
pub const IMAGE_FORM: &str = "PG1206";
/// An SBOM is not one.
pub const SBOM_FORM: &str = "PG1207";
/// There is no database of vulnerabilities.
pub const NO_DATABASE: &str = "PG1210";
/// The database is damaged or of another version.
pub const DATABASE_DAMAGED: &str = "PG1211";
/// An advisory can't be read.
pub const ADVISORY_FORM: &str = "PG1212";
/// A source of advisories has none or can't be reached.
pub const ADVISORY_SOURCE: &str = "PG1213";
/// The database is old.
pub const DATABASE_OLD: &str = "PG1214";
/// The database knows nothing about an ecosystem that was found.
pub const ECOSYSTEM_UNKNOWN: &str = "PG1215";
/// A rule for secrets can't be used.
pub const SECRET_RULES: &str = "PG1220";
/// Git's history can't be read.
pub const HISTORY: &str = "PG1221";
/// The list of allowed secrets can't be used.
pub const SECRET_ALLOWED: &str = "PG1222";
/// A file that is checked for misconfiguration can't be understood.
pub const CONFIG_FORM: &str = "PG1225";
/// An exception is incomplete.
pub const EXCEPTION_FORM: &str = "PG1230";
/// An exception has expired.
pub const EXCEPTION_EXPIRED: &str = "PG1231";
/// A report of another scanner can't be read.
pub const REPORT_FORM: &str = "PG1232";
/// The list of allowed licences can't be used.
pub const LICENCE_FORM: &str = "PG1233";
/// Something was found that may not be there.
pub const FOUND: &str = "PG1235";
