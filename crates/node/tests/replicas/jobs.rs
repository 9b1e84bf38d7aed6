//! Programs that run once.

use std::collections::BTreeMap;
use std::time::Duration;

use prograde_model::workload::EnvValue;
use prograde_node::{JobEnd, JobOrder};

use crate::fixture::{Fixture, revision, target, version, workload};

fn order(env: &[(&str, &str)], timeout: Duration) -> JobOrder {
    let env: BTreeMap<String, String> = env.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let args = crate::app::ARGUMENTS.map(str::to_owned).to_vec();
    JobOrder { target: target("pad"), revision: revision('a'), args, env, timeout }
}

#[tokio::test]
async fn a_job_passes_fails_with_its_last_line_or_is_ended() {
    let fixture = Fixture::new().await;
    let mut workload = workload();
    workload.container.command = Some(vec!["/bin/app".into()]);
    workload.container.args = Some(crate::app::ARGUMENTS.map(str::to_owned).to_vec());
    workload.container.env.push(("WORD".into(), EnvValue::Secret("cannot".into())));
    let long = Duration::from_mins(1);
    let early = fixture.node.run_job(order(&[], long)).await.unwrap_err();
    assert!(early.contains("is not to run in"), "{early}");
    fixture.apply(vec![version('a', &workload, 1, 100)]).await;
    fixture.until('a', |seen| seen.ready == 1).await;

    assert_eq!(fixture.node.run_job(order(&[("APP_EXIT", "0")], long)).await, Ok(JobEnd::Passed));
    let failed = |text: &str| Ok(JobEnd::Failed(text.to_owned()));
    let found = fixture.node.run_job(order(&[("APP_EXIT", "3")], long)).await;
    assert_eq!(found, failed("exit status 3: *** go on"), "its last line, less what is secret");
    let found = fixture.node.run_job(order(&[("APP_EXIT", "kill")], long)).await;
    assert_eq!(found, failed("killed by signal 9: *** go on"));
    let found = fixture.node.run_job(order(&[], Duration::from_millis(200))).await;
    assert!(matches!(&found, Ok(JobEnd::Failed(why)) if why.starts_with("did not end within 0.2 s")), "{found:?}");

    let jobs = || {
        let all = std::fs::read_dir(fixture.dir.path().join("data/replicas")).unwrap();
        all.flatten().filter(|entry| entry.file_name().to_string_lossy().contains("-job-")).count()
    };
    crate::fixture::until("no job leaves anything behind", || jobs() == 0).await;
    assert_eq!(fixture.seen('a').restarts, 0, "the replica goes on");
    fixture.end().await;
}
