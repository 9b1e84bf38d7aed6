//! Tests of policies in Kyverno's format, ours and those of the shipped sets, through the public face of the crate.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that can't go on has to end")]

use std::fs;
use std::path::{Path, PathBuf};

use prograde_policy::testing::{self, Files};
use prograde_policy::{Given, PolicySet, Request, Status, shipped};

struct Beside(PathBuf);

impl Files for Beside {
    fn read(&self, path: &str) -> Result<Vec<(String, String)>, String> {
        let text = fs::read_to_string(self.0.join(path)).map_err(|error| error.to_string())?;
        Ok(vec![(path.to_owned(), text)])
    }
}

fn check(file: &Path) {
    let text = fs::read_to_string(file).unwrap();
    let beside = Beside(file.parent().unwrap().to_owned());
    let ran = testing::run(&file.display().to_string(), &text, &beside, jiff::Timestamp::UNIX_EPOCH).unwrap();
    assert!(!ran.is_empty());
    for test in ran {
        assert!(test.findings.is_empty(), "{:?}", test.findings);
        assert!(!test.outcomes.is_empty());
        for outcome in &test.outcomes {
            assert!(outcome.ok, "{}: {outcome:?}", test.name);
        }
    }
}

#[test]
fn shipped_policies() {
    check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/tests/kyverno-test.yaml"));
}

#[test]
fn our_corpus() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut folders: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert!(folders.len() >= 4);
    for folder in folders {
        check(&folder.join("kyverno-test.yaml"));
    }
}

#[test]
fn a_resource_that_no_rule_answers_for_is_never_ok() {
    struct Inline;
    impl Files for Inline {
        fn read(&self, path: &str) -> Result<Vec<(String, String)>, String> {
            let text = match path {
                "policy.yaml" => shipped::files("default").unwrap()[0].1,
                _ => "apiVersion: v1\nkind: Service\nmetadata: {name: s}\n",
            };
            Ok(vec![(path.to_owned(), text.to_owned())])
        }
    }
    let test = "policies: [policy.yaml]\nresources: [r.yaml]\nresults:\n- {policy: disallow-latest-tag, rule: disallow-latest-tag, resource: s, result: skip}\n- {policy: disallow-latest-tag, resource: missing, result: pass}\n";
    let ran = testing::run("t", test, &Inline, jiff::Timestamp::UNIX_EPOCH).unwrap();
    let actual: Vec<(&str, bool)> =
        ran[0].outcomes.iter().map(|outcome| (outcome.actual.as_str(), outcome.ok)).collect();
    assert_eq!(actual, [("none", false), ("none", false)]);
}

#[test]
fn what_is_not_known_is_refused_when_it_is_read() {
    let rule = |rule: &str| {
        format!(
            "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nmetadata: {{name: p}}\nspec:\n  validationFailureAction: Audit\n  rules:\n  - name: r\n    match: {{any: [{{resources: {{kinds: [Pod]}}}}]}}\n    validate: {rule}\n"
        )
    };
    let refused = |text: &str, code: &str| {
        let mut set = PolicySet::default();
        let found = set.read("p.yaml", text).unwrap_err();
        assert_eq!(found.0[0].code, code, "{text}\n{found}");
        assert!(found.0[0].line > 0 && set.policies.is_empty() && set.refused.contains_key("p"), "{found}");
    };
    refused(&rule("{patern: {a: b}}"), "PG1101");
    refused(&rule("{manifests: {}}"), "PG1101");
    refused(&rule("{assert: {}}"), "PG1101");
    refused(&rule("{message: nothing is checked}"), "PG1102");
    refused(&rule("{deny: {conditions: {any: [{key: a, operator: Resembles, value: b}]}}}"), "PG1102");
    refused(&rule("{pattern: {a: '{{ nofunction(@) }}'}}"), "PG1102");
    refused(&rule("{cel: {expressions: [{expression: 'object.'}]}}"), "PG1102");
    refused(&rule("{podSecurity: {level: strict}}"), "PG1102");
    refused(&rule("{failureAction: Maybe, pattern: {a: b}}"), "PG1102");
    refused("apiVersion: policies.kyverno.io/v1\nkind: MutatingPolicy\nmetadata: {name: p}\nspec: {}\n", "PG1103");
}

#[test]
fn hostile_policies_end() {
    let policy = |expression: &str| {
        let text = serde_json::json!({
            "apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "p"},
            "spec": {"rules": [{
                "name": "r", "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
                "validate": {"failureAction": "Enforce", "deny": {"conditions": [{"key": expression, "operator": "Equals", "value": true}]}},
            }]},
        });
        let mut set = PolicySet::default();
        set.read("p.yaml", &text.to_string()).map(|()| set)
    };
    let pod =
        serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "list": vec!["aaaa"; 2_000]});
    let request = Request::create(&pod, jiff::Timestamp::UNIX_EPOCH);
    let status = |expression: &str| {
        let set = policy(expression).unwrap();
        set.evaluate(&request, &Given::default())[0].results[0].status
    };
    assert_eq!(status("{{ regex_match('^(a+)+$', join('', request.object.list[])) }}"), Status::Fail);
    let doubled = format!("{{{{ length(request.object.list{}) }}}}", " | [@, @][]".repeat(40));
    assert_eq!(status(&doubled), Status::Error);
    assert!(policy(&format!("{{{{ {}a }}}}", "!".repeat(5_000))).is_err());
    assert!(policy(&format!("{{{{ {} }}}}", "(".repeat(5_000))).is_err());
    assert_eq!(status("{{ regex_match('(x{1000}){1000}', 'a') }}"), Status::Error);
}
