//! `prograde render --all`: all kustomizations of a repository, and again only what depends on a change.
#![cfg(test)]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Three services on one base, of which one has an overlay of its own, in a repository.
fn repository() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    write(place.path(), ".git/HEAD", "ref: refs/heads/main");
    write(place.path(), "base/kustomization.yaml", "resources: [config.yaml]");
    write(place.path(), "base/config.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {k: one}}");
    for name in ["x", "y"] {
        write(
            place.path(),
            &format!("apps/{name}/kustomization.yml"),
            &format!("resources: [../../base]\nnamePrefix: {name}-"),
        );
    }
    write(place.path(), "apps/z/kustomization.yaml", "configMapGenerator: [{name: z, literals: [a=b]}]");
    place
}

fn write(place: &Path, path: &str, text: &str) {
    let path = place.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// The exit code, and state by directory.
fn render(place: &Path, more: &[&str]) -> (i32, Vec<String>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_prograde"));
    command.args(["render", ".", "--all", "--json"]).args(more).current_dir(place).env_clear().env("HOME", place);
    let ran = command.output().unwrap();
    let rows: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let row = |row: &Value| format!("{} {}", row["dir"].as_str().unwrap(), row["state"].as_str().unwrap());
    (ran.status.code().unwrap(), rows.as_array().unwrap().iter().map(row).collect())
}

#[test]
fn only_what_depends_on_a_change_is_rendered_again() {
    let repository = repository();
    let place = repository.path();
    let check = |code: i32, expected: [&str; 3]| {
        let seen = render(place, &["--output", "out"]);
        assert_eq!(seen, (code, expected.map(str::to_owned).to_vec()));
    };
    let out = |name: &str| fs::read_to_string(place.join(format!("out/apps/{name}.yaml"))).unwrap();
    check(0, ["apps/x rendered", "apps/y rendered", "apps/z rendered"]);
    assert!(out("x").contains("name: x-a\n") && out("y").contains("k: one\n"));
    check(0, ["apps/x unchanged", "apps/y unchanged", "apps/z unchanged"]);
    write(place, "base/config.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {k: two}}");
    check(0, ["apps/x rendered", "apps/y rendered", "apps/z unchanged"]);
    assert!(out("x").contains("k: two\n"));
    // A file that comes to be where it was looked for first.
    write(place, "apps/x/kustomization.yaml", "resources: [../../base]\nnamePrefix: other-");
    fs::remove_file(place.join("apps/x/kustomization.yml")).unwrap();
    check(0, ["apps/x rendered", "apps/y unchanged", "apps/z unchanged"]);
    assert!(out("x").contains("name: other-a\n"));
    // A second file beside the one that was read, where a directory may have one only.
    write(place, "apps/z/Kustomization", "{}");
    check(2, ["apps/x unchanged", "apps/y unchanged", "apps/z failed"]);
    fs::remove_file(place.join("apps/z/Kustomization")).unwrap();
    check(0, ["apps/x unchanged", "apps/y unchanged", "apps/z unchanged"]);
    // What somebody else wrote into the output.
    write(place, "out/apps/z.yaml", "spoilt");
    check(0, ["apps/x unchanged", "apps/y unchanged", "apps/z rendered"]);
    // What can't be rendered keeps what was written before, and is tried again until it can.
    let good = out("y");
    write(place, "apps/y/kustomization.yml", "resources: [");
    for _ in 0..2 {
        check(2, ["apps/x unchanged", "apps/y failed", "apps/z unchanged"]);
        assert_eq!(out("y"), good);
    }
    write(place, "apps/y/kustomization.yml", "resources: [../../base]\nnamePrefix: y-");
    check(0, ["apps/x unchanged", "apps/y unchanged", "apps/z unchanged"]);
    // An index that was spoilt is one that is not there.
    write(place, "out/.prograde-render.json", "{");
    check(0, ["apps/x unchanged", "apps/y unchanged", "apps/z unchanged"]);
}

#[test]
fn files_of_what_is_gone_stay_until_they_are_asked_to_go_and_a_base_that_nobody_includes_stands_by_itself() {
    let repository = repository();
    let place = repository.path();
    render(place, &["--output", "out"]);
    fs::remove_dir_all(place.join("apps/x")).unwrap();
    let left = ["apps/y unchanged", "apps/z unchanged"].map(str::to_owned).to_vec();
    for more in [&["--output", "out"][..], &["--output", "out"], &["--output", "out", "--prune"]] {
        assert!(place.join("out/apps/x.yaml").exists());
        assert_eq!(render(place, more), (0, left.clone()));
    }
    assert!(!place.join("out/apps/x.yaml").exists());
    fs::remove_dir_all(place.join("apps/y")).unwrap();
    let alone = ["apps/z unchanged", "base rendered"].map(str::to_owned).to_vec();
    assert_eq!(render(place, &["--output", "out"]), (0, alone));
    assert!(place.join("out/base.yaml").exists());
}

#[test]
fn without_an_output_everything_is_looked_at_and_nothing_written() {
    let repository = repository();
    let place = repository.path();
    assert_eq!(render(place, &[]).0, 0);
    write(place, "apps/z/kustomization.yaml", "configMapGenerator: [{name: z, literals: [no]}]");
    assert_eq!(render(place, &[]).0, 2);
    assert!(!place.join("out").exists());
}

#[test]
fn one_broken_file_of_five_hundred_is_named_and_holds_up_no_other() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    write(place, ".git/HEAD", "ref: refs/heads/main");
    let object = |at: usize| format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c-{at}\ndata: {{k: v}}\n");
    for at in 0..500 {
        write(place, &format!("apps/{at}/kustomization.yaml"), "resources: [config.yaml]");
        write(place, &format!("apps/{at}/config.yaml"), &object(at));
    }
    assert_eq!(render(place, &["--output", "out"]).0, 0);
    let good = fs::read_to_string(place.join("out/apps/321.yaml")).unwrap();
    write(place, "apps/321/config.yaml", &object(321).replace("kind: C", "kind: a: C"));
    write(place, "apps/322/config.yaml", &object(322).replace("k: v", "k: w"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_prograde"));
    let ran = command.args(["render", ".", "--all", "--output", "out"]).current_dir(place).output().unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(2), "{said}");
    assert!(said.contains("apps/321/config.yaml:2:") && said.contains("1, 498 unchanged, 1 failed"), "{said}");
    assert_eq!(fs::read_to_string(place.join("out/apps/321.yaml")).unwrap(), good);
    assert!(fs::read_to_string(place.join("out/apps/322.yaml")).unwrap().contains("k: w"));

    // All of them in one kustomization: nothing is printed of it.
    let list: Vec<String> = (0..500).map(|at| format!("../apps/{at}")).collect();
    write(place, "all/kustomization.yaml", &format!("resources: [{}]", list.join(", ")));
    let ran = Command::new(env!("CARGO_BIN_EXE_prograde")).args(["render", "all"]).current_dir(place).output().unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert!(
        ran.status.code() == Some(2) && ran.stdout.is_empty() && said.contains("apps/321/config.yaml:2:"),
        "{said}"
    );
}
