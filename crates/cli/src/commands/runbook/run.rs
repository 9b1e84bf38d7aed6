//! `prograde runbook run`: each step is rehearsed, asked about, run, checked and recorded.

use std::collections::BTreeMap;
use std::io::{BufRead as _, IsTerminal as _};
use std::path::PathBuf;

use clap::Args;
use prograde_model::incident::IncidentId;
use prograde_model::runbook::{Begin, Command, End, Outcome, Purpose, Run, RunId, Runbook, Step, Stepped};

use super::execute::{Ended, Ran, execute};
use super::read;
use crate::app::App;
use crate::client::Client;
use crate::exit::Exit;
use crate::printer::{cleaned, one_line};
use crate::report::{self, Report};
use crate::text::counted;

/// Go through a runbook step by step
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde runbook run runbooks/orders.md --incident INC-1
  prograde runbook run runbooks/orders.md --incident INC-1 --set replica=2 --from 3
  prograde runbook run runbooks/orders.md --drill --yes
  prograde runbook run runbooks/orders.md --dry-run

Each step's rehearsal (a block `sh dry-run`) is run first; then it is asked whether the step is to be run. A step that fails, or whose check
(`sh check`) does, is repeated, passed over or the end, as you say; with `--yes` it is the end, and the exit code is 1.
What steps print goes to stderr, and its end into the record, unless the block says `no-record`.")]
pub(super) struct RunArgs {
    /// The runbook
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The incident that it is for; its timeline tells of each step
    #[arg(long, value_name = "INCIDENT", conflicts_with = "drill")]
    incident: Option<IncidentId>,
    /// It is a drill
    #[arg(long)]
    drill: bool,
    /// What a parameter of the runbook is; commands see it as an environment variable
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
    /// Begin with this step; those before it count as left out
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    from: u32,
    /// Run all steps without asking
    #[arg(long)]
    yes: bool,
    /// Run only the rehearsals, which change nothing, and show what the steps would run
    #[arg(long, conflicts_with_all = ["yes", "incident", "drill"])]
    dry_run: bool,
    /// Ask no server and record nothing, such as when the server is what is down
    #[arg(long, conflicts_with_all = ["incident", "drill"])]
    no_record: bool,
    /// Who goes through it; by default the user that Git knows, or the system's
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

fn assignment(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("expected a parameter and what it is, such as `replica=2`")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// What a step would run, as people read it.
pub(super) fn explained(step: &Step) -> String {
    let mut lines: Vec<String> = step.about.lines().map(|line| format!("   {line}")).collect();
    for (word, command) in
        [("rehearsal", step.rehearsal.as_ref()), ("run", Some(&step.command)), ("check", step.check.as_ref())]
    {
        for (index, line) in command.iter().flat_map(|command| command.text.lines()).enumerate() {
            lines.push(format!("   {:>9} $ {line}", if index == 0 { word } else { "" }));
        }
    }
    lines.join("\n")
}

/// What a person lets happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Run,
    Skip,
    Stop,
}

/// A runbook that is being gone through.
struct Going<'a> {
    app: &'a App,
    args: &'a RunArgs,
    book: Runbook,
    parameters: BTreeMap<String, String>,
    by: String,
    /// Where it is recorded.
    record: Option<(Client, RunId)>,
    /// Why something could not be recorded.
    unrecorded: Option<String>,
}

pub(super) fn run(app: &App, args: &RunArgs) -> Result<Exit, Report> {
    let (book, sha256) = read(&args.file)?;
    let parameters = parameters(&book, args)?;
    let steps = u32::try_from(book.steps.len()).unwrap_or(u32::MAX);
    if args.from > steps.max(1) {
        let what = format!("{} has {}, and no step {}", args.file.display(), counted(steps.into(), "step"), args.from);
        return Err(Report::new(report::ARGUMENT, what).hint("`prograde runbook show FILE` shows them"));
    }
    if !args.yes && !args.dry_run && !std::io::stdin().is_terminal() {
        return Err(Report::new(report::ARGUMENT, "there is no terminal to ask on whether a step is to be run")
            .hint("say `--yes` to run all steps, or `--dry-run` to see them"));
    }
    let by = app.by(args.by.as_deref())?;
    let record = if args.dry_run || args.no_record {
        None
    } else {
        let client = app.client().map_err(unheard)?;
        let purpose = match args.incident {
            Some(incident) => Purpose::Incident(incident),
            None if args.drill => Purpose::Drill,
            None => Purpose::Other,
        };
        let (runbook, title) = (book.name.clone(), book.title.clone());
        let begin = Begin { runbook, title, sha256, steps, purpose, by: by.clone() };
        let run: Run = client.runbook_run("/api/v1/runbooks/runs", &begin).map_err(unheard)?;
        Some((client, run.run))
    };
    let name = record.as_ref().map_or(String::new(), |(_, run)| format!(", {run}"));
    app.printer.note("Runbook", format_args!("{}, {}{name}", one_line(&book.title), counted(steps.into(), "step")));
    Going { app, args, book, parameters, by, record, unrecorded: None }.go()
}

/// Where no server answers, there is a way without one.
fn unheard(report: Report) -> Report {
    if [report::UNREACHABLE, report::NO_SERVER].contains(&report.code.as_str()) {
        return report.hint("`--no-record` goes through it without a record");
    }
    report
}

/// What each parameter is.
fn parameters(book: &Runbook, args: &RunArgs) -> Result<BTreeMap<String, String>, Report> {
    let set: BTreeMap<&String, &String> = args.set.iter().map(|(name, value)| (name, value)).collect();
    if let Some(name) = set.keys().find(|name| !book.parameters.contains_key(**name)) {
        let known: Vec<&str> = book.parameters.keys().map(String::as_str).collect();
        let hint = if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) };
        return Err(Report::new(report::ARGUMENT, format!("the runbook has no parameter {name:?}")).hint(hint));
    }
    let value = |(name, parameter): (&String, &prograde_model::runbook::Parameter)| {
        let value = set.get(name).map(|value| (*value).clone()).or_else(|| parameter.default.clone());
        let value = value.ok_or_else(|| {
            let about = if parameter.about.is_empty() { String::new() } else { format!(" ({})", parameter.about) };
            Report::new(report::ARGUMENT, format!("the parameter {name:?}{about} has to be set"))
                .hint(format!("write `--set {name}=VALUE`"))
        })?;
        Ok((name.clone(), value))
    };
    book.parameters.iter().map(value).collect()
}

impl Going<'_> {
    fn go(mut self) -> Result<Exit, Report> {
        let steps = std::mem::take(&mut self.book.steps);
        let total = steps.len();
        for (index, step) in steps.iter().enumerate() {
            let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
            if number < self.args.from {
                self.skip(number, step);
                continue;
            }
            self.app.printer.note("Step", format_args!("{number} of {total}, {}", one_line(&step.title)));
            self.app.printer.hint(&cleaned(&explained(step)));
            if let Err(reason) = self.step(number, step)? {
                return self.end(&End::GivenUp { reason });
            }
        }
        self.end(&End::Completed)
    }

    /// Goes through a step until it is done, left out, or the end: that is the inner error.
    fn step(&mut self, number: u32, step: &Step) -> Result<Result<(), String>, Report> {
        loop {
            if let Some(rehearsal) = &step.rehearsal {
                self.app.printer.note("Rehearsal", "");
                let ran = self.execute(rehearsal)?;
                match ran.ended {
                    Ended::Exit(0) => {}
                    Ended::Stopped => return Ok(Err(format!("stopped at step {number}"))),
                    Ended::Exit(_) | Ended::Signal | Ended::TimedOut => {
                        self.app.printer.warning(format_args!("the rehearsal {}", ended(&ran)));
                        if self.args.yes || self.args.dry_run {
                            return Ok(Err(format!("the rehearsal of step {number} {}", ended(&ran))));
                        }
                    }
                }
            }
            if self.args.dry_run {
                return Ok(Ok(()));
            }
            match self.ask("Run it?", &[("y", Answer::Run), ("s", Answer::Skip), ("q", Answer::Stop)])? {
                Answer::Run => {}
                Answer::Skip => {
                    self.skip(number, step);
                    return Ok(Ok(()));
                }
                Answer::Stop => return Ok(Err(format!("stopped at step {number}"))),
            }
            let outcome = self.carry_out(number, step)?;
            if self.app.stop.is_cancelled() {
                return Ok(Err(format!("stopped at step {number}")));
            }
            if outcome.is_good() {
                return Ok(Ok(()));
            }
            if self.args.yes {
                return Ok(Err(format!("step {number} failed")));
            }
            let answers = [("r", Answer::Run), ("c", Answer::Skip), ("q", Answer::Stop)];
            match self.ask("It failed. Repeat, continue or quit?", &answers)? {
                Answer::Run => {}
                Answer::Skip => return Ok(Ok(())),
                Answer::Stop => return Ok(Err(format!("step {number} failed"))),
            }
        }
    }

    /// Runs the command and its check, and records what came of them.
    fn carry_out(&mut self, number: u32, step: &Step) -> Result<Outcome, Report> {
        let mut ran = self.execute(&step.command)?;
        let mut outcome = outcome(&ran);
        if outcome.is_good()
            && let Some(check) = &step.check
        {
            self.app.printer.note("Check", "");
            let checked = self.execute(check)?;
            ran.seconds += checked.seconds;
            if check.is_recorded {
                ran.output.push_str(&checked.output);
            }
            outcome = match checked.ended {
                Ended::Exit(0) => outcome,
                Ended::Exit(exit) => Outcome::CheckFailed { exit },
                Ended::TimedOut => Outcome::TimedOut,
                Ended::Signal | Ended::Stopped => Outcome::Killed,
            };
        }
        let output = if step.command.is_recorded { ran.output.clone() } else { String::new() };
        self.told(number, step, outcome, ran.seconds, output);
        if outcome.is_good() {
            self.app.printer.note("Done", format_args!("in {:.1} s", ran.seconds));
        } else if let Outcome::CheckFailed { exit } = outcome {
            self.app.printer.warning(format_args!("the check failed with exit code {exit}: the step did not help"));
        } else {
            self.app.printer.warning(format_args!("the step {}", ended(&ran)));
        }
        Ok(outcome)
    }

    fn execute(&self, command: &Command) -> Result<Ran, Report> {
        let running = execute(command, &self.parameters, &self.app.printer, &self.app.stop);
        self.app
            .runtime
            .block_on(running)
            .map_err(|error| Report::new(report::SYSTEM, format!("{} can't be run", command.shell)).because(&error))
    }

    fn skip(&mut self, number: u32, step: &Step) {
        self.told(number, step, Outcome::Skipped, 0.0, String::new());
    }

    /// Records what came of a step. What is to be done goes on although it can't be recorded.
    fn told(&mut self, number: u32, step: &Step, outcome: Outcome, seconds: f64, output: String) {
        let Some((client, run)) = &self.record else { return };
        let (title, command, by) = (step.title.clone(), step.command.text.clone(), self.by.clone());
        let stepped = Stepped { step: number, title, command, outcome, seconds, output, by };
        if let Err(report) = client.runbook_run(&format!("/api/v1/runbooks/runs/{run}/steps"), &stepped) {
            self.app.printer.warning(format_args!("step {number} could not be recorded: {}", report.summary));
            self.unrecorded = Some(report.summary);
        }
    }

    fn ask(&self, question: &str, answers: &[(&str, Answer)]) -> Result<Answer, Report> {
        if self.args.yes {
            return Ok(Answer::Run);
        }
        let letters: Vec<&str> = answers.iter().map(|(letter, _)| *letter).collect();
        loop {
            self.app.printer.draw(&format!("{question} [{}] ", letters.join("/")));
            let mut line = String::new();
            let read = std::io::stdin()
                .lock()
                .read_line(&mut line)
                .map_err(|error| Report::new(report::SYSTEM, "the terminal can't be read").because(&error))?;
            if read == 0 {
                return Ok(Answer::Stop);
            }
            let said = line.trim().to_ascii_lowercase();
            if let Some((_, answer)) = answers.iter().find(|(letter, _)| said.starts_with(letter)) {
                return Ok(*answer);
            }
        }
    }

    fn end(self, end: &End) -> Result<Exit, Report> {
        let printer = &self.app.printer;
        if let Some((client, run)) = &self.record {
            let request = crate::wire::EndRunRequest { end: end.clone(), by: self.by.clone() };
            match client.runbook_run(&format!("/api/v1/runbooks/runs/{run}/end"), &request) {
                Ok(ended) if printer.style().json => printer.json(&ended)?,
                Ok(_) => {}
                Err(report) => {
                    printer.warning(format_args!("the end of {run} could not be recorded: {}", report.summary));
                }
            }
            if self.unrecorded.is_some() {
                printer.hint("what could not be recorded is missing in the timeline; `prograde incident note` adds it");
            }
        }
        match end {
            End::Completed if self.args.dry_run => printer.note("Rehearsed", "all steps; nothing was changed"),
            End::Completed => printer.note("Completed", format_args!("{}", one_line(&self.book.title))),
            End::GivenUp { reason } => {
                let summary = format!("{} was given up: {reason}", one_line(&self.book.title));
                let report = Report::new(super::GIVEN_UP, summary).exit(Exit::Refused);
                let hint = "`--from N` goes on with a later step";
                return Err(report.hint(hint));
            }
        }
        Ok(Exit::Done)
    }
}

fn outcome(ran: &Ran) -> Outcome {
    match ran.ended {
        Ended::Exit(exit) => Outcome::Done { exit },
        Ended::TimedOut => Outcome::TimedOut,
        Ended::Signal | Ended::Stopped => Outcome::Killed,
    }
}

/// How a command ended, as the end of a sentence.
fn ended(ran: &Ran) -> String {
    match ran.ended {
        Ended::Exit(exit) => format!("failed with exit code {exit}"),
        Ended::Signal => "was killed".to_owned(),
        Ended::TimedOut => format!("did not end in {:.0} s and was ended", ran.seconds),
        Ended::Stopped => "was stopped".to_owned(),
    }
}
