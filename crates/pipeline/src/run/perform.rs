//! Doing one step: its script or its built-in action, and what it leaves for the steps after it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::command_files::{self, CommandFiles};
use super::environment;
use super::group::Exit;
use super::job::{JobRun, StepEnd};
use super::log::StepLog;
use super::progress::Conclusion;
use super::resolve::{ReadyStep, Work};
use super::script::Script;
use super::steps::action_name;
use crate::action::artifact::{ArtifactError, Store};
use crate::action::{Done, checkout};
use crate::workflow::{BuiltIn, Shell, Step};

/// How long work on files is waited for after it was told to stop.
const STOPS_WITHIN: Duration = Duration::from_secs(30);

impl JobRun<'_> {
    /// Does a step; whatever goes wrong is how it ended.
    pub(super) async fn perform(
        &mut self,
        index: usize,
        step: &Step,
        ready: &ReadyStep,
        log: &Arc<Mutex<StepLog>>,
    ) -> StepEnd {
        match &ready.work {
            Work::Script { text, shell, directory } => {
                let directory = self.directories.workspace.join(directory);
                self.script(index, step, ready, (text, shell, &directory), log).await
            }
            Work::BuiltIn { action, inputs } => self.built_in(*action, inputs, ready, log).await,
        }
    }

    async fn script(
        &mut self,
        index: usize,
        step: &Step,
        ready: &ReadyStep,
        (text, shell, directory): (&str, &Shell, &Path),
        log: &Arc<Mutex<StepLog>>,
    ) -> StepEnd {
        let own = self.directories.commands.join(format!("{:04}", index + 1));
        let files = match CommandFiles::create(&own) {
            Ok(files) => files,
            Err(error) => return StepEnd::failed(format!("the step's files can't be made: {error}")),
        };
        let environment = self.environment(ready, &files, &action_name(index, step));
        let is_python = matches!(shell, Shell::Command(words) if words.first().is_some_and(|word| word == "python"));
        let script = Script {
            file: own.join(if is_python { "script.py" } else { "script.sh" }),
            text,
            shell,
            directory: directory.to_owned(),
            environment,
            job_directory: &self.directories.job,
        };
        let early = self.cancel.interruption(ready.timeout, ready.goes_on_when_cancelled);
        let waits = self.facts.options.waits;
        let ended = match script.run(log, &mut self.pumps, waits, &self.cancel.hard, early).await {
            Ok(ended) => ended,
            Err(error) => return StepEnd::failed(format!("the step can't be run: {error}")),
        };
        self.groups.push(ended.group);
        let mut end = match ended.outcome {
            Ok(Exit::Code(0)) => StepEnd { outcome: Conclusion::Success, ..StepEnd::failed("") },
            Ok(exit @ (Exit::Code(_) | Exit::Signal(_))) => StepEnd {
                exit_code: Some(exit.code()),
                ..StepEnd::failed(format!("the process ended with exit code {}", exit.code()))
            },
            Err(why) => Self::interrupted(why, ready.timeout),
        };
        self.after_script(&mut end, &files, index, log).await;
        end
    }

    /// Takes over what a script left in its files and said by commands.
    async fn after_script(&mut self, end: &mut StepEnd, files: &CommandFiles, index: usize, log: &Arc<Mutex<StepLog>>) {
        let fail = |end: &mut StepEnd, message: String| {
            if end.outcome == Conclusion::Success {
                end.outcome = Conclusion::Failure;
                end.message = message;
            }
        };
        {
            let mut log = log.lock().await;
            end.outputs.append(&mut log.outputs);
            if let Some(name) = log.disabled.take() {
                let file = if name == "set-env" { "GITHUB_ENV" } else { "GITHUB_PATH" };
                fail(end, format!("the command `{name}` is not allowed; write to the file in ${file}"));
            }
        }
        match self.take_commands(files) {
            Ok(outputs) => end.outputs.extend(outputs),
            Err((name, error)) => fail(end, format!("the file in ${name} can't be taken: {error}")),
        }
        match command_files::read(&files.summary) {
            Ok(text) if text.is_empty() => {}
            Ok(text) => {
                let path = self.directories.logs.join(format!("{:02}-summary.md", index + 1));
                if let Err(error) = tokio::fs::write(path, self.masks.hide(&text)).await {
                    fail(end, format!("the step's summary can't be kept: {error}"));
                }
            }
            Err(error) => fail(end, format!("the file in $GITHUB_STEP_SUMMARY can't be taken: {error}")),
        }
    }

    /// All of a script's environment. Later entries win: the server's, the workflow's and job's, what steps have set,
    /// the step's own, and last what nothing may change.
    fn environment(&self, ready: &ReadyStep, files: &CommandFiles, action: &str) -> BTreeMap<String, String> {
        let options = self.facts.options;
        let mut all = environment::base(&options.host_env, &options.pass_env);
        all.entry("HOME".to_owned()).or_insert_with(|| self.directories.temp.to_string_lossy().into_owned());
        all.extend(self.env.clone());
        all.extend(ready.env.iter().cloned());
        if !self.path.is_empty() {
            let path = all.get("PATH").cloned().unwrap_or_default();
            all.insert("PATH".to_owned(), format!("{}:{path}", self.path.join(":")));
        }
        all.extend(self.facts.variables(&self.directories, files, action));
        all
    }

    async fn built_in(
        &mut self,
        action: BuiltIn,
        inputs: &[(String, String)],
        ready: &ReadyStep,
        log: &Arc<Mutex<StepLog>>,
    ) -> StepEnd {
        let stop = CancellationToken::new();
        let work = async {
            match action {
                BuiltIn::Checkout => self.check_out(inputs).await,
                BuiltIn::UploadArtifact | BuiltIn::DownloadArtifact => self.artifact(action, inputs, &stop).await,
            }
        };
        tokio::pin!(work);
        let done = tokio::select! {
            done = &mut work => Ok(done),
            early = self.cancel.interruption(ready.timeout, ready.goes_on_when_cancelled) => Err(early),
        };
        let done = match done {
            Ok(done) => done,
            Err(why) => {
                stop.cancel();
                // Only work on files is waited for; a checkout ends where its future is dropped.
                if action != BuiltIn::Checkout && tokio::time::timeout(STOPS_WITHIN, work).await.is_err() {
                    tracing::warn!(job = %self.facts.id, "work on an artifact goes on although it was told to stop");
                }
                return Self::interrupted(why, ready.timeout);
            }
        };
        match done {
            Ok(done) => {
                let mut log = log.lock().await;
                for line in &done.lines {
                    if let Err(error) = log.say(line).await {
                        return StepEnd::failed(format!("the step's log can't be written: {error}"));
                    }
                }
                StepEnd { outcome: Conclusion::Success, outputs: done.outputs, ..StepEnd::failed("") }
            }
            Err(message) => StepEnd::failed(message),
        }
    }

    async fn check_out(&self, inputs: &[(String, String)]) -> Result<Done, String> {
        let into = checkout::destination(&self.directories.workspace, inputs).map_err(|error| error.to_string())?;
        let commit = &self.facts.event.commit;
        let checked_out = self.facts.options.checkout.checkout(commit, &into).await;
        checked_out.map_err(|error| format!("the commit can't be checked out: {error}"))?;
        Ok(checkout::done(commit, &self.facts.event.reference()))
    }

    async fn artifact(
        &self,
        action: BuiltIn,
        inputs: &[(String, String)],
        stop: &CancellationToken,
    ) -> Result<Done, String> {
        let directories = self.directories.clone();
        let (root, limits) = (self.facts.options.directory.clone(), self.facts.options.artifact_limits);
        let (job, inputs, stop) = (self.facts.id.clone(), inputs.to_vec(), stop.clone());
        let work = tokio::task::spawn_blocking(move || -> Result<Done, ArtifactError> {
            let store = Store {
                directory: &root,
                job: &job,
                workspace: &directories.workspace,
                temp: &directories.temp,
                limits,
                stop: &stop,
            };
            if action == BuiltIn::UploadArtifact { store.upload(&inputs) } else { store.download(&inputs) }
        });
        work.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }
}
