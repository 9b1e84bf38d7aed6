//! Argo CD's objects as they are written.

pub mod application;
pub(crate) mod fields;
pub(crate) mod project;
pub(crate) mod set;
pub(crate) mod window;
