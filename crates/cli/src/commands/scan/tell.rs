//! What every command about scanning tells in the same way.

use std::io::Write;
use std::path::Path;

use prograde_model::Diagnostic;
use serde::Serialize;

use crate::app::App;
use crate::report::Report;

/// How many notes are told one by one.
const NOTES_MAX: usize = 20;

/// A diagnostic that ends the command.
pub(crate) fn refused(found: Diagnostic) -> Report {
    let place = Diagnostic { code: String::new(), hint: String::new(), ..found.clone() };
    let text = place.to_string();
    let text = text.strip_suffix(" []").unwrap_or(&text);
    Report::new(&found.code, text.trim_start_matches(": ")).hint(found.hint)
}

/// What could not be told or judged; the command goes on.
pub(crate) fn notes(app: &App, notes: &[Diagnostic]) {
    for note in notes.iter().take(NOTES_MAX) {
        app.printer.warning(crate::printer::cleaned(note.to_string().trim_start_matches(": ")));
    }
    if notes.len() > NOTES_MAX {
        app.printer.warning(format_args!("{} more of the kind; `--json` has them all", notes.len() - NOTES_MAX));
    }
}

/// What could not be read at all.
pub(crate) fn errors(app: &App, errors: &[Diagnostic]) {
    for error in errors {
        app.printer.report(&refused(error.clone()));
    }
}

/// Writes a JSON document to a file.
pub(crate) fn write_file(path: &Path, document: &impl Serialize) -> Result<(), Report> {
    let mut text =
        serde_json::to_vec_pretty(document).map_err(|error| Report::output(&std::io::Error::other(error)))?;
    text.push(b'\n');
    replace_file(path, &text)
}

/// Writes a file in one go: it is the old one or the new one, whatever happens.
pub(crate) fn replace_file(path: &Path, content: &[u8]) -> Result<(), Report> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let write = || {
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(|error| Report::file("write", path, &error))
}
