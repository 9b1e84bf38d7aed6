//! How targets are: what `/api/v1/targets` and `/api/v1/metadata` of Prometheus' HTTP API tell.

use std::sync::{Arc, Mutex, PoisonError};

use super::ingest::{Counts, Metadata};
use super::target::Target;
use crate::labels::Labels;

/// Whether a target answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It has not been asked yet.
    Unknown,
    /// Its last answer was taken.
    Up,
    /// Its last answer was not taken, or there was none.
    Down,
}

impl Health {
    /// As Prometheus' API names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// How a target was when it was last asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// Whether it answers.
    pub health: Health,
    /// Why it is not up; empty where it is.
    pub last_error: String,
    /// When it was asked, in milliseconds since 1970.
    pub last_scrape_ms: Option<i64>,
    /// How long it took.
    pub last_duration_seconds: f64,
    /// How many samples it had.
    pub counts: Counts,
    /// Samples that the store left out, because they were too old, too new, or others than it had.
    pub left_out: usize,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            health: Health::Unknown,
            last_error: String::new(),
            last_scrape_ms: None,
            last_duration_seconds: 0.0,
            counts: Counts::default(),
            left_out: 0,
        }
    }
}

/// A target that is scraped.
#[derive(Debug, Clone)]
pub struct ActiveTarget {
    /// Its job.
    pub job: String,
    /// What it is.
    pub target: Target,
    /// How it is.
    pub status: Status,
}

/// All targets.
#[derive(Debug, Clone, Default)]
pub struct Targets {
    /// Those that are scraped, by job.
    pub active: Vec<ActiveTarget>,
    /// Labels, before relabelling, of those that it dropped.
    pub dropped: Vec<Labels>,
}

/// A metric as one target describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetMetadata {
    /// The target's labels.
    pub target: Labels,
    /// The name of the metric family.
    pub metric: String,
    /// The description.
    pub metadata: Metadata,
}

/// A status that a scrape writes and the API reads.
pub(crate) type SharedStatus = Arc<Mutex<Status>>;

pub(crate) fn read(status: &SharedStatus) -> Status {
    status.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

pub(crate) fn write(status: &SharedStatus, new: Status) {
    *status.lock().unwrap_or_else(PoisonError::into_inner) = new;
}
