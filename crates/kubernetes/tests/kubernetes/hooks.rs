//! Hooks run once in each sync, in their phases, and go as they say.

use std::sync::Arc;

use prograde_kubernetes::Orders;
use prograde_resource::sync::Ending;
use serde_json::json;

use crate::peer::shared;
use crate::world::{World, config, orders, target, until};

const POLICY: &str = "  syncPolicy: {syncOptions: [CreateNamespace=true, PrunePropagationPolicy=background]}\n";

fn job(name: &str, phase: &str, delete: &str) -> String {
    format!(
        "---\napiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {name}\n  annotations: {{argocd.argoproj.io/hook: {phase}, argocd.argoproj.io/hook-delete-policy: {delete}}}\n\
         spec: {{template: {{spec: {{restartPolicy: Never, containers: [{{name: a, image: a}}]}}}}}}\n"
    )
}

/// Ends a job, as the job controller does.
async fn end(world: &World, namespace: &str, name: &str, condition: &str) -> String {
    let path = format!("/apis/batch/v1/namespaces/{namespace}/jobs/{name}");
    let runs = |job: &serde_json::Value| {
        job["status"]["conditions"].is_null() && job["metadata"]["deletionTimestamp"].is_null()
    };
    until(|| async { world.get(&path).await.is_some_and(|job| runs(&job)) }).await;
    let uid = world.get(&path).await.unwrap()["metadata"]["uid"].as_str().unwrap().to_owned();
    let time = "2026-01-01T00:00:00Z";
    let first = if condition == "Complete" { "SuccessCriteriaMet" } else { "FailureTarget" };
    let told = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": time});
    let mut status = json!({"startTime": time, "conditions": [told(first)]});
    world.status(&path, status.clone()).await;
    status["conditions"] = json!([told(first), told(condition)]);
    if condition == "Complete" {
        status["completionTime"] = json!(time);
        status["succeeded"] = json!(1);
    }
    world.status(&path, status).await;
    uid
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_run_before_and_after_and_are_made_anew() {
    let Some(server) = shared().await else { return };
    let world = Arc::new(World::new(&server).await);
    let objects =
        job("before", "PreSync", "BeforeHookCreation") + &config("a", "1") + &job("after", "PostSync", "HookSucceeded");
    let target = target("hooked", POLICY, &objects);
    let mut uids = Vec::new();
    for _ in 0..2 {
        let other = Arc::clone(&world);
        let controller = async move {
            let before = end(&other, "hooked", "before", "Complete").await;
            end(&other, "hooked", "after", "Complete").await;
            before
        };
        let orders = orders();
        let (_, before) = tokio::join!(world.done(&target, &orders), controller);
        uids.push(before);
        // It was deleted once it had succeeded; the other one stays until it is made again.
        assert!(world.get("/apis/batch/v1/namespaces/hooked/jobs/after").await.is_none());
        assert!(world.get("/apis/batch/v1/namespaces/hooked/jobs/before").await.is_some());
    }
    assert_ne!(uids[0], uids[1]);
    assert_eq!(world.written(), ["-before", "before", "after", "-after"]);
    assert!(world.standing(&target).await.drifts.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_fails_stops_the_sync_and_calls_the_one_for_failures() {
    let Some(server) = shared().await else { return };
    let world = Arc::new(World::new(&server).await);
    let objects =
        job("before", "PreSync", "HookFailed") + &config("a", "1") + &job("mourn", "SyncFail", "BeforeHookCreation");
    let target = target("mourned", POLICY, &objects);
    let other = Arc::clone(&world);
    let controller = async move {
        end(&other, "mourned", "before", "Failed").await;
        end(&other, "mourned", "mourn", "Complete").await;
    };
    let orders = orders();
    let (report, ()) = tokio::join!(world.sync(&target, &orders), controller);
    let Ending::Failed(why) = report.ending else { panic!("{report:#?}") };
    assert_eq!(why[0].0.name, "before");
    assert_eq!(world.written(), ["mourned", "before", "mourn", "-before"]);
    assert!(world.get("/api/v1/namespaces/mourned/configmaps/a").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_whose_answer_is_lost_is_not_run_twice() {
    let Some(server) = shared().await else { return };
    let world = Arc::new(World::new(&server).await);
    world.namespace("lost").await;
    *world.cluster.loses.lock().unwrap() = Some(1);
    let target = target("lost", POLICY, &job("before", "PreSync", "BeforeHookCreation"));
    let other = Arc::clone(&world);
    let orders = orders();
    let controller = async move { end(&other, "lost", "before", "Complete").await };
    let (_, uid) = tokio::join!(world.done(&target, &orders), controller);
    assert_eq!(world.written(), ["before"]);
    let live = world.get("/apis/batch/v1/namespaces/lost/jobs/before").await.unwrap();
    assert_eq!(live["metadata"]["uid"], uid.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_was_broken_off_goes_on_with_its_hook() {
    let Some(server) = shared().await else { return };
    let world = Arc::new(World::new(&server).await);
    let target = target("resumed", POLICY, &job("before", "PreSync", "BeforeHookCreation"));
    let path = "/apis/batch/v1/namespaces/resumed/jobs/before";
    let orders = orders();
    tokio::select! {
        report = world.sync(&target, &orders) => panic!("{report:#?}"),
        () = until(|| async { world.get(path).await.is_some() }) => {}
    }
    let first = world.get(path).await.unwrap()["metadata"]["uid"].as_str().unwrap().to_owned();
    let other = Arc::clone(&world);
    let controller = async move {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        end(&other, "resumed", "before", "Complete").await
    };
    let (_, second) = tokio::join!(world.done(&target, &orders), controller);
    assert_eq!(first, second);
    assert_eq!(world.written(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_is_not_made_over_somebody_elses_object() {
    let Some(server) = shared().await else { return };
    let world = World::new(&server).await;
    world.namespace("theirs").await;
    world
        .create(
            "/apis/batch/v1/namespaces/theirs/jobs",
            json!({"apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "before"}, "spec": {"template": {"spec": {"restartPolicy": "Never",
        "containers": [{"name": "a", "image": "b"}]}}}}),
        )
        .await;
    let report =
        world.sync(&target("theirs", POLICY, &job("before", "PreSync", "BeforeHookCreation")), &orders()).await;
    let Ending::Failed(why) = report.ending else { panic!("{report:#?}") };
    assert!(why[0].1.contains("does not belong to `theirs`"), "{why:?}");
    assert_eq!(world.written(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_goes_runs_its_hooks_of_deletion_around_that() {
    let Some(server) = shared().await else { return };
    let world = Arc::new(World::new(&server).await);
    let keep = "metadata: {annotations: {argocd.argoproj.io/sync-options: Delete=false}, ";
    let kept = config("kept", "1").replace("metadata: {", keep);
    let objects = job("save", "PreDelete", "BeforeHookCreation")
        + &config("a", "1")
        + &kept
        + &job("tell", "PostDelete", "HookSucceeded")
        + &job("never", "PreSync", "HookSucceeded");
    let target = target("leaving", POLICY, &objects);
    let other = Arc::clone(&world);
    let controller = async move { end(&other, "leaving", "never", "Complete").await };
    let orders = orders();
    tokio::join!(world.done(&target, &orders), controller);
    let mut written = world.written();
    written.sort();
    assert_eq!(written, ["-never", "a", "kept", "leaving", "never"]);

    // Nothing goes before a person has said so.
    let leaving = target.leaving();
    let asked = world.sync(&leaving, &Orders { dry: true, ..orders.clone() }).await;
    assert_eq!(asked.asks.iter().map(|(identity, _)| identity.name.as_str()).collect::<Vec<_>>(), ["a"]);
    assert!(world.written().is_empty());

    let confirmed = Orders { confirmed: true, ..orders.clone() };
    let other = Arc::clone(&world);
    let controller = async move {
        end(&other, "leaving", "save", "Complete").await;
        end(&other, "leaving", "tell", "Complete").await;
    };
    tokio::join!(world.done(&leaving, &confirmed), controller);
    assert_eq!(world.written(), ["save", "-a", "tell", "-tell"]);
    assert!(world.get("/api/v1/namespaces/leaving/configmaps/a").await.is_none());
    assert!(world.get("/api/v1/namespaces/leaving/configmaps/kept").await.is_some());

    // What an order that was broken off has deleted, and something holds, is waited for before the last hook.
    let hold = "/api/v1/namespaces/leaving/configmaps/held";
    let made = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "finalizers": ["example.org/hold"],
        "annotations": {"argocd.argoproj.io/tracking-id": "leaving:/ConfigMap:leaving/held"}}});
    world.create("/api/v1/namespaces/leaving/configmaps", made).await;
    world.ask("DELETE", hold, "application/json", &json!({})).await.unwrap();
    let other = Arc::clone(&world);
    let controller = async move { end(&other, "leaving", "save", "Complete").await };
    let short = Orders { timeout: jiff::SignedDuration::from_secs(6), ..confirmed.clone() };
    let (report, _) = tokio::join!(world.sync(&leaving, &short), controller);
    assert!(format!("{:?}", report.ending).contains("still there"), "{report:?}");
    assert_eq!(world.written(), ["-save", "save"], "the last hook waits");
    world.edit(hold, json!({"metadata": {"finalizers": null}})).await;

    // A hook that fails lets nothing go.
    let other = Arc::clone(&world);
    let controller = async move { end(&other, "leaving", "never", "Complete").await };
    tokio::join!(world.done(&target, &orders), controller);
    world.written();
    let other = Arc::clone(&world);
    let controller = async move { end(&other, "leaving", "save", "Failed").await };
    let (report, _) = tokio::join!(world.sync(&leaving, &confirmed), controller);
    assert!(matches!(report.ending, Ending::Failed(_)), "{report:?}");
    assert!(world.get("/api/v1/namespaces/leaving/configmaps/a").await.is_some());
}
