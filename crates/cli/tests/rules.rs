//! `prograde rules` on files that promtool is given as well.
#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The corpus: `pass_*` hold, `fail_*` do not, `bad_*` can't be used.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules")
}

fn names(prefix: &str) -> Vec<String> {
    let names = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with(prefix)).collect();
    names.sort();
    assert!(names.len() > 3, "the corpus has only {names:?}");
    names
}

struct Ran {
    code: i32,
    out: String,
    err: String,
}

fn prograde(arguments: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_prograde"));
    let output =
        command.args(arguments).current_dir(folder()).env_clear().env("HOME", "/nonexistent").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

/// Whether promtool is content. `None` where it is not installed, which is a failure in CI.
fn promtool(arguments: &[&str]) -> Option<bool> {
    match Command::new("promtool").args(arguments).current_dir(folder()).output() {
        Ok(output) => Some(output.status.success()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let ci = std::env::vars().any(|(name, value)| name == "CI" && value == "true");
            assert!(!ci, "promtool is missing: run scripts/test-peers.sh prometheus");
            eprintln!("left out: promtool is not installed");
            None
        }
        Err(error) => panic!("promtool can't be run: {error}"),
    }
}

#[test]
fn promtool_comes_to_the_same_verdicts() {
    let mut differences = Vec::new();
    for (prefix, expected) in [("pass_", 0), ("fail_", 1), ("bad_", 2)] {
        for name in names(prefix) {
            let ours = prograde(&["rules", "test", &name]);
            let theirs = promtool(&["test", "rules", &name]).unwrap_or(expected == 0);
            if ours.code != expected || theirs != (expected == 0) {
                differences.push(format!("{name}: {} and {theirs}\n{}{}", ours.code, ours.out, ours.err));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// What is said of a file.
fn told(name: &str) -> String {
    let ran = prograde(&["rules", "test", name]);
    format!("{}{}", ran.out, ran.err)
}

#[test]
fn failures_are_told_with_what_came_instead() {
    for (name, lines) in [
        ("fail_alert_missing.yml", [":5: alert Down at 1m, in test 1", "- {alertname=\"Down\", instance=\"a:1\"}"]),
        ("fail_alert_surplus.yml", [":5: alert Down at 2m, in test 1", "+ {alertname=\"Down\", instance=\"a:1\"}"]),
        ("fail_annotation.yml", ["summary: \"a is down\"", "summary: \"a is down since 0\""]),
        ("fail_unknown_alert.yml", ["alert Gone at 0s", "no rule in `rule_files` has this name"]),
        ("fail_sample.yml", ["- up 1.0000000001", "+ up 1\n"]),
        ("fail_written_twice.yml", ["rule one at 0s", "has another sample at this time"]),
    ] {
        let told = told(name);
        assert!(told.contains("PG0642"), "{told}");
        for line in lines {
            assert!(told.contains(line), "{line}:\n{told}");
        }
    }
}

#[test]
fn what_cannot_be_used_is_told_with_its_place() {
    for (name, place) in [
        ("bad_rules.yml", "broken.rules:5:"),
        ("bad_pattern.yml", "bad_pattern.yml:1: \"[\" is no pattern"),
        ("bad_order.yml", "bad_order.yml:1:"),
        ("bad_yaml.yml", "bad_yaml.yml:"),
        ("bad_values.yml", "\"1+x\" is no value"),
    ] {
        let told = told(name);
        assert!(told.contains("PG0643") && told.contains(place), "{place}:\n{told}");
    }
}

#[test]
fn json_tells_the_same() {
    let ran = prograde(&["rules", "test", "--json", "pass_slo.yml", "fail_annotation.yml"]);
    assert_eq!(ran.code, 1);
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(told["files"][0]["passed"], true);
    assert_eq!(told["files"][0]["tests"][0]["name"], "errors of one job");
    let failure = &told["files"][1]["tests"][0]["failures"][0];
    assert_eq!((&failure["alert"], &failure["at_ms"]), (&Value::from("Down"), &Value::from(120_000)));
    assert_eq!(failure["surplus"][0]["annotations"]["summary"], "a is down since 0");
    let ran = prograde(&["rules", "test", "--json", "bad_rules.yml", "pass_slo.yml", "gone.yml"]);
    assert_eq!(ran.code, 2);
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(told["files"][0]["errors"][1]["code"], "PG0640");
    assert_eq!(told["files"][1]["passed"], true);
    assert_eq!(told["files"][2]["errors"][0]["code"], "PG0905");
}

#[test]
fn rule_files_are_checked() {
    let ran = prograde(&["rules", "check", "slo.yml", "limits.yml", "more/one.yml"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{}", ran.err);
    assert!(ran.err.contains("Good slo.yml with 6 rules"), "{}", ran.err);
    let ran = prograde(&["rules", "check", "broken.rules", "slo.yml", "gone.yml"]);
    assert_eq!(ran.code, 2);
    for place in ["broken.rules:4:", "broken.rules:5:", "PG0640", "gone.yml: ", "PG0643"] {
        assert!(format!("{}{}", ran.out, ran.err).contains(place), "{place}:\n{}{}", ran.out, ran.err);
    }
    let ran = prograde(&["rules", "check", "--json", "broken.rules", "slo.yml"]);
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(told["errors"][0]["line"], 4);
    assert_eq!(told["good"][0]["rules"], 6);
    for (name, good) in [("slo.yml", true), ("broken.rules", false)] {
        assert!(promtool(&["check", "rules", name]).is_none_or(|theirs| theirs == good), "{name}");
    }
}
