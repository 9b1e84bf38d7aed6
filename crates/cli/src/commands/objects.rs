//! Kubernetes objects in files and folders that are named on the command line.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use prograde_kustomize::KUSTOMIZATION_FILES;
use prograde_resource::object::{FILE_BYTES_MAX, Reader};
use prograde_server::policies::files::yaml;

use crate::app::App;
use crate::report::{self, Report};

/// The name that stands for what comes in on stdin.
const STDIN: &str = "-";

/// The text of a file, or of stdin.
pub(crate) fn text(path: &Path) -> Result<String, Report> {
    let mut bytes = Vec::new();
    let most = FILE_BYTES_MAX as u64 + 1;
    let read = if path.as_os_str() == STDIN {
        std::io::stdin().take(most).read_to_end(&mut bytes)
    } else {
        fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes))
    };
    read.map_err(|error| Report::file("read", path, &error))?;
    String::from_utf8(bytes).map_err(|_| Report::new(report::FILE, format!("{} is not UTF-8 text", path.display())))
}

/// The files of a path: itself, or the YAML and JSON files in the folder and those in it.
pub(crate) fn files(path: &Path) -> Result<Vec<PathBuf>, Report> {
    if path.as_os_str() == STDIN {
        return Ok(vec![path.to_owned()]);
    }
    yaml(path, true).map_err(|why| Report::new(report::FILE, format!("{}: {why}", path.display())))
}

/// Takes in all objects of a path. In a folder, a file that is no manifest is told and left out; one that is named itself
/// has to be one.
pub(crate) fn read(app: &App, reader: &mut Reader, path: &Path) -> Result<(), Report> {
    for file in files(path)? {
        let is_kustomization =
            file.file_name().is_some_and(|name| KUSTOMIZATION_FILES.iter().any(|known| name == *known));
        let searched = file != path;
        if searched && is_kustomization {
            continue;
        }
        let shown = if file.as_os_str() == STDIN { "stdin".to_owned() } else { file.display().to_string() };
        match reader.read(&shown, &text(&file)?) {
            Ok(()) => {}
            Err(found) if searched && found.code == prograde_resource::codes::NOT_AN_OBJECT => {
                app.printer.warning(format!("left out: {shown}:{}: {}", found.line, found.message));
            }
            Err(found) => return Err(prograde_model::Diagnostics::from(found).into()),
        }
    }
    Ok(())
}
