//! One process in a group of its own: started or adopted, signalled, and seen to end.
//!
//! Invariant: no signal is ever sent to a process that merely has the number of one that is gone. A child's number is
//! its own until it is waited for; an adopted process is known by its start time (`proc_pid_stat(5)`, field 22) and the
//! machine's boot, and its end is told by a pidfd.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use prograde_confine::End;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use serde::{Deserialize, Serialize};
use tokio::io::unix::AsyncFd;
use tokio::process::{Child, Command};

use crate::confine::{self, Entered, Way};
use crate::files::read_bounded;
use crate::launch::Launch;
use crate::stat::{ESRCH, stat};

/// What tells one process from every other that this machine ever ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    /// Its number, which is also its group's.
    pub(crate) pid: i32,
    /// When it started, in clock ticks since boot.
    pub(crate) start_ticks: u64,
    /// Which boot, from `/proc/sys/kernel/random/boot_id`.
    pub(crate) boot: String,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Exit {
    /// By itself, with a status.
    Status(i32),
    /// By a signal.
    Signal(i32),
    /// By the kernel, because the memory that its container may use was used up.
    OutOfMemory,
    /// Before it began: its container could not be made.
    Failed(String),
    /// Its status went to the process that adopted it from the server which started it.
    Unknown,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "exit status {status}"),
            Self::Signal(signal) => write!(f, "killed by signal {signal}"),
            Self::OutOfMemory => f.write_str("OOMKilled: it used more memory than its limit"),
            Self::Failed(why) => write!(f, "container could not be started: {why}"),
            Self::Unknown => f.write_str("exited, status unknown since the server restarted"),
        }
    }
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Status(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => Self::Unknown,
        }
    }
}

impl From<End> for Exit {
    fn from(end: End) -> Self {
        match end {
            End::Status(status) => Self::Status(status),
            End::Signal(signal) => Self::Signal(signal),
            End::OutOfMemory => Self::OutOfMemory,
            End::Failed(why) => Self::Failed(why),
        }
    }
}

/// A live process and its group. Of a container it is the one that made it and ends as it ends.
#[derive(Debug)]
pub(crate) struct Process {
    identity: Identity,
    pidfd: AsyncFd<OwnedFd>,
    child: Option<Child>,
    /// The folder of its container, where it has one.
    container: Option<PathBuf>,
    ended: Option<Exit>,
}

impl Process {
    /// Starts `launch` as a plain process or in a container, by `helper`.
    pub(crate) fn start(way: &Way, launch: &Launch, helper: &Path, output: (File, File)) -> io::Result<Self> {
        let (stdout, stderr) = output;
        let config = match way {
            Way::Plain => return Self::spawn(launch, stdout, stderr),
            Way::Confined(config) => config,
        };
        End::forget(&config.dir)?;
        let command = Command::from(prograde_confine::command(helper, config)?);
        let mut process = Self::run(command, stdout, stderr)?;
        process.container = Some(config.dir.clone());
        Ok(process)
    }

    /// Starts `launch` where a replica's program runs: in its container, where it has one.
    pub(crate) fn beside(
        container: Option<&Entered>,
        launch: &Launch,
        (stdout, stderr): (File, File),
    ) -> io::Result<Self> {
        match container {
            None => Self::spawn(launch, stdout, stderr),
            Some(entered) => Self::run(Command::from(entered.command(launch)?), stdout, stderr),
        }
    }

    /// The same process as that of the container in `dir`.
    pub(crate) fn of_container(self, dir: &Path) -> Self {
        Self { container: Some(dir.to_owned()), ..self }
    }

    /// Whether it stands for a container.
    pub(crate) fn is_confined(&self) -> bool {
        self.container.is_some()
    }

    /// Starts `launch` in a group of its own, writing to `stdout` and `stderr`, which outlive this server.
    pub(crate) fn spawn(launch: &Launch, stdout: File, stderr: File) -> io::Result<Self> {
        let mut command = Command::new(&launch.program);
        let mut arguments = launch.arguments.iter();
        if let Some(name) = arguments.next() {
            command.arg0(name);
        }
        command.args(arguments).env_clear().envs(&launch.environment).current_dir(&launch.directory);
        command.stdin(Stdio::null());
        Self::run(command, stdout, stderr)
    }

    fn run(mut command: Command, stdout: File, stderr: File) -> io::Result<Self> {
        let mut child = command.stdout(stdout).stderr(stderr).process_group(0).spawn()?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        match pid.ok_or_else(|| io::Error::other("the process has no number")).and_then(Self::watch) {
            Ok((identity, pidfd)) => Ok(Self { identity, pidfd, child: Some(child), container: None, ended: None }),
            Err(error) => {
                // It runs, but could never be watched: better not at all. The group is the child's until it is reaped.
                if let Some(group) = pid.and_then(Pid::from_raw) {
                    kill_group(group, Signal::KILL);
                }
                child.start_kill().ok();
                Err(error)
            }
        }
    }

    /// Takes over a process that an earlier server started, or `None` when it has ended.
    pub(crate) fn adopt(identity: &Identity) -> io::Result<Option<Self>> {
        if identity.boot != boot_id()? || !is_foreign_group(identity.pid) {
            return Ok(None);
        }
        // The pidfd comes first: what is read afterwards is about the process that it holds, or about none.
        let (seen, pidfd) = match Self::watch(identity.pid) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(ESRCH) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let is_live_leader = stat(identity.pid)?.is_some_and(|s| s.group == identity.pid && !s.has_ended());
        if seen != *identity || !is_live_leader {
            return Ok(None);
        }
        Ok(Some(Self { identity: seen, pidfd, child: None, container: None, ended: None }))
    }

    fn watch(pid: i32) -> io::Result<(Identity, AsyncFd<OwnedFd>)> {
        let number = Pid::from_raw(pid).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe for descriptors that others may close; `OwnedFd` is none"
        )]
        let pidfd = AsyncFd::new(pidfd_open(number, PidfdFlags::NONBLOCK)?)?;
        let start_ticks = stat(pid)?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?.start_ticks;
        Ok((Identity { pid, start_ticks, boot: boot_id()? }, pidfd))
    }

    /// What tells this process from every other.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Waits until the process has ended, kills what is left of its group, and leaves no zombie. May be cancelled and
    /// called again.
    pub(crate) async fn ended(&mut self) -> Exit {
        if let Some(exit) = &self.ended {
            return exit.clone();
        }
        // Only an error of the event loop itself can come back; the wait below is the answer then too.
        let _ready = self.pidfd.readable().await;
        // Before the child is waited for, while its number can't be anyone else's.
        self.signal(Signal::KILL);
        let exit = match &mut self.child {
            Some(child) => child.wait().await.map_or(Exit::Unknown, Exit::from),
            None => Exit::Unknown,
        };
        let exit = match &self.container {
            Some(dir) => end_of_container(dir.clone()).await.unwrap_or(exit),
            None => exit,
        };
        self.ended = Some(exit.clone());
        exit
    }

    /// Signals the whole group; nothing happens when it is gone.
    pub(crate) fn signal(&self, signal: Signal) {
        let group = Pid::from_raw(self.identity.pid);
        if let Some(group) = group.filter(|_| self.ended.is_none() && self.owns_its_number()) {
            kill_group(group, signal);
        }
    }

    /// A group's number stays taken while it has members, so a number without a process may be signalled, and one of a
    /// process with another start time may not.
    fn owns_its_number(&self) -> bool {
        if self.child.is_some() {
            return true;
        }
        match stat(self.identity.pid) {
            Ok(Some(stat)) => stat.start_ticks == self.identity.start_ticks,
            Ok(None) => true,
            Err(_) => false,
        }
    }
}

/// Ends what is left of a container whose process has ended; nobody else would, if that one was killed. How it ended is
/// known where there was time to tell.
async fn end_of_container(dir: PathBuf) -> Option<Exit> {
    let end = move || {
        if let Err(error) = prograde_confine::cgroup::remove(&confine::group(&dir)) {
            tracing::warn!(path = %dir.display(), %error, "a container's control groups can't be removed");
        }
        End::read(&dir).map(Exit::from)
    };
    tokio::task::spawn_blocking(end).await.ok().flatten()
}

fn kill_group(group: Pid, signal: Signal) {
    match kill_process_group(group, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => {
            tracing::warn!(group = group.as_raw_pid(), ?signal, %error, "process group could not be signalled");
        }
    }
}

/// Whether `pid` can be the leader of a replica's group: never the first process, this one, or this one's group.
fn is_foreign_group(pid: i32) -> bool {
    let this = [rustix::process::getpid(), rustix::process::getpgrp()].map(Pid::as_raw_pid);
    pid > 1 && !this.contains(&pid)
}

/// Kills every process, with its group, whose standard output or error is a file in `dir`: how a replica is found whose
/// record is lost. Returns the numbers killed.
pub(crate) fn kill_writers(dir: &Path) -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let writers: Vec<i32> = numbers.filter(|pid| is_foreign_group(*pid) && writes_into(*pid, dir)).collect();
    for pid in &writers {
        // Opened first and checked again, as for adoption: the number may have changed hands.
        let Some(number) = Pid::from_raw(*pid) else { continue };
        let Ok(pidfd) = pidfd_open(number, PidfdFlags::empty()) else { continue };
        if writes_into(*pid, dir)
            && let Err(error) = rustix::process::pidfd_send_signal(&pidfd, Signal::KILL)
        {
            tracing::warn!(pid, %error, "stray replica process could not be killed");
        }
    }
    writers
}

fn writes_into(pid: i32, dir: &Path) -> bool {
    let link = |fd: u8| fs::read_link(format!("/proc/{pid}/fd/{fd}"));
    [1, 2].into_iter().any(|fd| link(fd).is_ok_and(|path| path.parent() == Some(dir)))
}

fn boot_id() -> io::Result<String> {
    let id = read_bounded(Path::new("/proc/sys/kernel/random/boot_id"), 100)?;
    Ok(String::from_utf8_lossy(&id).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::stat::Stat;

    fn shell(script: &str, dir: &Path) -> Process {
        let launch = Launch {
            program: PathBuf::from("/bin/sh"),
            inside: PathBuf::new(),
            inside_directory: PathBuf::new(),
            arguments: ["sh", "-c", script].map(str::to_owned).to_vec(),
            directory: dir.to_owned(),
            environment: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
        };
        let file = |name| File::options().create(true).append(true).open(dir.join(name)).unwrap();
        Process::spawn(&launch, file("stdout"), file("stderr")).unwrap()
    }

    async fn end(process: &mut Process) -> Exit {
        tokio::time::timeout(Duration::from_secs(20), process.ended()).await.unwrap()
    }

    #[tokio::test]
    async fn the_end_is_told_and_takes_the_group_along() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(end(&mut shell("exit 101", dir.path())).await.to_string(), "exit status 101");
        let mut process = shell("sleep 60 & echo $! > child; kill -9 $$", dir.path());
        assert_eq!(end(&mut process).await, Exit::Signal(9));
        assert_eq!(end(&mut process).await, Exit::Signal(9), "asked again");
        let child: i32 = fs::read_to_string(dir.path().join("child")).unwrap().trim().parse().unwrap();
        for _ in 0..1000 {
            if stat(child).unwrap().is_none_or(Stat::has_ended) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the background child outlived its group's leader");
    }

    #[tokio::test]
    async fn only_the_very_process_is_adopted() {
        let dir = tempfile::tempdir().unwrap();
        let mut process = shell("sleep 60", dir.path());
        let identity = process.identity().clone();
        let adopted = |identity: Identity| Process::adopt(&identity).unwrap();
        assert!(adopted(Identity { start_ticks: identity.start_ticks + 1, ..identity.clone() }).is_none(), "recycled");
        assert!(adopted(Identity { boot: "another".into(), ..identity.clone() }).is_none(), "another boot");
        for pid in [0, 1, -1, i32::MIN, i32::MAX, rustix::process::getpid().as_raw_pid()] {
            assert!(adopted(Identity { pid, ..identity.clone() }).is_none(), "{pid}");
        }
        let mut twin = adopted(identity.clone()).unwrap();
        twin.signal(Signal::KILL);
        assert_eq!(end(&mut twin).await, Exit::Unknown);
        assert!(adopted(identity.clone()).is_none(), "a zombie is not adopted");
        assert_eq!(end(&mut process).await, Exit::Signal(9));
        assert!(adopted(identity).is_none());
    }

    #[tokio::test]
    async fn a_number_that_changed_hands_is_not_signalled() {
        let dir = tempfile::tempdir().unwrap();
        let mut process = shell("exec sleep 60", dir.path());
        let mut impostor = Process::adopt(process.identity()).unwrap().unwrap();
        impostor.identity.start_ticks += 1;
        impostor.signal(Signal::KILL);
        assert!(!impostor.owns_its_number());
        process.signal(Signal::TERM);
        assert_eq!(end(&mut process).await, Exit::Signal(15), "it was alive until now");
    }

    #[tokio::test]
    async fn a_replica_without_a_record_is_found_by_what_it_writes_to() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut lost = shell("exec sleep 60", dir.path());
        let mut bystander = shell("exec sleep 60", other.path());
        assert_eq!(kill_writers(dir.path()), [lost.identity().pid]);
        assert_eq!(end(&mut lost).await, Exit::Signal(9));
        bystander.signal(Signal::TERM);
        assert_eq!(end(&mut bystander).await, Exit::Signal(15), "the bystander was alive");
    }
}
