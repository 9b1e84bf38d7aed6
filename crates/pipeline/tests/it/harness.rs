//! What the tests share: a commit in a Git repository, a run in a directory of its own, and a look at what it left.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use prograde_model::CommitId;
use prograde_pipeline::{
    Checkout, CheckoutError, Conclusion, JobId, JobResult, Observer, Progress, PushEvent, RunOptions, RunResult,
    Runner, Workflows, step_logs,
};
use tokio_util::sync::CancellationToken;

/// No test waits longer than this for anything.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A run that is about to be made.
pub(crate) struct Bench {
    _directory: tempfile::TempDir,
    pub(crate) root: PathBuf,
    pub(crate) workflows: Workflows,
    pub(crate) event: PushEvent,
    pub(crate) options: RunOptions,
    pub(crate) finished: BTreeMap<JobId, JobResult>,
    pub(crate) cancel: CancellationToken,
    pub(crate) heard: Arc<Heard>,
}

/// All that was heard of a run, and what to do on hearing of a step's start.
#[derive(Default)]
pub(crate) struct Heard(pub(crate) Mutex<Vec<String>>);

impl Observer for Heard {
    fn observe(&self, progress: Progress) -> BoxFuture<'_, ()> {
        let line = match progress {
            Progress::JobStarted { job, .. } => format!("start {job}"),
            Progress::StepStarted { job, name, .. } => format!("step {job}: {name}"),
            Progress::StepFinished { job, name, conclusion, .. } => {
                format!("done {job}: {name}: {}", conclusion.as_str())
            }
            Progress::JobFinished { job, result } => format!("end {job}: {}", result.conclusion.as_str()),
        };
        self.0.lock().unwrap().push(line);
        Box::pin(std::future::ready(()))
    }
}

/// Checks out of a real repository with Git itself.
struct GitCheckout(PathBuf);

impl Checkout for GitCheckout {
    fn checkout<'a>(&'a self, commit: &'a CommitId, into: &'a Path) -> BoxFuture<'a, Result<(), CheckoutError>> {
        Box::pin(async move {
            let ran = tokio::process::Command::new("git")
                .arg("--git-dir")
                .arg(self.0.join(".git"))
                .arg("--work-tree")
                .arg(into)
                .args(["checkout", "--force", commit.as_str(), "--", "."])
                .env("GIT_INDEX_FILE", into.with_extension("index"))
                .output()
                .await
                .map_err(|error| CheckoutError(error.to_string()))?;
            if ran.status.success() { Ok(()) } else { Err(CheckoutError(String::from_utf8_lossy(&ran.stderr).into())) }
        })
    }
}

fn git(repository: &Path, arguments: &[&str]) -> String {
    let ran = Command::new("git")
        .arg("-C")
        .arg(repository)
        .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "init.defaultBranch=main"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(ran.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap().trim().to_owned()
}

pub(crate) fn event(commit: &str) -> PushEvent {
    PushEvent {
        repository: "space/pad".to_owned(),
        branch: "main".to_owned(),
        commit: commit.parse().unwrap(),
        before: None,
        author_name: "Ada".to_owned(),
        author_email: "ada@example.org".to_owned(),
        message: "Launch".to_owned(),
        changed_paths: None,
        run_id: "0af7651916cd43dd8448eb211c80319c".to_owned(),
        run_number: 7,
    }
}

pub(crate) fn load(files: &[(&str, &str)]) -> Result<Workflows, String> {
    let files: Vec<_> =
        files.iter().map(|(name, text)| (format!(".github/workflows/{name}"), (*text).to_owned())).collect();
    Workflows::load(&files).map_err(|found| found.to_string())
}

impl Bench {
    /// A run of one workflow, `ci.yml`.
    pub(crate) fn new(workflow: &str) -> Self {
        Self::of(&[("ci.yml", workflow)])
    }

    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let workflows = load(files).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let root = std::fs::canonicalize(directory.path()).unwrap();
        let repository = root.join("repository");
        std::fs::create_dir_all(&repository).unwrap();
        git(&repository, &["init", "--quiet"]);
        std::fs::write(repository.join("README.md"), "the pad\n").unwrap();
        git(&repository, &["add", "."]);
        git(&repository, &["commit", "--quiet", "-m", "Launch"]);
        let commit = git(&repository, &["rev-parse", "HEAD"]);
        let clock = Arc::new(|| jiff::Timestamp::UNIX_EPOCH);
        let checkout = Arc::new(GitCheckout(repository));
        let mut options = RunOptions::new(root.join("run"), root.join("tools"), checkout, clock);
        options.jobs_max = 4;
        options.waits.interrupt = Duration::from_millis(300);
        options.waits.terminate = Duration::from_millis(300);
        options.host_env = BTreeMap::from(
            [("PATH", "/usr/local/bin:/usr/bin:/bin"), ("HOME", "/tmp"), ("SERVER_TOKEN", "t"), ("CACHE_A", "1")]
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        Self {
            _directory: directory,
            root,
            workflows,
            event: event(&commit),
            options,
            finished: BTreeMap::new(),
            cancel: CancellationToken::new(),
            heard: Arc::default(),
        }
    }

    pub(crate) async fn run(&self) -> RunResult {
        let runner = Runner::new(self.options.clone());
        let heard = self.heard.clone();
        let run = runner.run(&self.workflows, &self.event, &self.finished, &*heard, self.cancel.clone());
        tokio::time::timeout(PATIENCE, run).await.expect("the run ends").unwrap()
    }

    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.0.lock().unwrap().clone()
    }

    /// Waits until `wanted` was heard.
    pub(crate) async fn hear(&self, wanted: &str) {
        eventually(wanted, || self.heard().iter().any(|line| line == wanted)).await;
    }

    /// All logs of a job, without their times.
    pub(crate) async fn log(&self, job: &str) -> String {
        let mut all = String::new();
        for log in step_logs(&self.options.directory, &JobId::from(job.to_owned())).await.unwrap() {
            let text = std::fs::read_to_string(&log.path).unwrap();
            for line in text.lines() {
                all += line.strip_prefix("1970-01-01T00:00:00.000Z ").unwrap();
                all += "\n";
            }
        }
        all
    }

    /// Runs, expects success, and gives the log of the one job, `ci.yml/job`.
    pub(crate) async fn log_of_success(&self) -> String {
        let result = self.run().await;
        let log = self.log("ci.yml/job").await;
        assert_eq!(result.conclusion, Conclusion::Success, "{log}\n{result:#?}");
        log
    }
}

/// Waits for a condition.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let until = tokio::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(tokio::time::Instant::now() < until, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// How each job ended.
pub(crate) fn conclusions(result: &RunResult) -> Vec<String> {
    result.jobs.iter().map(|(job, result)| format!("{job}: {}", result.conclusion.as_str())).collect()
}

/// A workflow with one job, `job`, of these steps.
pub(crate) fn steps(steps: &str) -> String {
    let indented: String = steps.lines().flat_map(|line| ["      ", line, "\n"]).collect();
    format!("on: push\njobs:\n  job:\n    runs-on: ubuntu-latest\n    steps:\n{indented}")
}

/// Whether a process runs.
pub(crate) fn is_running(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}
