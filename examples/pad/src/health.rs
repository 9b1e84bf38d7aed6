//! Where the process is in its life, as its probes tell it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

const STARTING: u8 = 0;
const READY: u8 = 1;
const DRAINING: u8 = 2;

/// Starting, ready or draining; shared by the probes and the server. Only goes forward.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<AtomicU8>);

impl Health {
    /// The process listens.
    pub fn started(&self) {
        self.0.fetch_max(READY, Ordering::AcqRel);
    }

    /// The process is to stop: no new traffic should come.
    pub fn draining(&self) {
        self.0.fetch_max(DRAINING, Ordering::AcqRel);
    }

    /// Whether it has started, also when it is draining by now.
    pub fn is_started(&self) -> bool {
        self.0.load(Ordering::Acquire) > STARTING
    }

    /// Whether it should be given traffic.
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire) == READY
    }
}
