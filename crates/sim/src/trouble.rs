//! What goes wrong, and when. All of it ends: after the last trouble the world answers.

use std::fmt;

/// A part of the world that the controllers call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The journal.
    Journal,
    /// The repositories that commits come from.
    Source,
    /// What runs pipelines.
    Pipelines,
    /// What makes images.
    Images,
    /// The deployment repository.
    Git,
    /// What runs workloads.
    Runtime,
    /// What asks services.
    Prober,
    /// What tells people.
    Notifier,
}

/// Something that goes wrong for a while, or at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Calls to a part fail.
    Down(Part),
    /// Calls to a part are not answered until it is over, and then fail.
    Silent(Part),
    /// Calls to a part take so many milliseconds.
    Slow(Part, i64),
    /// The runtime sees nothing at all.
    Blind,
    /// The runtime shows what it saw when this began.
    Stale,
    /// The runtime counts no failures.
    HidesFailures,
    /// The runtime counts half of all requests as failures.
    InventsFailures,
    /// The runtime's counters begin again from zero.
    CountersReset,
    /// A replica ends and is started again.
    ReplicaCrash,
    /// The clock is wrong by so many milliseconds.
    Clock(i64),
}

/// A trouble and its time, in milliseconds of the world's own time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// When it begins.
    pub from_ms: i64,
    /// When it is over.
    pub to_ms: i64,
    /// What goes wrong.
    pub trouble: Trouble,
}

impl Window {
    /// Whether it goes on.
    pub fn holds(&self, now_ms: i64) -> bool {
        (self.from_ms..self.to_ms).contains(&now_ms)
    }
}

impl Trouble {
    /// Whether the controllers see something other than what is, so that their judgment can't be held against them.
    pub fn misleads(self) -> bool {
        match self {
            Self::Blind
            | Self::Stale
            | Self::HidesFailures
            | Self::InventsFailures
            | Self::CountersReset
            | Self::ReplicaCrash
            | Self::Clock(_) => true,
            Self::Down(_) | Self::Silent(_) | Self::Slow(..) => false,
        }
    }
}

impl Part {
    fn word(self) -> &'static str {
        match self {
            Self::Journal => "the journal",
            Self::Source => "the source",
            Self::Pipelines => "the pipeline runner",
            Self::Images => "the image maker",
            Self::Git => "the deployment repository",
            Self::Runtime => "the runtime",
            Self::Prober => "the prober",
            Self::Notifier => "the notifier",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Down(part) => write!(f, "{part} is down"),
            Self::Silent(part) => write!(f, "{part} does not answer"),
            Self::Slow(part, ms) => write!(f, "{part} takes {ms} ms to answer"),
            Self::Blind => f.write_str("the runtime sees nothing"),
            Self::Stale => f.write_str("the runtime shows old numbers"),
            Self::HidesFailures => f.write_str("the runtime hides failures"),
            Self::InventsFailures => f.write_str("the runtime invents failures"),
            Self::CountersReset => f.write_str("the runtime's counters begin again from zero"),
            Self::ReplicaCrash => f.write_str("a replica crashes"),
            Self::Clock(ms) => write!(f, "the clock is wrong by {ms} ms"),
        }
    }
}
