//! Programs that run once.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use prograde_model::workload::{EnvValue, Workload};
use prograde_node::{JobEnd, JobOrder, JobVersion, Node};
use tokio::task::JoinSet;

use crate::fixture::{Fixture, Scratch, digest, image, is_alive, options, revision, target, until, version, workload};

/// Longer than any of them takes.
const LONG: Duration = Duration::from_mins(1);

/// The fixture's program by its name in the image, as a job gives it other arguments.
fn program() -> Workload {
    let mut workload = workload();
    workload.container.command = Some(vec!["/bin/app".into()]);
    workload.container.args = Some(crate::app::ARGUMENTS.map(str::to_owned).to_vec());
    workload
}

fn order(env: &[(&str, &str)], timeout: Duration) -> JobOrder {
    let env: BTreeMap<String, String> = env.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let args = crate::app::ARGUMENTS.map(str::to_owned).to_vec();
    let version = JobVersion::Known;
    JobOrder { target: target("pad"), revision: revision('a'), version, args, env, timeout, alone: false }
}

/// One of a version that does not run, and beside which no other runs.
fn order_before(dir: &Path, env: &[(&str, &str)]) -> JobOrder {
    let image = image(dir).remove(&digest()).unwrap();
    let version = JobVersion::New { digest: digest(), workload: Box::new(program()), image };
    JobOrder { version, alone: true, ..order(env, LONG) }
}

fn jobs_left(dir: &Path) -> usize {
    let all = fs::read_dir(dir.join("data/replicas")).unwrap();
    all.flatten().filter(|entry| entry.file_name().to_string_lossy().contains("-job-")).count()
}

#[tokio::test]
async fn a_job_passes_fails_with_its_last_line_or_is_ended() {
    let fixture = Fixture::new().await;
    let mut workload = program();
    workload.container.env.push(("WORD".into(), EnvValue::Secret("cannot".into())));
    let early = fixture.node.run_job(order(&[], LONG)).await.unwrap_err();
    assert!(early.contains("is not to run in"), "{early}");
    fixture.apply(vec![version('a', &workload, 1, 100)]).await;
    fixture.until('a', |seen| seen.ready == 1).await;

    assert_eq!(fixture.node.run_job(order(&[("APP_EXIT", "0")], LONG)).await, Ok(JobEnd::Passed));
    let failed = |text: &str| Ok(JobEnd::Failed(text.to_owned()));
    let found = fixture.node.run_job(order(&[("APP_EXIT", "3")], LONG)).await;
    assert_eq!(found, failed("exit status 3: *** go on"), "its last line, less what is secret");
    let found = fixture.node.run_job(order(&[("APP_EXIT", "kill")], LONG)).await;
    assert_eq!(found, failed("killed by signal 9: *** go on"));
    let found = fixture.node.run_job(order(&[], Duration::from_millis(200))).await;
    assert!(matches!(&found, Ok(JobEnd::Failed(why)) if why.starts_with("did not end within 0.2 s")), "{found:?}");

    until("no job leaves anything behind", || jobs_left(fixture.dir.path()) == 0).await;
    assert_eq!(fixture.seen('a').restarts, 0, "the replica goes on");
    fixture.end().await;
}

#[tokio::test]
async fn a_job_of_a_version_that_does_not_run_needs_no_replica() {
    let fixture = Fixture::new().await;
    let dir = fixture.dir.path();
    assert_eq!(fixture.node.run_job(order_before(dir, &[("APP_EXIT", "0")])).await, Ok(JobEnd::Passed));
    let found = fixture.node.run_job(order_before(dir, &[("APP_EXIT", "1")])).await;
    assert_eq!(found, Ok(JobEnd::Failed("exit status 1: cannot go on".to_owned())));
    assert_eq!(fixture.node.targets(), [], "nothing is to run there");
    fixture.end().await;
}

/// The one before is told to end with its caller, and takes its time; the next one waits for that.
#[tokio::test]
async fn a_job_that_must_be_alone_waits_until_the_one_before_is_gone() {
    let fixture = Fixture::new().await;
    let dir = fixture.dir.path();
    let pid_file = dir.join("pid");
    let lasting = [("APP_PID_FILE", pid_file.to_str().unwrap()), ("APP_LINGER_MS", "700")];
    let node = fixture.node.clone();
    let mut first = JoinSet::new();
    let order = order_before(dir, &lasting);
    first.spawn(async move { node.run_job(order).await });
    until("the first one runs", || pid_file.exists()).await;
    assert_eq!(fixture.node.images(), [digest()].into());
    let pid = fs::read_to_string(&pid_file).unwrap().parse().unwrap();
    first.shutdown().await;
    assert!(is_alive(pid), "it has been told to end, and is ending");
    assert_eq!(fixture.node.images(), [digest()].into(), "what it runs is in use until it is gone");
    let second = fixture.node.run_job(order_before(dir, &[("APP_EXIT", "0")])).await;
    assert_eq!(second, Ok(JobEnd::Passed));
    assert!(!is_alive(pid), "the second one did not run beside the first");
    until("nothing is in use", || fixture.node.images().is_empty()).await;
    fixture.end().await;
}

#[tokio::test]
async fn a_job_that_is_stopped_with_its_node_has_neither_passed_nor_failed() {
    let fixture = Fixture::new().await;
    let dir = fixture.dir.path();
    let pid_file = dir.join("pid");
    let node = fixture.node.clone();
    let mut job = JoinSet::new();
    let order = order_before(dir, &[("APP_PID_FILE", pid_file.to_str().unwrap())]);
    job.spawn(async move { node.run_job(order).await });
    until("it runs", || pid_file.exists()).await;
    fixture.end().await;
    assert_eq!(job.join_next().await.unwrap().unwrap(), Err("it was stopped".to_owned()));
}

/// Not a test: `SERVER_DIR` is set only by the test below, which kills this process.
#[test]
#[ignore = "the server that is killed"]
fn server() {
    let Some(dir) = std::env::var_os("SERVER_DIR") else { return };
    let dir = Path::new(&dir);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let node = Node::start(options(dir)).await.unwrap();
        let ended = node.run_job(order_before(dir, &[("APP_PID_FILE", dir.join("pid").to_str().unwrap())])).await;
        panic!("it runs until it is killed: {ended:?}");
    });
}

#[tokio::test]
async fn a_job_of_a_server_that_was_killed_is_ended_by_the_next() {
    let dir = Scratch::new();
    let mut server = Command::new(std::env::current_exe().unwrap())
        .args(["jobs::server", "--exact", "--ignored", "--nocapture"])
        .env("SERVER_DIR", dir.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let pid_file = dir.path().join("pid");
    until("the job runs", || pid_file.exists()).await;
    let pid = fs::read_to_string(&pid_file).unwrap().parse().unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(is_alive(pid), "it outlives its server");
    assert_eq!(jobs_left(dir.path()), 1);

    let node = Node::start(options(dir.path())).await.unwrap();
    until("the next one ends it", || !is_alive(pid)).await;
    assert_eq!(jobs_left(dir.path()), 0);
    let again = node.run_job(order_before(dir.path(), &[("APP_EXIT", "0")])).await;
    assert_eq!(again, Ok(JobEnd::Passed), "and runs it again when asked");
    node.shutdown(Duration::from_secs(10)).await;
}
