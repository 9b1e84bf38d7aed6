//! Running workflows: the jobs of a push side by side, each in directories and processes of its own.

pub(crate) mod cancel;
pub(crate) mod command_files;
pub(crate) mod commands;
pub(crate) mod contexts;
pub(crate) mod environment;
pub(crate) mod group;
pub(crate) mod job;
pub(crate) mod log;
pub(crate) mod log_files;
pub(crate) mod masks;
pub(crate) mod options;
mod perform;
pub(crate) mod process_table;
pub(crate) mod progress;
pub(crate) mod resolve;
mod schedule;
mod script;
mod steps;
mod sweep;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use crate::event::PushEvent;
use crate::plan::{JobId, Workflows};
use cancel::JobCancel;
use contexts::JobFacts;
pub(crate) use options::Clock;
use options::RunOptions;
use progress::{JobResult, Observer, Progress, RunResult};
use schedule::{Instance, Schedule};

/// Why a run could not be started.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The run's directory can't be used.
    #[error("the run's directory {path} can't be used")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Runs workflows on this machine.
#[derive(Clone)]
pub struct Runner {
    options: RunOptions,
}

impl Runner {
    /// A runner.
    pub fn new(options: RunOptions) -> Self {
        Self { options }
    }

    /// Runs all jobs that `event` starts, and comes back when each has ended.
    ///
    /// `finished` are the jobs that had ended before the server was restarted: they are not run again, and their
    /// outputs and artifacts are used. What an interrupted job left, processes and files, is removed before it runs
    /// again. `cancel` ends the run as a person would: steps and jobs with `always()` are still run. Dropping the future
    /// ends all processes at once and leaves the rest for the next run of the same directory.
    pub async fn run(
        &self,
        workflows: &Workflows,
        event: &PushEvent,
        finished: &BTreeMap<JobId, JobResult>,
        observer: &dyn Observer,
        cancel: CancellationToken,
    ) -> Result<RunResult, RunError> {
        let options = self.prepare(finished).await?;
        let hard = CancellationToken::new();
        let mut schedule = Schedule::new(&options, &workflows.list, event, finished);
        let mut running = FuturesUnordered::new();
        let over = async {
            cancel.cancelled().await;
            tokio::time::sleep(options.cancel_grace).await;
            hard.cancel();
        };
        tokio::pin!(over);
        let mut is_over = false;
        loop {
            settle(&mut schedule, observer, &cancel).await;
            while running.len() < options.jobs_max.max(1)
                && let Some(instance) = schedule.next()
            {
                running.push(run_instance(&options, event, &schedule, instance, observer, hard.clone()));
            }
            tokio::select! {
                ended = running.next() => match ended {
                    Some((node, id, result)) => schedule.finished(node, id, result),
                    None => break,
                },
                () = cancel.cancelled(), if !cancel.is_cancelled() => {}
                () = &mut over, if !is_over => is_over = true,
            }
        }
        drop(running);
        Ok(RunResult::of(schedule.results, cancel.is_cancelled()))
    }

    /// Makes the run's directory, and removes what unfinished jobs left there and elsewhere.
    async fn prepare(&self, finished: &BTreeMap<JobId, JobResult>) -> Result<RunOptions, RunError> {
        let mut options = self.options.clone();
        let (directory, finished) = (options.directory.clone(), finished.keys().cloned().collect::<BTreeSet<_>>());
        let made = tokio::task::spawn_blocking(move || {
            std::fs::create_dir_all(&directory)?;
            let directory = std::fs::canonicalize(&directory)?;
            sweep::remove_unfinished(&directory, &finished)?;
            Ok(directory)
        });
        let directory = made.await.map_err(io::Error::other).and_then(|made| made);
        options.directory =
            directory.map_err(|source| RunError::Directory { path: options.directory.clone(), source })?;
        Ok(options)
    }
}

/// Lets all jobs end that end without running, until there is no more of them.
async fn settle(schedule: &mut Schedule<'_>, observer: &dyn Observer, cancel: &CancellationToken) {
    loop {
        let mut ended = schedule.drop_cancelled();
        ended.extend(schedule.advance(cancel));
        if ended.is_empty() {
            return;
        }
        for (job, result) in ended {
            observer.observe(Progress::JobFinished { job, result }).await;
        }
    }
}

/// Runs one job and tells of its end.
fn run_instance<'a>(
    options: &'a RunOptions,
    event: &'a PushEvent,
    schedule: &Schedule<'a>,
    instance: Instance,
    observer: &'a dyn Observer,
    hard: CancellationToken,
) -> impl Future<Output = (usize, JobId, JobResult)> + use<'a> {
    let found = schedule.job_of(&instance);
    async move {
        let node = instance.node();
        let Instance { id, matrix, strategy, needs, cancel, .. } = instance;
        let cancel = JobCancel::new(&cancel, &hard);
        let result = match found {
            Some((workflow, job)) => {
                let facts = JobFacts { options, event, workflow, job, id: id.clone(), matrix, strategy, needs };
                job::run(&facts, observer, &cancel).await
            }
            None => JobResult::not_run(progress::Conclusion::Failure, "the job is not part of the workflow"),
        };
        observer.observe(Progress::JobFinished { job: id.clone(), result: result.clone() }).await;
        (node, id, result)
    }
}
