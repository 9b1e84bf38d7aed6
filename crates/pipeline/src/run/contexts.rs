//! What a job's expressions and processes see: the contexts, and the variables with the same facts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json, json};
use sha2::{Digest as _, Sha256};

use super::command_files::CommandFiles;
use super::options::RunOptions;
use crate::event::PushEvent;
use crate::plan::JobId;
use crate::runner_label::architecture;
use crate::workflow::{Job, Workflow};

/// Everything about a job that stays the same while it runs.
pub(crate) struct JobFacts<'a> {
    pub(crate) options: &'a RunOptions,
    pub(crate) event: &'a PushEvent,
    pub(crate) workflow: &'a Workflow,
    pub(crate) job: &'a Job,
    pub(crate) id: JobId,
    /// The `matrix` context.
    pub(crate) matrix: Json,
    /// The `strategy` context.
    pub(crate) strategy: Json,
    /// The `needs` context.
    pub(crate) needs: Json,
}

/// The directories of one job.
#[derive(Debug, Clone)]
pub(crate) struct Directories {
    /// All of them, and the record of its processes.
    pub(crate) job: PathBuf,
    /// `GITHUB_WORKSPACE`.
    pub(crate) workspace: PathBuf,
    /// `RUNNER_TEMP`.
    pub(crate) temp: PathBuf,
    /// The files of workflow commands, and the scripts.
    pub(crate) commands: PathBuf,
    /// The logs, outside of the others so that they stay.
    pub(crate) logs: PathBuf,
}

impl Directories {
    /// Where a job's directories are. `directory` is an absolute path without links.
    pub(crate) fn of(directory: &Path, job: &JobId) -> Self {
        let own = directory.join("jobs").join(job.directory());
        Self {
            workspace: own.join("workspace"),
            temp: own.join("temp"),
            commands: own.join("commands"),
            logs: super::log_files::log_directory(directory, job),
            job: own,
        }
    }

    /// The file with the event.
    pub(crate) fn event(&self) -> PathBuf {
        self.commands.join("event.json")
    }
}

/// What marks the processes of a job, wherever they move to: the value of `RUNNER_TRACKING_ID`, as GitHub's runner does
/// it. `directory` is the real path of the run's directory.
pub fn tracking_id(directory: &Path, job: &JobId) -> String {
    let hash = Sha256::digest(format!("{}\n{job}", directory.display()).as_bytes());
    format!("prograde-{}", hex::encode(hash))
}

/// The contexts that a workflow's own keys and a job's `if` see.
pub(crate) fn before_job(
    options: &RunOptions,
    event: &PushEvent,
    workflow: &Workflow,
    needs: &Json,
) -> Map<String, Json> {
    let mut contexts = Map::new();
    contexts.insert("github".to_owned(), Json::Object(event.github(&workflow.name)));
    contexts.insert("vars".to_owned(), json!(options.vars));
    contexts.insert("inputs".to_owned(), json!({}));
    contexts.insert("needs".to_owned(), needs.clone());
    contexts
}

impl JobFacts<'_> {
    /// The contexts that a job's own keys see.
    pub(crate) fn contexts(&self, directories: &Directories) -> Map<String, Json> {
        let mut contexts = before_job(self.options, self.event, self.workflow, &self.needs);
        contexts.insert("matrix".to_owned(), self.matrix.clone());
        contexts.insert("strategy".to_owned(), self.strategy.clone());
        if let Some(Json::Object(github)) = contexts.get_mut("github") {
            github.insert("job".to_owned(), json!(self.job.key));
            github.insert("workspace".to_owned(), json!(directories.workspace));
            github.insert("event_path".to_owned(), json!(directories.event()));
        }
        contexts
    }

    /// The `runner` context.
    pub(crate) fn runner(&self, directories: &Directories) -> Json {
        json!({
            "os": "Linux",
            "arch": architecture(),
            "name": "prograde",
            "environment": "self-hosted",
            "debug": "",
            "temp": directories.temp,
            "tool_cache": self.options.tool_cache,
        })
    }

    /// The variables that say the same, which nothing in a workflow can change.
    pub(crate) fn variables(
        &self,
        directories: &Directories,
        files: &CommandFiles,
        action: &str,
    ) -> BTreeMap<String, String> {
        let mut variables = BTreeMap::new();
        let mut set = |name: &str, value: &str| variables.insert(name.to_owned(), value.to_owned());
        for (name, value) in self.event.github(&self.workflow.name) {
            match value {
                Json::String(text) => set(&format!("GITHUB_{}", name.to_uppercase()), &text),
                Json::Bool(flag) => set(&format!("GITHUB_{}", name.to_uppercase()), &flag.to_string()),
                Json::Null | Json::Number(_) | Json::Array(_) | Json::Object(_) => None,
            };
        }
        set("GITHUB_ACTIONS", "true");
        set("GITHUB_ACTION", action);
        set("GITHUB_JOB", &self.job.key);
        set("RUNNER_OS", "Linux");
        set("RUNNER_ARCH", architecture());
        set("RUNNER_NAME", "prograde");
        set("RUNNER_ENVIRONMENT", "self-hosted");
        set("RUNNER_TRACKING_ID", &tracking_id(&self.options.directory, &self.id));
        for (name, path) in [
            ("GITHUB_WORKSPACE", &directories.workspace),
            ("GITHUB_EVENT_PATH", &directories.event()),
            ("GITHUB_ENV", &files.env),
            ("GITHUB_OUTPUT", &files.output),
            ("GITHUB_PATH", &files.path),
            ("GITHUB_STATE", &files.state),
            ("GITHUB_STEP_SUMMARY", &files.summary),
            ("RUNNER_TEMP", &directories.temp),
            ("RUNNER_TOOL_CACHE", &self.options.tool_cache),
        ] {
            set(name, &path.to_string_lossy());
        }
        variables
    }
}
