//! Facts about runs of runbooks. What can be of several forms has a folder for each of the others.

use prograde_model::incident::IncidentId;
use prograde_model::runbook::{End, Outcome, Purpose, RunId, RunbookFact, Stepped};

use crate::check;

fn run() -> RunId {
    RunId::new(4)
}

fn begun(purpose: Purpose) -> RunbookFact {
    let [runbook, title, sha256, by] = ["orders", "Orders fail", "ab12", "ann"].map(str::to_owned);
    RunbookFact::Begun { run: run(), runbook, title, sha256, steps: 3, purpose, by }
}

fn stepped(outcome: Outcome, output: &str) -> RunbookFact {
    let [title, command, output, by] = ["Look", "tail log", output, "ann"].map(str::to_owned);
    RunbookFact::Stepped { run: run(), stepped: Stepped { step: 2, title, command, outcome, seconds: 1.5, output, by } }
}

fn ended(end: End) -> RunbookFact {
    RunbookFact::Ended { run: run(), end, by: "ann".to_owned() }
}

#[test]
fn facts_about_runbooks_can_be_read_for_ever() {
    let given_up = ended(End::GivenUp { reason: "step 2 failed".to_owned() });
    match &given_up {
        // A new fact does not compile here before it has a file.
        RunbookFact::Begun { .. } | RunbookFact::Stepped { .. } | RunbookFact::Ended { .. } => {}
    }
    check("runbooks", &[begun(Purpose::Drill), stepped(Outcome::Done { exit: 0 }, "all good\n"), given_up]);
    check("runbooks/incident", &[begun(Purpose::Incident(IncidentId::new(1)))]);
    check("runbooks/other", &[begun(Purpose::Other)]);
    check("runbooks/check", &[stepped(Outcome::CheckFailed { exit: 1 }, "")]);
    check("runbooks/timeout", &[stepped(Outcome::TimedOut, "")]);
    check("runbooks/killed", &[stepped(Outcome::Killed, "")]);
    check("runbooks/skipped", &[stepped(Outcome::Skipped, "")]);
    check("runbooks/completed", &[ended(End::Completed)]);
}
