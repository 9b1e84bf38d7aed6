//! A world of its own for each test: a directory, a server that runs on it, and what is asked of that server.

pub(crate) mod events;
pub(crate) mod http;
pub(crate) mod load;
pub(crate) mod mailbox;
pub(crate) mod openfeature;
pub(crate) mod peer;
pub(crate) mod processes;
pub(crate) mod prometheus;
pub(crate) mod repository;
mod server;
pub(crate) mod wait;

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use ureq::Agent;

use server::Running;
use wait::{try_until, until};

/// How a flight can end.
const ENDS: [&str; 8] = ["landed", "refused", "rejected", "stopped", "rolled_back", "kept", "aborted", "superseded"];

/// One server with its data, and who talks to it.
pub(crate) struct World {
    dir: TempDir,
    listen: SocketAddr,
    webhook: Option<String>,
    arguments: Vec<String>,
    /// A command that is given the server's as its arguments.
    wrapper: Vec<String>,
    running: Option<Running>,
    agent: Agent,
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    /// The exit code.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl World {
    /// With a server that runs.
    pub(crate) fn new() -> Self {
        let mut this = Self::without_server();
        this.start();
        this
    }

    /// With a server that runs and posts its news to `webhook`.
    pub(crate) fn with_webhook(webhook: String) -> Self {
        let mut this = Self::without_server();
        this.webhook = Some(webhook);
        this.start();
        this
    }

    /// With a server that is given more arguments; files that they name are relative to the world's directory, and written
    /// before.
    pub(crate) fn with_files(files: &[(&str, &str)], arguments: &[&str]) -> Self {
        let mut this = Self::without_server();
        for (name, text) in files {
            fs::write(this.dir().join(name), text).unwrap();
        }
        this.arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        this.start();
        this
    }

    /// With a server that will be run by `wrapper`, which is told the data directory.
    pub(crate) fn wrapped(wrapper: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let mut this = Self::without_server();
        this.wrapper = wrapper(&this.data());
        this
    }

    fn without_server() -> Self {
        let agent = Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_mins(5)));
        let dir = tempfile::Builder::new().prefix("prograde-it-").tempdir().unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        let listen = SocketAddr::from((address(), prograde_ports::free()));
        Self {
            dir,
            listen,
            webhook: None,
            arguments: Vec::new(),
            wrapper: Vec::new(),
            running: None,
            agent: agent.build().into(),
        }
    }

    /// Where everything of this world is.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The server's data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Where the API listens.
    pub(crate) fn listen(&self) -> SocketAddr {
        self.listen
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    pub(crate) fn token(&self) -> &str {
        &self.running.as_ref().unwrap().token
    }

    /// The server's process.
    pub(crate) fn pid(&self) -> u32 {
        self.running.as_ref().unwrap().child.id()
    }

    /// What the server has written to its log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("server.log")).unwrap_or_default()
    }

    /// Starts the server and waits until it answers.
    pub(crate) fn start(&mut self) {
        let mut command = self.serve(&self.data(), self.listen);
        let log = File::options().create(true).append(true).open(self.dir().join("server.log")).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log).stdin(Stdio::null());
        self.running = Some(Running::start(command, &self.data()).unwrap_or_else(|what| self.fail(&what)));
    }

    /// The command that serves the data in a directory.
    pub(crate) fn serve(&self, data: &Path, listen: SocketAddr) -> Command {
        let program = server::program();
        let mut words = self.wrapper.iter().map(Into::into).chain([program.into_os_string(), "serve".into()]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).arg("--data-dir").arg(data).args(["--listen", &listen.to_string()]);
        command.args(["--node-address", &listen.ip().to_string()]);
        command.args(["--restart-backoff", "200ms", "--autoscale-period", "1s", "--ci-pass-env", "IT_PROGRAM"]);
        command.env("IT_PROGRAM", env!("CARGO_BIN_EXE_it-service"));
        command.args(&self.arguments).current_dir(self.dir());
        if let Some(url) = &self.webhook {
            command.args(["--notify-webhook", url]);
        }
        command
    }

    /// Ends the server without warning.
    pub(crate) fn kill(&mut self) {
        let mut running = self.running.take().unwrap();
        processes::signal(running.child.id(), Signal::KILL);
        running.child.wait().unwrap();
    }

    /// Ends the server in order.
    pub(crate) fn stop(&mut self) {
        let mut running = self.running.take().unwrap();
        processes::signal(running.child.id(), Signal::TERM);
        let ended = try_until(|| running.child.try_wait().unwrap());
        let Some(status) = ended else {
            self.running = Some(running);
            self.fail("the server did not stop");
        };
        assert!(status.success(), "the server ended with {status}: {}", self.log());
    }

    /// Ends the server in order, and sees that nothing of it is left and that its journal is whole.
    pub(crate) fn end(mut self) {
        self.stop();
        let left = processes::of(self.dir());
        assert!(left.is_empty(), "still there after the server's end: {left:?}");
        let said = self.cli(&["journal", "verify", "--offline"]);
        assert_eq!(said.code, 0, "{said:?}");
    }

    /// Runs a command against this world's data directory.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Said {
        said(self.command().args(arguments))
    }

    /// The start of any command against this world's data directory.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(server::program());
        command.arg("--data-dir").arg(self.data()).stdin(Stdio::null()).env_remove("PROGRADE_URL");
        command
    }

    /// What the API answers to a GET.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Value {
        let asked = self.agent.get(format!("{}{path}", self.url())).header("authorization", self.bearer()).call();
        let mut answer = asked.unwrap_or_else(|error| self.fail(&format!("GET {path}: {error}")));
        let body: Value = answer.body_mut().read_json().unwrap();
        assert_eq!(answer.status(), 200, "GET {path}: {body}");
        body
    }

    /// What the API answers to a GET that may be refused, and with which status.
    #[track_caller]
    pub(crate) fn try_get(&self, path: &str) -> (u16, Value) {
        let asked = self.agent.get(format!("{}{path}", self.url())).header("authorization", self.bearer()).call();
        let mut answer = asked.unwrap_or_else(|error| self.fail(&format!("GET {path}: {error}")));
        (answer.status().as_u16(), answer.body_mut().read_json().unwrap())
    }

    /// What the API answers to a GET, as it is.
    #[track_caller]
    pub(crate) fn text(&self, path: &str) -> String {
        let asked = self.agent.get(format!("{}{path}", self.url())).header("authorization", self.bearer()).call();
        let mut answer = asked.unwrap_or_else(|error| self.fail(&format!("GET {path}: {error}")));
        assert_eq!(answer.status(), 200, "GET {path}");
        answer.body_mut().read_to_string().unwrap()
    }

    /// What the API answers to a POST, and with which status; nothing where the answer is empty.
    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let asked = self.agent.post(format!("{}{path}", self.url())).header("authorization", self.bearer());
        let mut answer = asked.send_json(body).unwrap_or_else(|error| self.fail(&format!("POST {path}: {error}")));
        let text = answer.body_mut().read_to_string().unwrap();
        let value = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() };
        (answer.status().as_u16(), value)
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.token())
    }

    /// The flight of a commit, once it is open.
    #[track_caller]
    pub(crate) fn flight_of(&self, commit: &str) -> Value {
        let find = || {
            let flights = self.get("/api/v1/flights?limit=100");
            let found = flights.as_array().unwrap().iter().find(|flight| flight["commit"] == commit)?;
            Some(self.get(&format!("/api/v1/flights/{}", found["id"].as_str().unwrap())))
        };
        try_until(find).unwrap_or_else(|| self.fail(&format!("no flight of {commit} was opened")))
    }

    /// The flight of a commit, once it fits.
    #[track_caller]
    pub(crate) fn flight_when(&self, commit: &str, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let look = || {
            last = self.flight_of(commit);
            let ended = ENDS.contains(&text(&last, "stage"));
            (fits(&last) || ended).then(|| last.clone())
        };
        match try_until(look) {
            Some(flight) if fits(&flight) => flight,
            _ => self.fail(&format!("waited in vain until a flight {what}: {last:#}")),
        }
    }

    /// The flight of a commit, once it is over and its author knows: that way, and no other.
    #[track_caller]
    pub(crate) fn ended(&self, commit: &str, stage: &str) -> Value {
        assert!(ENDS.contains(&stage), "{stage} is no end");
        let flight = self.flight_when(commit, &format!("is {stage}"), |flight| flight["stage"] == stage);
        until("nothing more happens to the flight", || {
            let active = self.get("/api/v1/status")["active"].clone();
            active.as_array().unwrap().iter().all(|other| other["id"] != flight["id"]).then_some(())
        });
        self.flight_of(commit)
    }

    /// A service in an environment, as the status tells it.
    pub(crate) fn target(&self, service: &str, environment: &str) -> Option<Value> {
        let status = self.get("/api/v1/status");
        let fits = |t: &&Value| t["service"] == service && t["environment"] == environment;
        status["targets"].as_array().unwrap().iter().find(fits).cloned()
    }

    /// Where a service can be reached in an environment.
    pub(crate) fn address(&self, service: &str, environment: &str) -> SocketAddr {
        let target = self.target(service, environment).unwrap();
        target["addresses"][0].as_str().unwrap().strip_prefix("http://").unwrap().parse().unwrap()
    }

    /// Who serves in an environment: waits until one version has all traffic and is all that runs.
    #[track_caller]
    pub(crate) fn serves_alone(&self, service: &str, environment: &str) -> Value {
        until("one version serves alone", || {
            let versions = self.target(service, environment)?["versions"].clone();
            let alone = versions.as_array()?.iter().filter(|v| v["replicas"] != 0).count() == 1;
            (alone && versions[0]["weight"] == 100 && versions[0]["ready"] == versions[0]["replicas"])
                .then(|| versions[0].clone())
        })
    }

    #[track_caller]
    fn fail(&self, what: &str) -> ! {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        panic!("{what}\nthe server's log ends with:\n{}", lines[lines.len().saturating_sub(60)..].join("\n"));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            processes::signal(running.child.id(), Signal::KILL);
            drop(running.child.wait());
        }
        // Replicas outlive their server, as they should.
        for process in processes::of(self.dir.path()) {
            processes::signal(process.pid, Signal::KILL);
        }
    }
}

/// Runs a command to its end.
pub(crate) fn said(command: &mut Command) -> Said {
    Said::of(&command.output().unwrap())
}

impl Said {
    fn of(output: &std::process::Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code().unwrap_or(-1), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

/// Runs a peer's program to its end. Nothing where it is not installed, which is a failure in CI.
pub(crate) fn said_by_peer(name: &str, command: &mut Command) -> Option<Said> {
    let output = match command.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let ci = std::env::vars().any(|(name, value)| name == "CI" && value == "true");
            assert!(!ci, "{name} is missing: run scripts/test-peers.sh");
            return None;
        }
        output => output.unwrap(),
    };
    Some(Said::of(&output))
}

/// A field that is a text.
#[track_caller]
pub(crate) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no text `{field}` in {value:#}"))
}

/// A world's own address of this machine: the users of a world whose server is down must not find another world's
/// service at the port that they know.
fn address() -> [u8; 4] {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [high, low] = u16::try_from(std::process::id() % 50_000).unwrap().to_be_bytes();
    [127, high.saturating_add(1), low, NEXT.fetch_add(1, Ordering::Relaxed)]
}
