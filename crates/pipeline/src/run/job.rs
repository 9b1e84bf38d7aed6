//! One job: its directories, its steps in order, its outputs.
//!
//! Invariant: when [`run`] comes back, none of the job's processes is left, whatever they did.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json, json};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::cancel::{Interruption, JobCancel};
use super::contexts::{Directories, JobFacts, before_job, tracking_id};
use super::group::Group;
use super::log::StepLog;
use super::masks::Masks;
use super::progress::{Conclusion, JobResult, Observer, Progress, StepFailure};
use super::resolve::{self, ReadyStep, ResolveError, Resolved};
use super::{command_files, environment, process_table, sweep};
use crate::action::artifact::remove_directory;
use crate::expression::{Scope, Status};
use crate::runner_label;
use crate::workflow::Step;

/// The most bytes that all outputs of a job may have together.
const OUTPUT_BYTES_MAX: usize = 1024 * 1024;

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
    contexts: Map<String, Json>,
    /// The workflow's and the job's variables, and those that steps set.
    pub(super) env: BTreeMap<String, String>,
    /// What steps put before `PATH`, the latest first.
    pub(super) path: Vec<String>,
    /// The `steps` context.
    steps: Map<String, Json>,
    pub(super) groups: Vec<Group>,
    pub(super) pumps: JoinSet<()>,
    failure: Option<StepFailure>,
    was_cancelled: bool,
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

impl JobRun<'_> {
    async fn run_steps(&mut self) {
        for (index, step) in self.facts.job.steps.iter().enumerate() {
            if self.cancel.hard.is_cancelled() {
                self.was_cancelled = true;
                return;
            }
            self.was_cancelled |= self.cancel.soft.is_cancelled();
            self.run_step(index, step).await;
        }
    }

    fn scope(&self) -> Scope {
        let mut contexts = self.contexts.clone();
        contexts.insert("env".to_owned(), json!(self.env));
        contexts.insert("steps".to_owned(), Json::Object(self.steps.clone()));
        contexts.insert("runner".to_owned(), self.facts.runner(&self.directories));
        contexts.insert("job".to_owned(), json!({"status": self.status().as_str()}));
        let status = self.status();
        Scope {
            contexts,
            status: Some(Status {
                success: status == Conclusion::Success,
                failure: status == Conclusion::Failure,
                cancelled: status == Conclusion::Cancelled,
            }),
            workspace: Some(self.directories.workspace.clone()),
        }
    }

    /// How the job has gone so far.
    fn status(&self) -> Conclusion {
        match (self.was_cancelled, &self.failure) {
            (true, _) => Conclusion::Cancelled,
            (false, Some(_)) => Conclusion::Failure,
            (false, None) => Conclusion::Success,
        }
    }

    async fn run_step(&mut self, index: usize, step: &Step) {
        let started = Instant::now();
        let (own, scope) = (step.clone(), self.action_scope(index, step));
        let resolved = tokio::task::spawn_blocking(move || resolve::resolve(&own, scope)).await;
        let Resolved { name, step: ready } = resolved.unwrap_or_else(|error| Resolved {
            name: step.default_name(),
            step: Err(ResolveError::Interrupted(error.to_string())),
        });
        let name = self.masks.hide(&name);
        let ready = match ready {
            Ok(None) => {
                self.finish_step(
                    index,
                    step,
                    name,
                    StepEnd { outcome: Conclusion::Skipped, ..StepEnd::failed("") },
                    false,
                    started,
                )
                .await;
                return;
            }
            Ok(Some(ready)) => Ok(ready),
            Err(error) => Err(error),
        };
        let news = Progress::StepStarted { job: self.facts.id.clone(), step: index, name: name.clone() };
        self.observer.observe(news).await;
        let (end, tolerated) = match ready {
            Ok(ready) => (self.logged(index, step, &name, &ready).await, ready.continue_on_error),
            Err(error) => (StepEnd::failed(error.to_string()), false),
        };
        self.finish_step(index, step, name, end, tolerated, started).await;
    }

    /// The scope with the step's own name in `github.action`.
    fn action_scope(&self, index: usize, step: &Step) -> Scope {
        let mut scope = self.scope();
        if let Some(Json::Object(github)) = scope.contexts.get_mut("github") {
            github.insert("action".to_owned(), json!(action_name(index, step)));
        }
        scope
    }

    /// Does a step, with its log.
    async fn logged(&mut self, index: usize, step: &Step, name: &str, ready: &ReadyStep) -> StepEnd {
        let options = self.facts.options;
        let path = self.directories.logs.join(format!("{:02}-{}.log", index + 1, slug(name)));
        let log = StepLog::create(&path, options.step_log_bytes_max, options.clock.clone(), self.masks.clone()).await;
        let log = match log {
            Ok(log) => Arc::new(Mutex::new(log)),
            Err(error) => return StepEnd::failed(format!("the step's log can't be written: {error}")),
        };
        let mut end = self.perform(index, step, ready, &log).await;
        let mut log = log.lock().await;
        end.message = self.masks.hide(&end.message);
        if end.outcome != Conclusion::Success
            && let Err(error) = log.say(&format!("::error::{}", end.message)).await
        {
            tracing::warn!(%error, "the last line of a step's log is lost");
        }
        end.log_tail = log.tail();
        end
    }

    async fn finish_step(
        &mut self,
        index: usize,
        step: &Step,
        name: String,
        end: StepEnd,
        tolerated: bool,
        started: Instant,
    ) {
        let conclusion = match end.outcome {
            Conclusion::Failure if tolerated => Conclusion::Success,
            other @ (Conclusion::Success | Conclusion::Failure | Conclusion::Cancelled | Conclusion::Skipped) => other,
        };
        if let Some(id) = &step.id {
            let outputs: Map<String, Json> =
                end.outputs.iter().map(|(name, value)| (name.clone(), Json::String(value.clone()))).collect();
            let context = json!({
                "outputs": outputs,
                "outcome": end.outcome.as_str(),
                "conclusion": conclusion.as_str(),
            });
            self.steps.insert(id.clone(), context);
        }
        match conclusion {
            Conclusion::Failure if self.failure.is_none() => {
                self.failure = Some(StepFailure {
                    step: index,
                    name: name.clone(),
                    exit_code: end.exit_code,
                    message: end.message,
                    log_tail: end.log_tail,
                });
            }
            Conclusion::Cancelled => self.was_cancelled = true,
            Conclusion::Success | Conclusion::Failure | Conclusion::Skipped => {}
        }
        let duration_ms = milliseconds(started.elapsed());
        let job = self.facts.id.clone();
        self.observer.observe(Progress::StepFinished { job, step: index, name, conclusion, duration_ms }).await;
    }

    /// Ends all that steps have left running.
    async fn end_processes(&mut self) -> io::Result<()> {
        let mut result = Ok(());
        for group in std::mem::take(&mut self.groups) {
            match group.end().await {
                Ok(true) => {}
                Ok(false) => result = Err(io::Error::other("some do not end, not even by SIGKILL")),
                Err(error) => result = Err(error),
            }
        }
        self.pumps.shutdown().await;
        result
    }

    fn result(&mut self, timeout: Duration) -> JobResult {
        let timed_out = self.cancel.has_timed_out() && self.was_cancelled;
        let mut reason =
            timed_out.then(|| format!("the job took longer than {} minutes", timeout.as_secs_f64() / 60.0));
        let mut conclusion = if timed_out { Conclusion::Failure } else { self.status() };
        let outputs = self.outputs().unwrap_or_else(|error| {
            conclusion = Conclusion::Failure;
            reason.get_or_insert(self.masks.hide(&error));
            BTreeMap::new()
        });
        JobResult { conclusion, tolerated: false, outputs, duration_ms: 0, reason, failure: self.failure.take() }
    }

    fn outputs(&self) -> Result<BTreeMap<String, String>, String> {
        let scope = Scope { status: None, workspace: None, ..self.scope() };
        let mut outputs = BTreeMap::new();
        let mut bytes = 0;
        for (name, template) in &self.facts.job.outputs {
            let value =
                resolve::text(&format!("outputs.{name}"), template, &scope).map_err(|error| error.to_string())?;
            if self.masks.conceals(&value) {
                tracing::warn!(job = %self.facts.id, output = %name, "an output is left out because it holds what is masked");
                continue;
            }
            bytes += name.len() + value.len();
            if bytes > OUTPUT_BYTES_MAX {
                return Err(format!("the job's outputs have more than {OUTPUT_BYTES_MAX} bytes"));
            }
            outputs.insert(name.clone(), value);
        }
        Ok(outputs)
    }

    /// Takes over what a step has written to its command files; gives its outputs.
    pub(super) fn take_commands(
        &mut self,
        files: &command_files::CommandFiles,
    ) -> Result<Vec<(String, String)>, (&'static str, command_files::CommandFileError)> {
        let read = |name, path| command_files::read(path).map_err(|error| (name, error));
        let pairs = |name, text: &str| command_files::pairs(text).map_err(|error| (name, error));
        for (name, value) in pairs("GITHUB_ENV", &read("GITHUB_ENV", &files.env)?)? {
            if environment::is_valid(&name, &value) {
                self.env.insert(name, value);
            }
        }
        for line in read("GITHUB_PATH", &files.path)?.lines().filter(|line| !line.trim().is_empty()) {
            self.path.insert(0, line.to_owned());
        }
        pairs("GITHUB_OUTPUT", &read("GITHUB_OUTPUT", &files.output)?)
    }

    /// How an interrupted step ended.
    pub(super) fn interrupted(why: Interruption, timeout: Option<Duration>) -> StepEnd {
        match why {
            Interruption::TimedOut => {
                let minutes = timeout.unwrap_or_default().as_secs_f64() / 60.0;
                StepEnd::failed(format!("the step took longer than {minutes} minutes"))
            }
            Interruption::Cancelled => {
                StepEnd { outcome: Conclusion::Cancelled, ..StepEnd::failed("the step was cancelled") }
            }
        }
    }
}

/// What `github.action` holds: the step's id, or a name by its place.
pub(super) fn action_name(index: usize, step: &Step) -> String {
    step.id.clone().unwrap_or_else(|| format!("__step_{}", index + 1))
}

/// A step's name as part of a file's.
fn slug(name: &str) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let words: Vec<&str> = plain.split('-').filter(|word| !word.is_empty()).collect();
    let slug: String = words.join("-").chars().take(60).collect();
    if slug.is_empty() { "step".to_owned() } else { slug }
}
