//! What the sources promise about themselves: sizes, words, and that each list agrees with what it lists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;

/// Files and functions past the limits, with how long they may be and why. Entries go down, never up.
const LONGER: [(&str, usize, &str); 0] = [];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// All Rust files of the product, its tests and its example, by their path from the top.
fn sources() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders: Vec<PathBuf> = ["crates", "tests", "examples"].map(|name| root().join(name)).to_vec();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    assert!(found.len() > 100, "the sources were not found: {found:?}");
    found
}

/// The text with all comments, strings and characters blanked out, line by line as long as before.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = skipped_at(rest, code.chars().next_back());
        let taken = if skipped == 0 { first.len_utf8() } else { skipped };
        let (part, after) = rest.split_at(taken);
        if skipped == 0 {
            code.push(first);
        } else {
            code.extend(part.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        }
        rest = after;
    }
    code
}

/// How many bytes of comment, string or character begin here; none where code does.
fn skipped_at(text: &str, before: Option<char>) -> usize {
    let until = |start: usize, end: &str| text[start..].find(end).map_or(text.len(), |at| start + at + end.len());
    let in_name = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return until(2, "*/");
    }
    let raw = text.strip_prefix('b').unwrap_or(text);
    if let Some(tail) = raw.strip_prefix('r').filter(|_| !in_name) {
        let hashes = tail.len() - tail.trim_start_matches('#').len();
        if tail[hashes..].starts_with('"') {
            let start = text.len() - tail.len() + hashes + 1;
            return until(start, &format!("\"{}", "#".repeat(hashes)));
        }
    }
    if let Some(tail) = text.strip_prefix('"') {
        let mut escaped = false;
        let end = tail.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        return end.map_or(text.len(), |at| at + 2);
    }
    let Some(tail) = text.strip_prefix('\'') else { return 0 };
    // A lifetime has no second quote after one character.
    match tail.chars().next() {
        Some('\\') => tail[2..].find('\'').map_or(0, |at| at + 4),
        Some(c) if tail[c.len_utf8()..].starts_with('\'') => c.len_utf8() + 2,
        Some(_) | None => 0,
    }
}

/// Each function's name, and how many lines it has from `fn` to its last brace.
fn functions(code: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let begins = code[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '_');
        let name: String = code[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if !begins || name.is_empty() {
            continue;
        }
        let (mut round, mut curly) = (0_i32, 0_i32);
        for (length, c) in code[at..].char_indices() {
            match c {
                '(' | '[' => round += 1,
                ')' | ']' => round -= 1,
                '{' => curly += 1,
                '}' => curly -= 1,
                _ => {}
            }
            let ends = (c == '}' && curly == 0) || (c == ';' && curly == 0 && round == 0);
            if ends {
                found.push((name, code[at..=at + length].lines().count()));
                break;
            }
        }
    }
    found
}

#[test]
fn functions_are_measured() {
    let text = "fn a() {\n  // }\n  let s = \"}\\\"\"; let c = '{'; let r = r#\"\"}\"#;\n}\nfn b<'a>(x: [u8; 2]) -> &'a str;\nconst fn c() {}";
    let found = functions(&code_of(text));
    assert_eq!(found, [("a".to_owned(), 4), ("b".to_owned(), 1), ("c".to_owned(), 1)]);
}

#[test]
fn files_and_functions_are_short_or_say_why() {
    let mut long = Vec::new();
    for (path, text) in sources() {
        let lines = text.lines().count();
        long.extend((lines > FILE_LINES_MAX).then(|| (path.clone(), lines)));
        let functions = functions(&code_of(&text)).into_iter().filter(|(_, lines)| *lines > FUNCTION_LINES_MAX);
        long.extend(functions.map(|(name, lines)| (format!("{path} {name}"), lines)));
    }
    let excused = |name: &str, lines: usize| LONGER.iter().any(|(entry, max, _)| *entry == name && lines <= *max);
    let surplus: Vec<_> = long.iter().filter(|(name, lines)| !excused(name, *lines)).collect();
    assert!(surplus.is_empty(), "too long: {surplus:#?}");
    let stale: Vec<_> = LONGER.iter().filter(|(entry, ..)| !long.iter().any(|(name, _)| name == entry)).collect();
    assert!(stale.is_empty(), "short enough by now: {stale:#?}");
    assert!(LONGER.iter().all(|(.., reason)| !reason.is_empty()));
}

#[test]
fn nothing_is_put_off() {
    // Put together here, so that this file does not hold them.
    let words = ["TO DO", "FIX ME", "X XX", "todo !", "unimple mented!"].map(|word| word.replace(' ', ""));
    let mut found = Vec::new();
    for (path, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            found.extend(
                words.iter().filter(|word| line.contains(*word)).map(|word| format!("{path}:{} {word}", number + 1)),
            );
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// Codes like `PG0101` that stand as whole strings in code which users run.
fn codes() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (path, text) in sources() {
        if !path.starts_with("crates/") || !path.contains("/src/") || path.contains("tests") {
            continue;
        }
        let shipped = text.split("#[cfg(test)]\nmod ").next().unwrap();
        for (at, _) in shipped.match_indices("\"PG") {
            let code: String = shipped[at + 1..].chars().take_while(char::is_ascii_alphanumeric).collect();
            if code.len() == 6 && shipped[at + 7..].starts_with('"') {
                found.insert(code, path.clone());
            }
        }
    }
    assert!(found.len() > 20, "the codes were not found: {found:?}");
    found
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let folder = root().join("docs/errors");
    let Ok(entries) = fs::read_dir(folder) else { return };
    let pages: BTreeSet<String> = entries
        .filter_map(|entry| Some(entry.unwrap().path().file_stem()?.to_str()?.to_owned()))
        .filter(|name| name.starts_with("PG"))
        .collect();
    let codes = codes();
    let without: Vec<_> = codes.iter().filter(|(code, _)| !pages.contains(*code)).collect();
    assert!(without.is_empty(), "without a page: {without:#?}");
    let unused: Vec<_> = pages.iter().filter(|page| !codes.contains_key(*page)).collect();
    assert!(unused.is_empty(), "pages of no code: {unused:#?}");
}

#[test]
fn every_event_has_a_golden_file() {
    let mut types = BTreeSet::new();
    for file in ["event.rs", "rollout/event.rs"] {
        let text = fs::read_to_string(root().join("crates/model/src").join(file)).unwrap();
        let names = text.split("#[serde(rename = \"").skip(1).filter_map(|tail| tail.split('"').next());
        types.extend(names.filter(|name| name.contains('.')).map(str::to_owned));
    }
    assert!(types.len() > 20, "the types were not found: {types:?}");
    let golden = fs::read_dir(root().join("crates/model/tests/golden/events")).unwrap();
    let golden: Vec<String> = golden.map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned()).collect();
    let without: Vec<_> =
        types.iter().filter(|name| !golden.iter().any(|file| file.starts_with(&format!("{name}.")))).collect();
    assert!(without.is_empty(), "without a golden file: {without:?} {golden:?}");
}

#[test]
fn the_model_can_only_calculate() {
    for (path, text) in sources().iter().filter(|(path, _)| path.starts_with("crates/model/src/")) {
        let code = code_of(text);
        for word in ["async ", ".await", "std::fs", "std::net", "std::process", "tokio", "::now()", "getrandom"] {
            assert!(!code.contains(word), "{path} has {word:?}");
        }
    }
}
