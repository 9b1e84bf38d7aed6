//! The DORA measures: how often a service is deployed, how long a commit takes to get there, how often a deployment fails,
//! how long that lasts, and how much of it all is repair. Calculated from facts, never kept.
//!
//! [`History`] folds the journal's facts into [`Deployment`]s; [`report`] counts those of a range. What is counted belongs to
//! exactly one period, so that the numbers of periods add up to those of their whole.
//!
//! The definitions are those of DORA's metrics (dora.dev, "DORA's software delivery metrics"), made exact where a survey need
//! not be; `docs/guides/dora.md` says how.

mod history;
mod level;
mod period;
mod report;
mod statistics;

pub use history::History;
pub use level::{Level, Placed, Year};
pub use period::{Every, NoSuchUnit, Span};
pub use report::{By, Levels, Measures, Proportion, Question, Report, Row, Spread, TooManyPeriods, of, report};

use jiff::Timestamp;

use crate::ids::{FlightId, Target};

/// One release that was to run in one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Where.
    pub target: Target,
    /// The flight that brought it; none where it was read from tags.
    pub flight: Option<FlightId>,
    /// The commit's first line, or the tag.
    pub name: String,
    /// Whether the place is the last of its flight's, as production is.
    pub last: bool,
    /// When it was written that it should run.
    pub deployed_at: Timestamp,
    /// When it had its first request of a user, as far as is known.
    pub served_at: Option<Timestamp>,
    /// When it had all traffic.
    pub reached_at: Option<Timestamp>,
    /// When it failed, if it did, whatever came after.
    pub failed_at: Option<Timestamp>,
    /// When something good had all traffic again.
    pub restored_at: Option<Timestamp>,
    /// When each of its changes was committed.
    pub committed_at: Vec<Timestamp>,
    /// When it was pushed.
    pub pushed_at: Option<Timestamp>,
    /// Whether it is a repair: it comes next after one that failed, or is a revert.
    pub rework: bool,
}

impl Deployment {
    /// The moment to which it is counted: when it had all traffic, else when it failed. None while it is on its way, and
    /// where people took it out before it had any request.
    pub fn at(&self) -> Option<Timestamp> {
        self.reached_at.or(self.failed_at)
    }

    /// Whether it failed before it had all traffic.
    pub fn is_stopped_early(&self) -> bool {
        self.failed_at.is_some() && self.reached_at.is_none()
    }
}

#[cfg(test)]
mod tests;
