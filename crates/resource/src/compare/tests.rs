//! Tests of the comparison as a whole.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn told(desired: &Value, live: &Value, applied: Option<&Value>) -> Vec<String> {
    let found = compare(desired, live, applied, &Options::default());
    // Once carried out, nothing is left.
    let after = predicted(live, &found);
    assert_eq!(compare(desired, &after, applied, &Options::default()), [], "after {found:?}");
    found.iter().map(|one| format!("{one:?}")).collect()
}

fn deployment(spec: &Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec})
}

fn container(fields: Value) -> Value {
    let mut made = json!({"name": "web", "image": "web:1"});
    for (name, value) in fields.as_object().unwrap() {
        made[name] = value.clone();
    }
    deployment(&json!({"template": {"spec": {"containers": [made]}}}))
}

fn check(desired: &Value, live: &Value, expected: &[&str]) {
    assert_eq!(told(desired, live, None), expected);
}

/// What a server makes of the deployment.
fn served() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default", "uid": "1", "resourceVersion": "7", "generation": 2, "creationTimestamp": "2026-01-01T00:00:00Z",
            "annotations": {"deployment.kubernetes.io/revision": "1"}},
        "spec": {"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"creationTimestamp": null, "labels": {"app": "web"}}, "spec": {
                "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler", "securityContext": {},
                "terminationGracePeriodSeconds": 30,
                "containers": [{"name": "web", "image": "web:1", "imagePullPolicy": "IfNotPresent", "terminationMessagePath": "/dev/termination-log",
                    "terminationMessagePolicy": "File", "ports": [{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 80, "protocol": "UDP"}],
                    "resources": {"limits": {"cpu": "100m", "memory": "1Gi"}}, "env": [{"name": "A", "value": "1"}, {"name": "B"}],
                    "readinessProbe": {"httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}}]}}},
        "status": {"replicas": 1}})
}

fn written() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "creationTimestamp": null, "annotations": {}},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "strategy": {}, "replicas": 1.0,
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"hostNetwork": false, "volumes": [], "nodeSelector": null,
                "containers": [{"name": "web", "image": "web:1", "imagePullPolicy": "IfNotPresent", "command": [], "stdin": false, "securityContext": {},
                    "ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}],
                    "resources": {"limits": {"cpu": 0.1, "memory": "1024Mi"}}, "env": [{"name": "A", "value": "1"}, {"name": "B", "value": ""}],
                    "readinessProbe": {"httpGet": {"port": 80}}}]}}},
        "status": {}})
}

#[test]
fn what_the_server_makes_of_a_manifest_is_no_drift() {
    check(&written(), &served(), &[]);
    check(&served(), &written(), &[]);
}

#[test]
fn values_of_git_win_and_those_of_others_stay() {
    check(
        &container(json!({"image": "web:2"})),
        &container(json!({})),
        &[r#"Changed spec.template.spec.containers[name=web].image: "web:1" -> "web:2""#],
    );
    let mut live = served();
    live["metadata"]["labels"] = json!({"added-by": "somebody"});
    live["spec"]["template"]["spec"]["containers"]
        .as_array_mut()
        .unwrap()
        .insert(0, json!({"name": "sidecar", "image": "x"}));
    check(&written(), &live, &[]);
    check(&deployment(&json!({"replicas": 3})), &served(), &["Changed spec.replicas: 1 -> 3"]);
    check(&deployment(&json!({"paused": true})), &served(), &["Added spec.paused: nothing -> true"]);
}

#[test]
fn what_was_applied_and_is_no_longer_named_goes() {
    let before = container(json!({"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}], "tty": true}));
    let now = container(json!({"env": [{"name": "A", "value": "1"}]}));
    let found = told(&now, &before, Some(&before));
    assert_eq!(
        found,
        [
            r#"Removed spec.template.spec.containers[name=web].env[name=B]: {"name":"B","value":"2"} -> nothing"#,
            "Removed spec.template.spec.containers[name=web].tty: true -> nothing",
        ]
    );
    check(&now, &before, &[]);
    let mut annotated = before.clone();
    annotated["metadata"]["annotations"] = json!({LAST_APPLIED: before.to_string()});
    assert_eq!(told(&now, &annotated, None).len(), 2);
    // What has gone back to its default needs nothing.
    let spec = json!({"replicas": 1, "revisionHistoryLimit": 10});
    assert_eq!(told(&deployment(&json!({})), &deployment(&spec), Some(&deployment(&spec))), [""; 0]);
    let listed = container(json!({"env": [{"name": "A", "value": "1"}, {"name": "C"}]}));
    assert_eq!(
        told(&container(json!({})), &listed, Some(&now)),
        [r#"Removed spec.template.spec.containers[name=web].env[name=A]: {"name":"A","value":"1"} -> nothing"#,]
    );
    assert_eq!(
        told(&container(json!({})), &now, Some(&now)),
        [r#"Removed spec.template.spec.containers[name=web].env: [{"name":"A","value":"1"}] -> nothing"#,]
    );
    let issuer = |spec: Value| json!({"apiVersion": "cert-manager.io/v1", "kind": "Issuer", "metadata": {"name": "a"}, "spec": spec});
    let own = issuer(json!({"selfSigned": {}}));
    assert_eq!(
        told(&issuer(json!({"ca": {"secretName": "x"}})), &own, Some(&own)),
        [r#"Added spec.ca: nothing -> {"secretName":"x"}"#, "Removed spec.selfSigned: {} -> nothing",]
    );
    // Others' fields in what was ours stay.
    let labels =
        |labels: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": labels}});
    let bare = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    let found = told(&bare, &labels(json!({"a": "1", "b": "2"})), Some(&labels(json!({"a": "1"}))));
    assert_eq!(found, [r#"Removed metadata.labels.a: "1" -> nothing"#]);
}

#[test]
fn managed_fields_tell_who_and_what_was_ours() {
    let mut live = container(json!({"image": "web:1", "tty": true}));
    live["spec"]["replicas"] = json!(5);
    live["metadata"]["managedFields"] = json!([
        {"manager": "prograde", "operation": "Apply", "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {
            "f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:name": {}, "f:image": {}, "f:tty": {}}}}}}}},
        {"manager": "autoscaler", "operation": "Update", "subresource": "scale", "time": "2026-01-02T00:00:00Z", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
    ]);
    let mut desired = container(json!({}));
    desired["spec"]["replicas"] = json!(2);
    let found = compare(&desired, &live, None, &Options::default());
    let shown: Vec<String> = found.iter().map(|one| format!("{} by {}", one.path, one.by.as_ref().unwrap())).collect();
    assert_eq!(
        shown,
        [
            "spec.template.spec.containers[name=web].tty by prograde at 2026-01-01T00:00:00Z",
            "spec.replicas by autoscaler (scale) at 2026-01-02T00:00:00Z",
        ]
    );
}

#[test]
fn lists_are_merged_as_the_api_merges_them() {
    let service = |ports: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": ports}});
    let live = service(
        json!([{"port": 80, "protocol": "TCP", "targetPort": 80, "nodePort": 30000}, {"port": 443, "protocol": "TCP", "targetPort": "https"}]),
    );
    check(&service(json!([{"port": 443, "targetPort": "https"}, {"port": 80}])), &live, &[]);
    check(
        &service(json!([{"port": 80, "targetPort": 81}])),
        &live,
        &["Changed spec.ports[port=80,protocol=TCP].targetPort: 80 -> 81"],
    );
    let finalizers =
        |list: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "finalizers": list}});
    check(&finalizers(json!(["b", "a"])), &finalizers(json!(["a", "b", "c"])), &[]);
    check(&finalizers(json!(["d"])), &finalizers(json!(["a"])), &[r#"Added metadata.finalizers[=d]: nothing -> "d""#]);
    check(
        &container(json!({"args": ["a", "b"]})),
        &container(json!({"args": ["b", "a"]})),
        &[r#"Changed spec.template.spec.containers[name=web].args: ["b","a"] -> ["a","b"]"#],
    );
    let widget = |spec: Value| json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}, "spec": spec});
    check(
        &widget(json!({"parts": [{"name": "a"}], "for": {}})),
        &widget(json!({"parts": [{"name": "a", "size": 1}], "for": {}})),
        &[],
    );
    check(
        &widget(json!({"parts": [{"name": "a"}]})),
        &widget(json!({"parts": [{"name": "a"}, {"name": "b"}]})),
        &[r#"Changed spec.parts: [{"name":"a"},{"name":"b"}] -> [{"name":"a"}]"#],
    );
    let mut keyed = widget(json!({"parts": [{"name": "b"}, {"name": "a"}]}));
    keyed["metadata"]["managedFields"] = json!([{"manager": "x", "operation": "Update", "fieldsV1": {"f:spec": {"f:parts": {"k:{\"name\":\"b\"}": {".": {}}}}}}]);
    check(&widget(json!({"parts": [{"name": "a"}]})), &keyed, &[]);
    // What another kind's server keeps is not nothing.
    check(&widget(json!({"selfSigned": {}})), &widget(json!({})), &["Added spec.selfSigned: nothing -> {}"]);
    // Items with the same keys can't be told apart by them.
    check(
        &container(json!({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]})),
        &container(json!({"env": [{"name": "A", "value": "2"}]})),
        &[
            r#"Changed spec.template.spec.containers[name=web].env: [{"name":"A","value":"2"}] -> [{"name":"A","value":"1"},{"name":"A","value":"2"}]"#,
        ],
    );
}

#[test]
fn secrets_are_compared_and_not_shown() {
    let secret = |fields: Value| {
        let mut made = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "type": "Opaque"});
        for (name, value) in fields.as_object().unwrap() {
            made[name] = value.clone();
        }
        made
    };
    check(
        &secret(json!({"stringData": {"password": "hello"}})),
        &secret(json!({"data": {"password": "aGVsbG8="}})),
        &[],
    );
    let (desired, live) =
        (secret(json!({"stringData": {"password": "hunter2"}})), secret(json!({"data": {"password": "aGVsbG8="}})));
    let found = compare(&desired, &live, None, &Options::default());
    let texts = [format!("{found:?}"), serde_json::to_string(&found).unwrap(), unified(&live, &found)];
    for text in texts {
        assert!(!text.contains("aGVsbG8") && !text.contains("hunter2") && !text.contains("aHVudGVyMg"), "{text}");
        assert!(text.contains("sha256"), "{text}");
    }
    assert_eq!(compare(&desired, &predicted(&live, &found), None, &Options::default()), []);
    let whole = compare(&desired, &secret(json!({})), None, &Options::default());
    assert!(!format!("{whole:?}").contains("aHVudGVyMg"), "{whole:?}");
}

#[test]
fn a_difference_is_shown_as_a_diff() {
    let found = compare(
        &deployment(&json!({"replicas": 3})),
        &deployment(&json!({"replicas": 1, "paused": true})),
        None,
        &Options::default(),
    );
    let text = unified(&deployment(&json!({"replicas": 1, "paused": true})), &found);
    let expected = "--- live\n+++ desired\n@@ -4,4 +4,4 @@\n   name: web\n spec:\n   paused: true\n-  replicas: 1\n+  replicas: 3\n";
    assert_eq!(text, expected);
}

#[test]
fn versions_and_derived_fields() {
    let v1 = json!({"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "a"}, "spec": {"maxReplicas": 5, "targetCPUUtilizationPercentage": 80}});
    let v2 = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "a"}, "spec": {"minReplicas": 1, "maxReplicas": 5,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]}});
    check(&v1, &v2, &[]);
    let role = |rules: Value| json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "a"}, "aggregationRule": {"clusterRoleSelectors": []}, "rules": rules});
    check(&role(json!([])), &role(json!([{"verbs": ["get"]}])), &[]);
}

#[test]
fn hostile_objects_are_compared_in_time() {
    let many =
        |count: usize| (0..count).map(|number| json!({"name": format!("V{number}"), "value": "x"})).collect::<Vec<_>>();
    let (one, mut other) = (many(20_000), many(20_000));
    other.reverse();
    check(&container(json!({"env": one})), &container(json!({"env": other})), &[]);
    let mut deep = json!(1);
    for _ in 0..190 {
        deep = json!({"a": [deep]});
    }
    let widget = |deep: &Value| json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}, "spec": deep});
    check(&widget(&deep), &widget(&deep), &[]);
    assert_eq!(compare(&json!(null), &json!([]), None, &Options::default()).len(), 0);
    assert_eq!(compare(&json!([1]), &json!({}), None, &Options::default()).len(), 1);
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!("text")),
        Just(json!("")),
        Just(json!("100m")),
        Just(json!(7)),
        Just(json!(0)),
        Just(json!(true)),
        Just(json!(false)),
        Just(Value::Null),
        Just(json!({})),
        Just(json!([])),
    ]
}

fn fields() -> impl Strategy<Value = Value> {
    let names = prop_oneof![
        Just("name"),
        Just("image"),
        Just("replicas"),
        Just("containers"),
        Just("env"),
        Just("ports"),
        Just("limits"),
        Just("labels"),
        Just("spec"),
        Just("template"),
        Just("metadata"),
        Just("selector"),
        Just("emptyDir"),
        Just("volumes"),
        Just("x.y/z"),
    ];
    leaf().prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names.clone(), inner), 0..5).prop_map(|fields| Value::Object(
                fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            )),
        ]
    })
}

/// Fills in what the server would.
fn defaulted(kind: &str, value: &mut Value, path: &mut Vec<String>) {
    const KNOWN: [&str; 22] = [
        "replicas",
        "revisionHistoryLimit",
        "strategy",
        "progressDeadlineSeconds",
        "restartPolicy",
        "dnsPolicy",
        "schedulerName",
        "securityContext",
        "terminationGracePeriodSeconds",
        "imagePullPolicy",
        "terminationMessagePath",
        "terminationMessagePolicy",
        "protocol",
        "timeoutSeconds",
        "periodSeconds",
        "scheme",
        "defaultMode",
        "type",
        "resources",
        "maxSurge",
        "apiVersion",
        "emptyDir",
    ];
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| defaulted(kind, item, path)),
        Value::Object(fields) => {
            let parent = path.last().cloned().unwrap_or_default();
            for name in KNOWN.iter().filter(|_| !path.is_empty()) {
                if !fields.contains_key(*name)
                    && let Some(default) = defaults::default_of(kind, &parent, name, fields)
                {
                    fields.insert((*name).to_owned(), default);
                }
            }
            for (name, field) in fields {
                path.push(name.clone());
                defaulted(kind, field, path);
                path.pop();
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

proptest! {
    #[test]
    fn an_object_is_like_itself(spec in fields(), kind in prop_oneof![Just("Deployment"), Just("Widget")]) {
        let group = if kind == "Widget" { "example.com/v1" } else { "apps/v1" };
        let object = json!({"apiVersion": group, "kind": kind, "metadata": {"name": "a"}, "spec": spec});
        prop_assert_eq!(compare(&object, &object, None, &Options::default()), []);
        prop_assert_eq!(compare(&object, &object, Some(&object), &Options::default()), []);
        let mut served = object.clone();
        defaulted(kind, &mut served, &mut Vec::new());
        prop_assert_eq!(compare(&object, &served, None, &Options::default()), []);
    }

    #[test]
    fn once_carried_out_nothing_differs(desired in fields(), live in fields(), applied in fields(), kind in prop_oneof![Just("Deployment"), Just("Widget")]) {
        let group = if kind == "Widget" { "example.com/v1" } else { "apps/v1" };
        let object = |spec: &Value| json!({"apiVersion": group, "kind": kind, "metadata": {"name": "a"}, "spec": spec});
        let (desired, live, applied) = (object(&desired), object(&live), object(&applied));
        let found = compare(&desired, &live, Some(&applied), &Options::default());
        let after = predicted(&live, &found);
        let left = compare(&desired, &after, Some(&applied), &Options::default());
        prop_assert_eq!(&left, &[], "{:?} made {}", found, after);
    }
}
