//! A container as the OCI runtime specification describes it (runtime-spec, config.md and config-linux.md).
//!
//! Invariant: everything of a [`Config`] is in the specification but the filter of system calls, which
//! [`crate::executor`] installs itself.

use std::collections::BTreeSet;
use std::path::Path;

use oci_spec::runtime::Spec;
use serde_json::{Value, json};

use crate::config::{Config, Limits, Mount};

/// The length of a scheduling period in microseconds, as Kubernetes has it.
const CPU_PERIOD_US: u64 = 100_000;
/// The least that the kernel takes for a quota.
const CPU_QUOTA_US_MIN: u64 = 1_000;
/// The least that the kernel takes for a share.
const CPU_SHARES_MIN: u64 = 2;
/// What a processor is in shares.
const CPU_SHARES: u64 = 1024;
/// `HOST_NAME_MAX` of Linux.
const HOST_NAME_MAX: usize = 64;

/// What of `/proc` and `/sys` is hidden from containers, and what can't be written: as in containerd's default.
const MASKED: [&str; 11] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Files of the machine that a program needs for the machine's network, which a container shares.
const NETWORK_FILES: [&str; 2] = ["/etc/hosts", "/etc/resolv.conf"];

/// The specification of a container whose root file system is at `root`.
pub(crate) fn spec(config: &Config, root: &Path, has_swap: bool) -> Result<Spec, String> {
    let namespaces = ["pid", "mount", "ipc", "uts", "cgroup"].map(|kind| json!({ "type": kind }));
    let (masked, read_only): (&[&str], &[&str]) = if config.privileged { (&[], &[]) } else { (&MASKED, &READ_ONLY) };
    let hostname: String = config.id.chars().take(HOST_NAME_MAX).collect();
    let spec = json!({
        "ociVersion": "1.2.0",
        "hostname": hostname,
        "root": { "path": root, "readonly": config.read_only_root },
        "process": process(config),
        "mounts": mounts(config),
        "linux": {
            "cgroupsPath": config.cgroup,
            "namespaces": namespaces,
            "resources": resources(config.limits, config.privileged, has_swap),
            "maskedPaths": masked,
            "readonlyPaths": read_only,
        },
    });
    serde_json::from_value(spec).map_err(|error| error.to_string())
}

/// The part of a specification that a program which enters a container needs.
pub(crate) fn process(config: &Config) -> Value {
    let mut environment: Vec<String> =
        config.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if config.environment.get("HOME").is_none_or(String::is_empty) {
        // `libcontainer` would ask the C library, which may load what the image names.
        environment.push("HOME=/".to_owned());
    }
    let capabilities: BTreeSet<String> = config.capabilities.iter().map(|name| format!("CAP_{name}")).collect();
    json!({
        "terminal": false,
        "user": { "uid": config.uid, "gid": config.gid, "additionalGids": config.groups },
        "args": config.arguments,
        "env": environment,
        "cwd": config.directory,
        // Neither inheritable nor ambient: a user that is not 0 has none once its program is executed, as in Kubernetes.
        "capabilities": {
            "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
            "inheritable": [], "ambient": [],
        },
        "noNewPrivileges": config.no_new_privileges,
    })
}

fn mounts(config: &Config) -> Vec<Value> {
    let mut mounts = vec![mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"])];
    if config.privileged {
        mounts.push(mount("/dev", "bind", "/dev", &["rbind", "rw"]));
        mounts.push(mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev"]));
    } else {
        mounts.push(mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]));
        mounts.push(mount("/dev/pts", "devpts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666"]));
        mounts.push(mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]));
        mounts.push(mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]));
        mounts.push(mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]));
    }
    for file in NETWORK_FILES.into_iter().filter(|file| Path::new(file).is_file()) {
        mounts.push(mount(file, "bind", file, &["bind", "ro", "nosuid", "noexec", "nodev"]));
    }
    mounts.extend(config.mounts.iter().map(volume));
    mounts
}

fn mount(path: &str, kind: &str, source: &str, options: &[&str]) -> Value {
    json!({ "destination": path, "type": kind, "source": source, "options": options })
}

fn volume(mount: &Mount) -> Value {
    let mut options = vec!["nosuid".to_owned(), "nodev".to_owned()];
    options.extend(mount.read_only.then(|| "ro".to_owned()));
    if let Some(source) = &mount.source {
        options.push("bind".to_owned());
        return json!({ "destination": mount.path, "type": "bind", "source": source, "options": options });
    }
    options.push(if mount.group.is_some() { "mode=2777" } else { "mode=0777" }.to_owned());
    options.extend(mount.group.map(|group| format!("gid={group}")));
    options.extend(mount.bytes_max.map(|bytes| format!("size={bytes}")));
    json!({ "destination": mount.path, "type": "tmpfs", "source": "tmpfs", "options": options })
}

fn resources(limits: Limits, privileged: bool, has_swap: bool) -> Value {
    let mut resources = json!({ "devices": [{ "allow": privileged, "access": "rwm" }] });
    let mut set = |name: &str, value: Value| {
        if let Some(fields) = resources.as_object_mut() {
            fields.insert(name.to_owned(), value);
        }
    };
    if let Some(bytes) = limits.memory_bytes_max {
        // Nothing beyond the limit goes to swap either. Where there is none, the kernel may not even count it.
        set("memory", if has_swap { json!({ "limit": bytes, "swap": bytes }) } else { json!({ "limit": bytes }) });
    }
    let mut cpu = serde_json::Map::new();
    if let Some(milli) = limits.cpu_milli_max {
        cpu.insert("period".to_owned(), CPU_PERIOD_US.into());
        cpu.insert("quota".to_owned(), (milli.saturating_mul(CPU_PERIOD_US) / 1000).max(CPU_QUOTA_US_MIN).into());
    }
    if let Some(milli) = limits.cpu_milli_share {
        cpu.insert("shares".to_owned(), (milli.saturating_mul(CPU_SHARES) / 1000).max(CPU_SHARES_MIN).into());
    }
    if !cpu.is_empty() {
        set("cpu", Value::Object(cpu));
    }
    if let Some(pids) = limits.pids_max {
        set("pids", json!({ "limit": pids }));
    }
    resources
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::config;

    #[test]
    fn all_of_a_configuration_is_in_the_specification() {
        let mut config = config();
        config.limits = Limits {
            memory_bytes_max: Some(1 << 20),
            cpu_milli_max: Some(1500),
            cpu_milli_share: Some(1),
            pids_max: Some(7),
        };
        config.mounts = vec![
            Mount { path: "/tmp".into(), source: None, bytes_max: Some(99), group: Some(5), read_only: false },
            Mount { path: "/data".into(), source: Some("/x".into()), bytes_max: None, group: None, read_only: true },
        ];
        let written = serde_json::to_value(spec(&config, Path::new("/r"), true).unwrap()).unwrap();
        let at = |pointer: &str| written.pointer(pointer).cloned().unwrap_or_default();
        for (pointer, expected) in [
            ("/root/readonly", json!(true)),
            ("/process/user/uid", json!(1000)),
            ("/process/user/additionalGids", json!([7])),
            ("/process/noNewPrivileges", json!(true)),
            ("/process/capabilities/bounding", json!(["CAP_KILL"])),
            ("/process/env", json!(["A=1", "HOME=/"])),
            ("/linux/resources/memory/limit", json!(1 << 20)),
            ("/linux/resources/memory/swap", json!(1 << 20)),
            ("/linux/resources/cpu/quota", json!(150_000)),
            ("/linux/resources/cpu/shares", json!(2)),
            ("/linux/resources/pids/limit", json!(7)),
            ("/linux/resources/devices/0/allow", json!(false)),
            ("/linux/cgroupsPath", json!("/prograde/test/x")),
        ] {
            assert_eq!(at(pointer), expected, "{pointer}");
        }
        let mounts = at("/mounts").to_string();
        assert!(mounts.contains(r#""options":["nosuid","nodev","mode=2777","gid=5","size=99"]"#), "{mounts}");
        assert!(mounts.contains(r#""options":["nosuid","nodev","ro","bind"]"#), "{mounts}");
        let kinds: Vec<&str> = written
            .pointer("/linux/namespaces")
            .unwrap()
            .as_array()
            .unwrap()
            .iter()
            .map(|n| n["type"].as_str().unwrap())
            .collect();
        assert!(!kinds.contains(&"network") && kinds.contains(&"pid"), "{kinds:?}");
    }

    #[test]
    fn what_is_privileged_sees_the_machine() {
        let mut config = config();
        config.privileged = true;
        let written = serde_json::to_string(&spec(&config, Path::new("/r"), false).unwrap()).unwrap();
        assert!(written.contains(r#""rbind""#) && !written.contains("/proc/kcore"), "{written}");
    }
}
