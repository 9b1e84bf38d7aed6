//! What is said of configuration in the wrong place.

use std::collections::BTreeSet;

use prograde_gitops::placement::{Directory, misplaced};
use prograde_kustomize::Renderer;

use crate::fixture;

/// Renders the base and both overlays, and tells code, file, line and message of what is found.
fn found(files: &str) -> Vec<String> {
    let tree = fixture::tree(files);
    let renderer = Renderer::new(&tree);
    let directory = |dir: &str| Directory {
        dir: dir.to_owned(),
        objects: renderer.render(dir).unwrap().resources,
        includes: if dir == "base" { BTreeSet::new() } else { BTreeSet::from(["base".to_owned()]) },
    };
    let all = ["base", "overlays/production", "overlays/staging"].map(directory);
    let found = misplaced(&all, &BTreeSet::new());
    found.iter().map(|one| format!("{} {}:{} {}", one.code, one.file, one.line, one.message)).collect()
}

/// A base with a `ConfigMap` and a `Deployment`, and what each overlay adds to it.
fn files(data: &str, env: &str, production: &str, staging: &str) -> String {
    format!(
        "=== base/kustomization.yaml
resources: [all.yaml]
=== base/all.yaml
apiVersion: v1
kind: ConfigMap
metadata: {{name: settings}}
data:
  {data}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  template:
    spec:
      containers:
      - name: web
        image: web
        env:
        - {env}
=== overlays/production/kustomization.yaml
resources: [../../base]
{production}
=== overlays/staging/kustomization.yaml
resources: [../../base]
{staging}
"
    )
}

const PLAIN: &str = "{name: A, value: b}";

fn patch(text: &str) -> String {
    format!("patches: [{{patch: '{{apiVersion: v1, kind: ConfigMap, metadata: {{name: settings}}, data: {text}}}'}}]")
}

#[test]
fn good_configuration_passes() {
    let (production, staging) = (patch("{host: db.production}"), patch("{host: db.staging}"));
    let reference = "{name: DB_PASSWORD, valueFrom: {secretKeyRef: {name: db, key: password}}}";
    assert_eq!(found(&files("level: info", reference, &production, &staging)), [""; 0]);
}

#[test]
fn secrets_are_told_without_their_values() {
    let told = found(&files("url: postgres://app:hunter2@db/app", "{name: DB_PASSWORD, value: hunter2}", "", ""));
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().all(|one| one.starts_with("PG0430 base/all.yaml:") && !one.contains("hunter2")), "{told:?}");
    assert!(told[0].contains(":5 ") && told[1].contains(":17 "), "{told:?}");
    let generated = "secretGenerator: [{name: s, literals: [password=hunter2]}]";
    let told = found(&files("a: b", PLAIN, generated, ""));
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("PG0430 overlays/production/kustomization.yaml:"), "{told:?}");
}

#[test]
fn a_base_names_no_environment_and_none_names_another() {
    let told = found(&files("host: db.staging.example.org", PLAIN, "", &patch("{other: x}")));
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("PG0431 base/all.yaml:5 `host` of ConfigMap `settings` names `staging`"), "{told:?}");
    let told = found(&files("a: b", PLAIN, &patch("{bucket: logs-staging}"), &patch("{bucket: logs-of-staging}")));
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("PG0432 overlays/production/kustomization.yaml:"), "{told:?}");
}

#[test]
fn what_is_the_same_everywhere_is_told_once() {
    let same = patch("{level: debug}");
    let told = found(&files("level: info", PLAIN, &same, &same));
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("PG0433") && told[0].contains("`level`") && told[0].contains("alike for production, staging")
    );
    let different = patch("{level: warn}");
    assert_eq!(found(&files("level: info", PLAIN, &same, &different)), [""; 0]);
}

#[test]
fn what_decides_for_users_is_a_flag() {
    let told = found(&files("a: b", "{name: FEATURE_NEW_CART, value: \"true\"}", "", ""));
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("PG0434 base/all.yaml:17 `FEATURE_NEW_CART` of Deployment `web`"), "{told:?}");
}

#[test]
fn a_reason_lets_it_pass() {
    let with = |reason: &str| {
        let annotated = format!("metadata: {{name: settings, annotations: {{allow.prograde.dev/PG0431: '{reason}'}}}}");
        let files = files("host: db.staging", PLAIN, "", "");
        found(&files.replacen("metadata: {name: settings}", &annotated, 1)).len()
    };
    assert_eq!((with("one database for all"), with(" ")), (0, 1));
}
