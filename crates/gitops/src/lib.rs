//! `GitOps`: Git repositories, the deployment repository, and decoding of rendered manifests.
//!
//! Git says what should be; this crate reads it and writes it, and decides nothing.

pub mod codes;
pub mod deploy;
pub mod git;
pub mod helm;
mod kept;
pub mod kustomize;
pub mod located;
pub mod placement;
pub mod workload;

pub use prograde_kustomize::{BYTES_MAX, FILES_MAX, FileTree, PATH_BYTES_MAX, TreeError};
