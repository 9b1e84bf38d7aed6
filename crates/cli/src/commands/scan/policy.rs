//! What a team has decided: exceptions, allowed secrets and allowed licences, in files of its repository.

use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use prograde_scan::exception::{self, Exceptions};
use prograde_scan::licence::{self, Allowed as Licences};
use prograde_scan::secret::{self, Allowed as Secrets, Rules};
use prograde_scan::walk;

use super::collect::Collected;
use super::{ScanArgs, tell};
use crate::app::App;
use crate::report::Report;

/// A file below the target, where the target is a directory that has it.
fn below(args: &ScanArgs, name: &str) -> Option<PathBuf> {
    let path = args.target.join(name);
    path.is_file().then_some(path)
}

fn text(path: &Path) -> Result<(String, String), Report> {
    Ok((path.display().to_string(), walk::decided(path).map_err(tell::refused)?))
}

/// Marks what exceptions are about. One that has expired is an error, with its line.
/// That one is about nothing can be told only where all that exceptions may be about was looked for.
pub(super) fn apply_exceptions(
    app: &App,
    args: &ScanArgs,
    looked_for_all: bool,
    collected: &mut Collected,
) -> Result<(), Report> {
    let Some(path) = args.exceptions.clone().or_else(|| below(args, exception::FILE)) else { return Ok(()) };
    let (shown, text) = text(&path)?;
    let exceptions = match Exceptions::parse(&shown, &text) {
        Ok(exceptions) => exceptions,
        Err(faults) => {
            collected.errors.extend(faults);
            return Ok(());
        }
    };
    let today = app.printer.now().to_zoned(TimeZone::UTC).date();
    let applied = exceptions.apply(&mut collected.findings, today);
    collected.expired = applied.expired;
    if looked_for_all {
        collected.notes.extend(applied.unused);
    }
    Ok(())
}

/// The secrets that are allowed.
pub(super) fn allowed_secrets(args: &ScanArgs) -> Result<Secrets, Report> {
    let Some(path) = below(args, secret::ALLOWED_FILE) else { return Ok(Secrets::default()) };
    let (shown, text) = text(&path)?;
    Secrets::parse(&shown, &text).map_err(tell::refused)
}

/// The rules for secrets: ours and a team's own.
pub(super) fn secret_rules(args: &ScanArgs) -> Result<Rules, Report> {
    let own = args.secret_rules.iter().map(|path| text(path)).collect::<Result<Vec<_>, _>>()?;
    Rules::with(&own).map_err(tell::refused)
}

/// The licences that are allowed, from the file and the command line; none where neither says any.
pub(super) fn allowed_licences(args: &ScanArgs) -> Result<Option<Licences>, Report> {
    let path = below(args, licence::FILE);
    if path.is_none() && args.allow_licence.is_empty() {
        return Ok(None);
    }
    let mut allowed = match &path {
        Some(path) => {
            let (shown, text) = text(path)?;
            Licences::parse(&shown, &text).map_err(tell::refused)?
        }
        None => Licences::default(),
    };
    allowed.allow("--allow-licence", args.allow_licence.clone()).map_err(tell::refused)?;
    Ok(Some(allowed))
}
