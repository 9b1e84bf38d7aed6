//! Embeds the reference backend, so that `prograde demo` needs no checkout: every file of `examples/pad` but what its own
//! builds leave there.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Never part of the service, wherever they are.
const LEFT_OUT: [&str; 2] = ["target", ".git"];

fn main() -> io::Result<()> {
    // Asked for when it runs: a build cache may hold this program from a checkout that is gone.
    let here = env::var_os("CARGO_MANIFEST_DIR").ok_or_else(|| io::Error::other("Cargo sets CARGO_MANIFEST_DIR"))?;
    let root = Path::new(&here).join("../../examples/pad").canonicalize()?;
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        // A folder's own time stamp changes when a file comes or goes.
        println!("cargo::rerun-if-changed={}", folder.display());
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let is_left_out = LEFT_OUT.iter().any(|name| entry.file_name() == *name);
            match (is_left_out, entry.file_type()?.is_dir()) {
                (true, _) => {}
                (false, true) => folders.push(entry.path()),
                (false, false) => files.push(entry.path()),
            }
        }
    }
    files.sort();
    let out = env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("Cargo sets OUT_DIR"))?;
    fs::write(Path::new(&out).join("pad.rs"), table(&root, &files)?)
}

/// The files as a Rust expression: paths with `/`, and contents.
fn table(root: &Path, files: &[PathBuf]) -> io::Result<String> {
    let mut table = "&[\n".to_owned();
    for file in files {
        let name = file.strip_prefix(root).map_err(io::Error::other)?;
        let text =
            |path: &Path| path.to_str().map(str::to_owned).ok_or_else(|| io::Error::other("a path is not UTF-8"));
        writeln!(table, "    ({:?}, include_bytes!({:?})),", text(name)?, text(file)?).map_err(io::Error::other)?;
    }
    table.push(']');
    Ok(table)
}
