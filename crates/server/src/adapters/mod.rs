//! The controllers' ports, each carried out by one of the product's parts.

pub(crate) mod admission;
pub(crate) mod client;
pub(crate) mod deployments;
pub(crate) mod images;
pub(crate) mod jobs;
pub(crate) mod log;
pub(crate) mod measures;
pub(crate) mod notifier;
pub(crate) mod pipelines;
pub(crate) mod prober;
pub(crate) mod runtime;
pub(crate) mod scanner;
pub(crate) mod source;
pub(crate) mod trackers;
