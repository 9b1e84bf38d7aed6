//! `prograde oncall` with the real binary, and its calendar as another program reads it.
#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

const ROTA: &str = "\
version: 1
people:
  ann: { name: 'Ann, of Ünterheim; and a very long name that has to be folded in every calendar', email: ann@example.com }
  bob: { time_zone: America/New_York }
schedules:
  - name: primary
    time_zone: Europe/Berlin
    layers:
      - { name: week, from: 2026-01-05T09:00, every: 1w, people: [ann, bob] }
    overrides:
      - { person: ann, from: 2026-03-25T12:00, until: 2026-03-25T18:00 }
";

struct Place(TempDir);

impl Place {
    fn new(rota: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::write(place.0.path().join("oncall.yaml"), rota).unwrap();
        place
    }

    fn run(&self, args: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_prograde"));
        let file = if args.contains(&"--file") { &[][..] } else { &["--file", "oncall.yaml"] };
        command.arg("oncall").args(args).args(file).current_dir(self.0.path()).env_clear().env("HOME", self.0.path());
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }
}

#[test]
fn who_is_on_call_and_who_comes_next() {
    let place = Place::new(ROTA);
    let (code, out, err) = place.run(&["who", "--at", "2026-03-25T12:00:00+01:00", "--json"]);
    assert_eq!(code, 0, "{err}");
    let found: serde_json::Value = serde_json::from_str(&out).unwrap();
    let primary = &found["schedules"][0];
    assert_eq!((&primary["on_call"]["person"], &primary["on_call"]["by"]), (&"ann".into(), &"override".into()));
    assert_eq!(primary["next"][0]["from"], "2026-03-25T17:00:00Z");
    let (_, out, _) = place.run(&["show", "primary", "--from", "2026-03-23", "--days", "14"]);
    assert!(out.contains("Mon 2026-03-30 09:00 CEST"), "clocks went forward, the hand-over stays at nine: {out}");
    let (code, _, err) = place.run(&["show", "tertiary"]);
    assert!(code == 2 && err.contains("there are primary"), "{err}");
}

#[test]
fn hours_without_anybody_are_named_and_so_is_every_mistake() {
    let place = Place::new(&ROTA.replace("every: 1w,", "every: 1w, only: [{ from: '08:00', until: '20:00' }],"));
    let (code, out, err) = place.run(&["check", "--from", "2026-02-02", "--days", "2"]);
    assert_eq!(code, 1, "{out}{err}");
    assert!(out.contains("nobody is on call from Mon 2026-02-02 20:00 CET to Tue 2026-02-03 08:00 CET"), "{out}");
    assert!(err.contains("PG0671"), "{err}");
    let (code, ..) = place.run(&["who", "--at", "2026-02-02T22:00:00Z"]);
    assert_eq!(code, 1);
    let place = Place::new(&ROTA.replace("[ann, bob]", "[ann, eve]").replace("person: ann", "person: mallory"));
    let (code, out, _) = place.run(&["check"]);
    assert_eq!((code, out.matches("[PG0670]").count()), (2, 2), "{out}");
    assert!(out.contains("oncall.yaml:9:") && out.contains("oncall.yaml:11:"), "{out}");
    let (code, _, err) = Place::new(ROTA).run(&["check", "--file", "missing.yaml"]);
    assert!(code == 2 && err.contains("PG0905"), "{err}");
}

#[test]
fn load_is_shared_evenly_by_two_who_take_turns() {
    let place = Place::new(ROTA);
    let (code, out, err) = place.run(&["load", "--from", "2026-01-05T08:00:00Z", "--days", "28", "--json"]);
    assert_eq!(code, 0, "{err}");
    let found: serde_json::Value = serde_json::from_str(&out).unwrap();
    fs::write(place.0.path().join("pages.txt"), "2026-01-06T02:00:00Z\n\n 2026-01-06T12:00:00+01:00\n").unwrap();
    let with_pages = ["load", "--from", "2026-01-05T08:00:00Z", "--days", "28", "--json", "--pages", "pages.txt"];
    let paged: serde_json::Value = serde_json::from_str(&place.run(&with_pages).1).unwrap();
    let ann = &paged[0]["people"]["ann"];
    assert_eq!((&ann["pages"], &ann["night_pages"]), (&2.into(), &1.into()), "{paged}");
    fs::write(place.0.path().join("pages.txt"), "2026-01-06T02:00:00Z\nsoon\n").unwrap();
    let (code, _, err) = place.run(&with_pages);
    assert!(code == 2 && err.contains("pages.txt:2: that is no time"), "{err}");
    assert_eq!((&found[0]["people"]["ann"]["hours"], &found[0]["fairness"]), (&336.0.into(), &1.0.into()), "{out}");
}

/// The Python that has the peer: that of `scripts/test-peers.sh`, or the system's.
fn python() -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/icalendar/bin/python");
    let has = |python: &PathBuf| {
        Command::new(python).args(["-c", "import icalendar"]).output().is_ok_and(|o| o.status.success())
    };
    let found = [own, PathBuf::from("python3")].into_iter().find(has);
    if found.is_none() {
        assert!(
            std::env::var_os("CI").is_none_or(|ci| ci != "true"),
            "icalendar is missing: scripts/test-peers.sh icalendar"
        );
        eprintln!("left out: icalendar for Python is missing; scripts/test-peers.sh icalendar installs it");
    }
    found
}

#[test]
fn another_program_reads_the_calendar() {
    let Some(python) = python() else { return };
    let place = Place::new(ROTA);
    let (code, out, err) = place.run(&["calendar", "primary", "--from", "2026-03-23", "--days", "14"]);
    assert_eq!(code, 0, "{err}");
    let file = place.0.path().join("oncall.ics");
    fs::write(&file, out).unwrap();
    let script = "import sys, icalendar\n\
        calendar = icalendar.Calendar.from_ical(open(sys.argv[1], 'rb').read())\n\
        for event in calendar.walk('VEVENT'):\n    \
            print(event.decoded('dtstart').isoformat(), event.decoded('dtend').isoformat(), event['summary'], event['uid'] != '')";
    let read = Command::new(python).args(["-c", script]).arg(&file).output().unwrap();
    let text = String::from_utf8(read.stdout).unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let lines: Vec<&str> = text.lines().collect();
    let ann =
        "Ann, of Ünterheim; and a very long name that has to be folded in every calendar is on call (primary) True";
    assert_eq!(
        lines,
        [
            format!("2026-03-23T00:00:00+00:00 2026-03-23T08:00:00+00:00 {ann}"),
            "2026-03-23T08:00:00+00:00 2026-03-25T11:00:00+00:00 bob is on call (primary) True".to_owned(),
            format!("2026-03-25T11:00:00+00:00 2026-03-25T17:00:00+00:00 {ann}"),
            "2026-03-25T17:00:00+00:00 2026-03-30T07:00:00+00:00 bob is on call (primary) True".to_owned(),
            format!("2026-03-30T07:00:00+00:00 2026-04-06T00:00:00+00:00 {ann}"),
        ]
    );
}

#[test]
fn exports_of_other_products_become_a_file_that_is_read() {
    let place = Place::new(ROTA);
    let layer = serde_json::json!({"name": "Week", "start": "2026-01-05T09:00:00+01:00", "rotation_turn_length_seconds": 604_800,
        "users": [{"user": {"id": "PA", "summary": "Ann"}}, {"user": {"id": "PB", "summary": "Bob"}}]});
    let export = serde_json::json!({"schedule": {"id": "S", "name": "Primary", "time_zone": "Europe/Berlin", "schedule_layers": [layer]}});
    fs::write(place.0.path().join("export.json"), export.to_string()).unwrap();
    let run = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_prograde"));
        command.args(["oncall", "import", "--from", "pagerduty"]).args(more);
        let Output { status, stdout, stderr } = command.current_dir(place.0.path()).env_clear().output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    };
    let (code, out, err) = run(&["export.json"]);
    assert!(code == 0 && out.starts_with("version: 1\n"), "{out}{err}");
    assert!(
        err.contains("export.json: schedule.schedule_layers[0].users[0].user: no mail address is known of ann"),
        "{err}"
    );
    let (code, out, err) = run(&["export.json", "--strict"]);
    assert!(code == 1 && out.is_empty() && err.contains("PG0674"), "{out}{err}");
    let (code, _, err) = run(&["export.json", "--out", "oncall.yaml"]);
    assert!(code == 2 && err.contains("--force"), "{err}");
    assert_eq!(fs::read_to_string(place.0.path().join("oncall.yaml")).unwrap(), ROTA);
    let (code, _, err) = run(&["export.json", "--out", "oncall.yaml", "--force"]);
    assert_eq!(code, 0, "{err}");
    let (code, out, err) = place.run(&["who", "--at", "2026-01-13T12:00:00+01:00", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(code == 0 && found["schedules"][0]["on_call"]["person"] == "bob", "{out}{err}");
    let (code, _, err) = run(&["oncall.yaml"]);
    assert!(code == 2 && err.contains("PG0673") && err.contains("oncall.yaml:1:1"), "{err}");
}
