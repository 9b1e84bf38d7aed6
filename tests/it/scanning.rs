//! A leaked key and a vulnerable dependency are stopped at the push, before anything of them is built, and the author is
//! told where they are and what to do.

use serde_json::json;

use crate::world::repository::Repository;
use crate::world::{World, text};

/// A lock file that names one package.
const LOCK: &str = "version = 4\n\n[[package]]\nname = \"worn\"\nversion = \"0.1.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n";

/// Looks like a token of GitHub, and is none.
fn token() -> String {
    ["ghp", "a8Kd03LqPz71VnXwYt5RbMc92GhJfEsU6oQi"].join("_")
}

/// Pushes what is there; gives what the refusal says, without a line for what is only looked at.
fn refused(world: &World, repository: &Repository, message: &str) -> String {
    let commit = repository.commit(message);
    repository.send();
    let flight = world.ended(&commit, "refused");
    assert_eq!(flight["jobs"], json!([]), "nothing was run");
    let shown = world.cli(&["flight", "show", text(&flight, "id")]).stdout;
    assert!(!shown.contains(&token()), "{shown}");
    shown
}

#[test]
fn what_leaks_or_is_known_to_be_vulnerable_is_stopped_at_the_push() {
    let world = World::new();
    let repository = Repository::create(&world, "orders");
    world.ended(&repository.push("greeting=first", "Serve"), "landed");

    repository.write("deploy.env", &format!("# for the pipeline\nTOKEN={}\n", token()));
    let shown = refused(&world, &repository, "Bring a token");
    assert!(shown.contains("deploy.env:2") && shown.contains("ghp_… (40 characters)"), "{shown}");

    // The file is gone, the token is in the history that everybody has.
    repository.remove("deploy.env");
    let shown = refused(&world, &repository, "Take it out");
    assert!(shown.contains("deploy.env:2") && shown.contains("brought by commit"), "{shown}");

    let print = shown.split("fingerprint ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    let allowed = format!("allow:\n- fingerprint: {print}\n  reason: revoked, it opens nothing\n");
    repository.write(".prograde/secrets.yaml", &allowed);
    repository.write("Cargo.lock", LOCK);
    let commit = repository.commit("Say that it opens nothing");
    repository.send();
    let flight = world.flight_when(&commit, "was looked through", |flight| flight["scan"].is_object());
    assert_eq!((&flight["scan"]["packages"], &flight["scan"]["commits"]), (&json!(1), &json!(3)));
    assert!(flight["scan"]["notes"].to_string().contains("no database of vulnerabilities"), "{}", flight["scan"]);

    // From now on it is known that the package is vulnerable.
    let advisory = json!({
        "id": "RUSTSEC-2026-0001", "summary": "it tears", "database_specific": {"severity": "HIGH"},
        "affected": [{"package": {"ecosystem": "crates.io", "name": "worn"},
            "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "0.2.0"}]}]}],
    });
    let file = world.dir().join("advisory.json");
    std::fs::write(&file, advisory.to_string()).unwrap();
    let made = world.cli(&["db", "update", "--from", file.to_str().unwrap()]);
    assert_eq!(made.code, 0, "{made:?}");
    repository.write("behaviour", "greeting=second");
    let shown = refused(&world, &repository, "Serve something else");
    assert!(shown.contains("worn 0.1.0 has RUSTSEC-2026-0001, high: it tears"), "{shown}");
    assert!(shown.contains("Cargo.lock:4") && shown.contains("use worn 0.2.0 or later"), "{shown}");
    // Whoever checks before the push is told the same.
    let checked = world.cli(&["check", repository.path("").to_str().unwrap()]);
    assert!(checked.code == 2 && checked.stdout.contains("worn 0.1.0 has RUSTSEC-2026-0001"), "{checked:?}");
    world.end();
}
