//! What a commit was looked through for before anything of it was built.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What was looked at, and what was found that does not stop the commit. What would stop it ends its flight.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScanReport {
    /// How many files and earlier versions of files were looked through for secrets.
    pub files: u64,
    /// How many commits since the last one that was let past, with their versions of files.
    pub commits: u64,
    /// How many packages the lock files name.
    pub packages: u64,
    /// When the database of vulnerabilities was made in which they were looked up; none where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub database: Option<Timestamp>,
    /// How many findings of each severity were let past.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub found: BTreeMap<String, u64>,
    /// How many more do not count because of an exception that somebody answers for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub excepted: u64,
    /// What could not be looked at, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde asks for")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
