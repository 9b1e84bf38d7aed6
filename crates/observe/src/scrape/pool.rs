//! One job's targets, each with its cycle.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::task::TaskTracker;

use super::client::Client;
use super::config::{ScrapeJob, TargetGroup};
use super::cycle::{Cycle, Ending, Shared};
use super::discovery::{Files, Stamp, stamp};
use super::ingest::{Described, Ingest, Settings};
use super::state::{ActiveTarget, SharedStatus, TargetMetadata, read};
use super::target::{self, Target};
use crate::labels::Labels;

/// What makes two targets the same.
type Key = (Labels, String, i64, i64);

/// How the targets of a job are asked, or why they can't be. Changes when its certificates do.
pub(crate) type Asking = Arc<Mutex<Result<Arc<Client>, String>>>;

struct Running {
    target: Target,
    ingest: Arc<Mutex<Ingest>>,
    metadata: Described,
    status: SharedStatus,
    ending: Ending,
}

/// What looks for a job's targets. Blocks; nothing else waits for it meanwhile.
pub(crate) struct Lookout {
    job: Arc<ScrapeJob>,
    files: Mutex<Files>,
    asking: Asking,
    certificates: Mutex<Option<Vec<Option<Stamp>>>>,
    /// What was found to be wrong the last time, so that it is told once.
    told: Mutex<Vec<String>>,
}

/// What was found.
#[derive(Default)]
pub(crate) struct Found {
    wanted: BTreeMap<Key, Target>,
    dropped: Vec<Labels>,
}

impl Lookout {
    fn new(job: Arc<ScrapeJob>) -> Self {
        Self {
            job,
            files: Mutex::default(),
            asking: Arc::new(Mutex::new(Err("its certificates have not been read yet".to_owned()))),
            certificates: Mutex::default(),
            told: Mutex::default(),
        }
    }

    /// The targets that the job names, those of its files, and those given.
    pub(crate) fn look(&self, given: &[TargetGroup]) -> Found {
        self.read_certificates();
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        for problem in files.refresh(&self.job.target_files) {
            tracing::warn!(job = self.job.name, "{problem}");
        }
        let in_files = files.groups();
        let mut found = Found::default();
        let mut problems = Vec::new();
        for group in self.job.targets.iter().chain(&in_files).chain(given) {
            for one in target::of_group(&self.job, group) {
                match one {
                    Ok(Ok(target)) => drop(found.wanted.insert(key(&target), target)),
                    Ok(Err(dropped)) => found.dropped.push(dropped),
                    Err(none) => problems.push(format!("{} is no target: {}", none.discovered, none.error)),
                }
            }
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for problem in problems.iter().filter(|problem| !told.contains(problem)) {
            tracing::warn!(job = self.job.name, "{problem}");
        }
        *told = problems;
        found
    }

    /// Makes another client when a certificate or a key has changed.
    fn read_certificates(&self) {
        let tls = &self.job.http.tls;
        let paths = tls.ca_file.iter().chain(tls.identity.iter().flat_map(|(certificate, key)| [certificate, key]));
        let stamps = Some(paths.map(|path: &PathBuf| stamp(path).ok()).collect());
        let mut before = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        if *before == stamps {
            return;
        }
        let client = Client::new(&self.job.http).map(Arc::new).map_err(|error| error.to_string());
        if let Err(error) = &client {
            tracing::error!(job = self.job.name, "no target can be asked: {error}");
        }
        *self.asking.lock().unwrap_or_else(PoisonError::into_inner) = client;
        *before = stamps;
    }
}

/// A job and its cycles.
pub(crate) struct Pool {
    pub(crate) job: Arc<ScrapeJob>,
    pub(crate) lookout: Arc<Lookout>,
    shared: Arc<Shared>,
    refusal: Arc<Mutex<String>>,
    running: BTreeMap<Key, Running>,
    dropped: Vec<Labels>,
}

impl Pool {
    /// A pool without targets.
    pub(crate) fn new(job: ScrapeJob, shared: Arc<Shared>) -> Self {
        let job = Arc::new(job);
        let lookout = Arc::new(Lookout::new(Arc::clone(&job)));
        Self { job, lookout, shared, refusal: Arc::default(), running: BTreeMap::new(), dropped: Vec::new() }
    }

    /// Begins to scrape what was found and is not scraped yet, and ends what is not there any more. Targets that an earlier
    /// pool of the job had are gone on with.
    pub(crate) fn follow(&mut self, found: Found, earlier: Option<Pool>, tracker: &TaskTracker) {
        self.dropped = found.dropped;
        let refusal = match self.job.limits.targets {
            Some(limit) if found.wanted.len() as u64 > limit => {
                format!("target_limit exceeded: {} targets, more than {limit}", found.wanted.len())
            }
            Some(_) | None => String::new(),
        };
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = refusal;
        let mut carried = earlier.map(|pool| pool.hand_over(&found.wanted)).unwrap_or_default();
        self.running.retain(|key, running| {
            let stays = found.wanted.contains_key(key);
            if !stays {
                running.ending.gone.cancel();
            }
            stays
        });
        for (key, target) in found.wanted {
            if let Some(running) = self.running.get_mut(&key) {
                running.target = target;
                continue;
            }
            let series = carried.remove(&(target.labels.clone(), target.url.clone())).unwrap_or_default();
            let running = self.start(target, series, tracker);
            self.running.insert(key, running);
        }
    }

    fn start(&self, target: Target, carried: Vec<Labels>, tracker: &TaskTracker) -> Running {
        let ingest = Ingest::new(Settings::of(&self.job), &target.labels, carried);
        let metadata = ingest.metadata();
        let ending = Ending { stop: self.shared.stop.child_token(), ..Ending::default() };
        let running =
            Running { target, ingest: Arc::new(Mutex::new(ingest)), metadata, status: SharedStatus::default(), ending };
        let cycle = Cycle {
            shared: Arc::clone(&self.shared),
            target: running.target.clone(),
            asking: Arc::clone(&self.lookout.asking),
            bytes_max: self.job.limits.body_bytes,
            refusal: Arc::clone(&self.refusal),
            ingest: Arc::clone(&running.ingest),
            status: Arc::clone(&running.status),
            ending: running.ending.clone(),
        };
        tracker.spawn(cycle.run());
        running
    }

    /// Stops the cycles of targets that are gone on with, ends the others, and gives the series of the former.
    fn hand_over(self, wanted: &BTreeMap<Key, Target>) -> BTreeMap<(Labels, String), Vec<Labels>> {
        let mut carried = BTreeMap::new();
        for running in self.running.into_values() {
            let Target { labels, url, .. } = running.target;
            if wanted.values().any(|target| target.labels == labels && target.url == url) {
                running.ending.stop.cancel();
                let tracked = running.ingest.lock().unwrap_or_else(PoisonError::into_inner).tracked();
                carried.insert((labels, url), tracked);
            } else {
                running.ending.gone.cancel();
            }
        }
        carried
    }

    /// Ends the cycles, and the series of all targets.
    pub(crate) fn end(self) {
        drop(self.hand_over(&BTreeMap::new()));
    }

    pub(crate) fn active(&self) -> impl Iterator<Item = ActiveTarget> {
        self.running.values().map(|running| ActiveTarget {
            job: self.job.name.clone(),
            target: running.target.clone(),
            status: read(&running.status),
        })
    }

    pub(crate) fn dropped(&self) -> &[Labels] {
        &self.dropped
    }

    pub(crate) fn metadata(&self) -> Vec<TargetMetadata> {
        let mut all = Vec::new();
        for running in self.running.values() {
            let described = running.metadata.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend(described.iter().map(|(metric, (metadata, _))| TargetMetadata {
                target: running.target.labels.clone(),
                metric: metric.clone(),
                metadata: metadata.clone(),
            }));
        }
        all
    }
}

fn key(target: &Target) -> Key {
    (target.labels.clone(), target.url.clone(), target.interval_ms, target.timeout_ms)
}
