//! Why the server did not start, and what can be done about it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use prograde_gitops::git::GitError;
use prograde_journal::JournalError;
use prograde_model::Diagnostics;
use prograde_node::NodeError;
use prograde_observe::scrape::config;
use prograde_observe::tsdb::DatabaseError;
use prograde_sign::key::KeyError;
use prograde_supply::registry::RegistryError;
use prograde_supply::{SupplyError, client};

use crate::alerts::AlertsError;
use crate::metrics::MetricsError;
use crate::policies::NOT_AT_ADMISSION;
use crate::records::RecordsError;

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A folder or file of the data directory can't be made or read.
    #[error("can't use {}", .path.display())]
    DataDir {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another server uses the data directory.
    #[error("the data directory {} is in use by another server", .path.display())]
    Locked {
        /// Which.
        path: PathBuf,
    },
    /// The journal can't be used.
    #[error(transparent)]
    Journal(JournalError),
    /// The journal could not be replayed.
    #[error(transparent)]
    Replay(#[from] prograde_control::StartError),
    /// Somebody else listens there.
    #[error("{address} is in use by another program")]
    AddressInUse {
        /// Where.
        address: SocketAddr,
    },
    /// The address can't be listened on.
    #[error("can't listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Git can't be used.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The image layout can't be used.
    #[error(transparent)]
    Images(#[from] SupplyError),
    /// The registry can't be opened.
    #[error(transparent)]
    Registry(RegistryError),
    /// The key that signs images can't be used.
    #[error(transparent)]
    SigningKey(KeyError),
    /// Where images are to be pushed is no registry.
    #[error("images can't be pushed there: {0}")]
    PushTo(client::RegistryError),
    /// Whose signatures count can't be read.
    #[error(transparent)]
    Trust(Diagnostics),
    /// The local node can't start.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The store of time series can't be opened.
    #[error(transparent)]
    Metrics(DatabaseError),
    /// What is to be scraped or evaluated can't be read.
    #[error(transparent)]
    PrometheusConfig(Diagnostics),
    /// Who is told of alerts can't be read.
    #[error(transparent)]
    AlertmanagerConfig(Diagnostics),
    /// The policies that releases have to meet can't be evaluated.
    #[error(transparent)]
    Policies(Diagnostics),
    /// What Kubernetes is shown, or asked with, at admission can't be used.
    #[error(transparent)]
    Admission(Diagnostics),
    /// Who is on call can't be read, or can't be told.
    #[error(transparent)]
    OncallConfig(Diagnostics),
    /// Where action items get tickets can't be read.
    #[error(transparent)]
    TrackersConfig(Diagnostics),
    /// Which repositories are followed can't be read.
    #[error(transparent)]
    Upstreams(Diagnostics),
    /// Which applications are kept in clusters can't be read.
    #[error(transparent)]
    Applications(Diagnostics),
    /// Somebody is on call, and nothing says how they are told.
    #[error("`--oncall` says who is on call, and nothing says how they are told")]
    OncallAlone,
    /// The facts about alerts or incidents in the journal can't be gone on from.
    #[error(transparent)]
    Alerts(Box<dyn std::error::Error + Send + Sync>),
    /// The system gives no random bytes for a token.
    #[error("the system gives no random bytes")]
    Random,
}

impl From<RecordsError> for ServerError {
    fn from(error: RecordsError) -> Self {
        match error {
            RecordsError::Journal(error) => error.into(),
            error @ RecordsError::Fact { .. } => Self::Alerts(Box::new(error)),
        }
    }
}

impl ServerError {
    /// The stable code, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::DataDir { .. } => "PG0301",
            Self::Locked { .. } => "PG0302",
            Self::Journal(JournalError::DiskFull { .. }) => "PG0304",
            Self::Journal(JournalError::Broken { .. } | JournalError::Corrupt { .. }) => "PG0305",
            Self::Journal(_) | Self::Replay(_) | Self::Alerts(_) => "PG0303",
            Self::AddressInUse { .. } | Self::Listen { .. } => "PG0306",
            Self::Git(_) => "PG0307",
            Self::Images(_) => "PG0308",
            Self::Registry(_) => "PG0750",
            Self::SigningKey(error) => error.code(),
            Self::PushTo(_) => "PG0311",
            Self::Trust(_) => prograde_sign::codes::TRUST,
            Self::Node(error) => error.code(),
            Self::Metrics(error) => error.code(),
            Self::PrometheusConfig(found) => settings_code(found),
            Self::Policies(found) => of_policies(found),
            Self::Admission(_) => crate::admission::CODE,
            Self::AlertmanagerConfig(_) => prograde_notify::config::CODE,
            Self::OncallConfig(_) | Self::OncallAlone => crate::oncall::CODE,
            Self::TrackersConfig(_) => crate::trackers::config::CODE,
            Self::Upstreams(_) => crate::upstream::config::CODE,
            Self::Applications(_) => crate::applications::config::CODE,
            Self::Random => "PG0309",
        }
    }

    /// What can be done about it.
    pub fn hint(&self) -> String {
        match self {
            Self::DataDir { path, .. } => format!("make {} writable for this user, or choose another place with `--data-dir`", path.display()),
            Self::Locked { .. } => "stop that server, or choose another place with `--data-dir`; `prograde status` shows what it does".into(),
            Self::Journal(JournalError::DiskFull { .. }) => "make space; nothing that was recorded is lost".into(),
            Self::Journal(JournalError::Broken { .. } | JournalError::Corrupt { .. }) => {
                "keep the file, put a backup in its place, and find out who wrote to it; `prograde journal verify --offline` shows where".into()
            }
            Self::Journal(_) | Self::Replay(_) => "`prograde journal verify --offline` shows its state".into(),
            Self::AddressInUse { .. } | Self::Listen { .. } => "choose another address with `--listen`, such as `--listen 127.0.0.1:0` for any free port".into(),
            Self::Git(GitError::NotInstalled | GitError::TooOld { .. }) => {
                "install git 2.30 or later, such as with `apt-get install git`".into()
            }
            Self::Git(_) => "check the folders `repos` and `deployments` in the data directory, and that there is space".into(),
            Self::Images(_) => "check the folder `registry` in the data directory".into(),
            Self::Registry(_) => "`prograde explain PG0750` tells what can be in the way".into(),
            Self::SigningKey(_) => {
                "`signing/cosign.key` in the data directory is opened with the password in `signing/password` beside it, or in the file that \
                 `--signing-password-file` names: give it the one that it was made with"
                    .into()
            }
            Self::PushTo(_) => "name a registry's host and a path with `--push-to`, such as `ghcr.io/team`".into(),
            Self::Trust(_) => "correct the places named above".into(),
            Self::Node(_) => "the message names the place; free it, or change the manifest".into(),
            Self::PrometheusConfig(found) if settings_code(found) != config::CODE => {
                "correct the places named above; `prograde objectives check` reads the same files".into()
            }
            Self::PrometheusConfig(_) => "correct the places named above; `promtool check config` reads the same file".into(),
            Self::Metrics(DatabaseError::InUse { .. }) => "stop the process that has the folder `metrics` of the data directory open".into(),
            Self::Metrics(_) => format!("`prograde explain {}` says what can be done; nothing else in the data directory is touched", self.code()),
            Self::Policies(found) if of_policies(found) != prograde_policy::POLICY => {
                "follow the ways out named above, or leave `--admission-listen` out".into()
            }
            Self::Policies(_) => "correct the places named above; `prograde policy apply` reads the same files".into(),
            Self::Admission(_) => "correct the files named above".into(),
            Self::AlertmanagerConfig(_) => "correct the places named above; `amtool check-config` reads the same file".into(),
            Self::Alerts(_) => "`prograde journal verify --offline` shows the journal's state".into(),
            Self::OncallConfig(_) => "correct the places named above; `prograde oncall check --file FILE` reads the same file".into(),
            Self::TrackersConfig(_) => "correct the places named above; `prograde explain PG0705` shows a file".into(),
            Self::Upstreams(_) => "correct the places named above; `prograde explain PG0310` shows a file".into(),
            Self::Applications(_) => "correct the places named above; `prograde explain PG1386` shows a file".into(),
            Self::OncallAlone => "add `--alertmanager-config alertmanager.yml` with a receiver for each person".into(),
            Self::Random => "check /dev/urandom".into(),
        }
    }
}

/// The code of policies that only can't be held to at admission, else that of those that can't be evaluated.
fn of_policies(found: &Diagnostics) -> &'static str {
    let only = !found.0.is_empty() && found.0.iter().all(|one| one.code.as_str() == NOT_AT_ADMISSION);
    if only { NOT_AT_ADMISSION } else { prograde_policy::POLICY }
}

/// The code of what is wrong with files of objectives where only they are wrong, else that of `prometheus.yml`.
fn settings_code(found: &Diagnostics) -> &'static str {
    const OF_OBJECTIVES: [&str; 4] = ["PG0680", "PG0681", "PG0682", "PG0683"];
    let first = found.0.first().map_or("", |first| first.code.as_str());
    OF_OBJECTIVES.into_iter().find(|code| *code == first).unwrap_or(config::CODE)
}

impl From<MetricsError> for ServerError {
    fn from(error: MetricsError) -> Self {
        match error {
            MetricsError::Database(error) => Self::Metrics(error),
            MetricsError::Settings(found) => Self::PrometheusConfig(found),
        }
    }
}

impl From<AlertsError> for ServerError {
    fn from(error: AlertsError) -> Self {
        match error {
            AlertsError::Configuration(found) => Self::AlertmanagerConfig(found),
            AlertsError::Records(RecordsError::Journal(error)) => error.into(),
            error @ (AlertsError::Records(RecordsError::Fact { .. }) | AlertsError::Begin(_)) => {
                Self::Alerts(Box::new(error))
            }
        }
    }
}

impl From<JournalError> for ServerError {
    fn from(error: JournalError) -> Self {
        if let JournalError::Locked { path } = error {
            let path = path.parent().map_or_else(|| path.clone(), std::path::Path::to_path_buf);
            return Self::Locked { path };
        }
        Self::Journal(error)
    }
}
