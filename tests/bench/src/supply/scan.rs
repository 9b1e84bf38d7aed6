//! `prograde scan` as a user runs it, process and all: a lock file of 2,000 packages against a database on the disk, and
//! secrets in a tree of sources beside gitleaks, both on one core.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::run_for;
use crate::table::{Row, median};

const RUNS: usize = 7;
const TREE_RUNS: usize = 3;
const PACKAGES: usize = 2_000;
/// How many of them have an advisory that names their version.
const VULNERABLE: usize = 100;
const ADVISORIES: usize = 50_000;
/// How much is looked through for secrets, in bytes.
const TREE_BYTES: u64 = 64 << 20;
const PLANTED: usize = 20;

pub(super) fn measure(prograde: &Path) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let bench = Bench { prograde: fs::canonicalize(prograde)?, folder: fs::canonicalize(folder.path())? };
    Ok(vec![bench.lock_file()?, bench.secrets()?])
}

struct Bench {
    prograde: PathBuf,
    folder: PathBuf,
}

impl Bench {
    fn lock_file(&self) -> anyhow::Result<Row> {
        let advisories = self.folder.join("osv");
        fs::create_dir(&advisories)?;
        // A tenth of what is known of a large ecosystem, spread over the packages that are in no lock file.
        for at in 0..ADVISORIES {
            let package = if at < VULNERABLE { at * PACKAGES / VULNERABLE } else { PACKAGES + at };
            fs::write(advisories.join(format!("OSV-{at}.json")), advisory(at, package).to_string())?;
        }
        let database = self.folder.join("vulnerabilities.db");
        let mut update = self.command(&["db", "update", "--from"]);
        run_for(update.arg(&advisories).arg("--db").arg(&database))?;
        fs::write(self.folder.join("package-lock.json"), lock_file().to_string())?;
        let mut took = Vec::new();
        for _ in 0..=RUNS {
            let mut scan = self.command(&["scan", "package-lock.json", "--vulnerabilities", "--json", "--db"]);
            let began = Instant::now();
            let out = scan.arg(&database).output()?;
            took.push(began.elapsed().as_secs_f64() * 1000.0);
            let found: Value = serde_json::from_slice(&out.stdout).context("what prograde scan printed")?;
            let count = found.get("findings").and_then(Value::as_array).map_or(0, Vec::len);
            ensure!(count == VULNERABLE, "{count} of {VULNERABLE} vulnerable packages were found");
        }
        // The first one warms the page cache.
        took.remove(0);
        let name = format!("scan: lock file of {PACKAGES} packages, {ADVISORIES} advisories");
        Ok(Row::below(&name, median(took), "ms", 100.0, "< 100 ms"))
    }

    fn secrets(&self) -> anyhow::Result<Row> {
        let tree = self.folder.join("tree");
        let bytes = plant(&tree)?;
        let megabytes = |seconds: f64| bytes / 1e6 / seconds;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..TREE_RUNS {
            let mut scan = on_one_core(&self.prograde);
            scan.args(["scan", "--secrets", "--no-ignore", "--json"]).arg(&tree).current_dir(&self.folder);
            let began = Instant::now();
            let out = scan.output().context("taskset, of Debian's util-linux")?;
            ours.push(megabytes(began.elapsed().as_secs_f64()));
            let found = String::from_utf8(out.stdout)?;
            let planted = (0..PLANTED).filter(|at| found.contains(&format!("planted-{at}.py"))).count();
            ensure!(planted == PLANTED, "{planted} of {PLANTED} secrets were found");
        }
        // Once is enough: it takes minutes.
        theirs.extend(self.gitleaks(&tree)?.map(megabytes));
        let ours = median(ours);
        let row = Row::plain("scan: secrets in 64 MiB of sources, one core", ours, "MB/s");
        if theirs.is_empty() {
            return Ok(row.judged(">= 200 MB/s", ours >= 200.0));
        }
        let theirs = median(theirs);
        Ok(row.beside("gitleaks", theirs).judged(">= 200, > gitleaks", ours >= 200.0 && ours > theirs))
    }

    /// How many seconds it takes, where it is installed.
    fn gitleaks(&self, tree: &Path) -> anyhow::Result<Option<f64>> {
        if Command::new("gitleaks").arg("version").output().is_err() {
            return Ok(None);
        }
        let mut command = on_one_core(Path::new("gitleaks"));
        command.args(["dir", "--no-banner", "--exit-code=0", "--log-level=error", "--report-path=gitleaks.json"]);
        let began = Instant::now();
        run_for(command.arg(tree).current_dir(&self.folder))?;
        Ok(Some(began.elapsed().as_secs_f64()))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.prograde);
        command.args(arguments).current_dir(&self.folder);
        command
    }
}

fn on_one_core(program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", "0"]).arg(program);
    command
}

fn advisory(at: usize, package: usize) -> Value {
    json!({
        "schema_version": "1.6.0", "id": format!("OSV-{at}"), "modified": "2026-01-01T00:00:00Z", "summary": "Something is wrong",
        "severity": [{ "type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H" }],
        "affected": [{
            "package": { "ecosystem": "npm", "name": format!("package-{package}") },
            "ranges": [{ "type": "SEMVER", "events": [{ "introduced": "0" }, { "fixed": "2.0.0" }] }],
        }],
    })
}

fn lock_file() -> Value {
    let mut packages = serde_json::Map::new();
    packages.insert(String::new(), json!({ "name": "bench", "version": "1.0.0" }));
    for at in 0..PACKAGES {
        let entry = json!({ "version": "1.2.3", "resolved": format!("https://packages.test/package-{at}-1.2.3.tgz"), "license": "MIT" });
        packages.insert(format!("node_modules/package-{at}"), entry);
    }
    json!({ "name": "bench", "version": "1.0.0", "lockfileVersion": 3, "requires": true, "packages": packages })
}

/// Copies of our own sources until there is enough, with a secret here and there; how many bytes there are.
fn plant(tree: &Path) -> anyhow::Result<f64> {
    let mut sources = Vec::new();
    read_sources(Path::new("crates"), &mut sources)?;
    read_sources(Path::new("docs"), &mut sources)?;
    ensure!(!sources.is_empty(), "run it where the sources are");
    let mut bytes = 0u64;
    for copy in 0.. {
        let folder = tree.join(format!("copy-{copy}"));
        fs::create_dir_all(&folder)?;
        for (at, source) in sources.iter().enumerate() {
            fs::write(folder.join(format!("{at}.txt")), source)?;
            bytes += u64::try_from(source.len())?;
        }
        if bytes >= TREE_BYTES {
            break;
        }
    }
    for at in 0..PLANTED {
        // Parts, so that this file holds no secret itself.
        let token = format!("{}_{}{at:02}", "ghp", "zQ7mXk3Vb9Rw2Ld5Tn8Yc4Hs6Jf1Gp0Ea3");
        fs::write(tree.join(format!("copy-0/planted-{at}.py")), format!("token = \"{token}\"\n"))?;
    }
    #[expect(clippy::cast_precision_loss, reason = "a few hundred million")]
    Ok(bytes as f64)
}

fn read_sources(folder: &Path, into: &mut Vec<Vec<u8>>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            read_sources(&entry.path(), into)?;
        } else if entry.path().extension().is_some_and(|extension| extension == "rs" || extension == "md") {
            into.push(fs::read(entry.path())?);
        }
    }
    Ok(())
}
