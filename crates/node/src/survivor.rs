//! After a start: which replicas of the server before are still alive, and the end of those that can't be known.

use std::fs;
use std::io;
use std::path::Path;

use crate::files::remove_dir;
use crate::job::is_job;
use crate::logs::LogKeeper;
use crate::process::{Process, kill_writers};
use crate::record::Record;

/// A replica that outlived the server which started it.
#[derive(Debug)]
pub(crate) struct Survivor {
    pub(crate) record: Record,
    pub(crate) process: Process,
}

/// Reads all records under `dir`. A replica whose record is torn, or whose process never came to be recorded, is killed
/// as far as it can be identified: by the files that it writes to. Touches the disk.
pub(crate) fn find(dir: &Path, logs: &LogKeeper) -> io::Result<Vec<Survivor>> {
    let mut survivors = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            tracing::warn!(path = %entry.path().display(), "not a replica's directory, left alone");
            continue;
        }
        match identify(&entry.path()) {
            Ok((record, Some(process))) => {
                if let Err(error) = logs.register(&record.id, &record.target, &record.revision, &entry.path()) {
                    tracing::warn!(replica = record.id, %error, "output can't be kept");
                }
                survivors.push(Survivor { record, process });
            }
            Ok((record, None)) => {
                tracing::info!(replica = record.id, "replica ended while no server ran");
                discard(&entry.path(), Some(&record), logs);
            }
            Err(_) if is_job(&entry.file_name().to_string_lossy()) => {
                tracing::warn!(path = %entry.path().display(), "a job of the server before is ended");
                discard(&entry.path(), None, logs);
            }
            Err(error) => {
                let path = entry.path();
                tracing::warn!(path = %path.display(), %error, "replica's record can't be read, it is started anew");
                discard(&path, None, logs);
            }
        }
    }
    Ok(survivors)
}

fn identify(dir: &Path) -> io::Result<(Record, Option<Process>)> {
    let record = Record::read(dir)?;
    let process = match &record.running {
        Some(running) => {
            let process = Process::adopt(&running.process)?;
            process.map(|process| if running.confined { process.of_container(dir) } else { process })
        }
        None => None,
    };
    Ok((record, process))
}

/// Kills what still writes into the directory of a replica that is not taken over, and removes it.
fn discard(dir: &Path, record: Option<&Record>, logs: &LogKeeper) {
    let killed = kill_writers(dir);
    if !killed.is_empty() {
        tracing::warn!(path = %dir.display(), ?killed, "processes that no record tells of were killed");
    }
    if let Some(record) = record {
        match logs.register(&record.id, &record.target, &record.revision, dir) {
            Ok(()) => logs.flush(&record.id, true),
            Err(error) => tracing::warn!(replica = record.id, %error, "last output could not be kept"),
        }
    }
    if let Err(error) = remove_dir(dir) {
        tracing::warn!(path = %dir.display(), %error, "replica's directory can't be removed");
    }
}
