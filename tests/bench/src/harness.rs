//! A real server on an empty data directory, and a repository that is pushed to it as a user would.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::Binaries;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(2);
const LOOK: Duration = Duration::from_millis(50);

/// A running `prograde serve`. Ended when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) folder: tempfile::TempDir,
    url: String,
    token: String,
}

impl Server {
    /// One that lets pipelines take the built example.
    pub(crate) fn start(binaries: &Binaries) -> anyhow::Result<Self> {
        let mut command = Command::new(&binaries.prograde);
        command.args(["serve", "--ci-pass-env", "BENCH_*"]).env("BENCH_PAD", fs::canonicalize(&binaries.pad)?);
        Self::start_in(tempfile::tempdir()?, command)
    }

    /// A command that is `prograde serve`, with the folder's `data` as its data directory.
    pub(crate) fn start_in(folder: tempfile::TempDir, mut command: Command) -> anyhow::Result<Self> {
        let data = folder.path().join("data");
        let log = fs::File::create(folder.path().join("server.log"))?;
        command.args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(&data).current_dir(folder.path());
        let mut child = command.stdout(log.try_clone()?).stderr(log).spawn().context("starting prograde serve")?;
        let found = until("the server to start", || {
            ensure!(
                child.try_wait()?.is_none(),
                "the server ended: {}",
                fs::read_to_string(folder.path().join("server.log"))?
            );
            let Ok(text) = fs::read_to_string(data.join("server.json")) else { return Ok(None) };
            Ok(serde_json::from_str::<Value>(&text)?.get("url").and_then(Value::as_str).map(str::to_owned))
        });
        match found {
            Ok(url) => {
                let token = fs::read_to_string(data.join("token"))?.trim().to_owned();
                Ok(Self { child, folder, url, token })
            }
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(error)
            }
        }
    }

    /// Where it answers.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// With what it lets us in.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Value> {
        let request =
            ureq::get(format!("{}{path}", self.url)).header("authorization", format!("Bearer {}", self.token));
        Ok(request.call()?.body_mut().read_json()?)
    }

    /// Where a service answers in production.
    pub(crate) fn address(&self, service: &str) -> anyhow::Result<String> {
        let status = self.get("/api/v1/status")?;
        let targets = status.get("targets").and_then(Value::as_array).cloned().unwrap_or_default();
        let target = targets.iter().find(|t| is(t, "service", service) && is(t, "environment", "production"));
        let address = target.and_then(|t| t.pointer("/addresses/0")).and_then(Value::as_str);
        Ok(address.context("production has no address")?.to_owned())
    }

    /// Waits until the service's last flight has ended, and gives all of it.
    pub(crate) fn ended(&self, service: &str, commit: &str) -> anyhow::Result<Value> {
        until(&format!("the flight of {service} to end"), || {
            let flights = self.get(&format!("/api/v1/flights?service={service}&limit=1"))?;
            let Some(flight) =
                flights.get(0).filter(|f| is(f, "commit", commit) && f.get("ended_at").is_some_and(Value::is_string))
            else {
                return Ok(None);
            };
            let id = flight.get("id").and_then(Value::as_str).unwrap_or_default();
            Ok(Some(self.get(&format!("/api/v1/flights/{id}"))?))
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // In order, so that its replicas end as well.
        let stopped = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        if stopped.is_ok_and(|status| status.success()) && self.child.wait().is_ok() {
            return;
        }
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
    }
}

fn is(value: &Value, field: &str, text: &str) -> bool {
    value.get(field).and_then(Value::as_str) == Some(text)
}

/// Looks until there is something to see.
fn until<T>(what: &str, mut look: impl FnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    for _ in 0..PATIENCE.as_millis() / LOOK.as_millis() {
        if let Some(found) = look()? {
            return Ok(found);
        }
        pause(LOOK);
    }
    bail!("waited {} s in vain for {what}", PATIENCE.as_secs())
}

#[expect(clippy::disallowed_methods, reason = "a measurement waits on its own thread")]
pub(crate) fn pause(span: Duration) {
    std::thread::sleep(span);
}

/// A copy of `examples/pad` under another name whose pipeline takes the built program instead of building it.
pub(crate) struct Repository {
    folder: PathBuf,
    service: String,
}

impl Repository {
    pub(crate) fn create(server: &Server, example: &Path, service: &str, bake: &str) -> anyhow::Result<Self> {
        let folder = server.folder.path().join(service);
        for file in ["deploy/base", "deploy/overlays/test", "deploy/overlays/production"] {
            copy_renamed(&example.join(file), &folder.join(file), service)?;
        }
        let text = fs::read_to_string(example.join("prograde.yaml"))?
            .replace("pad", service)
            .replace("bake: 5m", &format!("bake: {bake}"))
            .replace("watch: 15m", &format!("watch: {bake}"));
        fs::write(folder.join("prograde.yaml"), text)?;
        fs::create_dir_all(folder.join(".github/workflows"))?;
        // Bytes after the end of an ELF file change its digest and nothing else.
        let workflow = format!(
            "on: push\njobs:\n  build:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/checkout@v4\n      - run: |\n          mkdir out\n          \
             cp \"$BENCH_PAD\" out/{service}\n          echo \"$GITHUB_SHA\" >> out/{service}\n      - uses: actions/upload-artifact@v4\n        with:\n          name: {service}\n          path: out/{service}\n"
        );
        fs::write(folder.join(".github/workflows/ci.yml"), workflow)?;
        Self::of(server, folder, service)
    }

    /// One with nothing in it.
    pub(crate) fn empty(server: &Server, service: &str) -> anyhow::Result<Self> {
        let folder = server.folder.path().join(service);
        fs::create_dir_all(&folder)?;
        Self::of(server, folder, service)
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn of(server: &Server, folder: PathBuf, service: &str) -> anyhow::Result<Self> {
        let repository = Self { folder, service: service.to_owned() };
        repository.git(&["init", "--quiet", "--initial-branch", "main"])?;
        let remote = format!("{}/git/{service}.git", server.url);
        repository.git(&["remote", "add", "origin", &remote])?;
        repository.git(&[
            "config",
            &format!("http.{}/.extraHeader", server.url),
            &format!("Authorization: Bearer {}", server.token),
        ])?;
        Ok(repository)
    }

    /// Sets a share of failing requests in the manifests of production.
    pub(crate) fn set_error_share(&self, share: &str) -> anyhow::Result<()> {
        let file = self.folder.join("deploy/overlays/production/kustomization.yaml");
        let text = fs::read_to_string(&file)?;
        let patch = format!(
            "\n  - patch: |-\n      apiVersion: v1\n      kind: ConfigMap\n      metadata:\n        name: {}\n      data:\n        PAD_ERROR_SHARE: \"{share}\"\n",
            self.service
        );
        ensure!(text.contains("\npatches:"), "{} has no patches", file.display());
        fs::write(&file, text.replacen("\npatches:", &format!("\npatches:{patch}"), 1))?;
        Ok(())
    }

    /// Takes the last change of the manifests back.
    pub(crate) fn restore(&self) -> anyhow::Result<()> {
        self.git(&["checkout", "--quiet", "HEAD~1", "--", "deploy"])
    }

    /// Commits everything and pushes; the commit.
    pub(crate) fn push(&self, message: &str) -> anyhow::Result<String> {
        self.git(&["add", "--all"])?;
        self.git(&[
            "-c",
            "user.name=Bench",
            "-c",
            "user.email=bench@example.org",
            "commit",
            "--quiet",
            "--allow-empty",
            "--message",
            message,
        ])?;
        self.git(&["push", "--quiet", "origin", "main"])?;
        let head = Command::new("git").current_dir(&self.folder).args(["rev-parse", "HEAD"]).output()?;
        Ok(String::from_utf8(head.stdout)?.trim().to_owned())
    }

    fn git(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let status = Command::new("git").current_dir(&self.folder).args(arguments).stdin(Stdio::null()).status()?;
        ensure!(status.success(), "git {} failed", arguments.first().unwrap_or(&""));
        Ok(())
    }
}

fn copy_renamed(from: &Path, to: &Path, service: &str) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let text = fs::read_to_string(entry.path())?.replace("pad", service);
        // Several services can't share one port: the node chooses.
        let text = text.lines().filter(|line| !line.contains("nodePort")).collect::<Vec<_>>().join(
            "
",
        );
        fs::write(to.join(entry.file_name()), text)?;
    }
    Ok(())
}
