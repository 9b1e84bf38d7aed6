//! Templates, filled in by Go itself.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use proptest::strategy::{BoxedStrategy, Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use serde_json::Value as Json;
use tempfile::TempDir;

use super::{data, generator};

/// The peer, built once. `None` where Go is not installed, which is a failure in CI.
fn peer() -> Option<&'static TempDir> {
    static BUILT: OnceLock<Option<TempDir>> = OnceLock::new();
    BUILT.get_or_init(build).as_ref()
}

fn build() -> Option<TempDir> {
    let folder = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peer");
    let built = Command::new("go").args(["build", "-o"]).arg(folder.path()).arg(".").current_dir(source).output();
    match built {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(folder)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            missing();
            None
        }
        Err(error) => panic!("go can't be run: {error}"),
    }
}

#[expect(clippy::print_stderr, reason = "whoever runs the tests should know which they did not run")]
fn missing() {
    let ci = std::env::vars().any(|(name, value)| name == "CI" && value == "true");
    assert!(!ci, "go is missing: run scripts/test-peers.sh");
    eprintln!("left out: go is not installed");
}

/// What Go makes of each text; `None` for one that gives no UTF-8.
fn theirs(peer: &Path, texts: &[String]) -> Vec<Option<Result<String, String>>> {
    let mut child = Command::new(peer.join("peer"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&serde_json::to_vec(texts).unwrap()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let answers: Vec<Json> = serde_json::from_slice(&output.stdout).unwrap();
    let answer = |answer: &Json| {
        let text = answer["Text"].as_str().unwrap().to_owned();
        let found = if answer["OK"].as_bool().unwrap() { Ok(text) } else { Err(text) };
        answer["Whole"].as_bool().unwrap().then_some(found)
    };
    answers.iter().map(answer).collect()
}

/// A text that tells of values with their Go types as we tell of them.
fn kinds(theirs: &str) -> String {
    let lists = ["[]interface {}=", "[]string=", "[]main.Record="];
    let maps = ["map[string]interface {}=", "map[string]string="];
    let lists = lists.map(|kind| (kind, "list="));
    let replaced = lists.into_iter().chain(maps.map(|kind| (kind, "map=")));
    replaced.fold(theirs.to_owned(), |text, (theirs, ours)| {
        text.replace(theirs, ours).replace(&theirs.to_uppercase(), &ours.to_uppercase())
    })
}

/// Compares, and gives how many of the texts Go could fill in.
fn compare(texts: &[String]) -> usize {
    let Some(peer) = peer() else { return texts.len() };
    let theirs = theirs(peer.path(), texts);
    assert_eq!(theirs.len(), texts.len());
    let mut differences = Vec::new();
    let mut filled = 0;
    for (text, theirs) in texts.iter().zip(theirs) {
        let ours = data::fill(text).map_err(|error| error.to_string());
        let agree = match (&ours, &theirs) {
            (Ok(ours), Some(Ok(theirs))) => ours == theirs || *ours == kinds(theirs),
            (Err(_), Some(Err(_))) => true,
            // What is documented as refused.
            (Err(error), Some(Ok(_)) | None) => {
                error.contains("not supported") || error.contains("inside of a character")
            }
            (Ok(_), Some(Err(_)) | None) => false,
        };
        filled += usize::from(agree && ours.is_ok());
        if !agree {
            differences.push(format!("{text:?}\n  ours:   {ours:?}\n  theirs: {theirs:?}"));
        }
    }
    let shown = differences.iter().take(40).cloned().collect::<Vec<_>>().join("\n");
    assert!(differences.is_empty(), "{} of {} differ:\n{shown}", differences.len(), texts.len());
    filled
}

/// The corpus: a template a line.
fn corpus() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus.txt");
    let text = fs::read_to_string(path).unwrap();
    text.lines().filter(|line| !line.starts_with("# ")).map(|line| line.replace('⏎', "\n")).collect()
}

#[test]
fn go_fills_in_the_corpus_alike() {
    let corpus = corpus();
    assert!(corpus.len() >= 250, "the corpus has only {} texts", corpus.len());
    let filled = compare(&corpus);
    assert!(filled >= 150, "only {filled} can be filled in");
}

/// Compares so many texts out of a strategy, the same ones each time.
fn compare_generated(texts: &BoxedStrategy<String>, count: usize, filled_min: usize) {
    let mut runner = TestRunner::deterministic();
    let texts: Vec<String> = (0..count).map(|_| texts.new_tree(&mut runner).unwrap().current()).collect();
    let filled = compare(&texts);
    assert!(filled >= filled_min, "only {filled} can be filled in");
}

#[test]
fn go_fills_in_templates_out_of_a_grammar_alike() {
    compare_generated(&generator::template(), 5000, 800);
}

#[test]
fn go_takes_and_refuses_the_same_pieces() {
    compare_generated(&generator::soup(), 5000, 500);
}

#[test]
fn go_formats_alike() {
    compare_generated(&generator::printf(), 5000, 4000);
}
