//! `prograde rules check`.

use std::path::PathBuf;

use prograde_model::Diagnostic;
use prograde_observe::rules;
use serde_json::json;

use super::{files, tell};
use crate::app::App;
use crate::exit::Exit;
use crate::report::{self, Report};
use crate::text::counted;

/// Checks each file; what is wrong with one hides nothing of the others.
pub(super) fn run(app: &App, paths: &[PathBuf]) -> Result<Exit, Report> {
    let mut errors: Vec<Diagnostic> = Vec::new();
    let mut good = Vec::new();
    for path in paths {
        let shown = path.display().to_string();
        match files::text(path).and_then(|text| rules::parse(&shown, &text)) {
            Ok(groups) => good.push((shown, groups.len(), groups.iter().map(|group| group.rules.len()).sum::<usize>())),
            Err(found) => errors.extend(found.0),
        }
    }
    if app.printer.style().json {
        let good: Vec<_> =
            good.iter().map(|(file, groups, rules)| json!({"file": file, "groups": groups, "rules": rules})).collect();
        app.printer.json(&json!({"good": good, "errors": errors}))?;
    } else {
        tell::findings(&app.printer, &errors)?;
    }
    for (file, _, rules) in &good {
        app.printer.note("Good", format_args!("{file} with {}", counted(*rules as u64, "rule")));
    }
    if errors.is_empty() {
        return Ok(Exit::Done);
    }
    let what =
        format!("{} in {}", counted(errors.len() as u64, "error"), counted((paths.len() - good.len()) as u64, "file"));
    Err(Report::new(report::RULES, what).hint("`prograde explain CODE` says more about each"))
}
