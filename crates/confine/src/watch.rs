//! Waiting for a container's first process: signals are handed on to it, and its end is told.
//!
//! Invariant: signals are blocked from before the container is made, so none is lost between its making and its watch.

use std::fs;
use std::process::ExitCode;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, raise, sigprocmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::end::End;

/// What is handed on. All of them end a program that does not handle them (`signal(7)`).
const HANDED_ON: [Signal; 6] =
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2];

/// The signals that are waited for.
pub(crate) struct Signals(SigSet);

impl Signals {
    /// Keeps them pending from here on.
    pub(crate) fn block() -> Result<Self, String> {
        let mut set = SigSet::empty();
        for signal in HANDED_ON.into_iter().chain([Signal::SIGCHLD]) {
            set.add(signal);
        }
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None).map_err(|error| error.to_string())?;
        Ok(Self(set))
    }

    /// Waits for the end of a process that is about to end by itself.
    pub(crate) fn reap(pid: i32) -> Result<(), String> {
        loop {
            match waitpid(Pid::from_raw(pid), None) {
                Err(Errno::EINTR) => {}
                Ok(_) | Err(Errno::ECHILD) => return Ok(()),
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// Hands signals on until the process has ended.
    pub(crate) fn watch(&self, pid: i32) -> Result<End, String> {
        let pid = Pid::from_raw(pid);
        let mut ended_by = None;
        loop {
            if let Some(end) = ended(pid)? {
                // It was ended in the name of another signal.
                return Ok(match (end, ended_by) {
                    (End::Signal(9), Some(signal)) => End::Signal(signal as i32),
                    (end, _) => end,
                });
            }
            let signal = self.0.wait().map_err(|error| error.to_string())?;
            if signal == Signal::SIGCHLD {
                continue;
            }
            // The kernel keeps from the first process of a container what it does not handle, and would end any other.
            let handed_on = if is_ignored_by_default(pid, signal) { Signal::SIGKILL } else { signal };
            if handed_on != signal {
                ended_by = Some(signal);
            }
            match kill(pid, handed_on) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => return Err(format!("it can't be signalled: {error}")),
            }
        }
    }
}

/// How it ended, if it has. Reaps whatever else was left to this process.
fn ended(pid: Pid) -> Result<Option<End>, String> {
    loop {
        let status = match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
            Ok(status) => status,
            Err(Errno::EINTR) => continue,
            Err(Errno::ECHILD) => return Err("it is gone, and nobody told how".to_owned()),
            Err(error) => return Err(error.to_string()),
        };
        if status == WaitStatus::StillAlive {
            return Ok(None);
        }
        if status.pid() != Some(pid) {
            continue;
        }
        if let WaitStatus::Exited(_, status) = status {
            return Ok(Some(End::Status(status)));
        }
        if let WaitStatus::Signaled(_, signal, _) = status {
            return Ok(Some(End::Signal(signal as i32)));
        }
    }
}

/// Whether a process neither handles a signal nor ignores it on purpose (`proc_pid_status(5)`).
fn is_ignored_by_default(pid: Pid, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        u64::from_str_radix(line.trim(), 16).ok()
    };
    let bit = 1_u64 << (signal as i32 - 1);
    match (mask("SigCgt:"), mask("SigIgn:")) {
        (Some(caught), Some(ignored)) => (caught | ignored) & bit == 0,
        // It is gone, or as good as.
        (None, _) | (_, None) => false,
    }
}

/// Ends this process as another ended.
pub(crate) fn end_by_signal(number: i32) -> ExitCode {
    if let Ok(signal) = Signal::try_from(number) {
        let mut set = SigSet::empty();
        set.add(signal);
        // Nothing here handles any signal, so it ends this process once it is not blocked.
        sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&set), None).ok();
        raise(signal).ok();
    }
    ExitCode::from(u8::try_from(128 + number).unwrap_or(u8::MAX))
}
