//! The server's settings, all but the data directory with a default.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use prograde_model::ids::ServiceName;
use prograde_scan::severity::Severity;
use prograde_supply::client::ClientOptions;

use crate::admission::AdmissionOptions;

/// The repositories whose automations of images the server carries out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Automated {
    /// All that it holds.
    All,
    /// These; it may be none.
    Only(BTreeSet<ServiceName>),
}

impl Automated {
    pub(crate) fn has(&self, name: &ServiceName) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(name),
        }
    }
}

/// How the server works. Start from [`ServerOptions::new`].
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Where everything is kept. Made if missing, for this user alone. One server at a time may use it.
    pub data_dir: PathBuf,
    /// Where the API listens; default `127.0.0.1:7878`. Whoever reaches it and has the token may run code here.
    pub listen: SocketAddr,
    /// Where services listen; default `127.0.0.1`.
    pub node_address: IpAddr,
    /// What pipelines may keep between runs (`runner.tool_cache`); default `cache` in the data directory.
    pub cache_dir: PathBuf,
    /// Where news for authors is posted as JSON, if anywhere.
    pub notify_webhook: Option<String>,
    /// Where the bearer tokens lie that metrics' providers may be shown, each in a folder named after the only address that
    /// it is shown to, `HOST:PORT`; none by default.
    pub metric_tokens: Option<PathBuf>,
    /// Names, or `PREFIX_*`, of variables that pipelines take over from the server's environment, beside the defaults.
    pub ci_pass_env: Vec<String>,
    /// The server's environment.
    pub host_env: BTreeMap<String, String>,
    /// How long a replica that failed twice waits before it is started again; doubles each time. Default 10 s.
    pub restart_backoff: Duration,
    /// How often the number of replicas is looked at where an autoscaler says so. Default 15 s, as Kubernetes has it.
    pub autoscale_period: Duration,
    /// The `prometheus.yml` that says what is scraped and which rules are evaluated; none by default.
    pub prometheus_config: Option<PathBuf>,
    /// Another server with Prometheus' HTTP API, asked in place of the embedded store; none by default.
    pub prometheus_url: Option<String>,
    /// A file with the bearer token that it is shown; none by default.
    pub prometheus_token_file: Option<PathBuf>,
    /// The `alertmanager.yml` that says who is told of which alerts; none by default.
    pub alertmanager_config: Option<PathBuf>,
    /// The `oncall.yaml` that says who is on call and whom pages reach; none by default.
    pub oncall: Option<PathBuf>,
    /// The file that says in which trackers action items get tickets; none by default.
    pub trackers: Option<PathBuf>,
    /// The file that says which repositories on Git hosts are followed; none by default.
    pub upstreams: Option<PathBuf>,
    /// The program that renders charts; without it they are refused.
    pub helm: Option<PathBuf>,
    /// The file that says which applications are kept in which clusters; none by default.
    pub applications: Option<PathBuf>,
    /// The repositories in which an `ImageUpdateAutomation` is carried out; all by default.
    pub image_automations: Automated,
    /// The file with what registries show with their messages; without it they have nothing to say.
    pub image_webhook_secret: Option<PathBuf>,
    /// Where people find the server, where that is not the address that it listens on: stands in what they are told.
    pub external_url: Option<String>,
    /// Files and folders of policies that releases have to meet; none by default.
    pub policies: Vec<PathBuf>,
    /// How Kubernetes asks the policies at admission; not by default.
    pub admission: Option<AdmissionOptions>,
    /// The set of policies that ships and holds besides; default `baseline`, the Pod Security Standard.
    pub policy_set: String,
    /// How bad a finding in a commit must be to stop it; default high, none where nothing does.
    pub scan_fail_on: Option<Severity>,
    /// The database of vulnerabilities in which packages are looked up; default `vulnerabilities.db` in the data directory.
    pub vulnerability_db: Option<PathBuf>,
    /// The file that says whose signatures of images count; default the server's own key alone.
    pub trust: Option<PathBuf>,
    /// Where images of releases are pushed as well, with what vouches for them: a registry's host and a path, below which each
    /// service has its repository, such as `ghcr.io/team`; nowhere by default.
    pub push_to: Option<String>,
    /// How other registries are asked: for bases of images, and where they are pushed to.
    pub registries: ClientOptions,
    /// The file with the password of the key that signs images; default one that is drawn, in the data directory.
    pub signing_password_file: Option<PathBuf>,
    /// Files and folders of objectives, of `OpenSLO` or Sloth; none by default.
    pub objectives: Vec<PathBuf>,
    /// Whether the status page at `/status` is shown without the token; no by default.
    pub public_status: bool,
    /// Whether images can be pulled from the registry without the token; no by default.
    pub registry_anonymous_pull: bool,
    /// A regular expression: tags in the registry that it matches can't be moved or deleted once they are set. None by
    /// default; tags of flights' images never can.
    pub registry_immutable_tags: Option<String>,
    /// For how long time series are kept. Default 15 days, as Prometheus has it.
    pub metrics_retention: Duration,
    /// For how long unpacked images that nothing runs, and artifacts of flights that have ended, are kept. Default 7 days.
    pub keep_unused: Duration,
}

impl ServerOptions {
    /// Where people find the server, which listens on an address, without `/` at the end.
    pub(crate) fn url(&self, address: SocketAddr) -> String {
        let url = self.external_url.clone().unwrap_or_else(|| format!("http://{address}"));
        url.trim_end_matches('/').to_owned()
    }

    /// The defaults, with everything kept in `data_dir`.
    pub fn new(data_dir: PathBuf) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7878)),
            node_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            cache_dir: data_dir.join("cache"),
            notify_webhook: None,
            metric_tokens: None,
            ci_pass_env: Vec::new(),
            host_env: BTreeMap::new(),
            restart_backoff: Duration::from_secs(10),
            autoscale_period: Duration::from_secs(15),
            prometheus_config: None,
            prometheus_url: None,
            prometheus_token_file: None,
            alertmanager_config: None,
            oncall: None,
            trackers: None,
            upstreams: None,
            helm: None,
            applications: None,
            image_automations: Automated::All,
            image_webhook_secret: None,
            external_url: None,
            policies: Vec::new(),
            admission: None,
            policy_set: crate::policies::DEFAULT_SET.to_owned(),
            scan_fail_on: Some(Severity::High),
            vulnerability_db: None,
            trust: None,
            push_to: None,
            registries: ClientOptions::default(),
            signing_password_file: None,
            objectives: Vec::new(),
            public_status: false,
            registry_anonymous_pull: false,
            registry_immutable_tags: None,
            metrics_retention: Duration::from_hours(15 * 24),
            keep_unused: Duration::from_hours(7 * 24),
            data_dir,
        }
    }
}
