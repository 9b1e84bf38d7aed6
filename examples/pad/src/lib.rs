//! A small reference backend: what a service needs so that it can be rolled out safely, and nothing else.
//!
//! A request passes `telemetry` (trace, log, metrics, caught panics), then the faults that `routes` puts before the
//! ordinary routes, then its handler. `serve` owns the process's life: ready, draining, gone.

pub mod faults;
pub mod greeting;
pub mod health;
pub mod log;
pub mod metrics;
pub mod redact;
pub mod routes;
pub mod serve;
pub mod settings;
pub mod telemetry;
pub mod trace;

/// The version of the package.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// An id of the source this was built from, given to the build as `PAD_SOURCE`; `unknown` in a build by hand.
///
/// The same source has the same id, so naming it here does not keep two builds of it from being identical. It also
/// tells Cargo that a build directory shared by several checkouts holds another source's result.
pub const SOURCE: &str = match option_env!("PAD_SOURCE") {
    Some(source) => source,
    None => "unknown",
};
