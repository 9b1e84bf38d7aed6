//! `prometheus.yml` as Prometheus 2.42 reads it: what is scraped, how, and how often.
//!
//! [`parse`] tells all findings of a file at once. What Prometheus knows and Prograde does not do is refused by name where
//! leaving it out would lose something (`remote_write`, discovery by a platform's API, proxies), and told as a notice where
//! it is about Prometheus' own process (`storage`, `tracing`, `query_log_file`). Beyond 2.42, the limits of a job may be
//! given for all jobs under `global`, as later versions have it.
//!
//! Source: Prometheus documentation, "Configuration"; Prometheus 2.42, `config`.

mod file;
mod http;
mod job;
pub(crate) mod reader;
mod relabel;
mod replicas;
mod size;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use prograde_model::diagnostic::Diagnostic;

pub use file::{load, parse};
pub use replicas::Replicas;

use crate::relabel::Rule;

/// The code of findings about what is wrong.
pub const CODE: &str = "PG0620";
/// The code of findings about what Prometheus does and Prograde does not.
pub const CODE_UNSUPPORTED: &str = "PG0621";
/// The code of notices about what is left aside.
pub const CODE_ASIDE: &str = "PG0622";

/// A whole `prometheus.yml`.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// What holds for all.
    pub global: Global,
    /// Files of rules, with `*` in the last part of a path; relative ones have been joined to the folder of this file.
    pub rule_files: Vec<PathBuf>,
    /// What is scraped, in the order of the file.
    pub jobs: Vec<ScrapeJob>,
    /// Whom alerts are sent to.
    pub alertmanagers: Vec<Alertmanagers>,
    /// What is done to an alert's labels before it is sent.
    pub alert_relabelling: Vec<Rule>,
    /// What was left aside; for people.
    pub notices: Vec<Diagnostic>,
}

/// `global`
#[derive(Debug, Clone, PartialEq)]
pub struct Global {
    /// How far apart scrapes are, where the job does not say it.
    pub scrape_interval_ms: i64,
    /// How long a scrape may take, where the job does not say it.
    pub scrape_timeout_ms: i64,
    /// How far apart evaluations of rules are.
    pub evaluation_interval_ms: i64,
    /// Labels that tell this installation from others when alerts leave it.
    pub external_labels: Vec<(String, String)>,
    /// Limits of jobs that do not say them.
    pub limits: Limits,
}

impl Default for Global {
    fn default() -> Self {
        Self {
            scrape_interval_ms: 60_000,
            scrape_timeout_ms: 10_000,
            evaluation_interval_ms: 60_000,
            external_labels: Vec::new(),
            limits: Limits::default(),
        }
    }
}

/// What a scrape may have at most; a scrape that has more is refused as a whole. None is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of an uncompressed body; never more than [`BODY_BYTES_MAX`](super::BODY_BYTES_MAX).
    pub body_bytes: Option<u64>,
    /// Samples after relabelling.
    pub samples: Option<u64>,
    /// Labels of a series after relabelling.
    pub labels: Option<u64>,
    /// Bytes of a label's name.
    pub label_name_bytes: Option<u64>,
    /// Bytes of a label's value.
    pub label_value_bytes: Option<u64>,
    /// Targets of a job after relabelling; where there are more, none is scraped.
    pub targets: Option<u64>,
}

/// One of `scrape_configs`.
#[derive(Debug, Clone, PartialEq)]
pub struct ScrapeJob {
    /// Its name, one of a kind.
    pub name: String,
    /// Whose labels hold where target and sample have the same ones: the sample's, or the target's.
    pub honor_labels: bool,
    /// Whether timestamps that the target gives are taken.
    pub honor_timestamps: bool,
    /// Parameters of the request.
    pub params: BTreeMap<String, Vec<String>>,
    /// How far apart scrapes are.
    pub interval_ms: i64,
    /// How long a scrape may take; not longer than the interval.
    pub timeout_ms: i64,
    /// The path that is asked for.
    pub metrics_path: String,
    /// `http` or `https`.
    pub scheme: String,
    /// How targets are spoken to.
    pub http: HttpSettings,
    /// Targets that are named in the file, or by code.
    pub targets: Vec<TargetGroup>,
    /// Files that name targets.
    pub target_files: Vec<TargetFiles>,
    /// Replicas of the local node, which are given while it runs.
    pub replicas: Vec<Replicas>,
    /// What is done to a target's labels; may drop it.
    pub relabelling: Vec<Rule>,
    /// What is done to a sample's labels; may drop it.
    pub metric_relabelling: Vec<Rule>,
    /// What a scrape may have at most.
    pub limits: Limits,
}

impl ScrapeJob {
    /// A job of the local node's replicas that names no target of its own: all of them are given while it runs.
    pub fn local_node(name: impl Into<String>, interval_ms: i64) -> Self {
        let timeout_ms = interval_ms.min(Global::default().scrape_timeout_ms);
        Self { interval_ms, timeout_ms, replicas: vec![Replicas::default()], ..Self::named(name.into()) }
    }

    fn named(name: String) -> Self {
        let global = Global::default();
        Self {
            name,
            honor_labels: false,
            honor_timestamps: true,
            params: BTreeMap::new(),
            interval_ms: global.scrape_interval_ms,
            timeout_ms: global.scrape_timeout_ms,
            metrics_path: "/metrics".to_owned(),
            scheme: "http".to_owned(),
            http: HttpSettings::default(),
            targets: Vec::new(),
            target_files: Vec::new(),
            replicas: Vec::new(),
            relabelling: Vec::new(),
            metric_relabelling: Vec::new(),
            limits: Limits::default(),
        }
    }
}

/// Targets that have labels in common.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetGroup {
    /// Where they are found: `host:port`.
    pub addresses: Vec<String>,
    /// Labels of all of them.
    pub labels: Vec<(String, String)>,
}

/// `file_sd_configs`: files that name targets, read again whenever they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetFiles {
    /// Paths with `*` in their last part.
    pub files: Vec<PathBuf>,
}

/// How a target is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// What says who asks.
    pub credentials: Option<Credentials>,
    /// How it is known whom one speaks to.
    pub tls: Tls,
    /// Whether an answer that names another address is followed.
    pub follow_redirects: bool,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self { credentials: None, tls: Tls::default(), follow_redirects: true }
    }
}

/// What is sent as `Authorization`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// `Basic`
    Basic {
        /// The user's name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// Any other scheme with a text, such as `Bearer`.
    Token {
        /// The scheme.
        scheme: String,
        /// The text.
        token: Secret,
    },
}

/// A text that is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// As it stands in the file.
    Text(String),
    /// The content of a file, which is read for each request.
    File(PathBuf),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("<secret>"),
            Self::File(path) => write!(f, "<secret in {}>", path.display()),
        }
    }
}

/// `tls_config`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Whose certificates are trusted, instead of those that the system trusts.
    pub ca_file: Option<PathBuf>,
    /// What this side shows, and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name that the other side's certificate must have, where it is not the address's.
    pub server_name: Option<String>,
    /// Trusts whoever answers.
    pub insecure_skip_verify: bool,
}

/// One of `alerting.alertmanagers`.
#[derive(Debug, Clone, PartialEq)]
pub struct Alertmanagers {
    /// `http` or `https`.
    pub scheme: String,
    /// What comes before the API's path.
    pub path_prefix: String,
    /// How long a request may take.
    pub timeout_ms: i64,
    /// How they are spoken to.
    pub http: HttpSettings,
    /// Where they are.
    pub targets: Vec<TargetGroup>,
    /// What is done to a target's labels; may drop it.
    pub relabelling: Vec<Rule>,
}
