//! A step's processes: one group, which can be ended as a whole and is never mistaken for another.
//!
//! Invariant: the first process of a group is not reaped before the group is ended. Until then its number, which is the
//! group's, can't be given to another process, so that a signal to the group reaches no stranger.

use std::fs;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use serde::{Deserialize, Serialize};
use tokio::net::unix::pipe;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::process_table;

/// How often it is looked whether a group that was asked to end has done so.
const LOOK_EVERY: Duration = Duration::from_millis(30);

/// How often it is looked whether a process has ended, should its signal have been missed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How long processes that were killed are waited for. Only one that hangs in the kernel takes that long.
const KILLED_WITHIN: Duration = Duration::from_secs(10);

/// The file in a job's directory that names its groups.
const RECORD_FILE: &str = "processes";

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// The code as shells tell it: 128 and the signal's number where it was a signal.
    pub(crate) fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

/// How long a group is given to end by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopWaits {
    /// From SIGINT to SIGTERM.
    pub interrupt: Duration,
    /// From SIGTERM to SIGKILL.
    pub terminate: Duration,
}

impl Default for StopWaits {
    /// What GitHub's runner waits.
    fn default() -> Self {
        Self { interrupt: Duration::from_millis(7500), terminate: Duration::from_millis(2500) }
    }
}

/// A group of processes, ended when dropped.
pub(crate) struct Group {
    pid: Pid,
    children: tokio::signal::unix::Signal,
    child: Option<Child>,
}

/// What is written down of a group, so that it can be ended after a crash of ours.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    boot_id: String,
    group: i32,
    started: u64,
}

impl Group {
    /// Starts `command` as the first process of a new group; gives what it writes to both of its outputs, in order.
    /// Must be called within a runtime.
    pub(crate) fn spawn(mut command: Command, job_directory: &Path) -> io::Result<(Self, pipe::Receiver)> {
        let (reader, writer) = io::pipe()?;
        let reader = pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?;
        // Listened to from before the start, so that no end is missed.
        let children = signal(SignalKind::child())?;
        command.process_group(0).stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        let child = command.spawn()?;
        // The command holds our end for writing, which would keep the pipe open for ever.
        drop(command);
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
        let group = Self { pid, children, child: Some(child) };
        record(job_directory, pid)?;
        Ok((group, reader))
    }

    /// Waits until the first process has ended, and leaves it for [`Group::end`] to reap.
    pub(crate) async fn exited(&mut self) -> io::Result<Exit> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        loop {
            if let Some(status) = waitid(WaitId::Pid(self.pid), options)? {
                return Ok(match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => Exit::Code(code),
                    (None, signal) => Exit::Signal(signal.unwrap_or_default()),
                });
            }
            // Whoever else reaps children here could swallow the signal: look again now and then.
            tokio::select! {
                _ = self.children.recv() => {}
                () = sleep(LOOK_AGAIN) => {}
            }
        }
    }

    /// Asks the group to end, ever more firmly, and waits until all of it has. `at_once` skips the asking.
    /// False where something is left that not even SIGKILL ended.
    pub(crate) async fn stop(&self, waits: StopWaits, at_once: &CancellationToken) -> io::Result<bool> {
        for (signal, wait) in [(Signal::INT, waits.interrupt), (Signal::TERM, waits.terminate)] {
            if at_once.is_cancelled() {
                break;
            }
            self.signal(signal)?;
            tokio::select! {
                gone = self.gone_within(wait) => if gone? { return Ok(true) },
                () = at_once.cancelled() => {}
            }
        }
        self.signal(Signal::KILL)?;
        self.gone_within(KILLED_WITHIN).await
    }

    /// Ends whatever is left of the group.
    pub(crate) async fn end(mut self) -> io::Result<bool> {
        self.signal(Signal::KILL)?;
        let gone = self.gone_within(KILLED_WITHIN).await?;
        if gone && let Some(mut child) = self.child.take() {
            child.wait()?;
        }
        Ok(gone)
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        match kill_process_group(self.pid, signal) {
            // The group has no process left but the first, which has ended.
            Err(rustix::io::Errno::SRCH | rustix::io::Errno::PERM) if !self.has_members()? => Ok(()),
            other => Ok(other?),
        }
    }

    async fn gone_within(&self, wait: Duration) -> io::Result<bool> {
        let until = Instant::now() + wait;
        loop {
            if !self.has_members()? {
                return Ok(true);
            }
            if Instant::now() >= until {
                return Ok(false);
            }
            sleep(LOOK_EVERY).await;
        }
    }

    fn has_members(&self) -> io::Result<bool> {
        let group = self.pid.as_raw_nonzero().get();
        Ok(process_table::all()?.iter().any(|process| process.group == group && !process.is_ended))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        if let Err(error) = kill_process_group(self.pid, Signal::KILL) {
            tracing::warn!(%error, group = %self.pid.as_raw_nonzero(), "a job's processes could not be killed");
        }
        // It was killed, so the wait is short; it must not hold up whoever drops us.
        if !matches!(child.try_wait(), Ok(Some(_))) {
            std::thread::spawn(move || {
                if let Err(error) = child.wait() {
                    tracing::warn!(%error, "a job's process could not be waited for");
                }
            });
        }
    }
}

fn record(job_directory: &Path, pid: Pid) -> io::Result<()> {
    let group = pid.as_raw_nonzero().get();
    let started = process_table::of(group).map_or(0, |process| process.started);
    let record = Record { boot_id: process_table::boot_id()?, group, started };
    let line = serde_json::to_string(&record)?;
    let mut file = fs::OpenOptions::new().create(true).append(true).open(job_directory.join(RECORD_FILE))?;
    writeln!(file, "{line}")
}

/// Ends what is left of the groups that a job's directory names, and whatever carries `tracking` in its environment.
/// A group is touched only where one of its members is known to be ours: the first process by its start time, another
/// by its environment. Says how many groups and processes were ended.
pub(crate) fn end_survivors(job_directory: &Path, tracking: &str) -> io::Result<usize> {
    let text = match fs::read_to_string(job_directory.join(RECORD_FILE)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let boot_id = process_table::boot_id()?;
    let processes = process_table::all()?;
    let mut ended = 0;
    // The last line may have been cut by the crash; then its processes are found by their environment.
    let records = text.lines().filter_map(|line| serde_json::from_str::<Record>(line).ok());
    for record in records.filter(|record| record.boot_id == boot_id) {
        let ours =
            processes.iter().filter(|process| process.group == record.group && !process.is_ended).any(|process| {
                let is_first = process.pid == record.group && process.started == record.started;
                is_first || process_table::has_in_environment(process.pid, tracking)
            });
        if let Some(group) = Pid::from_raw(record.group).filter(|_| ours) {
            match kill_process_group(group, Signal::KILL) {
                Ok(()) => ended += 1,
                Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(ended + process_table::kill_with(tracking)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufRead as _;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn quick() -> StopWaits {
        StopWaits { interrupt: Duration::from_millis(200), terminate: Duration::from_millis(200) }
    }

    async fn first_line(pipe: pipe::Receiver) -> String {
        use tokio::io::AsyncBufReadExt as _;
        tokio::io::BufReader::new(pipe).lines().next_line().await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn exits_are_told_and_outputs_come_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let (mut group, pipe) = Group::spawn(sh("echo a; echo b >&2; exit 7"), directory.path()).unwrap();
        assert_eq!(group.exited().await.unwrap(), Exit::Code(7));
        assert_eq!(first_line(pipe).await, "a");
        assert!(group.end().await.unwrap());
        let (mut group, _pipe) = Group::spawn(sh("kill -9 $$"), directory.path()).unwrap();
        assert_eq!(group.exited().await.unwrap().code(), 137);
    }

    #[tokio::test]
    async fn a_group_that_ignores_signals_is_killed_with_its_children() {
        let directory = tempfile::tempdir().unwrap();
        let script = "trap '' INT TERM; (trap '' INT TERM; sleep 300) & echo ready; wait; sleep 300";
        let (mut group, pipe) = Group::spawn(sh(script), directory.path()).unwrap();
        assert_eq!(first_line(pipe).await, "ready");
        assert!(group.stop(quick(), &CancellationToken::new()).await.unwrap());
        assert_eq!(group.exited().await.unwrap(), Exit::Signal(9));
        assert!(!group.has_members().unwrap());
    }

    #[tokio::test]
    async fn survivors_of_a_crash_are_found_by_group_and_by_environment() {
        let directory = tempfile::tempdir().unwrap();
        let tracking = format!("RUNNER_TRACKING_ID=test-{}", std::process::id());
        let (name, value) = tracking.split_once('=').unwrap();
        let mut command = sh("setsid sh -c 'echo $$; exec sleep 300' & wait");
        command.env(name, value);
        let (mut group, pipe) = Group::spawn(command, directory.path()).unwrap();
        let escaped: i32 = first_line(pipe).await.parse().unwrap();
        let mut child = group.child.take().unwrap();
        assert!(end_survivors(directory.path(), &tracking).unwrap() >= 2);
        child.wait().unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        while process_table::of(escaped).is_some_and(|process| !process.is_ended) {
            assert!(Instant::now() < until, "the escaped process lives on");
            sleep(Duration::from_millis(20)).await;
        }
    }

    #[tokio::test]
    async fn a_recycled_number_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let (group, _pipe) = Group::spawn(sh("sleep 300"), elsewhere.path()).unwrap();
        let number = group.pid.as_raw_nonzero().get();
        for (boot_id, started) in [(process_table::boot_id().unwrap(), 1), ("another".to_owned(), 0)] {
            let record = Record { boot_id, group: number, started };
            fs::write(directory.path().join(RECORD_FILE), serde_json::to_string(&record).unwrap()).unwrap();
            assert_eq!(end_survivors(directory.path(), "RUNNER_TRACKING_ID=nobody").unwrap(), 0);
        }
        fs::write(directory.path().join(RECORD_FILE), "{\"boot_id\": \"cut").unwrap();
        assert_eq!(end_survivors(directory.path(), "RUNNER_TRACKING_ID=nobody").unwrap(), 0);
        assert!(group.has_members().unwrap());
        let recorded = fs::File::open(elsewhere.path().join(RECORD_FILE)).unwrap();
        assert_eq!(io::BufReader::new(recorded).lines().count(), 1);
    }
}
