//! Objects come, stay as they are, are healed, and follow each other.

use std::sync::Arc;

use prograde_kubernetes::{Cluster as _, What};
use prograde_resource::Drift;
use prograde_resource::sync::Ending;
use serde_json::json;

use crate::peer::shared;
use crate::world::{World, config, orders, target, until};

const POLICY: &str = "  syncPolicy: {syncOptions: [CreateNamespace=true, PrunePropagationPolicy=background]}\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_second_sync_writes_nothing() {
    let Some(server) = shared().await else { return };
    let world = World::new(&server).await;
    let objects = config("a", "1")
        + &config("b", "2")
        + "---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n"
        + "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: hunter2}\n"
        + "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: 'same:role'}\nrules: []\n";
    let same = target("same", POLICY, &objects);
    assert_eq!(world.standing(&same).await.drifts.len(), 6);
    let report = world.done(&same, &orders()).await;
    assert_eq!(world.written()[0], "same");
    assert_eq!(report.lines.iter().filter(|line| line.what == What::Created).count(), 6);
    let marked = world.get("/api/v1/namespaces/same/configmaps/a").await.unwrap();
    assert_eq!(marked["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"], "same:/ConfigMap:same/a");

    assert!(world.standing(&same).await.drifts.is_empty());
    let again = world.done(&same, &orders()).await;
    assert_eq!(world.written(), [""; 0]);
    assert!(again.lines.iter().all(|line| line.what == What::Unchanged));

    let changed = target("same", POLICY, &objects.replace("'1'", "'3'"));
    world.done(&changed, &orders()).await;
    assert_eq!(world.written(), ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_try_changes_nothing_and_tells_what_would_be_refused() {
    let Some(server) = shared().await else { return };
    let world = World::new(&server).await;
    world.namespace("tried").await;
    let mut dry = orders();
    dry.dry = true;
    let report = world.done(&target("tried", POLICY, &config("a", "1")), &dry).await;
    assert_eq!((report.lines.len(), report.lines[0].what), (1, What::Created));
    assert!(world.written().is_empty() && world.get("/api/v1/namespaces/tried/configmaps/a").await.is_none());

    let wrong = config("a", "1")
        + "---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 99999}]}\n";
    let refused = target("tried", POLICY, &wrong);
    for orders in [dry, orders()] {
        let report = world.sync(&refused, &orders).await;
        let Ending::Failed(why) = report.ending else { panic!("{report:#?}") };
        assert_eq!((why.len(), why[0].0.name.as_str()), (1, "web"));
        assert!(why[0].1.contains("must be between 1 and 65535"), "{why:?}");
        assert!(world.written().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_found_named_and_healed() {
    let Some(server) = shared().await else { return };
    let world = World::new(&server).await;
    let target = target("drifts", POLICY, &(config("a", "1") + &config("b", "2")));
    world.done(&target, &orders()).await;
    let path = "/api/v1/namespaces/drifts/configmaps/a";
    world.edit(path, json!({"data": {"key": "theirs", "other": "kept"}})).await;
    let standing = world.standing(&target).await;
    let [(identity, Drift::Changed { differences })] = standing.drifts.as_slice() else {
        panic!("{:?}", standing.drifts)
    };
    assert_eq!(identity.name, "a");
    assert_eq!(differences.len(), 1);
    assert_eq!(differences[0].path.to_string(), "data.key");
    assert_eq!(differences[0].by.as_ref().unwrap().manager, "kubectl-edit");
    world.done(&target, &orders()).await;
    assert_eq!(world.written(), ["a"]);
    let healed = world.get(path).await.unwrap();
    assert_eq!(healed["data"], json!({"key": "1", "other": "kept"}));
}

const WEB: &str = "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 2\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: web, image: 'web:1'}]}\n";
const READY: &str =
    r#"{"observedGeneration": 9, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_wave_waits_for_the_one_before() {
    let Some(server) = shared().await else { return };
    let world = Arc::new(World::new(&server).await);
    let late =
        config("late", "1").replace("{name: late}", "{name: late, annotations: {argocd.argoproj.io/sync-wave: '1'}}");
    let target = target("waves", POLICY, &(late + WEB));
    let path = "/apis/apps/v1/namespaces/waves/deployments/web";
    let other = Arc::clone(&world);
    let controller = async move {
        until(|| async { other.get(path).await.is_some() }).await;
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        let early = other.get("/api/v1/namespaces/waves/configmaps/late").await;
        other.status(path, serde_json::from_str(READY).unwrap()).await;
        early
    };
    let orders = orders();
    let (report, early) = tokio::join!(world.done(&target, &orders), controller);
    assert!(early.is_none(), "the second wave came before the first was healthy");
    assert_eq!(world.written(), ["waves", "web", "late"]);
    assert_eq!(report.lines.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_healthy_in_time_is_told() {
    let Some(server) = shared().await else { return };
    let world = World::new(&server).await;
    let mut orders = orders();
    orders.timeout = jiff::SignedDuration::from_secs(2);
    let report = world.sync(&target("slow", POLICY, WEB), &orders).await;
    let Ending::Late(on) = report.ending else { panic!("{report:#?}") };
    assert_eq!(on[0].0.to_string(), "Deployment.apps slow/web");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_an_autoscaler_owns_is_left_to_it() {
    let Some(server) = shared().await else { return };
    let world = World::new(&server).await;
    let ignoring = "  ignoreDifferences: [{group: apps, kind: Deployment, jsonPointers: [/spec/replicas]}]\n  syncPolicy: {syncOptions: [CreateNamespace=true, RespectIgnoreDifferences=true]}\n";
    let path = "/apis/apps/v1/namespaces/scaled/deployments/web";
    let mut orders = orders();
    orders.timeout = jiff::SignedDuration::from_secs(1);
    world.sync(&target("scaled", ignoring, WEB), &orders).await;
    world.status(path, serde_json::from_str(READY).unwrap()).await;
    let scale = json!({"spec": {"replicas": 7}});
    let hpa = format!("{path}/scale?fieldManager=autoscaler");
    world.ask("PATCH", &hpa, "application/merge-patch+json", &scale).await.unwrap();
    assert!(world.standing(&target("scaled", ignoring, WEB)).await.drifts.is_empty());
    world.sync(&target("scaled", ignoring, WEB), &orders).await;
    assert_eq!(world.written(), [""; 0]);
    // Another change does not take the field back.
    world.sync(&target("scaled", ignoring, &WEB.replace("web:1", "web:2")), &orders).await;
    assert_eq!(world.written(), ["web"]);
    let live = world.get(path).await.unwrap();
    assert_eq!(live["spec"]["replicas"], 7);
    assert_eq!(live["spec"]["template"]["spec"]["containers"][0]["image"], "web:2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_and_its_object_come_in_one_sync() {
    let Some(server) = shared().await else { return };
    let world = World::new(&server).await;
    let objects = "---\napiVersion: shop.example/v1\nkind: Gadget\nmetadata: {name: one}\nspec: {size: 3}\n\
        ---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: gadgets.shop.example}\n\
        spec:\n  group: shop.example\n  scope: Namespaced\n  names: {kind: Gadget, plural: gadgets, singular: gadget, listKind: GadgetList}\n  \
        versions:\n  - name: v1\n    served: true\n    storage: true\n    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}\n";
    let target = target("gadgets", POLICY, objects);
    world.done(&target, &orders()).await;
    let gadget = world.get("/apis/shop.example/v1/namespaces/gadgets/gadgets/one").await.unwrap();
    assert_eq!(gadget["spec"]["size"], 3);
    world.done(&target, &orders()).await;
    assert_eq!(world.written(), [""; 0]);
    assert!(world.cluster.kinds(false).await.unwrap().find("shop.example/v1", "Gadget").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kubectl_applied_is_taken_over() {
    let Some(server) = shared().await else { return };
    let world = World::new(&server).await;
    world.namespace("moved").await;
    let last = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "moved"},
        "data": {"key": "0", "gone": "1"}});
    let mut live = last.clone();
    live["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/last-applied-configuration": last.to_string()});
    world.create("/api/v1/namespaces/moved/configmaps?fieldManager=kubectl-client-side-apply", live).await;
    let target = target("moved", POLICY, &config("a", "1"));
    world.done(&target, &orders()).await;
    let live = world.get("/api/v1/namespaces/moved/configmaps/a").await.unwrap();
    assert_eq!(live["data"], json!({"key": "1"}));
    world.done(&target, &orders()).await;
    assert_eq!(world.written(), [""; 0]);
}
