//! `prograde page`: pages that wait, and answers to them.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use prograde_model::oncall::PageId;
use prograde_model::quantity::Period;
use serde::Serialize;

use crate::app::App;
use crate::commands::order::{OrderArgs, rehearse};
use crate::exit::Exit;
use crate::printer::{Style, Tone};
use crate::report::Report;
use crate::text::{Cell, Table, count, exact, when};
use crate::wire::{AnswerRequest, PageView, RaiseRequest, RateRequest, SnoozeRequest};

/// Show pages, take them, put them off, and page whoever is on call
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct PageArgs {
    #[command(subcommand)]
    command: PageCommand,
}

#[derive(Debug, Subcommand)]
enum PageCommand {
    List(ListArgs),
    Show(ShowArgs),
    Ack(AnswerArgs),
    Snooze(SnoozeArgs),
    Resolve(ResolveArgs),
    Rate(RateArgs),
    Raise(RaiseArgs),
    Test(TestArgs),
}

/// List pages that are not over, the newest first
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  prograde page list\n  prograde page list --all --json")]
struct ListArgs {
    /// Those that ended as well
    #[arg(long)]
    all: bool,
}

/// Show one page: whom it reached, and what follows when
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  prograde page show P-17")]
struct ShowArgs {
    /// The page, such as `P-17`
    #[arg(value_name = "PAGE")]
    page: PageId,
}

/// Take a page: nobody else is told of it
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  prograde page ack P-17\n  prograde page ack P-17 --by ann")]
struct AnswerArgs {
    /// The page, such as `P-17`
    #[arg(value_name = "PAGE")]
    page: PageId,
    #[command(flatten)]
    order: OrderArgs,
}

/// Put a page off; it begins again with the first step
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  prograde page snooze P-17 --for 30m")]
struct SnoozeArgs {
    /// The page, such as `P-17`
    #[arg(value_name = "PAGE")]
    page: PageId,
    /// For how long
    #[arg(long = "for", value_name = "TIME")]
    time: Period,
    #[command(flatten)]
    order: OrderArgs,
}

/// Say that a page is over; pages about alerts are over by themselves when the alerts are
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  prograde page resolve P-17")]
struct ResolveArgs {
    /// The page, such as `P-17`
    #[arg(value_name = "PAGE")]
    page: PageId,
    #[command(flatten)]
    order: OrderArgs,
}

/// Say whether a page was worth being told of
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde page rate P-17 --useful
  prograde page rate P-17 --noise --comment 'it happens with each deployment, and nobody is hurt'")]
struct RateArgs {
    /// The page, such as `P-17`
    #[arg(value_name = "PAGE")]
    page: PageId,
    /// It was
    #[arg(long, required_unless_present = "noise", conflicts_with = "noise")]
    useful: bool,
    /// It was not
    #[arg(long)]
    noise: bool,
    /// Why
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    comment: String,
    #[command(flatten)]
    order: OrderArgs,
}

/// Page whoever is on call
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  prograde page raise 'the antenna does not turn' --escalation ground")]
struct RaiseArgs {
    /// What it is about
    #[arg(value_name = "TEXT")]
    title: String,
    /// By which escalation; needed where there are several
    #[arg(long, value_name = "NAME")]
    escalation: Option<String>,
    /// What quiet hours look at
    #[arg(long, default_value = "page", value_name = "NAME")]
    severity: String,
    #[command(flatten)]
    order: OrderArgs,
}

/// Try out whether whoever is on call is reached, in quiet hours too
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde page test
  prograde page test --escalation ground")]
struct TestArgs {
    /// By which escalation; needed where there are several
    #[arg(long, value_name = "NAME")]
    escalation: Option<String>,
    #[command(flatten)]
    order: OrderArgs,
}

/// Runs `prograde page`.
pub(crate) fn run(app: &App, args: &PageArgs) -> Result<Exit, Report> {
    match &args.command {
        PageCommand::List(args) => list(app, args),
        PageCommand::Show(args) => {
            let page = app.client()?.page(args.page)?;
            shown(app, &page)
        }
        PageCommand::Ack(args) => {
            let request = AnswerRequest { by: app.by(args.order.by.as_deref())? };
            let what = format!("take {} as {}", args.page, request.by);
            order(app, &args.order, (args.page, "acknowledge"), &what, "Acknowledged", &request)
        }
        PageCommand::Snooze(args) => {
            let now = app.printer.now();
            let until = now.saturating_add(args.time.duration()).unwrap_or(Timestamp::MAX);
            let request = SnoozeRequest { until, by: app.by(args.order.by.as_deref())? };
            let what = format!("put {} off until {} as {}", args.page, exact(until), request.by);
            order(app, &args.order, (args.page, "snooze"), &what, "Snoozed", &request)
        }
        PageCommand::Resolve(args) => {
            let request = AnswerRequest { by: app.by(args.order.by.as_deref())? };
            let what = format!("end {} as {}", args.page, request.by);
            order(app, &args.order, (args.page, "resolve"), &what, "Resolved", &request)
        }
        PageCommand::Rate(args) => {
            let by = app.by(args.order.by.as_deref())?;
            let request = RateRequest { useful: args.useful, comment: args.comment.clone(), by };
            let word = if args.useful { "useful" } else { "noise" };
            let what = format!("call {} {word} as {}", args.page, request.by);
            order(app, &args.order, (args.page, "rate"), &what, "Rated", &request)
        }
        PageCommand::Raise(args) => {
            let request = RaiseRequest {
                title: args.title.clone(),
                escalation: args.escalation.clone(),
                severity: args.severity.clone(),
                test: false,
                by: app.by(args.order.by.as_deref())?,
            };
            raise(app, &args.order, &request)
        }
        PageCommand::Test(args) => {
            let by = app.by(args.order.by.as_deref())?;
            let request = RaiseRequest {
                title: format!("a test by {by}: acknowledge it, and nothing else is to be done"),
                escalation: args.escalation.clone(),
                severity: String::new(),
                test: true,
                by,
            };
            raise(app, &args.order, &request)
        }
    }
}

/// Answers a page.
fn order(
    app: &App,
    args: &OrderArgs,
    (page, order): (PageId, &str),
    what: &str,
    done: &str,
    request: &impl Serialize,
) -> Result<Exit, Report> {
    let path = format!("/api/v1/pages/{page}/{order}");
    if args.dry_run {
        return rehearse(app, what, &path, request);
    }
    let view = app.client()?.answer_page(&path, request)?;
    if app.printer.style().json {
        app.printer.json(&view)?;
    } else {
        app.printer.note(done, format_args!("{}, {}", view.id, view.title));
    }
    Ok(Exit::Done)
}

fn raise(app: &App, args: &OrderArgs, request: &RaiseRequest) -> Result<Exit, Report> {
    if args.dry_run {
        return rehearse(app, &format!("page whoever is on call: {}", request.title), "/api/v1/pages", request);
    }
    let view = app.client()?.answer_page("/api/v1/pages", request)?;
    if app.printer.style().json {
        app.printer.json(&view)?;
    } else {
        app.printer.note("Paged", format_args!("{}, by the escalation {}", view.id, view.escalation));
        app.printer.next(format_args!("prograde page show {}", view.id));
    }
    Ok(Exit::Done)
}

fn list(app: &App, args: &ListArgs) -> Result<Exit, Report> {
    let pages = app.client()?.pages(args.all)?;
    let style = app.printer.style();
    if style.json {
        app.printer.json(&pages)?;
    } else if pages.is_empty() {
        app.printer.note("Pages", if args.all { "there were none" } else { "none waits" });
    } else {
        let mut table = Table::new(&["PAGE", "STATE", "OPENED", "REACHED", "BY", "ABOUT"]);
        for page in &pages {
            table.row(vec![
                Cell::new(page.id.to_string()),
                Cell::new(&page.state).tone(tone(&page.state)),
                Cell::new(when(&page.opened_at.to_string(), app.printer.now(), style)),
                Cell::new(people(&page.reached)),
                Cell::new(page.acknowledged_by.as_deref().unwrap_or("-")),
                Cell::free(&page.title, style),
            ]);
        }
        app.printer.text(table.render(style))?;
        app.printer.next("prograde page ack PAGE");
    }
    Ok(Exit::Done)
}

fn tone(state: &str) -> Tone {
    match state {
        "open" | "unanswered" => Tone::Bad,
        "acknowledged" | "resolved" => Tone::Good,
        _ => Tone::Dim,
    }
}

fn people(names: &[String]) -> String {
    if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
}

fn shown(app: &App, page: &PageView) -> Result<Exit, Report> {
    let style = app.printer.style();
    if style.json {
        app.printer.json(page)?;
    } else {
        app.printer.text(described(page, app.printer.now(), style))?;
    }
    Ok(Exit::Done)
}

/// A page for people.
fn described(page: &PageView, now: Timestamp, style: Style) -> String {
    let moment = |at: Timestamp| when(&at.to_string(), now, style);
    let mut lines = vec![
        format!("{} {}", Tone::Strong.paint(&page.id.to_string(), style.colour), crate::printer::one_line(&page.title)),
        format!("  state       {}", tone(&page.state).paint(&page.state, style.colour)),
        format!("  opened      {}", moment(page.opened_at)),
        format!("  reached     {}", people(&page.reached)),
    ];
    let mut add = |name: &str, text: Option<String>| lines.extend(text.map(|text| format!("  {name:<11} {text}")));
    add("calling", Some(people(&page.calling)).filter(|_| !page.calling.is_empty()));
    let taken = page.acknowledged_by.as_ref().zip(page.acknowledged_at);
    add("taken", taken.map(|(by, at)| format!("by {by}, {}", moment(at))));
    add("over", page.resolved_at.map(moment));
    add("next", page.next_at.map(exact));
    add("escalation", Some(page.escalation.clone()));
    add("alerts", (page.alerts > 0).then(|| count(page.alerts)));
    add("raised by", page.raised_by.clone());
    add("rated", page.useful.map(|useful| if useful { "useful" } else { "noise" }.to_owned()));
    lines.join("\n") + "\n"
}
