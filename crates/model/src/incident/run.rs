//! What runs of runbooks tell of an incident.

use super::state::Incident;
use super::timeline::{Entry, Kind};
use crate::runbook::{End, Outcome, Purpose, Run, Stepped};

/// How many lines of what a step printed are told.
const OUTPUT_LINES_MAX: usize = 5;

/// What the runs of runbooks tell that were begun for an incident.
pub fn run_entries<'a>(incident: &Incident, runs: impl IntoIterator<Item = &'a Run>) -> Vec<Entry> {
    let its = runs.into_iter().filter(|run| run.purpose == Purpose::Incident(incident.id));
    its.flat_map(of_run).collect()
}

fn of_run(run: &Run) -> Vec<Entry> {
    let name = run.run;
    let entry =
        |at, text, by: Option<&str>| Entry { at, kind: Kind::Runbook, text, by: by.map(str::to_owned), flight: None };
    let mut found = vec![entry(run.begun_at, format!("{name} begun: {}", run.title), Some(&run.by))];
    found.extend(
        run.stepped.iter().map(|(at, stepped)| entry(*at, format!("{name} {}", told(stepped)), Some(&stepped.by))),
    );
    found.extend(run.ended.iter().map(|(at, end)| {
        let text = match end {
            End::Completed => format!("{name} completed"),
            End::GivenUp { reason } => format!("{name} given up: {reason}"),
        };
        entry(*at, text, None)
    }));
    found
}

fn told(stepped: &Stepped) -> String {
    let Stepped { step, title, seconds, .. } = stepped;
    let outcome = match stepped.outcome {
        Outcome::Done { exit: 0 } => format!("done in {seconds:.1} s"),
        Outcome::Done { exit } => format!("failed with exit code {exit} after {seconds:.1} s"),
        Outcome::CheckFailed { exit } => format!("done, and its check says that it did not help, by exit code {exit}"),
        Outcome::TimedOut => format!("did not end in {seconds:.0} s and was ended"),
        Outcome::Killed => format!("was killed after {seconds:.1} s"),
        Outcome::Skipped => "left out".to_owned(),
    };
    let mut text = format!("step {step}, {title}: {outcome}");
    let lines: Vec<&str> = stepped.output.lines().collect();
    let from = lines.len().saturating_sub(OUTPUT_LINES_MAX);
    for line in lines.get(from..).unwrap_or_default() {
        text.push('\n');
        text.push_str(line);
    }
    text
}
