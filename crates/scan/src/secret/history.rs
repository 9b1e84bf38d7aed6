//! Secrets in all of a Git repository's history.
//!
//! `git log --raw` says in one pass which commit brought each blob and under what path, the oldest first; every blob is
//! then read once from `git cat-file --batch`. Both run without hooks, pagers, network and anything that the repository
//! could set up to be run.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use prograde_model::{CommitId, Diagnostic};

use super::engine::Engine;
use super::rules::Rules;
use super::tree::{Searched, threads};
use super::{Allowed, finding};
use crate::codes;
use crate::finding::Commit;
use crate::git::git;

/// The largest blob that is looked through, in bytes.
const BYTES_MAX: u64 = 128 * 1024 * 1024;
/// The most blobs.
const BLOBS_MAX: usize = 50_000_000;
/// How many blobs wait to be looked through.
const WAITING_MAX: usize = 64;
/// The longest field of Git's output.
const FIELD_BYTES_MAX: usize = 64 * 1024;

/// Where a blob came into the history.
#[derive(Debug, Clone)]
struct Introduced {
    blob: String,
    path: String,
    commit: usize,
}

/// What the history says.
#[derive(Default)]
struct Log {
    commits: Vec<Commit>,
    blobs: Vec<Introduced>,
}

/// Which commits are looked through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Commits {
    /// Those of all branches, tags and stashes.
    All,
    /// Those that one commit brings beside what another has.
    Between {
        /// The one that is known.
        since: CommitId,
        /// The one that is looked at.
        until: CommitId,
    },
}

/// Looks through commits.
pub fn history(root: &Path, commits: &Commits, rules: &Arc<Rules>, allowed: &Allowed) -> Result<Searched, Diagnostic> {
    let log = read_log(root, commits)?;
    let (send, receive) = sync_channel::<(usize, Vec<u8>)>(WAITING_MAX);
    let receive = Mutex::new(receive);
    let mut all = Searched { commits: log.commits.len() as u64, ..Searched::default() };
    let mut failed = None;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads()).map(|_| scope.spawn(|| work(&receive, &log, rules, allowed))).collect();
        match read_blobs(root, &log, allowed, &send) {
            Ok(notes) => all.notes.extend(notes),
            Err(error) => failed = Some(error),
        }
        drop(send);
        for worker in workers {
            match worker.join() {
                Ok(searched) => all.merge(searched),
                Err(_) => {
                    failed =
                        Some(bad(root, "a part of the history was not looked through: this is a defect of prograde"));
                }
            }
        }
    });
    if let Some(error) = failed {
        return Err(error);
    }
    all.findings = earliest(all.findings, &log);
    Ok(all)
}

/// The same secret in the next versions of a file is the same finding: where it came in counts.
fn earliest(mut findings: Vec<crate::finding::Finding>, log: &Log) -> Vec<crate::finding::Finding> {
    let order: HashMap<&str, usize> =
        log.commits.iter().enumerate().map(|(at, commit)| (commit.id.as_str(), at)).collect();
    let place = |finding: &crate::finding::Finding| {
        finding.commit.as_ref().and_then(|commit| order.get(commit.id.as_str()).copied()).unwrap_or(usize::MAX)
    };
    findings.sort_by_cached_key(|finding| (place(finding), finding.file.clone(), finding.line));
    let mut seen = HashSet::new();
    findings.retain(|finding| seen.insert(finding.fingerprint.clone()));
    findings
}

fn bad(root: &Path, why: impl Into<String>) -> Diagnostic {
    let hint = "the target has to be in a Git repository, and `git` has to be installed";
    Diagnostic::file(codes::HISTORY, root.display().to_string(), why, hint)
}

/// Ends the program when it is not waited for.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn finish(root: &Path, running: &mut Running) -> Result<(), Diagnostic> {
    let mut said = String::new();
    if let Some(stderr) = &mut running.0.stderr {
        let _unreadable = stderr.take(4096).read_to_string(&mut said);
    }
    let status = running.0.wait().map_err(|error| bad(root, error.to_string()))?;
    if status.success() {
        Ok(())
    } else {
        Err(bad(root, format!("git says: {}", said.lines().next().unwrap_or("nothing"))))
    }
}

fn read_log(root: &Path, commits: &Commits) -> Result<Log, Diagnostic> {
    let mut command = git(root);
    command.args([
        "log",
        "--reverse",
        "--raw",
        "-c",
        "-z",
        "--no-renames",
        "--no-abbrev",
        "--root",
        "--no-ext-diff",
        "--no-textconv",
        "--ignore-submodules=none",
    ]);
    command.arg("--format=%x01%H%x02%aI%x02%an");
    match commits {
        Commits::All => command.arg("--all"),
        Commits::Between { since, until } => command.args([until.as_str(), &format!("^{since}"), "--"]),
    };
    let mut running = Running(command.spawn().map_err(|error| bad(root, format!("git can't be started: {error}")))?);
    let mut log = Log::default();
    let mut seen: HashSet<String> = HashSet::new();
    let mut blobs: Vec<String> = Vec::new();
    if let Some(stdout) = running.0.stdout.take() {
        let mut reader = BufReader::with_capacity(256 * 1024, stdout);
        let mut field = Vec::new();
        while read_field(&mut reader, &mut field).map_err(|error| bad(root, error.to_string()))? {
            let text = String::from_utf8_lossy(&field);
            let text = text.trim_start_matches('\n');
            if let Some(head) = text.strip_prefix('\u{1}') {
                log.commits.extend(commit(head));
            } else if text.starts_with(':') {
                blobs = blobs_of(text);
            } else if !blobs.is_empty() {
                for blob in blobs.drain(..) {
                    if seen.insert(blob.clone()) {
                        log.blobs.push(Introduced {
                            blob,
                            path: text.to_owned(),
                            commit: log.commits.len().saturating_sub(1),
                        });
                    }
                }
                if log.blobs.len() > BLOBS_MAX {
                    return Err(Diagnostic::file(
                        codes::TOO_LARGE,
                        root.display().to_string(),
                        format!("the history has more than {BLOBS_MAX} blobs"),
                        "",
                    ));
                }
            }
        }
    }
    finish(root, &mut running)?;
    Ok(log)
}

/// A field up to the next NUL; false at the end. What is longer than any field may be is cut.
fn read_field(reader: &mut impl BufRead, field: &mut Vec<u8>) -> std::io::Result<bool> {
    field.clear();
    let length = reader.read_until(0, field)?;
    if field.last() == Some(&0) {
        field.pop();
    }
    field.truncate(FIELD_BYTES_MAX);
    Ok(length > 0)
}

fn commit(head: &str) -> Option<Commit> {
    let mut parts = head.splitn(3, '\u{2}');
    let (id, date, author) = (parts.next()?, parts.next()?, parts.next()?);
    Some(Commit { id: id.to_owned(), date: date.to_owned(), author: author.trim_end().to_owned() })
}

/// The new blob of `:100644 100644 OLD NEW M`, where merges have more colons, modes and old blobs. Submodules and what
/// was deleted have none.
fn blobs_of(text: &str) -> Vec<String> {
    let parents = text.bytes().take_while(|b| *b == b':').count();
    let words: Vec<&str> = text.trim_start_matches(':').split(' ').collect();
    let (mode, blob) = (words.get(parents), words.get(2 * parents + 1));
    let file = mode.is_some_and(|mode| mode.starts_with("100") || mode.starts_with("120"));
    blob.filter(|blob| file && blob.bytes().any(|b| b != b'0')).map(|blob| (*blob).to_owned()).into_iter().collect()
}

fn read_blobs(
    root: &Path,
    log: &Log,
    allowed: &Allowed,
    send: &SyncSender<(usize, Vec<u8>)>,
) -> Result<Vec<Diagnostic>, Diagnostic> {
    let mut command = git(root);
    command.args(["cat-file", "--batch", "--buffer"]).stdin(Stdio::piped());
    let mut running = Running(command.spawn().map_err(|error| bad(root, format!("git can't be started: {error}")))?);
    let (Some(mut stdin), Some(stdout)) = (running.0.stdin.take(), running.0.stdout.take()) else {
        return Err(bad(root, "git has no input or output"));
    };
    let wanted: Vec<usize> =
        log.blobs.iter().enumerate().filter(|(_, one)| !allowed.allows_path(&one.path)).map(|(at, _)| at).collect();
    let mut notes = Vec::new();
    let read = std::thread::scope(|scope| {
        let names = wanted.iter().filter_map(|at| log.blobs.get(*at)).map(|one| format!("{}\n", one.blob));
        scope.spawn(move || {
            for name in names {
                // Git has ended; its exit status says why.
                if stdin.write_all(name.as_bytes()).is_err() {
                    return;
                }
            }
        });
        let mut reader = BufReader::with_capacity(256 * 1024, stdout);
        for at in &wanted {
            let content =
                one_blob(&mut reader).map_err(|error| bad(root, format!("git's answer can't be read: {error}")))?;
            match content {
                Some(content) => drop(send.send((*at, content))),
                None => notes.extend(log.blobs.get(*at).map(|one| {
                    let message = format!(
                        "the blob {} is missing or larger than {BYTES_MAX} bytes and is not looked through",
                        one.blob
                    );
                    Diagnostic::file(codes::TOO_LARGE, &one.path, message, "")
                })),
            }
        }
        Ok(())
    });
    read?;
    finish(root, &mut running)?;
    Ok(notes)
}

/// `NAME blob SIZE`, the content and a line end; none where it is missing or too large.
fn one_blob(reader: &mut impl BufRead) -> std::io::Result<Option<Vec<u8>>> {
    let mut head = String::new();
    reader.take(512).read_line(&mut head)?;
    let mut words = head.trim_end().rsplit(' ');
    let size: u64 = match words.next().unwrap_or_default() {
        "missing" | "ambiguous" => return Ok(None),
        size => {
            size.parse().map_err(|_| std::io::Error::other(format!("`{}` is no head of a blob", head.trim_end())))?
        }
    };
    if size > BYTES_MAX {
        std::io::copy(&mut reader.take(size + 1), &mut std::io::sink())?;
        return Ok(None);
    }
    let mut content = vec![0; usize::try_from(size).unwrap_or(0)];
    reader.read_exact(&mut content)?;
    reader.read_exact(&mut [0])?;
    Ok(Some(content))
}

fn work(receive: &Mutex<Receiver<(usize, Vec<u8>)>>, log: &Log, rules: &Arc<Rules>, allowed: &Allowed) -> Searched {
    let mut engine = Engine::new(Arc::clone(rules));
    let mut searched = Searched::default();
    loop {
        let next = receive.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((at, content)) = next else { return searched };
        let Some(introduced) = log.blobs.get(at) else { continue };
        searched.files += 1;
        searched.bytes += content.len() as u64;
        for hit in engine.scan(&introduced.path, &content) {
            let Some(mut found) = finding(rules, &hit, &content, &introduced.path) else { continue };
            found.commit = log.commits.get(introduced.commit).cloned();
            if !allowed.allows(&found) {
                searched.findings.push(found);
            }
        }
    }
}
