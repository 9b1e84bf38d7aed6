//! `prograde policy report`.

use prograde_policy::report::{Answered, reports};
use serde_json::json;

use super::Inputs;
use super::read::read;
use crate::app::App;
use crate::exit::Exit;
use crate::report::{self, Report};

/// Prints reports, as YAML documents or as one JSON list.
pub(super) fn run(app: &App, inputs: &Inputs) -> Result<Exit, Report> {
    let read = read(app, inputs)?;
    let mut answered = Vec::with_capacity(read.resources.len());
    read.each(app.printer.now(), |resource, results| {
        answered.push(Answered { resource: &resource.value, results });
        Ok::<(), Report>(())
    })?;
    let reports = reports(&read.set, &answered);
    if app.printer.style().json {
        app.printer.json(&json!({"apiVersion": "v1", "kind": "List", "items": reports}))?;
        return Ok(Exit::Done);
    }
    for report in &reports {
        let text = prograde_yaml::write(report).map_err(|why| Report::new(report::POLICY_INPUT, why))?;
        app.printer.line("---")?;
        app.printer.text(text)?;
    }
    Ok(Exit::Done)
}
