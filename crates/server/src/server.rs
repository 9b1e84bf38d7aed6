//! The whole server: opens the parts in the order in which they need each other, and closes them in reverse.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use prograde_control::ports::EventLog;
use prograde_control::{Clock as _, Control, Options, Ports, StartError, SystemClock};
use prograde_gitops::deploy::Deployments;
use prograde_gitops::git::Repositories;
use prograde_journal::{Journal, JournalError};
use prograde_node::{Node, NodeOptions};
use prograde_notify::config::Secret;
use prograde_scan::commit::Limits;
use prograde_supply::client::Client as Registries;
use prograde_supply::registry::{self, Anonymous, Hooks, OneToken, Registry, Settings};
use prograde_supply::{Layout, SupplyError};
use tokio::net::TcpListener;
use tokio::sync::RwLock;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::adapters::admission::AsPoliciesSay;
use crate::adapters::deployments::GitDeployments;
use crate::adapters::images::LayoutImages;
use crate::adapters::jobs::NodeJobs;
use crate::adapters::log::JournalLog;
use crate::adapters::measures::HttpMeasures;
use crate::adapters::notifier::Notifiers;
use crate::adapters::pipelines::WorkflowPipelines;
use crate::adapters::prober::HttpProber;
use crate::adapters::runtime::LocalRuntime;
use crate::adapters::scanner::CommitScanner;
use crate::adapters::source::{HostedSource, ReadFrom};
use crate::admission::Admission;
use crate::alerts;
use crate::api::{self, Context};
use crate::applications::{self, Sets};
use crate::auth::{self, PageKey};
use crate::automations::marks::Marks;
use crate::automations::{self, Automations};
use crate::bases::Bases;
use crate::by_hand::ByHand;
use crate::data_dir::DataDir;
use crate::error::ServerError;
use crate::evidence::Vouching;
use crate::incidents::Desk;
use crate::metrics::elsewhere::Elsewhere;
use crate::metrics::objectives::Budgets;
use crate::metrics::{Asking, Metrics, MetricsOptions, Prepared};
use crate::options::ServerOptions;
use crate::policies::InForce;
use crate::records::Kept;
use crate::tidying::{Places, Tidying};
use crate::trackers;
use crate::upstream::{self, Upstreams};

/// How long replicas may take to finish their requests when the server stops.
const STOP_GRACE: Duration = Duration::from_secs(30);
/// How long clients' requests may take to end then.
const ANSWER_GRACE: Duration = Duration::from_secs(5);

/// Variables that pipelines take over from the server's environment besides those that are asked for: where toolchains
/// and their registries are found. Where they build to (`CARGO_TARGET_DIR`) and with which version is the repository's own
/// affair.
const CI_PASS_ENV: [&str; 20] = [
    "CARGO_HOME",
    "CARGO_HTTP_*",
    "CARGO_NET_*",
    "RUSTUP_HOME",
    "GOPATH",
    "GOPROXY",
    "GOROOT",
    "GOFLAGS",
    "GOSUMDB",
    "NPM_CONFIG_*",
    "npm_config_*",
    "PIP_*",
    "JAVA_HOME",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_*",
];

/// The running server.
pub struct Server {
    address: SocketAddr,
    data: DataDir,
    context: Context,
    serving: JoinHandle<()>,
    policies: InForce,
    admission: Option<Admission>,
    tidying: Tidying,
}

impl Server {
    /// Starts everything; what was under way when the last server ended goes on.
    pub async fn start(options: ServerOptions) -> Result<Self, ServerError> {
        let trackers = read_trackers(&options)?;
        let followed = upstream::read(options.upstreams.as_deref()).map_err(ServerError::Upstreams)?;
        let declared = read_applications(&options)?;
        let data = DataDir::open(&options.data_dir)?;
        let (journal, token) = (open_journal(&data)?, data.token()?);
        let (listener, address) = listen(options.listen).await?;

        let url: &str = &options.url(address);
        let (repositories, deployments, bases) = open_git(&data, (url, &options), &followed).await?;
        let registry = open_registry(&options, &data).await?;
        let node = start_node(&options, &data).await?;
        let (prepared, alerting) = prepare(&options, &data, url).await?;
        let incidents = Desk::open(journal.clone()).await?;
        let observed = (prepared.asking(), prepared.budgets(), prepared.elsewhere());
        let vouching = Vouching::open(&options, &data, registry.clone(), url)?;
        let policies = InForce::read(&options, vouching.is_rooted()).map_err(ServerError::Policies)?;
        let runtime = local(&node, &registry, &data, &vouching);
        let rules = (policies.clone(), &vouching);
        let marks = Marks::new(repositories.clone(), options.image_automations.clone());
        let (source, read_from) = hosted(&repositories, &declared, &marks);
        let git = (source, &repositories, &deployments, &bases);
        let mut ports = ports(&options, &data, git, &registry, &runtime, observed, rules);
        ports.holds.push(Arc::new(incidents.clone()));
        let control = start_control(&options, ports, &journal, &vouching).await?;

        let handled = alerts::start(alerting, (url, &token), journal.clone(), control.clone()).await?;
        let telling = handled.as_ref().map(|handled| handled.alerts.clone());
        let metrics = Metrics::start(prepared, (control.clone(), node.clone()), telling).await;

        let filing = trackers.map(|trackers| trackers::start(trackers, incidents.clone(), url));
        incidents.follow(control.clone(), handled.as_ref().and_then(|handled| handled.pages.clone()));

        let admission = Admission::start(&options, policies.clone(), vouching.clone()).await?;
        let by_hand = ByHand::start(control.clone(), Arc::clone(&deployments));
        let upstreams = exchange(&options, followed, (&control, &repositories), (&deployments, &by_hand), &bases);
        let git = (&repositories, (&*deployments, &bases), &upstreams, read_from);
        let automations = automate(&options, marks, (&control, &repositories, &upstreams), &registry, (address, url));
        let rules = (&policies, &vouching);
        let applications = keep_applications(&options, declared, (&control, &journal), git, (rules, url)).await?;
        let registry = registry_router(registry, &options, &token, (&control, &policies, &vouching));
        let context = Context {
            upstreams,
            automations,
            applications,
            by_hand,
            elsewhere: metrics.elsewhere(),
            metrics,
            handled,
            page_key: PageKey::new(&token),
            incidents,
            filing,
            runbooks: Kept::open(journal.clone()).await?,
            public_status: options.public_status,
            control: control.clone(),
            journal,
            repositories,
            deployments,
            vouching,
            node,
            ci: data.ci(),
            flag_token: auth::flag_token(&token),
            orders: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        let serving = serve(listener, api::router(context.clone(), &token).merge(registry), context.stop.clone());
        data.announce(address)?;
        let tidying = Tidying::start(Places { control, runtime, ci: data.ci(), unused: options.keep_unused });
        Ok(Self { address, data, context, serving, policies, admission, tidying })
    }

    /// Where the API listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The file with the token that clients must show.
    pub fn token_file(&self) -> PathBuf {
        self.data.token_file()
    }

    /// Reads all files again that say what is observed and who is told, and goes on with what they say. Where anything is wrong
    /// with those of one part, that part goes on with what they said before.
    pub async fn reload(&self) -> Result<(), ServerError> {
        let observing = self.context.metrics.reload().await.map_err(ServerError::PrometheusConfig);
        let telling = match &self.context.handled {
            Some(handled) => handled.reload().await,
            None => Ok(()),
        };
        let policies = self.policies.read_again().map_err(ServerError::Policies);
        let showing = self.admission.as_ref().map_or(Ok(()), Admission::reload);
        let following = self.context.upstreams.reload().await.map_err(ServerError::Upstreams);
        let keeping = self.context.applications.reload().await.map_err(ServerError::Applications);
        observing.and(telling).and(policies).and(showing).and(following).and(keeping)
    }

    /// Stops taking requests, then deciding, then the replicas, each when what needs it has stopped.
    pub async fn shutdown(mut self) {
        self.context.stop.cancel();
        if tokio::time::timeout(ANSWER_GRACE, &mut self.serving).await.is_err() {
            self.serving.abort();
        }
        self.context.orders.close();
        if tokio::time::timeout(ANSWER_GRACE, self.context.orders.wait()).await.is_err() {
            tracing::error!("{} orders were not carried out to their end", self.context.orders.len());
        }
        if let Some(admission) = self.admission.take() {
            admission.shutdown().await;
        }
        self.context.metrics.shutdown().await;
        if let Some(handled) = &self.context.handled {
            handled.shutdown().await;
        }
        if let Some(filing) = &self.context.filing {
            filing.shutdown().await;
        }
        self.context.incidents.shutdown().await;
        self.context.upstreams.shutdown().await;
        self.context.automations.shutdown().await;
        self.context.applications.shutdown().await;
        self.context.by_hand.shutdown().await;
        self.context.control.shutdown().await;
        self.tidying.shutdown().await;
        self.context.node.shutdown(STOP_GRACE).await;
        if let Err(error) = self.context.journal.close().await {
            tracing::error!("the journal could not be closed: {error}");
        }
        self.data.withdraw();
    }
}

/// The journal's lock is the data directory's: nothing else is touched before it is held.
fn open_journal(data: &DataDir) -> Result<Journal, ServerError> {
    let journal = Journal::open(&data.journal())?;
    data.empty_scans()?;
    Ok(journal)
}

/// The repositories that are held, the one that says what should run, and where what manifests name beside them comes from.
async fn open_git(
    data: &DataDir,
    reached: (&str, &ServerOptions),
    followed: &upstream::config::Upstreamed,
) -> Result<(Repositories, Arc<Deployments>, Bases), ServerError> {
    let repositories = Repositories::open(data.repos()).await?;
    let bases = Bases::new(data, reached, &repositories, followed);
    Ok((repositories, Arc::new(Deployments::open(data.deployments()).await?), bases))
}

/// The applications that are kept in clusters.
async fn keep_applications(
    options: &ServerOptions,
    declared: applications::config::Declaration,
    (control, journal): (&Control, &Journal),
    (repositories, (deployments, bases), upstreams, read_from): (
        &Repositories,
        (&Deployments, &Bases),
        &Upstreams,
        ReadFrom,
    ),
    ((policies, vouching), url): ((&InForce, &Vouching), &str),
) -> Result<Sets, ServerError> {
    let made_of = applications::Parts {
        control: control.clone(),
        repositories: repositories.clone(),
        deployments: deployments.repository().clone(),
        upstreams: upstreams.clone(),
        read_from,
        url: url.to_owned(),
        kept: Kept::open(journal.clone()).await?,
        policies: policies.clone(),
        vouching: vouching.clone(),
        bases: bases.clone(),
    };
    Ok(Sets::start(options.applications.clone(), declared, made_of).await)
}

/// The repositories on Git hosts.
fn exchange(
    options: &ServerOptions,
    declared: upstream::config::Upstreamed,
    (control, repositories): (&Control, &Repositories),
    (deployments, by_hand): (&Arc<Deployments>, &ByHand),
    bases: &Bases,
) -> Upstreams {
    let (control, repositories, by_hand) = (control.clone(), repositories.clone(), by_hand.clone());
    let (deployments, bases) = (Arc::clone(deployments), bases.clone());
    let parts = upstream::Parts { control, repositories, deployments, by_hand, bases };
    Upstreams::start(options.upstreams.clone(), declared, parts)
}

/// The source of commits, and where it is told which repositories applications are read from.
fn hosted(
    repositories: &Repositories,
    declared: &applications::config::Declaration,
    marks: &Marks,
) -> (Arc<HostedSource>, ReadFrom) {
    let read_from = ReadFrom::default();
    read_from.set(declared.repositories());
    (Arc::new(HostedSource::new(repositories.clone(), read_from.clone(), marks.clone())), read_from)
}

/// The images that are kept up to date.
fn automate(
    options: &ServerOptions,
    marks: Marks,
    (control, repositories, upstreams): (&Control, &Repositories, &Upstreams),
    registry: &Registry,
    (address, url): (SocketAddr, &str),
) -> Automations {
    Automations::start(automations::Parts {
        control: control.clone(),
        repositories: repositories.clone(),
        upstreams: upstreams.clone(),
        marks,
        registry: registry.clone(),
        registries: options.registries.clone(),
        own: automations::own_hosts(address, url),
        webhook: options.image_webhook_secret.clone().map(Secret::File),
    })
}

fn read_applications(options: &ServerOptions) -> Result<applications::config::Declaration, ServerError> {
    applications::config::read(options.applications.as_deref()).map_err(ServerError::Applications)
}

fn read_trackers(options: &ServerOptions) -> Result<Option<trackers::Trackers>, ServerError> {
    options.trackers.as_deref().map(trackers::read).transpose().map_err(ServerError::TrackersConfig)
}

/// The images that flights built and that people pushed.
async fn open_registry(options: &ServerOptions, data: &DataDir) -> Result<Registry, ServerError> {
    let mut settings = Settings::new(Arc::new(|| SystemClock.now()));
    settings.immutable_tags.clone_from(&options.registry_immutable_tags);
    let folder = data.registry();
    // It takes in what flights have built, which may be much.
    let opened = tokio::task::spawn_blocking(move || {
        let layout = Layout::open(&folder)?;
        Registry::open(layout, settings).map_err(ServerError::Registry)
    });
    opened.await.map_err(|_| ServerError::Images(SupplyError::Stopped))?
}

/// The registry's HTTP API, for whoever shows the server's token.
fn registry_router(
    registry: Registry,
    options: &ServerOptions,
    token: &str,
    (control, policies, vouching): (&Control, &InForce, &Vouching),
) -> axum::Router {
    let anonymous = if options.registry_anonymous_pull { Anonymous::Pull } else { Anonymous::Nothing };
    let admission = AsPoliciesSay {
        control: control.clone(),
        policies: policies.clone(),
        vouching: vouching.clone(),
        registry: registry.clone(),
    };
    let hooks = Hooks { authorize: Arc::new(OneToken::new(token, anonymous)), admission: Arc::new(admission) };
    registry::router(registry, hooks)
}

async fn start_node(options: &ServerOptions, data: &DataDir) -> Result<Node, ServerError> {
    let node_options = NodeOptions {
        address: options.node_address,
        restart_backoff: options.restart_backoff,
        ..NodeOptions::new(data.nodes())
    };
    Ok(Node::start(node_options).await?)
}

async fn start_control(
    options: &ServerOptions,
    ports: Ports,
    journal: &Journal,
    vouching: &Vouching,
) -> Result<Control, ServerError> {
    let log: Arc<dyn EventLog> = Arc::new(JournalLog(journal.clone()));
    let controlled = Options { autoscale_period: options.autoscale_period, ..Options::default() };
    match Control::start(log, ports, Arc::new(SystemClock), controlled).await {
        Ok(control) => {
            control.with_fleet(|fleet| vouching.learn(fleet));
            Ok(control)
        }
        Err(error) => Err(not_replayed(error, journal).await),
    }
}

/// Answers requests until it is told to stop.
fn serve(listener: TcpListener, router: axum::Router, stopping: CancellationToken) -> JoinHandle<()> {
    #[expect(clippy::disallowed_methods, reason = "owned: `shutdown` waits for it")]
    tokio::spawn(async move {
        let serve = axum::serve(listener, router).with_graceful_shutdown(async move { stopping.cancelled().await });
        if let Err(error) = serve.await {
            tracing::error!("the API ended badly: {error}");
        }
    })
}

/// What observing needs, before anything is decided: a server that can't tell anybody should not begin.
async fn prepare(
    options: &ServerOptions,
    data: &DataDir,
    url: &str,
) -> Result<(Prepared, Option<alerts::Prepared>), ServerError> {
    let elsewhere = |url: &String| Arc::new(Elsewhere::new(url, options.prometheus_token_file.clone()));
    let metrics = MetricsOptions {
        elsewhere: options.prometheus_url.as_ref().map(elsewhere),
        folder: data.metrics(),
        retention: options.metrics_retention,
        config: options.prometheus_config.clone(),
        url: format!("{url}/prometheus"),
        objectives: options.objectives.clone(),
    };
    let prepared = Prepared::new(metrics, SystemClock.now()).await?;
    let alerting = match &options.alertmanager_config {
        None if options.oncall.is_some() => return Err(ServerError::OncallAlone),
        None => None,
        Some(file) => {
            let files = alerts::Files { alerts: file.clone(), oncall: options.oncall.clone() };
            Some(alerts::prepare(files)?)
        }
    };
    Ok((prepared, alerting))
}

/// Tells a journal that was altered from one that merely can't be read now.
async fn not_replayed(error: StartError, journal: &Journal) -> ServerError {
    match journal.verify().await {
        Err(found @ (JournalError::Broken { .. } | JournalError::Corrupt { .. })) => ServerError::Journal(found),
        Ok(_) | Err(_) => ServerError::Replay(error),
    }
}

/// A listener, and where it listens.
pub(crate) async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServerError> {
    let listener = TcpListener::bind(address).await.map_err(|source| {
        if source.kind() == std::io::ErrorKind::AddrInUse {
            ServerError::AddressInUse { address }
        } else {
            ServerError::Listen { address, source }
        }
    })?;
    let local = listener.local_addr().map_err(|source| ServerError::Listen { address, source })?;
    Ok((listener, local))
}

/// Runs images of the registry on the node.
fn local(node: &Node, registry: &Registry, data: &DataDir, vouching: &Vouching) -> Arc<LocalRuntime> {
    Arc::new(LocalRuntime {
        node: node.clone(),
        layout: registry.layout().clone(),
        images: data.images(),
        vouching: vouching.clone(),
        unpacking: RwLock::default(),
    })
}

fn ports(
    options: &ServerOptions,
    data: &DataDir,
    (source, repositories, deployments, bases): (Arc<HostedSource>, &Repositories, &Arc<Deployments>, &Bases),
    registry: &Registry,
    runtime: &Arc<LocalRuntime>,
    (store, budgets, elsewhere): (Arc<Asking>, Arc<Budgets>, Option<Arc<Elsewhere>>),
    (policies, vouching): (InForce, &Vouching),
) -> Ports {
    let jobs = Arc::new(NodeJobs(Arc::clone(runtime)));
    let pass_env = CI_PASS_ENV.iter().map(|&name| name.to_owned()).chain(options.ci_pass_env.iter().cloned());
    Ports {
        source,
        scanner: Arc::new(CommitScanner {
            repositories: repositories.clone(),
            limits: Limits {
                fail_on: options.scan_fail_on,
                database: options.vulnerability_db.clone().unwrap_or_else(|| data.vulnerabilities()),
            },
            scratch: data.scans(),
        }),
        pipelines: Arc::new(WorkflowPipelines {
            repositories: repositories.clone(),
            ci: data.ci(),
            tool_cache: options.cache_dir.clone(),
            pass_env: pass_env.collect(),
            host_env: options.host_env.clone(),
        }),
        images: Arc::new(LayoutImages {
            registry: registry.clone(),
            ci: data.ci(),
            repositories: repositories.clone(),
            scratch: data.scans(),
            vouching: vouching.clone(),
            client: Registries::new(options.registries.clone()),
        }),
        deployments: Arc::new(GitDeployments {
            deployments: Arc::clone(deployments),
            policies,
            vouching: vouching.clone(),
            machine: runtime.node.machine().clone(),
            bases: bases.clone(),
        }),
        runtime: Arc::clone(runtime) as _,
        jobs: Arc::clone(&jobs) as _,
        prober: Arc::new(HttpProber::new()),
        notifier: Arc::new(Notifiers::new(options.notify_webhook.clone())),
        measures: Arc::new(HttpMeasures::new(options.metric_tokens.clone(), jobs, store).asking(elsewhere)),
        holds: vec![budgets as _],
    }
}
