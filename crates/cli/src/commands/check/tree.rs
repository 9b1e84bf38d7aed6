//! Files of a working tree, read as the server reads those of a commit: bounded, as text, following no link.

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::Path;

use prograde_gitops::{BYTES_MAX, FILES_MAX, FileTree};
use prograde_model::{Diagnostic, Diagnostics};

/// How large a file of ours may be, in bytes.
const TEXT_BYTES_MAX: u64 = 1 << 20;
/// How deep folders may nest.
const DEPTH_MAX: usize = 32;

/// The text of a file.
pub(crate) fn text(dir: &Path, path: &str) -> Result<String, Diagnostics> {
    let bytes = read(&dir.join(path), path, TEXT_BYTES_MAX)?;
    String::from_utf8(bytes)
        .map_err(|_| Diagnostic::file("PG0101", path, "the file is not UTF-8 text", "save it as UTF-8").into())
}

/// The names in a folder, sorted; none where there is no such folder.
pub(super) fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// All files below a folder, named from there. `shown` is the folder's name in the repository.
pub(super) fn below(dir: &Path, shown: &str) -> Result<FileTree, Diagnostics> {
    let mut tree = FileTree::new();
    let mut bytes = 0;
    let mut waiting = vec![(String::new(), 0)];
    while let Some((folder, depth)) = waiting.pop() {
        for name in names(&dir.join(&folder)) {
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            let full = dir.join(&path);
            let kind = fs::symlink_metadata(&full).map_err(|error| unreadable(&format!("{shown}/{path}"), &error))?;
            if kind.is_dir() && depth < DEPTH_MAX {
                waiting.push((path, depth + 1));
                continue;
            }
            let content = read(&full, &format!("{shown}/{path}"), BYTES_MAX as u64)?;
            bytes += content.len();
            if tree.len() >= FILES_MAX || bytes > BYTES_MAX {
                let message = format!("there are more than {FILES_MAX} files or {BYTES_MAX} bytes");
                return Err(Diagnostic::file("PG0411", shown, message, "keep manifests only in this folder").into());
            }
            tree.insert(path, content)
                .map_err(|error| Diagnostic::file("PG0103", shown, error.to_string(), "rename the file"))?;
        }
    }
    Ok(tree)
}

fn read(full: &Path, path: &str, bytes_max: u64) -> Result<Vec<u8>, Diagnostics> {
    let kind = fs::symlink_metadata(full).map_err(|error| unreadable(path, &error))?;
    if !kind.is_file() {
        let what = if kind.is_symlink() { "a symbolic link is not followed" } else { "this is not a plain file" };
        return Err(Diagnostic::file("PG0104", path, what, "commit a plain file in its place").into());
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(full).map_err(|error| unreadable(path, &error))?;
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
    if bytes.len() as u64 > bytes_max {
        let message = format!("the file has more than {bytes_max} bytes");
        return Err(Diagnostic::file("PG0104", path, message, "make it smaller").into());
    }
    Ok(bytes)
}

fn unreadable(path: &str, error: &std::io::Error) -> Diagnostics {
    let (message, hint) = if error.kind() != ErrorKind::NotFound {
        (format!("the file can't be read: {error}"), "check its permissions")
    } else if path == prograde_control::config::FILE {
        ("the file is missing".to_owned(), "`prograde init` writes one")
    } else {
        ("the file is missing".to_owned(), "add it, or correct the name")
    };
    Diagnostic::file("PG0103", path, message, hint).into()
}
