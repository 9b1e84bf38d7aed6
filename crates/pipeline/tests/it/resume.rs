//! Going on after a restart: what had ended is not run again, and what was running leaves nothing behind.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use prograde_pipeline::{Conclusion, JobId, Runner};

use crate::harness::{Bench, conclusions, eventually, is_running};

const WORKFLOW: &str = "on: push
jobs:
  build:
    runs-on: ubuntu-latest
    outputs: {number: '${{ steps.s.outputs.n }}'}
    steps:
      - id: s
        run: echo n=$RANDOM$RANDOM > n; cat n >> $GITHUB_OUTPUT; echo run >> $RUNNER_TOOL_CACHE/builds
      - {uses: actions/upload-artifact@v4, with: {name: n, path: n}}
  skipped: {if: github.actor == 'nobody', runs-on: linux, steps: [{run: exit 1}]}
  use:
    needs: [build]
    runs-on: ubuntu-latest
    steps:
      - {uses: actions/download-artifact@v4, with: {name: n}}
      - run: echo leftover > here; test $(ls | wc -l) = 2; echo \"${{ needs.build.outputs.number }} $(cat n)\"
      - {uses: actions/upload-artifact@v4, with: {name: second, path: here}}
      - name: wait
        run: echo $$ > $RUNNER_TOOL_CACHE/pid; if [ ! -e $RUNNER_TOOL_CACHE/go ]; then sleep 300; fi
";

#[tokio::test]
async fn a_run_goes_on_where_it_was_interrupted() {
    let mut bench = Bench::new(WORKFLOW);
    let runner = Runner::new(bench.options.clone());
    let observer = Ended::default();
    {
        let run = runner.run(&bench.workflows, &bench.event, &bench.finished, &observer, bench.cancel.clone());
        tokio::select! {
            _ = run => panic!("the run has ended"),
            () = eventually("the last step", || bench.root.join("tools/pid").exists()) => {}
        }
    }
    bench.finished = observer.0.into_inner().unwrap().into_iter().collect();
    assert_eq!(bench.finished.len(), 2);
    std::fs::write(bench.root.join("tools/go"), "").unwrap();
    let result = bench.run().await;
    assert_eq!(result.conclusion, Conclusion::Success, "{result:#?}");
    assert_eq!(conclusions(&result), ["ci.yml/build: success", "ci.yml/skipped: skipped", "ci.yml/use: success"]);
    assert_eq!(std::fs::read_to_string(bench.root.join("tools/builds")).unwrap(), "run\n");
    assert!(bench.heard().iter().all(|line| line.contains("ci.yml/use")), "{:?}", bench.heard());
    let number = &result.jobs[&JobId::from("ci.yml/build".to_owned())].outputs["number"];
    assert!(bench.log("ci.yml/use").await.contains(&format!("{number} n={number}")));
}

/// Keeps the results of jobs, as the journal would.
#[derive(Default)]
struct Ended(std::sync::Mutex<Vec<(JobId, prograde_pipeline::JobResult)>>);

impl prograde_pipeline::Observer for Ended {
    fn observe(&self, progress: prograde_pipeline::Progress) -> futures_util::future::BoxFuture<'_, ()> {
        if let prograde_pipeline::Progress::JobFinished { job, result } = progress {
            let kept = serde_json::from_str(&serde_json::to_string(&result).unwrap()).unwrap();
            self.0.lock().unwrap().push((job, kept));
        }
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test]
async fn a_failed_combination_from_before_still_stops_the_others() {
    let mut bench = Bench::new(
        "on: push
jobs:
  job:
    runs-on: ubuntu-latest
    strategy: {matrix: {n: [1, 2]}}
    steps: [{run: 'exit ${{ matrix.n == 1 && 1 || 0 }}'}]
",
    );
    let first = bench.run().await;
    let failed = JobId::from("ci.yml/job (1)".to_owned());
    bench.finished.insert(failed.clone(), first.jobs[&failed].clone());
    let result = bench.run().await;
    assert_eq!(conclusions(&result), ["ci.yml/job (1): failure", "ci.yml/job (2): cancelled"]);
}

#[tokio::test]
async fn orphans_of_a_crash_are_ended_before_the_job_runs_again() {
    let bench = Bench::new("on: push\njobs: {job: {runs-on: linux, steps: [{run: echo again}]}}");
    // What a crash leaves: a process that carries the job's mark, and a job's directory with its name.
    let job = JobId::from("ci.yml/job".to_owned());
    std::fs::create_dir_all(&bench.options.directory).unwrap();
    let directory = std::fs::canonicalize(&bench.options.directory).unwrap();
    let own = directory.join("jobs").join(job.directory());
    std::fs::create_dir_all(own.join("workspace")).unwrap();
    std::fs::write(own.join("job"), job.as_str()).unwrap();
    std::fs::write(own.join("workspace/leftover"), "").unwrap();
    let mark = prograde_pipeline::tracking_id(&directory, &job);
    let mut orphan = Command::new("sleep")
        .arg("300")
        .env("RUNNER_TRACKING_ID", mark)
        .process_group(0)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut stranger = Command::new("sleep").arg("300").process_group(0).spawn().unwrap();
    assert_eq!(bench.run().await.conclusion, Conclusion::Success);
    orphan.wait().unwrap();
    assert!(is_running(&stranger.id().to_string()));
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    assert!(!own.exists());
}
