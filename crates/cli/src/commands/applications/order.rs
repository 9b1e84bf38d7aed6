//! `prograde app sync --set`: the server is asked to synchronise applications that it keeps.

use std::time::Duration;

use clap::Args;
use jiff::SignedDuration;
use prograde_kubernetes::codes;
use tokio::time::Instant;

use super::cluster::wait;
use super::status::table;
use crate::app::App;
use crate::client::Client;
use crate::exit::Exit;
use crate::report::{self, Report};
use crate::wire::{ApplicationView, SyncRequest};

/// How often it is asked how far a sync is.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Flags of what the server is asked for.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server options")]
pub(super) struct OnServer {
    /// Let the server synchronise applications that it keeps, of this set: it goes by its own commit and kubeconfig
    #[arg(long, value_name = "SET", conflicts_with_all = [
        "path", "kubeconfig", "context", "repositories", "offline", "helm", "clusters", "watch", "dry_run",
    ])]
    pub(super) set: Option<String>,
    /// Who gives the order; by default the user that Git knows, or the system's
    #[arg(long, value_name = "NAME", requires = "set")]
    pub(super) by: Option<String>,
}

/// What is ordered.
pub(super) struct Ordered<'a> {
    pub(super) set: &'a str,
    pub(super) names: &'a [String],
    pub(super) prune: bool,
    pub(super) confirm_prune: bool,
    pub(super) by: Option<&'a str>,
    pub(super) timeout: SignedDuration,
}

/// Orders it, and waits until it is done.
pub(super) fn run(app: &App, order: &Ordered<'_>) -> Result<Exit, Report> {
    let client = app.client()?;
    let kept = client.applications()?;
    let in_set = kept.applications.iter().filter(|view| view.set.as_str() == order.set);
    let known: Vec<&str> = in_set.map(|view| view.application.as_str()).collect();
    let unknown = |what: String| Report::new(report::ARGUMENT, what).hint("`prograde app status` shows what there is");
    if known.is_empty() {
        return Err(unknown(format!("the server keeps no applications in a set `{}`", order.set)));
    }
    if let Some(name) = order.names.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(unknown(format!("the server keeps no application `{name}` in the set `{}`", order.set)));
    }
    let is_meant = |name: &&&str| order.names.is_empty() || order.names.iter().any(|one| one == **name);
    let names: Vec<&str> = known.iter().filter(is_meant).copied().collect();
    let request = SyncRequest { prune: order.prune, confirm_prune: order.confirm_prune, by: app.by(order.by)? };
    for name in &names {
        client.sync_application(order.set, name, &request)?;
        app.printer.note("Ordered", format_args!("{}/{name}, by {}", order.set, request.by));
    }
    let views = ended(app, &client, order, &names)?;
    if app.printer.style().json {
        app.printer.json(&views)?;
    } else if !views.is_empty() {
        app.printer.text(table(&views, app.printer.style(), app.printer.now()))?;
    }
    outcome(&views)
}

/// How they stand once all have ended, or there is no time left. Those that Git names no longer are gone then.
fn ended(app: &App, client: &Client, order: &Ordered<'_>, names: &[&str]) -> Result<Vec<ApplicationView>, Report> {
    let until = Instant::now() + order.timeout.unsigned_abs();
    loop {
        let mut views = client.applications()?.applications;
        views.retain(|view| view.set.as_str() == order.set && names.contains(&view.application.as_str()));
        let goes_on = |view: &ApplicationView| ["syncing", "leaving"].contains(&&*view.sync);
        if !views.iter().any(goes_on) || Instant::now() >= until {
            let is_gone = |name: &&&str| views.iter().all(|view| view.application != **name);
            for name in names.iter().filter(is_gone) {
                app.printer.note("Gone", format_args!("{}/{name} is kept no longer", order.set));
            }
            return Ok(views);
        }
        wait(app, tokio::time::sleep(LOOK_EVERY))?;
    }
}

fn outcome(views: &[ApplicationView]) -> Result<Exit, Report> {
    let named = |states: &[&str]| -> Vec<String> {
        let chosen = views.iter().filter(|view| states.contains(&&*view.sync));
        chosen.map(|view| format!("{}: {}", view.application, view.why)).collect()
    };
    let all = [
        (
            named(&["failed", "unusable"]),
            codes::FAILED,
            Exit::Refused,
            "put it right in Git, and push; or in the cluster, and order it again",
        ),
        (
            named(&["held"]),
            codes::ASKS,
            Exit::Refused,
            "look at what would go; if all of that may, say --confirm-prune",
        ),
        (
            named(&["syncing", "leaving", "unknown"]),
            codes::LATE,
            Exit::Pending,
            "it goes on: `prograde app status` tells how it stands",
        ),
    ];
    for (lines, code, exit, hint) in all {
        if !lines.is_empty() {
            return Err(Report::new(code, lines.join("\n")).exit(exit).hint(hint));
        }
    }
    Ok(Exit::Done)
}
