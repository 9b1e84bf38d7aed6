//! What comes into production is proposed, and a person lets it in by merging it, with plain git.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::world::repository::{AUTHOR, Desk, Repository, deployments};
use crate::world::wait::until;
use crate::world::{World, text};

const BRANCH: &str = "proposals/production/echo";
const MERGE: &str = "origin/proposals/production/echo:refs/heads/main";

/// A service whose production asks for a merge, and for this as well.
fn service(world: &World, more: &str) -> Repository {
    let repository = Repository::create(world, "echo");
    declare(&repository, more);
    repository
}

fn declare(repository: &Repository, more: &str) {
    let config = std::fs::read_to_string(repository.path("prograde.yaml")).unwrap();
    let (before, _) = config.split_once("environments:").unwrap();
    let environments =
        format!("environments:\n  - name: test\n  - name: production\n    gate:\n      merge: true\n{more}");
    repository.write("prograde.yaml", &format!("{before}{environments}"));
}

fn waits(world: &World, commit: &str) -> Value {
    world.flight_when(commit, "is proposed", |flight| {
        text(flight, "detail") == format!("waits for {BRANCH} to be merged")
    })
}

/// The last fact of a kind.
fn event<'a>(flight: &'a Value, kind: &str) -> &'a Value {
    let events = flight["events"].as_array().unwrap();
    &events.iter().rfind(|event| event["type"] == kind).unwrap_or_else(|| panic!("no {kind}"))["data"]
}

/// Fetches all there is, until the branch is where it should be.
fn fetched(desk: &Desk, what: &str, fits: impl Fn(&Desk) -> bool) {
    until(what, || {
        desk.git(&["fetch", "--quiet", "--prune", "origin"]);
        fits(desk).then_some(())
    });
}

fn branches(desk: &Desk) -> String {
    desk.git(&["branch", "--remotes", "--list", "origin/proposals/*"])
}

#[test]
fn what_is_proposed_is_read_and_let_in_by_merging_it() {
    let world = World::new();
    let repository = service(&world, "");
    let first = repository.push("greeting=first", "Serve");
    let waiting = waits(&world, &first);
    let ann = Desk::clone_as(&world, "ann");
    let difference = ann.git(&["diff", "origin/main", &format!("origin/{BRANCH}")]);
    assert!(difference.contains("+++ b/production/echo/objects/apps_v1_deployment_echo.yaml"), "{difference}");
    assert!(difference.contains("image: echo@sha256:"), "the image is pinned: {difference}");
    assert_eq!(ann.git(&["diff", "--name-only", "origin/main", &format!("origin/{BRANCH}"), "--", "test"]), "");
    for asked in ["status", "env"] {
        let told = world.cli(&[asked]);
        assert!(told.stdout.contains("waits for proposals/production/echo to be merged"), "{told:?}");
    }
    let shown = world.cli(&["flight", "show", &text(&waiting, "id")[..8]]);
    let next = "git push origin origin/proposals/production/echo:main";
    assert!(
        shown.stdout.contains("waits at the gate: waits for proposals/") && shown.stderr.contains(next),
        "{shown:?}"
    );
    let before = deployments(&world);
    assert!(world.target("echo", "production").is_none());

    ann.push_origin(MERGE).unwrap();
    let landed = world.ended(&first, "landed");
    assert_eq!(event(&landed, "gate.merged")["by"], "ann");
    let now = deployments(&world);
    assert_eq!(now.len(), before.len() + 1, "the commit that was proposed is the one of the release");
    assert_eq!(event(&landed, "environment.deployed")["commit"], now[0].commit.as_str());
    assert_eq!(event(&landed, "gate.proposed")["commit"], now[0].commit.as_str());
    assert_eq!(now[0].trailer("Prograde-Target"), Some("production/echo"));
    assert_eq!(world.serves_alone("echo", "production")["flight"], landed["id"]);
    fetched(&ann, "nothing is proposed any more", |desk| branches(desk).is_empty());
    world.end();
}

#[test]
fn a_merge_commit_does_as_well_after_main_has_moved_on() {
    let world = World::new();
    let repository = service(&world, "");
    let first = repository.push("greeting=first", "Serve");
    // Who has no clone lets the server merge it.
    let id = text(&waits(&world, &first), "id").to_owned();
    let merge = || world.cli(&["approve", &id, "--merge", "--by", "Cem"]);
    let merged = merge();
    assert!(merged.code == 0 && merged.stderr.contains("Merged"), "{merged:?}");
    assert_eq!(event(&world.ended(&first, "landed"), "gate.merged")["by"], "Cem");
    let again = merge();
    assert!(again.code == 1 && again.stderr.contains("has nothing to merge"), "{again:?}");
    let ann = Desk::clone_as(&world, "ann");
    let second = repository.push("greeting=second", "Serve something else");
    waits(&world, &second);
    ann.git(&["fetch", "--quiet", "origin"]);
    let proposed = ann.git(&["rev-parse", &format!("origin/{BRANCH}")]);

    // Another service moves `main`, and what is proposed follows.
    let mill = Repository::create(&world, "mill");
    let config = std::fs::read_to_string(mill.path("prograde.yaml")).unwrap();
    let (before, _) = config.split_once("environments:").unwrap();
    mill.write("prograde.yaml", &format!("{before}environments:\n  - name: test\n"));
    world.ended(&mill.push("greeting=mill", "Mill"), "landed");
    let said = ann.push_origin(&format!("{}:refs/heads/main", proposed.trim())).unwrap_err();
    assert!(said.contains("non-fast-forward") || said.contains("fetch first"), "{said}");
    fetched(&ann, "it lies on the new main", |desk| {
        let parent = desk.git(&["rev-parse", &format!("origin/{BRANCH}^")]);
        parent == desk.git(&["rev-parse", "origin/main"])
    });

    // Who has the one before merges it all the same.
    ann.git(&["checkout", "--quiet", "-B", "desk", "origin/main"]);
    ann.git(&["merge", "--quiet", "--no-ff", "--no-edit", proposed.trim()]);
    let merge = ann.git(&["rev-parse", "HEAD"]);
    ann.push_origin("HEAD:refs/heads/main").unwrap();
    let landed = world.ended(&second, "landed");
    assert_eq!(event(&landed, "gate.merged")["by"], AUTHOR.0);
    assert_eq!(event(&landed, "environment.deployed")["commit"], merge.trim());
    assert_eq!(world.serves_alone("echo", "production")["flight"], landed["id"]);

    // And back, to what was there before the merge.
    let order = ["rollback", "echo", "--environment", "production", "--reason", "it smells", "--by", "bob"];
    let ordered = world.cli(&order);
    assert_eq!(ordered.code, 0, "{ordered:?}");
    world.ended(&second, "rolled_back");
    ann.git(&["fetch", "--quiet", "origin"]);
    let back = ann.git(&["diff", "--name-only", &format!("{}^", merge.trim()), "origin/main"]);
    assert_eq!(back, "", "nothing is left of it");
    world.end();
}

#[test]
fn what_is_stale_or_held_is_refused_with_the_reason() {
    let mut world = World::new();
    let repository = service(&world, "");
    let first = repository.push("greeting=first", "Serve");
    waits(&world, &first);
    let ann = Desk::clone_as(&world, "ann");
    let stale = ann.git(&["rev-parse", &format!("origin/{BRANCH}")]);
    let frozen = "      freezes:\n        - { from: 2020-01-01T00:00, until: 2120-01-01T00:00, time_zone: UTC, \
                  reason: the antenna is painted }\n";
    declare(&repository, frozen);
    let second = repository.push("greeting=second", "Serve something else");
    let flight = world.flight_when(&second, "waits", |flight| text(flight, "detail").contains(BRANCH));
    assert!(text(&flight, "detail").starts_with("held: it is frozen"), "{flight}");
    world.ended(&first, "superseded");
    let refused = |what: &str, why: &str| {
        let said = ann.push_origin(what).unwrap_err();
        assert!(said.contains(why), "{said}");
    };
    fetched(&ann, "the later one is proposed", |desk| {
        desk.git(&["rev-parse", &format!("origin/{BRANCH}")]) != stale
            && desk.git(&["rev-parse", &format!("origin/{BRANCH}^")]) == desk.git(&["rev-parse", "origin/main"])
    });
    // On top of what `main` is now, so that nothing else can be wrong with it.
    ann.git(&["checkout", "--quiet", "-B", "old", "origin/main"]);
    ann.git(&["merge", "--quiet", "--no-ff", "--no-edit", stale.trim()]);
    refused("HEAD:refs/heads/main", "production/echo can't be merged: flight");
    refused("HEAD:refs/heads/main", "gave way to flight");
    refused(MERGE, "held: it is frozen until 2120-01-01T00:00:00Z: the antenna is painted");
    refused(&format!("+HEAD:refs/heads/{BRANCH}"), "only main can be pushed to");
    ann.git(&["checkout", "--quiet", "-B", "edited", &format!("origin/{BRANCH}")]);
    ann.write("production/echo/more.yaml", "a: b\n");
    refused("HEAD:refs/heads/main", "would become something that no release was there");

    let id = text(&flight, "id").to_owned();
    let past = ["approve", &id, "--override", "freeze/production", "--reason", "it is dry", "--by", "Eve"];
    let passed = world.cli(&past);
    assert_eq!(passed.code, 0, "{passed:?}");
    ann.push_origin(MERGE).unwrap();
    let landed = world.ended(&second, "landed");

    // One that came past the server is taken out again.
    let written = deployments(&world);
    world.kill();
    ann.git(&["fetch", "--quiet", world.data().join("deployments/deployments.git").to_str().unwrap(), "main"]);
    ann.git(&["checkout", "--quiet", "-B", "old", "FETCH_HEAD"]);
    ann.git(&["checkout", "--quiet", stale.trim(), "--", "production/echo"]);
    ann.git(&["commit", "--quiet", "--message", "Put the old one there"]);
    ann.sneak(&world);
    world.start();
    let now = until("it is taken out", || Some(deployments(&world)).filter(|now| now.len() == written.len() + 2));
    assert!(now[0].message.contains("gave way to flight"), "{}", now[0].message);
    assert_eq!(world.serves_alone("echo", "production")["flight"], landed["id"]);
    world.end();
}

#[test]
fn a_merge_is_taken_in_also_if_the_server_ended_right_after_the_push() {
    let mut world = World::new();
    let repository = service(&world, "");
    let first = repository.push("greeting=first", "Serve");
    waits(&world, &first);
    let ann = Desk::clone_as(&world, "ann");
    ann.git(&["checkout", "--quiet", "-B", "desk", &format!("origin/{BRANCH}")]);
    world.kill();
    ann.sneak(&world);
    world.start();
    let landed = world.ended(&first, "landed");
    assert_eq!(event(&landed, "gate.merged")["by"], "git push");
    assert_eq!(world.serves_alone("echo", "production")["flight"], landed["id"]);
    world.end();
}

/// What a bare repository has under a branch's name.
fn there(host: &Path, branch: &str) -> Option<String> {
    let mut asked = Command::new("git");
    let out = asked.arg("--git-dir").arg(host).args(["rev-parse", "--verify", "--quiet", branch]).output().unwrap();
    out.status.success().then(|| String::from_utf8(out.stdout).unwrap().trim().to_owned())
}

#[test]
fn what_is_proposed_is_merged_at_a_git_host() {
    let dir = tempfile::tempdir().unwrap();
    let host = dir.path().join("host.git");
    assert!(Command::new("git").args(["init", "--quiet", "--bare"]).arg(&host).status().unwrap().success());
    std::fs::write(host.join("HEAD"), "ref: refs/heads/main\n").unwrap();
    let file = format!("version: 1\ndeployments: {{ url: '{}', poll: 5s }}\n", host.display());
    let mut world = World::with_files(&[("upstreams.yaml", &file)], &["--upstreams", "upstreams.yaml"]);
    let repository = service(&world, "");
    let first = repository.push("greeting=first", "Serve");
    waits(&world, &first);
    until("the host has what is proposed", || there(&host, BRANCH).map(drop));
    let grace = Desk::clone_of(&world, &host, "grace");
    grace.git(&["merge", "--quiet", "--no-ff", "-m", "Merge pull request #1", &format!("origin/{BRANCH}")]);
    grace.git(&["commit", "--quiet", "--amend", "--no-edit", "--author=Grace <grace@example.org>"]);
    grace.push_origin("HEAD:refs/heads/main").unwrap();
    // Wherever the server is with it, it goes on.
    world.kill();
    world.start();
    let landed = world.ended(&first, "landed");
    assert_eq!(event(&landed, "gate.merged")["by"], "Grace");
    assert_eq!(world.serves_alone("echo", "production")["flight"], landed["id"]);
    until("nothing is proposed there any more", || there(&host, BRANCH).is_none().then_some(()));
    assert_eq!(there(&host, "main").unwrap(), deployments(&world)[0].commit);

    // What nobody proposed is not taken, and told.
    grace.write("production/echo/extra.yaml", "{}\n");
    grace.push_origin("HEAD:refs/heads/main").unwrap();
    let trouble = || world.get("/api/v1/upstreams")[0]["trouble"].as_str().map(str::to_owned);
    let told = until("it is told", trouble);
    assert!(told.contains("production/echo would become something that no release was there"), "{told}");
    let listed = world.cli(&["upstream", "list"]);
    assert!(listed.code == 1 && listed.stdout.contains("deployments"), "{listed:?}");
    // Put right there, it goes on, and what is recorded here comes there.
    grace.revert("HEAD");
    grace.push_origin("HEAD:refs/heads/main").unwrap();
    until("it is in step again", || trouble().is_none().then_some(()));
    let second = repository.push("greeting=second", "Serve something else");
    waits(&world, &second);
    until("the host has it", || there(&host, BRANCH).map(drop));
    world.end();
}
