//! Rendering beside Kustomize's own program: a process for each, both kept warm, and a repository of a thousand overlays; and
//! applications kept in a cluster.

mod cluster;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use prograde_kustomize::{FileTree, render};
use tokio::time::Instant;

use crate::table::{Row, median};

/// What is measured.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Extent {
    /// The `prograde` binary.
    #[arg(long)]
    prograde: PathBuf,
    /// Kustomize's own program.
    #[arg(long)]
    kustomize: PathBuf,
    /// A program that renders a directory so many times with Kustomize's library, and prints nanoseconds.
    #[arg(long)]
    warm: Option<PathBuf>,
    /// Nothing but these parts.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// How many applications are kept in a cluster.
    #[arg(long, default_value_t = 10_000)]
    applications: usize,
}

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Rendering,
    Cluster,
}

const RUNS: usize = 15;
const REPOSITORY_RUNS: usize = 5;
const WARM: u32 = 500;
const OBJECTS: usize = 10;
const OVERLAYS: usize = 1_000;
const BASES: usize = 20;
/// Objects of one kustomization, half of them refer to the others.
const MANY: usize = 1_000;

pub(crate) fn measure(extent: &Extent) -> anyhow::Result<Vec<Row>> {
    let extent = Extent {
        prograde: fs::canonicalize(&extent.prograde)?,
        kustomize: fs::canonicalize(&extent.kustomize)?,
        warm: extent.warm.as_ref().map(fs::canonicalize).transpose()?,
        ..extent.clone()
    };
    let is_wanted = |part: Part| extent.only.is_empty() || extent.only.contains(&part);
    let mut rows = if is_wanted(Part::Rendering) { rendering(&extent)? } else { Vec::new() };
    if is_wanted(Part::Cluster) {
        rows.extend(cluster::measure(&extent.prograde, extent.applications)?);
    }
    Ok(rows)
}

fn rendering(extent: &Extent) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let one = folder.path().join("one");
    write_one(&one)?;
    let mut rows = processes(extent, &one)?;
    rows.push(warm(extent, &one)?);
    rows.push(many(extent, &folder.path().join("many"))?);
    rows.extend(repository(extent, &folder.path().join("repository"))?);
    Ok(rows)
}

/// An overlay on a base of ten objects.
fn write_one(root: &Path) -> anyhow::Result<()> {
    let (base, overlay) = (root.join("base"), root.join("overlay"));
    fs::create_dir_all(&base)?;
    fs::create_dir_all(&overlay)?;
    fs::create_dir_all(root.join(".git"))?;
    let mut files = Vec::new();
    for at in 0..OBJECTS / 2 {
        fs::write(base.join(format!("deployment-{at}.yaml")), deployment(&format!("web-{at}")))?;
        fs::write(base.join(format!("service-{at}.yaml")), service(&format!("web-{at}")))?;
        files.extend([format!("deployment-{at}.yaml"), format!("service-{at}.yaml")]);
    }
    fs::write(base.join("kustomization.yaml"), format!("resources: [{}]\n", files.join(", ")))?;
    let patch = "- target: { kind: Deployment }\n  patch: |-\n    - { op: add, path: /spec/template/spec/priorityClassName, value: high }\n";
    let overlay_text = format!(
        "resources: [../base]\nnamespace: production\nnamePrefix: p-\nimages: [{{ name: web, newTag: '7' }}]\nlabels: [{{ pairs: {{ team: web }} }}]\npatches:\n{patch}"
    );
    Ok(fs::write(overlay.join("kustomization.yaml"), overlay_text)?)
}

fn deployment(name: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\n  labels: {{ app: {name} }}\nspec:\n  replicas: 2\n  selector:\n    matchLabels: {{ app: {name} }}\n  \
         template:\n    metadata:\n      labels: {{ app: {name} }}\n    spec:\n      containers:\n      - name: web\n        image: web:1\n        ports:\n        - containerPort: 8080\n        \
         resources:\n          requests: {{ cpu: 100m, memory: 64Mi }}\n          limits: {{ memory: 128Mi }}\n        readinessProbe:\n          httpGet: {{ path: /healthz, port: 8080 }}\n"
    )
}

fn service(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\nspec:\n  selector: {{ app: {name} }}\n  ports:\n  - name: http\n    port: 80\n    targetPort: 8080\n"
    )
}

/// Milliseconds of a command, and what it printed.
fn timed(command: &mut Command) -> anyhow::Result<(f64, Vec<u8>)> {
    let began = Instant::now();
    let out = command.output().with_context(|| format!("{command:?}"))?;
    let took = began.elapsed().as_secs_f64() * 1000.0;
    ensure!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
    Ok((took, out.stdout))
}

fn processes(extent: &Extent, one: &Path) -> anyhow::Result<Vec<Row>> {
    let overlay = one.join("overlay");
    let (mut ours, mut theirs, mut kubectl) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let (took, text) = timed(Command::new(&extent.prograde).arg("render").arg(&overlay))?;
        ours.push(took);
        let (took, expected) = timed(Command::new(&extent.kustomize).arg("build").arg(&overlay))?;
        theirs.push(took);
        ensure!(text == expected, "the two print different texts");
        if Command::new("kubectl").arg("version").arg("--client").output().is_ok() {
            kubectl.push(timed(Command::new("kubectl").arg("kustomize").arg(&overlay))?.0);
        }
    }
    let (ours, theirs) = (median(ours), median(theirs));
    let name = format!("render: an overlay of {OBJECTS} objects, as a process");
    let row = Row::plain(&name, ours, "ms").beside("kustomize build", theirs);
    let mut rows = vec![row.judged("20x faster", theirs / ours >= 20.0)];
    if !kubectl.is_empty() {
        rows.push(Row::plain(&name, ours, "ms").beside("kubectl kustomize", median(kubectl)));
    }
    Ok(rows)
}

fn warm(extent: &Extent, one: &Path) -> anyhow::Result<Row> {
    let mut tree = FileTree::new();
    for folder in ["base", "overlay"] {
        for entry in fs::read_dir(one.join(folder))? {
            let entry = entry?;
            let name = entry.file_name().into_string().map_err(|name| anyhow::anyhow!("{}", name.display()))?;
            tree.insert(format!("{folder}/{name}"), fs::read(entry.path())?)?;
        }
    }
    let mut took = Vec::new();
    for _ in 0..WARM {
        let began = Instant::now();
        let text = render(&tree, "overlay").and_then(|rendering| rendering.to_yaml());
        took.push(began.elapsed().as_secs_f64() * 1e6);
        ensure!(text.is_ok_and(|text| text.len() > 1000), "it was not rendered");
    }
    let ours = median(took);
    let row = Row::plain("render: the same, kept warm", ours, "us");
    let Some(warm) = &extent.warm else { return Ok(row) };
    let (_, printed) = timed(Command::new(warm).arg(one.join("overlay")).arg(WARM.to_string()))?;
    let each = String::from_utf8(printed)?;
    let each: Result<Vec<f64>, _> = each.lines().map(|line| line.parse::<f64>().map(|ns| ns / 1000.0)).collect();
    let theirs = median(each?);
    Ok(row.beside("Kustomize's library", theirs).judged("5x faster", theirs / ours >= 5.0))
}

/// One kustomization with many objects, each in a file of its own.
fn many(extent: &Extent, root: &Path) -> anyhow::Result<Row> {
    fs::create_dir_all(root.join(".git"))?;
    let mut files = Vec::new();
    for at in 0..MANY / 2 {
        let settings = format!("        envFrom:\n        - configMapRef: {{ name: settings-{at} }}\n");
        fs::write(root.join(format!("deployment-{at}.yaml")), deployment(&format!("web-{at}")) + &settings)?;
        let map =
            format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings-{at}\ndata: {{ mode: fast }}\n");
        fs::write(root.join(format!("settings-{at}.yaml")), map)?;
        files.extend([format!("deployment-{at}.yaml"), format!("settings-{at}.yaml")]);
    }
    let list = files.join(", ");
    let text =
        format!("resources: [{list}]\nnamespace: production\nnamePrefix: p-\nlabels: [{{ pairs: {{ team: web }} }}]\n");
    fs::write(root.join("kustomization.yaml"), text)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..REPOSITORY_RUNS {
        let (took, text) = timed(Command::new(&extent.prograde).arg("render").arg(root))?;
        ours.push(took);
        let (took, expected) = timed(Command::new(&extent.kustomize).arg("build").arg(root))?;
        theirs.push(took);
        ensure!(text == expected, "the two print different texts");
    }
    let name = format!("render: {MANY} objects in one kustomization, as a process");
    Ok(Row::plain(&name, median(ours), "ms").beside("kustomize build", median(theirs)))
}

/// A thousand overlays on twenty bases: all of them, and then what depends on a file that was changed.
fn repository(extent: &Extent, root: &Path) -> anyhow::Result<Vec<Row>> {
    fs::create_dir_all(root.join(".git"))?;
    for base in 0..BASES {
        let folder = root.join(format!("bases/{base}"));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("deployment.yaml"), deployment("web"))?;
        fs::write(folder.join("service.yaml"), service("web"))?;
        fs::write(folder.join("kustomization.yaml"), "resources: [deployment.yaml, service.yaml]\n")?;
    }
    for at in 0..OVERLAYS {
        let folder = root.join(format!("apps/{}/{at}", at % BASES));
        fs::create_dir_all(&folder)?;
        let text = format!(
            "resources: [../../../bases/{}]\nnamePrefix: a{at}-\nimages: [{{ name: web, newTag: '{at}' }}]\n",
            at % BASES
        );
        fs::write(folder.join("kustomization.yaml"), text)?;
    }
    let render = || {
        let mut command = Command::new(&extent.prograde);
        command.args(["render", ".", "--all", "--quiet", "--json", "--output", "out"]).current_dir(root);
        let (took, printed) = timed(&mut command)?;
        let rendered = String::from_utf8(printed)?.matches("\"rendered\"").count();
        Ok::<_, anyhow::Error>((took, rendered))
    };
    let (mut all, mut changed, mut none) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..REPOSITORY_RUNS {
        if run > 0 {
            fs::remove_dir_all(root.join("out"))?;
        }
        let (took, rendered) = render()?;
        ensure!(rendered == OVERLAYS, "{rendered} of {OVERLAYS} were rendered");
        all.push(took);
        // Files that are younger than two seconds are looked into again, as their time alone does not tell.
        std::thread::park_timeout(std::time::Duration::from_secs(3));
        render()?;
        none.push(render()?.0);
        fs::write(
            root.join("bases/7/service.yaml"),
            service("web").replace("port: 80", &format!("port: {}", 81 + run)),
        )?;
        let (took, rendered) = render()?;
        ensure!(rendered == OVERLAYS / BASES, "{rendered} were rendered after the change");
        changed.push(took);
    }
    let began = Instant::now();
    let script = format!(
        "find apps -name kustomization.yaml -printf '%h\\n' | xargs -P 2 -n 1 {} build > /dev/null",
        extent.kustomize.display()
    );
    timed(Command::new("sh").args(["-c", &script]).current_dir(root))?;
    let theirs = began.elapsed().as_secs_f64() * 1000.0;
    let all = Row::below(&format!("render: {OVERLAYS} overlays"), median(all), "ms", 2_000.0, "< 2 s");
    let name = format!("render: one base changed, {} of {OVERLAYS} depend on it", OVERLAYS / BASES);
    let changed = Row::below(&name, median(changed), "ms", 50.0, "< 50 ms");
    let none = Row::plain(&format!("render: nothing changed in {OVERLAYS} overlays"), median(none), "ms");
    Ok(vec![all.beside("kustomize build, two at a time", theirs), changed, none])
}
