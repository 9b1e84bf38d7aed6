//! All jobs: follows the configuration and looks for targets.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::Options;
use super::config::{ScrapeJob, TargetGroup};
use super::cycle::Shared;
use super::pool::Pool;
use super::state::{TargetMetadata, Targets};

/// How far apart looks at files are.
const REFRESH_PERIOD: Duration = Duration::from_secs(5);

struct Service {
    shared: Arc<Shared>,
    tracker: TaskTracker,
    pools: Mutex<BTreeMap<String, Pool>>,
    /// Targets that were given for a job while it runs.
    given: Mutex<BTreeMap<String, Vec<TargetGroup>>>,
    /// Held while something changes, so that changes come one after the other.
    changing: tokio::sync::Mutex<()>,
}

/// Scraping that runs. It goes on until [`stop`](Handle::stop); when the last handle is dropped without that, it goes on
/// with nobody to stop it.
#[derive(Clone)]
pub struct Handle(Arc<Service>);

/// Begins to scrape; returns once every job has its first targets.
pub async fn run(options: Options) -> Handle {
    let service = Arc::new(Service {
        shared: Arc::new(Shared::new(&options)),
        tracker: TaskTracker::new(),
        pools: Mutex::default(),
        given: Mutex::default(),
        changing: tokio::sync::Mutex::default(),
    });
    let handle = Handle(Arc::clone(&service));
    handle.reload(options.jobs).await;
    service.tracker.spawn(Arc::clone(&service).refresh_for_ever());
    handle
}

impl Handle {
    /// Goes over to other jobs. Those that are the same as before are left alone; of those that have changed, targets that
    /// stay are gone on with.
    pub async fn reload(&self, jobs: Vec<ScrapeJob>) {
        self.0.change(move |service| service.reload(jobs)).await;
    }

    /// Gives a job its targets at run time, in place of those given before. They stay over a [`reload`](Self::reload).
    pub async fn set_targets(&self, job: impl Into<String>, groups: Vec<TargetGroup>) {
        let job = job.into();
        let changed = move |service: &Service| {
            service.given().insert(job.clone(), groups);
            service.refresh(&job);
        };
        self.0.change(changed).await;
    }

    /// Moves with each scrape that was stored, one that found its target down included.
    pub fn scraped(&self) -> watch::Receiver<u64> {
        self.0.shared.scraped.subscribe()
    }

    /// How all targets are.
    pub fn targets(&self) -> Targets {
        let pools = self.0.pools();
        Targets {
            active: pools.values().flat_map(Pool::active).collect(),
            dropped: pools.values().flat_map(Pool::dropped).cloned().collect(),
        }
    }

    /// What targets say about their metrics.
    pub fn metadata(&self) -> Vec<TargetMetadata> {
        self.0.pools().values().flat_map(Pool::metadata).collect()
    }

    /// Ends all scrapes. Returns once nothing runs any more. Series are not ended: they go on when it is started again.
    pub async fn stop(&self) {
        self.0.shared.stop.cancel();
        // What is being changed is waited for: it may start a cycle, which then ends at once.
        drop(self.0.changing.lock().await);
        self.0.tracker.close();
        self.0.tracker.wait().await;
    }
}

impl Service {
    fn pools(&self) -> MutexGuard<'_, BTreeMap<String, Pool>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn given(&self) -> MutexGuard<'_, BTreeMap<String, Vec<TargetGroup>>> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does a change where it may block, after those before it.
    async fn change(self: &Arc<Self>, change: impl FnOnce(&Self) + Send + 'static) {
        let _after_others = self.changing.lock().await;
        if self.shared.stop.is_cancelled() {
            return;
        }
        let service = Arc::clone(self);
        let changed = tokio::task::spawn_blocking(move || change(&service)).await;
        if let Err(error) = changed {
            tracing::error!("what is scraped could not be changed: {error}");
        }
    }

    async fn refresh_for_ever(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.shared.stop.cancelled() => return,
                () = tokio::time::sleep(REFRESH_PERIOD) => {}
            }
            let refreshed = |service: &Self| {
                let jobs: Vec<String> = service.pools().keys().cloned().collect();
                for job in jobs {
                    service.refresh(&job);
                }
            };
            self.change(refreshed).await;
        }
    }

    /// Looks for the targets of a job again.
    fn refresh(&self, job: &str) {
        let Some(lookout) = self.pools().get(job).map(|pool| Arc::clone(&pool.lookout)) else { return };
        let given = self.given().get(job).cloned().unwrap_or_default();
        let found = lookout.look(&given);
        if let Some(pool) = self.pools().get_mut(job) {
            pool.follow(found, None, &self.tracker);
        }
    }

    fn reload(&self, jobs: Vec<ScrapeJob>) {
        let names: Vec<String> = jobs.iter().map(|job| job.name.clone()).collect();
        for job in jobs {
            let name = job.name.clone();
            if self.pools().get(&name).is_some_and(|pool| *pool.job == job) {
                continue;
            }
            let mut pool = Pool::new(job, Arc::clone(&self.shared));
            let given = self.given().get(&name).cloned().unwrap_or_default();
            let found = pool.lookout.look(&given);
            let mut pools = self.pools();
            let earlier = pools.remove(&name);
            pool.follow(found, earlier, &self.tracker);
            pools.insert(name, pool);
        }
        let mut pools = self.pools();
        let gone: Vec<String> = pools.keys().filter(|name| !names.contains(name)).cloned().collect();
        for name in gone {
            if let Some(pool) = pools.remove(&name) {
                pool.end();
            }
        }
    }
}
