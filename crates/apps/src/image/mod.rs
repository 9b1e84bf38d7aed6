//! Image automation: which tag of an image is the one to deploy, and where it is written.
//!
//! Flux's `ImageRepository`, `ImagePolicy` and `ImageUpdateAutomation` are read as they are. Everything here is
//! calculation: tags and digests are arguments.

pub mod choice;
pub(crate) mod fields;
pub mod marker;
pub mod message;
pub mod objects;
pub mod policy;
pub mod update;
