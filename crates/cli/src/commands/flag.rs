//! `prograde flag`: feature flags where they are evaluated, and what people have set beside Git.

use clap::{Args, Subcommand, ValueEnum};
use prograde_model::flag::Setting;
use prograde_model::ids::{EnvironmentName, ServiceName};

use crate::app::App;
use crate::commands::order::{OrderArgs, rehearse, tell};
use crate::exit::Exit;
use crate::printer::{Style, Tone};
use crate::report::{self, Report};
use crate::sentence::setting;
use crate::text::{Cell, Table, when};
use crate::wire::{FlagSetRequest, FlagSettingView, FlagUnsetRequest, FlagView};

/// Show, set and unset feature flags
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct FlagArgs {
    #[command(subcommand)]
    command: FlagCommand,
}

#[derive(Debug, Subcommand)]
enum FlagCommand {
    List(ListArgs),
    Show(ShowArgs),
    Set(SetArgs),
    Unset(UnsetArgs),
    /// Print the token that services show to evaluate flags; it is good for nothing else
    #[command(after_help = "Examples:\n  prograde flag token\n  prograde flag token --json")]
    Token,
}

/// List flags with what they are set to
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde flag list
  prograde flag list -s pad -e production --json")]
struct ListArgs {
    /// Of one service
    #[arg(long, short, value_name = "NAME")]
    service: Option<ServiceName>,
    /// In one environment
    #[arg(long, short, value_name = "NAME")]
    environment: Option<EnvironmentName>,
}

/// Where a flag is evaluated.
#[derive(Debug, Args)]
struct Place {
    /// The service
    #[arg(long, short, value_name = "NAME")]
    service: ServiceName,
    /// The environment
    #[arg(long, short, value_name = "NAME")]
    environment: EnvironmentName,
}

/// Show a flag: its variants, its rule, and what it is set to
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde flag show new-banner -s pad -e production
  prograde flag show new-banner -s pad -e production --json")]
struct ShowArgs {
    /// The flag's key
    #[arg(value_name = "KEY")]
    flag: String,
    #[command(flatten)]
    place: Place,
}

/// Set a flag for everybody, at once, whatever Git says
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde flag set new-banner -s pad -e production --variant on --reason 'the campaign begins'
  prograde flag set new-banner -s pad -e production --state disabled --reason 'it hides the menu'

It holds until it is unset, also when a later release serves. What follows is judged as a release is: if the requests
begin to fail, the flag goes back to what it was.")]
struct SetArgs {
    /// The flag's key
    #[arg(value_name = "KEY")]
    flag: String,
    #[command(flatten)]
    place: Place,
    /// The variant that everybody gets
    #[arg(long, value_name = "NAME", required_unless_present = "state", conflicts_with = "state")]
    variant: Option<String>,
    /// Whether the flag is there: clients use their own default for one that is disabled
    #[arg(long, value_enum, value_name = "STATE")]
    state: Option<State>,
    /// Why; kept in the journal
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    order: OrderArgs,
}

/// Leave a flag to Git again
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde flag unset new-banner -s pad -e production --reason 'Git has it now'")]
struct UnsetArgs {
    /// The flag's key
    #[arg(value_name = "KEY")]
    flag: String,
    #[command(flatten)]
    place: Place,
    /// Why; kept in the journal
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    Enabled,
    Disabled,
}

/// Runs `prograde flag`.
pub(crate) fn run(app: &App, args: &FlagArgs) -> Result<Exit, Report> {
    match &args.command {
        FlagCommand::List(args) => list(app, args),
        FlagCommand::Show(args) => show(app, args),
        FlagCommand::Set(args) => set(app, args),
        FlagCommand::Unset(args) => unset(app, args),
        FlagCommand::Token => token(app),
    }
}

fn list(app: &App, args: &ListArgs) -> Result<Exit, Report> {
    let found = app.client()?.flags(args.service.as_ref(), args.environment.as_ref())?;
    if app.printer.style().json {
        app.printer.json(&found)?;
    } else if found.is_empty() {
        app.printer.note("Flags", "there are none");
    } else {
        app.printer.text(table(&found, app.printer.style(), app.printer.now()))?;
        app.printer.next("prograde flag set KEY --service NAME --environment NAME --variant NAME --reason TEXT");
    }
    Ok(Exit::Done)
}

fn table(found: &[FlagView], style: Style, now: jiff::Timestamp) -> String {
    let mut table = Table::new(&["FLAG", "SERVICE", "ENVIRONMENT", "GIT", "SET", "SINCE", "BY", "REASON"]);
    for view in found {
        let mut row = vec![
            Cell::new(&view.flag),
            Cell::new(view.service.as_str()),
            Cell::new(view.environment.as_str()),
            Cell::free(declared(view), style),
        ];
        match &view.set {
            Some(set) => row.extend([
                Cell::free(set_to(set), style).tone(Tone::Warning),
                Cell::new(when(&set.since, now, style)),
                Cell::free(&set.by, style),
                Cell::free(&set.reason, style),
            ]),
            None => row.extend([Cell::new("-"), Cell::new("-"), Cell::new("-"), Cell::new("-")]),
        }
        table.row(row);
    }
    table.render(style)
}

/// What Git says of a flag, in a word or three.
fn declared(view: &FlagView) -> String {
    let default = view.default_variant.as_deref().unwrap_or("the code's default");
    match (view.variants.is_empty(), view.enabled, &view.targeting) {
        (true, ..) => "not declared".to_owned(),
        (false, false, _) => "disabled".to_owned(),
        (false, true, Some(_)) => format!("by rule, else {default}"),
        (false, true, None) => default.to_owned(),
    }
}

fn set_to(set: &FlagSettingView) -> String {
    let to = setting(&set.to);
    if set.in_force { to } else { format!("{to} (without effect)") }
}

fn show(app: &App, args: &ShowArgs) -> Result<Exit, Report> {
    let Place { service, environment } = &args.place;
    let found = app.client()?.flags(Some(service), Some(environment))?;
    let missing = || {
        Report::new(report::ARGUMENT, format!("there is no flag {:?} of {service} in {environment}", args.flag))
            .hint("`prograde flag list` shows the flags")
    };
    let view = found.iter().find(|view| view.flag == args.flag).ok_or_else(missing)?;
    if app.printer.style().json {
        app.printer.json(view)?;
        return Ok(Exit::Done);
    }
    app.printer.text(table(std::slice::from_ref(view), app.printer.style(), app.printer.now()))?;
    for (name, value) in &view.variants {
        app.printer.line(format_args!("variant {}: {value}", crate::printer::one_line(name)))?;
    }
    if let Some(rule) = &view.targeting {
        app.printer.line(format_args!("rule: {rule}"))?;
    }
    Ok(Exit::Done)
}

fn set(app: &App, args: &SetArgs) -> Result<Exit, Report> {
    let to = match (&args.variant, args.state) {
        (Some(variant), _) => Setting::Variant(variant.clone()),
        (None, Some(State::Enabled)) => Setting::Enabled,
        (None, Some(State::Disabled) | None) => Setting::Disabled,
    };
    let request = FlagSetRequest {
        service: args.place.service.clone(),
        environment: args.place.environment.clone(),
        flag: args.flag.clone(),
        to,
        by: app.by(args.order.by.as_deref())?,
        reason: args.reason.clone(),
    };
    let what =
        format!("flag {} of {} in {} to {}", args.flag, request.service, request.environment, setting(&request.to));
    if args.order.dry_run {
        return rehearse(app, &format!("set {what}"), "/api/v1/flags/set", &request);
    }
    let ordered = app.client()?.set_flag(&request)?;
    tell(app, "Set", &what, &ordered)
}

fn unset(app: &App, args: &UnsetArgs) -> Result<Exit, Report> {
    let request = FlagUnsetRequest {
        service: args.place.service.clone(),
        environment: args.place.environment.clone(),
        flag: args.flag.clone(),
        by: app.by(args.order.by.as_deref())?,
        reason: args.reason.clone(),
    };
    let what = format!("flag {} of {} in {}", args.flag, request.service, request.environment);
    if args.order.dry_run {
        return rehearse(app, &format!("leave {what} to Git"), "/api/v1/flags/unset", &request);
    }
    let ordered = app.client()?.unset_flag(&request)?;
    tell(app, "Unset", &what, &ordered)
}

fn token(app: &App) -> Result<Exit, Report> {
    let found = app.client()?.flag_token()?;
    if app.printer.style().json {
        app.printer.json(&found)?;
    } else {
        app.printer.line(format_args!("{}", found.token))?;
    }
    Ok(Exit::Done)
}
