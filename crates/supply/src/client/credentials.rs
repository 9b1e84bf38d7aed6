//! Who we are to a registry: from Docker's `config.json`, podman's `auth.json`, the programs that these name, or given.
//!
//! Invariant: a secret is never printed, not even by a debugger's format; it is read when it is needed and stored nowhere.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use serde::Deserialize;
use tokio::time::Instant;

use super::error::RegistryError;
use super::reference::Repository;

/// The largest file of credentials, and the longest answer of a helper.
const BYTES_MAX: u64 = 1 << 20;
/// How long a helper may take. It may ask another machine.
const HELPER_WAIT: Duration = Duration::from_secs(30);
/// The name under which Docker keeps what is for its own registry.
const DOCKER_KEY: &str = "https://index.docker.io/v1/";
/// The user name with which a helper says that its secret is an identity token.
const TOKEN_USER: &str = "<token>";

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Keeps this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What is shown to one registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A name and a password, or a token in a password's place.
    Basic {
        /// The user's name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// An OAuth 2 refresh token, which the registry's token service turns into a short-lived one.
    Identity(Secret),
    /// A token that is shown as it is.
    Bearer(Secret),
}

/// Where credentials come from.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    given: BTreeMap<String, Credential>,
    files: Vec<PathBuf>,
}

impl Credentials {
    /// None: only what everybody may do works.
    pub fn none() -> Self {
        Self::default()
    }

    /// From these files, the first that knows a registry decides; a file that does not exist knows none. Each is in
    /// the format of Docker's `config.json`, which is podman's too.
    pub fn from_files(files: Vec<PathBuf>) -> Self {
        Self { given: BTreeMap::new(), files }
    }

    /// The same with one for the registry `host[:port]`, which goes before the files.
    #[must_use]
    pub fn with(mut self, registry: &str, credential: Credential) -> Self {
        self.given.insert(registry.to_owned(), credential);
        self
    }

    /// What is shown for this repository. Blocks; may run a program.
    pub(crate) fn of(&self, repository: &Repository) -> Result<Option<Credential>, RegistryError> {
        if let Some(given) = self.given.get(repository.registry()) {
            return Ok(Some(given.clone()));
        }
        let failed = |why: String| RegistryError::Credentials { registry: repository.registry().to_owned(), why };
        for path in &self.files {
            let Some(config) = read(path).map_err(failed)? else { continue };
            if let Some(found) = config.find(repository).map_err(failed)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

/// `config.json` and `auth.json` (containers-auth.json(5); docker-login(1), "Credential store" and "Credential helpers").
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    auths: BTreeMap<String, Entry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "lowercase", default)]
struct Entry {
    auth: Option<Secret>,
    username: Option<String>,
    password: Option<Secret>,
    identitytoken: Option<Secret>,
    registrytoken: Option<Secret>,
}

fn read(path: &Path) -> Result<Option<Config>, String> {
    let told = |error: io::Error| format!("{} can't be read: {error}", path.display());
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(told)?,
    };
    let mut text = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut text).map_err(told)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(format!("{} is larger than {BYTES_MAX} bytes", path.display()));
    }
    if text.trim_ascii().is_empty() {
        return Ok(None);
    }
    // The error's own words could hold a part of the file.
    let invalid = |error: serde_json::Error| {
        let (line, column) = (error.line(), error.column());
        format!("{} is not valid JSON of the expected form, at line {line}, column {column}", path.display())
    };
    serde_json::from_slice(&text).map(Some).map_err(invalid)
}

impl Config {
    fn find(&self, repository: &Repository) -> Result<Option<Credential>, String> {
        let registry = repository.registry();
        let server = if registry == "docker.io" { DOCKER_KEY } else { registry };
        let named = self.cred_helpers.iter().find(|(key, _)| host_of(key) == host_of(server));
        if let Some((key, helper)) = named {
            let server = if registry == "docker.io" { server } else { key.as_str() };
            return ask(helper, server);
        }
        if let Some(found) = self.stored(repository, server)? {
            return Ok(Some(found));
        }
        match self.creds_store.as_deref().filter(|store| !store.is_empty()) {
            Some(store) => ask(store, server),
            None => Ok(None),
        }
    }

    /// The most specific entry: podman also writes `registry/namespace`.
    fn stored(&self, repository: &Repository, server: &str) -> Result<Option<Credential>, String> {
        let mut wanted = repository.to_string();
        loop {
            if wanted.contains('/')
                && let Some(entry) = self.auths.get(&wanted)
                && let Some(found) = entry.credential()?
            {
                return Ok(Some(found));
            }
            match wanted.rfind('/') {
                Some(end) => wanted.truncate(end),
                None => break,
            }
        }
        let exact = self.auths.get(server).or_else(|| self.auths.get(repository.registry()));
        let by_host = || {
            let found = self.auths.iter().find(|(key, _)| is_server(key) && host_of(key) == host_of(server));
            found.map(|(_, entry)| entry)
        };
        exact.or_else(by_host).map_or(Ok(None), Entry::credential)
    }
}

/// Whether a key is a whole registry: `host`, or a URL with one of the paths that old versions of Docker wrote.
fn is_server(key: &str) -> bool {
    let rest = key.trim_start_matches("https://").trim_start_matches("http://");
    let path = rest.split_once('/').map_or("", |(_, path)| path);
    ["", "v1", "v1/", "v2", "v2/"].contains(&path)
}

fn host_of(key: &str) -> &str {
    let rest = key.trim_start_matches("https://").trim_start_matches("http://");
    let host = rest.split_once('/').map_or(rest, |(host, _)| host);
    match host {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        other => other,
    }
}

impl Entry {
    fn credential(&self) -> Result<Option<Credential>, String> {
        let full = |secret: &Option<Secret>| secret.clone().filter(|secret| !secret.reveal().is_empty());
        if let Some(token) = full(&self.registrytoken) {
            return Ok(Some(Credential::Bearer(token)));
        }
        if let Some(token) = full(&self.identitytoken) {
            return Ok(Some(Credential::Identity(token)));
        }
        if let Some(auth) = full(&self.auth) {
            return decoded(auth.reveal()).map(Some);
        }
        Ok(match (&self.username, full(&self.password)) {
            (Some(username), Some(password)) => Some(Credential::Basic { username: username.clone(), password }),
            _ => None,
        })
    }
}

/// `auth`: the base64 of `user:password`.
fn decoded(auth: &str) -> Result<Credential, String> {
    let wrong = || "an `auth` is not the base64 of `user:password`".to_owned();
    let bytes = base64::engine::general_purpose::STANDARD.decode(auth.trim()).map_err(|_| wrong())?;
    let text = String::from_utf8(bytes).map_err(|_| wrong())?;
    let (username, password) = text.split_once(':').ok_or_else(wrong)?;
    // Old versions of Docker pad with zeros.
    Ok(basic(username, password.trim_end_matches('\0')))
}

fn basic(username: &str, password: &str) -> Credential {
    let password = Secret::new(password);
    if username == TOKEN_USER {
        return Credential::Identity(password);
    }
    Credential::Basic { username: username.to_owned(), password }
}

/// A helper's answer (docker-credential-helpers, "Development").
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Told {
    #[serde(default)]
    username: String,
    secret: Secret,
}

/// Runs `docker-credential-NAME get`. The server goes by standard input and the secret by standard output, so that
/// no list of processes shows either.
fn ask(helper: &str, server: &str) -> Result<Option<Credential>, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if helper.is_empty() || helper.len() > 100 || !helper.chars().all(is_plain) {
        return Err("the name of a credential helper is not plain".to_owned());
    }
    let program = format!("docker-credential-{helper}");
    let mut command = Command::new(&program);
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| format!("{program} can't be started: {error}"))?;
    let answer = converse(&mut child, server);
    let ended = match answer {
        Ok(answer) => wait(&mut child).map(|is_success| (answer, is_success)),
        Err(error) => Err(error),
    };
    if ended.is_err() {
        // It may have ended by itself in the meantime.
        let _gone = child.kill().and_then(|()| child.wait());
    }
    let (answer, is_success) = ended.map_err(|error| format!("{program} did not answer: {error}"))?;
    if !is_success {
        let text = String::from_utf8_lossy(&answer).to_lowercase();
        // What every helper says where it knows of none (docker-credential-helpers, `credentials.NewErrCredentialsNotFound`).
        if text.contains("credentials not found") {
            return Ok(None);
        }
        return Err(format!("{program} failed"));
    }
    let told: Told =
        serde_json::from_slice(&answer).map_err(|_| format!("{program} answered something else than JSON"))?;
    Ok(Some(basic(&told.username, told.secret.reveal())))
}

/// Writes the question and reads the answer, both within the time. The pipe is read in a thread of its own, as a read
/// of a pipe can't be given up.
fn converse(child: &mut Child, server: &str) -> io::Result<Vec<u8>> {
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(server.as_bytes()) {
            // One that answers without asking for whom.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            written => written?,
        }
    }
    let stdout = child.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut answer = Vec::new();
        let read = stdout.take(BYTES_MAX + 1).read_to_end(&mut answer).map(|_| answer);
        // Nobody waits any longer: the answer came too late.
        let _late = sender.send(read);
    });
    let answer = receiver.recv_timeout(HELPER_WAIT).map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    if answer.len() as u64 > BYTES_MAX {
        return Err(io::Error::other("the answer is too long"));
    }
    Ok(answer)
}

fn wait(child: &mut Child) -> io::Result<bool> {
    let deadline = Instant::now() + HELPER_WAIT;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        if Instant::now() >= deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(config: &str, repository: &str) -> Option<String> {
        let config: Config = serde_json::from_str(config).unwrap();
        let reference: super::super::Reference = repository.parse().unwrap();
        config.find(reference.repository()).unwrap().map(|credential| match credential {
            Credential::Basic { username, password } => format!("{username}:{}", password.reveal()),
            Credential::Identity(token) => format!("identity {}", token.reveal()),
            Credential::Bearer(token) => format!("bearer {}", token.reveal()),
        })
    }

    #[test]
    fn entries_are_found_as_docker_and_podman_write_them() {
        let config = r#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "ZG9ja2VyOnB3"},
            "ghcr.io": {"auth": "bWU6cHc6Y29sb24="},
            "https://old.example/v2/": {"username": "a", "password": "b"},
            "quay.io/team": {"auth": "dGVhbTpwdw=="}, "quay.io": {"auth": "YWxsOnB3"},
            "token.example": {"identitytoken": "t", "auth": "PHRva2VuPjp4"},
            "bearer.example": {"registrytoken": "r"}, "empty.example": {},
            "user.example": {"auth": "PHRva2VuPjp4"}
        }}"#;
        for (repository, credential) in [
            ("debian", Some("docker:pw")),
            ("ghcr.io/me/app", Some("me:pw:colon")),
            ("old.example/x", Some("a:b")),
            ("quay.io/team/app", Some("team:pw")),
            ("quay.io/teams/app", Some("all:pw")),
            ("token.example/x", Some("identity t")),
            ("user.example/x", Some("identity x")),
            ("bearer.example/x", Some("bearer r")),
            ("empty.example/x", None),
            ("evil-ghcr.io/x", None),
            ("ghcr.io.example/x", None),
            ("ghcr.io:8443/x", None),
        ] {
            assert_eq!(found(config, repository).as_deref(), credential, "{repository}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let credentials = Credentials::none().with("h.example", basic("me", "s3cret"));
        assert!(!format!("{credentials:?}").contains("s3cret"));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        for text in
            [r#"{"auths": {"h.example": {"auth": "s3cret!"}}}"#, r#"{"auths": {"h.example": "s3cret"}}"#, "s3cret"]
        {
            std::fs::write(&path, text).unwrap();
            let reference: super::super::Reference = "h.example/x".parse().unwrap();
            let error = Credentials::from_files(vec![path.clone()]).of(reference.repository()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn helpers_with_odd_names_are_not_run() {
        for name in ["", "../x", "a b", "a/b", &"a".repeat(101)] {
            assert!(ask(name, "h").unwrap_err().contains("not plain"), "{name}");
        }
        assert!(ask("that-is-not-installed", "h").unwrap_err().contains("can't be started"));
    }
}
