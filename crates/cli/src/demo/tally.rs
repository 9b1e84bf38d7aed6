//! What users saw: every request counted once, by the version that answered and by what went wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use serde::Serialize;

use super::latency::Latency;

/// How a version is told from its answers: by a text that no other version answers with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marker {
    /// The version.
    pub(crate) version: &'static str,
    /// The text, somewhere in the answer's body.
    pub(crate) text: String,
}

/// Why a request counts as failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    /// It was answered, but not with 200.
    Status(u16),
    /// No connection could be opened.
    Connect,
    /// The connection ended before the answer did.
    NoAnswer,
    /// The answer did not come in time.
    Late,
    /// It was due and not sent, because too many others were still waited for.
    Unsent,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status {status}"),
            Self::Connect => f.write_str("no connection"),
            Self::NoAnswer => f.write_str("no answer"),
            Self::Late => f.write_str("answer too late"),
            Self::Unsent => f.write_str("not sent"),
        }
    }
}

/// What came of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A whole answer.
    Whole {
        /// Its status.
        status: StatusCode,
        /// Its body.
        body: Vec<u8>,
    },
    /// None.
    Missing(Failure),
}

/// Requests that have come to an end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Count {
    /// All of them.
    pub(crate) requests: u64,
    /// The ones that failed.
    pub(crate) failures: u64,
}

impl Count {
    fn add(&mut self, failed: bool) {
        self.requests = self.requests.saturating_add(1);
        self.failures = self.failures.saturating_add(u64::from(failed));
    }

    fn since(self, earlier: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(earlier.requests),
            failures: self.failures.saturating_sub(earlier.failures),
        }
    }
}

/// Counts up to some moment, or between two.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// All requests.
    pub(crate) all: Count,
    /// By the version that answered.
    pub(crate) versions: BTreeMap<&'static str, Count>,
    /// Requests of which nobody knows which version answered, if any did.
    pub(crate) unknown: Count,
    /// The failures, by what went wrong.
    pub(crate) failures: BTreeMap<Failure, u64>,
}

impl Tally {
    /// What came after `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let versions = self.versions.iter().map(|(name, count)| (*name, count.since(earlier.version(name))));
        let before = |failure: &Failure| earlier.failures.get(failure).copied().unwrap_or_default();
        let failures = self.failures.iter().map(|(failure, count)| (*failure, count.saturating_sub(before(failure))));
        Self {
            all: self.all.since(earlier.all),
            versions: versions.filter(|(_, count)| *count != Count::default()).collect(),
            unknown: self.unknown.since(earlier.unknown),
            failures: failures.filter(|(_, count)| *count > 0).collect(),
        }
    }

    /// Requests that a version answered.
    pub(crate) fn version(&self, name: &str) -> Count {
        self.versions.get(name).copied().unwrap_or_default()
    }

    /// What went wrong, in words, such as `3 times status 503`; empty where nothing did.
    pub(crate) fn troubles(&self) -> String {
        let words: Vec<String> =
            self.failures.iter().map(|(failure, count)| format!("{count} times {failure}")).collect();
        words.join(", ")
    }
}

/// Counts from many tasks.
#[derive(Debug)]
pub(crate) struct Tallies {
    markers: Vec<Marker>,
    inner: Mutex<(Tally, Latency)>,
}

impl Tallies {
    /// Nothing counted yet.
    pub(crate) fn new(markers: Vec<Marker>) -> Self {
        Self { markers, inner: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, (Tally, Latency)> {
        // Counting can't panic half-way: a poisoned lock is only somebody else's panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request that took `took` from when it was due.
    pub(crate) fn count(&self, answer: &Answer, took: Duration) {
        let (version, failure) = match answer {
            Answer::Missing(failure) => (None, Some(*failure)),
            Answer::Whole { status, body } => {
                let failure = (*status != StatusCode::OK).then_some(Failure::Status(status.as_u16()));
                (self.version_of(body), failure)
            }
        };
        let mut guard = self.lock();
        let (tally, latency) = &mut *guard;
        tally.all.add(failure.is_some());
        match version {
            Some(version) => tally.versions.entry(version).or_default().add(failure.is_some()),
            None => tally.unknown.add(failure.is_some()),
        }
        match failure {
            Some(failure) => *tally.failures.entry(failure).or_default() += 1,
            None => latency.record(took),
        }
    }

    fn version_of(&self, body: &[u8]) -> Option<&'static str> {
        let holds = |text: &str| !text.is_empty() && body.windows(text.len()).any(|part| part == text.as_bytes());
        self.markers.iter().find(|marker| holds(&marker.text)).map(|marker| marker.version)
    }

    /// The counts now.
    pub(crate) fn tally(&self) -> Tally {
        self.lock().0.clone()
    }

    /// How long good answers took.
    pub(crate) fn latency(&self) -> Latency {
        self.lock().1.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(status: u16, body: &str) -> Answer {
        Answer::Whole { status: StatusCode::from_u16(status).unwrap(), body: body.as_bytes().to_vec() }
    }

    fn tallies() -> Tallies {
        let marker = |version, text: &str| Marker { version, text: text.to_owned() };
        Tallies::new(vec![marker("old", "\"hello\""), marker("new", "\"hello again\""), marker("new", "a fault")])
    }

    #[test]
    fn answers_are_counted_by_version_and_by_what_went_wrong() {
        let tallies = tallies();
        tallies.count(&whole(200, r#"{"greeting":"hello"}"#), Duration::from_millis(1));
        let before = tallies.tally();
        tallies.count(&whole(200, r#"{"greeting":"hello again"}"#), Duration::from_millis(1));
        tallies.count(&whole(500, r#"{"error":"a fault was injected"}"#), Duration::from_millis(1));
        tallies.count(&whole(503, "no replica is ready"), Duration::from_millis(1));
        tallies.count(&Answer::Missing(Failure::NoAnswer), Duration::from_millis(1));
        let after = tallies.tally().since(&before);
        assert_eq!(after.all, Count { requests: 4, failures: 3 });
        assert_eq!(after.version("new"), Count { requests: 2, failures: 1 });
        assert_eq!(after.version("old"), Count::default());
        assert_eq!(after.unknown, Count { requests: 2, failures: 2 });
        assert_eq!(after.troubles(), "1 times status 500, 1 times status 503, 1 times no answer");
        assert_eq!(tallies.tally().version("old"), Count { requests: 1, failures: 0 });
    }

    #[test]
    fn an_answer_that_is_not_200_is_a_failure_even_below_500() {
        let tallies = tallies();
        tallies.count(&whole(404, "\"hello\""), Duration::ZERO);
        assert_eq!(tallies.tally().version("old"), Count { requests: 1, failures: 1 });
    }
}
