//! Applications that are kept in clusters as Git says: sets of them, each with a repository and a cluster. What happens to them
//! is in the journal; what is decided is decided in `prograde_resource::keep` and `prograde_model::application`.

pub(crate) mod config;
mod leaving;
mod reading;
mod recorder;
mod remembered;
mod rules;
mod set;
mod trees;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prograde_apps::repository::address_key;
use prograde_control::{Clock as _, Control, SystemClock};
use prograde_gitops::git::{Repositories, Repository};
use prograde_kubernetes::Order;
use prograde_model::Diagnostics;
use prograde_model::application::{self as model, Application, ApplicationId, Applications, Health, Standing};
use prograde_model::ids::SetName;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::adapters::source::ReadFrom;
use crate::api::types::{ApplicationSetView, ApplicationView, ApplicationsView};
use crate::bases::{Bases, Meanwhile};
use crate::events::chain;
use crate::evidence::Vouching;
use crate::policies::InForce;
use crate::records::{KeepError, Kept};
use crate::upstream::Upstreams;
use config::Declaration;
use recorder::Recorder;
pub(crate) use rules::images;
use set::{Known, Set, State, own_address};
use trees::{DEPLOYMENTS, Held};

/// How many orders may wait to be begun in a set; beyond that they are found in the journal at the next start.
const ORDERS_MAX: usize = 1_000;

/// All sets. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Sets(Arc<Inner>);

/// What sets are made of.
pub(crate) struct Parts {
    pub(crate) control: Control,
    pub(crate) repositories: Repositories,
    pub(crate) deployments: Repository,
    pub(crate) upstreams: Upstreams,
    /// Where it is told which repositories applications are read from.
    pub(crate) read_from: ReadFrom,
    /// Where people find the server.
    pub(crate) url: String,
    pub(crate) kept: Arc<Kept<Applications>>,
    /// What what goes to clusters has to meet.
    pub(crate) policies: InForce,
    /// Who knows who vouches for images.
    pub(crate) vouching: Vouching,
    /// What is rendered beside the repositories' own files.
    pub(crate) bases: Bases,
}

struct Inner {
    file: Option<PathBuf>,
    control: Control,
    held: Held,
    upstreams: Upstreams,
    read_from: ReadFrom,
    url: String,
    kept: Arc<Kept<Applications>>,
    /// The policies in force, and who vouches for images.
    rules: (InForce, Vouching),
    running: Mutex<Running>,
    /// Tells when a set has read another commit, or keeps something no longer: others may wait for that.
    moved: watch::Sender<()>,
}

/// Those of one reading of the file.
#[derive(Default)]
struct Running {
    declaration: Declaration,
    sets: Vec<Arc<Set>>,
    /// Which set keeps which application in which cluster.
    claims: BTreeMap<(String, String), SetName>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Why an order is not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotOrdered {
    /// There is none.
    #[error("there is no application {0}")]
    Unknown(ApplicationId),
    /// Its files can't be used.
    #[error("{0} can't be synchronised: {1}")]
    Unusable(ApplicationId, String),
    /// It could not be recorded.
    #[error(transparent)]
    Record(#[from] KeepError<Infallible>),
    /// More wait than are carried out.
    #[error("too many orders wait in the set {0}")]
    Full(SetName),
}

impl Sets {
    /// Begins to keep what a file says, if there is one.
    pub(crate) async fn start(file: Option<PathBuf>, declaration: Declaration, parts: Parts) -> Self {
        let Parts { control, repositories, deployments, upstreams, read_from, url, kept, policies, vouching, bases } =
            parts;
        let held = Held { repositories, deployments, bases: Arc::new(Meanwhile::new(bases)) };
        let running = Mutex::default();
        let rules = (policies, vouching);
        let moved = watch::Sender::default();
        let this =
            Self(Arc::new(Inner { file, control, held, upstreams, read_from, url, kept, rules, running, moved }));
        this.follow(declaration).await;
        this
    }

    /// Reads the file again, and keeps what it says now.
    pub(crate) async fn reload(&self) -> Result<(), Diagnostics> {
        let Some(file) = &self.0.file else { return Ok(()) };
        let declaration = config::read(Some(file))?;
        self.shutdown().await;
        self.follow(declaration).await;
        Ok(())
    }

    /// Ends. Syncs that are broken off are gone on with when they are kept again.
    pub(crate) async fn shutdown(&self) {
        let tasks = {
            let running = self.0.running();
            running.stop.cancel();
            running.tasks.clone()
        };
        tasks.wait().await;
    }

    async fn follow(&self, declaration: Declaration) {
        for set in &self.0.running().sets {
            set.recorder.lets_go(set.state().names.into_keys());
        }
        let names: BTreeSet<SetName> = declaration.sets.iter().map(|set| set.name.clone()).collect();
        let decide = |known: &Applications| Ok::<_, Infallible>(known.release(|of| names.contains(&of.set)));
        match self.0.kept.record(SystemClock.now(), decide).await {
            Ok(facts) => facts.iter().for_each(recorder::log),
            // They are let go at the next start or reload.
            Err(error) => tracing::error!("applications of sets that are gone: {error}"),
        }
        self.0.read_from.set(declaration.repositories());
        let mut running = Running { declaration: declaration.clone(), ..Running::default() };
        let mut begun = Vec::new();
        for declared in declaration.sets {
            let (set, kept) = (declared.name.clone(), Arc::clone(&self.0.kept));
            let recorder = Recorder { set, kept, away: Mutex::default(), let_go: Mutex::default() };
            let (orders, ordered) = mpsc::channel(ORDERS_MAX);
            let set = Arc::new(Set::new(declared, recorder, orders));
            running.sets.push(Arc::clone(&set));
            begun.push((set, ordered));
        }
        let (tasks, stop) = (running.tasks.clone(), running.stop.clone());
        *self.0.running() = running;
        for (set, mut ordered) in begun {
            let (inner, stop) = (Arc::clone(&self.0), stop.clone());
            tasks.spawn(async move {
                tokio::select! {
                    () = set.keep(&inner, &mut ordered) => {}
                    () = stop.cancelled() => {}
                }
            });
        }
        tasks.close();
    }

    /// A person orders a sync. The application as it stands then.
    pub(crate) async fn order(&self, of: &ApplicationId, order: model::Order) -> Result<ApplicationView, NotOrdered> {
        let leaves = || self.0.kept.with(|known| known.get(of).is_some_and(|known| known.leaving.is_some()));
        let set = self.set(&of.set).filter(|set| set.state().names.contains_key(&of.application) || leaves());
        let set = set.ok_or_else(|| NotOrdered::Unknown(of.clone()))?;
        let unusable = self.0.kept.with(|known| known.get(of)?.unusable.clone());
        if let Some((_, why)) = unusable {
            return Err(NotOrdered::Unusable(of.clone(), why));
        }
        let place = set.orders.try_reserve().map_err(|_| NotOrdered::Full(of.set.clone()))?;
        let asked = Order { prune: order.prune || order.confirm_prune, confirmed: order.confirm_prune };
        let decide = |_: &Applications| Ok::<_, Infallible>(Applications::order(of.clone(), order));
        let facts = self.0.kept.record(SystemClock.now(), decide).await?;
        facts.iter().for_each(recorder::log);
        place.send((of.application.clone(), asked));
        self.view(of).ok_or_else(|| NotOrdered::Unknown(of.clone()))
    }

    fn set(&self, name: &SetName) -> Option<Arc<Set>> {
        self.0.running().sets.iter().find(|set| set.declared.name == *name).cloned()
    }

    /// One application.
    pub(crate) fn view(&self, of: &ApplicationId) -> Option<ApplicationView> {
        let set = self.set(&of.set)?;
        let state = set.state();
        let known = self.0.kept.with(|known| known.get(of).cloned());
        let is_known = known.is_some() || state.names.contains_key(&of.application);
        is_known.then(|| view(&set, &state, of.clone(), known.unwrap_or_default()))
    }

    /// All of them.
    pub(crate) fn views(&self) -> ApplicationsView {
        let sets: Vec<Arc<Set>> = self.0.running().sets.clone();
        let mut all = ApplicationsView { sets: Vec::new(), applications: Vec::new() };
        for set in sets {
            let state = set.state();
            let name = &set.declared.name;
            let mut names: BTreeSet<String> = state.names.keys().cloned().collect();
            names.extend(self.0.kept.with(|known| {
                known.iter().filter(|(of, _)| of.set == *name).map(|(of, _)| of.application.clone()).collect::<Vec<_>>()
            }));
            for application in names {
                let of = ApplicationId { set: name.clone(), application };
                let known = self.0.kept.with(|known| known.get(&of).cloned()).unwrap_or_default();
                all.applications.push(view(&set, &state, of, known));
            }
            let away = set.recorder.away.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let trouble = state.trouble.or(away);
            all.sets.push(ApplicationSetView {
                set: name.clone(),
                repository: set.declared.repository.clone(),
                path: set.declared.path.clone(),
                cluster: state.cluster,
                commit: state.commit,
                read_at: state.read_at,
                troubled_since: trouble.as_ref().map(|trouble| trouble.since),
                trouble: trouble.map(|trouble| trouble.text),
            });
        }
        all
    }
}

impl Inner {
    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All sets but one.
    fn others(&self, than: &SetName) -> Vec<Arc<Set>> {
        self.running().sets.iter().filter(|set| set.declared.name != *than).cloned().collect()
    }

    /// Which other set keeps an application in a cluster; if none does, this one does from now on.
    fn claim(&self, cluster: &str, name: &str, set: &SetName) -> Option<SetName> {
        let key = (cluster.to_owned(), name.to_owned());
        let mut running = self.running();
        let owner = running.claims.entry(key).or_insert_with(|| set.clone());
        (owner != set).then(|| owner.clone())
    }

    /// A set keeps those alone.
    fn unclaim(&self, set: &SetName, is_kept: impl Fn(&str) -> bool) {
        let mut running = self.running();
        let before = running.claims.len();
        running.claims.retain(|(_, name), owner| owner != set || is_kept(name));
        if running.claims.len() < before {
            self.moved.send_replace(());
        }
    }

    /// The repositories of all addresses that are known: what the file says, where repositories are followed from, and
    /// this server's own.
    async fn addresses(&self) -> Result<Known, String> {
        let mut repositories = BTreeMap::new();
        let names = self.held.repositories.list().await.map_err(|error| chain(&error))?;
        for name in names.into_iter().chain(DEPLOYMENTS.parse()) {
            repositories.insert(own_address(&self.url, name.as_str()), name);
        }
        let mut branches = BTreeMap::new();
        for upstream in self.upstreams.views() {
            repositories.insert(address_key(&upstream.url), upstream.service.clone());
            branches.insert(upstream.service, upstream.branch);
        }
        repositories.extend(self.running().declaration.addresses.clone());
        Ok(Known { repositories, branches })
    }
}

fn view(set: &Set, state: &State, of: ApplicationId, known: Application) -> ApplicationView {
    let (standing, since, why) = known.standing();
    let away = set.recorder.away.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let why = match (why.is_empty(), away.as_ref().or(state.trouble.as_ref())) {
        (true, Some(trouble)) if standing != Standing::Synced => trouble.text.clone(),
        (_, _) => why,
    };
    let tried = known.tried.as_ref();
    let revision = known.in_step.as_ref().map(|(_, revision, _)| revision.clone());
    ApplicationView {
        automated: state.names.get(&of.application).copied().flatten(),
        set: of.set,
        application: of.application,
        commit: state.commit.clone(),
        revision: tried.map(|tried| tried.revision.clone()).or(revision),
        sync: told(standing).to_owned(),
        health: known.health.as_ref().map_or("unknown", |(_, health, _)| well(*health)).to_owned(),
        since,
        why,
        counts: tried.map(|tried| tried.counts),
        differing: known.drift.map(|(_, _, first)| first).unwrap_or_default(),
        held: known.held.map(|(_, _, first)| first).unwrap_or_default(),
        ailing: known.health.map(|(_, _, first)| first).unwrap_or_default(),
    }
}

fn told(standing: Standing) -> &'static str {
    match standing {
        Standing::Unknown => "unknown",
        Standing::Synced => "synced",
        Standing::Syncing => "syncing",
        Standing::Differs => "differs",
        Standing::Held => "held",
        Standing::Failed => "failed",
        Standing::Leaving => "leaving",
        Standing::Unusable => "unusable",
    }
}

fn well(health: Health) -> &'static str {
    match health {
        Health::Healthy => "healthy",
        Health::Suspended => "suspended",
        Health::Progressing => "progressing",
        Health::Missing => "missing",
        Health::Degraded => "degraded",
        Health::Unknown => "unknown",
    }
}
