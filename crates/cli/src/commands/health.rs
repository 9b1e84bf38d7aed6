//! `prograde health`: how well objects are, told from files.

use std::path::{Path, PathBuf};

use clap::Args;
use prograde_model::Diagnostics;
use prograde_resource::health::{Rules, assess};
use prograde_resource::object::Reader;
use prograde_resource::{Health, Object, Status, codes};
use prograde_server::policies::files::searched;
use serde_json::{Value, json};

use super::objects;
use crate::app::App;
use crate::exit::Exit;
use crate::printer::Tone;
use crate::report::{self, Report};
use crate::text::{Cell, Table, counted};

/// How deep folders of scripts are searched.
const DEPTH_MAX: usize = 32;

/// Tell how well Kubernetes objects are, from files or from `kubectl get -o yaml`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kubectl get all,ingress,pvc -o yaml | prograde health -
  prograde health dump.yaml --json | jq '.[] | select(.status != \"Healthy\")'
  prograde health dump.yaml --lua argo-cd/resource_customizations
  prograde health dump.yaml --cel health.yaml

Statuses are Healthy, Suspended, Progressing, Missing, Degraded and Unknown. Kubernetes' own kinds are known; other kinds are
told by their conditions, by expressions in CEL as in Flux' healthCheckExprs, or by scripts in Lua as in Argo CD. With --json
there is a list of {\"kind\", \"name\", \"namespace\", \"status\", \"message\"} and where each is written.
The exit code is 1 if anything is Degraded, 2 if a file can't be used.")]
pub(crate) struct HealthArgs {
    /// Files or folders of objects; - is stdin
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Scripts as Argo CD keeps them: a folder of GROUP/KIND/health.lua, or a file with the ConfigMap argocd-cm
    #[arg(long, value_name = "PATH")]
    lua: Vec<PathBuf>,
    /// A file of expressions as in Flux' healthCheckExprs
    #[arg(long, value_name = "FILE")]
    cel: Vec<PathBuf>,
    /// The namespace of objects that name none
    #[arg(long, default_value = "default", value_name = "NAME")]
    namespace: String,
}

/// Prints the health of all objects.
pub(crate) fn run(app: &App, args: &HealthArgs) -> Result<Exit, Report> {
    let rules = rules(args)?;
    let mut reader = Reader::new(args.namespace.as_str()).lenient();
    for path in &args.paths {
        objects::read(app, &mut reader, path)?;
    }
    let now = app.printer.now();
    let told: Vec<(Object, Health)> = reader
        .all()
        .into_iter()
        .map(|object| {
            let health = assess(&object.value, &rules, now);
            (object, health)
        })
        .collect();
    if app.printer.style().json {
        app.printer.json(&told.iter().map(entry).collect::<Vec<_>>())?;
    } else {
        show(app, &told)?;
    }
    let degraded = told.iter().filter(|(_, health)| health.status == Status::Degraded).count() as u64;
    if degraded == 0 {
        return Ok(Exit::Done);
    }
    let what = format!("{} degraded", counted(degraded, "object"));
    Err(Report::new(codes::UNHEALTHY, what).exit(Exit::Refused).hint("the messages say why"))
}

fn rules(args: &HealthArgs) -> Result<Rules, Report> {
    let mut rules = Rules::default();
    for path in &args.lua {
        if !path.is_dir() {
            let text = objects::text(path)?;
            let file = path.display().to_string();
            if path.extension().is_some_and(|end| end == "lua") {
                rules.scripts.file(&file, &text).map_err(Diagnostics::from)?;
            } else {
                rules.scripts.config(&file, &text)?;
            }
            continue;
        }
        scripts(&mut rules, path)?;
    }
    for path in &args.cel {
        rules.expressions.read(&path.display().to_string(), &objects::text(path)?)?;
    }
    Ok(rules)
}

fn scripts(rules: &mut Rules, folder: &Path) -> Result<(), Report> {
    let is_script = |path: &Path| path.file_name().is_some_and(|name| name == "health.lua");
    let found = searched(folder, DEPTH_MAX, &is_script)
        .map_err(|why| Report::new(report::FILE, format!("{}: {why}", folder.display())))?;
    if found.is_empty() {
        let what = format!("there is no script in {}", folder.display());
        return Err(Report::new(report::FILE, what).hint("scripts are in GROUP/KIND/health.lua"));
    }
    for file in found {
        rules.scripts.file(&file.display().to_string(), &objects::text(&file)?).map_err(Diagnostics::from)?;
    }
    Ok(())
}

fn entry((object, health): &(Object, Health)) -> Value {
    let place = object.place.as_ref();
    json!({
        "kind": object.identity.kind,
        "name": object.identity.name,
        "namespace": object.identity.namespace,
        "status": health.status,
        "message": health.message,
        "apiVersion": object.api_version(),
        "file": place.map(|place| place.file.to_string()),
        "line": place.map(|place| place.line),
    })
}

fn show(app: &App, told: &[(Object, Health)]) -> Result<(), Report> {
    let style = app.printer.style();
    let mut table = Table::new(&["KIND", "NAMESPACE", "NAME", "STATUS", "MESSAGE"]);
    for (object, health) in told {
        let tone = match health.status {
            Status::Healthy => Tone::Good,
            Status::Suspended => Tone::Dim,
            Status::Progressing | Status::Missing => Tone::Warning,
            Status::Degraded | Status::Unknown => Tone::Bad,
        };
        table.row(vec![
            Cell::new(&object.identity.kind),
            Cell::new(&object.identity.namespace),
            Cell::new(&object.identity.name),
            Cell::new(health.status.to_string()).tone(tone),
            Cell::free(&health.message, style),
        ]);
    }
    app.printer.text(table.render(style))
}
