//! Looks for everything that was asked for.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use prograde_model::Diagnostic;
use prograde_scan::db::{Builder, Database, read_source};
use prograde_scan::finding::{self, Finding};
use prograde_scan::secret::Commits;
use prograde_scan::target::{self, Target};
use prograde_scan::{codes, foreign, licence, misconfig, secret, vulnerable, walk};
use serde::Serialize;

use super::{ScanArgs, policy, tell};
use crate::app::App;
use crate::commands::db;
use crate::exit::Exit;
use crate::report::Report;
use crate::text::counted;

/// The largest report that is read, in bytes.
const REPORT_BYTES_MAX: usize = 512 * 1024 * 1024;

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
    pub(super) files: u64,
    pub(super) notes: Vec<Diagnostic>,
    pub(super) errors: Vec<Diagnostic>,
    pub(super) expired: Vec<Diagnostic>,
    pub(super) database: Option<DatabaseInfo>,
}

/// What to look for.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    vulnerabilities: bool,
    secrets: bool,
    misconfiguration: bool,
    licences: bool,
}

impl Wanted {
    /// What was asked for; without a choice all that the target can have, and nothing beside a report.
    fn of(args: &ScanArgs) -> Result<Self, Report> {
        let secrets = args.secrets || args.history;
        let licences = args.licences || !args.allow_licence.is_empty();
        if args.vulnerabilities || secrets || args.misconfiguration || licences || !args.report.is_empty() {
            let (vulnerabilities, misconfiguration) = (args.vulnerabilities, args.misconfiguration);
            return Ok(Self { vulnerabilities, secrets, misconfiguration, licences });
        }
        let kind = target::recognise(&args.target).map_err(tell::refused)?;
        let files = matches!(kind, Target::Directory | Target::Other);
        Ok(Self { vulnerabilities: kind != Target::Other, secrets: files, misconfiguration: files, licences: false })
    }
}

/// Looks for everything that was asked for.
pub(super) fn collect(app: &App, args: &ScanArgs) -> Result<Collected, Report> {
    let wanted = Wanted::of(args)?;
    let mut collected = Collected::default();
    for path in &args.report {
        let text = walk::read(path, REPORT_BYTES_MAX).map_err(tell::refused)?;
        collected.findings.extend(foreign::read(&path.display().to_string(), &text).map_err(tell::refused)?);
    }
    if wanted.vulnerabilities || wanted.licences {
        packages(app, args, wanted, &mut collected)?;
    }
    if wanted.secrets {
        secrets(args, &mut collected)?;
    }
    if wanted.misconfiguration {
        let checked = misconfig::tree(&args.target, args.ignored()).map_err(tell::refused)?;
        collected.findings.extend(checked.findings);
        collected.errors.extend(checked.errors);
        collected.files = collected.files.max(checked.files as u64);
    }
    collected.findings = finding::sorted(std::mem::take(&mut collected.findings));
    let looked_for_all = wanted.vulnerabilities && wanted.secrets && wanted.misconfiguration;
    policy::apply_exceptions(app, args, looked_for_all, &mut collected)?;
    Ok(collected)
}

fn packages(app: &App, args: &ScanArgs, wanted: Wanted, collected: &mut Collected) -> Result<(), Report> {
    let allowed = if wanted.licences { policy::allowed_licences(args)? } else { None };
    if wanted.licences && allowed.is_none() {
        let hint = "write `allow: [MIT, Apache-2.0]` to `.prograde/licences.yaml`, or use `--allow-licence ID`";
        return Err(Report::new(codes::LICENCE_FORM, "no licence is allowed").hint(hint));
    }
    let database = if wanted.vulnerabilities { Some(database(app, args)?) } else { None };
    let mut inventory = target::inventory(&args.target, args.ignored()).map_err(tell::refused)?;
    let cargo_home = args.cargo_home.clone().or_else(|| app.global.home().map(|home| home.join(".cargo")));
    if let (true, Some(cargo_home)) = (wanted.licences, &cargo_home) {
        licence::kept::learn(&mut inventory, cargo_home);
    }
    if let Some(database) = &database {
        let age_days = db::age_days(database, app.printer.now());
        db::warn_of_age(app, database);
        collected.database = Some(DatabaseInfo {
            path: db::path(&app.global, args.db.as_ref())?.display().to_string(),
            created: database.header.created.clone(),
            age_days,
            old: age_days.is_none_or(|age| age > db::AGE_DAYS_MAX),
        });
        let judged = vulnerable::judge(&inventory, database).map_err(tell::refused)?;
        collected.findings.extend(finding::of_vulnerabilities(&inventory, judged.vulnerabilities));
        collected.notes.extend(judged.notes);
    }
    if let Some(allowed) = &allowed {
        collected.findings.extend(finding::of_licences(&inventory, allowed.judge(&inventory)));
    }
    collected.packages = inventory.packages.len();
    collected.notes.extend(inventory.notes);
    collected.errors.extend(inventory.errors);
    Ok(())
}

/// Secrets in the working tree and, where it was asked for, in the history. What is in both is told once, with the
/// commit that brought it.
fn secrets(args: &ScanArgs, collected: &mut Collected) -> Result<(), Report> {
    let rules = Arc::new(policy::secret_rules(args)?);
    let allowed = policy::allowed_secrets(args)?;
    let mut all = secret::tree(&args.target, args.ignored(), &rules, &allowed).map_err(tell::refused)?;
    if args.history {
        let past = secret::history(&args.target, &Commits::All, &rules, &allowed).map_err(tell::refused)?;
        all = past.before(all);
    }
    collected.files = all.files;
    collected.notes.extend(all.notes);
    collected.findings.extend(all.findings);
    Ok(())
}

/// The database that is named, or one made for the moment from advisories as they are.
fn database(app: &App, args: &ScanArgs) -> Result<Database, Report> {
    let path = db::path(&app.global, args.db.as_ref())?;
    let mut start = Vec::new();
    let opened = std::fs::File::open(&path).and_then(|file| file.take(16).read_to_end(&mut start));
    let advisories =
        path.is_dir() || (opened.is_ok() && !Database::is_one(&start) && args.db.is_some() && is_source(&path));
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
        tell::errors(app, &self.expired);
        let counting =
            |limit| self.findings.iter().filter(|one| one.excepted.is_none() && one.severity >= limit).count();
        let found = args.fail_on.map_or(0, counting);
        if found > 0 && self.errors.is_empty() {
            let limit = args.fail_on.unwrap_or_default();
            let what = format!("{} of severity {limit} or worse", counted(found as u64, "finding"));
            return Err(Report::new(codes::FOUND, what)
                .exit(Exit::Refused)
                .hint("correct them, or write an exception with a reason, an owner and a last day"));
        }
        if self.errors.is_empty() && !self.expired.is_empty() {
            let what = format!("{} expired", counted(self.expired.len() as u64, "exception"));
            return Err(Report::new(codes::EXCEPTION_EXPIRED, what).exit(Exit::Refused));
        }
        if self.errors.is_empty() {
            return Ok(Exit::Done);
        }
        let what = format!("the scan is not complete: {}", counted(self.errors.len() as u64, "error"));
        Err(Report::new(codes::UNREADABLE, what))
    }
}
