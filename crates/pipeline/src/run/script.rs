//! A `run` step: its script as a group of processes, its output in the log.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tokio::net::unix::pipe;
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::cancel::Interruption;
use super::environment::which;
use super::group::{Exit, Group, StopWaits};
use super::log::StepLog;
use crate::workflow::Shell;

/// How much output is read at a time, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// A script that is ready to run.
pub(super) struct Script<'a> {
    /// Where the script is written.
    pub(super) file: PathBuf,
    /// What is in it.
    pub(super) text: &'a str,
    /// What runs it.
    pub(super) shell: &'a Shell,
    /// Where it runs.
    pub(super) directory: PathBuf,
    /// All of its environment.
    pub(super) environment: BTreeMap<String, String>,
    /// The job's directory, where its group is written down.
    pub(super) job_directory: &'a Path,
}

/// How a script ended, and its processes, some of which may still run.
pub(super) struct Ended {
    /// The exit, or why it was ended early.
    pub(super) outcome: Result<Exit, Interruption>,
    /// Its processes.
    pub(super) group: Group,
}

/// Reads a group's output into its log until all of its processes have closed it.
struct Pump {
    reader: pipe::Receiver,
    log: Arc<Mutex<StepLog>>,
    exited: CancellationToken,
    drained: Option<oneshot::Sender<io::Result<()>>>,
}

impl Script<'_> {
    /// The command, as GitHub's runner builds it.
    fn command(&self) -> Result<Command, io::Error> {
        let path = self.environment.get("PATH").map(String::as_str).unwrap_or_default();
        let words = match self.shell {
            Shell::Command(words) => words.clone(),
            Shell::Default => {
                let shell = if which("bash", path).is_some() { "bash" } else { "sh" };
                [shell, "-e", "{0}"].map(str::to_owned).to_vec()
            }
        };
        let file = self.file.to_string_lossy();
        let mut words = words.iter().map(|word| word.replace("{0}", &file));
        let name = words.next().unwrap_or_default();
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("there is no command `{name}`"));
        let program = if name.contains('/') { Some(PathBuf::from(&name)) } else { which(&name, path) };
        let mut command = Command::new(program.ok_or_else(missing)?);
        command.args(words).current_dir(&self.directory).env_clear().envs(&self.environment);
        Ok(command)
    }

    /// Runs it until it ends or is ended. What it leaves running is in the group that is given back, and what that
    /// still writes is read by a task in `pumps`.
    pub(super) async fn run(
        &self,
        log: &Arc<Mutex<StepLog>>,
        pumps: &mut JoinSet<()>,
        waits: StopWaits,
        hard: &CancellationToken,
        interruption: impl Future<Output = Interruption>,
    ) -> io::Result<Ended> {
        if !tokio::fs::metadata(&self.directory).await.is_ok_and(|about| about.is_dir()) {
            let message = format!("there is no directory {}", self.directory.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        }
        tokio::fs::write(&self.file, self.text).await?;
        let (mut group, reader) = Group::spawn(self.command()?, self.job_directory)?;
        let exited = CancellationToken::new();
        let (drained, until_drained) = oneshot::channel();
        let pump = Pump { reader, log: log.clone(), exited: exited.clone(), drained: Some(drained) };
        pumps.spawn(pump.run());
        let outcome = tokio::select! {
            exit = group.exited() => Ok(exit?),
            early = interruption => Err(early),
        };
        if outcome.is_err() && !group.stop(waits, hard).await? {
            log.lock().await.say("::error::Some processes could not be ended, not even by SIGKILL").await?;
        }
        exited.cancel();
        until_drained.await.map_err(io::Error::other)??;
        Ok(Ended { outcome, group })
    }
}

impl Pump {
    async fn run(mut self) {
        let result = self.pump().await;
        match (self.drained.take(), result) {
            (Some(drained), result) => {
                if drained.send(result).is_err() {
                    tracing::debug!("the step was ended before its output was read");
                }
            }
            (None, Err(error)) => tracing::warn!(%error, "the output of a job's background process is lost"),
            (None, Ok(())) => {}
        }
    }

    /// Tells `drained` when all that was written before the first process ended is in the log.
    async fn pump(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let has_exited = self.exited.is_cancelled();
            // Asked of the kernel itself: what is not there now was not written before the process ended.
            let length = match rustix::io::read(&self.reader, buffer.as_mut_slice()) {
                Ok(length) => length,
                Err(rustix::io::Errno::INTR) => continue,
                Err(rustix::io::Errno::AGAIN) => {
                    if has_exited {
                        self.tell_drained().await?;
                    }
                    match self.wait(&mut buffer).await? {
                        Some(length) => length,
                        None => continue,
                    }
                }
                Err(error) => return Err(error.into()),
            };
            if length == 0 {
                return self.log.lock().await.finish().await;
            }
            self.log.lock().await.write(buffer.get(..length).unwrap_or_default()).await?;
        }
    }

    /// Waits for output, or for the process to end; gives how much was read.
    async fn wait(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        tokio::select! {
            ready = self.reader.readable() => ready?,
            () = self.exited.cancelled(), if self.drained.is_some() => return Ok(None),
        }
        match self.reader.try_read(buffer) {
            Ok(length) => Ok(Some(length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn tell_drained(&mut self) -> io::Result<()> {
        let Some(drained) = self.drained.take() else { return Ok(()) };
        self.log.lock().await.finish().await?;
        if drained.send(Ok(())).is_err() {
            tracing::debug!("the step was ended before its output was read");
        }
        Ok(())
    }
}
