//! Scraping: asks targets for their metrics, again and again, and stores what they answer.
//!
//! Pure are [`config`] (what is scraped), [`target`] (what becomes of a discovered target) and `ingest` (what becomes of an
//! answer). The rest is an edge, where tokio is: [`run`] starts a task that follows the configuration, and one for each
//! target; a [`Handle`] changes the configuration, tells how targets are, and stops it all.
//!
//! Of each target at most one scrape runs at a time, at a moment of its interval that follows from a hash of it, so that
//! load is spread and stays so over restarts. A scrape that takes too long is given up before the next one is due.
//!
//! A target that goes away is ended with markers of staleness, but not before it could have been scraped twice more: if it
//! is found again meanwhile, the markers come too late and are left out by the store. When the whole is stopped nothing is
//! ended, because it is expected to go on where it was.
//!
//! Source: Prometheus 2.42, `scrape`.

mod client;
pub mod config;
mod cycle;
pub mod discovery;
mod ingest;
mod pool;
mod senders;
mod service;
pub mod state;
pub mod target;

use std::sync::Arc;

pub use config::{Config, ScrapeJob, TargetGroup};
pub use ingest::{Counts, IngestError, Metadata, SeriesError};
pub use senders::{HELD_MAX, Senders};
pub use service::{Handle, run};

use crate::append::Append;

/// The largest body that is read, uncompressed, whatever the job allows.
pub const BODY_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970.
    fn now_ms(&self) -> i64;
}

/// What scraping needs.
pub struct Options {
    /// What is scraped.
    pub jobs: Vec<ScrapeJob>,
    /// Where samples go.
    pub append: Arc<dyn Append>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}
