//! Sigstore's own services on this machine: Fulcio, a certificate log, Rekor and a timestamp authority, with an issuer of
//! identity tokens whose tokens Fulcio takes. They end with it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use prograde_sign::key::{PrivateKey, Signer as _};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Since when all services hold.
const START: &str = "2024-01-01T00:00:00Z";

pub(crate) struct Sigstore {
    folder: TempDir,
    children: Vec<Child>,
    issuer: Issuer,
}

impl Drop for Sigstore {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _gone = child.kill().and_then(|()| child.wait());
        }
    }
}

fn peers() -> Option<PathBuf> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers");
    let all = ["sigstore/fulcio", "sigstore/tesseract", "sigstore/rekor", "clock/clock", "cosign3/cosign"];
    let missing: Vec<&&str> = all.iter().filter(|name| !place.join(name).exists()).collect();
    let ci = std::env::vars().any(|(name, value)| name == "CI" && value == "true");
    assert!(!ci || missing.is_empty(), "missing: {missing:?}: run scripts/test-peers.sh sigstore cosign");
    if !missing.is_empty() {
        eprintln!("left out: {missing:?} are not installed");
    }
    missing.is_empty().then_some(place)
}

fn run(program: impl AsRef<std::ffi::OsStr>, folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(arguments).current_dir(folder).env("HOME", folder).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

impl Sigstore {
    /// Starts everything; `None` where the programs are not there.
    pub(crate) fn start() -> Option<Self> {
        let place = peers()?;
        let folder = tempfile::tempdir().unwrap();
        let issuer = Issuer::start();
        let [fulcio, tesseract, rekor, clock] = [(); 4].map(|()| prograde_ports::free());
        let mut sigstore = Self { folder, children: Vec::new(), issuer };
        let at = sigstore.folder.path().to_owned();
        run("openssl", &at, &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "ct.key"]);
        run("openssl", &at, &["ec", "-in", "ct.key", "-pubout", "-out", "ct.pub"]);
        run("openssl", &at, &["genpkey", "-algorithm", "ed25519", "-out", "rekor.key"]);
        run("openssl", &at, &["pkey", "-in", "rekor.key", "-pubout", "-out", "rekor.pub"]);
        let url = sigstore.issuer.url.clone();
        let known = json!({"OIDCIssuers": {url.as_str(): {"IssuerURL": url, "ClientID": "sigstore", "Type": "email"}}});
        fs::write(at.join("fulcio.json"), known.to_string()).unwrap();
        sigstore.spawn_fulcio(&place, fulcio, tesseract);
        let chain: Value =
            serde_json::from_str(&get(&format!("http://127.0.0.1:{fulcio}/api/v2/trustBundle"))).unwrap();
        let chain: Vec<&str> =
            chain["chains"][0]["certificates"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
        fs::write(at.join("fulcio.pem"), chain.concat()).unwrap();
        sigstore.spawn(
            &place,
            "sigstore/tesseract",
            tesseract,
            &[
                "--private_key=ct.key",
                "--origin=certificates",
                "--storage_dir=ct",
                "--roots_pem_file=fulcio.pem",
                "--checkpoint_interval=500ms",
                "--ext_key_usages=CodeSigning",
                &format!("--http_endpoint=127.0.0.1:{tesseract}"),
            ],
        );
        sigstore.spawn(
            &place,
            "sigstore/rekor",
            rekor,
            &[
                "serve",
                "--hostname=127.0.0.1",
                "--storage-dir=log",
                "--signer-filepath=rekor.key",
                "--checkpoint-interval=200ms",
                "--batch-max-age=50ms",
                &format!("--http-port={rekor}"),
                &format!("--grpc-port={}", prograde_ports::free()),
                &format!("--http-metrics-port={}", prograde_ports::free()),
            ],
        );
        sigstore.spawn(&place, "clock/clock", clock, &[&clock.to_string()]);
        fs::write(at.join("clock.pem"), get(&format!("http://127.0.0.1:{clock}/api/v1/timestamp/certchain"))).unwrap();
        sigstore.configure(&place, [fulcio, tesseract, rekor, clock]);
        Some(sigstore)
    }

    fn spawn_fulcio(&mut self, place: &Path, port: u16, log: u16) {
        self.spawn(
            place,
            "sigstore/fulcio",
            port,
            &[
                "serve",
                "--ca=ephemeralca",
                "--config-path=fulcio.json",
                "--host=127.0.0.1",
                &format!("--port={port}"),
                "--grpc-host=127.0.0.1",
                &format!("--grpc-port={}", prograde_ports::free()),
                &format!("--metrics-port={}", prograde_ports::free()),
                "--legacy-unix-domain-socket=fulcio.socket",
                &format!("--ct-log-url=http://127.0.0.1:{log}"),
                "--ct-log-origin=certificates",
                "--ct-log-public-key-path=ct.pub",
            ],
        );
    }

    fn spawn(&mut self, place: &Path, name: &str, port: u16, arguments: &[&str]) {
        let folder = self.folder.path();
        for part in ["ct", "log"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        let log_name = format!("{}.log", name.replace('/', "-"));
        let log = fs::File::create(folder.join(&log_name)).unwrap();
        let mut command = Command::new(place.join(name));
        command.args(arguments).current_dir(folder).env_clear().env("HOME", folder);
        self.children.push(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
        for _ in 0..1_500 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        panic!("{name} does not start: {}", fs::read_to_string(folder.join(log_name)).unwrap());
    }

    /// What cosign makes of it: `config.json` and `root.json`.
    fn configure(&self, place: &Path, [fulcio, certificates, rekor, clock]: [u16; 4]) {
        let cosign = place.join("cosign3/cosign");
        let service = |port: u16, path: &str, version: u8| {
            format!("url=http://127.0.0.1:{port}{path},api-version={version},start-time={START},operator=example.com")
        };
        run(
            &cosign,
            self.folder.path(),
            &[
                "signing-config",
                "create",
                "--fulcio",
                &service(fulcio, "", 1),
                "--rekor",
                &service(rekor, "", 2),
                "--rekor-config=ANY",
                "--tsa",
                &service(clock, "/api/v1/timestamp", 1),
                "--tsa-config=EXACT:1",
                "--out=config.json",
            ],
        );
        run(
            &cosign,
            self.folder.path(),
            &[
                "trusted-root",
                "create",
                "--fulcio",
                &format!("url=http://127.0.0.1:{fulcio},certificate-chain=fulcio.pem"),
                "--ctfe",
                &format!("url=http://127.0.0.1:{certificates},public-key=ct.pub,start-time={START}"),
                "--rekor",
                &format!("url=http://127.0.0.1:{rekor},public-key=rekor.pub,start-time={START},origin=127.0.0.1"),
                "--tsa",
                &format!("url=http://127.0.0.1:{clock}/api/v1/timestamp,certificate-chain=clock.pem"),
                "--out=root.json",
            ],
        );
    }

    /// A file's text.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.place().join(name)).unwrap()
    }

    /// Where its files are.
    pub(crate) fn place(&self) -> &Path {
        self.folder.path()
    }

    /// Who says who signs.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer.url
    }

    /// A token that says that its owner has this address.
    pub(crate) fn token(&self, email: &str) -> String {
        self.issuer.token(email)
    }
}

fn get(url: &str) -> String {
    ureq::get(url).call().unwrap().body_mut().read_to_string().unwrap()
}

/// An issuer of identity tokens: where its keys are, its keys, and tokens.
struct Issuer {
    key: PrivateKey,
    url: String,
}

impl Issuer {
    fn start() -> Self {
        let (key, listener) = (PrivateKey::generate().unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let url = format!("http://{}", listener.local_addr().unwrap());
        let pem = key.public_key().to_pem().unwrap();
        let lines: Vec<&str> = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = STANDARD.decode(lines.concat()).unwrap();
        // The end of the key: two coordinates of 32 bytes.
        let (x, y) = der[der.len() - 64..].split_at(32);
        let keys = json!({"keys": [{
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "1",
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        }]});
        let about = json!({
            "issuer": url, "jwks_uri": format!("{url}/keys"), "authorization_endpoint": format!("{url}/authorize"),
            "token_endpoint": format!("{url}/token"), "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["ES256"],
        });
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0; 4096];
                let length = stream.read(&mut request).unwrap_or_default();
                let asked = String::from_utf8_lossy(&request[..length]).into_owned();
                let body = if asked.starts_with("GET /keys") { &keys } else { &about }.to_string();
                let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
                let _gone = write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            }
        });
        Self { key, url }
    }

    fn token(&self, email: &str) -> String {
        let now = jiff::Zoned::now().timestamp().as_second();
        let head = json!({"alg": "ES256", "kid": "1", "typ": "JWT"});
        let claims = json!({
            "iss": self.url, "sub": "somebody", "aud": "sigstore", "iat": now - 5, "exp": now + 600, "email": email,
            "email_verified": true,
        });
        let signed = [head, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let signature = plain(&self.key.sign(signed.as_bytes()).unwrap());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// An ECDSA signature as tokens have it: two numbers of 32 bytes.
fn plain(der: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    let mut rest = &der[2..];
    for _ in 0..2 {
        let length = usize::from(rest[1]);
        let (number, after) = rest[2..].split_at(length);
        let number: Vec<u8> = number.iter().copied().skip_while(|byte| *byte == 0).collect();
        all.extend(std::iter::repeat_n(0, 32 - number.len()));
        all.extend(number);
        rest = after;
    }
    all
}
