//! Jobs: order, conditions, matrices, outputs and artifacts.

use prograde_pipeline::Conclusion;

use crate::harness::{Bench, conclusions};

/// A workflow of jobs that differ in `needs`, `if` and what they run.
fn jobs(jobs: &[(&str, &str, &str)]) -> String {
    let job = |(name, keys, run): &(&str, &str, &str)| {
        let keys: String = keys.lines().flat_map(|line| ["    ", line, "\n"]).collect();
        format!("  {name}:\n    runs-on: ubuntu-latest\n{keys}    steps:\n      - run: {run}\n")
    };
    format!("on: push\njobs:\n{}", jobs.iter().map(job).collect::<String>())
}

#[tokio::test]
async fn jobs_wait_for_what_they_need_and_look_at_how_it_went() {
    let bench = Bench::new(&jobs(&[
        ("deploy", "needs: [test, lint]", "echo"),
        ("test", "needs: build", "exit 1"),
        ("build", "", "echo"),
        ("lint", "", "echo"),
        ("report", "needs: test\nif: always()", "echo ${{ needs.test.result }}"),
        ("alarm", "needs: deploy\nif: failure()", "echo ${{ needs.deploy.result }}"),
        ("after", "needs: report", "echo"),
        ("other", "if: github.ref_name == 'other'", "echo"),
    ]));
    let result = bench.run().await;
    assert_eq!(result.conclusion, Conclusion::Failure);
    insta::assert_snapshot!(conclusions(&result).join("\n"), @r"
    ci.yml/after: skipped
    ci.yml/alarm: success
    ci.yml/build: success
    ci.yml/deploy: skipped
    ci.yml/lint: success
    ci.yml/other: skipped
    ci.yml/report: success
    ci.yml/test: failure
    ");
    assert_eq!(bench.log("ci.yml/report").await, "failure\n");
    assert_eq!(bench.log("ci.yml/alarm").await, "skipped\n");
    let heard = bench.heard();
    let place = |line: &str| heard.iter().position(|own| own == line).unwrap();
    assert!(place("end ci.yml/build: success") < place("start ci.yml/test"));
    assert!(place("end ci.yml/test: failure") < place("end ci.yml/deploy: skipped"));
}

#[tokio::test]
async fn outputs_go_from_job_to_job_and_make_matrices() {
    let bench = Bench::new(
        "on: push
jobs:
  setup:
    runs-on: ubuntu-latest
    outputs: {list: '${{ steps.s.outputs.list }}', greeting: 'hi ${{ steps.s.outputs.who }}'}
    steps:
      - id: s
        run: |
          echo 'list=[{\"os\": \"linux\", \"n\": 1}, {\"os\": \"linux\", \"n\": 2}]' >> $GITHUB_OUTPUT
          echo who=you >> $GITHUB_OUTPUT
  build:
    needs: setup
    runs-on: ${{ matrix.os }}
    strategy:
      max-parallel: 1
      matrix: {include: '${{ fromJSON(needs.setup.outputs.list) }}'}
    outputs: {last: '${{ matrix.n }}'}
    steps:
      - run: echo ${{ needs.setup.outputs.greeting }} ${{ matrix.n }} ${{ strategy.job-index }}/${{ strategy.job-total }}
  end:
    needs: build
    runs-on: ubuntu-latest
    steps: [{run: 'echo ${{ needs.build.outputs.last }} ${{ needs.build.result }}'}]
",
    );
    let result = bench.run().await;
    assert_eq!(result.conclusion, Conclusion::Success, "{result:#?}");
    assert_eq!(bench.log("ci.yml/build (linux, 1)").await, "hi you 1 0/2\n");
    assert_eq!(bench.log("ci.yml/build (linux, 2)").await, "hi you 2 1/2\n");
    assert_eq!(bench.log("ci.yml/end").await, "2 success\n");
    let heard = bench.heard();
    let place = |line: &str| heard.iter().position(|own| own == line).unwrap();
    assert!(place("end ci.yml/build (linux, 1): success") < place("start ci.yml/build (linux, 2)"));
    let plan = bench.workflows.plan(&bench.event);
    assert_eq!(
        plan.jobs.iter().map(|job| (job.id.as_str(), job.matrix_later)).collect::<Vec<_>>(),
        [("ci.yml/setup", false), ("ci.yml/build", true), ("ci.yml/end", false),]
    );
}

#[tokio::test]
async fn one_failing_combination_stops_the_others_unless_told_not_to() {
    let matrix = |keys: &str| {
        let text = format!(
            "on: push
jobs:
  job:
    runs-on: ubuntu-latest
    strategy: {{{keys} max-parallel: 2, matrix: {{n: [1, 2, 3]}}}}
    steps: [{{run: 'if [ ${{{{ matrix.n }}}} = 1 ]; then exit 1; fi; [ ${{{{ strategy.fail-fast }}}} = false ] || sleep 300'}}]
  after:
    needs: job
    if: failure() && needs.job.result == 'failure'
    runs-on: ubuntu-latest
    steps: [{{run: echo}}]
"
        );
        Bench::new(&text)
    };
    let result = matrix("").run().await;
    insta::assert_snapshot!(conclusions(&result).join("\n"), @r"
    ci.yml/after: success
    ci.yml/job (1): failure
    ci.yml/job (2): cancelled
    ci.yml/job (3): cancelled
    ");
    let result = matrix("fail-fast: false,").run().await;
    insta::assert_snapshot!(conclusions(&result).join("\n"), @r"
    ci.yml/after: success
    ci.yml/job (1): failure
    ci.yml/job (2): success
    ci.yml/job (3): success
    ");
}

#[tokio::test]
async fn a_tolerated_failure_counts_as_success_for_all_others() {
    let bench = Bench::new(
        "on: push
jobs:
  shaky:
    runs-on: ubuntu-latest
    continue-on-error: ${{ matrix.n == 1 }}
    strategy: {matrix: {n: [1, 2]}}
    steps: [{run: 'exit ${{ matrix.n == 1 && 1 || 0 }}'}]
  after:
    needs: shaky
    runs-on: ubuntu-latest
    steps: [{run: 'echo ${{ needs.shaky.result }}'}]
",
    );
    let result = bench.run().await;
    assert_eq!(result.conclusion, Conclusion::Success, "{result:#?}");
    assert_eq!(conclusions(&result)[1], "ci.yml/shaky (1): failure");
    assert_eq!(bench.log("ci.yml/after").await, "success\n");
}

#[tokio::test]
async fn no_more_jobs_run_at_once_than_allowed() {
    let mut bench = Bench::new(
        "on: push
jobs:
  job:
    runs-on: ubuntu-latest
    strategy: {matrix: {n: [1, 2, 3, 4, 5, 6]}}
    steps:
      - run: mkdir \"$RUNNER_TOOL_CACHE/lock\"; sleep 0.02; rmdir \"$RUNNER_TOOL_CACHE/lock\"
",
    );
    bench.options.jobs_max = 1;
    assert_eq!(bench.run().await.conclusion, Conclusion::Success);
}

#[tokio::test]
async fn artifacts_go_from_job_to_job_within_their_workflow() {
    let producer = "on: push
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - run: mkdir -p out/bin && echo binary > out/bin/app && chmod +x out/bin/app
      - uses: actions/upload-artifact@v4
        with: {name: 'app-${{ github.run_number }}', path: out, if-no-files-found: error}
  use:
    needs: build
    runs-on: ubuntu-latest
    steps:
      - id: get
        uses: actions/download-artifact@v4
        with: {name: app-7, path: in}
      - run: cat in/bin/app; test -x in/bin/app; test \"${{ steps.get.outputs.download-path }}\" = \"$PWD/in\"
";
    let other = "on: push
jobs:
  none:
    runs-on: ubuntu-latest
    steps:
      - {uses: actions/download-artifact@v4, with: {name: app-7}}
";
    let bench = Bench::of(&[("ci.yml", producer), ("other.yaml", other)]);
    let result = bench.run().await;
    insta::assert_snapshot!(conclusions(&result).join("\n"), @r"
    ci.yml/build: success
    ci.yml/use: success
    other.yaml/none: failure
    ");
    let failure = result.jobs.values().last().unwrap().failure.clone().unwrap();
    assert_eq!(failure.message, "there is no artifact called \"app-7\"");
    let left = prograde_pipeline::artifacts(&bench.options.directory).unwrap();
    assert_eq!(
        left.iter().map(|own| (own.workflow.as_str(), own.name.as_str())).collect::<Vec<_>>(),
        [("ci.yml", "app-7")]
    );
    assert_eq!(std::fs::read_to_string(left[0].path.join("bin/app")).unwrap(), "binary\n");
}

#[tokio::test]
async fn what_only_the_run_can_tell_fails_the_job_and_says_why() {
    let bench = Bench::new(
        "on: push
jobs:
  a:
    runs-on: ${{ vars.RUNNER }}
    steps: [{run: echo}]
  b:
    runs-on: ubuntu-latest
    strategy: {matrix: '${{ fromJSON(vars.RUNNER) }}'}
    steps: [{run: echo}]
  c:
    runs-on: ubuntu-latest
    steps:
      - id: s
        run: head -c 700000 /dev/zero | tr '\\0' x > big; echo \"x=$(cat big)\" >> $GITHUB_OUTPUT
    outputs: {a: '${{ steps.s.outputs.x }}', b: '${{ steps.s.outputs.x }}'}
",
    );
    let mut bench = bench;
    bench.options.vars.insert("RUNNER".to_owned(), "windows-latest".to_owned());
    let result = bench.run().await;
    let reasons: Vec<_> = result.jobs.values().map(|job| job.reason.clone().unwrap_or_default()).collect();
    insta::assert_snapshot!(reasons.join("\n"), @r#"
    `runs-on` is "windows-latest", and this machine is not "windows-latest"
    the matrix's expression failed: not JSON: expected value at line 1 column 1
    the job's outputs have more than 1048576 bytes
    "#);
}

#[tokio::test]
async fn a_push_that_starts_nothing_runs_nothing() {
    let bench = Bench::of(&[
        ("tags.yml", "on: {push: {tags: ['v*']}}\njobs: {a: {runs-on: linux, steps: [{run: exit 1}]}}"),
        ("pr.yml", "on: pull_request\njobs: {a: {runs-on: windows-latest, container: x}}"),
    ]);
    let result = bench.run().await;
    assert_eq!((result.conclusion, result.jobs.len()), (Conclusion::Success, 0));
    let skipped = bench.workflows.plan(&bench.event).skipped;
    assert_eq!(skipped[0].reason, "only tags start it");
    assert_eq!(skipped[1].reason, "no push starts it");
}
