//! Starting, failing, restarting, probing.

use std::os::unix::fs::symlink;

use prograde_model::workload::{EnvValue, PodField, Probe, ProbeAction};

use crate::fixture::{
    Fixture, Load, get, is_alive, pid, probe, replica_address, revision, target, until, version, with_env, workload,
};

#[tokio::test]
async fn a_replica_starts_becomes_ready_and_serves_with_its_own_environment() {
    let fixture = Fixture::new().await;
    let mut workload = with_env(workload(), "GREETING", "port $(PORT)");
    workload.container.env.push(("POD".into(), EnvValue::Field(PodField::Name)));
    let workload = with_env(workload, "APP_READY_AFTER_MS", "300");
    fixture.apply(vec![version('a', &workload, 1, 100)]).await;
    assert_eq!(fixture.seen('a').weight.percent(), 100, "the weight is in force before anything is ready");
    let before = get(fixture.address(), "/").await.unwrap();
    assert_eq!(before.0, 503, "nothing is ready yet: {}", before.1);
    let own = |digit| fixture.node.replica_addresses(&target("pad"), &revision(digit));
    assert_eq!(own('a'), [], "nor can it be asked past the proxy");
    let seen = fixture.until('a', |seen| seen.ready == 1).await;
    assert_eq!((seen.replicas, seen.available, seen.restarts, seen.waiting), (1, 1, 0, None));

    let replica = replica_address(&fixture.get("/").await);
    assert_eq!((own('a'), own('b')), (vec![replica], Vec::new()));
    let port = replica.port();
    let environment = fixture.get("/environment").await;
    let mut names: Vec<&str> = environment.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    names.sort_unstable();
    let expected = ["APP", "APP_READY_AFTER_MS", "FROM_IMAGE", "GREETING", "PATH", "POD", "PORT", "PORT_HTTP"];
    assert_eq!(names, expected, "nothing is inherited");
    assert!(environment.contains(&format!("GREETING=port {port}")));
    assert!(environment.contains(&format!("POD=pad-{}-", revision('a').short())));
    assert!(fixture.get("/directory").await.ends_with("/root"));

    let before = fixture.seen('a').counters.requests;
    fixture.get("/").await;
    fixture.until('a', |seen| seen.counters.requests > before).await;
    fixture.apply(vec![version('a', &workload, 1, 100)]).await;
    assert_eq!(fixture.seen('a').replicas, 1, "applied again, nothing changed");
    fixture.end().await;
}

#[tokio::test]
async fn a_crash_loop_is_told_at_once_and_goes_on_until_it_is_unwanted() {
    let fixture = Fixture::new().await;
    for (setting, reason) in [("101", "exit status 101"), ("0", "exit status 0"), ("kill", "killed by signal 9")] {
        let digit = char::from_digit(u32::try_from(setting.len()).unwrap(), 16).unwrap();
        let crashing = with_env(workload(), "APP_EXIT", setting);
        fixture.apply(vec![version(digit, &crashing, 1, 0)]).await;
        let seen = fixture.until(digit, |seen| seen.restarts >= 1).await;
        assert_eq!(seen.waiting, Some(format!("CrashLoopBackOff: {reason}")));
        let seen = fixture.until(digit, |seen| seen.restarts >= 4).await;
        assert_eq!((seen.replicas, seen.ready), (1, 0), "it is one replica all the while");
        assert_eq!(seen.waiting, Some(format!("CrashLoopBackOff: {reason}")), "also while it tries again");
        fixture.apply(vec![]).await;
        fixture.until(digit, |seen| seen.replicas == 0).await;
    }
    fixture.end().await;
}

#[tokio::test]
async fn what_is_not_in_the_image_is_not_started() {
    let fixture = Fixture::new().await;
    fixture.apply(vec![]).await;
    crate::fixture::image(fixture.dir.path());
    symlink("/bin/sh", fixture.dir.path().join("root/bin/link")).unwrap();
    for (digit, program) in [('1', "/bin/absent"), ('2', "../../bin/sh"), ('3', "/bin/link"), ('4', "sh")] {
        let mut outside = workload();
        outside.container.command = Some(vec![program.into(), "-c".into(), "sleep 60".into()]);
        fixture.apply(vec![version(digit, &outside, 1, 0)]).await;
        let seen = fixture.until(digit, |seen| seen.restarts >= 1).await;
        assert_eq!(seen.waiting, Some(format!("CrashLoopBackOff: image entrypoint not found: {program}")));
    }
    fixture.end().await;
}

#[tokio::test]
async fn a_replica_that_is_not_alive_is_restarted() {
    let fixture = Fixture::new().await;
    // Ready only a while after it started, so that what led to a restart can be seen for as long.
    let mut workload = with_env(workload(), "APP_READY_AFTER_MS", "2000");
    workload.container.startup = Some(Probe { failure_threshold: 60, ..probe("/live") });
    workload.container.liveness = Some(probe("/live"));
    fixture.apply(vec![version('a', &workload, 1, 100)]).await;
    fixture.until_ready('a', 1).await;
    let first = pid(&fixture.get("/unhealthy").await);
    let seen = fixture.until('a', |seen| seen.restarts == 1).await;
    assert_eq!(seen.waiting.as_deref(), Some("CrashLoopBackOff: liveness probe failed: HTTP status 500"));
    let seen = fixture.until('a', |seen| seen.ready == 1).await;
    assert_eq!((seen.restarts, seen.waiting), (1, None));
    assert_ne!(fixture.pid().await, first);
    assert!(!is_alive(first));
    fixture.end().await;
}

#[tokio::test]
async fn a_replica_that_never_starts_up_is_restarted() {
    let fixture = Fixture::new().await;
    let mut workload = workload();
    let action = ProbeAction::Exec { command: vec!["/bin/absent".into()] };
    workload.container.startup = Some(Probe { action, ..probe("/") });
    fixture.apply(vec![version('a', &workload, 1, 0)]).await;
    let seen = fixture.until('a', |seen| seen.restarts >= 1).await;
    let reason = "CrashLoopBackOff: startup probe failed: image entrypoint not found: /bin/absent";
    assert_eq!(seen.waiting.as_deref(), Some(reason));
    fixture.end().await;
}

#[tokio::test]
async fn an_unready_replica_leaves_the_route_without_a_failed_request_and_comes_back() {
    let fixture = Fixture::new().await;
    fixture.apply(vec![version('a', &workload(), 2, 100)]).await;
    fixture.until_ready('a', 2).await;
    let load = Load::start(fixture.address(), "/slow/5");
    let flipped = fixture.get("/unready").await;
    let seen = fixture.until('a', |seen| seen.ready == 1).await;
    assert_eq!(seen.waiting.as_deref(), Some("readiness probe failed: HTTP status 503"));
    let others = fixture.pids(20).await;
    assert!(others.len() == 1 && !others.contains(&pid(&flipped)));
    assert!(is_alive(pid(&flipped)), "an unready replica is not restarted");
    load.run(50).await;
    // It ends by itself; the next process is ready again.
    get(replica_address(&flipped), "/exit/7").await.unwrap_err();
    fixture.until('a', |seen| seen.restarts == 1 && seen.ready == 2).await;
    load.run(50).await;
    load.end().await;
    fixture.end().await;
}

#[tokio::test]
async fn a_replica_becomes_available_after_its_time() {
    let fixture = Fixture::new().await;
    let mut workload = workload();
    workload.min_ready_s = 1;
    workload.container.readiness = None;
    fixture.apply(vec![version('a', &workload, 1, 100)]).await;
    let seen = fixture.until('a', |seen| seen.ready == 1).await;
    assert_eq!(seen.available, 0);
    fixture.until('a', |seen| seen.available == 1).await;
    fixture.end().await;
}

#[tokio::test]
async fn what_each_replica_uses_is_seen_with_its_children_and_from_anew_after_a_restart() {
    let fixture = Fixture::new().await;
    fixture.apply(vec![version('a', &workload(), 1, 100), version('b', &workload(), 1, 0)]).await;
    fixture.until_ready('a', 1).await;
    fixture.until_ready('b', 1).await;
    let usage = |digit| {
        let all = fixture.node.usage(&fixture.target);
        all.into_iter().find(|usage| usage.revision == revision(digit)).map(|usage| (usage.cpu_seconds_total, usage))
    };
    let burner = fixture.get("/burn").await;
    until("it has burnt a second", || usage('a').unwrap().0 > 1.0).await;
    let ((burnt, busy), (idled, idle)) = (usage('a').unwrap(), usage('b').unwrap());
    assert!(idled < burnt && busy.resident_bytes > 100_000 && idle.resident_bytes > 100_000, "{busy:?} {idle:?}");
    assert!(busy.replica.starts_with("pad-") && busy.replica != idle.replica);

    get(replica_address(&burner), "/exit/7").await.unwrap_err();
    fixture.until('a', |seen| seen.restarts == 1 && seen.ready == 1).await;
    until("its new process is seen", || usage('a').is_some_and(|(seconds, _)| seconds < burnt)).await;
    fixture.apply(vec![]).await;
    fixture.until('a', |seen| seen.replicas == 0).await;
    assert_eq!(usage('a'), None);
    assert_eq!(fixture.node.usage(&target("unknown")), []);
    fixture.end().await;
}
