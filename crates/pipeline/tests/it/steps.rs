//! Steps: what they see, what they leave for the steps after them, and what their logs show.

use prograde_pipeline::Conclusion;

use crate::harness::{Bench, steps};

#[tokio::test]
async fn the_usual_variables_are_there_and_nothing_else() {
    let mut bench =
        Bench::new(&steps("- uses: actions/checkout@v4\n- run: env -0 | tr '\\n\\0' ' \\n' | sort; cat README.md"));
    bench.options.pass_env = vec!["CACHE_*".to_owned()];
    let log = bench.log_of_success().await;
    let root = bench.root.display().to_string();
    let commit = bench.event.commit.as_str();
    let shown: Vec<String> = log
        .lines()
        .map(|line| line.replace(&root, "ROOT").replace(commit, "COMMIT"))
        .map(|line| if line.starts_with("RUNNER_TRACKING_ID=") { "RUNNER_TRACKING_ID=…".to_owned() } else { line })
        .map(|line| line.replace(std::env::consts::ARCH, "ARCH").replace("X64", "ARCH"))
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[tokio::test]
async fn later_environments_win() {
    let log = Bench::new(
        "on: push
env: {A: workflow, B: workflow, C: workflow, D: workflow, GITHUB_SHA: mine, CI: 'no'}
jobs:
  job:
    runs-on: ubuntu-latest
    env: {B: job, C: job, D: job, E: '${{ github.ref_name }}-${{ vars.NONE }}'}
    steps:
      - run: |
          echo C=file >> $GITHUB_ENV
          printf 'D<<END\\nfile\\nlines\\nEND\\n' >> $GITHUB_ENV
      - if: env.D == 'step' && env.C == 'file'
        env: {D: step}
        run: echo \"$A $B $C $D $E ${GITHUB_SHA#mine} $CI ${{ env.D }}\"
      - run: printf '%s\\n' \"$D\"
",
    )
    .log_of_success()
    .await;
    let commit_free = log.lines().map(|line| if line.starts_with("workflow") { "line" } else { line });
    assert_eq!(commit_free.collect::<Vec<_>>(), ["line", "file", "lines"]);
    let line = log.lines().next().unwrap();
    assert!(line.starts_with("workflow job file step main- "), "{line}");
    assert!(line.ends_with(" no step") && !line.contains("mine"), "{line}");
}

#[tokio::test]
async fn outputs_conditions_and_outcomes_reach_later_steps() {
    let bench = Bench::new(&steps(
        "- id: one
  run: |
    echo 'name=va=lue' >> $GITHUB_OUTPUT
    printf 'lines<<X\\na\\nb\\nX\\n' >> $GITHUB_OUTPUT
    echo '::set-output name=old::way'
- id: bad
  continue-on-error: true
  run: exit 3
- run: echo '${{ steps.one.outputs.name }} ${{ steps.one.outputs.old }} ${{ steps.bad.outcome }} ${{ steps.bad.conclusion }}'
- if: steps.one.outputs.name == 'nope'
  id: never
  run: echo no
- if: ${{ steps.never.conclusion == 'skipped' && !failure() }}
  run: echo \"${{ steps.one.outputs.lines }}\" ${{ toJSON(steps.one.outcome) }} ${{ hashFiles('nothing') || 'nothing' }}
- name: Say ${{ steps.one.outputs.name }}
  run: echo ${{ job.status }} ${{ runner.os }} ${{ github.job }} ${{ github.action }} $GITHUB_ACTION",
    ));
    let log = bench.log_of_success().await;
    insta::assert_snapshot!(log, @r"
    ::set-output name=old::way
    ::error::the process ended with exit code 3
    va=lue way failure success
    a
    b success nothing
    success Linux job __step_6 __step_6
    ");
    insta::assert_snapshot!(bench.heard().join("\n"));
}

#[tokio::test]
async fn after_a_failure_only_those_run_that_ask_for_it() {
    let bench = Bench::new(&steps(
        "- run: echo before; echo oops >&2; exit 42
- run: echo never
- if: failure()
  run: echo on failure
- if: always()
  run: exit 1
- if: github.ref == 'refs/heads/main'
  run: echo never
- if: ${{ !cancelled() }}
  run: echo last",
    ));
    let result = bench.run().await;
    assert_eq!(result.conclusion, Conclusion::Failure);
    let failure = result.jobs.values().next().unwrap().failure.clone().unwrap();
    assert_eq!((failure.step, failure.exit_code), (0, Some(42)));
    assert_eq!(failure.log_tail, ["before", "oops", "::error::the process ended with exit code 42"]);
    let log = bench.log("ci.yml/job").await;
    assert!(!log.contains("never") && log.contains("on failure") && log.contains("last"), "{log}");
}

#[tokio::test]
async fn shells_directories_and_paths_are_as_on_github() {
    let log = Bench::new(
        "on: push
defaults: {run: {shell: sh, working-directory: sub}}
jobs:
  job:
    runs-on: [self-hosted, linux]
    defaults: {run: {working-directory: sub/deeper}}
    steps:
      - run: mkdir -p sub/deeper bin && printf '#!/bin/sh\\necho tool' > bin/tool && chmod +x bin/tool && echo \"$PWD/bin\" >> $GITHUB_PATH
        working-directory: .
      - run: basename \"$PWD\"; tool; echo \"$0\" | sed 's/.*[.]//'
      - run: false | echo pipes may fail
      - {run: '! false | cat && echo pipefail', shell: bash}
      - {run: '[ -n \"$BASH_VERSION\" ] && echo custom', shell: 'bash -u {0}'}
",
    )
    .log_of_success()
    .await;
    insta::assert_snapshot!(log, @r"
    deeper
    tool
    sh
    pipes may fail
    pipefail
    custom
    ");
}

#[tokio::test]
async fn a_bare_run_stops_at_its_first_failing_command() {
    let bench = Bench::new(&steps("- run: |\n    false\n    echo never"));
    assert_eq!(bench.run().await.conclusion, Conclusion::Failure);
    assert!(!bench.log("ci.yml/job").await.contains("never"));
}

#[tokio::test]
async fn what_is_masked_is_nowhere() {
    let bench = Bench::new(
        "on: push
jobs:
  job:
    runs-on: ubuntu-latest
    outputs:
      plain: ${{ steps.s.outputs.plain }}
      secret: ${{ steps.s.outputs.secret }}
    steps:
      - id: s
        name: Mask
        run: |
          echo '::add-mask::hunter2'
          echo 'now hunter2 on stdout'; echo 'and xhunter2x on stderr' >&2
          echo '::error::hunter2 is bad'
          echo plain=fine >> $GITHUB_OUTPUT
          echo secret=hunter2 >> $GITHUB_OUTPUT
          echo '# hunter2' >> $GITHUB_STEP_SUMMARY
      - name: With ${{ steps.s.outputs.secret }}
        run: echo ${{ steps.s.outputs.secret }} | tr a-z A-Z; echo ${{ steps.s.outputs.secret }}; exit 9
",
    );
    let result = bench.run().await;
    let job = result.jobs.values().next().unwrap();
    assert_eq!(job.outputs.iter().collect::<Vec<_>>(), [(&"plain".to_owned(), &"fine".to_owned())]);
    let everything = format!("{:?}\n{result:?}", bench.heard());
    assert!(!everything.contains("hunter2") && everything.contains("With ***"), "{everything}");
    let log = bench.log("ci.yml/job").await;
    insta::assert_snapshot!(log, @r"
    ::add-mask::***
    now *** on stdout
    and x***x on stderr
    ::error::*** is bad
    HUNTER2
    ***
    ::error::the process ended with exit code 9
    ");
    for file in walk(&bench.options.directory.join("logs")) {
        assert!(!std::fs::read_to_string(&file).unwrap().contains("hunter2"), "{}", file.display());
    }
}

fn walk(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn what_a_step_does_wrong_is_said() {
    for (step, message) in [
        ("- run: echo nothing >> $GITHUB_OUTPUT", "the file in $GITHUB_OUTPUT can't be taken: line 1 is \"nothing\""),
        ("- run: head -c 2000000 /dev/zero >> $GITHUB_ENV", "the file in $GITHUB_ENV can't be taken: it has more than"),
        ("- run: printf 'A=b\\0c' >> $GITHUB_ENV", "the file in $GITHUB_ENV can't be taken: \"A\" can't be the name"),
        ("- run: echo '::set-env name=A::b'", "the command `set-env` is not allowed; write to the file in $GITHUB_ENV"),
        ("- run: x\n  working-directory: nowhere", "the step can't be run: there is no directory"),
        ("- run: x\n  shell: nosuchshell {0}", "the step can't be run: there is no command `nosuchshell`"),
        ("- run: x ${{ fromJSON('{') }}", "`run` has no value: not JSON"),
        ("- run: x\n  timeout-minutes: ${{ github.ref }}", "`timeout-minutes` is \"refs/heads/main\", and must be"),
        ("- run: kill -9 $$", "the process ended with exit code 137"),
    ] {
        let bench = Bench::new(&steps(step));
        let result = bench.run().await;
        let failure = result.jobs.values().next().unwrap().failure.clone().unwrap();
        assert!(failure.message.starts_with(message), "{step}: {}", failure.message);
    }
}

#[tokio::test]
async fn a_background_process_outlives_its_step_and_not_its_job() {
    let bench = Bench::new(&steps(
        "- run: |
    (while :; do echo tick; sleep 0.02; done) & echo pid=$! >> $GITHUB_ENV
    setsid sh -c 'echo escaped=$$ >> $GITHUB_ENV; exec sleep 300' & sleep 0.2
- run: kill -0 $pid && kill -0 $escaped && echo alive; echo $pid $escaped > $RUNNER_TOOL_CACHE/pids",
    ));
    let log = bench.log_of_success().await;
    assert!(log.contains("alive") && log.contains("tick"), "{log}");
    for pid in std::fs::read_to_string(bench.root.join("tools/pids")).unwrap().split_whitespace() {
        crate::harness::eventually("the process ends", || !crate::harness::is_running(pid)).await;
    }
}

#[tokio::test]
async fn a_log_is_cut_at_its_limit_while_the_step_goes_on() {
    let mut bench = Bench::new(&steps(
        "- run: seq 1 100000; echo ok=1 >> $GITHUB_OUTPUT\n  id: s\n- run: echo ${{ steps.s.outputs.ok }}",
    ));
    bench.options.step_log_bytes_max = 10_000;
    let log = bench.log_of_success().await;
    assert!(log.len() < 11_000 && log.ends_with("the rest is cut: the log has reached 10000 bytes\n1\n"));
}

#[tokio::test]
async fn standard_input_is_closed_and_summaries_are_kept() {
    let bench = Bench::new(&steps("- run: cat; echo read; echo '# Done' >> $GITHUB_STEP_SUMMARY"));
    assert_eq!(bench.log_of_success().await, "read\n");
    let logs = prograde_pipeline::log_directory(&bench.options.directory, &"ci.yml/job".to_owned().into());
    assert_eq!(std::fs::read_to_string(logs.join("01-summary.md")).unwrap(), "# Done\n");
}
