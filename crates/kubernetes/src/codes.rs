//! The codes of this crate's diagnostics. Each has a page in `docs/errors/`; a code is never given a second meaning.

/// No cluster can be asked.
pub const CONNECT: &str = "PG1370";
/// A sync option that can't be followed.
pub const OPTION: &str = "PG1371";
/// A sync failed.
pub const FAILED: &str = "PG1372";
/// Something would be deleted, and nobody has said so.
pub const ASKS: &str = "PG1373";
/// An application goes to another cluster, or may not go where it says.
pub const NOT_HERE: &str = "PG1374";
/// Something was not healthy in time.
pub const LATE: &str = "PG1375";
/// What is in a cluster is not what Git says.
pub const DIFFERS: &str = "PG1376";
