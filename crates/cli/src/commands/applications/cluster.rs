//! The applications of a directory, and the cluster that they go to.

use std::path::{Path, PathBuf};

use clap::Args;
use prograde_apps::Memory;
use prograde_apps::forest::{Found, grow};
use prograde_kubernetes::{Chosen, Connection, choose, codes};
use prograde_model::{Diagnostic, Diagnostics};

use super::source::{Surroundings, read};
use crate::app::App;
use crate::report::{self, Report};

/// Flags of every command that asks a cluster.
#[derive(Debug, Args)]
pub(super) struct Selection {
    /// A file or a directory with the applications, or with what makes them
    #[arg(default_value = ".", value_name = "PATH")]
    path: PathBuf,
    /// Only this application; may be given several times
    #[arg(long = "app", value_name = "NAME")]
    names: Vec<String>,
    /// The kubeconfig; without it `KUBECONFIG`, ~/.kube/config, or the service account of the pod that this runs in
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig; without it the current one
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    #[command(flatten)]
    surroundings: Surroundings,
}

/// What was chosen.
pub(super) struct Choice {
    /// The applications.
    pub(super) applications: Vec<Chosen>,
    /// What is wrong with files.
    pub(super) problems: Vec<Diagnostic>,
}

/// Waits for what is asked of a cluster, unless the user stops it.
pub(super) fn wait<T>(app: &App, asked: impl Future<Output = T>) -> Result<T, Report> {
    app.runtime.block_on(async {
        tokio::select! {
            came = asked => Ok(came),
            () = app.stop.cancelled() => Err(Report::cancelled()),
        }
    })
}

impl Selection {
    /// The way to the cluster.
    pub(super) fn connect(&self, app: &App) -> Result<Connection, Report> {
        let opened = Connection::open(self.kubeconfig.as_deref(), self.context.as_deref());
        wait(app, opened)?.map_err(|error| {
            Report::new(codes::CONNECT, error.to_string())
                .hint("name a kubeconfig with --kubeconfig, and one of its contexts with --context")
        })
    }

    /// The applications that are named.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Where the applications are.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the applications that are meant, and renders what is not remembered.
    pub(super) fn choose(&self, app: &App, connection: &Connection, memory: &mut Memory) -> Result<Choice, Report> {
        let read = read(app, &self.path, &self.surroundings)?;
        let mut forest = grow(&read.objects, &read.world(), app.printer.now(), memory);
        for name in &self.names {
            if !forest.applications.iter().any(|found| found.application.name() == name) {
                // What is wrong may be why it is not there.
                if !forest.problems.is_empty() {
                    return Err(Diagnostics(forest.problems).into());
                }
                return Err(Report::new(report::ARGUMENT, format!("there is no application `{name}`"))
                    .hint("`prograde app list` shows what there is"));
            }
        }
        let all = std::mem::take(&mut forest.applications);
        let is_meant =
            |found: &&Found| self.names.is_empty() || self.names.iter().any(|name| name == found.application.name());
        let applications: Vec<Chosen> =
            all.iter().filter(is_meant).map(|found| choose(found, &forest, connection, None)).collect();
        if applications.is_empty() && forest.problems.is_empty() {
            return Err(Report::new(report::ARGUMENT, format!("there are no applications in {}", self.path.display()))
                .hint("name the directory with the Applications"));
        }
        let told: Vec<&Diagnostic> =
            applications.iter().filter_map(|one| one.target.as_ref().err()).flat_map(|found| &found.0).collect();
        let mut problems = forest.problems;
        problems.retain(|problem| !told.contains(&problem));
        Ok(Choice { applications, problems })
    }
}
