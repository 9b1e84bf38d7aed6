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
    refused(&rule("{manifests: {}}"), "PG1102");
    refused(&rule("{manifests: {attestors: [{entries: [{keyless: {}}]}]}}"), "PG1101");
    refused(&rule("{assert: {}}"), "PG1101");
    refused(&rule("{message: nothing is checked}"), "PG1102");
    refused(&rule("{deny: {conditions: {any: [{key: a, operator: Resembles, value: b}]}}}"), "PG1102");
    refused(&rule("{pattern: {a: '{{ nofunction(@) }}'}}"), "PG1102");
    refused(&rule("{cel: {expressions: [{expression: 'object.'}]}}"), "PG1102");
    refused(&rule("{podSecurity: {level: strict}}"), "PG1102");
    refused(&rule("{failureAction: Maybe, pattern: {a: b}}"), "PG1102");
    let of = |kind: &str, spec: &str| {
        format!("apiVersion: policies.kyverno.io/v1\nkind: {kind}\nmetadata: {{name: p}}\nspec: {spec}\n")
    };
    refused(&of("MutatingPolicy", "{}"), "PG1102");
    refused(&of("MutatingPolicy", "{mutations: [{patchType: Other, jsonPatch: {expression: '[]'}}]}"), "PG1102");
    refused(&of("MutatingPolicy", "{mutation: []}"), "PG1101");
    refused(&of("GeneratingPolicy", "{generate: [{expression: '('}]}"), "PG1102");
    refused(&of("DeletingPolicy", "{condition: []}"), "PG1101");
    refused(&of("ImageValidatingPolicy", "{matchImageReferences: [{glob: a}]}"), "PG1102");
    refused(&of("CleanupPolicy", "{}"), "PG1103");
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

#[test]
fn hostile_expressions_that_change_and_make_end() {
    let policy = |kind: &str, spec: serde_json::Value| {
        let mut spec = spec;
        spec["matchConstraints"] = serde_json::json!({"resourceRules": [{
            "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"],
        }]});
        let text = serde_json::json!({
            "apiVersion": "policies.kyverno.io/v1", "kind": kind, "metadata": {"name": "p"}, "spec": spec,
        });
        let mut set = PolicySet::default();
        set.read("p.yaml", &text.to_string()).map(|()| set)
    };
    let pod = serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"list": vec!["aaaa"; 2_000]}});
    let request = Request::create(&pod, jiff::Timestamp::UNIX_EPOCH);
    let status = |kind: &str, spec: serde_json::Value| {
        let set = policy(kind, spec).unwrap();
        let answers = set.evaluate(&request, &Given::default());
        assert!(answers[0].results[0].generated.len() < 20_000);
        answers[0].results[0].status
    };
    let generate = |source: &str| serde_json::json!({"generate": [{"expression": source}]});
    let made = "{'kind': 'ConfigMap', 'apiVersion': 'v1', 'metadata': {'name': 'a'}}";
    let endless = format!("lists.range(500000).all(i, generator.apply('n', [{made}]))");
    assert_eq!(status("GeneratingPolicy", generate(&endless)), Status::Error);
    let copies = "lists.range(100000).all(i, generator.apply('n', [object]))";
    assert_eq!(status("GeneratingPolicy", generate(copies)), Status::Error);
    let large = "Object{spec: Object.spec{all: lists.range(100000).map(i, object)}}";
    let mutate = serde_json::json!({"mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": large}}]});
    assert_eq!(status("MutatingPolicy", mutate), Status::Error);
    let template = serde_json::json!({"generate": [{"template": {"interpolate": "cel", "value": format!("a: {}", "(( 'x' ))".repeat(2_000))}}]});
    assert!(policy("GeneratingPolicy", template).is_err());
    let deep = serde_json::json!({"generate": [{"template": {"value": format!("a: {}1{}", "[".repeat(100_000), "]".repeat(100_000))}}]});
    assert!(policy("GeneratingPolicy", deep).is_err());
}

#[test]
fn a_policy_of_expressions_denies_unless_it_says_otherwise() {
    let policy = |actions: &str| {
        let text = format!(
            "apiVersion: policies.kyverno.io/v1\nkind: ValidatingPolicy\nmetadata: {{name: p}}\nspec:\n  matchConstraints: {{resourceRules: [{{apiGroups: [\"\"], apiVersions: [v1], operations: [CREATE], resources: [pods]}}]}}\n  validations: [{{expression: 'false'}}]\n{actions}"
        );
        let mut set = PolicySet::default();
        set.read("p.yaml", &text).unwrap();
        let pod = serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}});
        let request = Request::create(&pod, jiff::Timestamp::UNIX_EPOCH);
        set.evaluate(&request, &Given::default())[0].results[0].action
    };
    assert_eq!(policy(""), prograde_policy::Action::Enforce);
    assert_eq!(policy("  validationActions: [Audit]"), prograde_policy::Action::Audit);
    assert_eq!(policy("  validationActions: [Warn, Deny]"), prograde_policy::Action::Enforce);
}

#[test]
fn a_resource_that_is_missing_in_the_expected_ones() {
    struct Inline;
    impl Files for Inline {
        fn read(&self, path: &str) -> Result<Vec<(String, String)>, String> {
            let text = match path {
                "policy.yaml" => {
                    "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nmetadata: {name: p}\nspec:\n  rules:\n  - name: r\n    match: {any: [{resources: {kinds: [Service]}}]}\n    mutate: {patchStrategicMerge: {metadata: {labels: {a: b}}}}\n"
                }
                "patched.yaml" => "apiVersion: v1\nkind: Service\nmetadata: {name: other}\n",
                _ => "apiVersion: v1\nkind: Service\nmetadata: {name: s}\n",
            };
            Ok(vec![(path.to_owned(), text.to_owned())])
        }
    }
    let actual = |result: &str| {
        let test = format!(
            "policies: [policy.yaml]\nresources: [r.yaml]\nresults:\n- {{policy: p, rule: r, resources: [s], patchedResources: patched.yaml, {result}}}\n"
        );
        let ran = testing::run("t", &test, &Inline, jiff::Timestamp::UNIX_EPOCH).unwrap();
        (ran[0].outcomes[0].actual.clone(), ran[0].outcomes[0].ok)
    };
    assert_eq!(actual("result: pass"), ("pass".to_owned(), true));
    assert_eq!(actual("result: fail"), ("fail".to_owned(), true));
    assert_eq!(actual("result: pass, failOnMissingResources: true"), ("diff".to_owned(), false));
}

#[test]
fn an_expectation_of_no_resource_is_not_met() {
    struct Inline;
    impl Files for Inline {
        fn read(&self, path: &str) -> Result<Vec<(String, String)>, String> {
            Ok(vec![(path.to_owned(), shipped::files("default").unwrap()[0].1.to_owned())])
        }
    }
    let test = "policies: [policy.yaml]\nresults:\n- {policy: disallow-latest-tag, result: pass}\n";
    let ran = testing::run("t", test, &Inline, jiff::Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(ran[0].outcomes.len(), 1);
    assert!(!ran[0].outcomes[0].ok && ran[0].outcomes[0].actual == "none");
}
