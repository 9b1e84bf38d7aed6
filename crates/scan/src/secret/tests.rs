use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use super::rules::written;
use super::*;
use crate::walk::Ignored;

/// Draws characters; the same seed draws the same.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// The text with `{kind:length}` replaced by characters of that kind.
    fn fill(&mut self, text: &str) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            let place = rest[at..].find('}').map(|end| &rest[at + 1..at + end]);
            let parts = place
                .and_then(|place| place.split_once(':'))
                .and_then(|(kind, n)| Some((alphabet(kind)?, n.parse::<usize>().ok()?)));
            filled.push_str(&rest[..at]);
            if let Some((letters, length)) = parts {
                filled.extend(
                    (0..length).map(|_| char::from(letters[usize::try_from(self.next()).unwrap() % letters.len()])),
                );
                rest = &rest[at + place.unwrap().len() + 2..];
            } else {
                filled.push('{');
                rest = &rest[at + 1..];
            }
        }
        filled + rest
    }
}

fn alphabet(kind: &str) -> Option<Vec<u8>> {
    let range = |ranges: &[(u8, u8)], more: &str| {
        let mut all: Vec<u8> = ranges.iter().flat_map(|(from, to)| *from..=*to).collect();
        all.extend(more.bytes());
        all
    };
    let (lower, upper, digit) = ((b'a', b'z'), (b'A', b'Z'), (b'0', b'9'));
    Some(match kind {
        "hex" => range(&[digit, (b'a', b'f')], ""),
        "HEX" => range(&[digit, (b'A', b'F')], ""),
        "alnum" => range(&[lower, upper, digit], ""),
        "lower" => range(&[lower, digit], ""),
        "upper" => range(&[upper, digit], ""),
        "az" => range(&[lower, upper], ""),
        "b32" => range(&[upper, (b'2', b'7')], ""),
        "b64" => range(&[lower, upper, digit], "+/"),
        "url" => range(&[lower, upper, digit], "_-"),
        "bech" => range(&[], "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L"),
        "digit" => range(&[digit], ""),
        _ => return None,
    })
}

fn engine() -> (Arc<Rules>, Engine) {
    let rules = Arc::new(Rules::built_in().unwrap());
    (Arc::clone(&rules), Engine::new(rules))
}

fn found(text: &str, name: &str) -> Vec<String> {
    let (rules, mut engine) = engine();
    engine.scan(name, text.as_bytes()).iter().map(|hit| format!("{}:{}", hit.line, rules.all[hit.rule].id)).collect()
}

#[test]
fn every_rules_examples_hold() {
    let (rules, mut engine) = engine();
    let mut wrong = Vec::new();
    let mut ids = std::collections::BTreeSet::new();
    for rule in written() {
        assert!(ids.insert(rule.id.clone()), "two rules are called {}", rule.id);
        assert!(!rule.matching.is_empty() && !rule.clean.is_empty(), "{} lacks examples", rule.id);
        for seed in 0..50 {
            let mut draw = Draw(seed * 7919 + 17);
            let mut names = |text: &str| -> Vec<String> {
                engine.scan("a.env", text.as_bytes()).iter().map(|hit| rules.all[hit.rule].id.clone()).collect()
            };
            for example in &rule.matching {
                let text = draw.fill(example);
                if !names(&text).contains(&rule.id) {
                    wrong.push(format!("{} misses {text}", rule.id));
                }
            }
            for example in &rule.clean {
                let text = draw.fill(example);
                if names(&text).contains(&rule.id) {
                    wrong.push(format!("{} takes {text}", rule.id));
                }
            }
        }
    }
    // Drawn examples have too little entropy now and then.
    assert!(wrong.len() < 20, "{}: {:#?}", wrong.len(), &wrong[..wrong.len().min(40)]);
    assert!(rules.all.len() > 90);
}

#[test]
fn lines_marks_and_kinds_of_files() {
    let mut draw = Draw(1);
    let token = draw.fill("ghp_{alnum:36}");
    assert_eq!(found(&format!("a\nb\n{token}\n\n{token}"), "x.rs"), ["3:github-token", "5:github-token"]);
    assert!(found(&format!("x {token} # prograde:allow"), "x.rs").is_empty());
    assert!(found(&format!("\0{token}"), "x.bin").is_empty());
    let value = draw.fill("{alnum:24}");
    assert_eq!(found(&format!("password = \"{value}\""), "x.rs").len(), 1);
    assert!(found(&format!("password = \"{value}\""), "yarn.lock").is_empty());
    assert!(found(&format!("let password = {value};"), "x.rs").is_empty());
    assert_eq!(found(&format!("password: {value}"), "x.yaml").len(), 1);
    assert_eq!(found(&format!("secret = \"{token}\""), "x.rs"), ["1:github-token"]);
}

#[test]
fn secrets_are_never_shown() {
    let secret = Draw(3).fill("ghp_{alnum:36}");
    let shown = masked(secret.as_bytes());
    assert_eq!(shown, "ghp_… (40 characters)");
    assert_eq!(masked(b"abc"), "… (3 characters)");
    assert!(masked(b"-----BEGIN RSA PRIVATE KEY-----\nMII").starts_with("-----BEGIN RSA PRIVATE KEY-----…"));
}

#[test]
fn hostile_content_ends() {
    let (_, mut engine) = engine();
    let texts = [
        "secret".repeat(100_000),
        "password=".repeat(50_000),
        "://a:".repeat(50_000),
        "eyJ".repeat(100_000),
        "-----BEGIN PRIVATE KEY-----\n".repeat(10_000),
        "a".repeat(2_000_000),
    ];
    for text in texts {
        engine.scan("x.env", text.as_bytes());
    }
}

#[test]
fn rules_of_ones_own_are_checked() {
    let own = |text: &str| Rules::with(&[("own.toml".to_owned(), text.to_owned())]);
    let good =
        "[[rule]]\nid = \"own\"\ntitle = \"t\"\nseverity = \"low\"\nkeywords = [\"own_\"]\nregex = 'own_[0-9]{8}'\n";
    assert!(own(good).is_ok());
    for bad in [
        good.replace("[0-9]{8}", "[0-9"),
        good.replace("[0-9]{8}", "(a{1000}){1000}"),
        good.replace("\"own_\"", ""),
        "x".to_owned(),
    ] {
        assert_eq!(own(&bad).unwrap_err().code, "PG1220", "{bad}");
    }
}

fn git(root: &Path, args: &[&str]) {
    let done = Command::new("git")
        .arg("-C")
        .arg(root)
        .args(["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"])
        .args(args)
        .output()
        .unwrap();
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn all_of_the_history_is_looked_through_and_each_secret_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let mut draw = Draw(5);
    let (first, second) = (draw.fill("ghp_{alnum:36}"), draw.fill("glpat-{alnum:20}"));
    git(root, &["init", "-q", "-b", "main"]);
    std::fs::write(root.join("a b.txt"), format!("x\n{first}\n")).unwrap();
    git(root, &["add", "."]);
    git(root, &["commit", "-qm", "one"]);
    std::fs::write(root.join("a b.txt"), format!("y\nx\n{first}\n")).unwrap();
    git(root, &["commit", "-qam", "two"]);
    git(root, &["rm", "-q", "a b.txt"]);
    git(root, &["commit", "-qm", "three"]);
    git(root, &["checkout", "-qb", "side"]);
    std::fs::write(root.join("c"), format!("{second}\n")).unwrap();
    git(root, &["add", "."]);
    git(root, &["commit", "-qm", "four"]);
    git(root, &["checkout", "-q", "main"]);
    let rules = Arc::new(Rules::built_in().unwrap());
    let searched = history(root, &Commits::All, &rules, &Allowed::default()).unwrap();
    let told: Vec<_> = searched
        .findings
        .iter()
        .map(|one| (one.id.as_str(), one.file.as_str(), one.line, one.commit.is_some()))
        .collect();
    assert_eq!(told, [("github-token", "a b.txt", 2, true), ("gitlab-token", "c", 1, true)]);
    assert_eq!(searched.files, 3);
    assert!(tree(root, Ignored::LeftOut, &rules, &Allowed::default()).unwrap().findings.is_empty());
    let none = tempfile::tempdir().unwrap();
    assert_eq!(history(none.path(), &Commits::All, &rules, &Allowed::default()).unwrap_err().code, "PG1221");
}
