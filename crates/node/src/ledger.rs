//! The versions' counters on disk, so that a restart of the server loses at most a second of them.

use std::io;
use std::path::Path;

use prograde_model::latency::Latencies;
use prograde_model::runtime::{Counters, Tally};
use prograde_model::{FlightId, Target};
use serde::{Deserialize, Serialize};

use crate::files::{Durability, read_bounded, write_atomic};

const BYTES_MAX: u64 = 16 * 1024 * 1024;

/// One version's counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    #[serde(flatten)]
    pub(crate) target: Target,
    pub(crate) revision: FlightId,
    #[serde(flatten)]
    pub(crate) counters: Counters,
    /// Restarts of replicas that are gone; those of living ones are in their own records.
    pub(crate) restarts: u32,
    /// How long the requests took. Not in files of earlier versions.
    #[serde(default, skip_serializing_if = "Latencies::is_empty")]
    pub(crate) latencies: Latencies,
    /// Copies of requests that others answered. Not in files of earlier versions.
    #[serde(default)]
    pub(crate) mirrored: Tally,
}

/// Reads what was written last; nothing when nothing was.
pub(crate) fn read(path: &Path) -> io::Result<Vec<Entry>> {
    match read_bounded(path, BYTES_MAX) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Replaces what was written last.
pub(crate) fn write(path: &Path, entries: &[Entry]) -> io::Result<()> {
    write_atomic(path, &serde_json::to_vec(entries)?, Durability::Disk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_as_they_were_written_and_torn_ones_are_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("versions.json");
        assert_eq!(read(&path).unwrap(), []);
        let target = Target { environment: "staging".parse().unwrap(), service: "pad".parse().unwrap() };
        let counters = Counters { requests: u64::MAX, failures: 2, latency_us_sum: 3 };
        let mut latencies = Latencies::default();
        latencies.add(5, 2);
        latencies.add(Latencies::BUCKETS - 1, u64::MAX);
        let mirrored = Tally { requests: 3, failures: 1, latency_us_sum: 9, latencies: latencies.clone() };
        let revision = "a".repeat(32).parse().unwrap();
        let entry = Entry { target, revision, counters, restarts: 4, latencies, mirrored };
        write(&path, std::slice::from_ref(&entry)).unwrap();
        assert_eq!(read(&path).unwrap(), [entry]);
        let text = std::fs::read(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 3]).unwrap();
        assert!(read(&path).is_err());
    }

    #[test]
    fn what_an_earlier_version_wrote_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("versions.json");
        let revision = "b".repeat(32);
        let line = format!(
            r#"[{{"environment":"staging","service":"pad","revision":"{revision}","requests":50,"failures":1,"latency_us_sum":700,"restarts":2}}]"#
        );
        std::fs::write(&path, line).unwrap();
        let entries = read(&path).unwrap();
        assert_eq!(entries[0].counters, Counters { requests: 50, failures: 1, latency_us_sum: 700 });
        assert_eq!((&entries[0].latencies, &entries[0].mirrored), (&Latencies::default(), &Tally::default()));
    }
}
