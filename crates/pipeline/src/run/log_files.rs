//! Reading the logs of a run: which there are, their last lines, and what is added while a job runs.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::sync::CancellationToken;

use crate::plan::JobId;

/// The most bytes that one reading gives.
const CHUNK_BYTES_MAX: usize = 1024 * 1024;

/// How often a log that is followed is looked at.
const FOLLOW_EVERY: Duration = Duration::from_millis(200);

/// The log of one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepLogFile {
    /// The step's place in its job, from 0.
    pub step: usize,
    /// The file's name without the number and `.log`.
    pub name: String,
    /// The file.
    pub path: PathBuf,
}

/// Whole lines of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogChunk {
    /// The lines, without their ends.
    pub lines: Vec<String>,
    /// Where to read on, in bytes from the start.
    pub next: u64,
}

/// Where the logs of a job are.
pub fn log_directory(directory: &Path, job: &JobId) -> PathBuf {
    directory.join("logs").join(job.directory())
}

/// The logs of a job, in the order of its steps; none where it has not started.
pub async fn step_logs(directory: &Path, job: &JobId) -> std::io::Result<Vec<StepLogFile>> {
    let mut entries = match tokio::fs::read_dir(log_directory(directory, job)).await {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut logs = Vec::new();
    while let Some(entry) = entries.next_entry().await? {
        let file = entry.file_name().to_string_lossy().into_owned();
        let Some((number, name)) = file.strip_suffix(".log").and_then(|stem| stem.split_once('-')) else { continue };
        if let Ok(number) = number.parse::<usize>() {
            logs.push(StepLogFile { step: number.saturating_sub(1), name: name.to_owned(), path: entry.path() });
        }
    }
    logs.sort_by_key(|log| log.step);
    Ok(logs)
}

/// The whole lines from `offset` on, at most a mebibyte of them.
pub async fn read_log(path: &Path, offset: u64) -> std::io::Result<LogChunk> {
    let mut file = File::open(path).await?;
    file.seek(SeekFrom::Start(offset)).await?;
    let mut bytes = Vec::new();
    file.take(CHUNK_BYTES_MAX as u64).read_to_end(&mut bytes).await?;
    // A line that is longer than the chunk, which no log of ours has, is given in pieces rather than never.
    let whole = match bytes.iter().rposition(|byte| *byte == b'\n') {
        Some(last) => last + 1,
        None if bytes.len() == CHUNK_BYTES_MAX => bytes.len(),
        None => 0,
    };
    let text = String::from_utf8_lossy(bytes.get(..whole).unwrap_or_default()).into_owned();
    Ok(LogChunk { lines: text.lines().map(str::to_owned).collect(), next: offset + whole as u64 })
}

/// The last `lines` lines, as far as they lie within the last mebibyte.
pub async fn tail_log(path: &Path, lines: usize) -> std::io::Result<Vec<String>> {
    let length = tokio::fs::metadata(path).await?.len();
    let from = length.saturating_sub(CHUNK_BYTES_MAX as u64);
    let mut found = read_log(path, from).await?.lines;
    if from > 0 && !found.is_empty() {
        found.remove(0);
    }
    Ok(found.split_off(found.len().saturating_sub(lines)))
}

/// Waits until there are lines after `offset`. Once `ended` is cancelled, gives what is there, if only nothing.
pub async fn follow_log(path: &Path, offset: u64, ended: &CancellationToken) -> std::io::Result<LogChunk> {
    loop {
        let was_ended = ended.is_cancelled();
        let chunk = match read_log(path, offset).await {
            Ok(chunk) => chunk,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                LogChunk { next: offset, ..LogChunk::default() }
            }
            Err(error) => return Err(error),
        };
        if was_ended || !chunk.lines.is_empty() {
            return Ok(chunk);
        }
        tokio::select! {
            () = tokio::time::sleep(FOLLOW_EVERY) => {}
            () = ended.cancelled() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[tokio::test]
    async fn logs_are_listed_read_and_followed() {
        let directory = tempfile::tempdir().unwrap();
        let job = JobId::from("ci.yml/test".to_owned());
        let logs = log_directory(directory.path(), &job);
        assert_eq!(step_logs(directory.path(), &job).await.unwrap(), []);
        std::fs::create_dir_all(&logs).unwrap();
        for name in ["10-last.log", "01-first.log", "01-first.summary.md", "other"] {
            std::fs::write(logs.join(name), "one\ntwo\npart").unwrap();
        }
        let found = step_logs(directory.path(), &job).await.unwrap();
        assert_eq!(
            found.iter().map(|log| (log.step, log.name.as_str())).collect::<Vec<_>>(),
            [(0, "first"), (9, "last")]
        );
        let path = &found[0].path;
        let first = read_log(path, 0).await.unwrap();
        assert_eq!((first.lines, first.next), (vec!["one".to_owned(), "two".to_owned()], 8));
        assert_eq!(tail_log(path, 1).await.unwrap(), ["two"]);

        let ended = CancellationToken::new();
        let follow = follow_log(path, 8, &ended);
        let write = async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            writeln!(std::fs::OpenOptions::new().append(true).open(path).unwrap(), "ly").unwrap();
        };
        let (chunk, ()) = tokio::join!(follow, write);
        assert_eq!(chunk.unwrap(), LogChunk { lines: vec!["partly".to_owned()], next: 15 });
        ended.cancel();
        assert_eq!(follow_log(path, 15, &ended).await.unwrap().lines, Vec::<String>::new());
    }
}
