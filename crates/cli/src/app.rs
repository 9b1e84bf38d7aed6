//! What every command is given: the settings, the printer, and the way to the server.

use std::sync::Arc;
use std::time::Duration;

use tokio::process::Command;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::args::Global;
use crate::client::Client;
use crate::printer::Printer;
use crate::report::{self, Report};

/// How long Git may take to say who the user is.
const GIT_WAIT: Duration = Duration::from_secs(5);

/// A command's surroundings. Commands run off the runtime and may block.
pub(crate) struct App {
    /// Where output goes.
    pub(crate) printer: Arc<Printer>,
    /// Settings of every command.
    pub(crate) global: Global,
    /// For the few things that are asynchronous.
    pub(crate) runtime: Handle,
    /// The user wants to stop. Looked at by commands that run others.
    pub(crate) stop: CancellationToken,
}

impl App {
    /// A client of the server that is meant.
    pub(crate) fn client(&self) -> Result<Client, Report> {
        self.global.location()?.client()
    }

    /// Who gives an order: who was named, else who Git says, else the system's user.
    pub(crate) fn by(&self, named: Option<&str>) -> Result<String, Report> {
        let found = named.map(str::to_owned).or_else(|| self.git_user()).or_else(|| self.global.user());
        let name = found.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        name.ok_or_else(|| {
            Report::new(report::ARGUMENT, "it is not known who gives the order")
                .hint("say it with `--by NAME`, or once and for all with `git config --global user.name NAME`")
        })
    }

    fn git_user(&self) -> Option<String> {
        let asked = Command::new("git").args(["config", "user.name"]).kill_on_drop(true).output();
        let answer = self.runtime.block_on(async { tokio::time::timeout(GIT_WAIT, asked).await });
        let output = answer.ok()?.ok()?;
        let name = String::from_utf8(output.stdout).ok()?;
        Some(name).filter(|name| output.status.success() && !name.trim().is_empty())
    }
}
