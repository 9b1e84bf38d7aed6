//! What Git names no longer goes, as far as it may.

use prograde_kubernetes::What;
use prograde_resource::prune::{Reason, Refusal};
use serde_json::json;

use crate::peer::shared;
use crate::world::{World, config, orders, target};

const POLICY: &str = "  syncPolicy: {syncOptions: [CreateNamespace=true, PrunePropagationPolicy=background]}\n";

fn configs(names: &[&str]) -> String {
    names.iter().map(|name| config(name, "1")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_git_names_no_longer_is_deleted_where_that_is_asked_for() {
    let Some(server) = shared().await else { return };
    let world = World::new(&server).await;
    let kept = config("kept", "1")
        .replace("{name: kept}", "{name: kept, annotations: {argocd.argoproj.io/sync-options: Prune=false}}");
    world.done(&target("pruned", POLICY, &(configs(&["a", "b", "c", "d"]) + &kept)), &orders()).await;
    // Somebody's own, and a copy that somebody made with all its annotations.
    let own = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "own"}});
    world.create("/api/v1/namespaces/pruned/configmaps", own).await;
    let copy = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "copy",
        "annotations": {"argocd.argoproj.io/tracking-id": "pruned:/ConfigMap:pruned/a"}}});
    world.create("/api/v1/namespaces/pruned/configmaps", copy).await;

    let fewer = target("pruned", POLICY, &configs(&["a", "b"]));
    let mut without = orders();
    without.prune = false;
    let report = world.done(&fewer, &without).await;
    assert_eq!((report.left.len(), world.written().len()), (3, 0));
    let report = world.done(&fewer, &orders()).await;
    assert_eq!(world.written(), ["-c", "-d"]);
    assert_eq!(report.lines.iter().filter(|line| line.what == What::Pruned).count(), 2);
    for (name, there) in
        [("a", true), ("b", true), ("c", false), ("d", false), ("kept", true), ("own", true), ("copy", true)]
    {
        let path = format!("/api/v1/namespaces/pruned/configmaps/{name}");
        assert_eq!(world.get(&path).await.is_some(), there, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn much_at_once_is_asked_for() {
    let Some(server) = shared().await else { return };
    let world = World::new(&server).await;
    world.done(&target("guarded", POLICY, &configs(&["a", "b", "c", "d"])), &orders()).await;
    let one = target("guarded", POLICY, &configs(&["a"]));
    let report = world.done(&one, &orders()).await;
    assert!(matches!(report.refusal, Some(Refusal::Share { gone: 3, all: 4, .. })), "{report:#?}");
    assert_eq!(report.asks.len(), 3);
    assert!(report.asks.iter().all(|(_, reason)| *reason == Reason::TooMany));
    assert_eq!(world.written(), [""; 0]);

    let none = target("guarded", POLICY, "");
    let report = world.done(&none, &orders()).await;
    assert_eq!(report.refusal, Some(Refusal::Empty(4)), "{report:#?}");
    assert_eq!(world.written(), [""; 0]);

    let mut confirmed = orders();
    confirmed.confirmed = true;
    world.done(&one, &confirmed).await;
    assert_eq!(world.written(), ["-b", "-c", "-d"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_rendering_deletes_nothing() {
    let Some(server) = shared().await else { return };
    let world = World::new(&server).await;
    let policy = "  syncPolicy: {syncOptions: [PrunePropagationPolicy=background]}\n";
    world.namespace("emptied").await;
    world.done(&target("emptied", policy, &configs(&["a"])), &orders()).await;
    let none = target("emptied", policy, "");
    let report = world.done(&none, &orders()).await;
    assert_eq!((report.refusal, report.asks.len()), (Some(Refusal::Empty(1)), 1));
    assert_eq!(world.written(), [""; 0]);
    // The namespace that is made for it is nothing that Git names.
    world.done(&target("emptied-too", POLICY, &configs(&["a"])), &orders()).await;
    let report = world.done(&target("emptied-too", POLICY, ""), &orders()).await;
    assert_eq!((report.refusal, world.written().len()), (Some(Refusal::Empty(1)), 0));
    // An application may say itself that nothing need be left.
    let free = "  syncPolicy: {automated: {prune: true, allowEmpty: true}, syncOptions: [PrunePropagationPolicy=background]}\n";
    world.done(&target("emptied", free, ""), &orders()).await;
    assert_eq!(world.written(), ["-a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_holds_data_is_asked_for() {
    let Some(server) = shared().await else { return };
    let world = World::new(&server).await;
    let claim = "---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data, annotations: {argocd.argoproj.io/sync-wave: '-1'}}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n";
    let mut orders = orders();
    orders.timeout = jiff::SignedDuration::from_secs(2);
    world.sync(&target("data", POLICY, &(configs(&["a", "b"]) + claim)), &orders).await;
    world.status("/api/v1/namespaces/data/persistentvolumeclaims/data", json!({"phase": "Bound"})).await;
    let report = world.done(&target("data", POLICY, &configs(&["a", "b"])), &orders).await;
    assert_eq!(report.asks.len(), 1);
    assert_eq!(report.asks[0].1, Reason::HoldsData);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_may_say_that_nothing_is_ever_deleted() {
    let Some(server) = shared().await else { return };
    let world = World::new(&server).await;
    let never = "  syncPolicy: {syncOptions: [CreateNamespace=true, Prune=false]}\n";
    world.done(&target("never", never, &configs(&["a", "b"])), &orders()).await;
    let report = world.done(&target("never", never, &configs(&["a"])), &orders()).await;
    assert_eq!((report.left.len(), world.written().len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leaves_goes_as_a_whole_but_for_what_others_want() {
    let Some(server) = shared().await else { return };
    let world = World::new(&server).await;
    let asks = config("d", "1")
        .replace("{name: d}", "{name: d, annotations: {argocd.argoproj.io/sync-options: Delete=confirm}}");
    // What has no namespace is the same in whichever an application is; a `b` elsewhere is another one.
    let role =
        "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: leaves}\nrules: []\n";
    let old = target("leaves", POLICY, &(configs(&["a", "b", "c"]) + &asks + role));
    world.done(&old, &orders()).await;
    world.written();
    let taken = configs(&["a"]).replace("{name: a}", "{name: a, namespace: leaves}");
    let other = target("takes", POLICY, &(taken + &configs(&["b"]) + role));

    // Neither before a person has said so, nor where one object asks for that.
    let report = world.done(&old.left_out(true, &[&other]), &orders()).await;
    assert_eq!(report.refusal, Some(Refusal::Empty(3)), "{report:#?}");
    let left = old.left_out(false, &[&other]);
    let report = world.done(&left, &orders()).await;
    assert!(matches!(&report.asks[..], [(_, Reason::Confirm)]), "{report:#?}");
    assert_eq!(world.written(), [""; 0]);

    let mut confirmed = orders();
    confirmed.confirmed = true;
    world.done(&left, &confirmed).await;
    let mut written = world.written();
    written.sort();
    assert_eq!(written, ["-b", "-c", "-d"]);
    assert!(world.get("/api/v1/namespaces/leaves/configmaps/a").await.is_some());
}
