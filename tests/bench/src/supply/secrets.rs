//! `prograde scan --secrets` beside gitleaks, each as a user runs it: how fast, what is found of what was planted, and how much
//! is found where nothing is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::run_for;
use crate::table::{Row, median};

const TREE_RUNS: usize = 3;
/// How much is looked through for secrets, in bytes.
const TREE_BYTES: u64 = 64 << 20;
const PLANTED: usize = 20;
/// How often each kind of secret is planted where it is counted what is found.
const OF_EACH: usize = 10;

pub(super) fn measure(prograde: &Path) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let bench =
        Bench { prograde: fs::canonicalize(prograde)?, gitleaks: gitleaks(), folder: fs::canonicalize(folder.path())? };
    let mut rows = vec![bench.speed()?, bench.planted()?];
    rows.extend(bench.false_alarms()?);
    Ok(rows)
}

/// The installed one: a peer of the tests, or the system's.
fn gitleaks() -> Option<PathBuf> {
    let own = fs::canonicalize("target/peers/gitleaks/gitleaks").ok();
    let program = own.unwrap_or_else(|| "gitleaks".into());
    Command::new(&program).arg("version").output().is_ok().then_some(program)
}

struct Bench {
    prograde: PathBuf,
    gitleaks: Option<PathBuf>,
    folder: PathBuf,
}

impl Bench {
    fn speed(&self) -> anyhow::Result<Row> {
        let tree = self.folder.join("tree");
        let bytes = fill(&tree)?;
        let megabytes = |seconds: f64| bytes / 1e6 / seconds;
        let mut ours = Vec::new();
        for _ in 0..TREE_RUNS {
            let began = Instant::now();
            let found = self.found(&tree)?;
            ours.push(megabytes(began.elapsed().as_secs_f64()));
            let planted =
                (0..PLANTED).filter(|at| found.iter().any(|file| file.ends_with(&format!("planted-{at}.py"))));
            let count = planted.count();
            ensure!(count == PLANTED, "{count} of {PLANTED} secrets were found");
        }
        let ours = median(ours);
        let row = Row::plain("scan: secrets in 64 MiB of sources, one core", ours, "MB/s");
        // Once is enough: it takes minutes.
        let began = Instant::now();
        if self.theirs(&tree)?.is_none() {
            return Ok(row.judged(">= 200 MB/s", ours >= 200.0));
        }
        let theirs = megabytes(began.elapsed().as_secs_f64());
        Ok(row.beside("gitleaks", theirs).judged(">= 200, > gitleaks", ours >= 200.0 && ours > theirs))
    }

    /// Secrets of many kinds, each in a file of its own: how many of the files something is found in.
    fn planted(&self) -> anyhow::Result<Row> {
        let tree = self.folder.join("planted");
        fs::create_dir(&tree)?;
        let mut dice = Dice::default();
        let mut count = 0;
        for _ in 0..OF_EACH {
            for text in secrets(&mut dice) {
                fs::write(tree.join(format!("{count}.txt")), text)?;
                count += 1;
            }
        }
        let share = |found: Vec<String>| {
            let files: std::collections::BTreeSet<String> = found.into_iter().collect();
            #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
            let share = files.len() as f64 / count as f64;
            share * 100.0
        };
        let ours = share(self.found(&tree)?);
        let row =
            Row::plain(&format!("scan: found of {count} planted secrets of {} kinds", count / OF_EACH), ours, "%");
        Ok(match self.theirs(&tree)?.map(share) {
            None => row,
            Some(theirs) => row.beside("gitleaks", theirs).judged(">= gitleaks", ours >= theirs),
        })
    }

    /// The sources of crates that this workspace needs, which are public: what is found there is none, or a key that is there
    /// for a test.
    fn false_alarms(&self) -> anyhow::Result<Option<Row>> {
        let Some(sources) = crates() else { return Ok(None) };
        let bytes = size(&sources)?;
        #[expect(clippy::cast_precision_loss, reason = "a count")]
        let count = |found: Vec<String>| found.len() as f64;
        let ours = count(self.found(&sources)?);
        let name = format!("scan: findings in {} MB of published crates", bytes / 1_000_000);
        let row = Row::plain(&name, ours, "findings");
        Ok(Some(match self.theirs(&sources)?.map(count) {
            None => row,
            Some(theirs) => row.beside("gitleaks", theirs).judged("<= gitleaks", ours <= theirs),
        }))
    }

    /// The file of each secret that we find.
    fn found(&self, tree: &Path) -> anyhow::Result<Vec<String>> {
        let mut scan = on_one_core(&self.prograde);
        scan.args(["scan", "--secrets", "--no-ignore", "--json"]).arg(tree).current_dir(&self.folder);
        let out = scan.output().context("taskset, of Debian's util-linux")?;
        let told: Value = serde_json::from_slice(&out.stdout).context("what prograde scan printed")?;
        let found = told.get("findings").and_then(Value::as_array).context("findings")?;
        files(found, "file")
    }

    /// The same of gitleaks, where it is installed.
    fn theirs(&self, tree: &Path) -> anyhow::Result<Option<Vec<String>>> {
        let Some(gitleaks) = &self.gitleaks else { return Ok(None) };
        let report = self.folder.join("gitleaks.json");
        let mut command = on_one_core(gitleaks);
        command.args(["dir", "--no-banner", "--exit-code=0", "--log-level=error", "--report-format=json"]);
        run_for(command.arg("--report-path").arg(&report).arg(tree).current_dir(&self.folder))?;
        let found: Vec<Value> = serde_json::from_slice(&fs::read(&report)?).context("what gitleaks wrote")?;
        files(&found, "File").map(Some)
    }
}

fn files(found: &[Value], field: &str) -> anyhow::Result<Vec<String>> {
    let file = |one: &Value| one.get(field).and_then(Value::as_str).map(str::to_owned).context("a finding's file");
    found.iter().map(file).collect()
}

fn on_one_core(program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", "0"]).arg(program);
    command
}

/// Where Cargo keeps the sources of crates.
fn crates() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))?;
    fs::canonicalize(home.join("registry/src")).ok()
}

fn size(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() { size(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}

/// Draws letters, the same in each run.
#[derive(Default)]
struct Dice {
    drawn: u64,
}

impl Dice {
    /// So many out of an alphabet.
    fn draw(&mut self, count: usize, alphabet: &[u8]) -> String {
        let mut text = String::new();
        while text.len() < count {
            self.drawn += 1;
            let bytes = Sha256::digest(self.drawn.to_le_bytes());
            let letters = bytes.iter().filter_map(|byte| alphabet.get(usize::from(*byte) % alphabet.len()));
            text.extend(letters.take(count - text.len()).map(|letter| char::from(*letter)));
        }
        text
    }
}

/// One secret of each kind, in the file that it is usually in. The beginnings are put together here, so that this file holds none.
fn secrets(dice: &mut Dice) -> Vec<String> {
    const WORD: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    const HEX: &[u8] = b"0123456789abcdef";
    const DIGITS: &[u8] = b"1234567890";
    let mut all = Vec::new();
    let mut add = |parts: &[&str]| all.push(format!("{}\n", parts.concat()));
    add(&["GITHUB_TOKEN=", "gh", "p_", &dice.draw(36, WORD)]);
    add(&["token: git", "hub_pat_", &dice.draw(22, WORD), "_", &dice.draw(59, WORD)]);
    add(&["GITLAB_TOKEN: gl", "pat-", &dice.draw(20, WORD)]);
    add(&["aws_access_key_id = AK", "IA", &dice.draw(16, UPPER)]);
    add(&["aws_secret_access_key = ", &dice.draw(40, WORD)]);
    add(&["key = \"AI", "za", &dice.draw(35, WORD), "\""]);
    add(&["slack: xo", "xb-", &dice.draw(12, DIGITS), "-", &dice.draw(12, DIGITS), "-", &dice.draw(24, WORD)]);
    add(&["STRIPE_KEY=sk", "_live_", &dice.draw(24, WORD)]);
    add(&["//registry.example/:_authToken=np", "m_", &dice.draw(36, WORD)]);
    add(&["password = py", "pi-AgEIcHlwaS5vcmc", &dice.draw(80, WORD)]);
    add(&["SENDGRID=S", "G.", &dice.draw(22, WORD), ".", &dice.draw(43, WORD)]);
    add(&["api_key: sh", "pat_", &dice.draw(32, HEX)]);
    add(&["DO_TOKEN=do", "p_v1_", &dice.draw(64, HEX)]);
    add(&["VAULT_TOKEN=hv", "s.CAES", &dice.draw(90, WORD)]);
    add(&["db_password = \"", &dice.draw(24, WORD), "\""]);
    add(&["DATABASE_URL=postgres://shop:", &dice.draw(20, WORD), "@db.internal:5432/shop"]);
    add(&["client_secret: '", &dice.draw(40, HEX), "'"]);
    let body: Vec<String> = (0..20).map(|_| dice.draw(64, WORD)).collect();
    add(&["-----BEGIN RSA PRIV", "ATE KEY-----\n", &body.join("\n"), "\n-----END RSA PRIV", "ATE KEY-----"]);
    all
}

/// Copies of our own sources until there is enough, with a secret here and there; how many bytes there are.
fn fill(tree: &Path) -> anyhow::Result<f64> {
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
