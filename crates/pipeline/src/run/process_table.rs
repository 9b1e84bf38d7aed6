//! The kernel's list of processes, `/proc` (proc(5)): who belongs to which group, and since when.

use std::fs;
use std::io;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// One process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its id.
    pub(crate) pid: i32,
    /// The id of its group.
    pub(crate) group: i32,
    /// Whether it has ended and waits for its parent to notice.
    pub(crate) is_ended: bool,
    /// When it started, in clock ticks since the machine did.
    pub(crate) started: u64,
}

/// All processes that can be seen. One that ends meanwhile is left out.
pub(crate) fn all() -> io::Result<Vec<Process>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        if let Ok(pid) = entry?.file_name().to_string_lossy().parse::<i32>() {
            found.extend(of(pid));
        }
    }
    Ok(found)
}

/// One process, where it exists.
pub(crate) fn of(pid: i32) -> Option<Process> {
    parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// `/proc/<pid>/stat`: the name, in parentheses, may hold anything, so fields are counted from its end.
fn parse(pid: i32, stat: &str) -> Option<Process> {
    let (_, after) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after.split_whitespace().collect();
    Some(Process {
        pid,
        group: fields.get(2)?.parse().ok()?,
        is_ended: matches!(*fields.first()?, "Z" | "X"),
        started: fields.get(19)?.parse().ok()?,
    })
}

/// Which start of the machine this is: process ids and start times mean nothing in another.
pub(crate) fn boot_id() -> io::Result<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|text| text.trim().to_owned())
}

/// Whether a process was started with `entry`, such as `NAME=value`, in its environment.
pub(crate) fn has_in_environment(pid: i32, entry: &str) -> bool {
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|bytes| bytes.split(|byte| *byte == 0).any(|own| own == entry.as_bytes()))
}

/// Ends all processes that were started with `entry` in their environment, wherever they have moved to; says how many.
pub(crate) fn kill_with(entry: &str) -> io::Result<usize> {
    let mut ended = 0;
    for process in all()?.into_iter().filter(|process| !process.is_ended) {
        let Some(pid) = Pid::from_raw(process.pid).filter(|_| has_in_environment(process.pid, entry)) else { continue };
        // The descriptor holds on to this very process; the second look makes sure that it is the one that was meant.
        let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
        if has_in_environment(process.pid, entry) && pidfd_send_signal(&handle, Signal::KILL).is_ok() {
            ended += 1;
        }
    }
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_not_lie_about_the_fields() {
        let stat = "7 (a) Z 9 (b)) S 1 42 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 169589 0 0";
        assert_eq!(parse(7, stat), Some(Process { pid: 7, group: 42, is_ended: false, started: 169_589 }));
        assert_eq!(parse(7, "7 (a"), None);
        assert_eq!(parse(7, "7 (a) S 1"), None);
    }

    #[test]
    fn this_process_is_in_the_table() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(all().unwrap().iter().any(|process| process.pid == own && !process.is_ended));
        assert!(!boot_id().unwrap().is_empty());
    }
}
