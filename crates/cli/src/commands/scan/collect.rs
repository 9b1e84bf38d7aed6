//! Looks for everything that was asked for.

use std::io::Read;
use std::path::Path;

use prograde_model::Diagnostic;
use prograde_scan::db::{Builder, Database, read_source};
use prograde_scan::finding::{self, Finding};
use prograde_scan::{codes, target, vulnerable};
use serde::Serialize;

use super::{ScanArgs, tell};
use crate::app::App;
use crate::commands::db;
use crate::exit::Exit;
use crate::report::Report;
use crate::text::counted;

/// What is told of the database that was used.
#[derive(Debug, Clone, Serialize)]
pub(super) struct DatabaseInfo {
    pub(super) path: String,
    pub(super) created: String,
    pub(super) age_days: Option<i64>,
    pub(super) old: bool,
}

/// Everything that was found.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) findings: Vec<Finding>,
    pub(super) packages: usize,
    pub(super) notes: Vec<Diagnostic>,
    pub(super) errors: Vec<Diagnostic>,
    pub(super) database: Option<DatabaseInfo>,
}

/// Looks for everything that was asked for.
pub(super) fn collect(app: &App, args: &ScanArgs) -> Result<Collected, Report> {
    let mut collected = Collected::default();
    packages(app, args, &mut collected)?;
    collected.findings = finding::sorted(std::mem::take(&mut collected.findings));
    Ok(collected)
}

fn packages(app: &App, args: &ScanArgs, collected: &mut Collected) -> Result<(), Report> {
    let database = database(app, args)?;
    let inventory = target::inventory(&args.target).map_err(tell::refused)?;
    let age_days = db::age_days(&database, app.printer.now());
    db::warn_of_age(app, &database);
    collected.database = Some(DatabaseInfo {
        path: db::path(&app.global, args.db.as_ref())?.display().to_string(),
        created: database.header.created.clone(),
        age_days,
        old: age_days.is_none_or(|age| age > db::AGE_DAYS_MAX),
    });
    let judged = vulnerable::judge(&inventory, &database).map_err(tell::refused)?;
    collected.packages = inventory.packages.len();
    collected.findings.extend(finding::of_vulnerabilities(&inventory, judged.vulnerabilities));
    collected.notes.extend(inventory.notes);
    collected.notes.extend(judged.notes);
    collected.errors.extend(inventory.errors);
    Ok(())
}

/// The database that is named, or one made for the moment from advisories as they are.
fn database(app: &App, args: &ScanArgs) -> Result<Database, Report> {
    let path = db::path(&app.global, args.db.as_ref())?;
    let mut start = Vec::new();
    let opened = std::fs::File::open(&path).and_then(|file| file.take(16).read_to_end(&mut start));
    let advisories = path.is_dir() || (opened.is_ok() && !Database::is_one(&start) && args.db.is_some() && is_source(&path));
    if !advisories {
        return Database::open(&path).map_err(tell::refused);
    }
    let mut builder = Builder::default();
    read_source(&path, &mut builder).map_err(tell::refused)?;
    tell::notes(app, &builder.notes);
    let made = builder.finish(&format!("{:.0}", app.printer.now()));
    Database::from_bytes(&path.display().to_string(), made).map_err(tell::refused)
}

fn is_source(path: &Path) -> bool {
    let name = path.to_string_lossy().to_lowercase();
    [".zip", ".json", ".tar", ".gz", ".tgz", ".md"].iter().any(|ending| name.ends_with(ending))
}

impl Collected {
    /// How the command ends.
    pub(super) fn exit(&self, app: &App, args: &ScanArgs) -> Result<Exit, Report> {
        tell::notes(app, &self.notes);
        tell::errors(app, &self.errors);
        let counting = |limit| self.findings.iter().filter(|one| one.excepted.is_none() && one.severity >= limit).count();
        let found = args.fail_on.map_or(0, counting);
        if found > 0 {
            let limit = args.fail_on.unwrap_or_default();
            let what = format!("{} of severity {limit} or worse", counted(found as u64, "finding"));
            return Err(Report::new(codes::FOUND, what)
                .exit(Exit::Refused)
                .hint("correct them, or write an exception with a reason, an owner and a last day"));
        }
        if self.errors.is_empty() {
            return Ok(Exit::Done);
        }
        let what = format!("{} could not be read, so the scan is not complete", counted(self.errors.len() as u64, "file"));
        Err(Report::new(codes::UNREADABLE, what))
    }
}
