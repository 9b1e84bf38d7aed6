//! What a process in a container is, sees and may do.

use std::collections::BTreeSet;
use std::fs;

use prograde_confine::{End, Profile};

use crate::fixture::Scene;

/// What a process is, in the kernel's own words.
const STATUS: &str = "grep -E '^(Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp):' /proc/self/status | tr -s '\\t ' ' '";

#[test]
fn the_kernel_says_who_the_process_is_and_what_it_may() {
    let script = path(STATUS);
    let Some(scene) = Scene::new("the_kernel_says_who_the_process_is_and_what_it_may", &script) else { return };
    let ran = scene.run();
    assert_eq!(ran.end, Some(End::Status(0)), "{ran:?}");
    for line in [
        "Uid: 1000 1000 1000 1000",
        "Gid: 1001 1001 1001 1001",
        "Groups: 7",
        "CapInh: 0000000000000000",
        "CapPrm: 0000000000000000",
        "CapEff: 0000000000000000",
        "CapBnd: 0000000000000000",
        "CapAmb: 0000000000000000",
        "NoNewPrivs: 1",
        "Seccomp: 2",
    ] {
        assert!(ran.stdout.lines().any(|seen| seen.trim() == line), "{line} is not in {}", ran.stdout);
    }
}

/// Applets by the name of the one program there is.
fn path(script: &str) -> String {
    script.replace("grep ", "busybox grep ").replace("tr ", "busybox tr ")
}

#[test]
fn without_a_filter_and_with_capabilities_the_kernel_says_so() {
    let script = path(STATUS);
    let Some(mut scene) = Scene::new("without_a_filter_and_with_capabilities_the_kernel_says_so", &script) else {
        return;
    };
    scene.config.seccomp = Profile::None;
    scene.config.no_new_privileges = false;
    scene.config.uid = 0;
    // CAP_NET_BIND_SERVICE is number 10, CAP_KILL number 5 (linux/capability.h).
    scene.config.capabilities = BTreeSet::from(["NET_BIND_SERVICE".to_owned(), "KILL".to_owned()]);
    let ran = scene.run();
    for line in ["Uid: 0 0 0 0", "CapEff: 0000000000000420", "CapBnd: 0000000000000420", "NoNewPrivs: 0", "Seccomp: 0"]
    {
        assert!(ran.stdout.lines().any(|seen| seen.trim() == line), "{line} is not in {ran:?}");
    }
}

#[test]
fn a_read_only_root_can_not_be_written_and_a_volume_can() {
    let script = "echo x > /x || echo refused; echo y > /tmp/y && busybox cat /tmp/y; echo z > /bin/busybox || echo kept; \
                  busybox dd if=/dev/zero of=/tmp/big bs=1M count=2 2>/dev/null || echo full";
    let Some(scene) = Scene::new("a_read_only_root_can_not_be_written_and_a_volume_can", script) else { return };
    let ran = scene.run();
    assert_eq!(ran.stdout, "refused\ny\nkept\nfull\n", "{ran:?}");
    assert!(ran.stderr.contains("Read-only file system"), "{}", ran.stderr);
}

#[test]
fn a_root_that_can_be_written_is_a_layer_over_the_image_and_new_each_time() {
    let script = "busybox test -e /x && echo old; echo x > /x && busybox rm /bin/busybox && echo done";
    let test = "a_root_that_can_be_written_is_a_layer_over_the_image_and_new_each_time";
    let Some(mut scene) = Scene::new(test, script) else { return };
    (scene.config.read_only_root, scene.config.uid) = (false, 0);
    scene.config.capabilities = BTreeSet::from(["DAC_OVERRIDE".to_owned()]);
    for _ in 0..2 {
        let ran = scene.run();
        assert_eq!(ran.stdout, "done\n", "{ran:?}");
    }
    assert!(scene.config.image.join("bin/busybox").exists() && !scene.config.image.join("x").exists());
    let names: Vec<_> = fs::read_dir(&scene.config.image).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(names, ["bin"], "no place for a mount was made in the image");
}

#[test]
fn nothing_of_the_machine_is_seen() {
    let script = "busybox ls / ; echo --; busybox ls /proc | busybox grep -cE '^[0-9]+$'; echo --; busybox ls /dev; echo --; \
                  busybox hostname; busybox readlink /proc/self/ns/net; echo $$; echo $SECRET";
    let Some(scene) = Scene::new("nothing_of_the_machine_is_seen", script) else { return };
    let ran = scene.run();
    let parts: Vec<&str> = ran.stdout.split("--\n").collect();
    let root: Vec<&str> = parts[0].lines().collect();
    assert_eq!(root, ["bin", "dev", "etc", "proc", "sys", "tmp"], "{ran:?}");
    assert!(parts[1].trim().parse::<u32>().unwrap() <= 4, "processes of the machine are seen: {ran:?}");
    for device in ["sda", "vda", "mem", "kmsg", "loop0"] {
        assert!(!parts[2].lines().any(|line| line == device), "{ran:?}");
    }
    assert!(parts[2].lines().any(|line| line == "urandom"), "{ran:?}");
    let rest: Vec<&str> = parts[3].lines().collect();
    let network = fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(rest, [scene.config.id.as_str(), network.to_str().unwrap(), "1", "hunter2"], "the network is shared");
}

#[test]
fn a_call_that_the_profile_forbids_is_answered_with_eperm() {
    // The kernel lets anybody make a namespace of users.
    let script = "busybox unshare -U busybox true && echo made; echo alive";
    let Some(mut scene) = Scene::new("a_call_that_the_profile_forbids_is_answered_with_eperm", script) else { return };
    let ran = scene.run();
    assert_eq!(ran.stdout, "alive\n");
    assert!(ran.stderr.contains("Operation not permitted"), "{ran:?}");
    scene.config.seccomp = Profile::None;
    assert_eq!(scene.run().stdout, "made\nalive\n", "it is the filter that forbids it");

    let profile = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
        {"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":95}]}"#;
    scene.config.seccomp = Profile::Text(profile.to_owned());
    scene.config.arguments[2] = "busybox mkdir /tmp/x; busybox touch /tmp/y && echo alive".to_owned();
    let ran = scene.run();
    assert!(ran.stderr.contains("Operation not supported") && ran.stdout == "alive\n", "{ran:?}");
}

#[test]
fn a_profile_that_can_not_be_had_starts_nothing() {
    let Some(mut scene) = Scene::new("a_profile_that_can_not_be_had_starts_nothing", "echo started") else { return };
    scene.config.seccomp = Profile::Text("{}".to_owned());
    let ran = scene.run();
    assert!(matches!(&ran.end, Some(End::Failed(why)) if why.contains("the profile can't be read")), "{ran:?}");
    assert_eq!(ran.stdout, "");
    // One that does not even let the program be executed.
    scene.config.seccomp = Profile::Text(r#"{"defaultAction":"SCMP_ACT_ERRNO"}"#.to_owned());
    let ran = scene.run();
    assert!(matches!(&ran.end, Some(End::Failed(_) | End::Status(_) | End::Signal(_))), "{ran:?}");
    assert_eq!(ran.stdout, "");
}

#[test]
fn another_program_runs_in_the_same_container() {
    let script = "busybox mkdir /tmp/mark; echo ready; exec busybox sleep 600";
    let Some(scene) = Scene::new("another_program_runs_in_the_same_container", script) else { return };
    let child = scene.start();
    scene.wait_for("ready");
    let enter = |script: String| scene.enter(child.id(), script);
    let (status, out) = enter(format!("busybox ls -d /tmp/mark; busybox readlink /proc/1/exe; {}", path(STATUS)));
    assert_eq!(status.code(), Some(0), "{out}");
    for line in [
        "/tmp/mark",
        "/bin/busybox",
        "Uid: 1000 1000 1000 1000",
        "CapBnd: 0000000000000000",
        "NoNewPrivs: 1",
        "Seccomp: 2",
    ] {
        assert!(out.lines().any(|seen| seen.trim() == line), "{line} is not in {out}");
    }
    for _ in 0..3 {
        assert_eq!(enter("exit 9".to_owned()).0.code(), Some(9));
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
    scene.finish(child);
    scene.nothing_is_left();
    assert_eq!(scene.enter(1, "true".to_owned()).0.code(), Some(126), "there is no container any more");
}
