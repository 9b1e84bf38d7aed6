//! `prograde oncall import`: an `oncall.yaml` of what other products export.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use prograde_control::rota;
use prograde_import::{ALL_BYTES_MAX, FILE_BYTES_MAX, Imported, Source, import};
use serde_json::json;

use crate::app::App;
use crate::exit::Exit;
use crate::printer::cleaned;
use crate::report::{self, Report};
use crate::text::counted;

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The product that the files are exported from
    #[arg(long, value_enum, value_name = "PRODUCT")]
    from: From,
    /// Answers of its API, as JSON; all that belong together at once
    #[arg(value_name = "FILE", required = true, num_args = 1..)]
    files: Vec<PathBuf>,
    /// The file to write; printed by default
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write over a file that is there
    #[arg(long, requires = "out")]
    force: bool,
    /// Write nothing, and end with 1, if anything can't be carried over
    #[arg(long)]
    strict: bool,
}

/// A product that exports can be read of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum From {
    /// `PagerDuty`'s REST API
    #[value(name = "pagerduty")]
    PagerDuty,
    /// Grafana `OnCall`'s public API
    Grafana,
}

/// Runs `prograde oncall import`.
pub(super) fn run(app: &App, args: &ImportArgs) -> Result<Exit, Report> {
    let source = match args.from {
        From::PagerDuty => Source::PagerDuty,
        From::Grafana => Source::Grafana,
    };
    let mut files: Vec<(String, String)> = Vec::new();
    let mut left = ALL_BYTES_MAX;
    for path in &args.files {
        // One byte more than is taken, so that it is seen to be too much.
        let text = read(path, left.min(FILE_BYTES_MAX) as u64 + 1)?;
        left = left.saturating_sub(text.len());
        files.push((path.display().to_string(), text));
    }
    let imported = import(source, &files, &rota::zone)?;
    let name = args.out.as_ref().map_or_else(|| "oncall.yaml".to_owned(), |out| out.display().to_string());
    // By the reader that the server uses.
    rota::read(&name, &imported.text)?;
    if !app.printer.style().json {
        for finding in &imported.findings {
            app.printer.warning(cleaned(&finding.to_string()));
        }
    }
    if args.strict && !imported.findings.is_empty() {
        if app.printer.style().json {
            app.printer.json(&json!({"findings": imported.findings}))?;
        }
        let what =
            format!("{} can't be carried over; nothing is written", counted(imported.findings.len() as u64, "thing"));
        let hint = "leave out `--strict`, and add by hand what matters";
        return Err(Report::new(prograde_import::CODE_LOST, what).exit(Exit::Refused).hint(hint));
    }
    give(app, args, &imported)?;
    if !imported.rota.people.is_empty() {
        let names: Vec<&str> = imported.rota.people.keys().map(String::as_str).collect();
        app.printer.next(format_args!("give each of {} a receiver in alertmanager.yml", names.join(", ")));
    }
    Ok(Exit::Done)
}

/// The text of an export, as much as `most` bytes of it.
fn read(path: &Path, most: u64) -> Result<String, Report> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes));
    read.map_err(|error| Report::file("read", path, &error))?;
    String::from_utf8(bytes).or_else(|error| {
        // A character that was cut in two, because there is more of the file than is read.
        let is_cut = error.utf8_error().error_len().is_none();
        let text = is_cut.then(|| String::from_utf8_lossy(error.as_bytes()).into_owned());
        text.ok_or_else(|| Report::new(report::FILE, format!("{} is not a text", path.display())))
    })
}

fn give(app: &App, args: &ImportArgs, imported: &Imported) -> Result<(), Report> {
    let Some(out) = &args.out else {
        return if app.printer.style().json {
            app.printer.json(&json!({"oncall": imported.rota, "findings": imported.findings}))
        } else {
            app.printer.text(&imported.text)
        };
    };
    write(out, &imported.text, args.force).map_err(|error| {
        let report = Report::file("write", out, &error);
        if error.kind() == io::ErrorKind::AlreadyExists { report.hint("write over it with `--force`") } else { report }
    })?;
    if app.printer.style().json {
        app.printer.json(&json!({"file": out, "findings": imported.findings}))?;
    }
    app.printer.note("Written", out.display());
    Ok(())
}

/// Writes a file as a whole; one that is there is only replaced with `force`.
fn write(out: &Path, text: &str, force: bool) -> io::Result<()> {
    if !force {
        return File::create_new(out)?.write_all(text.as_bytes());
    }
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    let permissions = fs::metadata(out).map(|there| there.permissions()).ok();
    let path = file.into_temp_path();
    if let Some(permissions) = permissions {
        fs::set_permissions(&path, permissions)?;
    }
    path.persist(out).map_err(|error| error.error)
}
