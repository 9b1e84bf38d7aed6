//! How containers end: by themselves, by their limits, by signals, and by the death of what watches them.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Child;

use prograde_confine::{End, cgroup};
use rustix::process::{Pid, Signal, kill_process};

use crate::fixture::{Scene, until};

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

#[test]
fn a_status_is_that_of_the_program() {
    let Some(scene) = Scene::new("a_status_is_that_of_the_program", "echo out; echo err >&2; exit 42") else { return };
    let ran = scene.run();
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("out\n", "err\n"));
    assert_eq!((ran.status.code(), ran.end), (Some(42), Some(End::Status(42))));
}

#[test]
fn a_program_that_is_not_there_is_told() {
    let Some(mut scene) = Scene::new("a_program_that_is_not_there_is_told", "") else { return };
    scene.config.program = "/bin/none".into();
    let ran = scene.run();
    let expected = "/bin/none can't be executed: No such file or directory (os error 2)";
    assert_eq!(ran.end, Some(End::Failed(expected.to_owned())), "{ran:?}");
    assert_eq!(ran.status.code(), Some(126));
}

#[test]
fn a_program_that_handles_a_signal_gets_it() {
    let script = "trap 'echo bye; exit 7' TERM; echo ready; while :; do busybox sleep 0.05; done";
    let Some(scene) = Scene::new("a_program_that_handles_a_signal_gets_it", script) else { return };
    let child = scene.start();
    scene.wait_for("ready");
    signal(&child, Signal::TERM);
    let ran = scene.finish(child);
    assert_eq!((ran.stdout.as_str(), ran.end), ("ready\nbye\n", Some(End::Status(7))));
    scene.nothing_is_left();
}

#[test]
fn a_program_that_handles_none_is_ended_by_it() {
    // The kernel would keep it from the first process of a container.
    let Some(scene) = Scene::new("a_program_that_handles_none_is_ended_by_it", "echo ready; exec busybox sleep 600")
    else {
        return;
    };
    let child = scene.start();
    scene.wait_for("ready");
    signal(&child, Signal::TERM);
    let ran = scene.finish(child);
    assert_eq!((ran.status.signal(), ran.end), (Some(15), Some(End::Signal(15))));
    scene.nothing_is_left();
}

#[test]
fn a_container_ends_with_what_watches_it() {
    let script = "(busybox setsid busybox sleep 600 &); echo ready; exec busybox sleep 600";
    let Some(scene) = Scene::new("a_container_ends_with_what_watches_it", script) else { return };
    let child = scene.start();
    scene.wait_for("ready");
    let procs = scene.groups().iter().find_map(|group| fs::read_to_string(group.join("cgroup.procs")).ok()).unwrap();
    assert_eq!(procs.lines().count(), 2, "the program and what it left behind: {procs}");
    signal(&child, Signal::KILL);
    let ran = scene.finish(child);
    assert_eq!((ran.status.signal(), ran.end), (Some(9), None), "nobody was there to tell");
    for pid in procs.lines() {
        until("the container's processes are gone", || {
            fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
        });
    }
    // Whoever comes after needs no more than the name.
    cgroup::remove(&scene.config.cgroup).unwrap();
    scene.nothing_is_left();
    // And another may follow in the same place, also when nobody came.
    let child = scene.start();
    scene.wait_for("ready");
    signal(&child, Signal::KILL);
    scene.finish(child);
    let mut next = scene;
    next.config.arguments[2] = "echo again".to_owned();
    assert_eq!(next.run().stdout, "again\n");
}

#[test]
fn memory_beyond_the_limit_ends_it_by_name() {
    let script = "busybox dd if=/dev/zero of=/dev/null bs=200M count=1 2>/dev/null; echo survived; exit 3";
    let Some(mut scene) = Scene::new("memory_beyond_the_limit_ends_it_by_name", script) else { return };
    scene.config.limits.memory_bytes_max = Some(32 << 20);
    let ran = scene.run();
    assert_eq!(ran.end, Some(End::OutOfMemory), "{ran:?}");
    scene.config.arguments[2] = "exec busybox dd if=/dev/zero of=/dev/null bs=200M count=1".to_owned();
    let ran = scene.run();
    assert_eq!((ran.status.signal(), ran.end), (Some(9), Some(End::OutOfMemory)));
    scene.config.limits.memory_bytes_max = Some(512 << 20);
    assert_eq!(scene.run().end, Some(End::Status(0)), "with enough it is fine");
}

#[test]
fn processes_beyond_the_limit_are_not_made() {
    let script = "i=0; while [ $i -lt 12 ]; do busybox sleep 5 & i=$((i+1)); done; echo all";
    let Some(mut scene) = Scene::new("processes_beyond_the_limit_are_not_made", script) else { return };
    scene.config.limits.pids_max = Some(6);
    let ran = scene.run();
    assert!(!ran.stdout.contains("all") && ran.stderr.contains("fork"), "{ran:?}");
}

#[test]
fn the_limits_are_what_the_kernel_has() {
    let Some(mut scene) = Scene::new("the_limits_are_what_the_kernel_has", "echo ready; exec busybox sleep 600") else {
        return;
    };
    scene.config.limits.cpu_milli_max = Some(250);
    scene.config.limits.cpu_milli_share = Some(100);
    let child = scene.start();
    scene.wait_for("ready");
    let read = |file: &str| {
        scene
            .groups()
            .iter()
            .find_map(|group| fs::read_to_string(group.join(file)).ok())
            .map(|text| text.trim().to_owned())
    };
    let quota = read("cpu.cfs_quota_us").or_else(|| read("cpu.max"));
    assert!(matches!(quota.as_deref(), Some("25000" | "25000 100000")), "{quota:?}");
    if let Some(shares) = read("cpu.shares") {
        assert_eq!(shares, "102");
    }
    signal(&child, Signal::TERM);
    scene.finish(child);
    scene.nothing_is_left();
}
