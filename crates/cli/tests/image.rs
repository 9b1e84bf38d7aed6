//! `prograde image` with the real binary, against Debian's registry where there is one.
#![cfg(test)]

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

struct Place(TempDir);

struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.err);
        serde_json::from_str(&self.out).unwrap()
    }
}

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.path().join("static")).unwrap();
        fs::write(place.path().join("static/a.css"), "a{}").unwrap();
        fs::write(place.path().join("pad"), "#!/bin/sh\necho hello\n").unwrap();
        place
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, args: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_prograde"));
        command.arg("image").args(args).current_dir(self.path()).env_clear().stdin(Stdio::null());
        command.env("HOME", self.path()).env("PATH", env!("PATH"));
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
    }

    fn build(&self, more: &[&str]) -> Ran {
        self.run(&[&["build", "--binary", "pad", "--dir", "static:/srv"], more].concat())
    }
}

#[test]
fn an_image_is_built_looked_at_and_compared() {
    let place = Place::new();
    let built = place.build(&["--cmd", "--fast", "--env", "A=b", "--label", "team=sky", "--json"]).json();
    assert_eq!(built["name"], "pad:latest");
    assert!(built["pushed"].is_null());
    let again = place.build(&["--cmd", "--fast", "--env", "A=b", "--label", "team=sky"]);
    assert_eq!(again.out.trim(), built["digest"].as_str().unwrap());
    assert!(again.err.contains("reused") && !again.err.contains("new\n"), "{}", again.err);
    assert_eq!(fs::read_to_string(place.path().join(".prograde/images/.gitignore")).unwrap(), "*\n");

    let seen = place.run(&["inspect", ".prograde/images:pad:latest", "--json"]).json();
    let config = &seen["images"][0]["config"]["config"];
    assert_eq!((&config["Entrypoint"], &config["Cmd"]), (&json!(["/app/pad"]), &json!(["--fast"])));
    assert_eq!((&config["User"], &config["Labels"]["team"]), (&json!("65532:65532"), &json!("sky")));
    let shown = place.run(&["inspect", ".prograde/images"]);
    for part in ["platform    linux/", "entrypoint  [\"/app/pad\"]", "env         A=b", "LAYER"] {
        assert!(shown.out.contains(part), "{part}: {}", shown.out);
    }

    fs::write(place.path().join("static/b.css"), "b{}").unwrap();
    fs::write(place.path().join("static/a.css"), "a{b}").unwrap();
    place.build(&["--layout", "other"]);
    let different = place.run(&["diff", ".prograde/images:pad:latest", "other", "--json"]).json();
    let paths: Vec<&str> =
        different["difference"]["files"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["/srv/a.css", "/srv/b.css"]);
    assert_eq!(different["difference"]["layers_shared"].as_array().unwrap().len(), 1);
    let shown = place.run(&["diff", ".prograde/images", "other"]).out;
    assert!(shown.contains("~ /srv/a.css (3 B -> 4 B)") && shown.contains("+ /srv/b.css (file, 0644, 3 B)"), "{shown}");
}

#[test]
fn what_can_not_be_done_says_why_and_what_to_do() {
    let place = Place::new();
    fs::create_dir(place.path().join("empty")).unwrap();
    fs::write(place.path().join("text"), "no archive").unwrap();
    for (args, code, told) in [
        (&["build", "empty"][..], 2, "PG0765"),
        (&["build", "--binary", "missing"], 2, "PG0765"),
        (&["build", "--binary", "pad", "--env", "x"], 2, "NAME=VALUE"),
        (&["build", "--binary", "pad", "--dir", "static"], 2, "FROM:TO"),
        (&["build", "--binary", "pad", "--entrypoint", "/bin/sh"], 2, "not one of its executable files"),
        (&["build", "--binary", "pad", "--platform", "linux/amd64,linux/arm64"], 2, "{arch}"),
        (&["build", "--binary", "pad-{arch}"], 2, "--platform"),
        (&["build", "--binary", "pad", "--push"], 2, "--tag"),
        (&["build", "--binary", "pad", "--base", "A B"], 2, "PG0760"),
        (&["build", "--dockerfile", "missing"], 2, "PG0765"),
        (&["build", "--dockerfile", "text", "--builder", "kaniko"], 2, "PG0766"),
        (&["inspect", "empty"], 2, "PG0760"),
        (&["inspect", "text"], 2, "PG0760"),
        (&["inspect", "No/Image"], 2, "PG0760"),
        (&["inspect", "127.0.0.1:1/x"], 2, "PG0761"),
        (&["pull", "http://x/y"], 2, "no scheme"),
    ] {
        let ran = place.run(args);
        assert!(ran.code == code && ran.err.contains(told), "{args:?}: {} {}", ran.code, ran.err);
        assert_eq!(ran.out, "", "{args:?}");
    }
}

/// Debian's registry; it is stopped with the test.
struct Registry {
    child: Child,
    _dir: TempDir,
    address: String,
}

impl Registry {
    fn start(test: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let address = format!("127.0.0.1:{}", prograde_ports::free());
        let config = json!({
            "version": 0.1, "log": { "level": "error" },
            "storage": { "filesystem": { "rootdirectory": dir.path() } }, "http": { "addr": address }
        });
        let file = dir.path().join("config.yml");
        fs::write(&file, config.to_string()).unwrap();
        let mut command = Command::new("docker-registry");
        let Ok(child) = command.arg("serve").arg(file).stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
            let way = "scripts/test-peers.sh docker-registry";
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{test} needs docker-registry: {way}");
            eprintln!("left out: {test}, as docker-registry is not installed ({way})");
            return None;
        };
        for _ in 0..600 {
            if TcpStream::connect(&address).is_ok() {
                return Some(Self { child, _dir: dir, address });
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        panic!("docker-registry does not listen");
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn an_image_is_pushed_with_what_belongs_to_it_and_pulled() {
    let Some(registry) = Registry::start("an_image_is_pushed_with_what_belongs_to_it_and_pulled") else { return };
    let place = Place::new();
    let lock = "version = 4\n\n[[package]]\nname = \"pad\"\nversion = \"1.0.0\"\ndependencies = [\"log\"]\n\n\
        [[package]]\nname = \"log\"\nversion = \"0.4.20\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n";
    fs::write(place.path().join("Cargo.lock"), lock).unwrap();
    let name = format!("{}/team/pad:v1", registry.address);
    let pushed = place.build(&["--tag", &name, "--push", "--json"]).json();
    let kinds: Vec<&str> = pushed["pushed"]["attached"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["artifact_type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["application/vnd.cyclonedx+json", "application/vnd.in-toto+json"]);

    let seen = place.run(&["inspect", &name, "--json"]).json();
    assert_eq!((&seen["digest"], seen["referrers"].as_array().unwrap().len()), (&pushed["digest"], 2));
    let pulled = place.run(&["pull", &name, "--layout", "pulled", "--output", "pad.tar", "--json"]).json();
    assert_eq!(pulled["digest"], pushed["digest"]);
    let archived = place.run(&["inspect", "pad.tar", "--json"]).json();
    assert_eq!(archived["digest"], pushed["digest"]);
    let other = format!("{}/team/other:v2", registry.address);
    let sent = place.run(&["push", "pad.tar", &other]);
    assert_eq!(sent.out.trim(), pushed["digest"].as_str().unwrap(), "{}", sent.err);
    let copied = format!("{}/team/third:v2", registry.address);
    let sent = place.run(&["push", &other, &copied]);
    assert_eq!(sent.out.trim(), pushed["digest"].as_str().unwrap(), "{}", sent.err);

    // Another image on top of it, for which its layers need not be sent.
    let top = format!("{}/team/top:v1", registry.address);
    let built = place.run(&[
        "build",
        "--file",
        "static/a.css:/etc/a.css",
        "--base",
        &name,
        "--tag",
        &top,
        "--push",
        "--sbom=false",
        "--json",
    ]);
    let built = built.json();
    assert_eq!(built["images"][0]["layers"][2]["name"], "files");
    assert_eq!(built["pushed"]["blobs_sent"], 2, "one layer and a configuration");
    let missing = place.run(&["inspect", &format!("{}/team/none:v1", registry.address)]);
    assert!(missing.code == 2 && missing.err.contains("PG0763"), "{}", missing.err);
}
