//! `prograde logs`: what a service's replicas print.

use std::time::Duration;

use clap::Args;
use prograde_model::ids::{EnvironmentName, ServiceName};

use crate::app::App;
use crate::args::FlightRef;
use crate::client::{LogQuery, Next};
use crate::commands::order::whole_id;
use crate::exit::Exit;
use crate::printer::{Style, Tone};
use crate::report::{self, Report};
use crate::text::exact;
use crate::wire::LogLineView;

/// How long an answer that does not follow may be silent.
const SILENCE_MAX: Duration = Duration::from_mins(1);
/// How long a followed service may be silent before the stream is opened anew; a dead connection is noticed so.
const FOLLOW_SILENCE_MAX: Duration = Duration::from_hours(24);

/// Print what a service's replicas print
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde logs pad
  prograde logs pad --environment production --tail 100 --follow
  prograde logs pad --flight 3f2a91bc --json | jq -r .line")]
pub(crate) struct LogsArgs {
    /// The service
    service: ServiceName,
    /// Go on with lines as they are printed
    #[arg(long, short)]
    follow: bool,
    /// The environment; by default the last one that the service has entered
    #[arg(long, short, value_name = "NAME")]
    environment: Option<EnvironmentName>,
    /// How many of the last lines
    #[arg(long, short = 'n', default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100_000))]
    tail: u32,
    /// Lines of the version that one flight brought only
    #[arg(long, value_name = "FLIGHT")]
    flight: Option<FlightRef>,
}

/// Prints the lines.
pub(crate) fn run(app: &App, args: &LogsArgs) -> Result<Exit, Report> {
    let client = app.client()?;
    let flight = args.flight.as_ref().map(|flight| whole_id(&client, flight)).transpose()?;
    let query = LogQuery {
        environment: args.environment.as_ref().map(ToString::to_string),
        tail: Some(args.tail),
        follow: args.follow,
        flight: flight.map(String::from),
    };
    let silence_max = if args.follow { FOLLOW_SILENCE_MAX } else { SILENCE_MAX };
    let mut lines = client.logs(&args.service, &query, silence_max)?;
    loop {
        match lines.next()? {
            Next::Item(line) => print(app, &line)?,
            Next::End => return Ok(Exit::Done),
            Next::Silence => {
                return Err(Report::new(report::STRANGE_ANSWER, "the server was silent for too long").hint("try again"));
            }
        }
    }
}

fn print(app: &App, line: &LogLineView) -> Result<(), Report> {
    let style = app.printer.style();
    if style.json {
        return app.printer.json_line(line);
    }
    app.printer.output(format!("{}\n", rendered(line, style)))
}

/// A line: when, which replica, what. Only pipes are given the service's bytes as they are.
fn rendered(line: &LogLineView, style: Style) -> String {
    let at = line.at.parse().map_or_else(|_| line.at.clone(), exact);
    let head = format!("{at} {}", line.replica);
    let mark = if line.stream == "stderr" { "!" } else { " " };
    format!("{} {mark} {}", Tone::Dim.paint(&head, style.colour), line.line)
}
