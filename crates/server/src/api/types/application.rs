//! Wire types of applications that are kept in clusters.

use jiff::Timestamp;
use prograde_model::application::{Counts, Differing, Held};
use prograde_model::ids::{CommitId, ServiceName, SetName};
use serde::{Deserialize, Serialize};

/// A set of applications: a folder of a repository, kept in one cluster.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApplicationSetView {
    /// Its name.
    pub set: SetName,
    /// The repository.
    pub repository: ServiceName,
    /// The folder; empty for all of it.
    pub path: String,
    /// What the cluster is called; none before there was a way to it.
    pub cluster: Option<String>,
    /// The commit that was read last.
    pub commit: Option<CommitId>,
    /// When.
    pub read_at: Option<Timestamp>,
    /// Since when something keeps it from being kept, if something does.
    pub troubled_since: Option<Timestamp>,
    /// What.
    pub trouble: Option<String>,
}

/// An application that is kept in a cluster.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApplicationView {
    /// Its set.
    pub set: SetName,
    /// Its name.
    pub application: String,
    /// Whether it follows Git by itself; none where its files could not be used since the server began.
    pub automated: Option<bool>,
    /// The commit that it is compared with.
    pub commit: Option<CommitId>,
    /// The digest of what was wanted last.
    pub revision: Option<String>,
    /// `synced`, `syncing`, `differs`, `held`, `failed`, `leaving`, `unusable` or `unknown`.
    pub sync: String,
    /// `healthy`, `suspended`, `progressing`, `missing`, `degraded` or `unknown`.
    pub health: String,
    /// Since when it stands so.
    pub since: Option<Timestamp>,
    /// Why; empty where that needs no saying.
    pub why: String,
    /// What the last sync did.
    pub counts: Option<Counts>,
    /// The first objects that are not as Git says.
    pub differing: Vec<Differing>,
    /// The first objects that are not deleted until a person says so.
    pub held: Vec<Held>,
    /// The first objects that are not healthy.
    pub ailing: Vec<String>,
}

/// All applications that are kept in clusters.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApplicationsView {
    /// The sets.
    pub sets: Vec<ApplicationSetView>,
    /// Their applications.
    pub applications: Vec<ApplicationView>,
}

/// Synchronises an application.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyncRequest {
    /// Whether what Git names no longer is deleted.
    #[serde(default)]
    pub prune: bool,
    /// Whether all of it may go.
    #[serde(default)]
    pub confirm_prune: bool,
    /// Who.
    pub by: String,
}
