//! Argo CD's objects as they are written.

pub mod application;
pub(crate) mod fields;
pub mod project;
pub mod set;
pub(crate) mod window;
