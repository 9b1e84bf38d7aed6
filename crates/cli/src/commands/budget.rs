//! `prograde budget`: what is left of error budgets, and how fast it goes.

use clap::Args;

use crate::app::App;
use crate::exit::Exit;
use crate::printer::{Style, Tone, one_line};
use crate::report::Report;
use crate::text::{Cell, Table, count, span_ms};
use crate::wire::BudgetView;

/// Show error budgets: what is left, how fast it goes, and when it will be gone
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde budget
  prograde budget pad --explain
  prograde budget --json | jq '.[] | select(.state == \"spent\")'

A burn rate of 1 spends the budget in just its window. Objectives are given to the
server with `prograde serve --objectives`.")]
pub(crate) struct BudgetArgs {
    /// Only of this service
    #[arg(value_name = "SERVICE")]
    service: Option<String>,
    /// Show how each number was calculated
    #[arg(long)]
    explain: bool,
}

/// Prints the budgets.
pub(crate) fn run(app: &App, args: &BudgetArgs) -> Result<Exit, Report> {
    let client = app.client()?;
    let budgets = client.budgets(args.service.as_deref())?;
    if app.printer.style().json {
        app.printer.json(&budgets)?;
        return Ok(Exit::Done);
    }
    app.printer.text(render(&budgets, args.explain, app.printer.style()))?;
    if budgets.is_empty() {
        let of = args.service.as_ref().map_or_else(String::new, |service| format!(" of {service}"));
        app.printer.note("No", format_args!("objectives{of} at {}", client.url()));
        app.printer.next("prograde serve --objectives FILE");
    } else if !args.explain {
        app.printer.next("prograde budget --explain");
    }
    Ok(Exit::Done)
}

/// The budgets as text.
pub(crate) fn render(budgets: &[BudgetView], explain: bool, style: Style) -> String {
    if budgets.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[
        "OBJECTIVE",
        "TARGET",
        "WINDOW",
        "SPENT",
        "MINUTES LEFT",
        "EVENTS LEFT",
        "BURN RATE",
        "GONE IN",
        "STATE",
    ]);
    let mut below = String::new();
    for budget in budgets {
        table.row(row(budget));
        if let Some(problem) = &budget.problem {
            let word = Tone::Bad.paint("not measured:", style.colour);
            below.extend([format!("{word} {}: {}\n", budget.id, one_line(problem))]);
        }
        if let Some(hold) = &budget.hold {
            let word = Tone::Warning.paint("held:", style.colour);
            below.extend([format!("{word} {} until {hold} has some left; fixes pass\n", gate(budget))]);
        }
        if explain {
            below.push_str(&explained(budget, style));
        }
    }
    format!("{}{below}", table.render(style))
}

fn gate(budget: &BudgetView) -> String {
    let service = budget.gate_service.as_ref().map_or("nothing", |service| service.as_str());
    match &budget.gate_environment {
        Some(environment) => format!("releases of {service} in {environment}"),
        None => format!("releases of {service}"),
    }
}

fn row(budget: &BudgetView) -> Vec<Cell> {
    let tone = match budget.state.as_str() {
        "spent" => Tone::Bad,
        "half spent" => Tone::Warning,
        "good" => Tone::Good,
        _ => Tone::Dim,
    };
    let number = |value: Option<f64>, digits: usize| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.digits$}"));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; rounded for people")]
    let events = budget.events_left.map_or_else(|| "-".to_owned(), |left| count(left.floor() as u64));
    let gone = budget.gone_in_s.and_then(|seconds| u64::try_from(seconds).ok());
    vec![
        Cell::new(&budget.id),
        Cell::number(percent(budget.target)),
        Cell::new(&budget.window),
        Cell::number(budget.spent.map_or_else(|| "-".to_owned(), |spent| format!("{:.1}%", spent * 100.0))).tone(tone),
        Cell::number(match (budget.minutes_left, budget.minutes) {
            (Some(left), Some(all)) => format!("{left:.1} of {all:.1}"),
            _ => "-".to_owned(),
        }),
        Cell::number(events),
        Cell::number(number(budget.burn_rate, 2)),
        Cell::number(gone.map_or_else(|| "-".to_owned(), |s| span_ms(s.saturating_mul(1_000)))),
        Cell::new(&budget.state).tone(tone),
    ]
}

/// Without what binary fractions leave behind.
fn percent(share: f64) -> String {
    format!("{}%", (share * 1e8).round() / 1e6)
}

fn explained(budget: &BudgetView, style: Style) -> String {
    let mut text = format!("\n{}\n", Tone::Strong.paint(&budget.id, style.colour));
    for line in &budget.explained {
        text.extend([format!("  {}\n", one_line(line))]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    fn budget() -> BudgetView {
        serde_json::from_value(serde_json::json!({
            "id": "pad-availability", "objective": "availability", "service": "pad", "target": 0.999, "window": "30d",
            "measured_at": "2026-02-01T11:59:58Z", "from": "2026-01-02T11:59:58Z", "until": "2026-02-01T11:59:58Z",
            "state": "spent", "spent": 1.204, "minutes": 43.2, "minutes_left": 0.0, "events": 1_000_000.0,
            "events_bad": 1204.0, "events_left": 0.0, "burn_rate": 15.8,
            "burns": [{"severity": "page", "long": "1h", "short": "5m", "limit": 14.4, "rate": 15.8, "rate_short": 16.1}],
            "gone_in_s": 0, "gate_service": "pad", "gate_environment": "production", "hold": "budget/pad-availability",
            "problem": null, "explained": ["budget = 1 - target", "spent = bad / budget"]
        }))
        .unwrap()
    }

    #[test]
    fn a_spent_budget_says_what_it_holds() {
        insta::assert_snapshot!(render(&[budget()], false, fixtures::TERMINAL));
    }

    #[test]
    fn what_is_not_measured_has_no_numbers_and_says_why() {
        let mut unknown = budget();
        (unknown.spent, unknown.minutes_left, unknown.events_left, unknown.burn_rate) = (None, None, None, None);
        (unknown.state, unknown.gone_in_s, unknown.hold) = ("unknown".into(), None, None);
        unknown.problem = Some("the query gives several series".into());
        insta::assert_snapshot!(render(&[unknown], true, Style::default()));
        assert_eq!(render(&[], true, Style::default()), "");
    }
}
