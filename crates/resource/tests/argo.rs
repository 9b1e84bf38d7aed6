//! Argo CD's own health scripts, unchanged, with the tests that it ships for them; and its tests of built-in kinds.

#![cfg(test)]
#![allow(clippy::print_stderr, reason = "a test says which material is missing")]

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use prograde_resource::health::{Rules, Scripts, assess};
use prograde_resource::object::Reader;
use serde_json::Value;

/// Where `scripts/test-peers.sh` puts a part of it; nothing where it is not, which is a failure in CI.
fn material(part: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/argo-cd").join(part);
    if root.is_dir() {
        return Some(root);
    }
    let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!ci, "Argo CD's tests of health are not there: run scripts/test-peers.sh argo-cd");
    eprintln!("left out: Argo CD's tests of health are not there; scripts/test-peers.sh argo-cd fetches them");
    None
}

fn files(dir: &Path, name: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, name, found);
        } else if path.file_name().is_some_and(|own| own == name) {
            found.push(path);
        }
    }
}

fn yaml(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap();
    let documents = prograde_kustomize::documents(&path.display().to_string(), &text).unwrap();
    documents.first().map_or(Value::Null, |node| node.to_json().unwrap())
}

/// The object of a file, as `prograde health` reads it.
fn object(path: &Path) -> Result<Value, String> {
    let mut reader = Reader::new("default").lenient();
    reader.read(&path.display().to_string(), &fs::read_to_string(path).unwrap()).map_err(|found| found.to_string())?;
    reader.all().into_iter().next().map(|object| object.value).ok_or_else(|| "there is no object".to_owned())
}

#[test]
fn every_script_says_what_its_tests_expect() {
    let Some(root) = material("resource_customizations") else { return };
    let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    let mut rules = Rules { scripts: Scripts::default(), ..Rules::default() };
    let mut scripts = Vec::new();
    files(&root, "health.lua", &mut scripts);
    for script in &scripts {
        let path = script.strip_prefix(&root).unwrap().display().to_string();
        rules.scripts.file(&path, &fs::read_to_string(script).unwrap()).unwrap();
    }
    let (mut total, mut wrong) = (0, Vec::new());
    for script in &scripts {
        let dir = script.parent().unwrap();
        let tests = yaml(&dir.join("health_test.yaml"));
        for test in tests["tests"].as_array().into_iter().flatten() {
            total += 1;
            // Go does not mind the case of a field's name.
            let input = test["inputPath"].as_str().or(test["inputpath"].as_str()).unwrap();
            let object = match object(&dir.join(input)) {
                Ok(object) => object,
                Err(why) => {
                    wrong.push(why);
                    continue;
                }
            };
            let api_version = object["apiVersion"].as_str().unwrap_or_default();
            let group = prograde_resource::object::group_of(api_version);
            let kind = object["kind"].as_str().unwrap_or_default();
            let expected = &test["healthStatus"];
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let answer = rules.scripts.of(group, kind).map(|script| script.health(&object, now));
            let says = match &answer {
                Some(Ok(health)) => (health.status.to_string(), health.message.clone()),
                Some(Err(error)) => ("error".to_owned(), error.to_string()),
                None => ("no script".to_owned(), String::new()),
            };
            let whole = assess(&object, &rules, now);
            if says.0 != text(&expected["status"]) || says.1.trim() != text(&expected["message"]).trim() {
                wrong.push(format!("{} {}: {says:?}, expected {expected}", dir.display(), input));
            } else if whole.status.to_string() != says.0 {
                wrong.push(format!("{} {}: as a whole {whole:?}", dir.display(), input));
            }
        }
    }
    eprintln!("{} of {total} tests of {} scripts", total - wrong.len(), scripts.len());
    assert!(total > 900 && wrong.is_empty(), "{} of {total} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn built_in_kinds_are_as_argo_cd_expects() {
    let Some(root) = material("health") else { return };
    let source = fs::read_to_string(root.join("health_test.go")).unwrap();
    let case = regex::Regex::new(r#"\(t, "(?:\./)?testdata/([^"]+)", HealthStatus(\w+)\)"#).unwrap();
    let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    let (mut total, mut wrong) = (0, Vec::new());
    for found in case.captures_iter(&source) {
        let object = object(&root.join("testdata").join(&found[1])).unwrap();
        let health = assess(&object, &Rules::default(), now);
        total += 1;
        if health.status.to_string() != found[2] {
            wrong.push(format!("{}: {health:?}, expected {}", &found[1], &found[2]));
        }
    }
    eprintln!("{} of {total} tests of built-in kinds", total - wrong.len());
    assert!(total > 30 && wrong.is_empty(), "{} of {total} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}
