//! What breaks off goes on, and what fails holds nobody else up.

use std::sync::Arc;
use std::time::Duration;

use prograde_kubernetes::{Cluster as _, Connection, Refused};
use prograde_resource::sync::Ending;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::peer::{own, shared};
use crate::world::{World, config, orders, target, until};

const POLICY: &str = "  syncPolicy: {syncOptions: [CreateNamespace=true, PrunePropagationPolicy=background]}\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_goes_on_when_the_api_server_is_back() {
    let Some(server) = own().await else { return };
    let server = Arc::new(server);
    let world = World::new(&server).await;
    let waved = |name: &str, wave: u32| {
        let annotations = format!("{{name: {name}, annotations: {{argocd.argoproj.io/sync-wave: '{wave}'}}}}");
        config(name, "1").replace(&format!("{{name: {name}}}"), &annotations)
    };
    let web = "---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: held, annotations: {argocd.argoproj.io/sync-wave: '1'}}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n";
    let target = target("broken", POLICY, &(waved("a", 0) + web + &waved("b", 2)));
    let orders = orders();
    let trouble = async {
        let held = "/api/v1/namespaces/broken/persistentvolumeclaims/held";
        until(|| async { world.get(held).await.is_some() }).await;
        server.stop();
        tokio::time::sleep(Duration::from_secs(3)).await;
        server.start();
        server.ready().await;
        let path = format!("{held}/status");
        let bound = serde_json::json!({"status": {"phase": "Bound"}});
        until(|| async { world.ask("PATCH", &path, "application/merge-patch+json", &bound).await.is_ok() }).await;
    };
    tokio::join!(world.done(&target, &orders), trouble);
    assert_eq!(world.written(), ["broken", "a", "held", "b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_may_be_lost_once() {
    let Some(server) = shared().await else { return };
    let world = World::new(&server).await;
    for lost in 1..=4 {
        let name = format!("loses{lost}");
        world.cluster.writes.store(0, std::sync::atomic::Ordering::Relaxed);
        *world.cluster.loses.lock().unwrap() = Some(lost);
        let target = target(&name, POLICY, &(config("a", "1") + &config("b", "1") + &config("c", "1")));
        world.done(&target, &orders()).await;
        assert!(world.cluster.loses.lock().unwrap().is_none(), "{lost}");
        world.done(&target, &orders()).await;
        assert_eq!(world.written(), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_tried_again_as_the_application_says() {
    let Some(server) = shared().await else { return };
    let world = World::new(&server).await;
    let policy = "  syncPolicy: {retry: {limit: 2, backoff: {duration: 1s, factor: 1}}}\n";
    let target = target("retried", policy, &config("a", "1"));
    let comes = async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        world.namespace("retried").await;
    };
    let orders = orders();
    let (report, ()) = tokio::join!(world.done(&target, &orders), comes);
    assert!(report.attempts > 1);
    let again = crate::world::target("retries", policy, &config("a", "1"));
    let report = world.sync(&again, &orders).await;
    assert!(matches!(report.ending, Ending::Failed(_)) && report.attempts == 3, "{report:#?}");
}

/// What an API server that is none says to the first question.
async fn told(answer: &'static [u8], body: usize) -> Refused {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = [0; 4096];
            let _read = stream.read(&mut asked).await;
            let _sent = stream.write_all(answer).await;
            for _ in 0..body / 8_192 {
                if stream.write_all(&[b' '; 8_192]).await.is_err() {
                    break;
                }
            }
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{name: k, cluster: {{server: 'http://127.0.0.1:{port}'}}}}]\n\
         users: [{{name: u, user: {{token: hunter2}}}}]\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n"
    );
    std::fs::write(&path, text).unwrap();
    let connection = Connection::open(Some(&path), None).await.unwrap();
    let refused = connection.api.kinds(true).await.unwrap_err();
    assert!(!refused.to_string().contains("hunter2"), "{refused}");
    refused
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_none_is_told_and_bounded() {
    let garbage = told(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n<html/>\n", 0).await;
    assert!(matches!(garbage, Refused::Strange(_)), "{garbage}");
    let old = told(b"HTTP/1.1 200 OK\r\ncontent-length: 23\r\n\r\n{\"kind\":\"APIGroupList\"}", 0).await;
    assert!(old.to_string().contains("since version 1.27"), "{old}");
    let huge = told(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n", 99_999_999).await;
    assert!(matches!(huge, Refused::TooLarge(_)), "{huge}");
    let stranger = told(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n", 0).await;
    assert!(stranger.is(401), "{stranger}");
    let (gone, no_http) = tokio::join!(told(b"", 0), told(b"SSH-2.0-OpenSSH_9.2\r\n", 0));
    assert!(matches!(gone, Refused::Unreachable(_)) && matches!(no_http, Refused::Unreachable(_)), "{gone} {no_http}");
}
