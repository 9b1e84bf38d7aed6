//! Files made to break the reader: each is refused or read, none crashes or takes for ever.

use proptest::prelude::*;

use crate::harness::{load, steps};

#[test]
fn huge_deep_and_strange_files_are_refused() {
    let long = "x".repeat(30_000);
    let many_steps: String = (0..1001).map(|_| "- run: x\n").collect();
    let many_jobs: Vec<String> = (0..257).map(|n| format!("  j{n}: {{runs-on: linux, steps: [{{run: x}}]}}")).collect();
    let many_jobs = many_jobs.join(
        "
",
    );
    let chain = vec!["github.ref"; 400].join(" || ");
    for (what, text) in [
        ("huge", " ".repeat(5 * 1024 * 1024)),
        ("deep", format!("on: {}", "[".repeat(50_000))),
        ("deep maps", format!("on: {}", "{a: ".repeat(50_000))),
        ("nul", "on: push\u{0}".to_owned()),
        ("long expression", steps(&format!("- run: ${{{{ '{long}' }}}}"))),
        ("deep expression", steps(&format!("- run: ${{{{ {}1{} }}}}", "(".repeat(5000), ")".repeat(5000)))),
        ("chain", steps(&format!("- if: {chain}\n  run: x"))),
        ("many steps", steps(&many_steps)),
        ("many jobs", format!("on: push\njobs:\n{many_jobs}")),
        ("anchors", "a: &a [*a, *a]\non: push\njobs: *a".to_owned()),
        ("tags", "on: !!python/object push\njobs: {}".to_owned()),
        (
            "long pattern",
            format!("on: {{push: {{branches: ['{long}']}}}}\njobs: {{a: {{runs-on: linux, steps: [{{run: x}}]}}}}"),
        ),
        ("right to left", "on: push\njobs: {'\u{202e}a': {runs-on: linux, steps: [{run: x}]}}".to_owned()),
        ("id", steps("- run: x\n  id: ../../etc")),
        ("unicode action", steps("- uses: асtions/checkout@v4")),
        ("escape", steps("- uses: actions/checkout@v4/../../x")),
    ] {
        let found = load(&[("ci.yml", &text)]).expect_err(what);
        assert!(found.len() < 100_000, "{what}: {} bytes of findings", found.len());
    }
}

#[test]
fn endless_findings_are_cut() {
    let bad: String = (0..900).map(|_| "- nope: ${{ nope }}\n").collect();
    let found = load(&[("ci.yml", &steps(&bad))]).unwrap_err();
    assert!(found.matches("PG02").count() <= 100);
}

#[test]
fn unicode_where_it_is_allowed_is_kept() {
    let text = steps("- name: '🚀 Ünï ${{ github.ref }} \u{301}'\n  run: echo '日本語'\n  env: {Ä: 'ö'}");
    assert!(load(&[("ci.yml", &text)]).is_ok());
    let text = steps("- run: echo 日本語 ${{ nope.x }}");
    assert!(load(&[("ci.yml", &text)]).unwrap_err().contains("ci.yml:6:27:"));
}

proptest! {
    #[test]
    fn any_text_in_any_place_is_read_or_refused(text in "[\\PC\\n]{0,40}", key in "[a-z-]{1,12}") {
        let quoted = serde_json::to_string(&text).unwrap();
        for workflow in [
            text.clone(),
            format!("on: {quoted}\njobs: {{}}"),
            format!("on: push\n{key}: {quoted}\njobs: {{a: {{runs-on: linux, {key}: {quoted}, steps: [{{run: {quoted}, if: {quoted}, {key}: {quoted}}}]}}}}"),
            format!("on: {{push: {{branches: [{quoted}], paths: {quoted}}}}}\njobs: {{a: {{runs-on: {quoted}, needs: {quoted}, steps: [{{uses: {quoted}}}]}}}}"),
        ] {
            let _ = load(&[("ci.yml", &workflow)]);
        }
    }
}
