//! Reads `oncall.yaml`, and says what is wrong with it and where.

use jiff::tz::TimeZone;
use prograde_model::oncall::Rota;
use prograde_model::service::Problem;
use prograde_model::{Diagnostic, Diagnostics};

use crate::config;

/// The code of everything that the types can't refuse.
const CODE: &str = "PG0670";

/// The time zone of an IANA name, from the system's database.
pub fn zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

/// Reads the text of an `oncall.yaml`. `file` is its name for messages.
pub fn read(file: &str, text: &str) -> Result<Rota, Diagnostics> {
    let rota: Rota = prograde_yaml::decode(file, text).map_err(|mut diagnostic: Diagnostic| {
        if diagnostic.hint.is_empty() {
            "docs/guides/oncall.md shows the format".clone_into(&mut diagnostic.hint);
        }
        diagnostic
    })?;
    let problems = rota.problems(&zone);
    if problems.is_empty() {
        return Ok(rota);
    }
    Err(located(CODE, file, text, problems)?)
}

/// Problems with the places in the text that they are at.
pub fn located(code: &str, file: &str, text: &str, problems: Vec<Problem>) -> Result<Diagnostics, Diagnostics> {
    let documents = prograde_yaml::documents(file, text)?;
    let found = problems.into_iter().map(|problem| config::located((code, file), problem, documents.first()));
    Ok(Diagnostics(found.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
version: 1
people:
  ann: { time_zone: Europe/Berlin }
  bob: {}
schedules:
  - name: primary
    time_zone: Europe/Berlin
    layers:
      - { name: week, from: 2026-01-05T09:00, every: 1w, people: [ann, bob] }
";

    fn errors(text: &str) -> String {
        read("oncall.yaml", text).unwrap_err().to_string()
    }

    #[test]
    fn a_good_file_is_read() {
        assert_eq!(read("oncall.yaml", GOOD).unwrap().schedules[0].layers[0].every.hours(), 168);
    }

    #[test]
    fn every_error_names_its_line() {
        for (text, place, message) in [
            (GOOD.replace("[ann, bob]", "[ann, cem]"), "9:58", "there is nobody named \"cem\""),
            (
                GOOD.replace("ann: { time_zone: Europe/Berlin }", "ann: { time_zone: Europe/Paradise }"),
                "3:10",
                "no time zone",
            ),
            (GOOD.replace("every: 1w", "every: soon"), "9:54", "\"soon\" is not a length of a turn"),
            (GOOD.replace("from: 2026-01-05T09:00", "from: 2026-02-30T09:00"), "9:29", ""),
            (GOOD.replace("layers", "layer"), "8:5", "unknown field `layer`"),
            (GOOD.replace("version: 1", "version: 7"), "1:1", "version 7 is not known"),
            (String::new(), "1:1", "unexpected end of input"),
        ] {
            let error = errors(&text);
            assert!(error.starts_with(&format!("oncall.yaml:{place}")) && error.contains(message), "{text}\n{error}");
        }
    }

    #[test]
    fn all_findings_are_told_at_once() {
        let bad = GOOD.replace("[ann, bob]", "[ann, cem, dan]").replace("version: 1", "version: 7");
        assert_eq!(errors(&bad).matches("[PG0670]").count(), 3);
    }
}
