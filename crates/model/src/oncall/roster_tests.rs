//! Changes by command: who they let be on call, and which are refused.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use super::*;
use crate::dora::Span;

fn zones(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn rota() -> Rota {
    serde_json::from_value(json!({
        "version": 1,
        "people": {"ann": {"receiver": "ann"}, "bob": {"receiver": "bob"}, "cem": {"receiver": "cem"}, "dot": {}},
        "schedules": [{"name": "primary", "time_zone": "UTC", "layers": [
            {"name": "day", "from": "2026-01-01T00:00", "every": "1d", "people": ["ann", "bob"]}]}],
        "escalations": {"pad": {"steps": [{"schedules": ["primary"]}]}},
    }))
    .unwrap()
}

fn change(who: Who, from: &str, until: &str) -> Change {
    let (schedule, by, reason) = ("primary".to_owned(), "ann".to_owned(), String::new());
    Change { schedule, who, from: time(from), until: time(until), by, reason }
}

fn cover(person: &str) -> Who {
    Who::Override(person.to_owned())
}

fn swap(one: &str, two: &str) -> Who {
    Who::Swap(one.to_owned(), two.to_owned())
}

/// Who is on call in the first days of the year.
fn told(roster: &Roster) -> Vec<String> {
    let rota = roster.over(&rota());
    let span = Span { from: time("2026-01-01T00:00:00Z"), until: time("2026-01-04T00:00:00Z") };
    let shifts = rota.schedules[0].shifts(span, &zones).unwrap();
    shifts
        .iter()
        .map(|shift| format!("{} {} {}", shift.person, shift.by, &shift.span.from.to_string()[8..13]))
        .collect()
}

const DAYS: [&str; 3] = ["ann day 01T00", "bob day 02T00", "ann day 03T00"];

fn noon() -> Timestamp {
    time("2026-01-01T12:00:00Z")
}

#[test]
fn a_change_lays_over_what_the_file_says_until_it_is_withdrawn() {
    let mut roster = Roster::default();
    assert_eq!(told(&roster), DAYS);
    // What was is not changed: it begins now.
    let order = change(cover("cem"), "2025-12-31T00:00:00Z", "2026-01-02T06:00:00Z");
    let fact = roster.change(&rota(), &zones, order, noon()).unwrap();
    roster.apply(&fact, noon());
    assert_eq!(told(&roster), ["ann day 01T00", "cem override 01T12", "bob day 02T06", "ann day 03T00"]);

    let order = change(swap("bob", "ann"), "2026-01-02T00:00:00Z", "2026-01-04T00:00:00Z");
    let fact = roster.change(&rota(), &zones, order, noon()).unwrap();
    roster.apply(&fact, noon());
    assert_eq!(told(&roster), ["ann day 01T00", "cem override 01T12", "ann swap 02T06", "bob swap 03T00"]);

    let ids: Vec<ChangeId> = roster.changes().map(|made| made.id).collect();
    for id in &ids {
        let fact = roster.withdraw(*id, "bob").unwrap();
        roster.apply(&fact, noon());
    }
    assert_eq!(told(&roster), DAYS);
    let again = roster.withdraw(ids[0], "cem").unwrap_err();
    assert_eq!(again, RosterRefusal::Withdrawn { id: ids[0], by: "bob".to_owned() });
    // Numbers are not used again.
    let order = change(cover("cem"), "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z");
    let RosterFact::Changed { id, .. } = roster.change(&rota(), &zones, order, noon()).unwrap() else { panic!() };
    assert_eq!(id.to_string(), "C-3");
}

#[test]
fn what_can_not_be_is_refused_and_says_why() {
    let roster = Roster::default();
    let check = |order: Change, says: &str| {
        let error = roster.change(&rota(), &zones, order, noon()).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    };
    let (from, until) = ("2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z");
    check(change(cover("eve"), from, until), "nobody named \"eve\"; there are ann, bob, cem, dot");
    check(change(cover("dot"), from, until), "dot could not be told");
    check(change(cover("cem"), until, from), "not after");
    check(change(cover("cem"), "2025-01-01T00:00:00Z", "2026-01-01T12:00:00Z"), "is past");
    check(change(swap("ann", "ann"), from, until), "ann can't swap with ann");
    check(change(swap("ann", "cem"), from, until), "neither ann nor cem is on call then");
    let other = Change { schedule: "second".to_owned(), ..change(cover("cem"), from, until) };
    check(other, "no schedule \"second\"; there are primary");
    let for_ever = change(swap("ann", "bob"), from, "9999-01-01T00:00:00Z");
    check(for_ever, "days");
    let unknown = roster.withdraw("C-9".parse().unwrap(), "ann").unwrap_err();
    assert_eq!(unknown.to_string(), "there is no change C-9");
}

#[test]
fn a_change_of_somebody_who_left_has_no_effect() {
    let mut roster = Roster::default();
    let order = change(cover("cem"), "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z");
    let fact = roster.change(&rota(), &zones, order, noon()).unwrap();
    roster.apply(&fact, noon());
    let mut smaller = rota();
    smaller.people.remove("cem");
    assert_eq!(roster.over(&smaller), smaller);
}
