//! Checking before anything runs: every finding with its place and the way out.

use prograde_pipeline::Workflows;

use crate::harness::{event, load, steps};

const COMMIT: &str = "0123456789012345678901234567890123456789";

fn findings(workflow: &str) -> String {
    load(&[("ci.yml", workflow)]).expect_err("there are findings")
}

#[test]
fn keys_that_are_not_carried_out_are_pointed_at() {
    insta::assert_snapshot!(findings(
        "name: CI
on: {push: {branch: [main]}, pull_requst: {}}
defualts: {}
jobs:
  build:
    runs-on: [self-hosted, gpu]
    container: rust:1
    services: {db: {image: postgres}}
    environment: production
    timeout-minutes: -5
    continue-on-error: perhaps
    step: []
    steps:
      - run: make
        working_directory: src
        shell: pwsh
        timeout-minutes: soon
      - uses: actions/setup-node@v4
        with: {node-version: 20}
      - uses: ./.github/actions/mine
      - uses: docker://alpine:3
      - uses: actions/checkout@v2
      - uses: actions/checkout@v4
        with: {fetch-depth: 0, submodules: recursive, ref: other, pth: x}
      - uses: actions/upload-artifact@v4
        with: {name: x, if-no-files-found: panic}
      - uses: actions/download-artifact@v4
        with: {run-id: 5}
      - name: nothing
      - run: both
        uses: actions/checkout@v4
      - background: true
        run: server
  reuse:
    uses: ./.github/workflows/other.yml
    with: {a: b}
  matrix:
    strategy: {matrix: {os: [ubuntu-latest, windows-latest]}, max-parallel: 0, fail_fast: true}
    runs-on: ${{ matrix.os }}
    steps: [{run: echo}]
"
    ));
}

#[test]
fn expressions_are_pointed_at_where_they_stand() {
    insta::assert_snapshot!(findings(
        "on: push
env:
  TOKEN: ${{ secrets.TOKEN }}
  REF: a ${{ github.ref }} and ${{ github.refs }}
jobs:
  build:
    if: ${{ env.X }} == 'y'
    runs-on: ubuntu-latest
    steps:
      - run: |
          echo first
          echo ${{ github.sha }} ${{ steps.later.outputs.x }}
      - if: success() && steps.later.outcome
        run: echo ${{ format('x' }}
      - id: later
        name: \"quoted ${{ matrix.os }}\"
        run: echo ${{ github.sha
      - id: later
        run: >-
          folded ${{ nope() }}
      - id: 1st
        run: ${{ needs.other.outputs.x }} ${{ jobs.x }} ${{ github.event.commits[0] }}
        if: always() && hashFiles('x') == matrix.nothing
"
    ));
}

#[test]
fn needs_and_matrices_that_can_not_work_are_pointed_at() {
    insta::assert_snapshot!(findings(
        "on: push
jobs:
  a: {needs: [bb], runs-on: linux, steps: [{run: x}]}
  b:
    runs-on: linux
    outputs: {digest: '1'}
    steps: [{run: x}]
  c:
    needs: b
    runs-on: linux
    strategy: {matrix: {n: '${{ fromJSON(steps.x) }}'}}
    steps: [{run: 'echo ${{ needs.b.outputs.digset }} ${{ needs.a.result }} ${{ needs.b.status }}'}]
"
    ));
    insta::assert_snapshot!(findings(
        "on: push\njobs:\n  a: {needs: b, runs-on: linux, steps: [{run: x}]}\n  b: {needs: a, runs-on: linux, steps: [{run: x}]}\n"
    ));
    let matrix = |text: &str| {
        findings(&format!(
            "on: push\njobs:\n  a:\n    runs-on: linux\n    strategy:\n      matrix: {text}\n    steps: [{{run: x}}]\n"
        ))
    };
    let many: Vec<String> = (0..17).map(|n| n.to_string()).collect();
    let many = many.join(", ");
    insta::assert_snapshot!(
        [
            matrix("[1]"),
            matrix("{a: 1}"),
            matrix("{a: []}"),
            matrix("{include: [1]}"),
            matrix("{a: [1], exclude: [{a: 1}]}"),
            matrix(&format!("{{a: [{many}], b: [{many}]}}")),
        ]
        .join("\n")
    );
}

#[test]
fn wrong_shapes_and_names_are_pointed_at() {
    let all = [
        "on: push",
        "jobs: {}",
        "on: push\njobs: {}",
        "on: push\njobs: [a]",
        "on: [push, 5]\njobs: {a: {runs-on: linux, steps: [{run: x}]}}",
        "on: push\njobs: {a: {}}",
        "on: push\njobs: {a: {runs-on: linux, steps: []}}",
        "on: push\njobs: {a: {runs-on: {group: x}, steps: [{run: [x]}]}}",
        "on: push\njobs: {'a b': {runs-on: linux, steps: [text]}}",
        "on: push\nenv: [a]\ndefaults: 5\npermissions: some\nconcurrency: [x]\njobs: {a: {runs-on: linux, steps: [{run: x, env: 5}]}}",
        "on: {push: {branches: [main], branches-ignore: [x]}}\njobs: {a: {runs-on: linux, steps: [{run: x}]}}",
        "on: {push: {paths: ['!docs/**'], tags: ['[a']}}\njobs: {a: {runs-on: linux, steps: [{run: x}]}}",
        "just text",
        "",
        "on: push\n---\non: push",
    ];
    let found: Vec<_> =
        all.iter().map(|text| format!("{text}\n→ {}\n", findings(text).replace('\n', "\n  "))).collect();
    insta::assert_snapshot!(found.join("\n"));
}

#[test]
fn what_has_no_effect_is_noted() {
    let workflows = load(&[(
        "ci.yml",
        "on: [push, pull_request]
run-name: ${{ github.actor }} pushes
permissions: {contents: read}
concurrency: {group: 'ci-${{ github.ref }}', cancel-in-progress: true}
jobs:
  a:
    runs-on: linux
    permissions: read-all
    concurrency: deploy
    steps:
      - uses: actions/checkout@v6
        with: {persist-credentials: false, fetch-depth: 1}
      - uses: actions/upload-artifact@v4
        with: {path: x, retention-days: 5}
",
    )]);
    let notes: Vec<_> = workflows.unwrap().notes().iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(notes.join("\n"));
}

#[test]
fn pushes_start_what_their_filters_admit() {
    let starts = |on: &str, branch: &str, paths: Option<&[&str]>| {
        let workflow = format!("on: {on}\njobs: {{a: {{runs-on: linux, steps: [{{run: x}}]}}}}");
        let mut push = event(COMMIT);
        push.branch = branch.to_owned();
        push.changed_paths = paths.map(|paths| paths.iter().map(|path| (*path).to_owned()).collect());
        let plan = load(&[("ci.yml", &workflow)]).unwrap().plan(&push);
        assert_eq!(plan.jobs.len() + plan.skipped.len(), 1);
        plan.jobs.len() == 1
    };
    for (on, branch, paths, expected) in [
        ("push", "any", None, true),
        ("[pull_request, push]", "any", None, true),
        ("{push: }", "any", None, true),
        ("pull_request", "any", None, false),
        ("{push: {branches: main}}", "main", None, true),
        ("{push: {branches: [main, 'release/**']}}", "release/1/2", None, true),
        ("{push: {branches: [main]}}", "other", None, false),
        ("{push: {branches: ['**', '!wip/**']}}", "wip/x", None, false),
        ("{push: {branches: ['**', '!wip/**', 'wip/keep']}}", "wip/keep", None, true),
        ("{push: {branches-ignore: ['wip/**']}}", "wip/x", None, false),
        ("{push: {branches-ignore: ['wip/**']}}", "main", None, true),
        ("{push: {tags: ['v*']}}", "v1", None, false),
        ("{push: {tags: ['v*'], branches: [main]}}", "main", None, true),
        ("{push: {paths: ['src/**']}}", "main", Some(&["src/a.rs", "README.md"][..]), true),
        ("{push: {paths: ['src/**']}}", "main", Some(&["README.md"][..]), false),
        ("{push: {paths: ['src/**', '!**.md']}}", "main", Some(&["src/a.md"][..]), false),
        ("{push: {paths-ignore: ['docs/**']}}", "main", Some(&["docs/a"][..]), false),
        ("{push: {paths-ignore: ['docs/**']}}", "main", Some(&["docs/a", "src/b"][..]), true),
        ("{push: {paths: ['src/**']}}", "main", None, true),
        ("{push: {paths: ['src/**'], branches: [main]}}", "other", Some(&["src/a"][..]), false),
    ] {
        assert_eq!(starts(on, branch, paths), expected, "{on} {branch} {paths:?}");
    }
}

#[test]
fn the_plan_names_all_jobs_in_order() {
    let workflows = load(&[
        (
            "ci.yml",
            "name: Checks
on: push
jobs:
  publish: {needs: [test], runs-on: linux, steps: [{run: x, name: Publish}]}
  test:
    strategy: {matrix: {os: [linux, ubuntu-24.04], n: [1, 2], exclude: [{n: 2, os: linux}]}}
    runs-on: ${{ matrix.os }}
    steps: [{uses: actions/checkout@v4}, {run: \"cargo test\\n\"}]
",
        ),
        ("late.yml", "on: {push: {branches: [other]}}\njobs: {a: {runs-on: linux, steps: [{run: x}]}}"),
    ]);
    let plan = workflows.unwrap().plan(&event(COMMIT));
    insta::assert_snapshot!(serde_json::to_string_pretty(&plan).unwrap());
}

#[test]
fn two_files_of_one_name_are_refused() {
    let file = |path: &str| (path.to_owned(), "on: push\njobs: {a: {runs-on: linux, steps: [{run: x}]}}".to_owned());
    let found = Workflows::load(&[file("a/ci.yml"), file("b/ci.yml")]).unwrap_err();
    assert_eq!(found.0[0].message, "another workflow file is called `ci.yml`");
}

#[test]
fn conditions_without_braces_around_texts_are_refused() {
    let found = findings(&steps("- run: x\n  if: ${{ github.ref }} == 'x'\n- run: y\n  if: github.ref = 'x'"));
    insta::assert_snapshot!(found);
}
