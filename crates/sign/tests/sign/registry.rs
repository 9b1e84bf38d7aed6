//! A registry on this machine that keeps no lists of referrers, with one image.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use prograde_sign::{Image, Store as _, digest_of};
use prograde_supply::client::{Beside, Client, ClientOptions, Repository};
use serde_json::json;
use tempfile::TempDir;

use super::memory::MANIFEST;

/// A program that tests need. `None` where it is not installed, which is a failure in CI.
pub(crate) fn peer(name: &str, path: PathBuf) -> Option<PathBuf> {
    if Command::new(&path).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok() {
        return Some(path);
    }
    let ci = std::env::vars().any(|(name, value)| name == "CI" && value == "true");
    assert!(!ci, "{name} is missing: run scripts/test-peers.sh {name}");
    eprintln!("left out: {name} is not installed");
    None
}

/// The registry; it ends with this.
pub(crate) struct Registry {
    pub(crate) folder: TempDir,
    child: Child,
    host: String,
    client: Client,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _gone = self.child.kill().and_then(|()| self.child.wait());
    }
}

impl Registry {
    pub(crate) fn start() -> Option<Self> {
        let program = peer("docker-registry", "docker-registry".into())?;
        let folder = tempfile::tempdir().unwrap();
        let port = prograde_ports::free();
        let host = format!("127.0.0.1:{port}");
        let config = json!({
            "version": "0.1", "log": { "level": "error" }, "http": { "addr": host },
            "storage": { "filesystem": { "rootdirectory": folder.path().join("data") } },
        });
        let path = folder.path().join("registry.yml");
        fs::write(&path, config.to_string()).unwrap();
        let (out, err) = (Stdio::null(), fs::File::create(folder.path().join("registry.log")).unwrap());
        let child = Command::new(program).arg("serve").arg(&path).stdout(out).stderr(err).env_clear().spawn().unwrap();
        let registry = Self { folder, child, host, client: Client::new(ClientOptions::default()) };
        for _ in 0..3_000 {
            if TcpStream::connect(&registry.host).is_ok() {
                return Some(registry);
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        panic!("the registry does not start");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A repository with an image.
    pub(crate) fn image(&self, name: &str) -> (Beside, Image) {
        let remote = Repository::new(&self.host, name).unwrap();
        let place = Beside::new(self.client.clone(), remote);
        let config = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
        place.put_blob(&digest_of(config), config).unwrap();
        let described = json!({
            "mediaType": "application/vnd.oci.image.config.v1+json", "size": config.len(), "digest": digest_of(config),
        });
        let manifest =
            json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": []}).to_string();
        place.put_manifest(Some("v1"), MANIFEST, manifest.as_bytes()).unwrap();
        let digest = digest_of(manifest.as_bytes());
        let repository = place.repository().to_string().parse().unwrap();
        (place, Image { repository, digest })
    }

    /// Runs a program in the folder, and says how it ended and what it wrote.
    pub(crate) fn run(&self, program: &Path, arguments: &[&str]) -> (bool, String) {
        let path = std::env::vars().find(|(name, _)| name == "PATH").map(|(_, value)| value).unwrap_or_default();
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.folder.path()).env_clear().stdin(Stdio::null());
        command.env("HOME", self.folder.path()).env("PATH", path).env("COSIGN_PASSWORD", "correct horse");
        let output = command.output().unwrap();
        let told = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&told).into_owned())
    }
}
