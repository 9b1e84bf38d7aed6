//! The command line's one definition: help, man pages, completions and the reference are made from it, and every
//! environment variable is read through it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use crate::client::{Location, Token};
use crate::commands;
use crate::demo;
use crate::exit;
use crate::printer::Style;
use crate::report::{self, Report};

/// From a push to all of production's traffic, safely, and back.
#[derive(Debug, Parser)]
#[command(
    name = "prograde",
    version,
    after_help = exit::HELP,
    max_term_width = 100,
    subcommand_required = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Reads the command line, or ends with what is wrong with it. What all commands take is only found out where that is told:
    /// it takes longer than a short command does.
    pub(crate) fn read() -> Self {
        let mut command = Self::command();
        let arguments: Vec<OsString> = std::env::args_os().collect();
        let first = arguments.get(1).and_then(|first| first.to_str());
        if first.and_then(|name| command.find_subcommand(name)).is_none() {
            command.build();
        }
        let read = command.try_get_matches_from_mut(&arguments);
        let read = read.and_then(|mut found| Self::from_arg_matches_mut(&mut found));
        read.unwrap_or_else(|error| {
            if error.kind() == ErrorKind::MissingSubcommand {
                help(command, &arguments);
            }
            error.format(&mut command).exit()
        })
    }
}

/// Ends with the help of a command that has others, of which none was named.
fn help(mut command: clap::Command, arguments: &[OsString]) -> ! {
    command.build();
    let (mut at, mut path) = (&command, vec![OsString::from("prograde")]);
    for argument in arguments.iter().skip(1) {
        if let Some(found) = argument.to_str().and_then(|name| at.find_subcommand(name)) {
            (at, path) = (found, [path, vec![argument.clone()]].concat());
        }
    }
    path.push(OsString::from("--help"));
    // Where nothing can be printed the status still says it.
    if let Err(told) = command.clone().try_get_matches_from(path) {
        drop(told.print());
    }
    std::process::exit(2)
}

/// What `prograde` can do.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum Command {
    Serve(Box<commands::serve::ServeArgs>),
    Demo(demo::DemoArgs),
    #[command(flatten)]
    Brief(Brief),
}

/// Commands that ask, order or print, and are done.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum Brief {
    Status(commands::status::StatusArgs),
    Env(commands::env::EnvArgs),
    Diff(commands::diff::DiffArgs),
    Release(commands::release::ReleaseArgs),
    Flight(commands::flight::FlightArgs),
    Approve(commands::approve::ApproveArgs),
    Abort(commands::order::AbortArgs),
    Rollback(commands::order::RollbackArgs),
    Scale(commands::order::ScaleArgs),
    Logs(commands::logs::LogsArgs),
    Quarantine(commands::quarantine::QuarantineArgs),
    Upstream(commands::upstream::UpstreamArgs),
    Flag(commands::flag::FlagArgs),
    Query(commands::query::QueryArgs),
    Verdict(commands::verdict::VerdictArgs),
    Budget(commands::budget::BudgetArgs),
    Dora(commands::dora::DoraArgs),
    Toil(commands::toil::ToilArgs),
    Oncall(commands::oncall::OncallArgs),
    Page(commands::page::PageArgs),
    Incident(commands::incident::IncidentArgs),
    Postmortem(commands::postmortem::PostmortemArgs),
    Action(commands::action::ActionArgs),
    StatusPage(commands::status_page::StatusPageArgs),
    Journal(commands::journal::JournalArgs),
    Registry(commands::registry::RegistryArgs),
    Init(commands::init::InitArgs),
    Check(commands::check::CheckArgs),
    Lint(commands::lint::LintArgs),
    Runbook(commands::runbook::RunbookArgs),
    Render(commands::render::RenderArgs),
    App(commands::applications::AppArgs),
    Policy(commands::policy::PolicyArgs),
    Health(commands::health::HealthArgs),
    Drift(commands::drift::DriftArgs),
    Rules(commands::rules::RulesArgs),
    Alerts(commands::alerts::AlertsArgs),
    Objectives(commands::objectives::ObjectivesArgs),
    Node(commands::node::NodeArgs),
    Image(Box<commands::image::ImageArgs>),
    Sbom(commands::sbom::SbomArgs),
    Scan(commands::scan::ScanArgs),
    Db(commands::db::DbArgs),
    Key(commands::key::KeyCommandArgs),
    Sign(commands::sign::SignArgs),
    Attest(commands::attest::AttestArgs),
    Verify(commands::verify::VerifyArgs),
    VerifyAttestation(commands::verify::VerifyAttestationArgs),
    Sim(commands::sim::SimArgs),
    Schema(commands::generate::SchemaArgs),
    Explain(commands::explain::ExplainArgs),
    Completions(commands::generate::CompletionsArgs),
    Man(commands::generate::ManArgs),
    #[command(hide = true)]
    Reference(commands::reference::ReferenceArgs),
}

/// A flight as a person writes it: its id, or the beginning of it.
#[derive(Debug, Clone)]
pub(crate) struct FlightRef(String);

impl FlightRef {
    /// The digits.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FlightRef {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if hex && (4..=32).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(
                "expected a flight's id, or its first four or more digits (0-9, a-f); `prograde flight list` shows them",
            )
        }
    }
}

/// Settings of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The server's address; by default that of the server that runs on the data directory
    #[arg(long, global = true, env = "PROGRADE_URL", value_name = "URL")]
    pub(crate) server: Option<String>,
    /// A file with the server's token; by default `token` in the data directory. `PROGRADE_TOKEN` holds the token itself
    #[arg(long, global = true, env = "PROGRADE_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// The server's token. Set the variable: a flag can be seen by every user of the machine
    #[arg(long, global = true, env = "PROGRADE_TOKEN", hide_env_values = true, hide = true, value_name = "TOKEN", value_parser = token)]
    pub(crate) token: Option<Token>,
    /// Where the server keeps everything; by default `$XDG_DATA_HOME/prograde` or `~/.local/share/prograde`
    #[arg(long, global = true, env = "PROGRADE_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say more on stderr; twice for all of it
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,
    /// Say less on stderr: errors and warnings only; twice for errors only
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) quiet: u8,
    /// When to use colour; `auto` is on a terminal, unless `NO_COLOR` is set
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    pub(crate) color: Colour,
    #[command(flatten)]
    pub(crate) surroundings: Surroundings,
}

/// What the system says about its user. Flags of their own only so that they stand in this definition.
#[derive(Debug, Args)]
pub(crate) struct Surroundings {
    /// No colour, where it is set to anything but nothing (no-color.org)
    #[arg(long, global = true, env = "NO_COLOR", hide = true, value_name = "ANY")]
    no_color: Option<OsString>,
    /// Where users' data is kept (XDG Base Directory Specification)
    #[arg(long, global = true, env = "XDG_DATA_HOME", hide = true, value_name = "DIR")]
    xdg_data_home: Option<OsString>,
    /// The user's own directory
    #[arg(long, global = true, env = "HOME", hide = true, value_name = "DIR")]
    home: Option<OsString>,
    /// The user's name, where Git does not know it
    #[arg(long, global = true, env = "USER", hide = true, value_name = "NAME")]
    system_user: Option<OsString>,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    Auto,
    Always,
    Never,
}

fn token(text: &str) -> Result<Token, String> {
    Token::new(text).ok_or_else(|| "it is empty or has spaces or control characters".to_owned())
}

/// The text of a variable that is set to something.
fn set(value: Option<&OsString>) -> Option<&OsString> {
    value.filter(|text| !text.is_empty())
}

impl Global {
    /// How to write.
    pub(crate) fn style(&self) -> Style {
        let colour = match self.color {
            Colour::Auto => None,
            Colour::Always => Some(true),
            Colour::Never => Some(false),
        };
        Style::detect(self.json, self.quiet > 0, colour, set(self.surroundings.no_color.as_ref()).is_some())
    }

    /// The data directory.
    pub(crate) fn data_dir(&self) -> Result<PathBuf, Report> {
        if let Some(dir) = &self.data_dir {
            return Ok(dir.clone());
        }
        let absolute = |value: Option<&OsString>| set(value).map(PathBuf::from).filter(|path| path.is_absolute());
        let base = absolute(self.surroundings.xdg_data_home.as_ref())
            .or_else(|| absolute(self.surroundings.home.as_ref()).map(|home| home.join(".local/share")));
        let missing = || {
            Report::new(report::ARGUMENT, "there is no place for data: neither XDG_DATA_HOME nor HOME is set")
                .hint("name one with `--data-dir DIR` or PROGRADE_DATA_DIR")
        };
        base.map(|base| base.join("prograde")).ok_or_else(missing)
    }

    /// Where the server is.
    pub(crate) fn location(&self) -> Result<Location, Report> {
        Ok(Location {
            url: self.server.clone().filter(|url| !url.is_empty()),
            token: self.token.clone(),
            token_file: self.token_file.clone(),
            data_dir: self.data_dir()?,
        })
    }

    /// The user's own directory.
    pub(crate) fn home(&self) -> Option<PathBuf> {
        set(self.surroundings.home.as_ref()).map(PathBuf::from).filter(|path| path.is_absolute())
    }

    /// The user's name, where Git does not know it.
    pub(crate) fn user(&self) -> Option<String> {
        set(self.surroundings.system_user.as_ref()).map(|name| name.to_string_lossy().into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_command_has_a_flag_of_a_global_ones_name() {
        let mut cli = Cli::command();
        cli.build();
        let globals: Vec<&str> =
            cli.get_arguments().filter(|arg| arg.is_global_set()).map(|arg| arg.get_id().as_str()).collect();
        assert!(globals.contains(&"system_user"));
        let mut waiting: Vec<&clap::Command> = cli.get_subcommands().collect();
        while let Some(command) = waiting.pop() {
            let is_own = |arg: &&clap::Arg| !arg.is_global_set() && globals.contains(&arg.get_id().as_str());
            let both = command.get_arguments().find(is_own);
            assert!(both.is_none(), "{}: {both:?}", command.get_name());
            waiting.extend(command.get_subcommands());
        }
        Cli::command().debug_assert();
    }
}
