//! How a run is carried out.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::group::StopWaits;
use crate::action::artifact::ArtifactLimits;
use crate::action::checkout::Checkout;

/// Tells the time, for the logs.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How a run is carried out.
#[derive(Clone)]
pub struct RunOptions {
    /// The run's own directory. Holds `jobs/<job>/` while jobs run, `logs/<job>/<nn>-<step>.log`, and
    /// `artifacts/<workflow>/<name>/`, with [`JobId::directory`](crate::JobId::directory) for `<job>`.
    pub directory: PathBuf,
    /// Where tools may be kept from run to run: `RUNNER_TOOL_CACHE`.
    pub tool_cache: PathBuf,
    /// The names of the server's variables that jobs see, beside `PATH`, `HOME` and `LANG`; `PREFIX_*` names several.
    pub pass_env: Vec<String>,
    /// The server's environment.
    pub host_env: BTreeMap<String, String>,
    /// The `vars` context.
    pub vars: BTreeMap<String, String>,
    /// How many jobs run at once; at least one does.
    pub jobs_max: usize,
    /// How long processes are given to end by themselves.
    pub waits: StopWaits,
    /// How long steps with `always()` may go on after a job was cancelled or has timed out.
    pub cancel_grace: Duration,
    /// The most bytes in the log of a step; the rest is cut, and the step goes on.
    pub step_log_bytes_max: u64,
    /// How large artifacts may be.
    pub artifact_limits: ArtifactLimits,
    /// Whether a job's directory is kept after the job, for looking at it.
    pub keep_job_directories: bool,
    /// Checks out commits.
    pub checkout: Arc<dyn Checkout>,
    /// Tells the time.
    pub clock: Clock,
}

impl RunOptions {
    /// The defaults: as many jobs at once as there are cores, GitHub's waits, five minutes of grace, logs of 64 MiB,
    /// artifacts of 10 GiB and 100 000 files.
    pub fn new(directory: PathBuf, tool_cache: PathBuf, checkout: Arc<dyn Checkout>, clock: Clock) -> Self {
        Self {
            directory,
            tool_cache,
            pass_env: Vec::new(),
            host_env: BTreeMap::new(),
            vars: BTreeMap::new(),
            jobs_max: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            waits: StopWaits::default(),
            cancel_grace: Duration::from_mins(5),
            step_log_bytes_max: 64 * 1024 * 1024,
            artifact_limits: ArtifactLimits { bytes_max: 10 * 1024 * 1024 * 1024, files_max: 100_000 },
            keep_job_directories: false,
            checkout,
            clock,
        }
    }
}
