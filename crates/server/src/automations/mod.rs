//! Images that are kept up to date: where a repository that the server holds has Flux's `ImageUpdateAutomation`, what its policies
//! choose is committed to it. What is chosen, where it is written and what the commit says is decided in `prograde_apps::image`.
//!
//! Level-triggered: nothing is stored. Whatever was lost in a crash, the next look finds what is to be done in Git and in the
//! registries. A repository waits for no other one, and an image for no other registry.

mod keeper;
pub(crate) mod marks;
mod run;
mod scan;
mod show;
mod webhook;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use http::Uri;
use prograde_control::Control;
use prograde_gitops::git::{GitError, Marked, Repositories};
use prograde_model::ids::{CommitId, ServiceName};
use prograde_notify::config::Secret;
use prograde_supply::client::ClientOptions;
use prograde_supply::registry::Registry;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::types::AutomatedRepositoryView;
use crate::events::chain;
use crate::upstream::Upstreams;
use keeper::Keeper;
use marks::{Heads, Marks};
use scan::Registries;

pub(crate) use webhook::router as webhook_router;

/// The most repositories whose images are kept up to date.
const REPOSITORIES_MAX: usize = 1_000;
/// How many repositories are looked through at once for automations.
const LOOKS_MAX: usize = 4;
/// After how long it is looked again into repositories that could not be read.
const AGAIN: Duration = Duration::from_mins(1);

/// All of them. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Automations(Arc<Inner>);

/// What they are made of.
pub(crate) struct Parts {
    pub(crate) control: Control,
    pub(crate) repositories: Repositories,
    pub(crate) upstreams: Upstreams,
    pub(crate) marks: Marks,
    pub(crate) registry: Registry,
    /// How other registries are asked.
    pub(crate) registries: ClientOptions,
    /// What the server's own registry is called.
    pub(crate) own: BTreeSet<String>,
    /// What other registries show with their messages.
    pub(crate) webhook: Option<Secret>,
}

struct Inner {
    control: Control,
    repositories: Repositories,
    upstreams: Upstreams,
    marks: Marks,
    registry: Registry,
    registries: Arc<Registries>,
    webhook: Option<Secret>,
    /// Tells that something may have been pushed to another registry.
    others: watch::Sender<()>,
    keepers: Mutex<BTreeMap<ServiceName, Arc<Keeper>>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Automations {
    /// Begins.
    pub(crate) fn start(parts: Parts) -> Self {
        let Parts { control, repositories, upstreams, marks, registry, registries, own, webhook } = parts;
        let registries = Arc::new(Registries::new(registries, registry.clone(), own));
        let (keepers, stop, tasks) = (Mutex::default(), CancellationToken::new(), TaskTracker::new());
        let others = watch::Sender::default();
        let this = Self(Arc::new(Inner {
            control,
            repositories,
            upstreams,
            marks,
            registry,
            registries,
            webhook,
            others,
            keepers,
            stop,
            tasks,
        }));
        let inner = Arc::clone(&this.0);
        this.0.tasks.spawn(async move {
            tokio::select! {
                () = inner.follow() => {}
                () = inner.stop.cancelled() => {}
            }
        });
        this
    }

    /// Ends. What was not done is found again at the next start.
    pub(crate) async fn shutdown(&self) {
        self.0.stop.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// Something may have been pushed to another registry: each is asked.
    fn hear_of_others(&self) {
        self.0.others.send_replace(());
    }

    /// How each repository stands.
    pub(crate) fn views(&self) -> Vec<AutomatedRepositoryView> {
        self.0.keepers().values().map(|keeper| keeper.view()).collect()
    }
}

impl Inner {
    fn keepers(&self) -> MutexGuard<'_, BTreeMap<ServiceName, Arc<Keeper>>> {
        self.keepers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps those repositories up to date that have automations, as long as they do.
    async fn follow(self: &Arc<Self>) {
        let mut heads = self.marks.heads();
        loop {
            let now = heads.borrow_and_update().clone();
            let is_read = self.look(now).await;
            tokio::select! {
                changed = heads.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = tokio::time::sleep(AGAIN), if !is_read => {}
            }
        }
    }

    /// Looks through the repositories; whether all could be read.
    async fn look(self: &Arc<Self>, heads: Heads) -> bool {
        self.keepers().retain(|name, keeper| {
            let is_there = heads.contains_key(name);
            if !is_there {
                keeper.stop.cancel();
            }
            is_there
        });
        let taken = heads.into_iter().filter(|(name, _)| self.marks.takes(name));
        let looks = taken.map(|(name, head)| looked(self.marks.clone(), name, head));
        let mut looks = futures_util::stream::iter(looks).buffer_unordered(LOOKS_MAX);
        let mut is_read = true;
        while let Some((name, marked)) = looks.next().await {
            is_read &= marked.is_ok();
            self.found(name, marked);
        }
        is_read
    }

    fn found(self: &Arc<Self>, name: ServiceName, marked: Result<Arc<Marked>, GitError>) {
        let mut keepers = self.keepers();
        let known = keepers.get(&name).cloned();
        match (marked, known) {
            (Ok(marked), Some(keeper)) if marks::has_automation(&marked) => keeper.tell(marked),
            (Ok(_), Some(keeper)) => {
                keeper.stop.cancel();
                keepers.remove(&name);
            }
            (Ok(marked), None) if marks::has_automation(&marked) => {
                if keepers.len() >= REPOSITORIES_MAX {
                    tracing::error!(repository = %name, "its images are not kept up to date: {REPOSITORIES_MAX} repositories' are");
                    return;
                }
                let keeper = Arc::new(Keeper::new(name.clone(), marked, self.stop.child_token()));
                keepers.insert(name, Arc::clone(&keeper));
                let inner = Arc::clone(self);
                self.tasks.spawn(async move {
                    tokio::select! {
                        () = keeper.keep(&inner) => {}
                        () = keeper.stop.cancelled() => {}
                    }
                });
            }
            (Ok(_), None) => {}
            (Err(error), Some(keeper)) => keeper.unreadable(&chain(&error)),
            (Err(error), None) => tracing::warn!(repository = %name, "it can't be looked through: {}", chain(&error)),
        }
    }
}

async fn looked(marks: Marks, name: ServiceName, head: CommitId) -> (ServiceName, Result<Arc<Marked>, GitError>) {
    let marked = marks.at(&name, &head).await;
    (name, marked)
}

/// What the registry of a server is called that listens on an address, and that people know by another one.
pub(crate) fn own_hosts(address: SocketAddr, url: &str) -> BTreeSet<String> {
    let port = address.port();
    let mut hosts = BTreeSet::from([address.to_string()]);
    if address.ip().is_loopback() || address.ip().is_unspecified() {
        hosts.extend([format!("localhost:{port}"), format!("127.0.0.1:{port}")]);
    }
    let authority = url.parse::<Uri>().ok().and_then(|url| url.authority().map(|found| found.as_str().to_owned()));
    hosts.extend(authority);
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_registry_is_known_by_all_its_names() {
        let hosts = |address: &str, url: &str| {
            own_hosts(address.parse().unwrap(), url).into_iter().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(hosts("127.0.0.1:7878", "http://127.0.0.1:7878"), "127.0.0.1:7878 localhost:7878");
        assert_eq!(
            hosts("0.0.0.0:80", "https://prograde.example/x"),
            "0.0.0.0:80 127.0.0.1:80 localhost:80 prograde.example"
        );
        assert_eq!(hosts("10.0.0.1:7878", "no url at all"), "10.0.0.1:7878");
    }
}
