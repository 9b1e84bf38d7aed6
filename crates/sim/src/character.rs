//! What a release is like: how it starts, whether it stays up, and how many of its requests fail.

use std::fmt;

use crate::random::Random;

/// What a release is like, whatever the controllers think of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Character {
    /// Of 10,000 requests, so many fail.
    pub failing: u32,
    /// How long its first replica has been ready before they do, in milliseconds.
    pub failing_after_ms: i64,
    /// How long a replica takes to become ready, in milliseconds.
    pub start_ms: i64,
    /// Whether its replicas stay up.
    pub readiness: Readiness,
    /// Whether its checks fail in the last environment.
    pub check_fails: bool,
    /// Whether its pipeline fails.
    pub pipeline_fails: bool,
    /// Whether what is measured of it is 512 instead of 1.
    pub over_limit: bool,
}

/// Whether replicas stay up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// They become ready and stay so.
    Ready,
    /// They never become ready.
    Never,
    /// They end, and are started again, so often.
    Crashing {
        /// How long each attempt lasts, in milliseconds.
        every_ms: i64,
    },
    /// They are ready and not ready by turns.
    Flapping {
        /// How long each turn lasts, in milliseconds.
        turn_ms: i64,
    },
}

/// Failures in 10,000 requests that a good release may have: far below any limit that makes sense.
const GOOD_FAILING_MAX: u32 = 5;

impl Character {
    /// Nothing is wrong with it.
    pub const GOOD: Self = Self {
        failing: 0,
        failing_after_ms: 0,
        start_ms: 0,
        readiness: Readiness::Ready,
        check_fails: false,
        pipeline_fails: false,
        over_limit: false,
    };

    /// One of the kinds that there are; most are good. `unit_ms` is how long one way through all environments takes.
    pub(crate) fn draw(random: &mut Random, unit_ms: i64) -> Self {
        let good = Self {
            failing: random.pick([0, 0, 0, 2, GOOD_FAILING_MAX]),
            start_ms: random.between(50, 3_000),
            ..Self::GOOD
        };
        match random.below(100) {
            0..50 => good,
            50..65 => Self { failing: random.pick([2_000, 5_000, 10_000]), ..good },
            65..70 => Self { failing: random.pick([100, 300, 500, 1_000]), ..good },
            70..77 => Self { failing: 5_000, failing_after_ms: random.between(1_000, unit_ms), ..good },
            77..82 => Self { readiness: Readiness::Never, ..good },
            82..87 => Self { readiness: Readiness::Crashing { every_ms: random.between(300, 4_000) }, ..good },
            87..91 => Self { readiness: Readiness::Flapping { turn_ms: random.between(1_000, 8_000) }, ..good },
            91..94 => Self { start_ms: random.between(5_000, 60_000), ..good },
            94..97 => Self { check_fails: true, ..good },
            _ => Self { pipeline_fails: true, ..good },
        }
    }

    /// Whether nothing is wrong with it that a rollout could find.
    pub fn is_good(&self) -> bool {
        self.failing <= GOOD_FAILING_MAX
            && self.start_ms <= 3_000
            && self.readiness == Readiness::Ready
            && !self.check_fails
            && !self.pipeline_fails
    }

    /// Whether so many of its requests fail from the start that a judge with traffic can't miss it: four times the share
    /// that a step must rule out, and at least a fifth.
    pub fn is_clearly_bad(&self, detect: f64) -> bool {
        let failing = f64::from(self.failing) / 10_000.0;
        self.readiness == Readiness::Ready && self.failing_after_ms == 0 && failing >= (4.0 * detect).clamp(0.2, 1.0)
    }
}

impl fmt::Display for Character {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = f64::from(self.failing) / 100.0;
        match self.readiness {
            Readiness::Never => return f.write_str("never ready"),
            Readiness::Crashing { every_ms } => return write!(f, "crashes every {every_ms} ms"),
            Readiness::Flapping { turn_ms } => return write!(f, "ready and not by turns of {turn_ms} ms"),
            Readiness::Ready => {}
        }
        match (self.failing, self.failing_after_ms) {
            _ if self.pipeline_fails => return f.write_str("its pipeline fails"),
            _ if self.check_fails => return f.write_str("its check fails in the last environment"),
            (0..=GOOD_FAILING_MAX, _) => f.write_str("good")?,
            (_, 0) => write!(f, "{percent}% of its requests fail")?,
            (_, after) => write!(f, "{percent}% of its requests fail once it has run for {after} ms")?,
        }
        if self.start_ms > 0 { write!(f, ", ready after {} ms", self.start_ms) } else { Ok(()) }
    }
}
