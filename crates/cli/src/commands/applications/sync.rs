//! `prograde app sync`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use jiff::SignedDuration;
use prograde_apps::Memory;
use prograde_control::SystemClock;
use prograde_kubernetes::{
    Connection, Keeper, Line, Orders, Past, Refused, Report as Synced, Stock, Stopped, Target, What, Wish, codes,
};
use prograde_model::Diagnostics;
use prograde_model::quantity::Period;
use prograde_resource::sync::Ending;
use serde_json::{Value as Json, json};
use tokio::task::JoinSet;

use super::cluster::{Choice, Selection, wait};
use super::order::{self, OnServer};
use crate::app::App;
use crate::exit::Exit;
use crate::printer::{Printer, Tone, one_line};
use crate::report::Report;
use crate::text::{Cell, Table, counted};

/// How often files are read again.
const FILES_EVERY: Duration = Duration::from_secs(3);

/// Bring applications in a cluster to what Git says
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde app sync argocd --app shop --dry-run
  prograde app sync argocd --context production --prune
  prograde app sync argocd --watch
  prograde app sync --set platform --app shop --confirm-prune
  prograde app sync argocd --json | jq '.applications[] | select(.result != \"synced\")'

Hooks run with each sync. Objects are applied wave after wave, on the server's side, where they differ; a wave begins when the
one before is healthy. What Git names no longer is deleted with --prune, or where the application says so itself; if nothing at
all, or less than half, would be left, or if data would go, nothing is deleted until --confirm-prune says so.
Applications do not wait for each other. With --watch the files are read again every few seconds; what failed is tried again once
it, or what it depends on, has changed. With --set the server does it, for an application that it keeps, and records who said so.
The exit code is 1 if one failed or would delete too much, 2 if one can't be rendered
or the cluster can't be asked, 5 if something was not healthy in time.")]
pub(super) struct SyncArgs {
    #[command(flatten)]
    selection: Selection,
    /// Delete what Git names no longer
    #[arg(long)]
    prune: bool,
    /// Delete it even if it is much, or holds data
    #[arg(long)]
    confirm_prune: bool,
    /// Change nothing, but let the API server say what it would refuse
    #[arg(long)]
    dry_run: bool,
    /// How long each application may take
    #[arg(long, default_value = "5m", value_name = "DURATION", value_parser = duration)]
    timeout: SignedDuration,
    /// Stay: synchronise what changes in the files, and undo changes in the cluster where an application says `selfHeal`
    #[arg(long, conflicts_with = "dry_run")]
    watch: bool,
    #[command(flatten)]
    on_server: OnServer,
}

pub(super) fn duration(text: &str) -> Result<SignedDuration, String> {
    text.parse::<Period>().map(Period::duration).map_err(|error| error.to_string())
}

impl SyncArgs {
    fn orders(&self, target: &Target) -> Orders {
        Orders {
            prune: self.prune || self.confirm_prune || (target.automated && target.prune),
            confirmed: self.confirm_prune,
            dry: self.dry_run,
            hooks: true,
            timeout: self.timeout,
        }
    }
}

/// What became of an application.
pub(super) struct Came {
    pub(super) name: String,
    outcome: Outcome,
    /// Whether it was to go.
    leaves: bool,
}

enum Outcome {
    Synced(Synced),
    Stopped(Stopped),
}

/// Synchronises them.
pub(super) fn run(app: &App, args: &SyncArgs) -> Result<Exit, Report> {
    if let Some(set) = &args.on_server.set {
        let order = order::Ordered {
            set,
            names: args.selection.names(),
            prune: args.prune,
            confirm_prune: args.confirm_prune,
            by: args.on_server.by.as_deref(),
            timeout: args.timeout,
        };
        return order::run(app, &order);
    }
    let connection = args.selection.connect(app)?;
    if args.watch {
        return keep(app, args, &connection);
    }
    let Choice { applications, problems } = args.selection.choose(app, &connection, &mut Memory::default())?;
    let mut came = Vec::new();
    let mut targets = Vec::new();
    for chosen in applications {
        match chosen.target {
            Ok(target) => targets.push((args.orders(&target), target)),
            Err(found) => {
                came.push(Came { name: chosen.name, outcome: Outcome::Stopped(Stopped::Wrong(found)), leaves: false });
            }
        }
    }
    came.extend(wait(app, all(connection, targets, &app.printer))?);
    came.sort_by(|one, other| one.name.cmp(&other.name));
    tell(app, args.dry_run, &came)?;
    ended(&came, problems, "look at `prograde app diff`; if all of that may go, say --confirm-prune")
}

/// Synchronises them, and what changes, until the user stops it.
fn keep(app: &App, args: &SyncArgs, connection: &Connection) -> Result<Exit, Report> {
    let printer = Arc::clone(&app.printer);
    let witness = Arc::new(move |verb, text: String| printer.note(verb, one_line(&text)));
    let mut keeper = Keeper::new(Arc::clone(&connection.api) as _, Arc::new(SystemClock), witness);
    let (mut memory, mut told) = (Memory::default(), String::new());
    while !app.stop.is_cancelled() {
        let wrong = wanted(app, args, connection, (&mut keeper, &mut memory)).unwrap_or_else(|report| report.summary);
        if wrong != told && !wrong.is_empty() {
            app.printer.warning(&wrong);
        }
        told = wrong;
        for (name, outcome) in wait(app, keeper.work(FILES_EVERY))? {
            let outcome = outcome.map_or_else(Outcome::Stopped, Outcome::Synced);
            let came = Came { name, outcome, leaves: false };
            let (result, _) = came.result(false);
            if app.printer.style().json {
                app.printer.json_line(&document(&came))?;
            } else {
                let why = came.why().map(|why| format!(": {why}")).unwrap_or_default();
                app.printer.line(one_line(&format!("{} {result}{why}", came.name)))?;
            }
        }
    }
    Ok(Exit::Done)
}

/// Tells the keeper what the files say now, and gives what is wrong with them.
fn wanted(
    app: &App,
    args: &SyncArgs,
    connection: &Connection,
    (keeper, memory): (&mut Keeper, &mut Memory),
) -> Result<String, Report> {
    let choice = args.selection.choose(app, connection, memory)?;
    let (mut wishes, mut unreadable, mut wrong) = (Vec::new(), BTreeSet::new(), choice.problems);
    for chosen in choice.applications {
        match chosen.target {
            Ok(target) => {
                wishes.push(Wish { orders: args.orders(&target), target, follows: true, origin: Arc::default() });
            }
            Err(found) => {
                wrong.extend(found.0);
                unreadable.insert(chosen.name);
            }
        }
    }
    keeper.want(wishes, &unreadable, &|_| Past::default());
    Ok(if wrong.is_empty() { String::new() } else { Diagnostics(wrong).to_string() })
}

/// Synchronises applications beside each other. The client bounds how many requests are under way.
pub(super) async fn all(
    connection: Connection,
    targets: Vec<(Orders, Arc<Target>)>,
    printer: &Arc<Printer>,
) -> Vec<Came> {
    let connection = Arc::new(connection);
    let stock = Arc::new(Stock::default());
    let mut running = JoinSet::new();
    for (orders, target) in targets {
        let (connection, stock, printer) = (Arc::clone(&connection), Arc::clone(&stock), Arc::clone(printer));
        running.spawn(async move {
            let telling = |verb: &'static str, text: String| printer.note(verb, one_line(&text));
            let synced =
                prograde_kubernetes::sync((&*connection.api, &stock), &target, &orders, &SystemClock, &telling).await;
            let outcome = synced.map_or_else(Outcome::Stopped, Outcome::Synced);
            Came { name: target.name.clone(), outcome, leaves: target.leaves }
        });
    }
    running.join_all().await
}

pub(super) fn tell(app: &App, dry_run: bool, came: &[Came]) -> Result<(), Report> {
    if app.printer.style().json {
        let applications: Vec<Json> = came.iter().map(document).collect();
        return app.printer.json(&json!({ "dry_run": dry_run, "applications": applications }));
    }
    let mut table = Table::new(&["APPLICATION", "RESULT", "CREATED", "CHANGED", "PRUNED", "SAME", "WHY"]);
    for one in came {
        let (result, tone) = one.result(dry_run);
        let number = |what: What| Cell::new(one.lines().iter().filter(|line| line.what == what).count().to_string());
        table.row(vec![
            Cell::new(one_line(&one.name)),
            Cell::new(result).tone(tone),
            number(What::Created),
            number(What::Changed),
            number(What::Pruned),
            number(What::Unchanged),
            Cell::new(one_line(&one.why().unwrap_or_default())),
        ]);
    }
    app.printer.text(table.render(app.printer.style()))
}

impl Came {
    fn lines(&self) -> &[Line] {
        match &self.outcome {
            Outcome::Synced(synced) => &synced.lines,
            Outcome::Stopped(_) => &[],
        }
    }

    /// What a person would have to say yes to.
    pub(super) fn asked(&self) -> impl Iterator<Item = String> {
        let asks = match &self.outcome {
            Outcome::Synced(synced) => synced.asks.as_slice(),
            Outcome::Stopped(_) => &[],
        };
        asks.iter().map(|(identity, _)| format!("{}: {identity}", self.name))
    }

    fn result(&self, dry: bool) -> (&'static str, Tone) {
        match &self.outcome {
            Outcome::Stopped(Stopped::Wrong(_)) => ("not possible", Tone::Bad),
            Outcome::Stopped(Stopped::Refused(Refused::Answer { .. })) => ("failed", Tone::Bad),
            Outcome::Stopped(Stopped::Refused(_)) => ("no answer", Tone::Bad),
            Outcome::Synced(synced) => match &synced.ending {
                Ending::Failed(_) => ("failed", Tone::Bad),
                Ending::Late(_) => ("not healthy", Tone::Warning),
                Ending::Done if !synced.asks.is_empty() => ("asks", Tone::Warning),
                Ending::Done if dry => ("possible", Tone::Good),
                Ending::Done if self.leaves => ("deleted", Tone::Good),
                Ending::Done => ("synced", Tone::Good),
            },
        }
    }

    /// Why it is not as Git says.
    fn why(&self) -> Option<String> {
        let synced = match &self.outcome {
            Outcome::Stopped(Stopped::Refused(refused)) => return Some(refused.to_string()),
            Outcome::Stopped(Stopped::Wrong(found)) => return found.0.first().map(|first| first.message.clone()),
            Outcome::Synced(synced) => synced,
        };
        let more = |count: usize| if count > 1 { format!(", and {} more", count - 1) } else { String::new() };
        match &synced.ending {
            Ending::Failed(why) => why.first().map(|(identity, said)| format!("{identity}: {said}{}", more(why.len()))),
            Ending::Late(on) => {
                on.first().map(|(identity, status)| format!("{identity} is {status}{}", more(on.len())))
            }
            Ending::Done if self.leaves && !synced.asks.is_empty() => {
                Some(format!("{} would go", counted(synced.asks.len() as u64, "object")))
            }
            Ending::Done if synced.refusal.is_some() => synced.refusal.as_ref().map(ToString::to_string),
            Ending::Done if !synced.asks.is_empty() => {
                synced.asks.first().map(|(identity, why)| format!("{identity}: {why}{}", more(synced.asks.len())))
            }
            Ending::Done if !synced.left.is_empty() => {
                Some(format!("{} that Git names no longer: --prune", counted(synced.left.len() as u64, "object")))
            }
            Ending::Done if !synced.blind.is_empty() => {
                Some(format!("{} not looked through", counted(synced.blind.len() as u64, "kind")))
            }
            Ending::Done => None,
        }
    }
}

fn document(one: &Came) -> Json {
    let (result, _) = one.result(false);
    let mut made = json!({ "application": one.name, "result": result, "why": one.why() });
    if let (Some(fields), Outcome::Synced(synced)) = (made.as_object_mut(), &one.outcome) {
        fields.insert("sync".to_owned(), json!(synced));
    }
    made
}

/// The exit code: the worst that came.
pub(super) fn ended(came: &[Came], problems: Vec<prograde_model::Diagnostic>, way_out: &str) -> Result<Exit, Report> {
    let mut wrong = problems;
    for one in came {
        if let Outcome::Stopped(Stopped::Wrong(found)) = &one.outcome {
            wrong.extend(found.0.iter().cloned());
        }
    }
    if !wrong.is_empty() {
        return Err(Diagnostics(wrong).into());
    }
    let named = |result: &str| -> Vec<String> {
        let chosen = came.iter().filter(|one| one.result(false).0 == result);
        chosen.map(|one| format!("{}: {}", one.name, one.why().unwrap_or_default())).collect()
    };
    let (silent, failed) = (named("no answer"), named("failed"));
    let (asks, late) = (named("asks"), named("not healthy"));
    let all = [
        (silent, codes::CONNECT, Exit::Mistake, "look at the kubeconfig, and at the API server"),
        (failed, codes::FAILED, Exit::Refused, "put right what stands in the way, and try again"),
        (asks, codes::ASKS, Exit::Refused, way_out),
        (late, codes::LATE, Exit::Pending, "look at the objects, or wait longer with --timeout"),
    ];
    for (lines, code, exit, hint) in all {
        if !lines.is_empty() {
            return Err(Report::new(code, lines.join("\n")).exit(exit).hint(hint));
        }
    }
    Ok(Exit::Done)
}
