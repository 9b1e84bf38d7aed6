//! Faults on demand: what share of requests fails or is late, and whether the program dies at its start.
//!
//! The constants are the defaults; the settings `PAD_ERROR_SHARE`, `PAD_LATENCY_SHARE`, `PAD_LATENCY_MS` and
//! `PAD_CRASH_AT_START` override them. Probes, `/version` and `/metrics` are never touched by a fault.

use std::time::Duration;

/// The share of requests answered with status 500, from 0 to 1.
pub const ERROR_SHARE: f64 = 0.0;

/// The share of requests held up, from 0 to 1.
pub const LATENCY_SHARE: f64 = 0.0;

/// How long a request is held up, in milliseconds.
pub const LATENCY_MS: u64 = 400;

/// Whether the program panics before it listens.
pub const CRASH_AT_START: bool = false;

/// The faults in force.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Faults {
    /// The share of requests answered with status 500, from 0 to 1.
    pub error_share: f64,
    /// The share of requests held up, from 0 to 1.
    pub latency_share: f64,
    /// How long a request is held up.
    pub latency: Duration,
    /// Whether the program panics before it listens.
    pub crash_at_start: bool,
}

impl Faults {
    /// No fault at all.
    pub const NONE: Self =
        Self { error_share: 0.0, latency_share: 0.0, latency: Duration::ZERO, crash_at_start: false };

    /// Whether this request is to fail.
    pub fn draw_error(&self) -> bool {
        fastrand::f64() < self.error_share
    }

    /// How long this request is to be held up, if at all.
    pub fn draw_latency(&self) -> Option<Duration> {
        (fastrand::f64() < self.latency_share).then_some(self.latency)
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            error_share: ERROR_SHARE,
            latency_share: LATENCY_SHARE,
            latency: Duration::from_millis(LATENCY_MS),
            crash_at_start: CRASH_AT_START,
        }
    }
}
