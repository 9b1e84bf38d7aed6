//! `prograde registry` with the real binary: it serves, is killed in the middle of a push, and is tidied.
#![cfg(test)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use ureq::{Agent, SendBody};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn prograde(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_prograde"));
    command.current_dir(home).env_clear().env("HOME", home).stdin(Stdio::null());
    command
}

/// A registry in a process of its own, on a directory that outlives it.
struct Serving {
    child: Child,
    url: String,
    token_file: PathBuf,
}

impl Serving {
    fn start(home: &Path) -> Self {
        let mut command = prograde(home);
        command.args(["registry", "serve", "--json", "--dir", "store", "--listen", "127.0.0.1:0"]);
        command.args(["--immutable-tags", "v[0-9]+"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("it did not start: {line:?}"));
        let text = |key: &str| said[key].as_str().unwrap().to_owned();
        Self { child, url: text("url"), token_file: text("token_file").into() }
    }

    fn token(&self) -> String {
        std::fs::read_to_string(&self.token_file).unwrap()
    }

    /// Status and headers' text of a request with the token.
    fn call(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> (u16, String) {
        let agent: Agent = Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("authorization", format!("Bearer {}", self.token()))
            .header("content-type", kind)
            .body(SendBody::from_owned_reader(std::io::Cursor::new(body.to_vec())))
            .unwrap();
        let answer = agent.run(request).unwrap();
        let location = answer.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
        (answer.status().as_u16(), location.unwrap_or_default())
    }

    fn push(&self, repository: &str, tag: &str, content: &[u8]) {
        let blob = |content: &[u8]| {
            let digest = sha256(content);
            let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
            assert_eq!(self.call("POST", &path, "application/octet-stream", content).0, 201);
            json!({ "mediaType": "application/octet-stream", "digest": digest, "size": content.len() })
        };
        let image =
            json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": blob(b"{}"), "layers": [blob(content)] });
        let path = format!("/v2/{repository}/manifests/{tag}");
        assert_eq!(self.call("PUT", &path, MANIFEST, image.to_string().as_bytes()).0, 201);
    }

    /// A command of the same binary that asks this registry.
    fn ask(&self, home: &Path, arguments: &[&str]) -> Output {
        let mut command = prograde(home);
        command.arg("registry").args(arguments).args(["--server", &self.url, "--token-file"]).arg(&self.token_file);
        command.output().unwrap()
    }

    fn kill(mut self) {
        // SIGKILL.
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn sha256(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}

fn out(output: &Output) -> (i32, String) {
    (output.status.code().unwrap(), String::from_utf8(output.stdout.clone()).unwrap())
}

#[test]
fn a_kill_in_the_middle_of_a_push_loses_nothing_that_was_acknowledged() {
    let home = TempDir::new().unwrap();
    let serving = Serving::start(home.path());
    serving.push("pad", "kept", b"kept");
    let content: Vec<u8> = (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let (_, location) = serving.call("POST", "/v2/pad/blobs/uploads/", "application/octet-stream", b"");
    let mut stream = TcpStream::connect(serving.url.trim_start_matches("http://")).unwrap();
    let head = format!(
        "PATCH {location} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
        serving.token(),
        content.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&content[..2_500_000]).unwrap();
    // Until it has written some of it.
    let uploads = home.path().join("store/uploads");
    let written = || std::fs::read_dir(&uploads).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).max();
    for _ in 0..1000 {
        if written() >= Some(1 << 20) {
            break;
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    serving.kill();

    let serving = Serving::start(home.path());
    let digest = sha256(&content);
    assert_eq!(serving.call("GET", "/v2/pad/manifests/kept", "", b"").0, 200);
    assert_eq!(serving.call("HEAD", &format!("/v2/pad/blobs/{digest}"), "", b"").0, 404);
    let received = usize::try_from(written().unwrap()).unwrap();
    assert!((1 << 20..=2_500_000).contains(&received), "{received}");
    let put = format!("{location}?digest={digest}");
    assert_eq!(serving.call("PUT", &put, "application/octet-stream", &content[received..]).0, 201);
    assert_eq!(serving.call("HEAD", &format!("/v2/pad/blobs/{digest}"), "", b"").0, 200);
    assert_eq!(std::fs::read(home.path().join("store/blobs").join(digest.replace(':', "/"))).unwrap(), content);
}

#[test]
fn the_commands_list_delete_and_collect() {
    let home = TempDir::new().unwrap();
    let serving = Serving::start(home.path());
    assert_eq!(out(&serving.ask(home.path(), &["list"])), (0, String::new()));
    for (repository, tag, content) in [("pad", "v1", "a"), ("pad", "old", "b"), ("team/tools", "x", "c")] {
        serving.push(repository, tag, content.as_bytes());
    }
    assert_eq!(out(&serving.ask(home.path(), &["list"])), (0, "pad\nteam/tools\n".to_owned()));
    let (code, tags) = out(&serving.ask(home.path(), &["tags", "pad", "--json"]));
    assert_eq!((code, serde_json::from_str::<Value>(&tags).unwrap()), (0, json!(["old", "v1"])));

    assert_eq!(out(&serving.ask(home.path(), &["delete", "pad:old", "--dry-run"])).0, 0);
    assert_eq!(out(&serving.ask(home.path(), &["delete", "pad:old"])).0, 0);
    assert_eq!(out(&serving.ask(home.path(), &["tags", "pad"])), (0, "v1\n".to_owned()));
    let refused = serving.ask(home.path(), &["delete", "pad:v1"]);
    assert_eq!(out(&refused).0, 1);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("push under another tag"));
    for (arguments, code) in [
        (["delete", "pad:old"], 2),
        (["delete", "pad"], 2),
        (["delete", "PAD:x"], 2),
        (["tags", "nowhere"], 2),
        (["tags", "../x"], 2),
    ] {
        assert_eq!(out(&serving.ask(home.path(), &arguments)).0, code, "{arguments:?}");
    }

    let (code, would) = out(&serving.ask(home.path(), &["gc", "--untagged", "--grace", "0s", "--dry-run"]));
    assert!(code == 0 && would.starts_with("Would remove"), "{would}");
    let (code, gone) = out(&serving.ask(home.path(), &["gc", "--untagged", "--grace", "0s", "--json"]));
    let gone: Value = serde_json::from_str(&gone).unwrap();
    assert_eq!((code, &gone["manifests"], &gone["files"]), (0, &json!(1), &json!(2)));

    std::fs::write(home.path().join("wrong"), "0".repeat(64)).unwrap();
    let mut wrong = prograde(home.path());
    wrong.args(["registry", "list", "--server", &serving.url, "--token-file", "wrong"]);
    assert_eq!(wrong.output().unwrap().status.code(), Some(4));
    // One at a time.
    let mut second = prograde(home.path());
    second.args(["registry", "serve", "--dir", "store", "--listen", "127.0.0.1:0"]);
    let second = second.output().unwrap();
    assert_eq!(second.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&second.stderr).contains("PG0750"));
}
