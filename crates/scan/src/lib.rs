//! What a thing is made of, and what is known to be wrong with it.
//!
//! Inventories of lock files, binaries and images; bills of materials; known vulnerabilities, secrets, misconfiguration
//! and licences. Nothing here asks a network or writes to a terminal, and all that is read is bounded.

#![allow(
    clippy::case_sensitive_file_extension_comparisons,
    reason = "lock files, manifests and archives are named in lower case by their formats"
)]

pub mod binary;
pub mod codes;
pub mod commit;
pub mod db;
pub mod ecosystem;
pub mod exception;
pub mod finding;
pub mod foreign;
mod git;
pub mod image;
pub mod licence;
pub mod lock;
pub mod misconfig;
pub mod package;
pub mod purl;
pub mod sarif;
pub mod sbom;
pub mod secret;
pub mod severity;
pub mod target;
pub mod version;
pub mod vex;
pub mod vulnerable;
pub mod walk;
