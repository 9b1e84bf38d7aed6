//! What this machine can give to a container, by looking, and why it can't give the rest.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use prograde_model::confinement::Part;
use serde::Serialize;

use crate::capability;
use crate::cgroup::{self, Layout};
use crate::seccomp;

/// What whoever sets up a container must be able to do (`capabilities(7)`): mount and make namespaces, become another
/// user, hand on fewer capabilities, make devices, and own files.
const NEEDED: [&str; 7] = ["CHOWN", "DAC_OVERRIDE", "MKNOD", "SETGID", "SETPCAP", "SETUID", "SYS_ADMIN"];
/// The namespaces that a container has of its own (`namespaces(7)`).
const NAMESPACES: [&str; 5] = ["cgroup", "ipc", "mnt", "pid", "uts"];

/// A part that this machine can't give.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// Which.
    pub part: Part,
    /// Why not.
    pub why: String,
    /// What to do about it.
    pub way_out: String,
}

/// What was found out about this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// How control groups are laid out.
    pub layout: Layout,
    /// The capabilities that this process could hand on.
    pub capabilities: BTreeSet<String>,
    /// What can't be given, at most one entry a part.
    pub missing: Vec<Missing>,
}

impl Machine {
    /// Why a part can't be given here, if it can't.
    pub fn missing(&self, part: Part) -> Option<&Missing> {
        self.missing.iter().find(|missing| missing.part == part)
    }

    /// Looks at the machine. Makes a control group in each tree, and removes it.
    pub fn survey() -> Self {
        let (layout, capabilities) = (cgroup::layout(), capability::held());
        let missing = [
            (Part::Container, container(layout, &capabilities)),
            (Part::Seccomp, filters()),
            (Part::MemoryLimit, controller("memory", layout)),
            (Part::CpuLimit, controller("cpu", layout)),
            (Part::PidsLimit, controller("pids", layout)),
        ];
        let missing = missing.into_iter().filter_map(|(part, found)| {
            let (why, way_out) = found?;
            Some(Missing { part, why, way_out: way_out.to_owned() })
        });
        Self { layout, capabilities, missing: missing.collect() }
    }
}

/// Why, and what to do about it.
type Lack = Option<(String, &'static str)>;

fn container(layout: Layout, capabilities: &BTreeSet<String>) -> Lack {
    if !rustix::process::geteuid().is_root() {
        return Some(("the server does not run as root".to_owned(), "start the server as root"));
    }
    let lacking: Vec<&str> = NEEDED.into_iter().filter(|name| !capabilities.contains(*name)).collect();
    if !lacking.is_empty() {
        let why = format!("the server lacks the capabilities {}", lacking.join(", "));
        return Some((why, "start the server with them; a container engine gives them with `--privileged`"));
    }
    let absent = |name: &&str| !Path::new("/proc/self/ns").join(name).exists();
    if let Some(name) = NAMESPACES.into_iter().find(absent) {
        return Some((format!("the kernel has no {name} namespaces"), "use a kernel that has them"));
    }
    let overlay = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !overlay.split_ascii_whitespace().any(|word| word == "overlay") {
        return Some(("the kernel has no overlay file system".to_owned(), "load it: `modprobe overlay`"));
    }
    let way_out = "mount control groups at /sys/fs/cgroup so that the server can write there";
    match layout {
        Layout::None => Some(("there are no control groups at /sys/fs/cgroup".to_owned(), way_out)),
        Layout::Unified => writable(Path::new("/sys/fs/cgroup"), way_out),
        Layout::Legacy | Layout::Hybrid => match cgroup::tree_of("devices") {
            Some(tree) => writable(&tree, way_out),
            None => Some(("the control group controller `devices` is not mounted".to_owned(), way_out)),
        },
    }
}

fn writable(tree: &Path, way_out: &'static str) -> Lack {
    cgroup::can_make(tree).err().map(|why| (format!("no control group can be made: {why}"), way_out))
}

fn controller(name: &str, layout: Layout) -> Lack {
    let way_out = "mount it so that the server can write there; in a container engine, hand it on";
    if layout == Layout::None {
        return Some(("there are no control groups at /sys/fs/cgroup".to_owned(), way_out));
    }
    match cgroup::tree_of(name) {
        None => Some((format!("the control group controller `{name}` is not there"), way_out)),
        Some(tree) => writable(&tree, way_out),
    }
}

fn filters() -> Lack {
    if let Err(error) = seccomp::architecture() {
        return Some((error.to_string(), "use a machine of an architecture that has them"));
    }
    let has = Path::new("/proc/sys/kernel/seccomp/actions_avail").exists();
    let way_out = "use a kernel with CONFIG_SECCOMP_FILTER";
    (!has).then(|| ("the kernel has no filters of system calls".to_owned(), way_out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_that_is_missing_says_why_and_what_to_do() {
        let machine = Machine::survey();
        for missing in &machine.missing {
            assert!(!missing.why.is_empty() && !missing.way_out.is_empty(), "{missing:?}");
            assert_eq!(machine.missing(missing.part), Some(missing));
        }
        assert_eq!(machine.missing(Part::Capabilities), None, "which one is known only by what is asked for");
        if !rustix::process::geteuid().is_root() {
            assert!(machine.missing(Part::Container).unwrap().why.contains("root"));
        }
    }
}
