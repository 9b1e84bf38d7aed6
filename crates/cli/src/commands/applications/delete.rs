//! `prograde app delete`.

use std::sync::Arc;

use clap::Args;
use jiff::SignedDuration;
use prograde_apps::Memory;
use prograde_kubernetes::Orders;
use prograde_model::Diagnostics;

use super::cluster::{Choice, Selection, wait};
use super::sync::{Came, all, duration, ended, tell};
use crate::app::App;
use crate::exit::Exit;
use crate::report::{self, Report};

/// Delete the objects of applications in a cluster
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde app delete argocd --app shop
  prograde app delete argocd --app shop --context production --confirm

Without --confirm nothing is changed, and the exit code is 1 where something would be deleted. Hooks of `PreDelete` run first; if
one fails, nothing is deleted. Then goes what says that it is the application's, in the reverse order of its kinds; what says
`Delete=false` or `Prune=false` stays, and so does the namespace that was made for it. Hooks of `PostDelete` run once all of that
is gone. An application that is kept by a server, or by Argo CD, comes back unless it is taken out of Git first: run this in a
checkout that has it still. The exit code is 1 if one failed, 2 if one can't be rendered or the cluster can't be asked, 5 if
something was not gone in time.")]
pub(super) struct DeleteArgs {
    #[command(flatten)]
    selection: Selection,
    /// Delete them
    #[arg(long)]
    confirm: bool,
    /// How long each application may take
    #[arg(long, default_value = "5m", value_name = "DURATION", value_parser = duration)]
    timeout: SignedDuration,
}

/// Deletes them.
pub(super) fn run(app: &App, args: &DeleteArgs) -> Result<Exit, Report> {
    if args.selection.names().is_empty() {
        return Err(Report::new(report::ARGUMENT, "it is not said which applications are meant")
            .hint("name each with `--app NAME`; `prograde app list` shows what there is"));
    }
    let connection = args.selection.connect(app)?;
    let Choice { applications, problems } = args.selection.choose(app, &connection, &mut Memory::default())?;
    let orders =
        Orders { prune: true, confirmed: args.confirm, dry: !args.confirm, hooks: true, timeout: args.timeout };
    let mut targets = Vec::new();
    for chosen in applications {
        let target = chosen.target.map_err(|found| Report::from(Diagnostics(found.0)))?;
        targets.push((orders.clone(), Arc::new(target.leaving())));
    }
    let mut came = wait(app, all(connection, targets, &app.printer))?;
    came.sort_by(|one, other| one.name.cmp(&other.name));
    tell(app, orders.dry, &came)?;
    for object in came.iter().filter(|_| orders.dry).flat_map(Came::asked) {
        app.printer.note("Would go", object);
    }
    ended(&came, problems, "if all of that may go, say --confirm")
}
