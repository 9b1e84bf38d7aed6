//! A container's control groups: where they are under version 1, version 2 and both beside each other, what the kernel
//! counted in them, and their end (`cgroups(7)`).
//!
//! Invariant: [`remove`] needs nothing but the name, so whoever comes after a crash can end what is left.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Where the kernel's control groups are mounted.
const ROOT: &str = "/sys/fs/cgroup";
/// How often the removal of a group is tried, which its processes hold up until they are gone.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);
/// `CGROUP2_SUPER_MAGIC` and `TMPFS_MAGIC` of linux/magic.h.
const CGROUP2: i64 = 0x6367_7270;
const TMPFS: i64 = 0x0102_1994;

/// How control groups are laid out on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// One tree of version 2.
    Unified,
    /// A tree of version 1 for each controller.
    Legacy,
    /// Version 1 for the controllers, and version 2 beside it.
    Hybrid,
    /// None.
    None,
}

/// What is to be seen under `/sys/fs/cgroup`.
pub fn layout() -> Layout {
    layout_at(Path::new(ROOT))
}

fn layout_at(root: &Path) -> Layout {
    let kind = |path: &Path| rustix::fs::statfs(path).map(|found| found.f_type);
    match kind(root) {
        Ok(CGROUP2) => Layout::Unified,
        Ok(TMPFS) if kind(&root.join("unified")) == Ok(CGROUP2) => Layout::Hybrid,
        Ok(TMPFS) => Layout::Legacy,
        Ok(_) | Err(_) => Layout::None,
    }
}

/// The roots of all trees that hold the group of a container.
fn trees() -> Vec<PathBuf> {
    match layout() {
        Layout::Unified => vec![PathBuf::from(ROOT)],
        Layout::None => Vec::new(),
        Layout::Legacy | Layout::Hybrid => {
            let found = fs::read_dir(ROOT).into_iter().flatten().flatten();
            // Some are links to one tree under several names.
            let mut trees: Vec<PathBuf> = found.filter_map(|entry| fs::canonicalize(entry.path()).ok()).collect();
            trees.retain(|path| path.is_dir());
            trees.sort();
            trees.dedup();
            trees
        }
    }
}

/// The tree in which a controller's files are, where there is one.
pub fn tree_of(controller: &str) -> Option<PathBuf> {
    match layout() {
        Layout::Unified => {
            let controllers = fs::read_to_string(Path::new(ROOT).join("cgroup.controllers")).ok()?;
            controllers.split_ascii_whitespace().any(|name| name == controller).then(|| PathBuf::from(ROOT))
        }
        Layout::Legacy | Layout::Hybrid => {
            let entries = fs::read_dir(ROOT).into_iter().flatten().flatten();
            let mut names = entries.map(|entry| entry.path());
            let holds = |path: &PathBuf| {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                name.split(',').any(|part| part == controller)
            };
            names.find(holds).and_then(|path| fs::canonicalize(path).ok())
        }
        Layout::None => None,
    }
}

/// Whether groups can be made in a tree. Tells by making one.
pub fn can_make(tree: &Path) -> Result<(), String> {
    // Several may look at once.
    static LOOKS: AtomicU64 = AtomicU64::new(0);
    let look = LOOKS.fetch_add(1, Ordering::Relaxed);
    let probe = tree.join(format!("prograde-check-{}-{look}", std::process::id()));
    fs::create_dir(&probe).map_err(|error| format!("{}: {error}", tree.display()))?;
    fs::remove_dir(&probe).map_err(|error| format!("{}: {error}", probe.display()))
}

/// Whether the kernel ended a process of the group because its memory was used up.
pub fn ran_out_of_memory(name: &str) -> bool {
    let count = |file: &str| {
        let path = tree_of("memory")?.join(relative(name)).join(file);
        let text = fs::read_to_string(path).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "))?;
        line.trim().parse::<u64>().ok()
    };
    // `memory.events` of version 2, `memory.oom_control` of version 1.
    count("memory.events").or_else(|| count("memory.oom_control")).is_some_and(|killed| killed > 0)
}

/// Ends every process in a container's groups and removes these; that there are none is no error.
pub fn remove(name: &str) -> io::Result<()> {
    let mut failed = None;
    for tree in trees() {
        let path = tree.join(relative(name));
        if path.is_dir()
            && let Err(error) = remove_group(&path)
        {
            failed = Some(io::Error::new(error.kind(), format!("{}: {error}", path.display())));
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Removes a group, and those above it, as far as they are empty: for whoever makes no container below them any more.
pub fn remove_empty(name: &str) {
    for tree in trees() {
        for group in Path::new(relative(name)).ancestors().filter(|path| !path.as_os_str().is_empty()) {
            // One that has others in it is kept.
            fs::remove_dir(tree.join(group)).ok();
        }
    }
}

/// The names of all groups below one, which are those of a node's containers.
pub fn below(name: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for tree in trees() {
        let entries = fs::read_dir(tree.join(relative(name))).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        found.extend(folders.filter_map(|entry| Some(format!("{name}/{}", entry.file_name().to_str()?))));
    }
    found.sort();
    found.dedup();
    found
}

fn relative(name: &str) -> &str {
    name.trim_start_matches('/')
}

fn remove_group(path: &Path) -> io::Result<()> {
    // A privileged container may have made groups of its own.
    let inner: Vec<PathBuf> = fs::read_dir(path)?.flatten().map(|entry| entry.path()).filter(|p| p.is_dir()).collect();
    for group in inner {
        remove_group(&group)?;
    }
    let mut last = None;
    for _ in 0..TRIES {
        kill_all(path);
        match fs::remove_dir(path) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => last = Some(error),
        }
        pause();
    }
    Err(last.unwrap_or_else(|| io::Error::other("it can't be removed")))
}

fn kill_all(path: &Path) {
    let procs = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    for pid in procs.lines().filter_map(|line| line.parse().ok()).filter_map(Pid::from_raw) {
        // One that is gone meanwhile is what is wanted.
        kill_process(pid, Signal::KILL).ok();
    }
}

/// This runs in a process without an event loop, or on a thread that may block.
#[expect(
    clippy::disallowed_methods,
    reason = "nothing here is asynchronous: the caller blocks until the group is gone"
)]
fn pause() {
    std::thread::sleep(PAUSE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_group_is_no_error_and_no_memory_used_up() {
        remove("/prograde-none/such").unwrap();
        assert!(!ran_out_of_memory("/prograde-none/such"));
        assert_eq!(below("/prograde-none"), Vec::<String>::new());
        assert_eq!(layout_at(Path::new("/nowhere")), Layout::None);
    }
}
