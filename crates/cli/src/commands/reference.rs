//! `prograde reference`: the reference pages in `docs/reference/`, made from the program's own definitions so that they
//! can't say anything else than it does.

mod cli;
mod events;

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory};
use prograde_control::config;
use serde_json::json;

use crate::app::App;
use crate::args::Cli;
use crate::exit::Exit;
use crate::pages;
use crate::report::{self, Report};
use crate::text::counted;

/// Write the reference pages
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  prograde reference --out docs/reference\n  prograde reference --out docs/reference --check"
)]
pub(crate) struct ReferenceArgs {
    /// The folder
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Write nothing; exit with 1 if a page is not as it would be written
    #[arg(long)]
    check: bool,
}

/// Writes or compares the pages.
pub(crate) fn run(app: &App, args: &ReferenceArgs) -> Result<Exit, Report> {
    let pages = all();
    let stale: Vec<&str> =
        pages.iter().filter(|(name, text)| differs(&args.out.join(name), text)).map(|(name, _)| *name).collect();
    if app.printer.style().json {
        app.printer.json(&json!({"stale": stale, "written": !args.check}))?;
    }
    if args.check {
        return if stale.is_empty() {
            app.printer.note("Good", format_args!("{}", counted(pages.len() as u64, "page")));
            Ok(Exit::Done)
        } else {
            let what = format!("not as the program says: {}", stale.join(", "));
            Err(Report::new(report::STALE, what).exit(Exit::Refused).hint("`make docs` writes them anew"))
        };
    }
    fs::create_dir_all(&args.out).map_err(|error| Report::file("create", &args.out, &error))?;
    for (name, text) in &pages {
        let path = args.out.join(name);
        fs::write(&path, text).map_err(|error| Report::file("write", &path, &error))?;
    }
    app.printer.note("Wrote", format_args!("{} to {}", counted(pages.len() as u64, "page"), args.out.display()));
    Ok(Exit::Done)
}

fn differs(path: &Path, text: &str) -> bool {
    fs::read_to_string(path).map_or(true, |found| found != text)
}

/// Every page with its file name.
fn all() -> Vec<(&'static str, String)> {
    let mut root = Cli::command();
    root.build();
    vec![
        ("cli.md", cli::commands(&root)),
        ("environment.md", cli::environment(&root)),
        ("events.md", events::page()),
        ("errors.md", errors()),
        ("prograde.schema.json", pretty(&config::schema())),
        ("openapi.json", pretty(&prograde_server::api::openapi_document())),
    ]
}

fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}

fn errors() -> String {
    let mut text = "# Errors\n\nEvery error has a code. `prograde explain CODE` prints its page.\n\n| code | meaning |\n|---|---|\n".to_owned();
    for page in pages::ALL {
        text.extend([format!("| [{0}](../errors/{0}.md) | {1} |\n", page.code, page.title())]);
    }
    text
}

/// Text for a cell of a Markdown table: one line, and no cell's end within.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_the_same_each_time_and_hold_what_they_are_for() {
        assert_eq!(all(), all());
        let page = |name: &str| all().into_iter().find(|(page, _)| *page == name).unwrap().1;
        for needle in ["## prograde flight show", "`--timeout <TIME>`", "Exit codes"] {
            assert!(page("cli.md").contains(needle), "{needle}");
        }
        for needle in ["PROGRADE_TOKEN`", "NO_COLOR", "PROGRADE_NOTIFY_WEBHOOK"] {
            assert!(page("environment.md").contains(needle), "{needle}");
        }
        for needle in ["## rollout.step_entered", "## flight.ended", "`weight`", "### Counters"] {
            assert!(page("events.md").contains(needle), "{needle}");
        }
        assert!(page("errors.md").contains("[PG0102](../errors/PG0102.md)"));
        assert!(!page("cli.md").contains("## prograde reference"), "hidden commands stay hidden");
    }
}
