//! Ranges, asked of Masterminds' library.

use std::io::Write as _;
use std::process::{Command, Stdio};

use prograde_apps::semver::{Range, Version};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

fn ours(range: &str, version: &str) -> &'static str {
    match (Range::parse(range), Version::parse(version)) {
        (Err(_), _) => "range",
        (Ok(_), Err(_)) => "version",
        (Ok(range), Ok(version)) => {
            if range.holds(&version) {
                "yes"
            } else {
                "no"
            }
        }
    }
}

#[test]
fn ranges_hold_as_in_masterminds() {
    let Some(peer) = crate::peer("semver/semver") else { return crate::missing("semver") };
    let number = "(0|1|2|3|10|x|X|\\*)";
    let pre = "(-0|-rc\\.1|-alpha|-1\\.2)?";
    let operator = "(|=|!=|>|<|>=|=>|<=|=<|~|~>|\\^) ?";
    let one = format!("{operator}v?{number}(\\.{number}(\\.{number})?)?{pre}");
    let ranges = format!("{one}(( |, ?){one})?( ?\\|\\| ?{one}| - [0-3](\\.[0-3](\\.[0-3])?)?)?");
    let versions = "v?[0-3](\\.[0-3](\\.(0|1|2|3|10))?)?(-0|-rc\\.1|-rc\\.2|-alpha|-beta\\.11|-01|)(\\+b1)?";
    let mut runner = TestRunner::deterministic();
    let strategy =
        (proptest::string::string_regex(&ranges).unwrap(), proptest::string::string_regex(versions).unwrap());
    let mut pairs: Vec<(String, String)> =
        (0..20_000).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect();
    for range in
        ["", " ", ">=1.0.0 <2.0.0", "^1.0.x-0", "1.2.3.4", ">", "1.x.3", "a", "~0", "^0.0.3", "1.2 - 1.4", ">=1.0,<2"]
    {
        pairs.extend(["1.0.0", "1.2.3", "0.0.3", "2.0.0-rc.1"].map(|version| (range.to_owned(), version.to_owned())));
    }
    let mut child = Command::new(peer).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&serde_json::to_vec(&pairs).unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let theirs: Vec<String> = serde_json::from_slice(&output.stdout).unwrap();
    let different: Vec<String> = pairs
        .iter()
        .zip(&theirs)
        .filter(|((range, version), theirs)| ours(range, version) != theirs.as_str())
        .map(|((range, version), theirs)| format!("{range:?} {version}: {theirs}, ours {}", ours(range, version)))
        .collect();
    assert!(
        different.is_empty(),
        "{} of {}:\n{}",
        different.len(),
        pairs.len(),
        different[..different.len().min(30)].join("\n")
    );
}
