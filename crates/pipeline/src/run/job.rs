//! One job: its directories, its steps in order, its outputs.
//!
//! Invariant: when [`run`] comes back, none of the job's processes is left, whatever they did.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use serde_json::{Map, Value as Json, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::cancel::JobCancel;
use super::contexts::{Directories, JobFacts, before_job, tracking_id};
use super::group::Group;
use super::masks::Masks;
use super::progress::{Conclusion, JobResult, Observer, Progress, StepFailure};
use super::resolve::{self, ResolveError};
use super::{process_table, sweep};
use crate::action::artifact::remove_directory;
use crate::expression::Scope;
use crate::runner_label;

/// How long a job may take where it does not say.
const TIMEOUT: Duration = Duration::from_hours(6);

/// Why a job could not be run at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobError {
    #[error("the job's directories can't be used: {0}")]
    Directories(#[source] io::Error),
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    #[error("`runs-on` is {0}")]
    RunsOn(String),
}

/// A job that runs.
pub(super) struct JobRun<'a> {
    pub(super) facts: &'a JobFacts<'a>,
    pub(super) observer: &'a dyn Observer,
    pub(super) cancel: &'a JobCancel,
    pub(super) directories: Directories,
    pub(super) masks: Masks,
    /// The contexts that stay the same.
    pub(super) contexts: Map<String, Json>,
    /// The workflow's and the job's variables, and those that steps set.
    pub(super) env: BTreeMap<String, String>,
    /// What steps put before `PATH`, the latest first.
    pub(super) path: Vec<String>,
    /// The `steps` context.
    pub(super) steps: Map<String, Json>,
    pub(super) groups: Vec<Group>,
    pub(super) pumps: JoinSet<()>,
    pub(super) failure: Option<StepFailure>,
    pub(super) was_cancelled: bool,
}

/// How a step ended, before `continue-on-error` is looked at.
pub(super) struct StepEnd {
    pub(super) outcome: Conclusion,
    pub(super) outputs: Vec<(String, String)>,
    pub(super) exit_code: Option<i32>,
    pub(super) message: String,
    pub(super) log_tail: Vec<String>,
}

impl StepEnd {
    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self {
            outcome: Conclusion::Failure,
            outputs: Vec::new(),
            exit_code: None,
            message: message.into(),
            log_tail: Vec::new(),
        }
    }
}

/// Runs a job from nothing to its result.
pub(crate) async fn run(facts: &JobFacts<'_>, observer: &dyn Observer, cancel: &JobCancel) -> JobResult {
    let started = Instant::now();
    let directories = Directories::of(&facts.options.directory, &facts.id);
    let name = display_name(facts, &directories);
    observer.observe(Progress::JobStarted { job: facts.id.clone(), name }).await;
    let tolerated = tolerated(facts, &directories);
    let ran = match (&tolerated, prepare(facts, &directories).await) {
        (Ok(_), Ok(())) => run_prepared(facts, observer, cancel, directories.clone()).await,
        (Err(error), _) => Err(error.clone().into()),
        (_, Err(error)) => Err(JobError::Directories(error)),
    };
    let mut result = ran.unwrap_or_else(|error| JobResult::not_run(Conclusion::Failure, error.to_string()));
    if let Err(error) = clean_up(facts, directories).await {
        result.conclusion = Conclusion::Failure;
        result.reason.get_or_insert(format!("the job could not be tidied up: {error}"));
    }
    result.tolerated = tolerated.unwrap_or(false);
    result.duration_ms = milliseconds(started.elapsed());
    result
}

/// What the job is called: its `name`, or else its id without the workflow.
fn display_name(facts: &JobFacts<'_>, directories: &Directories) -> String {
    let scope = Scope { contexts: facts.contexts(directories), ..Scope::default() };
    let named = facts.job.name.as_ref().and_then(|name| name.text(&scope).ok()).filter(|name| !name.trim().is_empty());
    let name = named.unwrap_or_else(|| facts.id.name().to_owned());
    name.chars().filter(|c| !c.is_control()).take(resolve::NAME_CHARS_MAX).collect()
}

fn tolerated(facts: &JobFacts<'_>, directories: &Directories) -> Result<bool, ResolveError> {
    let scope = Scope { contexts: facts.contexts(directories), ..Scope::default() };
    resolve::flag("continue-on-error", facts.job.continue_on_error.as_ref(), false, &scope)
}

pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Makes a job's directories anew.
async fn prepare(facts: &JobFacts<'_>, directories: &Directories) -> io::Result<()> {
    let directories = directories.clone();
    let event = facts.event.payload().to_string();
    let (tool_cache, job) = (facts.options.tool_cache.clone(), facts.id.clone());
    let made = tokio::task::spawn_blocking(move || {
        remove_directory(&directories.job)?;
        remove_directory(&directories.logs)?;
        for path in [&directories.workspace, &directories.temp, &directories.commands, &directories.logs, &tool_cache] {
            std::fs::create_dir_all(path)?;
        }
        sweep::mark(&directories.job, &job)?;
        std::fs::write(directories.event(), event)
    });
    made.await.map_err(io::Error::other)?
}

/// Ends what has left its group, and takes the directories away.
async fn clean_up(facts: &JobFacts<'_>, directories: Directories) -> io::Result<()> {
    let tracking = format!("RUNNER_TRACKING_ID={}", tracking_id(&facts.options.directory, &facts.id));
    let keep = facts.options.keep_job_directories;
    let cleaned = tokio::task::spawn_blocking(move || {
        process_table::kill_with(&tracking)?;
        if keep { Ok(()) } else { remove_directory(&directories.job) }
    });
    cleaned.await.map_err(io::Error::other)?
}

async fn run_prepared(
    facts: &JobFacts<'_>,
    observer: &dyn Observer,
    cancel: &JobCancel,
    directories: Directories,
) -> Result<JobResult, JobError> {
    let contexts = facts.contexts(&directories);
    let scope = Scope { contexts: contexts.clone(), ..Scope::default() };
    check_labels(facts, &scope)?;
    let timeout = facts.job.timeout_minutes.as_ref().map(|own| resolve::timeout(own, &scope)).transpose()?;
    let of_workflow = before_job(facts.options, facts.event, facts.workflow, &json!({}));
    let of_workflow = Scope { contexts: of_workflow, ..Scope::default() };
    let mut env = BTreeMap::new();
    env.extend(resolve::variables(&facts.workflow.env, &of_workflow)?);
    env.extend(resolve::variables(&facts.job.env, &scope)?);
    let mut job = JobRun {
        facts,
        observer,
        cancel,
        directories,
        masks: Masks::default(),
        contexts,
        env,
        path: Vec::new(),
        steps: Map::new(),
        groups: Vec::new(),
        pumps: JoinSet::new(),
        failure: None,
        was_cancelled: false,
    };
    let timeout = timeout.unwrap_or(TIMEOUT);
    tokio::select! {
        () = job.run_steps() => {}
        () = cancel.watch(timeout, facts.options.cancel_grace) => {}
    }
    let left = job.end_processes().await;
    let mut result = job.result(timeout);
    if let Err(error) = left {
        result.conclusion = Conclusion::Failure;
        result.reason.get_or_insert(format!("the job's processes could not be ended: {error}"));
    }
    Ok(result)
}

fn check_labels(facts: &JobFacts<'_>, scope: &Scope) -> Result<(), JobError> {
    for template in &facts.job.runs_on {
        let value = template.value(scope).map_err(|error| ResolveError::Evaluation("runs-on".to_owned(), error))?;
        for label in runner_label::labels(&value) {
            runner_label::check(&label).map_err(|why| JobError::RunsOn(format!("{label:?}, and {why}")))?;
        }
    }
    Ok(())
}
