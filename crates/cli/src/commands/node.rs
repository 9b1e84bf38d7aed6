//! `prograde node`: what the local node can do on this machine.

use clap::{Args, Subcommand};
use prograde_confine::Machine;
use prograde_model::confinement::Part;
use serde_json::json;

use crate::app::App;
use crate::exit::Exit;
use crate::printer::{Tone, cleaned};
use crate::report::Report;
use crate::text::counted;

/// The machine can't give everything that manifests may ask for.
const MISSING: &str = "PG1301";

/// Look at this machine as the local node sees it
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct NodeArgs {
    #[command(subcommand)]
    command: NodeCommand,
}

#[derive(Debug, Subcommand)]
enum NodeCommand {
    Check(CheckArgs),
}

/// Say what containers can be held to on this machine, and what not, with the reason
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde node check
  prograde node check --json

Run it as the user and with the rights of the server, because these decide. It makes a control group in each tree that the
kernel has, and removes it again.
The exit code is 1 if a part is missing. A workload that asks for such a part is refused, unless its environment allows
the part to be missing: `runtime.allow_unconfined` in prograde.yaml.")]
struct CheckArgs {}

/// Runs `prograde node`.
pub(crate) fn run(app: &App, args: &NodeArgs) -> Result<Exit, Report> {
    let NodeCommand::Check(CheckArgs {}) = &args.command;
    told(app, &Machine::survey())
}

/// What a part is, for people.
fn meaning(part: Part) -> &'static str {
    match part {
        Part::Container => "user, groups, root file system, namespaces, no_new_privs",
        Part::Capabilities => "capabilities beyond the usual ones",
        Part::Seccomp => "filter of system calls",
        Part::MemoryLimit => "limit of memory",
        Part::CpuLimit => "limit and share of processors",
        Part::PidsLimit => "limit of processes and threads",
    }
}

fn told(app: &App, machine: &Machine) -> Result<Exit, Report> {
    let style = app.printer.style();
    let Machine { layout, capabilities, missing } = machine;
    if style.json {
        let parts: Vec<_> = Part::ALL
            .into_iter()
            .map(|part| {
                let lack = machine.missing(part);
                json!({"part": part, "available": lack.is_none(),
                    "why": lack.map(|lack| &lack.why), "way_out": lack.map(|lack| &lack.way_out)})
            })
            .collect();
        app.printer.json(&json!({"cgroups": layout, "capabilities": capabilities, "parts": parts}))?;
    } else {
        for part in Part::ALL {
            let (tone, word) = match machine.missing(part) {
                None => (Tone::Good, "yes"),
                Some(_) => (Tone::Bad, "no"),
            };
            let word = tone.paint(&format!("{word:3}"), style.colour);
            app.printer.line(format_args!("{:13} {word}  {}", part.name(), meaning(part)))?;
            if let Some(lack) = machine.missing(part) {
                app.printer.line(format_args!("                   {}; {}", cleaned(&lack.why), lack.way_out))?;
            }
        }
        let names: Vec<&str> = capabilities.iter().map(String::as_str).collect();
        let lacking: Vec<&str> = prograde_model::confinement::CAPABILITIES
            .into_iter()
            .filter(|name| !capabilities.contains(*name))
            .collect();
        let layout = serde_json::to_value(layout).unwrap_or_default();
        app.printer.line(format_args!("control groups: {}", layout.as_str().unwrap_or_default()))?;
        let all = format!("{} of {}", names.len(), names.len() + lacking.len());
        let but = if lacking.is_empty() { String::new() } else { format!(", without {}", lacking.join(", ")) };
        app.printer.line(format_args!("capabilities: {all}{but}"))?;
    }
    if missing.is_empty() {
        return Ok(Exit::Done);
    }
    let what = format!("{} can't be given on this machine", counted(missing.len() as u64, "part"));
    Err(Report::new(MISSING, what).exit(Exit::Refused).hint("docs/guides/hardening.md says what each is for"))
}
