//! `prograde image build` as a user runs it, process and all, pushing to Debian's `docker-registry`; beside it buildah,
//! which builds the same from a Dockerfile, and skopeo, which moves the same.

use std::fs::{self, File};
use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::time::Instant;

use crate::harness::pause;
use crate::table::{Row, median};

/// How large the program is, in bytes.
const PROGRAM_BYTES: u64 = 20_000_000;
const RUNS: usize = 7;

pub(super) fn measure(prograde: &Path) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let registry = Registry::start(folder.path())?;
    let bench = Bench { prograde: fs::canonicalize(prograde)?, folder: folder.path().to_owned(), registry };
    bench.prepare()?;
    let (mut pushed, mut built, mut changed, mut buildah, mut skopeo) = (vec![], vec![], vec![], vec![], vec![]);
    for run in 0..RUNS {
        let layout = bench.folder.join(format!("layout-{run}"));
        let name = format!("{}/first-{run}:v1", bench.registry.address);
        pushed.push(bench.build(&layout, &["--tag", &name, "--push"])?);
        fs::write(bench.folder.join("static/index.html"), format!("run {run}"))?;
        changed.push(bench.build(&layout, &[])?);
        let again = format!("{}/again-{run}:v1", bench.registry.address);
        fs::write(bench.folder.join("static/index.html"), format!("run {run} again"))?;
        built.push(bench.build(&layout, &["--tag", &again, "--push"])?);
        buildah.extend(bench.buildah(run)?);
        skopeo.extend(bench.skopeo(&layout, run)?);
    }
    let first = Row::below("image: 20 MB program, built and pushed", median(pushed), "ms", 300.0, "< 300 ms");
    let first = if buildah.is_empty() { first } else { first.beside("buildah build and push", median(buildah)) };
    let second = Row::below("image: built again with one changed file", median(changed), "ms", 50.0, "< 50 ms");
    let third = Row::plain("image: built again with one changed file, pushed to a new repository", median(built), "ms");
    let third = if skopeo.is_empty() { third } else { third.beside("skopeo copy", median(skopeo)) };
    Ok(vec![first, second, third])
}

struct Bench {
    prograde: PathBuf,
    folder: PathBuf,
    registry: Registry,
}

impl Bench {
    /// A program of machine code, and a few hundred small files.
    fn prepare(&self) -> anyhow::Result<()> {
        let mut program = Vec::new();
        File::open(&self.prograde)?.take(PROGRAM_BYTES).read_to_end(&mut program)?;
        ensure!(program.len() as u64 == PROGRAM_BYTES, "{} is too small", self.prograde.display());
        fs::write(self.folder.join("program"), program)?;
        fs::create_dir_all(self.folder.join("static"))?;
        for file in 0..300 {
            fs::write(self.folder.join(format!("static/{file}.html")), format!("<p>{file}</p>\n").repeat(100))?;
        }
        let dockerfile =
            "FROM scratch\nCOPY static /srv\nCOPY --chmod=755 program /app/program\nENTRYPOINT [\"/app/program\"]\n";
        Ok(fs::write(self.folder.join("Dockerfile"), dockerfile)?)
    }

    fn build(&self, layout: &Path, more: &[&str]) -> anyhow::Result<f64> {
        let mut command = Command::new(&self.prograde);
        command.args(["image", "build", "--binary", "program", "--dir", "static:/srv", "--sbom=false", "--layout"]);
        timed(command.arg(layout).args(more).current_dir(&self.folder))
    }

    /// The same by buildah, where it is installed.
    fn buildah(&self, run: usize) -> anyhow::Result<Option<f64>> {
        if Command::new("buildah").arg("version").output().is_err() {
            return Ok(None);
        }
        let (local, name) =
            (format!("localhost/prograde-bench-{run}"), format!("docker://{}/buildah-{run}:v1", self.registry.address));
        let mut build = Command::new("buildah");
        build.args(["build", "--no-cache", "--tag", &local, "."]).current_dir(&self.folder);
        let took = timed(&mut build)?;
        let pushed = timed(Command::new("buildah").args(["push", "--tls-verify=false", &local, &name]))?;
        timed(Command::new("buildah").args(["rmi", &local]))?;
        Ok(Some(took + pushed))
    }

    /// The same layout by skopeo, where it is installed.
    fn skopeo(&self, layout: &Path, run: usize) -> anyhow::Result<Option<f64>> {
        if Command::new("skopeo").arg("--version").output().is_err() {
            return Ok(None);
        }
        let from = format!("oci:{}:program:latest", layout.display());
        let to = format!("docker://{}/skopeo-{run}:v1", self.registry.address);
        let arguments = ["--insecure-policy", "copy", "--dest-tls-verify=false", &from, &to];
        timed(Command::new("skopeo").args(arguments)).map(Some)
    }
}

/// How many milliseconds a command takes, from start to end.
fn timed(command: &mut Command) -> anyhow::Result<f64> {
    let began = Instant::now();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("starting {command:?}"))?;
    let took = began.elapsed().as_secs_f64() * 1000.0;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(took)
}

/// Debian's registry. Ended when dropped.
struct Registry {
    child: Child,
    address: String,
}

impl Registry {
    fn start(folder: &Path) -> anyhow::Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let config = serde_json::json!({
            "version": 0.1,
            "log": { "level": "error" },
            "storage": { "filesystem": { "rootdirectory": folder.join("registry") } },
            "http": { "addr": address }
        });
        let file = folder.join("registry.yml");
        fs::write(&file, config.to_string())?;
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().context("docker-registry: run scripts/test-peers.sh docker-registry")?;
        let this = Self { child, address };
        for _ in 0..500 {
            if TcpStream::connect(&this.address).is_ok() {
                return Ok(this);
            }
            pause(Duration::from_millis(20));
        }
        anyhow::bail!("docker-registry does not listen")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
