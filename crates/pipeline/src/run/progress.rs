//! What a run tells while it goes, and what it gives in the end.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::JobId;

/// How a run, a job or a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Conclusion {
    /// Well.
    Success,
    /// Badly.
    Failure,
    /// It was told to stop.
    Cancelled,
    /// It was not run, because its `if` said so.
    Skipped,
}

impl Conclusion {
    /// The word that GitHub's contexts have for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
        }
    }
}

/// How a job ended. Kept by the caller, and handed back when the run goes on after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobResult {
    /// How.
    pub conclusion: Conclusion,
    /// Whether `continue-on-error` lets the run go on as if it had succeeded.
    pub tolerated: bool,
    /// The job's outputs; those that hold what is masked are left out.
    pub outputs: BTreeMap<String, String>,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// Why it ended so, where no step tells: lower case, no full stop.
    pub reason: Option<String>,
    /// The first step that failed.
    pub failure: Option<StepFailure>,
}

impl JobResult {
    /// A job that ended without running.
    pub(crate) fn not_run(conclusion: Conclusion, reason: impl Into<String>) -> Self {
        Self {
            conclusion,
            tolerated: false,
            outputs: BTreeMap::new(),
            duration_ms: 0,
            reason: Some(reason.into()),
            failure: None,
        }
    }

    /// What jobs that need it see, and what counts for the run.
    pub fn effective(&self) -> Conclusion {
        if self.tolerated && self.conclusion == Conclusion::Failure { Conclusion::Success } else { self.conclusion }
    }
}

/// A step that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StepFailure {
    /// Its place in the job, from 0.
    pub step: usize,
    /// Its name.
    pub name: String,
    /// Its exit code, where it had one; 128 and the signal's number after a signal.
    pub exit_code: Option<i32>,
    /// What went wrong: lower case, no full stop.
    pub message: String,
    /// The last lines of its log, at most 50, without times.
    pub log_tail: Vec<String>,
}

/// One thing that happened in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A job started.
    JobStarted {
        /// Which.
        job: JobId,
        /// What it is called.
        name: String,
    },
    /// A step started.
    StepStarted {
        /// Of which job.
        job: JobId,
        /// Its place in the job, from 0.
        step: usize,
        /// Its name.
        name: String,
    },
    /// A step ended; one that was skipped never started.
    StepFinished {
        /// Of which job.
        job: JobId,
        /// Its place in the job, from 0.
        step: usize,
        /// Its name.
        name: String,
        /// How; a failure that `continue-on-error` allows is a success.
        conclusion: Conclusion,
        /// How long it took, in milliseconds.
        duration_ms: u64,
    },
    /// A job ended; one that was skipped or cancelled before its turn never started.
    JobFinished {
        /// Which.
        job: JobId,
        /// How.
        result: JobResult,
    },
}

/// Hears of a run's progress.
pub trait Observer: Send + Sync {
    /// Takes one piece of news. The job goes on when the future is done, and no job that needs another starts before
    /// the end of that other was taken, so that what is recorded here is never behind what was done because of it.
    fn observe(&self, progress: Progress) -> BoxFuture<'_, ()>;
}

impl Observer for tokio::sync::mpsc::Sender<Progress> {
    fn observe(&self, progress: Progress) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // A receiver that is gone has heard enough; the run's result tells the rest.
            if self.send(progress).await.is_err() {
                tracing::debug!("nobody hears of the run's progress any more");
            }
        })
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunResult {
    /// Failure where a job failed, else cancelled where one was, else success.
    pub conclusion: Conclusion,
    /// How each job ended, those that had ended before a restart among them.
    pub jobs: BTreeMap<JobId, JobResult>,
}

impl RunResult {
    /// The result of these jobs together.
    pub(crate) fn of(jobs: BTreeMap<JobId, JobResult>, was_cancelled: bool) -> Self {
        let any = |wanted| jobs.values().any(|result| result.effective() == wanted);
        let conclusion = if any(Conclusion::Failure) {
            Conclusion::Failure
        } else if was_cancelled || any(Conclusion::Cancelled) {
            Conclusion::Cancelled
        } else {
            Conclusion::Success
        };
        Self { conclusion, jobs }
    }
}
