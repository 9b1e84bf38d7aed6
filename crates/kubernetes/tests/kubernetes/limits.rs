//! What may not be done, and what is too much.

use prograde_kubernetes::{Cluster as _, Connection, Place, What};
use prograde_resource::options::Propagation;
use prograde_resource::sync::Ending;
use serde_json::json;

use crate::peer::shared;
use crate::world::{World, config, orders, target, try_target};

const POLICY: &str = "  syncPolicy: {syncOptions: [CreateNamespace=true, PrunePropagationPolicy=background]}\n";

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_is_told_what_and_why() {
    let Some(server) = shared().await else { return };
    let admin = World::new(&server).await;
    admin.namespace("limited").await;
    admin.create("/apis/rbac.authorization.k8s.io/v1/namespaces/limited/roles", json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "configs"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "patch", "create", "delete"]},
                  {"apiGroups": [""], "resources": ["services"], "verbs": ["get", "list"]}]})).await;
    admin
        .create(
            "/apis/rbac.authorization.k8s.io/v1/namespaces/limited/rolebindings",
            json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "configs"},
        "subjects": [{"kind": "User", "name": "limited"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "configs"}}),
        )
        .await;
    let world = World::of(&server, "limited").await;
    let policy = "  syncPolicy: {syncOptions: [PrunePropagationPolicy=background]}\n";
    // In its own namespace it may: what it can't look through is said.
    let both = target("limited", policy, &(config("a", "1") + &config("b", "1")));
    let report = world.done(&both, &orders()).await;
    assert_eq!(world.written().len(), 2);
    assert!(
        report.blind.iter().any(|(plural, why)| plural == "secrets" && why.contains("forbidden")),
        "{:?}",
        report.blind
    );
    world.done(&target("limited", policy, &config("a", "1")), &orders()).await;
    assert_eq!(world.written(), ["-b"]);

    let service = "---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80}]}\n";
    let report = world.sync(&target("limited", policy, &(config("a", "2") + service)), &orders()).await;
    let Ending::Failed(why) = report.ending else { panic!("{report:#?}") };
    assert_eq!(why[0].0.name, "web");
    assert!(why[0].1.contains("User \"limited\" cannot patch resource \"services\""), "{why:?}");
    assert_eq!(world.written(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_object_is_refused_and_named() {
    let Some(server) = shared().await else { return };
    let world = World::new(&server).await;
    world.namespace("huge").await;
    for bytes in [2 * 1024 * 1024, 5 * 1024 * 1024] {
        let mut huge = target("huge", POLICY, &config("a", "x"));
        huge.objects[0].value["data"]["key"] = json!("x".repeat(bytes));
        let report = world.sync(&huge, &orders()).await;
        let Ending::Failed(why) = report.ending else { panic!("{report:#?}") };
        assert_eq!(why[0].0.name, "a");
        assert!(why[0].1.contains("Too long") || why[0].1.contains("more than"), "{why:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_very_object_that_was_seen_is_deleted() {
    let Some(server) = shared().await else { return };
    let world = World::new(&server).await;
    world.namespace("again").await;
    let object = || json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    let first = world.create("/api/v1/namespaces/again/configmaps", object()).await;
    world.ask("DELETE", "/api/v1/namespaces/again/configmaps/a", "application/json", &json!(null)).await.unwrap();
    world.create("/api/v1/namespaces/again/configmaps", object()).await;
    let kinds = world.cluster.kinds(false).await.unwrap();
    let resource = kinds.find("v1", "ConfigMap").unwrap();
    let place = Place { resource, namespace: "again", name: "a" };
    let uid = first["metadata"]["uid"].as_str().unwrap();
    let refused = world.cluster.delete(place, uid, Propagation::Background).await.unwrap_err();
    assert!(refused.is(409), "{refused}");
    assert!(world.get("/api/v1/namespaces/again/configmaps/a").await.is_some());
    world.cluster.delete(Place { name: "nothing", ..place }, uid, Propagation::Background).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_another_application_is_taken_or_refused() {
    let Some(server) = shared().await else { return };
    let world = World::new(&server).await;
    world.namespace("shared").await;
    world.done(&target("shared", POLICY, &config("a", "1")), &orders()).await;
    let elsewhere = config("a", "2").replace("{name: a}", "{name: a, namespace: shared}");
    let fails = "  syncPolicy: {syncOptions: [FailOnSharedResource=true, CreateNamespace=true]}\n";
    let report = world.sync(&target("other", fails, &elsewhere), &orders()).await;
    let Ending::Failed(why) = report.ending else { panic!("{report:#?}") };
    assert!(why[0].1.contains("belongs to the application `shared`"), "{why:?}");
    world.done(&target("other", POLICY, &elsewhere), &orders()).await;
    assert!(world.told.lock().unwrap().iter().any(|line| line.starts_with("Taking")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_changed_is_made_anew_with_force_alone() {
    let Some(server) = shared().await else { return };
    let world = World::new(&server).await;
    let fixed = |value: &str, options: &str| {
        let object = config("a", value).replace("\ndata:", "\nimmutable: true\ndata:");
        let object = object.replace(
            "{name: a}",
            &format!("{{name: a, annotations: {{argocd.argoproj.io/sync-options: '{options}'}}}}"),
        );
        target("forced", POLICY, &object)
    };
    world.done(&fixed("1", ""), &orders()).await;
    let report = world.sync(&fixed("2", ""), &orders()).await;
    let Ending::Failed(why) = report.ending else { panic!("{report:#?}") };
    assert!(why[0].1.contains("immutable"), "{why:?}");
    let report = world.done(&fixed("2", "Force=true"), &orders()).await;
    assert_eq!(world.written(), ["a", "-a", "a"][usize::from(world.written().len() == 2)..]);
    assert!(report.lines.iter().any(|line| line.what == What::Changed));
    let live = world.get("/api/v1/namespaces/forced/configmaps/a").await.unwrap();
    assert_eq!(live["data"]["key"], "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_replaced_loses_what_others_wrote() {
    let Some(server) = shared().await else { return };
    let world = World::new(&server).await;
    let replaced = |value: &str| {
        let options = "{name: a, annotations: {argocd.argoproj.io/sync-options: Replace=true}}";
        target("replaced", POLICY, &config("a", value).replace("{name: a}", options))
    };
    world.done(&replaced("1"), &orders()).await;
    let path = "/api/v1/namespaces/replaced/configmaps/a";
    world.edit(path, json!({"data": {"other": "1"}})).await;
    world.done(&replaced("2"), &orders()).await;
    assert_eq!(world.get(path).await.unwrap()["data"], json!({"key": "2"}));

    // Somebody writes to it in between: it is read again. Whoever writes without end is let be, and told of.
    let meddles = &world.cluster.meddles;
    let next = replaced("3");
    let before = world.standing(&next).await;
    assert_eq!(before.drifts.len(), 1);
    for (often, value, written) in [(3, "3", 3), (100, "4", 4)] {
        let target = replaced(value);
        meddles.store(often, std::sync::atomic::Ordering::Relaxed);
        let report = world.sync(&target, &orders()).await;
        meddles.store(0, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(world.written().len(), written, "{report:#?}");
        let Ending::Failed(why) = report.ending else { continue };
        assert!(often == 100 && why[0].1.contains("the object has been modified"), "{why:?}");
    }
    assert_eq!(world.get(path).await.unwrap()["data"]["key"], "3");
}

#[test]
fn an_option_that_can_not_be_followed_is_an_error_with_its_place() {
    let found = try_target("a", "  syncPolicy: {syncOptions: [ServerSideApply=false]}\n", "").unwrap_err();
    assert!(found.to_string().contains("app.yaml:1") && found.0[0].code == "PG1371", "{found}");
    let object = config("a", "1")
        .replace("{name: a}", "{name: a, annotations: {argocd.argoproj.io/sync-options: 'Prune=maybe'}}");
    let found = try_target("a", "", &object).unwrap_err();
    assert!(found.to_string().contains("objects.yaml:2") && found.0[0].code == "PG1371", "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubeconfig_that_can_not_be_used_tells_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    for text in [
        "users: [{name: a, user: {token: hunter2}}\n",
        "apiVersion: v1\nkind: Config\ncurrent-context: hunter2-not\nusers: [{name: a, user: {token: hunter2}}]\n",
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{name: k, cluster: {server: 'https://127.0.0.1:1', certificate-authority-data: hunter2}}]\ncontexts: [{name: c, context: {cluster: k, user: a}}]\nusers: [{name: a, user: {token: hunter2}}]\n",
        "token: hunter2",
        "",
    ] {
        std::fs::write(&path, text).unwrap();
        let error = Connection::open(Some(&path), None).await.unwrap_err().to_string();
        assert!(!error.replace("hunter2-not", "").contains("hunter2"), "{error}");
    }
    let error = Connection::open(Some(&folder.path().join("nothing")), None).await.unwrap_err();
    assert!(error.to_string().contains("nothing"), "{error}");
}
