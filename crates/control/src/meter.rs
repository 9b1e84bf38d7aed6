//! Turns what a runtime has counted so far into what is used now: differences between one look and the next.

use std::collections::BTreeMap;

use jiff::Timestamp;
use prograde_model::autoscale::{Beside, Reading, Readings, Stage};
use prograde_model::ids::FlightId;
use prograde_model::runtime::Observation;

use crate::ports::ReplicaUse;

/// What one target had counted at the last look.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    at: Option<Timestamp>,
    replicas: BTreeMap<String, Last>,
    requests: BTreeMap<FlightId, u64>,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    cpu_us: Option<u64>,
    /// Whether it had been ready by then.
    started: bool,
}

impl Meter {
    /// What is used at `at`: by each replica of `flight`, and by the other versions together.
    pub(crate) fn read(
        &mut self,
        usage: &[ReplicaUse],
        seen: &Observation,
        flight: &FlightId,
        at: Timestamp,
    ) -> Readings {
        let elapsed_us = self.at.and_then(|then| u64::try_from(at.duration_since(then).as_micros()).ok());
        let elapsed_us = elapsed_us.filter(|elapsed| *elapsed > 0);
        let mut readings = Readings::default();
        let mut replicas = BTreeMap::new();
        for replica in usage {
            let last = self.replicas.get(&replica.replica).copied();
            let cpu_milli = cpu_milli(last, replica.cpu_us, elapsed_us);
            if replica.revision == *flight {
                let stage = stage(last, replica);
                let memory_bytes = replica.memory_bytes;
                readings.replicas.push(Reading { stage, cpu_milli, memory_bytes, requests_milli: None });
            } else {
                readings.beside.cpu_milli = readings.beside.cpu_milli.saturating_add(cpu_milli.unwrap_or(0));
            }
            let started = replica.ready || last.is_some_and(|last| last.started && replica.cpu_us.is_some());
            replicas.insert(replica.replica.clone(), Last { cpu_us: replica.cpu_us, started });
        }
        self.read_requests(seen, flight, elapsed_us, &mut readings);
        self.replicas = replicas;
        self.at = Some(at);
        readings
    }

    /// The proxy counts by version; which of its replicas answered makes no difference to their average.
    fn read_requests(&mut self, seen: &Observation, flight: &FlightId, elapsed_us: Option<u64>, into: &mut Readings) {
        let mut counted = BTreeMap::new();
        for version in &seen.versions {
            let requests = version.counters.requests;
            let last = self.requests.get(&version.revision);
            let since = last.and_then(|last| requests.checked_sub(*last));
            let milli = since.and_then(|since| rate(since.checked_mul(1_000)?, 1_000_000, elapsed_us?));
            counted.insert(version.revision.clone(), requests);
            if version.revision == *flight {
                spread(milli, &mut into.replicas);
            } else {
                let beside: &mut Beside = &mut into.beside;
                beside.requests_milli = beside.requests_milli.saturating_add(milli.unwrap_or(0));
            }
        }
        self.requests = counted;
    }
}

/// A replica that was never ready is starting; so is one that was not ready yet when what is measured began.
fn stage(last: Option<Last>, replica: &ReplicaUse) -> Stage {
    match (replica.cpu_us, last) {
        (None, _) => Stage::Pending,
        // Nothing was measured of its processor, and all else is true of it now.
        (Some(_), None) if replica.ready => Stage::Started,
        (Some(_), Some(Last { started: true, .. })) => Stage::Started,
        (Some(_), _) => Stage::Starting,
    }
}

/// Thousandths of a processor; none for a replica that was not there before, or was started again.
fn cpu_milli(last: Option<Last>, now_us: Option<u64>, elapsed_us: Option<u64>) -> Option<u64> {
    let used = now_us?.checked_sub(last?.cpu_us?)?;
    rate(used, 1_000, elapsed_us?)
}

fn rate(count: u64, times: u64, elapsed_us: u64) -> Option<u64> {
    u64::try_from(u128::from(count) * u128::from(times) / u128::from(elapsed_us)).ok()
}

/// Shares out a version's requests among its replicas that have a process.
fn spread(milli: Option<u64>, replicas: &mut [Reading]) {
    let Some(milli) = milli else { return };
    let running = |reading: &&mut Reading| reading.stage != Stage::Pending;
    let count = u64::try_from(replicas.iter_mut().filter(running).count()).unwrap_or(u64::MAX).max(1);
    for (index, reading) in (0_u64..).zip(replicas.iter_mut().filter(running)) {
        reading.requests_milli = Some(milli / count + u64::from(index < milli % count));
    }
}

#[cfg(test)]
mod tests {
    use prograde_model::runtime::{Counters, VersionSeen};

    use super::*;

    fn id(letter: char) -> FlightId {
        letter.to_string().repeat(32).parse().unwrap()
    }

    fn used(replica: &str, flight: char, ready: bool, cpu_us: Option<u64>) -> ReplicaUse {
        let memory_bytes = cpu_us.map(|_| 1_000);
        ReplicaUse { replica: replica.into(), revision: id(flight), ready, cpu_us, memory_bytes }
    }

    fn seen(requests: &[(char, u64)]) -> Observation {
        let version = |(flight, requests): &(char, u64)| VersionSeen {
            counters: Counters { requests: *requests, failures: 0, latency_us_sum: 0 },
            ..VersionSeen::none(id(*flight))
        };
        Observation { versions: requests.iter().map(version).collect(), ..Observation::default() }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn told(readings: &Readings) -> Vec<(Stage, Option<u64>, Option<u64>)> {
        readings.replicas.iter().map(|r| (r.stage, r.cpu_milli, r.requests_milli)).collect()
    }

    #[test]
    fn what_is_used_is_what_was_counted_since_the_last_look() {
        let mut meter = Meter::default();
        let first = [used("a-1", 'a', true, Some(5_000_000)), used("a-2", 'a', true, Some(0))];
        let readings = meter.read(&first, &seen(&[('a', 900)]), &id('a'), at(0));
        assert_eq!(told(&readings), [(Stage::Started, None, None); 2], "one look says nothing");
        assert_eq!(readings.replicas[0].memory_bytes, Some(1_000), "but of memory");

        // In 15 s: 7.5 s and 3 s of a processor, and 301 requests: 20.066 a second.
        let second = [used("a-1", 'a', true, Some(12_500_000)), used("a-2", 'a', true, Some(3_000_000))];
        let readings = meter.read(&second, &seen(&[('a', 1_201)]), &id('a'), at(15));
        let wanted = [(Stage::Started, Some(500), Some(10_033)), (Stage::Started, Some(200), Some(10_033))];
        assert_eq!(told(&readings), wanted);

        // One was started again, and a runtime that lost its memory counts anew.
        let third = [used("a-1", 'a', false, Some(100)), used("a-2", 'a', true, Some(3_000_000))];
        let readings = meter.read(&third, &seen(&[('a', 7)]), &id('a'), at(30));
        assert_eq!(told(&readings), [(Stage::Started, None, None), (Stage::Started, Some(0), None)]);
        let readings = meter.read(&third, &seen(&[('a', 7)]), &id('a'), at(30));
        assert_eq!(told(&readings), [(Stage::Started, None, None); 2], "no time has passed");
    }

    #[test]
    fn a_replica_is_started_once_it_was_ready_at_a_look_before() {
        let mut meter = Meter::default();
        let mut stage = |second, ready, cpu_us| {
            let usage = [used("a-1", 'a', true, Some(0)), used("a-2", 'a', ready, cpu_us)];
            meter.read(&usage, &seen(&[]), &id('a'), at(second)).replicas[1].stage
        };
        assert_eq!(stage(0, false, None), Stage::Pending);
        assert_eq!(stage(15, false, Some(1)), Stage::Starting);
        assert_eq!(stage(30, true, Some(2)), Stage::Starting, "what was measured began before it was ready");
        assert_eq!(stage(45, true, Some(3)), Stage::Started);
        assert_eq!(stage(60, false, Some(4)), Stage::Started, "it is unwell, not new");
        assert_eq!(stage(75, false, None), Stage::Pending, "and now it is new again");
        assert_eq!(stage(90, false, Some(1)), Stage::Starting);
    }

    #[test]
    fn other_versions_are_told_in_sum() {
        let mut meter = Meter::default();
        let usage = |cpu_us| [used("a-1", 'a', true, Some(0)), used("b-1", 'b', true, Some(cpu_us))];
        meter.read(&usage(0), &seen(&[('a', 0), ('b', 0)]), &id('a'), at(0));
        let readings = meter.read(&usage(1_000_000), &seen(&[('a', 10), ('b', 100)]), &id('a'), at(10));
        assert_eq!(readings.replicas.len(), 1);
        assert_eq!(readings.beside, Beside { cpu_milli: 100, requests_milli: 10_000 });
    }
}
