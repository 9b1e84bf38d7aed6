//! The way to a cluster: a kubeconfig with its exec plugins, tokens and certificates, or the service account of a pod.
//! Invariant: no error tells what stands in a kubeconfig, which holds secrets.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kube::config::{Config, KubeConfigOptions, Kubeconfig, KubeconfigError};
use prograde_apps::application::Destination;

use crate::api::Api;

/// How long a connection may take to come about.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// How long the server may take for a part of an answer. A watch is shorter than that.
const READ_WAIT: Duration = Duration::from_mins(1);
/// The address under which a cluster knows itself.
const IN_CLUSTER: &str = "https://kubernetes.default.svc";

/// Why there is no way to a cluster.
#[derive(Debug, thiserror::Error)]
pub enum NoWay {
    /// The kubeconfig can't be used.
    #[error("the kubeconfig can't be used: {0}")]
    Kubeconfig(String),
    /// There is neither a kubeconfig nor a service account.
    #[error("there is no kubeconfig, and this is no pod with a service account")]
    Nothing,
    /// Its settings can't be used.
    #[error("the settings of the cluster `{0}` can't be used: {1}")]
    Settings(String, String),
}

/// A cluster that can be asked, and its names.
#[derive(Debug)]
pub struct Connection {
    /// The cluster.
    pub api: Arc<Api>,
    /// What it is called for people.
    pub shown: String,
    names: Vec<String>,
    server: String,
}

impl Connection {
    /// The way that a kubeconfig tells; without one `KUBECONFIG`, `~/.kube/config`, or the pod's service account.
    /// Runs in a runtime.
    pub async fn open(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Self, NoWay> {
        let read = kubeconfig.map_or_else(Kubeconfig::read, Kubeconfig::read_from);
        let absent = |error: &KubeconfigError| {
            let missing = |why: &std::io::Error| why.kind() == std::io::ErrorKind::NotFound;
            matches!(error, KubeconfigError::ReadConfig(why, _) if missing(why))
                || matches!(error, KubeconfigError::FindPath)
        };
        match read {
            Ok(found) => Self::configured(found, context).await,
            Err(error) if kubeconfig.is_none() && context.is_none() && absent(&error) => Self::in_cluster(),
            Err(error) => Err(NoWay::Kubeconfig(told(&error))),
        }
    }

    async fn configured(found: Kubeconfig, context: Option<&str>) -> Result<Self, NoWay> {
        let context = context.map(str::to_owned).or_else(|| found.current_context.clone()).unwrap_or_default();
        let entry = found.contexts.iter().find(|one| one.name == context);
        let Some(chosen) = entry.and_then(|one| one.context.as_ref()) else {
            let known: Vec<&str> = found.contexts.iter().map(|one| one.name.as_str()).collect();
            let why = if context.is_empty() {
                "it says no current context".to_owned()
            } else {
                format!("it has no context `{context}`, but {}", known.join(", "))
            };
            return Err(NoWay::Kubeconfig(why));
        };
        let names = vec![context.clone(), chosen.cluster.clone()];
        let options = KubeConfigOptions { context: Some(context.clone()), ..KubeConfigOptions::default() };
        let made = Config::from_custom_kubeconfig(found, &options).await;
        Self::new(made.map_err(|error| NoWay::Kubeconfig(told(&error)))?, context, names)
    }

    fn in_cluster() -> Result<Self, NoWay> {
        let config = Config::incluster().map_err(|_| NoWay::Nothing)?;
        Self::new(config, "in-cluster".to_owned(), Vec::new())
    }

    fn new(mut config: Config, shown: String, names: Vec<String>) -> Result<Self, NoWay> {
        config.connect_timeout = Some(CONNECT_WAIT);
        config.read_timeout = Some(READ_WAIT);
        config.reset_reader_on_write = true;
        // Requests are repeated here, where it is known which may be.
        config.default_retry = false;
        let server = config.cluster_url.to_string();
        let client = kube::Client::try_from(config).map_err(|error| {
            // What these say may be what a plugin printed.
            let is_secret = matches!(error, kube::Error::Auth(_));
            let why = if is_secret { "its credentials can't be used".to_owned() } else { error.to_string() };
            NoWay::Settings(shown.clone(), why)
        })?;
        Ok(Self { api: Arc::new(Api::new(client)), shown, names, server })
    }

    /// The address of its API server.
    pub fn address(&self) -> &str {
        &self.server
    }

    /// Whether this is the cluster that an application goes to: the one that runs Argo CD stands for any.
    pub fn is(&self, destination: &Destination) -> bool {
        if destination.server.is_empty() {
            return destination.name == "in-cluster" || self.names.contains(&destination.name);
        }
        let plain = |url: &str| url.trim_end_matches('/').trim_end_matches(":443").to_owned();
        plain(&destination.server) == IN_CLUSTER || plain(&destination.server) == plain(&self.server)
    }
}

/// What is wrong with a kubeconfig, without what stands in it.
fn told(error: &KubeconfigError) -> String {
    if let KubeconfigError::ReadConfig(why, path) = error {
        return format!("{}: {why}", path.display());
    }
    let quotes = matches!(error, KubeconfigError::Parse(_));
    if quotes { "it is no kubeconfig in YAML".to_owned() } else { error.to_string() }
}
