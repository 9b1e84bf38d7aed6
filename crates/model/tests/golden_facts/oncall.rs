//! Facts about who is on call.

use jiff::Timestamp;
use prograde_model::oncall::{Change, RosterFact, Who};

use crate::check;

fn changed(id: &str, who: Who, hours: i64, reason: &str) -> RosterFact {
    let from = Timestamp::from_second(1_800_000_000).unwrap();
    let until = Timestamp::from_second(1_800_000_000 + hours * 3_600).unwrap();
    let (schedule, by, reason) = ("primary".to_owned(), "ann".to_owned(), reason.to_owned());
    RosterFact::Changed { id: id.parse().unwrap(), change: Change { schedule, who, from, until, by, reason } }
}

#[test]
fn facts_about_who_is_on_call_can_be_read_for_ever() {
    let by = "cem".to_owned();
    let withdrawn = RosterFact::Withdrawn { id: "C-1".parse().unwrap(), by };
    match &withdrawn {
        // A new fact does not compile here before it has a file.
        RosterFact::Changed { .. } | RosterFact::Withdrawn { .. } => {}
    }
    check("oncall", &[changed("C-1", Who::Override("cem".to_owned()), 4, "at the dentist"), withdrawn]);
    check("oncall/swap", &[changed("C-2", Who::Swap("ann".to_owned(), "cem".to_owned()), 24, "")]);
}
