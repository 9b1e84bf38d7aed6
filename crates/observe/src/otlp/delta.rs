//! Deltas added up to what has been counted since the beginning, which is how Prometheus' series are.
//!
//! What is known of a series is the sum so far and the times of its first and last delta. A delta adds to it if it is later
//! than the last one; one that is not, or whose time begins before the series did, is refused. Where the time between two
//! deltas is missing, what was counted in it is as well, and the sum goes on. Of a series that is not known the sum begins
//! with its first delta, so that one that had been counted before a restart begins again, which `rate` takes for a reset.
//!
//! Source: OpenTelemetry specification, "Metrics data model", "Sums: Delta-to-Cumulative"; OpenTelemetry collector,
//! `deltatocumulativeprocessor`.

use std::collections::HashMap;

use crate::labels::Labels;

/// How many series may be known.
const STREAMS_MAX: usize = 100_000;
/// How long a series is known after its last delta at least, in nanoseconds: 5 minutes.
const KEPT_NS: u64 = 300_000_000_000;

/// Why a delta can't be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeltaError {
    OutOfOrder,
    OlderStart,
    TooMany,
}

impl DeltaError {
    pub(super) fn why(self) -> &'static str {
        match self {
            Self::OutOfOrder => "has a delta that is not later than the one before it",
            Self::OlderStart => "has a delta whose time begins before that of its series",
            Self::TooMany => "has deltas of more series than can be added up at once",
        }
    }
}

/// What can be added up.
pub(super) trait Add {
    /// Adds to what was counted before. False if the two do not fit together, and counting has to begin anew.
    fn add(&mut self, delta: &Self) -> bool;
}

#[derive(Debug, Clone)]
struct Stream<T> {
    start_ns: u64,
    last_ns: u64,
    total: T,
}

/// When a delta was counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) start_ns: u64,
    pub(super) end_ns: u64,
}

/// The sums of series of one kind. What a request adds counts once it is kept: a sender that is told to try again has added
/// nothing.
#[derive(Debug)]
pub(super) struct Deltas<T> {
    streams: HashMap<Labels, Stream<T>>,
    pending: HashMap<Labels, Stream<T>>,
    streams_max: usize,
}

impl<T> Default for Deltas<T> {
    fn default() -> Self {
        Self { streams: HashMap::new(), pending: HashMap::new(), streams_max: STREAMS_MAX }
    }
}

impl<T: Add + Clone> Deltas<T> {
    /// Adds a delta and gives the sum.
    pub(super) fn add(&mut self, labels: &Labels, Span { start_ns, end_ns }: Span, delta: T) -> Result<T, DeltaError> {
        let known = self.pending.get(labels).or_else(|| self.streams.get(labels));
        let Some(stream) = known else {
            self.make_room(end_ns)?;
            self.pending.insert(labels.clone(), Stream { start_ns, last_ns: end_ns, total: delta.clone() });
            return Ok(delta);
        };
        if end_ns <= stream.last_ns {
            return Err(DeltaError::OutOfOrder);
        }
        // 0 is not known.
        if start_ns != 0 && start_ns < stream.start_ns {
            return Err(DeltaError::OlderStart);
        }
        let mut next = stream.clone();
        next.last_ns = end_ns;
        if !next.total.add(&delta) {
            next = Stream { start_ns, last_ns: end_ns, total: delta };
        }
        let total = next.total.clone();
        self.pending.insert(labels.clone(), next);
        Ok(total)
    }

    /// Forgets what has not been counted for long, if there is no room otherwise.
    fn make_room(&mut self, now_ns: u64) -> Result<(), DeltaError> {
        if self.streams.len() + self.pending.len() >= self.streams_max {
            self.streams.retain(|_, stream| stream.last_ns.saturating_add(KEPT_NS) > now_ns);
        }
        let is_full = self.streams.len() + self.pending.len() >= self.streams_max;
        if is_full { Err(DeltaError::TooMany) } else { Ok(()) }
    }

    /// Keeps what the request added.
    pub(super) fn keep(&mut self) {
        self.streams.extend(self.pending.drain());
    }

    /// Forgets what the request added.
    pub(super) fn forget(&mut self) {
        self.pending.clear();
    }
}

impl Add for f64 {
    fn add(&mut self, delta: &Self) -> bool {
        *self += delta;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start_ns: u64, end_ns: u64) -> Span {
        Span { start_ns, end_ns }
    }

    fn series(name: &str) -> Labels {
        [("__name__", name)].into_iter().collect()
    }

    #[test]
    fn deltas_add_up_in_their_order_and_no_other() {
        let mut deltas = Deltas::default();
        let a = series("a");
        for (from, to, delta, wanted) in [
            (10, 20, 1.0, Ok(1.0)),
            (20, 30, 2.0, Ok(3.0)),
            (20, 30, 2.0, Err(DeltaError::OutOfOrder)),
            (5, 40, 2.0, Err(DeltaError::OlderStart)),
            (60, 70, 4.0, Ok(7.0)),
            (0, 80, 1.0, Ok(8.0)),
        ] {
            assert_eq!(deltas.add(&a, span(from, to), delta), wanted, "{from} to {to}");
            deltas.keep();
        }
        assert_eq!(deltas.add(&series("b"), span(0, 1), 5.0), Ok(5.0));
    }

    #[test]
    fn what_was_not_kept_was_not_added() {
        let mut deltas = Deltas::default();
        let a = series("a");
        assert_eq!(deltas.add(&a, span(0, 10), 1.0), Ok(1.0));
        assert_eq!(deltas.add(&a, span(10, 20), 1.0), Ok(2.0));
        deltas.forget();
        assert_eq!(deltas.add(&a, span(0, 10), 1.0), Ok(1.0));
    }

    #[test]
    fn series_are_bounded_and_the_silent_make_room() {
        let mut deltas = Deltas { streams_max: 2, ..Deltas::default() };
        for name in ["a", "b"] {
            assert_eq!(deltas.add(&series(name), span(0, 10), 1.0), Ok(1.0));
        }
        deltas.keep();
        assert_eq!(deltas.add(&series("c"), span(0, 20), 1.0), Err(DeltaError::TooMany));
        assert_eq!(deltas.add(&series("c"), span(0, KEPT_NS + 20), 1.0), Ok(1.0));
    }
}
