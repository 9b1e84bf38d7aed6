//! Replicas in containers: Debian's static busybox serves files, and is held to what a manifest says. Where this machine
//! can't give that, each test says what it leaves out; with CI=true that is a failure.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use prograde_confine::{Machine, cgroup};
use prograde_model::Digest;
use prograde_model::confinement::{Asked, Confinement, Part, RunAs, Seccomp, VolumeMount};
use prograde_model::runtime::{Desired, DesiredVersion, Routing};
use prograde_model::workload::Workload;
use prograde_node::{ImageRoot, JobEnd, JobOrder, JobVersion, Node, NodeOptions};

use crate::fixture::{Fixture, Scratch, digest, get, image, options, revision, target, until, version, workload};

const SERVE: &str = "trap 'exit 0' TERM; busybox grep -E '^(Uid|CapEff|NoNewPrivs|Seccomp):' /proc/self/status \
                     | busybox tr -s '\\t' ' ' > /tmp/ready; echo $$ $(busybox id -u) ; \
                     busybox httpd -f -p 127.0.0.1:$PORT -h /tmp & wait; wait";

/// None where no container can be had.
fn had(test: &str) -> Option<PathBuf> {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().map(PathBuf::from).find(|path| path.is_file());
    let missing = Machine::survey().missing.first().map(|missing| format!("{}: {}", missing.part, missing.why));
    let why =
        missing.or_else(|| busybox.is_none().then(|| "busybox is missing: apt-get install busybox-static".into()));
    if let Some(why) = why {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{test} needs a container: {why}");
        eprintln!("left out: {test}, as no container can be had here: {why}");
        return None;
    }
    busybox
}

fn confined(dir: &Path) -> NodeOptions {
    let mut options = options(dir);
    let this = std::env::current_exe().unwrap();
    options.container_program = this.parent().and_then(Path::parent).unwrap().join("examples/node_container");
    assert!(options.container_program.exists(), "Cargo builds it with the tests");
    options
}

fn box_image(dir: &Path, busybox: &Path) -> BTreeMap<Digest, ImageRoot> {
    let root = dir.join("box");
    if !root.exists() {
        fs::create_dir_all(root.join("bin")).unwrap();
        fs::copy(busybox, root.join("bin/busybox")).unwrap();
        std::os::unix::fs::symlink("busybox", root.join("bin/sh")).unwrap();
    }
    let entrypoint = ["/bin/sh", "-c"].map(str::to_owned).to_vec();
    let env = vec!["PATH=/bin".to_owned()];
    let user = Some("65532".to_owned());
    BTreeMap::from([(
        digest(),
        ImageRoot { path: root, entrypoint, cmd: vec![SERVE.into()], env, working_dir: None, user },
    )])
}

fn asked(part: Part) -> Asked {
    Asked { part, field: format!("field.of.{part}"), file: "deployment.yaml".to_owned(), line: 7, column: 3 }
}

fn held() -> Workload {
    let confinement = Confinement {
        user: RunAs { non_root: true, fs_group: Some(4242), ..RunAs::default() },
        may_escalate: false,
        read_only_root: true,
        capabilities_drop: vec!["ALL".to_owned()],
        seccomp: Seccomp::RuntimeDefault,
        memory_bytes_max: Some(64 << 20),
        cpu_milli_max: Some(2000),
        mounts: vec![VolumeMount {
            volume: "tmp".to_owned(),
            path: "/tmp".to_owned(),
            read_only: false,
            in_memory: false,
            bytes_max: None,
        }],
        asked: vec![asked(Part::Container), asked(Part::MemoryLimit)],
        ..Confinement::default()
    };
    Workload { confinement: Some(confinement), ..workload() }
}

fn desired(versions: Vec<DesiredVersion>) -> Desired {
    Desired { target: target("pad"), versions, routing: Routing::default() }
}

/// Names of the control groups that a node's containers have.
fn groups() -> Vec<PathBuf> {
    let memory = cgroup::tree_of("memory").unwrap().join("prograde");
    let nodes = fs::read_dir(memory).into_iter().flatten().flatten();
    nodes.flat_map(|node| fs::read_dir(node.path()).into_iter().flatten().flatten()).map(|e| e.path()).collect()
}

fn group_of(dir: &Path) -> Option<PathBuf> {
    let replica = fs::read_dir(dir.join("data/replicas")).ok()?.flatten().next()?.file_name();
    groups().into_iter().find(|group| group.is_dir() && group.file_name() == Some(&replica))
}

/// Not a test: `CONFINED_SERVER_DIR` is set only by the test below, which kills this process.
#[test]
#[ignore = "the server that is killed"]
fn server() {
    let Some(dir) = std::env::var_os("CONFINED_SERVER_DIR") else { return };
    let (dir, Some(busybox)) = (Path::new(&dir), had("server")) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let node = Node::start(confined(dir)).await.unwrap();
        node.apply(desired(vec![version('a', &held(), 1, 100)]), box_image(dir, &busybox)).await.unwrap();
        let mut changed = node.changed();
        while node.observe(&target("pad")).version(&revision('a')).is_none_or(|seen| seen.ready < 1) {
            changed.changed().await.unwrap();
        }
        fs::write(dir.join("address.tmp"), node.addresses(&target("pad"))[0].1.to_string()).unwrap();
        fs::rename(dir.join("address.tmp"), dir.join("address")).unwrap();
        std::future::pending::<()>().await;
    });
}

#[tokio::test]
async fn a_confined_replica_serves_survives_its_server_and_leaves_nothing() {
    let Some(busybox) = had("a_confined_replica_serves_survives_its_server_and_leaves_nothing") else { return };
    let dir = Scratch::new();
    let mut server = Command::new(std::env::current_exe().unwrap())
        .args(["confined::server", "--exact", "--ignored", "--nocapture"])
        .env("CONFINED_SERVER_DIR", dir.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    until("the server serves", || dir.path().join("address").exists()).await;
    let address = fs::read_to_string(dir.path().join("address")).unwrap().parse().unwrap();
    let (status, body) = get(address, "/ready").await.unwrap();
    let seen: Vec<&str> = body.lines().map(str::trim).collect();
    let expected = ["Uid: 65532 65532 65532 65532", "CapEff: 0000000000000000", "NoNewPrivs: 1", "Seccomp: 2"];
    assert_eq!((status, seen), (200, expected.to_vec()));
    let group = group_of(dir.path()).expect("it has a control group");

    // The server is killed: the container goes on, and the next node takes it over.
    server.kill().unwrap();
    server.wait().unwrap();
    let target = target("pad");
    let node = Node::start(confined(dir.path())).await.unwrap();
    assert!(group.is_dir(), "a container that has a replica is no stray");
    node.apply(desired(vec![version('a', &held(), 1, 100)]), box_image(dir.path(), &busybox)).await.unwrap();
    let fixture = Fixture { dir, node, target };
    fixture.until_ready('a', 1).await;
    assert_eq!(fixture.seen('a').restarts, 0);
    let usage = fixture.node.usage(&fixture.target);
    assert!(usage.len() == 1 && usage[0].resident_bytes > 0, "{usage:?}");
    fixture.end().await;
    assert!(!group.exists(), "its control group is left");
}

#[tokio::test]
async fn a_replica_that_needs_too_much_memory_is_said_to() {
    let Some(busybox) = had("a_replica_that_needs_too_much_memory_is_said_to") else { return };
    let dir = Scratch::new();
    let node = Node::start(confined(dir.path())).await.unwrap();
    let mut workload = held();
    workload.container.args = Some(vec!["exec busybox dd if=/dev/zero of=/dev/null bs=300M count=1".to_owned()]);
    node.apply(desired(vec![version('a', &workload, 1, 100)]), box_image(dir.path(), &busybox)).await.unwrap();
    let fixture = Fixture { dir, node, target: target("pad") };
    let seen = fixture.until('a', |seen| seen.restarts > 0).await;
    assert!(seen.waiting.as_deref().is_some_and(|why| why.contains("OOMKilled")), "{seen:?}");
    fixture.end().await;
}

#[tokio::test]
async fn what_is_left_of_a_container_that_no_record_tells_of_is_ended() {
    let Some(_) = had("what_is_left_of_a_container_that_no_record_tells_of_is_ended") else { return };
    let dir = Scratch::new();
    fs::create_dir_all(dir.path().join("data")).unwrap();
    // The node's group has a name that follows from its folder.
    let before = groups();
    let stray = cgroup::tree_of("memory").unwrap();
    let name = prograde_node::container_group(&dir.path().join("data").canonicalize().unwrap(), "pad-stray");
    fs::create_dir_all(stray.join(name.trim_start_matches('/'))).unwrap();
    let _node = Node::start(confined(dir.path())).await.unwrap();
    assert!(!stray.join(name.trim_start_matches('/')).exists(), "{before:?}");
}

#[tokio::test]
async fn an_image_that_is_no_root_is_refused_unless_that_is_allowed() {
    let Some(_) = had("an_image_that_is_no_root_is_refused_unless_that_is_allowed") else { return };
    if cfg!(target_feature = "crt-static") {
        eprintln!(
            "left out: an_image_that_is_no_root_is_refused_unless_that_is_allowed, as this binary needs no loader"
        );
        return;
    }
    let dir = Scratch::new();
    let node = Node::start(confined(dir.path())).await.unwrap();
    let mut workload = held();
    if let Some(confinement) = &mut workload.confinement {
        confinement.user = RunAs { user: Some(0), ..RunAs::default() };
    }
    node.apply(desired(vec![version('a', &workload, 1, 100)]), image(dir.path())).await.unwrap();
    let fixture = Fixture { dir, node, target: target("pad") };
    let seen = fixture.until('a', |seen| seen.restarts > 0).await;
    let why = seen.waiting.unwrap();
    assert!(
        why.contains("`field.of.container` asks for `container`, which this machine can't give: /bin/app needs"),
        "{why}"
    );
    assert!(why.contains("which the image does not have") && why.contains("[PG1300]"), "{why}");

    workload.unconfined = vec![Part::Container];
    fixture.apply(vec![version('b', &workload, 1, 100)]).await;
    fixture.until_ready('b', 1).await;
    assert_eq!(get(fixture.address(), "/").await.unwrap().0, 200, "as a plain process");
    fixture.end().await;
}

#[tokio::test]
async fn a_job_is_held_to_the_same() {
    let Some(busybox) = had("a_job_is_held_to_the_same") else { return };
    let dir = Scratch::new();
    let node = Node::start(confined(dir.path())).await.unwrap();
    let root = box_image(dir.path(), &busybox).remove(&digest()).unwrap();
    let order = |script: &str| JobOrder {
        target: target("pad"),
        revision: revision('a'),
        version: JobVersion::New { digest: digest(), workload: Box::new(held()), image: root.clone() },
        args: vec![script.to_owned()],
        env: BTreeMap::new(),
        timeout: std::time::Duration::from_mins(1),
        alone: true,
    };
    let ran = node.run_job(order("[ $(busybox id -u) = 65532 ] && ! echo x > /x")).await;
    assert_eq!(ran, Ok(JobEnd::Passed));
    let ran = node.run_job(order("echo broken >&2; exit 3")).await;
    assert_eq!(ran, Ok(JobEnd::Failed("exit status 3: broken".to_owned())));
    until("its group is gone", || group_of(dir.path()).is_none()).await;
    node.shutdown(std::time::Duration::from_secs(10)).await;
}
