//! `prograde scan` as a user runs it, process and all: a lock file of 2,000 packages against a database on the disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::run_for;
use crate::table::{Row, median};

const RUNS: usize = 7;
const PACKAGES: usize = 2_000;
/// How many of them have an advisory that names their version.
const VULNERABLE: usize = 100;
const ADVISORIES: usize = 50_000;

pub(super) fn measure(prograde: &Path) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let bench = Bench { prograde: fs::canonicalize(prograde)?, folder: fs::canonicalize(folder.path())? };
    Ok(vec![bench.lock_file()?])
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

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.prograde);
        command.args(arguments).current_dir(&self.folder);
        command
    }
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
