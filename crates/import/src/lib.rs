//! Exports of other on-call products as an `oncall.yaml`: who is on call at every moment stays the same.
//!
//! The JSON of others is an outside format, so it is read here and not in `model`. Pure: files come in as texts, time zones
//! are handed in. Invariant: what the source says and ours can't say is a finding with its place, never left out in silence;
//! and what comes out can be read by the reader of `oncall.yaml`.

mod grafana;
mod names;
mod pagerduty;
mod reader;
mod turns;
mod windows;

use jiff::tz::TimeZone;
use prograde_model::oncall::{Rota, Zones};
use prograde_model::{Diagnostic, Diagnostics};
use serde_json::Value;

use reader::{At, Found};

/// The code of an export that can't be read.
pub const CODE: &str = "PG0673";
/// The code of what can't be carried over.
pub const CODE_LOST: &str = "PG0674";

/// The largest export that is read, in bytes.
pub const FILE_BYTES_MAX: usize = 16 << 20;
/// How much is read of all exports together, in bytes.
pub const ALL_BYTES_MAX: usize = 32 << 20;
/// The most exports that are read at once.
pub const FILES_MAX: usize = 1_000;
/// The largest `oncall.yaml` that the server reads, in bytes.
const OUT_BYTES_MAX: usize = 1 << 20;

/// Where an export comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `PagerDuty`'s REST API, version 2.
    PagerDuty,
    /// Grafana `OnCall`'s public HTTP API, version 1.
    Grafana,
}

/// What came of an import.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// People, schedules and escalations.
    pub rota: Rota,
    /// The same as the text of an `oncall.yaml`.
    pub text: String,
    /// What could not be carried over, or has to be added by hand.
    pub findings: Vec<Diagnostic>,
}

/// Reads exports, given by name and text, as one.
pub fn import(source: Source, files: &[(String, String)], zones: &impl Zones) -> Result<Imported, Diagnostics> {
    let documents = parse(files)?;
    let roots: Vec<At<'_>> = documents.iter().map(|(file, value)| At::root(file, value)).collect();
    // Behind one type, so that what follows is compiled once.
    let find = |name: &str| zones.zone(name);
    let find: &dyn Fn(&str) -> Option<TimeZone> = &find;
    let mut found = Found::default();
    let rota = match source {
        Source::PagerDuty => pagerduty::read(&roots, find, &mut found),
        Source::Grafana => grafana::read(&roots, find, &mut found),
    };
    let findings = found.finish()?;
    let name = files.first().map_or("the export", |(name, _)| name.as_str());
    if rota.schedules.is_empty() {
        let hint = "name the answers with the schedules as well";
        let none = Diagnostic::file(CODE, name, "no schedule could be made of what is exported", hint);
        return Err(Diagnostics([vec![none], findings].concat()));
    }
    let text = write(name, &rota, find)?;
    Ok(Imported { rota, text, findings })
}

fn parse(files: &[(String, String)]) -> Result<Vec<(&str, Value)>, Diagnostics> {
    let (mut documents, mut wrong) = (Vec::new(), Vec::new());
    if files.len() > FILES_MAX {
        let message = format!("{} files are given, more than the {FILES_MAX} that are read at once", files.len());
        return Err(Diagnostic::file(CODE, "the export", message, "import them in parts").into());
    }
    let all: usize = files.iter().map(|(_, text)| text.len()).sum();
    if all > ALL_BYTES_MAX {
        let message = format!("all files have {all} bytes, more than the {ALL_BYTES_MAX} that are read at once");
        return Err(Diagnostic::file(CODE, "the export", message, "import them in parts").into());
    }
    for (name, text) in files {
        if text.len() > FILE_BYTES_MAX {
            let message = format!("the file has {} bytes, more than the {FILE_BYTES_MAX} that are read", text.len());
            let hint = "export without `rendered_schedule_entries`, that is, without `since` and `until`";
            wrong.push(Diagnostic::file(CODE, name, message, hint));
            continue;
        }
        // Its depth is bounded by the reader.
        match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
            Ok(value) => documents.push((name.as_str(), value)),
            Err(error) => {
                let line = u32::try_from(error.line()).unwrap_or(u32::MAX);
                let column = u32::try_from(error.column()).unwrap_or(u32::MAX);
                let message = error.to_string();
                let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(before, _)| before);
                let hint = "give the API's answer as it came, such as `curl ... > schedules.json` writes it";
                let found = Diagnostic::file(CODE, name, format!("it is no JSON: {message}"), hint);
                wrong.push(found.at(line, column));
            }
        }
    }
    if wrong.is_empty() { Ok(documents) } else { Err(Diagnostics(wrong)) }
}

/// The text, which reads as the same again.
fn write(name: &str, rota: &Rota, zones: &dyn Fn(&str) -> Option<TimeZone>) -> Result<String, Diagnostics> {
    let wrong = |message: String, hint: &str| Diagnostics::from(Diagnostic::file(CODE, name, message, hint));
    let problems = rota.problems(&zones);
    if !problems.is_empty() {
        let told = problems.iter().map(|problem| {
            let message = format!("what comes of it can't be used: {}: {}", problem.path.join("."), problem.message);
            Diagnostic::file(CODE, name, message, &problem.hint)
        });
        return Err(Diagnostics(told.collect()));
    }
    let text = serde_json::to_value(rota)
        .map_err(|error| error.to_string())
        .and_then(|value| prograde_yaml::write(&value))
        .map_err(|why| wrong(format!("it can't be written: {why}"), ""))?;
    if text.len() > OUT_BYTES_MAX {
        let message = format!("what comes of it has {} bytes, more than the {OUT_BYTES_MAX} that are read", text.len());
        return Err(wrong(message, "import fewer schedules at once"));
    }
    let again: Rota = prograde_yaml::decode("oncall.yaml", &text)?;
    if again != *rota {
        return Err(wrong("a name in it can't be written as YAML".into(), "take control characters out of names"));
    }
    Ok(text)
}
