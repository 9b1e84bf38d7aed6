//! Which processes belong to a directory: those that run a program of it, work in it, or name it on their command line.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// A process and its command line.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// Its words, separated by spaces.
    pub(crate) command: String,
}

/// All live processes but this one that have to do with `dir`.
pub(crate) fn of(dir: &Path) -> Vec<Process> {
    let numbers = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let own = numbers.filter(|pid| *pid != std::process::id() && belongs(*pid, dir));
    own.map(|pid| Process { pid, command: command(pid) }).collect()
}

/// A process that has ended, even if nobody has asked how, has neither program nor working directory nor arguments.
fn belongs(pid: u32, dir: &Path) -> bool {
    let link = |name: &str| fs::read_link(format!("/proc/{pid}/{name}")).is_ok_and(|path| path.starts_with(dir));
    link("exe") || link("cwd") || dir.to_str().is_some_and(|dir| command(pid).contains(dir))
}

fn command(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ")
}

/// Signals one process; one that is gone already is no trouble.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let number = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    match kill_process(number, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => panic!("process {pid} can't be signalled: {error}"),
    }
}
