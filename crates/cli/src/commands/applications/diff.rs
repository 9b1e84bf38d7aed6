//! `prograde app diff`.

use std::sync::Arc;

use clap::Args;
use prograde_apps::Memory;
use prograde_kubernetes::{Cluster, Inventory, Refused, Settled, Standing, Target, codes, inventory, look_all};
use prograde_model::Diagnostics;
use serde_json::{Value as Json, json};

use super::cluster::{Choice, Selection, wait};
use crate::app::App;
use crate::commands::drift::{entry, shown};
use crate::exit::Exit;
use crate::printer::{Tone, one_line};
use crate::report::Report;
use crate::text::counted;

/// Show how applications in a cluster differ from what Git says, field by field, and who changed it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde app diff
  prograde app diff argocd --app shop --context production
  prograde app diff argocd --json | jq '.applications[].objects'

Nothing is written. An object belongs to an application by Argo CD's annotation; one that does, and that Git names no longer,
differs too. Fields that Git does not name belong to somebody else; `ignoreDifferences` counts. Values of secrets are never
shown. The exit code is 1 if anything differs, 2 if an application can't be rendered or the cluster can't be asked.")]
pub(super) struct DiffArgs {
    #[command(flatten)]
    selection: Selection,
}

/// An application beside the cluster.
struct Compared {
    target: Arc<Target>,
    standing: Standing,
}

/// Shows what differs.
pub(super) fn run(app: &App, args: &DiffArgs) -> Result<Exit, Report> {
    let connection = args.selection.connect(app)?;
    let choice = args.selection.choose(app, &connection, &mut Memory::default())?;
    let (compared, wrong, inventory) = wait(app, compare(&*connection.api, choice))??;
    for (plural, why) in &inventory.blind {
        app.printer.warning(format_args!("{plural} were not looked through: {}", one_line(why)));
    }
    if app.printer.style().json {
        let applications: Vec<Json> = compared.iter().map(document).collect();
        app.printer.json(&json!({ "applications": applications, "problems": wrong.0 }))?;
    } else {
        for one in &compared {
            let style = app.printer.style();
            let state = if one.standing.drifts.is_empty() { "as Git says" } else { "differs" };
            app.printer
                .line(format_args!("{} {state}", Tone::Strong.paint(&one_line(&one.target.name), style.colour)))?;
            for (identity, drift) in &one.standing.drifts {
                app.printer.text(shown(app, identity, drift, &one.standing.live))?;
            }
        }
    }
    if !wrong.0.is_empty() {
        return Err(wrong.into());
    }
    let differing = compared.iter().map(|one| one.standing.drifts.len() as u64).sum();
    if differing == 0 {
        return Ok(Exit::Done);
    }
    let verb = if differing == 1 { "differs" } else { "differ" };
    Err(Report::new(codes::DIFFERS, format!("{} {verb} from what Git says", counted(differing, "object")))
        .exit(Exit::Refused)
        .hint(format!("prograde app sync {}", args.selection.path().display())))
}

async fn compare(cluster: &dyn Cluster, choice: Choice) -> Result<(Vec<Compared>, Diagnostics, Inventory), Report> {
    let mut wrong = choice.problems;
    let kinds = cluster.kinds(true).await.map_err(|refused| unreachable(&refused))?;
    let mut settled: Vec<(Arc<Target>, Settled)> = Vec::new();
    for chosen in choice.applications {
        let made = chosen.target.and_then(|target| Ok((target.settle(&kinds, "NAME")?, target)));
        match made {
            Ok((made, target)) => settled.push((target, made)),
            Err(found) => wrong.extend(found.0),
        }
    }
    let spaces = settled.iter().flat_map(|(target, made)| {
        made.desired.keys().map(|identity| identity.namespace.clone()).chain([target.namespace.clone()])
    });
    let spaces = spaces.filter(|space| !space.is_empty()).collect();
    let inventory = inventory(cluster, &spaces).await.map_err(|refused| unreachable(&refused))?;
    let standings = look_all(cluster, &settled, &inventory).await.map_err(|refused| unreachable(&refused))?;
    let compared = settled.into_iter().zip(standings).map(|((target, _), standing)| Compared { target, standing });
    Ok((compared.collect(), Diagnostics(wrong), inventory))
}

/// A cluster that can't be asked.
pub(super) fn unreachable(refused: &Refused) -> Report {
    let exit = if refused.is(401) { Exit::Unauthorised } else { Exit::Mistake };
    Report::new(codes::CONNECT, "the cluster can't be asked").because(refused).exit(exit)
}

fn document(one: &Compared) -> Json {
    let objects: Vec<Json> =
        one.standing.drifts.iter().map(|(identity, drift)| entry(identity, drift, &one.standing.live)).collect();
    json!({ "application": one.target.name, "revision": one.target.revision, "objects": objects })
}
