//! What an image is made of: Debian's and Alpine's packages, lock files and auditable programs in its layers.
//!
//! Invariant: layers are read in their order and later ones hide earlier ones; every blob that has a digest is checked
//! against it; nothing is written to the disk but one unpacked archive, and no more is unpacked than [`BYTES_MAX`].

mod archive;
mod distribution;
mod layers;

use std::path::Path;

use prograde_model::Diagnostic;

use crate::codes;
use crate::package::Inventory;

/// The most bytes that an image's layers may have, unpacked.
const BYTES_MAX: u64 = 16 * 1024 * 1024 * 1024;

/// Reads an image: an OCI layout, as a directory or an archive, or what `docker save` writes.
pub fn read(path: &Path) -> Result<Inventory, Diagnostic> {
    let shown = path.display().to_string();
    let store = archive::Store::open(path)?;
    let layers = archive::layers(&store, &shown)?;
    let mut tree = layers::Tree::default();
    for layer in &layers {
        store.with(&layer.name, &shown, |reader, _| tree.apply(reader, layer, &shown))?;
    }
    Ok(tree.inventory(&shown))
}

fn malformed(file: &str, why: impl std::fmt::Display) -> Diagnostic {
    let hint = "expected an OCI layout, or an archive as `docker save` or `skopeo copy … oci-archive:` write it";
    Diagnostic::file(codes::IMAGE_FORM, file, format!("it is no image: {why}"), hint)
}

#[cfg(test)]
mod tests;
