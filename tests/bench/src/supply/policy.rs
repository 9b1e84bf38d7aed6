//! `prograde policy apply` as a user runs it, beside Kyverno's own program where one is named, and a single decision as
//! admission makes it, in process.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use prograde_policy::{Given, PolicySet, Request, Status, shipped};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::table::{Row, median};

const RUNS: usize = 5;
const POLICIES: usize = 100;
const RESOURCES: usize = 1_000;
const DECISIONS: usize = 20_000;

pub(super) fn measure(prograde: &Path, kyverno: Option<&Path>) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let policies: Vec<Value> = (0..POLICIES).map(policy).collect();
    let pods: Vec<Value> = (0..RESOURCES).map(pod).collect();
    fs::write(folder.path().join("policies.yaml"), documents(&policies)?)?;
    fs::write(folder.path().join("resources.yaml"), documents(&pods)?)?;
    let bench = Bench { prograde: fs::canonicalize(prograde)?, folder: fs::canonicalize(folder.path())? };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        ours.push(bench.apply()?);
    }
    if let Some(kyverno) = kyverno {
        theirs.push(bench.kyverno(&fs::canonicalize(kyverno)?)?);
    }
    let ours = median(ours);
    let name = format!("policy: {RESOURCES} resources against {POLICIES} policies");
    let apply = Row::below(&name, ours, "ms", 1000.0, "< 1 s");
    let apply = match theirs.first() {
        Some(theirs) => {
            apply.beside("kyverno apply", *theirs).judged("< 1 s, 20x kyverno", ours < 1000.0 && theirs / ours >= 20.0)
        }
        None => apply,
    };
    Ok(vec![apply, admission(&pods)?])
}

struct Bench {
    prograde: PathBuf,
    folder: PathBuf,
}

impl Bench {
    fn apply(&self) -> anyhow::Result<f64> {
        let mut command = Command::new(&self.prograde);
        command.args(["policy", "apply", "policies.yaml", "--resource", "resources.yaml", "--json"]);
        let began = Instant::now();
        let out = command.current_dir(&self.folder).output()?;
        let took = began.elapsed().as_secs_f64() * 1000.0;
        let text = String::from_utf8(out.stdout)?;
        let failed = text.matches("\"fail\"").count();
        // Each policy is broken by every fifth pod.
        let expected = POLICIES * RESOURCES / 5;
        ensure!(
            failed == expected,
            "{failed} instead of {expected} violations: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        Ok(took)
    }

    fn kyverno(&self, kyverno: &Path) -> anyhow::Result<f64> {
        let mut command = Command::new(kyverno);
        command.args(["apply", "policies.yaml", "--resource", "resources.yaml"]);
        let began = Instant::now();
        let out = command.current_dir(&self.folder).output()?;
        let took = began.elapsed().as_secs_f64() * 1000.0;
        let said = String::from_utf8_lossy(&out.stdout);
        let expected = format!("fail: {}", POLICIES * RESOURCES / 5);
        ensure!(said.contains(&expected), "kyverno said: {}", said.lines().last().unwrap_or_default());
        Ok(took)
    }
}

/// One decision under the policies that ship, of which the median of many is taken.
fn admission(pods: &[Value]) -> anyhow::Result<Row> {
    let mut set = PolicySet::default();
    shipped::read("default", &mut set).context("the shipped set")??;
    let given = Given::default();
    let now = Timestamp::UNIX_EPOCH;
    let (mut took, mut refused) = (Vec::with_capacity(DECISIONS), 0);
    for pod in pods.iter().cycle().take(DECISIONS) {
        let began = Instant::now();
        let answers = set.evaluate(&Request::create(pod, now), &given);
        took.push(began.elapsed().as_secs_f64() * 1e6);
        let is_broken = answers.iter().flat_map(|answer| &answer.results).any(|rule| rule.status == Status::Fail);
        refused += usize::from(is_broken);
    }
    ensure!(refused > 0, "nothing was refused");
    let name = format!("policy: one admission decision, {} policies, in process", set.policies.len());
    Ok(Row::below(&name, median(took), "us", 100.0, "< 100 us"))
}

fn documents(all: &[Value]) -> anyhow::Result<String> {
    let mut text = String::new();
    for document in all {
        // JSON is YAML.
        writeln!(text, "---\n{document}")?;
    }
    Ok(text)
}

/// Five forms in turn: a pattern, an alternative, a denial, a loop, and CEL.
fn policy(at: usize) -> Value {
    let label = format!("team-{at}");
    let value = format!("bad-{}", at % 5);
    let validate = match at % 5 {
        0 => {
            json!({ "message": "A label is wrong.", "pattern": { "metadata": { "labels": { "group": format!("!{value}") } } } })
        }
        1 => json!({ "message": "A label is wrong.", "anyPattern": [
            { "metadata": { "labels": { "group": format!("!{value}") } } }, { "metadata": { "labels": { label: "?*" } } },
        ] }),
        2 => json!({ "message": "A label is wrong.", "deny": { "conditions": { "any": [
            { "key": "{{ request.object.metadata.labels.group }}", "operator": "Equals", "value": value },
        ] } } }),
        3 => json!({ "message": "A container is wrong.", "foreach": [{
            "list": "request.object.spec.containers",
            "deny": { "conditions": { "any": [{ "key": "{{ element.name }}", "operator": "Equals", "value": value }] } },
        }] }),
        _ => json!({ "message": "A label is wrong.", "cel": { "expressions": [
            { "expression": format!("object.metadata.labels.group != '{value}'"), "message": "A label is wrong." },
        ] } }),
    };
    json!({
        "apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy",
        "metadata": { "name": format!("policy-{at}"), "annotations": { "pod-policies.kyverno.io/autogen-controllers": "none" } },
        "spec": { "background": true, "validationFailureAction": "Audit", "rules": [
            { "name": "rule", "match": { "any": [{ "resources": { "kinds": ["Pod"] } }] }, "validate": validate },
        ] },
    })
}

fn pod(at: usize) -> Value {
    let group = format!("bad-{}", at % 5);
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": format!("pod-{at}"), "namespace": "default", "labels": { "group": group, "app": format!("app-{at}") } },
        "spec": { "containers": [
            { "name": group, "image": format!("registry.test/app:{at}"), "resources": {
                "requests": { "cpu": "100m", "memory": "64Mi" }, "limits": { "memory": "128Mi" },
            }, "securityContext": { "runAsNonRoot": true, "readOnlyRootFilesystem": true } },
        ] },
    })
}
