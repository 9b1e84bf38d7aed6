//! A registry on this machine with one image, and the programs that read and write it.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use prograde_model::Digest;
use prograde_sign::digest_of;
use prograde_supply::client::{Client, ClientOptions, Repository, Source};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const PASSWORD: &str = "correct horse";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// What a program answered.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// For each finding `good` or the reason.
    pub(crate) fn reasons(&self) -> Vec<String> {
        let json = self.json();
        let reason = |found: &Value| found["reason"].as_str().unwrap_or("good").to_owned();
        json["found"].as_array().unwrap().iter().map(reason).collect()
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }
}

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

/// cosign of one of its versions.
pub(crate) fn cosign(version: u8) -> Option<PathBuf> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers");
    peer("cosign", place.join(format!("cosign{version}/cosign")))
}

/// A registry with an image in `team/app`, and a folder for files. The registry ends with it.
pub(crate) struct World {
    folder: TempDir,
    registry: Child,
    pub(crate) host: String,
    pub(crate) digest: Digest,
    client: Client,
}

impl Drop for World {
    fn drop(&mut self) {
        let _gone = self.registry.kill().and_then(|()| self.registry.wait());
    }
}

impl World {
    /// Starts the registry; `None` where there is none.
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
        let log = fs::File::create(folder.path().join("registry.log")).unwrap();
        let registry = Command::new(program)
            .arg("serve")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(log)
            .env_clear()
            .spawn()
            .unwrap();
        let client = Client::new(ClientOptions::default());
        let digest = digest_of(b"");
        let mut world = Self { folder, registry, host, digest, client };
        for _ in 0..3_000 {
            if TcpStream::connect(&world.host).is_ok() {
                world.digest = world.push("team/app");
                return Some(world);
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        panic!("the registry does not start: {}", world.read("registry.log"));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn repository(&self, name: &str) -> Repository {
        Repository::new(&self.host, name).unwrap()
    }

    /// The image in a repository, by its digest.
    pub(crate) fn image(&self, repository: &str) -> String {
        format!("{}/{repository}@{}", self.host, self.digest)
    }

    fn push(&self, repository: &str) -> Digest {
        let at = self.repository(repository);
        let config =
            json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}).to_string();
        let digest = digest_of(config.as_bytes());
        self.client.push_blob(&at, &digest, Source::Bytes(config.as_bytes()), &[], &mut |_| {}).unwrap();
        let config =
            json!({"mediaType": "application/vnd.oci.image.config.v1+json", "size": config.len(), "digest": digest});
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []}).to_string();
        self.client.push_manifest(&at.tagged("v1").unwrap(), MANIFEST, manifest.as_bytes()).unwrap()
    }

    /// Copies the image with its signatures to another repository, byte for byte, as a thief would.
    pub(crate) fn replay(&self, from: &str, to: &str) {
        self.push(to);
        let (from, to) = (self.repository(from), self.repository(to));
        let tags = self.client.tags(&from).unwrap();
        for tag in tags.iter().filter(|tag| tag.starts_with("sha256-")) {
            let found = self.client.fetch_manifest(&from.tagged(tag).unwrap()).unwrap();
            let document: Value = serde_json::from_slice(&found.bytes).unwrap();
            for entry in document["manifests"].as_array().into_iter().flatten() {
                let digest: Digest = entry["digest"].as_str().unwrap().parse().unwrap();
                let referrer = self.client.fetch_manifest(&from.at(&digest)).unwrap();
                self.copy_blobs(&from, &to, &serde_json::from_slice(&referrer.bytes).unwrap());
                self.client.push_manifest(&to.at(&digest), &referrer.media_type, &referrer.bytes).unwrap();
            }
            self.copy_blobs(&from, &to, &document);
            self.client.push_manifest(&to.tagged(tag).unwrap(), &found.media_type, &found.bytes).unwrap();
        }
    }

    fn copy_blobs(&self, from: &Repository, to: &Repository, manifest: &Value) {
        let layers = manifest["layers"].as_array().into_iter().flatten();
        for blob in layers.chain([&manifest["config"]]).filter(|blob| blob.is_object()) {
            let digest: Digest = blob["digest"].as_str().unwrap().parse().unwrap();
            let bytes = self.client.fetch_blob(from, &digest, 1 << 20).unwrap();
            self.client.push_blob(to, &digest, Source::Bytes(&bytes), &[], &mut |_| {}).unwrap();
        }
    }

    fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.folder.path()).env_clear().stdin(Stdio::null());
        let path = std::env::vars().find(|(name, _)| name == "PATH").map(|(_, value)| value).unwrap_or_default();
        command.env("HOME", self.folder.path()).env("PATH", path).env("COSIGN_PASSWORD", PASSWORD);
        command
    }

    /// Starts `prograde`.
    pub(crate) fn start_prograde(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(Path::new(env!("CARGO_BIN_EXE_prograde")), arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    pub(crate) fn prograde(&self, arguments: &[&str]) -> Ran {
        self.start_prograde(arguments).wait_with_output().unwrap().into()
    }

    /// The same with more in its environment.
    pub(crate) fn prograde_in(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Ran {
        let mut command = self.command(Path::new(env!("CARGO_BIN_EXE_prograde")), arguments);
        command.envs(environment.iter().copied()).output().unwrap().into()
    }

    /// Runs `prograde`, which has to do what it is asked.
    pub(crate) fn done(&self, arguments: &[&str]) -> Ran {
        let ran = self.prograde(arguments);
        assert_eq!(ran.code, 0, "prograde {arguments:?}: {ran:?}");
        ran
    }

    pub(crate) fn run(&self, program: &Path, arguments: &[&str]) -> Ran {
        self.command(program, arguments).output().unwrap().into()
    }

    /// Makes a pair of keys with this name.
    pub(crate) fn key(&self, name: &str) {
        self.done(&["key", "generate", "--output-key-prefix", name]);
    }
}
