//! What the server itself knows, as series: the requests of each version as the proxy counted them, how long they took,
//! what share of traffic is in force, and how many replicas there are. A service has them without a line of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use prograde_control::Control;
use prograde_model::ids::Target;
use prograde_model::latency::Latencies;
use prograde_model::runtime::VersionSeen;
use prograde_observe::labels::METRIC_NAME;
use prograde_observe::store::StoreError;
use prograde_observe::{Append, Appended, Incoming, Labels, Sample};

/// Upper bounds of the buckets of latencies, in microseconds: 1.28 ms and its doublings, at which the proxy's own buckets
/// begin, so that nothing is lost.
fn bounds_us() -> impl Iterator<Item = u64> {
    (0..14).map(|doublings| 1_280 << doublings)
}

/// A family of series.
struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
}

const REQUESTS: Family = Family {
    name: "prograde_requests_total",
    kind: "counter",
    help: "Requests that the proxy gave to a version and that were answered or given up.",
};
const FAILED: Family = Family {
    name: "prograde_failed_requests_total",
    kind: "counter",
    help: "Of these, the ones that failed: no answer, or a status of 500 or more.",
};
const DURATION: Family = Family {
    name: "prograde_request_duration_seconds",
    kind: "histogram",
    help: "How long requests took, from the request to the last byte of the answer.",
};
const WEIGHT: Family = Family {
    name: "prograde_traffic_weight_ratio",
    kind: "gauge",
    help: "The share of a service's requests that a version gets.",
};
const READY: Family =
    Family { name: "prograde_ready_replicas", kind: "gauge", help: "Replicas of a version that are ready." };
const REPLICAS: Family =
    Family { name: "prograde_replicas", kind: "gauge", help: "Replicas of a version, ready or not." };
const RESTARTS: Family = Family {
    name: "prograde_replica_restarts_total",
    kind: "counter",
    help: "How often replicas of a version were restarted.",
};
const FAMILIES: [Family; 7] = [REQUESTS, FAILED, DURATION, WEIGHT, READY, REPLICAS, RESTARTS];

/// Samples of one time.
pub(super) type Batch = Vec<(Labels, Sample)>;

/// What was written at the last look.
#[derive(Default)]
pub(crate) struct Own {
    last: BTreeSet<Labels>,
}

impl Own {
    /// What is known now, and that what is not known any more has ended.
    pub(super) fn look(&mut self, control: &Control) -> Batch {
        let timestamp = control.now().as_millisecond();
        let now = known(control);
        let ended = self.last.iter().filter(|labels| !now.contains_key(*labels));
        let mut batch: Batch = ended.map(|labels| (labels.clone(), Sample::stale(timestamp))).collect();
        batch.extend(now.iter().map(|(labels, value)| (labels.clone(), Sample { timestamp, value: *value })));
        self.last = now.into_keys().collect();
        batch
    }
}

/// Takes a batch into the store.
pub(super) fn append(store: &impl Append, batch: &Batch) -> Result<Appended, StoreError> {
    let incoming: Vec<Incoming<'_>> =
        batch.iter().map(|(labels, sample)| Incoming { labels, sample: *sample }).collect();
    store.append(&incoming)
}

/// All series with their values.
fn known(control: &Control) -> BTreeMap<Labels, f64> {
    let targets: Vec<Target> = control.with_fleet(|fleet| fleet.targets().cloned().collect());
    let mut found = BTreeMap::new();
    for target in targets {
        for version in control.observe(&target).versions {
            let commit = control.with_fleet(|fleet| {
                fleet.flight(&version.revision).map_or_else(String::new, |flight| flight.commit().to_string())
            });
            let labels: Labels = [
                ("commit", commit.as_str()),
                ("environment", target.environment.as_str()),
                ("flight", version.revision.as_str()),
                ("job", "prograde"),
                ("service", target.service.as_str()),
            ]
            .into_iter()
            .collect();
            found.extend(of_version(&labels, &version));
        }
    }
    found
}

fn of_version(labels: &Labels, version: &VersionSeen) -> Vec<(Labels, f64)> {
    let named = |name: &str| labels.with(METRIC_NAME, name);
    let of = |family: &Family, value: f64| (named(family.name), value);
    let mut found = vec![
        of(&REQUESTS, float(version.counters.requests)),
        of(&FAILED, float(version.counters.failures)),
        of(&WEIGHT, f64::from(version.weight.percent()) / 100.0),
        of(&READY, f64::from(version.ready)),
        of(&REPLICAS, f64::from(version.replicas)),
        of(&RESTARTS, f64::from(version.restarts)),
    ];
    let total = version.latencies.total();
    let bucket = named(&format!("{}_bucket", DURATION.name));
    for bound_us in bounds_us() {
        let slower = version.latencies.at_least(Latencies::bucket(bound_us));
        found.push((bucket.with("le", &seconds(bound_us).to_string()), float(total - slower)));
    }
    found.push((bucket.with("le", "+Inf"), float(total)));
    found.push((named(&format!("{}_count", DURATION.name)), float(total)));
    found.push((named(&format!("{}_sum", DURATION.name)), seconds(version.counters.latency_us_sum)));
    found
}

/// The same as text, for a Prometheus that scrapes the server (exposition format 0.0.4).
pub(crate) fn exposition(control: &Control) -> String {
    let known = known(control);
    let mut text = String::new();
    for Family { name, kind, help } in FAMILIES {
        let _written = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        let of_family = |labels: &Labels| {
            let of = labels.get(METRIC_NAME);
            of.strip_prefix(name).is_some_and(|rest| matches!(rest, "" | "_bucket" | "_count" | "_sum"))
        };
        for (labels, value) in known.iter().filter(|(labels, _)| of_family(labels)) {
            let pairs = labels.iter().filter(|label| !matches!(&*label.name, METRIC_NAME | "job"));
            let pairs: Vec<String> = pairs.map(|label| format!("{}={:?}", label.name, label.value)).collect();
            let _written = writeln!(text, "{}{{{}}} {value}", labels.get(METRIC_NAME), pairs.join(","));
        }
    }
    text
}

fn seconds(us: u64) -> f64 {
    float(us) / 1e6
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts below 2^53 are exact, and larger ones are not looked at one by one"
)]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use prograde_model::runtime::Counters;

    use super::*;

    #[test]
    fn buckets_begin_where_the_proxys_do() {
        for bound in bounds_us() {
            assert_eq!(Latencies::lower_bound_us(Latencies::bucket(bound)), bound);
        }
        assert_eq!(bounds_us().last(), Some(10_485_760));
    }

    #[test]
    fn a_version_is_told_in_counts_and_seconds() {
        let mut version = VersionSeen::none("a".repeat(32).parse().unwrap());
        version.counters = Counters { requests: 3, failures: 1, latency_us_sum: 2_500_000 };
        for us in [1_000, 1_300, 20_000_000] {
            version.latencies.record(us);
        }
        let labels: Labels = [("service", "pad")].into_iter().collect();
        let found: BTreeMap<String, f64> =
            of_version(&labels, &version).into_iter().map(|(labels, value)| (labels.to_string(), value)).collect();
        let value = |name: &str| found.get(name).copied();
        assert_eq!(value("prograde_requests_total{service=\"pad\"}"), Some(3.0));
        assert_eq!(
            value("prograde_request_duration_seconds_bucket{le=\"0.00128\", service=\"pad\"}"),
            Some(1.0),
            "{found:#?}"
        );
        assert_eq!(value("prograde_request_duration_seconds_bucket{le=\"0.00256\", service=\"pad\"}"), Some(2.0));
        assert_eq!(value("prograde_request_duration_seconds_bucket{le=\"10.48576\", service=\"pad\"}"), Some(2.0));
        assert_eq!(value("prograde_request_duration_seconds_bucket{le=\"+Inf\", service=\"pad\"}"), Some(3.0));
        assert_eq!(value("prograde_request_duration_seconds_sum{service=\"pad\"}"), Some(2.5));
    }
}
