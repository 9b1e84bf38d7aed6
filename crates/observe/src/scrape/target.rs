//! What becomes of a discovered target: its labels after relabelling, and the address that is asked.
//!
//! Source: Prometheus documentation, "Configuration", `relabel_config`; Prometheus 2.42, `scrape/target.go`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hash::{Hash as _, Hasher as _};

use siphasher::sip::SipHasher13;

use super::config::{ScrapeJob, TargetGroup};
use crate::labels::Labels;
use crate::relabel;
use prograde_model::duration;

const ADDRESS: &str = "__address__";
const SCHEME: &str = "__scheme__";
const PATH: &str = "__metrics_path__";
const INTERVAL: &str = "__scrape_interval__";
const TIMEOUT: &str = "__scrape_timeout__";
const PARAMETER: &str = "__param_";
const META: &str = "__meta_";

/// Something to scrape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Labels as they were found, before relabelling.
    pub discovered: Labels,
    /// Labels that its samples get.
    pub labels: Labels,
    /// What is asked, with scheme, path and parameters.
    pub url: String,
    /// How far apart its scrapes are.
    pub interval_ms: i64,
    /// How long a scrape may take.
    pub timeout_ms: i64,
}

impl Target {
    /// The same for the same target, in any run: what decides at which moment of the interval it is scraped.
    pub(crate) fn hash(&self) -> u64 {
        let mut hasher = SipHasher13::new();
        self.labels.hash(&mut hasher);
        self.url.hash(&mut hasher);
        hasher.finish()
    }
}

/// Why something is no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Nothing says where it is.
    #[error("no address")]
    NoAddress,
    /// The address holds a scheme or a path.
    #[error("`{0}` is not an address")]
    Address(String),
    /// Neither http nor https.
    #[error("unknown scheme `{0}`")]
    Scheme(String),
    /// Relabelling has left no interval or timeout that can be kept.
    #[error("`{value}` is no {what} of a scrape")]
    Duration {
        /// Interval or timeout.
        what: &'static str,
        /// What relabelling has made of it.
        value: String,
    },
    /// The timeout is longer than the interval.
    #[error("the timeout {timeout} is longer than the interval {interval}")]
    TimeoutTooLong {
        /// The timeout.
        timeout: String,
        /// The interval.
        interval: String,
    },
}

/// What is no target, as it was found, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoTarget {
    /// Labels as they were found.
    pub discovered: Labels,
    /// Why it is none.
    pub error: TargetError,
}

/// What is made of each address of a group: `Ok(Err)` has been dropped by relabelling, with its labels before.
pub(crate) fn of_group(job: &ScrapeJob, group: &TargetGroup) -> Vec<Result<Result<Target, Labels>, NoTarget>> {
    let with_address = |address: &String| {
        let pairs = group.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let labels: Labels = pairs.chain([(ADDRESS, address.as_str())]).collect();
        let discovered = discovered(job, labels);
        of_labels(job, &discovered).map_err(|error| NoTarget { discovered, error })
    };
    group.addresses.iter().map(with_address).collect()
}

/// The labels before relabelling: those of the job where there are none.
fn discovered(job: &ScrapeJob, labels: Labels) -> Labels {
    let (interval, timeout) = (duration::format(job.interval_ms), duration::format(job.timeout_ms));
    let defaults = [
        ("job", job.name.as_str()),
        (INTERVAL, &interval),
        (TIMEOUT, &timeout),
        (PATH, &job.metrics_path),
        (SCHEME, &job.scheme),
    ];
    let mut labels =
        defaults.into_iter().fold(
            labels,
            |labels, (name, value)| {
                if labels.get(name).is_empty() { labels.with(name, value) } else { labels }
            },
        );
    for (name, values) in &job.params {
        if let Some(first) = values.first() {
            labels = labels.with(&format!("{PARAMETER}{name}"), first);
        }
    }
    labels
}

fn of_labels(job: &ScrapeJob, discovered: &Labels) -> Result<Result<Target, Labels>, TargetError> {
    let Some(labels) = relabel::apply(&job.relabelling, discovered) else { return Ok(Err(discovered.clone())) };
    let scheme = labels.get(SCHEME);
    let scheme = if scheme.is_empty() { "http" } else { scheme };
    let address = address(labels.get(ADDRESS), scheme)?;
    let interval_ms = milliseconds(labels.get(INTERVAL), "interval")?;
    let timeout_ms = milliseconds(labels.get(TIMEOUT), "timeout")?;
    if timeout_ms > interval_ms {
        let (timeout, interval) = (labels.get(TIMEOUT).to_owned(), labels.get(INTERVAL).to_owned());
        return Err(TargetError::TimeoutTooLong { timeout, interval });
    }
    let labels = labels.retain(|name| !name.starts_with(META)).with(ADDRESS, &address);
    let labels = if labels.get("instance").is_empty() { labels.with("instance", &address) } else { labels };
    let url = url(job, &labels, scheme, &address);
    let labels = labels.retain(|name| !name.starts_with("__"));
    Ok(Ok(Target { discovered: discovered.clone(), labels, url, interval_ms, timeout_ms }))
}

/// The address with a port.
fn address(text: &str, scheme: &str) -> Result<String, TargetError> {
    if text.is_empty() {
        return Err(TargetError::NoAddress);
    }
    let port = match scheme {
        "http" => 80,
        "https" => 443,
        other => return Err(TargetError::Scheme(other.to_owned())),
    };
    let has_port = has_port(text);
    let address = if !has_port && has_port_with(text) { format!("{text}:{port}") } else { text.to_owned() };
    let is_authority = address.parse::<http::uri::Authority>().is_ok_and(|found| !found.as_str().contains('@'));
    if address.contains('/') || !is_authority {
        return Err(TargetError::Address(text.to_owned()));
    }
    Ok(address)
}

/// True of `host:port` and `[address]:port`.
fn has_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let is_host = if host.starts_with('[') { host.ends_with(']') } else { !host.contains([':', '[', ']']) };
    is_host && !port.contains([':', '[', ']'])
}

fn has_port_with(text: &str) -> bool {
    has_port(&format!("{text}:1"))
}

fn milliseconds(text: &str, what: &'static str) -> Result<i64, TargetError> {
    duration::parse(text).ok_or_else(|| TargetError::Duration { what, value: text.to_owned() })
}

fn url(job: &ScrapeJob, labels: &Labels, scheme: &str, address: &str) -> String {
    let mut parameters: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, values) in &job.params {
        parameters.insert(name, values.iter().map(String::as_str).collect());
    }
    for label in labels.iter() {
        let Some(name) = label.name.strip_prefix(PARAMETER) else { continue };
        let values = parameters.entry(name).or_default();
        match values.first_mut() {
            Some(first) => *first = &label.value,
            None => values.push(&label.value),
        }
    }
    let path = labels.get(PATH);
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut url = format!("{scheme}://{address}{slash}{}", escaped(path, b"/$&+,:;=@-_.~!*'()"));
    let mut mark = '?';
    for (name, values) in parameters {
        for value in values {
            // Writing to a text can't fail.
            let _ = write!(url, "{mark}{}={}", in_query(name), in_query(value));
            mark = '&';
        }
    }
    url
}

/// As forms write it.
fn in_query(text: &str) -> String {
    escaped(text, b"-_.~ ").replace(' ', "+")
}

/// Escapes all but letters, digits and what is plain in this place.
fn escaped(text: &str, plain: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
