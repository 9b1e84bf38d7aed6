//! `prograde drift`: how what runs differs from what Git says, told from files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use prograde_kustomize::KUSTOMIZATION_FILES;
use prograde_resource::compare::unified;
use prograde_resource::object::{Reader, unique};
use prograde_resource::{Drift, Identity, IgnoreRules, Object, Options, codes, drift};
use serde_json::{Value, json};

use super::{objects, render};
use crate::app::App;
use crate::exit::Exit;
use crate::printer::{Tone, cleaned, one_line};
use crate::report::Report;
use crate::text::counted;

/// Show how what runs differs from manifests or a kustomization, field by field, and who changed it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kubectl get deploy,svc,cm -n shop -o yaml --show-managed-fields > live.yaml
  prograde drift --desired deploy/overlays/production --live live.yaml
  prograde drift --desired manifests/ --live live.yaml --applied last.yaml --ignore application.yaml --json

A field that the manifests do not name and did not name when they were applied last belongs to somebody else, and is no drift;
one that was applied and is named no longer is to go. What was applied last is told by --applied, by kubectl's annotation, or
by the managed fields of --manager. Values are compared by meaning, and the server's defaults are no drift. Objects that run
and are in no manifest are drift only where they were applied. Values of secrets are never shown.
The exit code is 1 if anything differs, 2 if a file can't be used.")]
pub(crate) struct DriftArgs {
    /// A kustomization, or a file or folder of manifests
    #[arg(long, value_name = "PATH")]
    desired: PathBuf,
    /// Files or folders of what runs, as `kubectl get -o yaml` writes it; - is stdin
    #[arg(long, required = true, value_name = "PATH")]
    live: Vec<PathBuf>,
    /// A file or folder of what was applied last
    #[arg(long, value_name = "PATH")]
    applied: Option<PathBuf>,
    /// What is not compared: a file with ignoreDifferences, such as Argo CD's Application
    #[arg(long, value_name = "FILE")]
    ignore: Vec<PathBuf>,
    /// The field manager under which the manifests are applied; can be given several times
    #[arg(long, default_value = "prograde", value_name = "NAME")]
    manager: Vec<String>,
    /// The namespace of objects that name none
    #[arg(long, default_value = "default", value_name = "NAME")]
    namespace: String,
}

/// Prints what differs.
pub(crate) fn run(app: &App, args: &DriftArgs) -> Result<Exit, Report> {
    let desired = manifests(app, &args.desired, &args.namespace)?;
    let mut reader = Reader::new(args.namespace.as_str()).lenient();
    for path in &args.live {
        objects::read(app, &mut reader, path)?;
    }
    // `kubectl get all,deployments` shows the same object twice.
    let live: BTreeMap<Identity, Object> =
        reader.all().into_iter().map(|object| (object.identity.clone(), object)).collect();
    let applied = args.applied.as_deref().map(|path| manifests(app, path, &args.namespace)).transpose()?;
    let mut ignored = IgnoreRules::default();
    for path in &args.ignore {
        ignored.read(&path.display().to_string(), &objects::text(path)?)?;
    }
    let options = Options { managers: args.manager.clone() };
    let found = drift(desired.values(), &live, applied.as_ref(), &options, &ignored, &args.namespace);
    if app.printer.style().json {
        let entries: Vec<Value> = found.iter().map(|(identity, drift)| entry(identity, drift, &live)).collect();
        app.printer.json(&entries)?;
    } else {
        for (identity, drift) in &found {
            app.printer.text(shown(app, identity, drift, &live))?;
        }
    }
    if found.is_empty() {
        return Ok(Exit::Done);
    }
    let verb = if found.len() == 1 { "differs" } else { "differ" };
    let what = format!("{} {verb} from what should be", counted(found.len() as u64, "object"));
    Err(Report::new(codes::DRIFTED, what)
        .exit(Exit::Refused)
        .hint("apply the manifests, or put into them what is right"))
}

/// The objects of a kustomization, or of manifests.
fn manifests(app: &App, path: &Path, namespace: &str) -> Result<BTreeMap<Identity, Object>, Report> {
    if KUSTOMIZATION_FILES.iter().any(|name| path.join(name).is_file()) {
        return Ok(unique(render::objects(app, path, namespace)?)?);
    }
    let mut reader = Reader::new(namespace);
    objects::read(app, &mut reader, path)?;
    Ok(reader.finish()?)
}

/// An object that differs, as JSON.
pub(super) fn entry(identity: &Identity, drift: &Drift, live: &BTreeMap<Identity, Object>) -> Value {
    let mut made = json!({
        "group": identity.group,
        "kind": identity.kind,
        "namespace": identity.namespace,
        "name": identity.name,
    });
    let Some(fields) = made.as_object_mut() else { return made };
    match drift {
        Drift::Missing => fields.insert("state".into(), "missing".into()),
        Drift::Extra => fields.insert("state".into(), "extra".into()),
        Drift::Changed { differences } => {
            fields.insert("differences".into(), json!(differences));
            let diff = live.get(identity).map(|object| unified(&object.value, differences));
            fields.insert("diff".into(), json!(diff));
            fields.insert("state".into(), "changed".into())
        }
    };
    made
}

/// An object that differs, as text.
pub(super) fn shown(app: &App, identity: &Identity, drift: &Drift, live: &BTreeMap<Identity, Object>) -> String {
    let style = app.printer.style();
    let head =
        |state: &str| format!("{}: {state}\n", Tone::Strong.paint(&one_line(&identity.to_string()), style.colour));
    match drift {
        Drift::Missing => head("it should be there, and is not"),
        Drift::Extra => head("it was applied, and should be there no longer"),
        Drift::Changed { differences } => {
            let mut text = head(&counted(differences.len() as u64, "difference"));
            for one in differences {
                let part = |value: Option<std::borrow::Cow<'_, Value>>| {
                    value.map_or_else(|| "nothing".to_owned(), |value| value.to_string())
                };
                let by = one.by.as_ref().map_or_else(String::new, |by| format!(", written by {by}"));
                let said = format!("{}: {} should be {}{by}", one.path, part(one.live()), part(one.desired()));
                text.extend([format!("  {}\n", one_line(&said))]);
            }
            if let Some(object) = live.get(identity) {
                text.extend(
                    unified(&object.value, differences)
                        .lines()
                        .map(|line| format!("{}\n", painted(line, style.colour))),
                );
            }
            text
        }
    }
}

fn painted(line: &str, colour: bool) -> String {
    let tone = match line.as_bytes().first() {
        Some(b'+') => Tone::Good,
        Some(b'-') => Tone::Bad,
        Some(b'@') => Tone::Dim,
        _ => Tone::Plain,
    };
    tone.paint(&cleaned(line), colour)
}
