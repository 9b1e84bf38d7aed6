//! `prograde explain`: an error's page, without a network.

use clap::Args;
use serde_json::json;

use crate::app::App;
use crate::exit::Exit;
use crate::pages::{self, Page};
use crate::report::{self, Report};
use crate::text::{Cell, Table};

/// Explain an error's code, or list all codes
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  prograde explain PG0102\n  prograde explain")]
pub(crate) struct ExplainArgs {
    /// The code, such as PG0102
    #[arg(value_name = "CODE")]
    code: Option<String>,
}

/// Prints the page.
pub(crate) fn run(app: &App, args: &ExplainArgs) -> Result<Exit, Report> {
    let json = app.printer.style().json;
    let Some(code) = &args.code else {
        if json {
            app.printer.json(&pages::ALL.iter().map(as_json).collect::<Vec<_>>())?;
        } else {
            let mut table = Table::new(&["CODE", "MEANING"]);
            for page in pages::ALL {
                table.row(vec![Cell::new(page.code), Cell::new(page.title())]);
            }
            app.printer.text(table.render(app.printer.style()))?;
        }
        return Ok(Exit::Done);
    };
    let wanted = code.trim_matches(['[', ']']).to_ascii_uppercase();
    let page = pages::ALL.iter().find(|page| page.code == wanted).ok_or_else(|| {
        let shown: String = code.chars().take(40).collect();
        Report::new(report::ARGUMENT, format!("there is no error code {shown:?}"))
            .hint("`prograde explain` lists all codes")
    })?;
    if json {
        app.printer.json(&as_json(page))?;
    } else {
        app.printer.text(page.text)?;
    }
    Ok(Exit::Done)
}

fn as_json(page: &Page) -> serde_json::Value {
    json!({"code": page.code, "title": page.title(), "text": page.text})
}
