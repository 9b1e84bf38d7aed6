//! `prograde rules test`.

use std::path::{Path, PathBuf};

use prograde_model::{Diagnostic, Diagnostics};
use prograde_observe::rules::testing::{self, Failure, Suite};
use prograde_observe::rules::{self, Group};
use serde_json::json;

use super::{files, tell};
use crate::app::App;
use crate::exit::Exit;
use crate::report::{self, Report};
use crate::text::counted;

/// What became of a test.
pub(super) struct Outcome {
    /// Its name, or which of the file's tests it is.
    pub(super) name: String,
    /// Where it begins.
    pub(super) line: u32,
    /// How many expectations it has.
    pub(super) expectations: usize,
    pub(super) failures: Vec<Failure>,
}

/// What became of a file.
struct Ran {
    file: String,
    warnings: Vec<String>,
    outcomes: Result<Vec<Outcome>, Diagnostics>,
}

/// Runs the tests of each file.
pub(super) fn run(app: &App, paths: &[PathBuf]) -> Result<Exit, Report> {
    let ran: Vec<Ran> = paths.iter().map(|path| tested(path)).collect();
    if app.printer.style().json {
        app.printer.json(&json!({"files": ran.iter().map(as_json).collect::<Vec<_>>()}))?;
    } else {
        for ran in &ran {
            told(app, ran)?;
        }
    }
    verdict(&ran)
}

/// Runs one file's tests. Its rule files are read even if it has none.
fn tested(path: &Path) -> Ran {
    let file = path.display().to_string();
    let mut warnings = Vec::new();
    let outcomes = files::text(path).and_then(|text| testing::parse(&file, &text)).and_then(|suite| {
        let groups = groups(path, &file, &suite, &mut warnings)?;
        let mut outcomes = Vec::new();
        for (index, test) in suite.tests.iter().enumerate() {
            outcomes.push(Outcome {
                name: test.name.clone().unwrap_or_else(|| format!("test {}", index + 1)),
                line: test.line,
                expectations: test.count(),
                failures: testing::run(&suite, test, &groups),
            });
        }
        Ok(outcomes)
    });
    Ran { file, warnings, outcomes }
}

/// The groups of all rule files, which are looked for beside the file of tests.
fn groups(path: &Path, file: &str, suite: &Suite, warnings: &mut Vec<String>) -> Result<Vec<Group>, Diagnostics> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut groups = Vec::new();
    let mut found = Vec::new();
    for (pattern, line) in &suite.rule_files {
        let beside = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let matched = match files::matching(beside, pattern) {
            Ok(matched) => matched,
            Err(why) => {
                found.push(Diagnostic::file(testing::CODE, file, why, "").at(*line, 0));
                continue;
            }
        };
        if matched.is_empty() {
            warnings.push(format!("{file}:{line}: no file matches {pattern}"));
        }
        for matched in matched {
            let path = folder.join(matched);
            match files::text(&path).and_then(|text| rules::parse(&path.display().to_string(), &text)) {
                Ok(read) => groups.extend(read),
                Err(diagnostics) => found.extend(diagnostics.0),
            }
        }
    }
    if found.is_empty() { Ok(groups) } else { Err(Diagnostics(found)) }
}

fn told(app: &App, ran: &Ran) -> Result<(), Report> {
    for warning in &ran.warnings {
        app.printer.warning(warning);
    }
    match &ran.outcomes {
        Err(diagnostics) => tell::findings(&app.printer, &diagnostics.0),
        Ok(outcomes) => {
            for outcome in outcomes {
                tell::failures(&app.printer, &ran.file, outcome)?;
            }
            let expectations: usize = outcomes.iter().map(|outcome| outcome.expectations).sum();
            if outcomes.iter().all(|outcome| outcome.failures.is_empty()) {
                let (tests, expectations) =
                    (counted(outcomes.len() as u64, "test"), counted(expectations as u64, "expectation"));
                app.printer.note("Good", format_args!("{}: {tests}, {expectations}", ran.file));
            }
            Ok(())
        }
    }
}

fn as_json(ran: &Ran) -> serde_json::Value {
    let tests: Vec<_> = ran.outcomes.iter().flatten().map(tell::as_json).collect();
    let errors = ran.outcomes.as_ref().err().map(|diagnostics| diagnostics.0.as_slice()).unwrap_or_default();
    let passed = ran.outcomes.as_ref().is_ok_and(|outcomes| outcomes.iter().all(|outcome| outcome.failures.is_empty()));
    json!({"file": ran.file, "passed": passed, "tests": tests, "warnings": ran.warnings, "errors": errors})
}

fn verdict(ran: &[Ran]) -> Result<Exit, Report> {
    let unusable = ran.iter().filter(|ran| ran.outcomes.is_err()).count();
    if unusable > 0 {
        let what = format!("{} can't be used", counted(unusable as u64, "file"));
        return Err(Report::new(report::RULES, what).hint("`prograde explain CODE` says more about each finding"));
    }
    let outcomes = ran.iter().flat_map(|ran| ran.outcomes.iter().flatten());
    let (mut tests, mut failed) = (0, 0);
    for outcome in outcomes {
        tests += 1;
        failed += u64::from(!outcome.failures.is_empty());
    }
    if failed == 0 {
        return Ok(Exit::Done);
    }
    let what = format!("{failed} of {} failed", counted(tests, "test"));
    Err(Report::new(report::RULE_TESTS, what).exit(Exit::Refused).hint("change the rule, or what is expected of it"))
}
