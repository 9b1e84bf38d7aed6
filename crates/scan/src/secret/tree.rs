//! Secrets in the files of a directory, several at a time.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prograde_model::Diagnostic;

use super::engine::Engine;
use super::rules::Rules;
use super::{Allowed, finding};
use crate::codes;
use crate::finding::Finding;
use crate::walk::{self, Found, Ignored};

/// The largest file that is looked through, in bytes.
const BYTES_MAX: u64 = 128 * 1024 * 1024;

/// What was found, and what was left out.
#[derive(Debug, Default)]
pub struct Searched {
    /// Secrets.
    pub findings: Vec<Finding>,
    /// Files that were not looked through, and why.
    pub notes: Vec<Diagnostic>,
    /// How many commits were looked through.
    pub commits: u64,
    /// How many files or blobs were looked through.
    pub files: u64,
    /// How many bytes they have.
    pub bytes: u64,
}

impl Searched {
    /// With what was found in files after it, less what is here already.
    #[must_use]
    pub fn before(mut self, mut tree: Self) -> Self {
        let known: BTreeSet<String> = self.findings.iter().map(|finding| finding.fingerprint.clone()).collect();
        tree.findings.retain(|finding| !known.contains(&finding.fingerprint));
        self.merge(tree);
        self
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.findings.extend(other.findings);
        self.notes.extend(other.notes);
        self.commits += other.commits;
        self.files += other.files;
        self.bytes += other.bytes;
    }
}

/// How many threads look.
pub(super) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(32)
}

/// Looks through a directory or a file.
pub fn tree(root: &Path, ignored: Ignored, rules: &Arc<Rules>, allowed: &Allowed) -> Result<Searched, Diagnostic> {
    let files = if root.is_dir() { walk::files(root, ignored)? } else { vec![single(root)?] };
    let next = AtomicUsize::new(0);
    let mut all = Searched::default();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads().min(files.len().max(1)))
            .map(|_| scope.spawn(|| work(&files, &next, rules, allowed)))
            .collect();
        for worker in workers {
            if let Ok(searched) = worker.join() {
                all.merge(searched);
            } else {
                let message = "a part of the files was not looked through: this is a defect of prograde";
                all.notes.push(Diagnostic::file(codes::UNREADABLE, "", message, ""));
            }
        }
    });
    all.notes.sort_by(|left, right| left.file.cmp(&right.file));
    Ok(all)
}

fn single(path: &Path) -> Result<Found, Diagnostic> {
    let meta = std::fs::metadata(path).map_err(|error| walk::unreadable(path, &error))?;
    Ok(Found { path: path.to_owned(), name: path.display().to_string(), size: meta.len() })
}

fn work(files: &[Found], next: &AtomicUsize, rules: &Arc<Rules>, allowed: &Allowed) -> Searched {
    let mut engine = Engine::new(Arc::clone(rules));
    let mut searched = Searched::default();
    let mut buffer = Vec::new();
    loop {
        let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) else { return searched };
        if allowed.allows_path(&file.name) {
            continue;
        }
        if file.size > BYTES_MAX {
            let message = format!("the file has {} bytes and is not looked through for secrets", file.size);
            searched.notes.push(Diagnostic::file(
                codes::TOO_LARGE,
                &file.name,
                message,
                "split it, or allow its path with a reason",
            ));
            continue;
        }
        buffer.clear();
        let read = std::fs::File::open(&file.path).and_then(|opened| opened.take(BYTES_MAX).read_to_end(&mut buffer));
        if let Err(error) = read {
            let mut note = walk::unreadable(&file.path, &error);
            note.file.clone_from(&file.name);
            searched.notes.push(note);
            continue;
        }
        searched.files += 1;
        searched.bytes += buffer.len() as u64;
        let decoded = utf16(&buffer);
        let content = decoded.as_deref().unwrap_or(&buffer);
        let hits = engine.scan(&file.name, content);
        let found = hits.iter().filter_map(|hit| finding(rules, hit, content, &file.name));
        searched.findings.extend(found.filter(|finding| !allowed.allows(finding)));
    }
}

/// Text in UTF-16, which Windows' tools write, as UTF-8.
fn utf16(bytes: &[u8]) -> Option<Vec<u8>> {
    let decode = |pairs: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = pairs.chunks_exact(2).filter_map(|pair| Some(unit(pair.try_into().ok()?))).collect();
        String::from_utf16_lossy(&units).into_bytes()
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => Some(decode(rest, u16::from_le_bytes)),
        [0xfe, 0xff, rest @ ..] => Some(decode(rest, u16::from_be_bytes)),
        _ => None,
    }
}
