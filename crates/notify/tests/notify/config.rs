//! Which configurations are taken.

use std::fs;

use super::peer::amtool;

const CORPUS: &str = include_str!("../corpus/configs.txt");

/// Who takes each, its name, and the file.
fn cases() -> Vec<(&'static str, &'static str, &'static str)> {
    let cases = CORPUS.split("\n=== ").skip(1).map(|case| {
        let (title, text) = case.split_once('\n').unwrap_or((case, ""));
        let (who, name) = title.split_once(": ").unwrap();
        (who, name, text)
    });
    cases.collect()
}

#[test]
fn we_take_what_the_corpus_says() {
    let mut wrong = Vec::new();
    for (who, name, text) in cases() {
        let taken = prograde_notify::parse("alertmanager.yml", text);
        if taken.is_ok() != ["both", "ours"].contains(&who) {
            wrong.push(format!("{who}: {name}: {taken:?}"));
        }
        if let Err(found) = taken {
            // Every finding has a place, but for those about a whole file.
            let placed = found.0.iter().all(|finding| finding.line > 0 || text.trim().is_empty());
            assert!(placed, "{name}: {found}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn amtool_takes_what_the_corpus_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for (who, name, text) in cases() {
        let path = folder.path().join("alertmanager.yml");
        fs::write(&path, text).unwrap();
        let Some(output) = amtool(&["check-config", path.to_str().unwrap()]) else { return };
        if output.status.success() != ["both", "amtool"].contains(&who) {
            wrong.push(format!("{who}: {name}: {}", String::from_utf8_lossy(&output.stdout)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
