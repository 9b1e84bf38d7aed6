//! Runs go through each step, end once, and make drills due.

use jiff::Timestamp;

use super::*;
use crate::stored::Fold as _;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn begin(steps: u32) -> Begin {
    let (runbook, title, sha256, by) = ["orders", "Orders fail", "ab12", "ann"].map(str::to_owned).into();
    Begin { runbook, title, sha256, steps, purpose: Purpose::Drill, by }
}

fn stepped(step: u32) -> Stepped {
    let (title, command, output) = ["Look", "uptime", "up 3 days\n"].map(str::to_owned).into();
    Stepped { step, title, command, outcome: Outcome::Done { exit: 0 }, seconds: 0.5, output, by: "ann".to_owned() }
}

fn begun(steps: u32) -> (Runs, RunId) {
    let mut runs = Runs::default();
    let fact = runs.begin(begin(steps)).unwrap();
    runs.apply(&fact, at(0));
    (runs, RunId::new(1))
}

#[test]
fn a_run_is_complete_when_each_step_was_gone_through() {
    let (mut runs, run) = begun(2);
    let apply = |runs: &mut Runs, fact: Result<RunbookFact, RunRefusal>, second| runs.apply(&fact.unwrap(), at(second));
    let fact = runs.step(run, stepped(2));
    apply(&mut runs, fact, 1);
    let refused = runs.end(run, End::Completed, "ann".to_owned()).unwrap_err();
    assert_eq!(refused.to_string(), "R-1 is not complete: step 1 was not gone through");
    let fact = runs.step(run, Stepped { outcome: Outcome::Skipped, ..stepped(1) });
    apply(&mut runs, fact, 2);
    let fact = runs.end(run, End::Completed, "ann".to_owned());
    apply(&mut runs, fact, 3);
    assert!(runs.run(run).unwrap().is_completed());
    assert_eq!(runs.step(run, stepped(1)).unwrap_err(), RunRefusal::Ended(run));
    assert_eq!(runs.end(run, End::Completed, "bob".to_owned()).unwrap_err(), RunRefusal::Ended(run));
    let next = runs.begin(begin(1)).unwrap();
    assert!(matches!(next, RunbookFact::Begun { run, .. } if run.to_string() == "R-2"), "{next:?}");
}

#[test]
fn what_does_not_fit_is_refused_and_long_output_is_cut_at_its_beginning() {
    let (runs, run) = begun(2);
    for (refused, says) in [
        (runs.step(run, stepped(3)).unwrap_err(), "R-1 has 2 steps, and no step 3"),
        (runs.step(run, stepped(0)).unwrap_err(), "no step 0"),
        (runs.step(RunId::new(7), stepped(1)).unwrap_err(), "there is no run R-7"),
        (runs.step(run, Stepped { command: " ".to_owned(), ..stepped(1) }).unwrap_err(), "the command must be"),
        (runs.begin(Begin { title: String::new(), ..begin(1) }).unwrap_err(), "the runbook's title must be"),
        (
            runs.end(run, End::GivenUp { reason: "x".repeat(3_000) }, "ann".to_owned()).unwrap_err(),
            "the reason must be a text of 1 to 2000 bytes",
        ),
    ] {
        assert!(refused.to_string().contains(says), "{refused}");
    }
    let output = format!("{}the end", "é".repeat(20_000));
    let kept = runs.step(run, Stepped { output, ..stepped(1) }).unwrap();
    let RunbookFact::Stepped { stepped, .. } = kept else { panic!("{kept:?}") };
    assert!(stepped.output.len() <= 16 * 1024 && stepped.output.ends_with("éthe end"));
}

#[test]
fn a_drill_is_due_when_the_last_complete_run_is_too_long_ago() {
    let book = |name: &str, every: Option<&str>| Runbook {
        name: name.to_owned(),
        title: name.to_owned(),
        alerts: Vec::new(),
        drill_every: every.map(|every| every.parse().unwrap()),
        parameters: std::collections::BTreeMap::new(),
        steps: Vec::new(),
    };
    let books = [book("orders", Some("24h")), book("never", Some("48h")), book("none", None)];
    let (mut runs, run) = begun(0);
    let due = |runs: &Runs, hours: i64| {
        let all: Vec<Run> = runs.runs().cloned().collect();
        let found = drills(&books, &all, at(hours * 3_600));
        found.into_iter().map(|drill| (drill.runbook, drill.is_due)).collect::<Vec<_>>()
    };
    let named = |name: &str, is_due| (name.to_owned(), is_due);
    assert_eq!(due(&runs, 1), [named("never", true), named("orders", true)], "it is under way, and not complete");
    let fact = runs.end(run, End::Completed, "ann".to_owned()).unwrap();
    runs.apply(&fact, at(3_600));
    assert_eq!(due(&runs, 2), [named("never", true), named("orders", false)]);
    assert_eq!(due(&runs, 26), [named("orders", true), named("never", true)]);
}
