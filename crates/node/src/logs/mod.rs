//! What replicas write: taken from their output files, stamped, kept per target within a bound, and read back.
//!
//! Invariant: a line is in the log of its target once it has been handed out, so a reader who follows sees each line
//! once; only a flood (see [`Spool`]) or a full disk loses any, and the replicas never wait for a reader.

mod line;
mod reader;
mod segments;
mod spool;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use prograde_model::{FlightId, Target};
use tokio::sync::watch;

pub use line::{LogLine, LogStream};
pub use reader::LogQuery;
pub(crate) use reader::stream;
pub(crate) use spool::writer;

use crate::clock::now;
use crate::sync::lock;
use segments::Segments;
use spool::Spool;

/// Reads all replicas' outputs and writes all targets' logs. Everything here touches the disk.
#[derive(Debug)]
pub(crate) struct LogKeeper {
    dir: PathBuf,
    bytes_max: u64,
    state: Mutex<State>,
    appended: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    sources: BTreeMap<String, Source>,
    logs: BTreeMap<Target, Segments>,
}

/// One replica's two outputs.
#[derive(Debug)]
struct Source {
    target: Target,
    revision: FlightId,
    spools: [(LogStream, Spool); 2],
    /// Whether the last reading failed: said once, not ten times a second.
    failing: bool,
}

impl LogKeeper {
    /// Keeps `bytes_max` of log for each target under `dir`.
    pub(crate) fn new(dir: PathBuf, bytes_max: u64) -> Arc<Self> {
        let (appended, _) = watch::channel(0);
        Arc::new(Self { dir, bytes_max, state: Mutex::default(), appended })
    }

    /// Begins to read the outputs of replica `id` in its directory.
    pub(crate) fn register(&self, id: &str, target: &Target, revision: &FlightId, dir: &Path) -> io::Result<()> {
        let open = |stream: LogStream| Spool::open(dir, stream.as_str(), self.bytes_max).map(|spool| (stream, spool));
        let spools = [open(LogStream::Stdout)?, open(LogStream::Stderr)?];
        let source = Source { target: target.clone(), revision: revision.clone(), spools, failing: false };
        lock(&self.state).sources.insert(id.to_owned(), source);
        Ok(())
    }

    /// Takes what all replicas have written. Returns whether more is waiting already.
    pub(crate) fn poll(&self) -> bool {
        let mut state = lock(&self.state);
        let State { sources, logs } = &mut *state;
        let mut more = false;
        for (id, source) in sources {
            more |= self.take(id, source, logs, false);
        }
        more
    }

    /// Takes the rest of what replica `id` has written, its process having ended; with `forget`, for the last time.
    pub(crate) fn flush(&self, id: &str, forget: bool) {
        let mut state = lock(&self.state);
        let State { sources, logs } = &mut *state;
        let Some(source) = sources.get_mut(id) else { return };
        // Nobody writes any more, so this ends; the bound is for a descendant that kept the file open.
        for _ in 0..64 {
            if !self.take(id, source, logs, true) {
                break;
            }
        }
        if forget
            && let Some(gone) = sources.remove(id)
            && sources.values().all(|other| other.target != gone.target)
        {
            logs.remove(&gone.target);
        }
    }

    fn take(&self, id: &str, source: &mut Source, logs: &mut BTreeMap<Target, Segments>, ended: bool) -> bool {
        match self.copy(id, source, logs, ended) {
            Ok(more) => {
                source.failing = false;
                more
            }
            Err(error) => {
                if !source.failing {
                    tracing::warn!(replica = id, %error, "output could not be kept");
                }
                source.failing = true;
                false
            }
        }
    }

    fn copy(
        &self,
        id: &str,
        source: &mut Source,
        logs: &mut BTreeMap<Target, Segments>,
        ended: bool,
    ) -> io::Result<bool> {
        let (mut more, at, revision) = (false, now(), source.revision.clone());
        for (stream, spool) in &mut source.spools {
            let mut text = String::new();
            let mut failed = Ok(());
            more |= spool.read(ended, |line| {
                failed = failed.and(writeln!(text, "{at} {id} {revision} {} {line}", stream.as_str()));
            })?;
            failed.map_err(io::Error::other)?;
            if !text.is_empty() {
                self.append(&source.target, logs, &text)?;
            }
        }
        Ok(more)
    }

    fn append(&self, target: &Target, logs: &mut BTreeMap<Target, Segments>, text: &str) -> io::Result<()> {
        if !logs.contains_key(target) {
            logs.insert(target.clone(), Segments::open(&self.log_dir(target), self.bytes_max)?);
        }
        if let Some(log) = logs.get_mut(target) {
            for line in text.split_inclusive('\n') {
                log.append(line)?;
            }
        }
        self.appended.send_modify(|count| *count = count.wrapping_add(1));
        Ok(())
    }

    fn log_dir(&self, target: &Target) -> PathBuf {
        self.dir.join(target.environment.as_str()).join(target.service.as_str())
    }
}
