//! What should be scanned, whatever it is: a directory, a lock file, a binary, an image or a bill of materials.

use std::fs;
use std::io::Read;
use std::path::Path;

use prograde_model::Diagnostic;

use crate::package::Inventory;
use crate::walk::Ignored;
use crate::{binary, codes, image, lock, sbom, walk};

/// The largest binary that is looked into, in bytes.
const BINARY_BYTES_MAX: usize = 1024 * 1024 * 1024;
/// The largest bill of materials that is read, in bytes.
const SBOM_BYTES_MAX: usize = 512 * 1024 * 1024;
/// How much of a file is looked at to tell what it is.
const START_BYTES: u64 = 64 * 1024;

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A directory of sources.
    Directory,
    /// A lock file.
    Lock(lock::LockKind),
    /// A program.
    Binary,
    /// An image: an OCI layout, as a directory or an archive, or what `docker save` writes.
    Image,
    /// A bill of materials.
    Sbom,
    /// Another file: it has no packages.
    Other,
}

/// Tells what a path is.
pub fn recognise(path: &Path) -> Result<Target, Diagnostic> {
    let meta = fs::metadata(path).map_err(|error| walk::unreadable(path, &error))?;
    if meta.is_dir() {
        return Ok(if path.join("oci-layout").is_file() { Target::Image } else { Target::Directory });
    }
    let name = path.to_string_lossy();
    if let Some(kind) = lock::kind_of(&name) {
        return Ok(Target::Lock(kind));
    }
    let mut start = Vec::new();
    let file = fs::File::open(path).map_err(|error| walk::unreadable(path, &error))?;
    file.take(START_BYTES).read_to_end(&mut start).map_err(|error| walk::unreadable(path, &error))?;
    if binary::is_binary(&start) {
        return Ok(Target::Binary);
    }
    if start.get(257..262) == Some(b"ustar")
        || name.ends_with(".tar")
        || name.ends_with(".tar.gz")
        || name.ends_with(".tgz")
    {
        return Ok(Target::Image);
    }
    Ok(if sbom::is_one(&start) { Target::Sbom } else { Target::Other })
}

/// The packages of whatever it is.
pub fn inventory(path: &Path, ignored: Ignored) -> Result<Inventory, Diagnostic> {
    let shown = path.display().to_string();
    match recognise(path)? {
        Target::Directory => directory(path, ignored),
        Target::Lock(kind) => lock_file(path, kind, &shown),
        Target::Binary => binary::read(&shown, &walk::read(path, BINARY_BYTES_MAX)?)?.ok_or_else(|| {
            let message = "the program does not say what it is made of";
            Diagnostic::file(
                codes::UNKNOWN_TARGET,
                &shown,
                message,
                "build it with `cargo auditable build`, or scan its sources",
            )
        }),
        Target::Image => image::read(path),
        Target::Sbom => sbom::read(&shown, &walk::read(path, SBOM_BYTES_MAX)?),
        Target::Other => {
            let message = "it is no lock file, program, image or bill of materials";
            let hint = "expected a directory, or a file such as Cargo.lock, image.tar or bom.json";
            Err(Diagnostic::file(codes::UNKNOWN_TARGET, shown, message, hint))
        }
    }
}

/// All lock files below a directory. One that can't be read is an error of the inventory; the others stand.
fn directory(root: &Path, ignored: Ignored) -> Result<Inventory, Diagnostic> {
    let mut inventory = Inventory::default();
    for found in walk::files(root, ignored)? {
        let Some(kind) = lock::kind_of(&found.name) else { continue };
        let beside = |name: &str| text(&root.join(name)).ok();
        match text(&found.path).and_then(|text| lock::parse(kind, &found.name, &text, &beside)) {
            Ok(read) => inventory.merge(read),
            Err(mut error) => {
                if error.file == found.path.display().to_string() {
                    error.file.clone_from(&found.name);
                }
                inventory.errors.push(error);
            }
        }
    }
    leave_out_drawn_in(&mut inventory);
    Ok(inventory)
}

/// Files of requirements that another one drew in were read twice.
fn leave_out_drawn_in(inventory: &mut Inventory) {
    inventory.files.sort();
    inventory.files.dedup();
    let mut seen = std::collections::BTreeSet::new();
    let notes = std::mem::take(&mut inventory.notes);
    inventory.notes = notes.into_iter().filter(|note| seen.insert(note.to_string())).collect();
}

fn lock_file(path: &Path, kind: lock::LockKind, shown: &str) -> Result<Inventory, Diagnostic> {
    let beside = |name: &str| text(Path::new(name)).ok();
    lock::parse(kind, shown, &text(path)?, &beside)
}

fn text(path: &Path) -> Result<String, Diagnostic> {
    let bytes = walk::read(path, lock::BYTES_MAX)?;
    String::from_utf8(bytes).map_err(|_| {
        let message = "the file is not UTF-8";
        Diagnostic::file(
            codes::LOCK_FORM,
            path.display().to_string(),
            message,
            "write it again with the tool that made it",
        )
    })
}
