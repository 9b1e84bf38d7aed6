//! What is made from the program's own definitions: the schema of `prograde.yaml`, completions and man pages.

use std::fs;
use std::path::PathBuf;

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::Shell;
use prograde_control::config;
use serde_json::json;

use crate::app::App;
use crate::args::Cli;
use crate::exit::Exit;
use crate::report::Report;

/// Print the JSON Schema of prograde.yaml
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde schema > prograde.schema.json
  # First line of prograde.yaml, for editors that know yaml-language-server:
  # yaml-language-server: $schema=prograde.schema.json")]
pub(crate) struct SchemaArgs {}

/// Print completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde completions bash > ~/.local/share/bash-completion/completions/prograde
  prograde completions zsh > \"${fpath[1]}/_prograde\"
  prograde completions fish > ~/.config/fish/completions/prograde.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: KnownShell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum KnownShell {
    Bash,
    Zsh,
    Fish,
}

/// Print the man page, or write those of all commands into a folder
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  prograde man | man -l -\n  prograde man ~/.local/share/man/man1")]
pub(crate) struct ManArgs {
    /// The folder
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// `prograde schema`.
pub(crate) fn schema(app: &App) -> Result<Exit, Report> {
    app.printer.json(&config::schema())?;
    Ok(Exit::Done)
}

/// `prograde completions`.
pub(crate) fn completions(app: &App, args: &CompletionsArgs) -> Result<Exit, Report> {
    let shell = match args.shell {
        KnownShell::Bash => Shell::Bash,
        KnownShell::Zsh => Shell::Zsh,
        KnownShell::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "prograde", &mut script);
    if app.printer.style().json {
        app.printer.json(&json!({"shell": shell.to_string(), "script": String::from_utf8_lossy(&script)}))?;
    } else {
        app.printer.text(script)?;
    }
    Ok(Exit::Done)
}

/// `prograde man`.
pub(crate) fn man(app: &App, args: &ManArgs) -> Result<Exit, Report> {
    let pages = man_pages().map_err(|error| Report::output(&error))?;
    let Some(dir) = &args.dir else {
        if let Some((_, page)) = pages.first() {
            app.printer.text(page)?;
        }
        return Ok(Exit::Done);
    };
    fs::create_dir_all(dir).map_err(|error| Report::file("create", dir, &error))?;
    let mut written = Vec::new();
    for (name, page) in pages {
        let path = dir.join(name);
        fs::write(&path, page).map_err(|error| Report::file("write", &path, &error))?;
        written.push(path);
    }
    if app.printer.style().json {
        app.printer.json(&json!({"written": written}))?;
    } else {
        app.printer.note("Wrote", format_args!("{} man pages to {}", written.len(), dir.display()));
    }
    Ok(Exit::Done)
}

/// Every command's man page with its file name, the program's own first.
fn man_pages() -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let mut pages = Vec::new();
    let mut waiting = vec![root];
    while let Some(command) = waiting.pop() {
        let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
        waiting.extend(command.get_subcommands().filter(|sub| !sub.is_hide_set()).cloned());
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        pages.push((format!("{name}.1"), page));
    }
    Ok(pages)
}
