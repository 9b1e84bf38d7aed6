//! Questions of all kinds, good and hostile, and what comes of them.

use std::cell::RefCell;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use prograde_model::ids::Digest;
use prograde_policy::{PolicySet, Signature, SignedBy};
use serde_json::{Value, json};

use super::judge::{self, Images};
use super::review::{Answer, Misread, Review};

/// A question, changed.
fn question(change: impl FnOnce(&mut Value)) -> Value {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"containers": [{"name": "web", "image": "web:1"}]}});
    let mut asked = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u-1", "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"}, "name": "web", "namespace": "shop",
        "operation": "CREATE", "userInfo": {"username": "ada", "groups": ["dev"]}, "object": pod,
        "oldObject": null, "dryRun": false, "options": {"kind": "CreateOptions"}, "somethingNew": 1}});
    change(&mut asked);
    asked
}

fn read(asked: &Value) -> Result<Review, Misread> {
    Review::read(asked.to_string().as_bytes())
}

/// Images that are all signed, or none, with the digest that they all have.
struct All(bool, RefCell<Vec<String>>);

fn digest() -> Digest {
    format!("sha256:{}", "a".repeat(64)).parse().unwrap()
}

impl Images for All {
    fn signed(&self, asked: &SignedBy) -> Signature {
        self.1.borrow_mut().push(asked.image.clone());
        if self.0 { Signature::Good } else { Signature::Unreachable("the registry is away".to_owned()) }
    }

    fn digest(&self, _image: &str) -> Result<Digest, String> {
        if self.0 { Ok(digest()) } else { Err("the registry is away".to_owned()) }
    }
}

fn images(good: bool) -> All {
    All(good, RefCell::default())
}

fn set(policies: &[Value]) -> PolicySet {
    let mut set = PolicySet::default();
    for policy in policies {
        set.read("p.yaml", &policy.to_string()).unwrap();
    }
    set
}

fn policy(name: &str, action: &str, rule: &Value) -> Value {
    let mut rule = rule.clone();
    rule["name"] = json!("r");
    if rule["match"].is_null() {
        rule["match"] = json!({"any": [{"resources": {"kinds": ["Pod"]}}]});
    }
    json!({"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy",
        "metadata": {"name": name, "annotations": {"prograde.dev/comply": format!("do as {name} says")}},
        "spec": {"validationFailureAction": action, "rules": [rule]}})
}

fn labelled(name: &str, action: &str) -> Value {
    let pattern = json!({"metadata": {"labels": {name: "?*"}}});
    policy(name, action, &json!({"validate": {"message": "give it a label", "pattern": pattern}}))
}

fn validate(policies: &[Value], asked: &Value) -> Answer {
    let (set, review) = (set(policies), read(asked).unwrap());
    judge::validate(&set, &review, &review.request(&set, None, Timestamp::UNIX_EPOCH), &images(false)).0
}

fn mutate(policies: &[Value], asked: &Value, good: bool) -> Answer {
    let (set, review) = (set(policies), read(asked).unwrap());
    judge::mutate(&set, &review, &review.request(&set, None, Timestamp::UNIX_EPOCH), &images(good), Some(1)).0
}

#[test]
fn questions_are_read() {
    let review = read(&question(|_| {})).unwrap();
    assert_eq!((review.uid.as_str(), review.shown().as_str()), ("u-1", "CREATE pods shop/web by ada"));
    let set = PolicySet::default();
    let request = review.request(&set, None, Timestamp::UNIX_EPOCH);
    assert_eq!((request.user.name.as_str(), request.user.groups.as_slice()), ("ada", &["dev".to_owned()][..]));
    assert!(request.old.is_none() && request.object.is_some());
    let added = read(&question(|asked| asked["request"]["subResource"] = json!("ephemeralcontainers"))).unwrap();
    assert_eq!(added.request(&set, None, Timestamp::UNIX_EPOCH).subresource, "ephemeralcontainers");
}

#[test]
fn what_is_no_question_is_told() {
    let nothing = |bytes: &[u8], why: &str| match Review::read(bytes).unwrap_err() {
        Misread::Nothing(told) => assert!(told.contains(why), "{told}"),
        Misread::Of(uid, told) => panic!("{uid}: {told}"),
    };
    nothing(b"", "it is no AdmissionReview in JSON");
    nothing(b"{\"apiVersion\"", "it is no AdmissionReview in JSON");
    nothing(b"\xff\xfe", "it is no AdmissionReview in JSON");
    nothing(b"[]", "it is no AdmissionReview in JSON");
    nothing("[".repeat(1_000_000).as_bytes(), "it is no AdmissionReview in JSON");
    let deep = format!("{{\"request\":{{\"object\":{}", "{\"a\":".repeat(500_000));
    nothing(deep.as_bytes(), "recursion limit");
    let changed = |change: &dyn Fn(&mut Value), why: &str| nothing(question(change).to_string().as_bytes(), why);
    changed(&|asked| asked["apiVersion"] = json!("admission.k8s.io/v1beta1"), "AdmissionReview of admission.k8s.io/v1");
    changed(&|asked| asked["kind"] = json!("Pod"), "AdmissionReview of admission.k8s.io/v1");
    changed(&|asked| asked["request"] = Value::Null, "it has no request");
    changed(&|asked| asked["request"]["uid"] = json!(""), "has no uid");
    changed(&|asked| asked["request"]["uid"] = json!("u".repeat(500)), "has no uid");
    changed(&|asked| asked["request"]["operation"] = json!(1), "it is no AdmissionReview in JSON");
}

#[test]
fn what_can_not_be_understood_is_refused() {
    let check = |change: &dyn Fn(&mut Value), why: &str| {
        let found = read(&question(|asked| change(&mut asked["request"]))).unwrap_err();
        assert_eq!(found, Misread::Of("u-1".to_owned(), why.to_owned()));
    };
    check(&|asked| asked["operation"] = json!("PATCH"), "the operation `PATCH` is not known");
    check(&|asked| asked["operation"] = json!("DELETE"), "a request to DELETE has no oldObject");
    check(&|asked| asked["operation"] = json!("UPDATE"), "a request to UPDATE has no oldObject");
    check(&|asked| asked["object"] = Value::Null, "a request to CREATE has no object");
    check(&|asked| asked["object"] = json!([1]), "`object` of the request is no object");
    check(&|asked| asked["userInfo"] = json!({}), "the request does not say who asks");
    check(&|asked| asked["kind"] = json!({}), "the request has no kind or no resource");
}

#[test]
fn refusals_say_why_and_how_to_comply() {
    let answer = validate(&[labelled("team", "Enforce"), labelled("owner", "Audit")], &question(|_| {}));
    assert_eq!(
        answer.to_json("u-1"),
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {
            "uid": "u-1", "allowed": false,
            "status": {"code": 403, "reason": "Forbidden",
                "message": "team/r: give it a label (at /metadata/labels/)\n  comply: do as team says"},
            "warnings": ["owner/r: give it a label (at /metadata/labels/)"]}})
    );
    let good = question(|asked| asked["request"]["object"]["metadata"]["labels"] = json!({"team": "a", "owner": "b"}));
    let answer = validate(&[labelled("team", "Enforce"), labelled("owner", "Audit")], &good);
    assert_eq!(answer.to_json("u")["response"], json!({"uid": "u", "allowed": true}));
}

#[test]
fn what_is_told_is_bounded() {
    let many =
        |action: &str| (0..40).map(|at| labelled(&format!("p{at}-{}", "é".repeat(200)), action)).collect::<Vec<_>>();
    let told = validate(&many("Audit"), &question(|_| {}));
    assert!(
        told.refused.is_none() && told.warnings.len() == judge_max() && told.warnings.last().unwrap() == "and 26 more"
    );
    assert!(told.warnings.iter().map(String::len).sum::<usize>() < 4096);
    let (_, message) = validate(&many("Enforce"), &question(|_| {})).refused.unwrap();
    assert!(message.starts_with("40 rules of policies refuse this CREATE:\n") && message.ends_with("and 20 more"));
    assert!(message.len() < 64 * 1024);
}

fn judge_max() -> usize {
    15
}

#[test]
fn large_objects_are_judged() {
    let data = "x".repeat(1024 * 1024);
    let large = question(|asked| asked["request"]["object"]["metadata"]["annotations"] = json!({"data": data}));
    assert!(validate(&[labelled("team", "Enforce")], &large).refused.is_some());
    assert!(validate(&[labelled("team", "Audit")], &large).refused.is_none());
}

#[test]
fn what_is_deleted_is_judged_as_it_was() {
    let deny = json!({"any": [{"key": "{{ request.oldObject.metadata.name }}", "operator": "Equals", "value": "web"}]});
    let rule = json!({"match": {"any": [{"resources": {"kinds": ["Pod"], "operations": ["DELETE"]}}]},
        "validate": {"message": "it stays", "deny": {"conditions": deny}}});
    let deletion = |name: &str| {
        question(|asked| {
            let asked = &mut asked["request"];
            asked["operation"] = json!("DELETE");
            asked["oldObject"] = asked["object"].take();
            asked["oldObject"]["metadata"]["name"] = json!(name);
        })
    };
    let policies = [policy("kept", "Enforce", &rule)];
    assert!(validate(&policies, &deletion("web")).refused.is_some_and(|(_, why)| why.contains("it stays")));
    assert!(validate(&policies, &deletion("other")).refused.is_none());
}

#[test]
fn who_connects_is_judged_by_what_it_connects_to() {
    let connection = question(|asked| {
        let asked = &mut asked["request"];
        asked["operation"] = json!("CONNECT");
        asked["subResource"] = json!("exec");
        asked["kind"] = json!({"group": "", "version": "v1", "kind": "PodExecOptions"});
        asked["object"] = json!({"apiVersion": "v1", "kind": "PodExecOptions", "command": ["sh"]});
    });
    let deny = |namespace: &str| {
        let rule = json!({"match": {"any": [{"resources": {"kinds": ["Pod/exec"], "namespaces": [namespace]}}]},
            "validate": {"message": "no shells", "deny": {}}});
        policy("no-exec", "Enforce", &rule)
    };
    let (_, why) = validate(&[deny("shop")], &connection).refused.unwrap();
    assert!(why.contains("no-exec/r: no shells"), "{why}");
    assert!(validate(&[deny("other")], &connection).refused.is_none());
}

#[test]
fn who_asks_counts() {
    let rule = json!({"match": {"any": [{"resources": {"kinds": ["Pod"]}, "subjects": [{"kind": "Group", "name": "dev"}]}]},
        "validate": {"message": "not you", "deny": {}}});
    let policies = [policy("people", "Enforce", &rule)];
    assert!(validate(&policies, &question(|_| {})).refused.is_some());
    let robot = question(|asked| asked["request"]["userInfo"] = json!({"username": "robot"}));
    assert!(validate(&policies, &robot).refused.is_none());
}

#[test]
fn exceptions_let_in() {
    let exception = json!({"apiVersion": "kyverno.io/v2", "kind": "PolicyException", "metadata": {"name": "e", "namespace": "n"},
        "spec": {"exceptions": [{"policyName": "team", "ruleNames": ["r"]}],
            "match": {"any": [{"resources": {"kinds": ["Pod"], "names": ["web"]}}]}}});
    let policies = [labelled("team", "Enforce"), exception];
    assert!(validate(&policies, &question(|_| {})).refused.is_none());
    let other = question(|asked| asked["request"]["object"]["metadata"]["name"] = json!("other"));
    assert!(validate(&policies, &other).refused.is_some());
}

#[test]
fn mutations_are_patches() {
    let rule = json!({"mutate": {"patchStrategicMerge": {"metadata": {"labels": {"team": "a"}}}}});
    let policies = [policy("named", "Enforce", &rule), labelled("team", "Enforce")];
    let answer = mutate(&policies, &question(|_| {}), true);
    let want = json!([{"op": "add", "path": "/metadata/labels", "value": {"team": "a"}}]);
    assert_eq!(Value::from(answer.patch.clone()), want);
    let sent = answer.to_json("u");
    assert_eq!(sent["response"]["patchType"], "JSONPatch");
    let decoded = STANDARD.decode(sent["response"]["patch"].as_str().unwrap()).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&decoded).unwrap(), want);
    // What mutation would do does not count when the object is judged: nobody may have been asked to do it.
    assert!(validate(&policies, &question(|_| {})).refused.is_some());
    let done = question(|asked| asked["request"]["object"]["metadata"]["labels"] = json!({"team": "a"}));
    assert!(mutate(&policies, &done, true).patch.is_empty() && validate(&policies, &done).refused.is_none());
}

#[test]
fn a_mutation_that_fails_is_refused() {
    let rule = json!({"mutate": {"patchesJson6902": "[{op: replace, path: /spec/none, value: 1}]"}});
    let (code, why) = mutate(&[policy("odd", "Audit", &rule)], &question(|_| {}), true).refused.unwrap();
    assert!(code == 403 && why.contains("odd/r: it can't be told"), "{why}");
}

fn signed() -> Value {
    let key = "-----BEGIN PUBLIC KEY-----\nA\n-----END PUBLIC KEY-----\n";
    let entry = json!({"imageReferences": ["*"], "attestors": [{"entries": [{"keys": {"publicKeys": key, "rekor": {"ignoreTlog": true}}}]}]});
    policy("signed", "Enforce", &json!({"verifyImages": [entry]}))
}

#[test]
fn tags_are_pinned_before_signatures_count() {
    let policies = [signed()];
    let answer = mutate(&policies, &question(|_| {}), true);
    let pinned = format!("web:1@{}", digest());
    let want = json!([{"op": "replace", "path": "/spec/containers/0/image", "value": pinned}]);
    assert_eq!(Value::from(answer.patch), want);
    let away = mutate(&policies, &question(|_| {}), false);
    assert!(away.patch.is_empty() && away.warnings[0].contains("the registry is away"));

    let judged = |image: &str, good: bool| {
        let asked = question(|asked| asked["request"]["object"]["spec"]["containers"][0]["image"] = json!(image));
        let (set, review) = (set(&policies), read(&asked).unwrap());
        let request = review.request(&set, None, Timestamp::UNIX_EPOCH);
        judge::validate(&set, &review, &request, &images(good)).0.refused.map(|(_, why)| why)
    };
    assert!(judged("web:1", true).unwrap().contains("has no digest"));
    assert_eq!(judged(&pinned, true), None);
    assert!(judged(&pinned, false).unwrap().contains("it can't be told: it is not known whether"));
}

#[test]
fn what_runs_already_can_be_changed_while_a_registry_is_away() {
    let (set, images) = (set(&[signed()]), images(false));
    let update = |image: &str| {
        question(|asked| {
            let asked = &mut asked["request"];
            asked["operation"] = json!("UPDATE");
            asked["oldObject"] = asked["object"].clone();
            asked["object"]["spec"]["containers"][0]["image"] = json!(image);
            asked["object"]["metadata"]["labels"] = json!({"a": "b"});
        })
    };
    let judged = |asked: &Value| {
        let review = read(asked).unwrap();
        judge::validate(&set, &review, &review.request(&set, None, Timestamp::UNIX_EPOCH), &images).0.refused
    };
    assert!(judged(&update("web:1")).is_none() && images.1.borrow().is_empty());
    assert!(judged(&update("web:2")).is_some());
}
