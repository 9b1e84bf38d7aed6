//! `prograde policy test`.

use std::path::Path;

use prograde_model::Diagnostic;
use prograde_policy::testing::{self, Outcome};
use serde_json::{Value, json};

use super::TestArgs;
use super::files::{self, Beside};
use crate::app::App;
use crate::commands::rules::files::text;
use crate::exit::Exit;
use crate::printer::one_line;
use crate::report::{self, Report};
use crate::text::counted;

/// Runs all tests at the paths.
pub(super) fn run(app: &App, args: &TestArgs) -> Result<Exit, Report> {
    let lookup = args.signatures.lookup(app)?;
    let (mut met, mut all, mut found) = (0_u64, 0_u64, 0_u64);
    let mut finding = |diagnostics: &[Diagnostic]| {
        for diagnostic in diagnostics {
            app.printer.warning(diagnostic);
            found += 1;
        }
    };
    let mut tests = Vec::new();
    for path in &args.paths {
        match files::tests(path) {
            Ok(files) => tests.extend(files),
            Err(why) => finding(&files::unusable(path, &why).0),
        }
    }
    for path in tests {
        let shown = path.display().to_string();
        let beside = Beside { folder: path.parent().unwrap_or(Path::new("")), lookup: lookup.as_ref() };
        let ran = text(&path).and_then(|text| testing::run(&shown, &text, &beside, app.printer.now()));
        let ran = match ran {
            Ok(ran) => ran,
            Err(diagnostics) => {
                finding(&diagnostics.0);
                continue;
            }
        };
        for test in ran {
            finding(&test.findings);
            for outcome in &test.outcomes {
                all += 1;
                met += u64::from(outcome.ok);
                told(app, &shown, &test.name, outcome)?;
            }
        }
    }
    verdict(app, met, all, found)
}

fn told(app: &App, file: &str, test: &str, outcome: &Outcome) -> Result<(), Report> {
    if app.printer.style().json {
        return app.printer.json_line(&as_json(file, test, outcome));
    }
    if outcome.ok {
        return Ok(());
    }
    let Outcome { policy, rule, resource, expected, actual, message, .. } = outcome;
    app.printer.line(format_args!(
        "{file}: {policy}/{rule} on {resource}: expected {expected}, got {actual}: {}",
        one_line(message)
    ))
}

fn as_json(file: &str, test: &str, outcome: &Outcome) -> Value {
    json!({
        "file": file,
        "test": test, "policy": outcome.policy, "rule": outcome.rule, "resource": outcome.resource,
        "expected": outcome.expected, "actual": outcome.actual, "ok": outcome.ok,
    })
}

fn verdict(app: &App, met: u64, all: u64, found: u64) -> Result<Exit, Report> {
    if met < all {
        let what = format!("{} of {} did not come true", all - met, counted(all, "expectation"));
        return Err(Report::new(report::POLICY_TESTS, what)
            .exit(Exit::Refused)
            .hint("change the policy, or what is expected of it"));
    }
    if found > 0 {
        let what = format!("{} in policies and tests", counted(found, "mistake"));
        return Err(
            Report::new(report::POLICY_TESTS, what).hint("`prograde explain CODE` says more about each finding")
        );
    }
    if all == 0 {
        return Err(Report::new(report::POLICY_TESTS, "there is no expectation at these paths")
            .hint("tests are files named `kyverno-test.yaml`; name one, or a directory above it"));
    }
    app.printer.note("Good", counted(all, "expectation"));
    Ok(Exit::Done)
}
