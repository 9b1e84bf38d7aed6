//! The server dies, its replicas don't.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::StreamExt as _;
use prograde_model::runtime::{Desired, Routing};
use prograde_node::{LogQuery, Node};

use crate::fixture::{
    Fixture, Scratch, digest, get, image, is_alive, options, pid, replica_address, revision, target, until, version,
    with_env, workload,
};

/// Not a test: `SERVER_DIR` is set only by the tests below, which kill this process.
#[test]
#[ignore = "the server that is killed"]
fn server() {
    let Some(dir) = std::env::var_os("SERVER_DIR") else { return };
    let dir = Path::new(&dir);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let node = Node::start(options(dir)).await.unwrap();
        let desired = Desired {
            target: target("pad"),
            versions: vec![version('a', &workload(), 2, 100)],
            routing: Routing::default(),
        };
        node.apply(desired, image(dir)).await.unwrap();
        let mut changed = node.changed();
        while node.observe(&target("pad")).version(&revision('a')).is_none_or(|seen| seen.ready < 2) {
            changed.changed().await.unwrap();
        }
        fs::write(dir.join("address.tmp"), node.addresses(&target("pad"))[0].1.to_string()).unwrap();
        fs::rename(dir.join("address.tmp"), dir.join("address")).unwrap();
        std::future::pending::<()>().await;
    });
}

/// Starts a server with two replicas on `dir`, sends it some requests, and kills it. Returns its replicas' processes.
async fn killed_server(dir: &Path) -> Vec<String> {
    let mut server: Child = Command::new(std::env::current_exe().unwrap())
        .args(["adoption::server", "--exact", "--ignored", "--nocapture"])
        .env("SERVER_DIR", dir)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    until("the server serves", || dir.join("address").exists()).await;
    let address = fs::read_to_string(dir.join("address")).unwrap().parse().unwrap();
    let mut replicas = std::collections::BTreeSet::new();
    for _ in 0..50 {
        replicas.insert(get(address, "/say/hello").await.unwrap().1);
    }
    assert_eq!(replicas.len(), 2);
    let counted =
        || fs::read_to_string(dir.join("data/versions.json")).unwrap_or_default().contains(r#""requests":50"#);
    until("the counters are on disk", counted).await;
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(get(address, "/").await.is_err());
    replicas.into_iter().collect()
}

#[tokio::test]
async fn replicas_survive_their_server_and_are_taken_over_by_the_next() {
    let dir = Scratch::new();
    let replicas = killed_server(dir.path()).await;
    for replica in &replicas {
        assert_eq!(get(replica_address(replica), "/").await.unwrap().1, *replica, "it serves on, without a server");
    }
    let node = Node::start(options(dir.path())).await.unwrap();
    let fixture = Fixture { dir, node, target: target("pad") };
    assert_eq!(fixture.node.targets(), [target("pad")]);
    assert_eq!(fixture.node.images(), [digest()].into(), "what survivors run is in use before anybody wants it");
    let seen = fixture.seen('a');
    assert_eq!((seen.replicas, seen.ready, seen.counters.requests), (2, 0, 50));
    assert_eq!(seen.latencies.total(), 50, "how long they took is not forgotten either");
    assert!(seen.waiting.unwrap().contains("survived"));

    fixture.apply(vec![version('a', &workload(), 2, 100)]).await;
    assert_eq!(get(fixture.address(), "/").await.unwrap().0, 200, "what was ready is still ready");
    fixture.until_ready('a', 2).await;
    let processes = fixture.pids(30).await;
    assert_eq!(processes, replicas.iter().map(|replica| pid(replica)).collect());
    let seen = fixture.seen('a');
    assert!(seen.restarts == 0 && seen.counters.requests > 80, "{seen:?}");
    let stream = fixture.node.logs(&fixture.target, LogQuery::default()).await;
    let hellos = stream.filter(|line| std::future::ready(line.line == "hello"));
    assert_eq!(hellos.count().await, 50, "what was written before is in the log, once");

    // One that ends is noticed at once, and started again.
    get(replica_address(&replicas[0]), "/exit/1").await.unwrap_err();
    let seen = fixture.until('a', |seen| seen.restarts == 1 && seen.ready == 2).await;
    assert_eq!(seen.replicas, 2);
    assert!(!is_alive(pid(&replicas[0])) && is_alive(pid(&replicas[1])));
    fixture.end().await;
    until("the survivor is stopped", || !is_alive(pid(&replicas[1]))).await;
}

#[tokio::test]
async fn survivors_that_are_not_wanted_any_more_are_stopped() {
    let dir = Scratch::new();
    let replicas = killed_server(dir.path()).await;
    // One record is torn: that replica can't be known, and must not be left behind.
    let torn = fs::read_dir(dir.path().join("data/replicas")).unwrap().next().unwrap().unwrap().path();
    fs::write(torn.join("state.json"), "{\"version\":1,").unwrap();
    let node = Node::start(options(dir.path())).await.unwrap();
    let fixture = Fixture { dir, node, target: target("pad") };
    assert_eq!(fixture.seen('a').replicas, 1);
    until("the unknown one is killed", || replicas.iter().filter(|replica| is_alive(pid(replica))).count() == 1).await;
    assert!(!torn.exists());
    let changed = with_env(workload(), "CHANGED", "1");
    fixture.apply(vec![version('b', &changed, 1, 100)]).await;
    fixture.until('a', |seen| seen.replicas == 0).await;
    until("both are gone", || !replicas.iter().any(|replica| is_alive(pid(replica)))).await;
    fixture.until_ready('b', 1).await;
    fixture.end().await;
}

#[tokio::test]
async fn a_survivor_that_was_being_stopped_is_not_brought_back() {
    let dir = Scratch::new();
    let replicas = killed_server(dir.path()).await;
    let record = fs::read_dir(dir.path().join("data/replicas")).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(record.join("state.json")).unwrap();
    fs::write(record.join("state.json"), text.replace("\"stopping\":false", "\"stopping\":true")).unwrap();
    let node = Node::start(options(dir.path())).await.unwrap();
    let fixture = Fixture { dir, node, target: target("pad") };
    fixture.apply(vec![version('a', &workload(), 2, 100)]).await;
    until("one is stopped", || !record.exists()).await;
    fixture.until_ready('a', 2).await;
    assert_eq!(replicas.iter().filter(|replica| is_alive(pid(replica))).count(), 1);
    fixture.end().await;
}

#[tokio::test]
async fn survivors_that_nobody_asked_for_are_stopped_by_a_shutdown() {
    let dir = Scratch::new();
    let replicas = killed_server(dir.path()).await;
    let node = Node::start(options(dir.path())).await.unwrap();
    let fixture = Fixture { dir, node, target: target("pad") };
    fixture.end().await;
    until("both are gone", || !replicas.iter().any(|replica| is_alive(pid(replica)))).await;
}

#[tokio::test]
async fn a_process_that_got_the_number_of_a_dead_replica_is_left_alone() {
    let fixture = Fixture::new().await;
    fixture.apply(vec![version('a', &workload(), 1, 100)]).await;
    fixture.until_ready('a', 1).await;
    let process = fixture.pid().await;
    let record = fs::read_dir(fixture.replicas_dir()).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(record.join("state.json")).unwrap();
    let Fixture { dir, node, target } = fixture;
    node.shutdown(Duration::from_secs(20)).await;

    let mut bystander = Command::new("/bin/sleep").arg("60").spawn().unwrap();
    let number = bystander.id();
    let field = |pid: u32| format!("\"pid\":{pid},");
    let recycled = text.replace(&field(u32::try_from(process).unwrap()), &field(number));
    assert_ne!(recycled, text);
    // Records of processes that no replica can be, too.
    let numbers = [number, 1, std::process::id(), u32::try_from(i32::MAX).unwrap()];
    for (suffix, number) in ["w", "x", "y", "z"].iter().zip(numbers) {
        let name = record.file_name().unwrap().to_str().unwrap();
        let hostile = recycled.replace(&field(bystander.id()), &field(number));
        let renamed = format!("{name}{suffix}");
        let path = record.with_file_name(&renamed);
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("state.json"), hostile.replace(name, &renamed)).unwrap();
    }
    let node = Node::start(options(dir.path())).await.unwrap();
    let fixture = Fixture { dir, node, target };
    assert_eq!(fixture.seen('a').replicas, 0);
    fixture.apply(vec![version('b', &workload(), 1, 100)]).await;
    fixture.until_ready('b', 1).await;
    fixture.end().await;
    assert!(bystander.try_wait().unwrap().is_none(), "it runs on");
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}
