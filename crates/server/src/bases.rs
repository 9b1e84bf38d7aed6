//! Bases of other repositories, and charts: what a release or an application is rendered from beside its own files. Only what the
//! operator names is asked, because who may push here would else read with this server's access, or make it ask anybody.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use http::Uri;
use prograde_apps::repository::address_key;
use prograde_control::ports::PortError;
use prograde_gitops::git::{BaseAccess, BaseError, GitError, RemoteBases, Repositories, Upstream};
use prograde_gitops::helm::{Helm, is_away};
use prograde_kustomize::helm::{ChartFiles, Charts, RemoteChart, Template};
use prograde_kustomize::{FileTree, RemoteBase, Remotes};
use prograde_model::ids::{CommitId, ServiceName};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::adapters::source::from_git;
use crate::data_dir::DataDir;
use crate::events::chain;
use crate::options::ServerOptions;
use crate::upstream::config::{Sharing, Upstreamed};

/// Where bases and charts come from. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Bases {
    /// The address of the repositories here, without the way of access.
    own: String,
    repositories: Repositories,
    runtime: Handle,
    shared: Shared,
    remote: RemoteBases,
    helm: Option<Helm>,
}

/// What may be asked for: what the file says now.
#[derive(Clone, Default)]
struct Shared(Arc<RwLock<Sharing>>);

impl Bases {
    /// `url` is this server's own address.
    pub(crate) fn new(
        data: &DataDir,
        (url, options): (&str, &ServerOptions),
        repositories: &Repositories,
        declared: &Upstreamed,
    ) -> Self {
        let (shared, runtime) = (Shared(Arc::new(RwLock::new(declared.shared.clone()))), Handle::current());
        let helm = options.helm.clone();
        let remote = RemoteBases::new(data.bases(), runtime.clone()).with_access(Arc::new(shared.clone()));
        let helm = helm.map(|program| Helm::new(program, data.charts(), runtime.clone()));
        let own = address_key(&[url, "/git/"].concat());
        Self { own, repositories: repositories.clone(), runtime, shared, remote, helm }
    }

    /// This may be asked for from now on, and nothing else.
    pub(crate) fn declare(&self, shared: Sharing) {
        *self.shared.0.write().unwrap_or_else(PoisonError::into_inner) = shared;
    }

    /// Who runs Helm, if it may be run.
    pub(crate) fn charts(&self) -> Option<&Self> {
        self.helm.is_some().then_some(self)
    }

    /// The repository here that an address means.
    fn held(&self, repository: &str) -> Option<ServiceName> {
        address_key(repository).strip_prefix(&self.own)?.strip_prefix('/')?.parse().ok()
    }

    fn get(&self, base: &RemoteBase) -> Result<FileTree, BaseError> {
        let Some(name) = self.held(&base.repository) else { return self.remote.get(base) };
        let read = async {
            let commit: CommitId = base
                .reference
                .parse()
                .map_err(|_| BaseError { is_passing: false, why: "the reference is not a commit's id".to_owned() })?;
            let tree = async { self.repositories.get(&name).await?.tree(&commit, "").await };
            tree.await.map_err(|error: GitError| BaseError {
                is_passing: matches!(from_git(&error), PortError::Passing(_)),
                why: chain(&error),
            })
        };
        self.runtime.block_on(read)
    }
}

impl Remotes for Bases {
    fn fetch(&self, base: &RemoteBase) -> Result<FileTree, String> {
        self.get(base).map_err(|error| error.to_string())
    }
}

impl Bases {
    /// Who gets a chart, if it may be asked for.
    fn allowed(&self, chart: &RemoteChart) -> Result<&Helm, String> {
        let helm = self.helm.as_ref().ok_or("Helm may not be run here")?;
        let is_named = self.shared.read().charts.iter().any(|known| covers(known, chart.repository()));
        if !is_named {
            return Err(format!(
                "no entry of `charts` in the file of `prograde serve --upstreams` names {}, or what it lies below",
                chart.repository()
            ));
        }
        Ok(helm)
    }
}

impl Charts for Bases {
    fn pull(&self, chart: &RemoteChart) -> Result<ChartFiles, String> {
        self.allowed(chart)?.pull(chart)
    }

    fn template(&self, asked: &Template) -> Result<String, String> {
        self.helm.as_ref().ok_or("Helm may not be run here")?.template(asked)
    }
}

/// How many are fetched at once for whoever does not wait.
const FETCHES_MAX: usize = 4;
/// After how long what could not be had is asked for again.
const AGAIN: Duration = Duration::from_secs(50);

/// Bases and charts for whoever may not wait for a host: what is not here yet is fetched meanwhile, and it is told when that has
/// ended.
pub(crate) struct Meanwhile {
    bases: Bases,
    fetches: Arc<Fetches>,
}

#[derive(Default)]
struct Fetches {
    by_name: Mutex<BTreeMap<String, Fetch>>,
    ended: watch::Sender<()>,
}

/// How it stands with something that is not here.
enum Fetch {
    UnderWay,
    Failed(Instant, String),
}

impl Meanwhile {
    pub(crate) fn new(bases: Bases) -> Self {
        Self { bases, fetches: Arc::default() }
    }

    /// Tells whenever something has been fetched, or could not be.
    pub(crate) fn ended(&self) -> watch::Receiver<()> {
        self.fetches.ended.subscribe()
    }

    /// Who runs Helm, if it may be run.
    pub(crate) fn charts(&self) -> Option<&Self> {
        self.bases.helm.is_some().then_some(self)
    }

    /// Begins to fetch something, unless that is under way; why it is not here.
    fn begin(&self, name: String, fetch: impl FnOnce(&Bases) -> Result<(), String> + Send + 'static) -> String {
        let mut fetches = self.fetches.locked();
        match fetches.get(&name) {
            Some(Fetch::UnderWay) => return "it is being fetched".to_owned(),
            Some(Fetch::Failed(at, why)) if at.elapsed() < AGAIN => return why.clone(),
            Some(Fetch::Failed(..)) | None => {}
        }
        if fetches.values().filter(|fetch| matches!(fetch, Fetch::UnderWay)).count() >= FETCHES_MAX {
            return format!("it waits to be fetched: {FETCHES_MAX} others are");
        }
        // What is asked for no more is forgotten.
        fetches.retain(|_, fetch| !matches!(fetch, Fetch::Failed(at, _) if at.elapsed() > AGAIN * 10));
        fetches.insert(name.clone(), Fetch::UnderWay);
        let (bases, all) = (self.bases.clone(), Arc::clone(&self.fetches));
        let asked = self.bases.runtime.spawn_blocking(move || fetch(&bases));
        self.bases.runtime.spawn(async move {
            match asked.await.unwrap_or_else(|error| Err(format!("fetching it ended badly: {error}"))) {
                Ok(()) => all.locked().remove(&name),
                Err(why) => all.locked().insert(name, Fetch::Failed(Instant::now(), why)),
            };
            all.ended.send_replace(());
        });
        "it is being fetched".to_owned()
    }
}

impl Fetches {
    fn locked(&self) -> MutexGuard<'_, BTreeMap<String, Fetch>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Remotes for Meanwhile {
    fn fetch(&self, base: &RemoteBase) -> Result<FileTree, String> {
        let told = |error: BaseError| error.to_string();
        if self.bases.held(&base.repository).is_some() {
            return self.bases.get(base).map_err(told);
        }
        if let Some(tree) = self.bases.remote.kept(base).map_err(told)? {
            return Ok(tree);
        }
        let (name, base) = (format!("{} {}", base.repository, base.reference), base.clone());
        Err(self.begin(name, move |bases| bases.get(&base).map(drop).map_err(told)))
    }
}

impl Charts for Meanwhile {
    fn pull(&self, chart: &RemoteChart) -> Result<ChartFiles, String> {
        if let Some(files) = self.bases.allowed(chart)?.kept(chart)? {
            return Ok(files);
        }
        let name = format!("{}/{} {}", chart.repository(), chart.name(), chart.version());
        let chart = chart.clone();
        Err(self.begin(name, move |bases| bases.pull(&chart).map(drop)))
    }

    fn template(&self, asked: &Template) -> Result<String, String> {
        self.bases.template(asked)
    }
}

/// The bases and charts of one rendering, and whether one could not be had for now.
pub(crate) struct Asked<'a> {
    bases: &'a Bases,
    away: Mutex<Option<String>>,
}

impl<'a> Asked<'a> {
    pub(crate) fn of(bases: &'a Bases) -> Self {
        Self { bases, away: Mutex::default() }
    }

    /// Who runs Helm, if it may be run.
    pub(crate) fn charts(&self) -> Option<&dyn Charts> {
        self.bases.charts().map(|_| self as &dyn Charts)
    }

    fn missed(&self, what: String) {
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = Some(what);
    }

    /// What is told of a rendering that failed: that it is to be tried again, where a host does not answer.
    pub(crate) fn told(self, error: PortError) -> PortError {
        self.away.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(error, PortError::Passing)
    }
}

impl Remotes for Asked<'_> {
    fn fetch(&self, base: &RemoteBase) -> Result<FileTree, String> {
        self.bases.get(base).map_err(|error| {
            if error.is_passing {
                self.missed(format!("the base `{}` can't be had: {error}", base.url));
            }
            error.to_string()
        })
    }
}

impl Charts for Asked<'_> {
    fn pull(&self, chart: &RemoteChart) -> Result<ChartFiles, String> {
        self.bases.pull(chart).inspect_err(|why| {
            if is_away(why) {
                self.missed(format!("the chart `{}/{}` can't be had: {why}", chart.repository(), chart.name()));
            }
        })
    }

    fn template(&self, asked: &Template) -> Result<String, String> {
        self.bases.template(asked)
    }
}

impl Shared {
    fn read(&self) -> RwLockReadGuard<'_, Sharing> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BaseAccess for Shared {
    fn access(&self, repository: &str) -> Result<Upstream, BaseError> {
        let shared = self.read();
        let host = shared.bases.iter().find(|host| covers(&host.url, repository)).ok_or_else(|| BaseError {
            is_passing: false,
            why: "no entry of `bases` in the file of `prograde serve --upstreams` names it, or what it lies below"
                .to_owned(),
        })?;
        let address = repository.strip_prefix("file://").unwrap_or(repository);
        host.upstream(address, "").map_err(|why| BaseError { is_passing: true, why })
    }
}

/// Without what is secret.
impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.read().bases.iter().map(|host| &host.url)).finish()
    }
}

/// Whether a repository is, or lies below, what an entry names. A path that may mean another one to whoever reads it is not
/// compared.
fn covers(declared: &str, repository: &str) -> bool {
    fn parts(address: &str) -> Option<(String, &str)> {
        if address.starts_with('/') {
            return Some((String::new(), address));
        }
        if let Some(path) = address.strip_prefix("file://") {
            return path.starts_with('/').then(|| (String::new(), path));
        }
        let uri: Uri = address.parse().ok()?;
        let host = format!("{}://{}", uri.scheme_str()?, uri.authority()?).to_lowercase();
        let (_, rest) = address.split_once("://")?;
        Some((host, rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")))
    }
    let (Some((left, above)), Some((right, path))) = (parts(declared), parts(repository)) else { return false };
    let path = path.trim_end_matches('/');
    let above = above.trim_end_matches('/');
    let is_plain =
        !path.contains(['%', '\\', '?', '#']) && path.split('/').skip(1).all(|part| !matches!(part, "" | "." | ".."));
    let rest = path.strip_prefix(above);
    left == right && is_plain && rest.is_some_and(|rest| matches!(rest, "" | ".git") || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_may_be_asked() {
        let below = "https://git.example.org/team/";
        for (declared, repository) in [
            (below, "https://git.example.org/team/shared"),
            (below, "https://GIT.example.org/team/deep/shared.git"),
            ("https://git.example.org", "https://git.example.org/any/thing"),
            ("https://git.example.org/team/shared", "https://git.example.org/team/shared.git"),
            ("https://git.example.org/team/shared.git", "https://git.example.org/team/shared.git"),
            ("/srv/git", "file:///srv/git/shared"),
            ("https://git.example.org:8443/a", "https://git.example.org:8443/a/b"),
            ("oci://registry.example.org/charts/", "oci://registry.example.org/charts"),
        ] {
            assert!(covers(declared, repository), "{declared} {repository}");
        }
        for (declared, repository) in [
            (below, "https://git.example.org/teams/shared"),
            (below, "https://git.example.org/team/../other/shared"),
            (below, "https://git.example.org/team/%2e%2e/other/shared"),
            (below, "https://git.example.org/team/./shared"),
            (below, "https://git.example.org/team//shared"),
            (below, "http://git.example.org/team/shared"),
            (below, "https://git.example.org:8443/team/shared"),
            (below, "https://git.example.org.evil.example/team/shared"),
            (below, "https://git.example.org@evil.example/team/shared"),
            (below, "https://user@git.example.org/team/shared"),
            (below, "git@git.example.org:team/shared"),
            (below, "ssh://git.example.org/team/shared"),
            ("https://git.example.org/team/shared", "https://git.example.org/team/shared-other"),
            ("/srv/git", "file:///srv/gitolite/shared"),
            ("/srv/git", "file:///srv/git/../../etc"),
            ("/srv/git", "file://srv/git/shared"),
            ("https://srv/git", "/srv/git/shared"),
        ] {
            assert!(!covers(declared, repository), "{declared} {repository}");
        }
    }
}
