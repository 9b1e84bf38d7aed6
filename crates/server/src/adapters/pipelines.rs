//! Runs the workflows of hosted repositories.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use prograde_control::ports::{Build, JobFact, Pipelines, PortError};
use prograde_control::{Clock as _, SystemClock};
use prograde_gitops::git::Repositories;
use prograde_model::event::{JobConclusion, JobRecord};
use prograde_model::ids::{CommitId, ServiceName};
use prograde_model::{Diagnostic, Diagnostics};
use prograde_pipeline::{
    Checkout, CheckoutError, Conclusion, JobId, JobResult, Observer, Progress, PushEvent, RunOptions, Runner, Workflows,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::source::from_git;
use crate::events::chain;

/// Where workflows are.
const FOLDER: &str = ".github/workflows";

pub(crate) struct WorkflowPipelines {
    pub(crate) repositories: Repositories,
    /// One folder a flight.
    pub(crate) ci: PathBuf,
    pub(crate) tool_cache: PathBuf,
    pub(crate) pass_env: Vec<String>,
    pub(crate) host_env: BTreeMap<String, String>,
}

impl WorkflowPipelines {
    async fn workflows(&self, service: &ServiceName, commit: &CommitId) -> Result<Workflows, PortError> {
        let repository = self.repositories.get(service).await.map_err(|error| from_git(&error))?;
        let mut files = Vec::new();
        for path in repository.list_files(commit, FOLDER).await.map_err(|error| from_git(&error))? {
            let path = format!("{FOLDER}/{}", path.trim_start_matches(&format!("{FOLDER}/")));
            if !Workflows::is_workflow_path(&path) {
                continue;
            }
            let Some(bytes) = repository.read_file(commit, &path).await.map_err(|error| from_git(&error))? else {
                continue;
            };
            let text = String::from_utf8(bytes).map_err(|_| {
                Diagnostics::from(Diagnostic::file("PG0101", &path, "the file is not UTF-8 text", "save it as UTF-8"))
            })?;
            files.push((path, text));
        }
        if files.is_empty() {
            let hint = "add a workflow with `on: push` that uploads the built program with actions/upload-artifact";
            return Err(
                Diagnostics::from(Diagnostic::file("PG0105", FOLDER, "the repository has no workflow", hint)).into()
            );
        }
        Ok(Workflows::load(&files)?)
    }
}

struct FromRepository(prograde_gitops::git::Repository);

impl Checkout for FromRepository {
    fn checkout<'a>(&'a self, commit: &'a CommitId, into: &'a Path) -> BoxFuture<'a, Result<(), CheckoutError>> {
        Box::pin(async move { self.0.export(commit, into).await.map_err(|error| CheckoutError(chain(&error))) })
    }
}

#[async_trait]
impl Pipelines for WorkflowPipelines {
    async fn check(&self, service: &ServiceName, commit: &CommitId) -> Result<(), PortError> {
        self.workflows(service, commit).await.map(|_| ())
    }

    async fn run(
        &self,
        build: Build,
        facts: mpsc::Sender<JobFact>,
        cancel: CancellationToken,
    ) -> Result<Option<String>, PortError> {
        let opened = &build.opened;
        let workflows = self.workflows(&opened.service, &opened.commit).await?;
        let repository = self.repositories.get(&opened.service).await.map_err(|error| from_git(&error))?;
        let clock: prograde_pipeline::Clock = Arc::new(|| SystemClock.now());
        let directory = self.ci.join(build.flight.as_str());
        let options = RunOptions {
            pass_env: self.pass_env.clone(),
            host_env: self.host_env.clone(),
            ..RunOptions::new(directory, self.tool_cache.clone(), Arc::new(FromRepository(repository)), clock)
        };
        let event = PushEvent {
            repository: opened.service.to_string(),
            branch: opened.branch.clone(),
            commit: opened.commit.clone(),
            before: None,
            author_name: opened.author.name.clone(),
            author_email: opened.author.email.clone(),
            message: opened.subject.clone(),
            changed_paths: None,
            run_id: build.flight.to_string(),
            run_number: build.number,
        };
        let finished =
            build.finished.iter().map(|(job, record)| (JobId::from(job.clone()), to_result(record))).collect();
        let run = Runner::new(options).run(&workflows, &event, &finished, &Facts(facts), cancel).await;
        let result = run.map_err(|error| PortError::Passing(chain(&error)))?;
        Ok(match result.conclusion {
            Conclusion::Success | Conclusion::Skipped => None,
            Conclusion::Failure | Conclusion::Cancelled => Some(failures(&result.jobs)),
        })
    }
}

/// Hands the ends of jobs on; their steps are in the logs.
struct Facts(mpsc::Sender<JobFact>);

impl Observer for Facts {
    fn observe(&self, progress: Progress) -> BoxFuture<'_, ()> {
        let fact = match progress {
            Progress::JobStarted { job, .. } => Some(JobFact::Started { job: job.to_string() }),
            Progress::JobFinished { job, result } => {
                Some(JobFact::Finished { job: job.to_string(), result: to_record(&result) })
            }
            Progress::StepStarted { .. } | Progress::StepFinished { .. } => None,
        };
        Box::pin(async move {
            if let Some(fact) = fact
                && self.0.send(fact).await.is_err()
            {
                tracing::debug!("nobody records the pipeline's facts any more");
            }
        })
    }
}

fn to_record(result: &JobResult) -> JobRecord {
    let conclusion = match result.conclusion {
        Conclusion::Success => JobConclusion::Success,
        Conclusion::Failure => JobConclusion::Failure,
        Conclusion::Cancelled => JobConclusion::Cancelled,
        Conclusion::Skipped => JobConclusion::Skipped,
    };
    let failure =
        result.failure.as_ref().map(|f| format!("step `{}`: {}\n{}", f.name, f.message, f.log_tail.join("\n")));
    let detail = failure.or_else(|| result.reason.clone());
    JobRecord {
        conclusion,
        tolerated: result.tolerated,
        outputs: result.outputs.clone(),
        duration_ms: result.duration_ms,
        detail,
    }
}

fn to_result(record: &JobRecord) -> JobResult {
    let conclusion = match record.conclusion {
        JobConclusion::Success => Conclusion::Success,
        JobConclusion::Failure => Conclusion::Failure,
        JobConclusion::Cancelled => Conclusion::Cancelled,
        JobConclusion::Skipped => Conclusion::Skipped,
    };
    JobResult {
        conclusion,
        tolerated: record.tolerated,
        outputs: record.outputs.clone(),
        duration_ms: record.duration_ms,
        reason: record.detail.clone(),
        failure: None,
    }
}

/// The jobs that failed, each with what failed in it.
fn failures(jobs: &BTreeMap<JobId, JobResult>) -> String {
    let failed = jobs.iter().filter(|(_, result)| match result.effective() {
        Conclusion::Failure | Conclusion::Cancelled => true,
        Conclusion::Success | Conclusion::Skipped => false,
    });
    let lines: Vec<String> = failed
        .map(|(job, result)| {
            let step = result.failure.as_ref().map(|f| format!("step `{}`: {}", f.name, f.message));
            format!("job {job} failed: {}", step.or_else(|| result.reason.clone()).unwrap_or_default())
        })
        .collect();
    lines.join("; ")
}
