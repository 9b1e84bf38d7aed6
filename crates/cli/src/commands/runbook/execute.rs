//! One block of shell: run, shown, bounded in time, and ended with all that it has started.

use std::collections::{BTreeMap, VecDeque};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use prograde_model::runbook::Command;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio_util::sync::CancellationToken;

use crate::printer::Printer;

/// How much of the end of what a command prints is kept, in bytes.
const KEPT_BYTES_MAX: usize = 16 * 1024;
/// How long what a command has left behind may hold its output open.
const DRAIN: Duration = Duration::from_secs(2);

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// By itself.
    Exit(i32),
    /// By a signal.
    Signal,
    /// It took too long.
    TimedOut,
    /// The user stopped it.
    Stopped,
}

/// What came of a command.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) ended: Ended,
    pub(super) seconds: f64,
    /// The end of what it printed.
    pub(super) output: String,
}

/// Runs a command; what it prints goes to stderr at once.
pub(super) async fn execute(
    command: &Command,
    parameters: &BTreeMap<String, String>,
    printer: &Printer,
    stop: &CancellationToken,
) -> std::io::Result<Ran> {
    let strict: &[&str] = if command.shell == "bash" { &["-euo", "pipefail", "-c"] } else { &["-eu", "-c"] };
    #[expect(clippy::disallowed_methods, reason = "told to a person, and decides nothing")]
    let begun = Instant::now();
    let mut child = tokio::process::Command::new(&command.shell)
        .args(strict)
        .arg(&command.text)
        .envs(parameters)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Its own group, so that all that it starts can be ended with it.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let mut kept = Kept::default();
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let mut ended = None;
    let deadline = tokio::time::sleep(Duration::from_secs(command.timeout_secs));
    tokio::pin!(deadline);
    while ended.is_none() || out.is_some() || err.is_some() {
        tokio::select! {
            read = read_some(&mut out) => kept.take(read, &mut out, printer),
            read = read_some(&mut err) => kept.take(read, &mut err, printer),
            status = child.wait(), if ended.is_none() => {
                ended = Some(of_status(status?));
                // What it left running may hold its output open; it is not waited for long.
                deadline.as_mut().reset(tokio::time::Instant::now() + DRAIN);
            }
            () = &mut deadline => {
                if ended.is_some() {
                    break;
                }
                end_group(group);
                ended = Some(Ended::TimedOut);
                break;
            }
            () = stop.cancelled() => {
                end_group(group);
                ended = Some(Ended::Stopped);
                break;
            }
        }
    }
    let output = kept.text();
    Ok(Ran { ended: ended.unwrap_or(Ended::Signal), seconds: begun.elapsed().as_secs_f64(), output })
}

async fn read_some(stream: &mut Option<impl AsyncRead + Unpin>) -> Option<Vec<u8>> {
    let Some(open) = stream else { return std::future::pending().await };
    let mut buffer = vec![0; 8 * 1024];
    match open.read(&mut buffer).await {
        Ok(0) | Err(_) => None,
        Ok(read) => {
            buffer.truncate(read);
            Some(buffer)
        }
    }
}

fn of_status(status: ExitStatus) -> Ended {
    status.code().map_or(Ended::Signal, Ended::Exit)
}

fn end_group(group: Option<Pid>) {
    if let Some(group) = group
        && let Err(error) = kill_process_group(group, Signal::KILL)
    {
        tracing::debug!(%error, "the command's processes could not be ended");
    }
}

/// The end of what was printed.
#[derive(Default)]
struct Kept(VecDeque<u8>);

impl Kept {
    fn take<S>(&mut self, read: Option<Vec<u8>>, stream: &mut Option<S>, printer: &Printer) {
        let Some(bytes) = read else {
            *stream = None;
            return;
        };
        printer.told(&bytes);
        self.0.extend(bytes);
        let surplus = self.0.len().saturating_sub(KEPT_BYTES_MAX);
        self.0.drain(..surplus);
    }

    fn text(self) -> String {
        let bytes: Vec<u8> = self.0.into();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
