//! `prograde status-page`: what everybody may know, as files for any web server.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use tempfile::NamedTempFile;

use crate::app::App;
use crate::exit::Exit;
use crate::report::Report;

/// Write the status page, as HTML without scripts and as JSON
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde status-page --out /var/www/status
  prograde status-page --json

Only incidents that were published are on it. The server shows the same page at /status; to everybody only with
`prograde serve --public-status`.")]
pub(crate) struct StatusPageArgs {
    /// The folder to write `index.html` and `status.json` to; made if missing
    #[arg(long, value_name = "DIR", required_unless_present = "json")]
    out: Option<PathBuf>,
}

/// Runs `prograde status-page`.
pub(crate) fn run(app: &App, args: &StatusPageArgs) -> Result<Exit, Report> {
    let page = app.client()?.status_page()?;
    if let Some(dir) = &args.out {
        fs::create_dir_all(dir).map_err(|error| Report::file("make", dir, &error))?;
        let json = serde_json::to_string_pretty(&page).map_err(|error| Report::output(&io::Error::other(error)))?;
        for (name, text) in [("index.html", page.html()), ("status.json", json)] {
            let file = dir.join(name);
            replace(dir, &file, &text).map_err(|error| Report::file("write", &file, &error))?;
            app.printer.note("Written", file.display());
        }
    }
    if app.printer.style().json {
        app.printer.json(&page)?;
    }
    Ok(Exit::Done)
}

/// Writes a file whole or not at all: whoever reads it meanwhile sees the one before.
fn replace(dir: &Path, file: &Path, text: &str) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let new = NamedTempFile::new_in(dir)?;
    fs::write(new.path(), text)?;
    // For everybody, as a web server runs as another user.
    fs::set_permissions(new.path(), fs::Permissions::from_mode(0o644))?;
    new.persist(file)?;
    Ok(())
}
