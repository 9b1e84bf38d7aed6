//! The steps of a job, one after the other, and what comes of them.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::cancel::Interruption;
use super::job::{JobRun, StepEnd, milliseconds};
use super::log::StepLog;
use super::progress::{Conclusion, JobResult, Progress, StepFailure};
use super::resolve::{self, ReadyStep, ResolveError, Resolved};
use super::{command_files, environment};
use crate::expression::{Scope, Status};
use crate::workflow::Step;

/// The most bytes that all outputs of a job may have together.
const OUTPUT_BYTES_MAX: usize = 1024 * 1024;

impl JobRun<'_> {
    pub(super) async fn run_steps(&mut self) {
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
    pub(super) async fn end_processes(&mut self) -> io::Result<()> {
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

    pub(super) fn result(&mut self, timeout: Duration) -> JobResult {
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
            if !environment::is_valid(&name, &value) {
                let name = name.chars().take(100).collect();
                return Err(("GITHUB_ENV", command_files::CommandFileError::Variable(name)));
            }
            self.env.insert(name, value);
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
