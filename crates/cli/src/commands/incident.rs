//! `prograde incident`: what hurts users, who takes care of it, and what ends it.

mod orders;
mod show;

use clap::{Args, Subcommand};
use prograde_model::ids::{EnvironmentName, ServiceName};
use prograde_model::incident::{IncidentId, Role, Severity, Stage};

pub(crate) use orders::tell;

use crate::app::App;
use crate::args::FlightRef;
use crate::commands::order::OrderArgs;
use crate::exit::Exit;
use crate::moment::Moment;
use crate::report::Report;

/// Declare incidents, find what changed before them, end the harm, and write down what happened
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct IncidentArgs {
    #[command(subcommand)]
    command: IncidentCommand,
}

#[derive(Debug, Subcommand)]
enum IncidentCommand {
    Declare(DeclareArgs),
    List(ListArgs),
    Show(OneArgs),
    Suspects(SuspectsArgs),
    /// Name the commands that may end the harm, those that have helped this service before first
    Ways(OneArgs),
    Mitigate(MitigateArgs),
    Timeline(OneArgs),
    Note(NoteArgs),
    Role(RoleArgs),
    Severity(SeverityArgs),
    Stage(StageArgs),
    Link(LinkArgs),
    Describe(DescribeArgs),
    Publish(PublishArgs),
    Unpublish(OrderedArgs),
    Resolve(ResolveArgs),
    Reopen(ReopenArgs),
    Merge(MergeArgs),
    Trend(TrendArgs),
}

/// Say that users are hurt
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde incident declare 'orders are lost' -s pad -e production --severity SEV2
  prograde incident declare 'orders are lost' -s pad -e production --since 10m")]
struct DeclareArgs {
    /// What happens to users, in a line
    title: String,
    /// The service that is hurt
    #[arg(long, short, value_name = "NAME")]
    service: ServiceName,
    /// Where
    #[arg(long, short, value_name = "NAME")]
    environment: EnvironmentName,
    /// How bad it is: SEV1 (most users, or data) to SEV4 (nobody yet)
    #[arg(long, default_value = "SEV3", value_name = "SEV")]
    severity: Severity,
    /// Since when: so long ago, such as `10m`, or a time; now by default
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    #[command(flatten)]
    order: OrderArgs,
}

/// List incidents, the newest first
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  prograde incident list\n  prograde incident list --all --service pad --json")]
struct ListArgs {
    /// Those that are over as well
    #[arg(long)]
    all: bool,
    /// Of one service
    #[arg(long, short, value_name = "NAME")]
    service: Option<ServiceName>,
}

/// Show an incident and the command that most likely ends it, or with `timeline` what happened and when
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  prograde incident show INC-1\n  prograde incident ways INC-1\n  prograde incident timeline INC-1 --json"
)]
struct OneArgs {
    /// The incident
    #[arg(value_name = "INCIDENT")]
    id: IncidentId,
}

/// Name what changed before users were hurt, the likeliest first, and how to take it back
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  prograde incident suspects INC-1\n  prograde incident suspects INC-1 --hours 168")]
struct SuspectsArgs {
    /// The incident
    #[arg(value_name = "INCIDENT")]
    id: IncidentId,
    /// How many hours before users were hurt a change may have been
    #[arg(long, default_value_t = 24, value_name = "N")]
    hours: u16,
}

/// End the harm: take the likeliest release or a flag back, scale, or say what ended it
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("way").required(true).args(["rollback", "flag", "scale", "how"]))]
#[command(after_help = "\
Examples:
  prograde incident mitigate INC-1 --rollback
  prograde incident mitigate INC-1 --rollback --flight 3f2a91bc
  prograde incident mitigate INC-1 --flag new-basket
  prograde incident mitigate INC-1 --scale 6
  prograde incident mitigate INC-1 --how 'traffic moved to the other region'")]
struct MitigateArgs {
    /// The incident
    #[arg(value_name = "INCIDENT")]
    id: IncidentId,
    /// Take back the release that is the likeliest suspect
    #[arg(long)]
    rollback: bool,
    /// The flight to take back instead
    #[arg(long, value_name = "FLIGHT", requires = "rollback")]
    flight: Option<FlightRef>,
    /// Take the last change of a flag back
    #[arg(long, value_name = "FLAG")]
    flag: Option<String>,
    /// Give what serves so many replicas
    #[arg(long, value_name = "N")]
    scale: Option<u32>,
    /// What has ended it
    #[arg(long, value_name = "TEXT")]
    how: Option<String>,
    #[command(flatten)]
    order: OrderArgs,
}

/// Write something down
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  prograde incident note INC-1 'the queue grows' --about 5m")]
struct NoteArgs {
    /// The incident
    #[arg(value_name = "INCIDENT")]
    id: IncidentId,
    /// What
    text: String,
    /// Of which moment it tells: so long ago, or a time; now by default
    #[arg(long, value_name = "TIME")]
    about: Option<Moment>,
    #[command(flatten)]
    order: OrderArgs,
}

/// Give a role to somebody: commander, communications, operations or scribe
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  prograde incident role INC-1 commander Ann")]
struct RoleArgs {
    /// The incident
    #[arg(value_name = "INCIDENT")]
    id: IncidentId,
    /// Which
    role: Role,
    /// Who has it from now on
    person: String,
    #[command(flatten)]
    order: OrderArgs,
}

/// Say that it is worse or better than was thought
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  prograde incident severity INC-1 SEV1 --reason 'all orders'")]
struct SeverityArgs {
    /// The incident
    #[arg(value_name = "INCIDENT")]
    id: IncidentId,
    /// How bad it is
    severity: Severity,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    order: OrderArgs,
}

/// Go on to triage, declare, mitigate or investigate; never back
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  prograde incident stage INC-1 investigate")]
struct StageArgs {
    /// The incident
    #[arg(value_name = "INCIDENT")]
    id: IncidentId,
    /// What work is about from now on
    stage: Stage,
    #[command(flatten)]
    order: OrderArgs,
}

/// Link a flight, a group of alerts, a page or an address
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde incident link INC-1 --flight 3f2a91bc
  prograde incident link INC-1 --alerts '{}:{alertname=\"QueueIsDeep\"}'
  prograde incident link INC-1 --url https://example.com/board")]
#[group(id = "what", required = true, multiple = false, args = ["flight", "alerts", "page", "url"])]
struct LinkArgs {
    /// The incident
    #[arg(value_name = "INCIDENT")]
    id: IncidentId,
    /// A flight
    #[arg(long, value_name = "FLIGHT")]
    flight: Option<FlightRef>,
    /// A group of alerts, by its key
    #[arg(long, value_name = "KEY")]
    alerts: Option<String>,
    /// A page, by its id
    #[arg(long, value_name = "ID")]
    page: Option<String>,
    /// An address
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    order: OrderArgs,
}

/// Change the title, say where people talk about it and who has to be kept informed
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  prograde incident describe INC-1 --channel '#inc-1' --stakeholder 'the shop'")]
struct DescribeArgs {
    /// The incident
    #[arg(value_name = "INCIDENT")]
    id: IncidentId,
    /// What happens to users
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// Where people talk about it: a text or an address
    #[arg(long, value_name = "TEXT")]
    channel: Option<String>,
    /// Who has to be kept informed; all of them
    #[arg(long = "stakeholder", value_name = "NAME")]
    stakeholders: Vec<String>,
    #[command(flatten)]
    order: OrderArgs,
}

/// Put it on the status page with a message for everybody, or add a message
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde incident publish INC-1 'Some orders are lost. We are taking a release back.'

Everybody then sees its title, service, environment, stage and times, and these messages; nothing else.")]
struct PublishArgs {
    /// The incident
    #[arg(value_name = "INCIDENT")]
    id: IncidentId,
    /// What everybody reads
    message: String,
    #[command(flatten)]
    order: OrderArgs,
}

/// Take it off the status page
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  prograde incident unpublish INC-1")]
struct OrderedArgs {
    /// The incident
    #[arg(value_name = "INCIDENT")]
    id: IncidentId,
    #[command(flatten)]
    order: OrderArgs,
}

/// Say that it is over, and why it happened
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  prograde incident resolve INC-1 --cause 'the new release held a lock too long'")]
struct ResolveArgs {
    /// The incident
    #[arg(value_name = "INCIDENT")]
    id: IncidentId,
    /// Why it happened, as far as is known
    #[arg(long, value_name = "TEXT")]
    cause: String,
    #[command(flatten)]
    order: OrderArgs,
}

/// Say that it is not over after all
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  prograde incident reopen INC-1 --reason 'orders are lost again'")]
struct ReopenArgs {
    /// The incident
    #[arg(value_name = "INCIDENT")]
    id: IncidentId,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    order: OrderArgs,
}

/// Say that it is the same as another one, where work goes on
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  prograde incident merge INC-2 --into INC-1")]
struct MergeArgs {
    /// The incident
    #[arg(value_name = "INCIDENT")]
    id: IncidentId,
    /// The one that goes on
    #[arg(long, value_name = "INCIDENT")]
    into: IncidentId,
    #[command(flatten)]
    order: OrderArgs,
}

/// Show whether incidents fall: by month, with pages, minutes of harm and action items
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  prograde incident trend\n  prograde incident trend --since 2y --json")]
struct TrendArgs {
    /// From when: so long ago, or a day
    #[arg(long, default_value = "1y", value_name = "TIME")]
    since: Moment,
    /// Whose months, such as `Europe/Berlin`
    #[arg(long, default_value = "UTC", value_name = "ZONE")]
    time_zone: String,
}

/// Runs `prograde incident`.
pub(crate) fn run(app: &App, args: &IncidentArgs) -> Result<Exit, Report> {
    match &args.command {
        IncidentCommand::Declare(args) => orders::declare(app, args),
        IncidentCommand::List(args) => show::list(app, args),
        IncidentCommand::Show(args) => show::show(app, args.id),
        IncidentCommand::Suspects(args) => show::suspects(app, args),
        IncidentCommand::Ways(args) => show::ways(app, args.id),
        IncidentCommand::Mitigate(args) => orders::mitigate(app, args),
        IncidentCommand::Timeline(args) => show::timeline(app, args.id),
        IncidentCommand::Note(args) => orders::note(app, args),
        IncidentCommand::Role(args) => orders::role(app, args),
        IncidentCommand::Severity(args) => orders::severity(app, args),
        IncidentCommand::Stage(args) => orders::stage(app, args),
        IncidentCommand::Link(args) => orders::link(app, args),
        IncidentCommand::Describe(args) => orders::describe(app, args),
        IncidentCommand::Publish(args) => orders::publish(app, args),
        IncidentCommand::Unpublish(args) => orders::unpublish(app, args),
        IncidentCommand::Resolve(args) => orders::resolve(app, args),
        IncidentCommand::Reopen(args) => orders::reopen(app, args),
        IncidentCommand::Merge(args) => orders::merge(app, args),
        IncidentCommand::Trend(args) => show::trend(app, args),
    }
}
