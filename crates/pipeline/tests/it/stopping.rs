//! Time-outs and cancelling: everything that was started is ended, and what was to tidy up still may.

use std::time::Duration;

use prograde_pipeline::{Conclusion, Runner};

use crate::harness::{Bench, conclusions, eventually, is_running, steps};

/// Starts a process that heeds no signal, with a child, and names both in the tool cache.
const STUBBORN: &str =
    "trap '' INT TERM; (trap '' INT TERM; sleep 300) & echo $$ $! > $RUNNER_TOOL_CACHE/pids; sleep 300; sleep 300";

fn pids(bench: &Bench) -> Vec<String> {
    let text = std::fs::read_to_string(bench.root.join("tools/pids")).unwrap();
    text.split_whitespace().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_step_that_takes_too_long_is_ended_with_all_its_processes() {
    let bench = Bench::new(&steps(&format!(
        "- run: {STUBBORN}\n  timeout-minutes: 0.01\n- if: failure()\n  run: echo tidied up"
    )));
    let result = bench.run().await;
    let job = result.jobs.values().next().unwrap();
    assert_eq!(job.conclusion, Conclusion::Failure);
    assert_eq!(job.failure.as_ref().unwrap().message, "the step took longer than 0.01 minutes");
    assert!(bench.log("ci.yml/job").await.contains("tidied up"));
    assert!(pids(&bench).iter().all(|pid| !is_running(pid)));
}

#[tokio::test]
async fn a_job_that_takes_too_long_has_failed_and_may_tidy_up() {
    let text = steps(&format!(
        "- run: {STUBBORN}\n- run: echo never\n- if: always()\n  run: echo tidied up ${{{{ cancelled() }}}}"
    ))
    .replace("cancelled()", "job.status")
    .replace("    steps:", "    timeout-minutes: 0.01\n    steps:");
    let bench = Bench::new(&text);
    let result = bench.run().await;
    let job = result.jobs.values().next().unwrap();
    assert_eq!((result.conclusion, job.conclusion), (Conclusion::Failure, Conclusion::Failure));
    assert_eq!(job.reason.as_deref(), Some("the job took longer than 0.01 minutes"));
    let log = bench.log("ci.yml/job").await;
    assert!(log.contains("tidied up cancelled") && !log.contains("never"), "{log}");
    assert!(pids(&bench).iter().all(|pid| !is_running(pid)));
}

#[tokio::test]
async fn cancelling_ends_what_runs_and_lets_always_run() {
    let workflow = "on: push
jobs:
  long:
    runs-on: ubuntu-latest
    steps:
      - name: wait
        run: sleep 300
      - run: echo never
      - if: cancelled()
        run: echo was cancelled
  next: {needs: long, runs-on: linux, steps: [{run: echo never}]}
  tidy: {needs: long, if: always(), runs-on: linux, steps: [{run: 'echo ${{ needs.long.result }}'}]}
";
    let bench = Bench::new(workflow);
    let cancel = async {
        bench.hear("step ci.yml/long: wait").await;
        bench.cancel.cancel();
    };
    let (result, ()) = tokio::join!(bench.run(), cancel);
    assert_eq!(result.conclusion, Conclusion::Cancelled);
    insta::assert_snapshot!(conclusions(&result).join("\n"), @r"
    ci.yml/long: cancelled
    ci.yml/next: cancelled
    ci.yml/tidy: success
    ");
    let log = bench.log("ci.yml/long").await;
    assert!(log.contains("was cancelled") && !log.contains("never"), "{log}");
    assert_eq!(bench.log("ci.yml/tidy").await, "cancelled\n");
}

#[tokio::test]
async fn a_step_with_always_is_not_interrupted_until_grace_ends() {
    let workflow =
        steps(&format!("- name: stubborn\n  if: always()\n  run: {STUBBORN}\n- if: always()\n  run: echo never"));
    let mut bench = Bench::new(&workflow);
    bench.options.cancel_grace = Duration::from_millis(300);
    let cancel = async {
        eventually("the process starts", || bench.root.join("tools/pids").exists()).await;
        bench.cancel.cancel();
    };
    let (result, ()) = tokio::join!(bench.run(), cancel);
    assert_eq!(result.conclusion, Conclusion::Cancelled);
    assert!(pids(&bench).iter().all(|pid| !is_running(pid)));
    assert!(!bench.log("ci.yml/job").await.contains("never"));
}

#[tokio::test]
async fn a_run_that_is_dropped_leaves_no_processes() {
    let bench = Bench::new(&steps(&format!("- run: {STUBBORN}")));
    let runner = Runner::new(bench.options.clone());
    {
        let run = runner.run(&bench.workflows, &bench.event, &bench.finished, &*bench.heard, bench.cancel.clone());
        tokio::select! {
            _ = run => panic!("the run has ended"),
            () = eventually("the pids", || std::fs::read_to_string(bench.root.join("tools/pids")).is_ok_and(|t| t.contains(' '))) => {}
        }
    }
    for pid in pids(&bench) {
        eventually("the process ends", || !is_running(&pid)).await;
    }
}

#[tokio::test]
async fn a_run_that_was_cancelled_before_it_began_runs_only_what_insists() {
    let bench = Bench::new(
        "on: push
jobs:
  a: {runs-on: linux, steps: [{run: exit 1}]}
  b: {if: always(), runs-on: linux, steps: [{run: echo}]}
",
    );
    bench.cancel.cancel();
    let result = bench.run().await;
    assert_eq!(conclusions(&result), ["ci.yml/a: cancelled", "ci.yml/b: success"]);
    assert_eq!(result.conclusion, Conclusion::Cancelled);
}
