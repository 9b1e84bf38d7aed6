//! The story of an incident: a release turns bad slowly after it has all traffic, its error budget burns, people are paged,
//! one command takes it back, and the next release waits for what was learned.
//!
//! Everything that a person does is done by this program's own commands, and shown as they are typed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::expectations::Expectation;
use super::feed::off_the_runtime;
use super::load::{Load, LoadOptions};
use super::mailbox::Mailbox;
use super::pad;
use super::repository::{Remote, Repository};
use super::server::{Server, ServerSetup};
use super::story::{Settings, git_report};
use super::tally::Tallies;
use crate::client::{Client, Token};
use crate::printer::Printer;
use crate::report::{self, Report};
use crate::wire::FlightSummary;

/// How often it is looked whether something has happened.
const LOOK_PERIOD: Duration = Duration::from_millis(250);
/// How long a user waits for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of a command's output is shown, in lines.
const LINES_SHOWN: usize = 30;

const PROMETHEUS: &str = "global: { evaluation_interval: 500ms }\n";
const OBJECTIVES: &str = "\
version: prometheus/v1
service: pad
labels: { prograde_environment: production }
slos:
- name: availability
  objective: 99.9
  description: Whoever asks the pad is answered.
  sli:
    events:
      error_query: sum(rate(prograde_failed_requests_total{service='pad',environment='production'}[{{.window}}]))
      total_query: sum(rate(prograde_requests_total{service='pad',environment='production'}[{{.window}}]))
  alerting: { name: PadAvailability, page_alert: { labels: { team: pad } } }
";
const ONCALL: &str = "\
version: 1
people:
  ann: { receiver: ann }
  bob: { receiver: bob }
schedules:
  - name: primary
    time_zone: UTC
    layers: [{ name: always, from: 2020-01-01T00:00, every: 1w, people: [ann] }]
  - name: secondary
    time_zone: UTC
    layers: [{ name: always, from: 2020-01-01T00:00, every: 1w, people: [bob] }]
escalations:
  pad: { steps: [{ schedules: [primary], wait: 5s }, { schedules: [secondary] }] }
";

fn alertmanager(ann: &str, bob: &str) -> String {
    format!(
        "route:
  receiver: log
  group_wait: 1s
  group_interval: 5s
  routes: [{{ receiver: pagers, matchers: ['severity=\"page\"'], group_by: [alertname] }}]
receivers:
  - {{ name: log, console_configs: [{{}}] }}
  - {{ name: pagers, oncall_configs: [{{ escalation: pad }}] }}
  - {{ name: ann, webhook_configs: [{{ url: '{ann}' }}] }}
  - {{ name: bob, webhook_configs: [{{ url: '{bob}' }}] }}
"
    )
}

/// Everything that takes part.
struct Cast<'a> {
    printer: &'a Printer,
    settings: Settings,
    program: PathBuf,
    url: String,
    token_file: PathBuf,
    dir: PathBuf,
    client: Client,
    repository: Repository,
    met: Vec<Expectation>,
}

/// Writes the files that the server is started with, and gives what names them.
fn configure(dir: &Path, ann: &Mailbox, bob: &Mailbox) -> Result<Vec<std::ffi::OsString>, Report> {
    let files = [
        ("prometheus.yml", "--prometheus-config", PROMETHEUS.to_owned()),
        ("objectives.yml", "--objectives", OBJECTIVES.to_owned()),
        ("oncall.yaml", "--oncall", ONCALL.to_owned()),
        ("alertmanager.yml", "--alertmanager-config", alertmanager(&ann.url(), &bob.url())),
    ];
    let mut arguments: Vec<std::ffi::OsString> = vec!["--metrics-retention".into(), "800h".into()];
    for (name, option, text) in files {
        let path = dir.join(name);
        std::fs::write(&path, text).map_err(|error| Report::file("write", &path, &error))?;
        arguments.extend([option.into(), path.into()]);
    }
    Ok(arguments)
}

/// Tells the story to the end, or as far as it goes. The server stays in `slot`, also when this is cancelled.
pub(super) async fn tell(
    setup: impl FnOnce(String, Vec<std::ffi::OsString>) -> ServerSetup,
    settings: Settings,
    printer: &Printer,
    dir: &Path,
    slot: &mut Option<Server>,
) -> Result<Vec<Expectation>, Report> {
    let opened = async { Ok::<_, std::io::Error>((Mailbox::open().await?, Mailbox::open().await?)) };
    let (ann, bob) =
        opened.await.map_err(|error| Report::new(report::SYSTEM, "can't listen on 127.0.0.1").because(&error))?;
    let setup = setup("http://127.0.0.1:9/".to_owned(), configure(dir, &ann, &bob)?);
    let (program, token_file) = (setup.program.clone(), setup.data_dir().join("token"));
    let server = Server::start(setup).await;
    let server = slot.insert(server.map_err(|e| Report::new(report::DEMO, e.to_string()).caused_by(&e))?);
    printer.note("Started", format!("a server at {} in {}", server.url(), dir.display()));
    let token = Token::new(server.token());
    let token = token.ok_or_else(|| Report::new(report::NO_TOKEN, "the server's token can't be used"))?;
    let remote = Remote { url: format!("{}/git/pad.git", server.url()), token: server.token().to_owned() };
    let repository = Repository::create(&dir.join("pad"), &remote).await.map_err(|error| git_report(&error))?;
    let mut cast = Cast {
        printer,
        settings,
        program,
        url: server.url().to_owned(),
        token_file,
        dir: dir.to_owned(),
        client: Client::new(server.url(), token),
        repository,
        met: Vec::new(),
    };
    cast.play(&ann, &bob).await?;
    Ok(cast.met)
}

impl Cast<'_> {
    async fn play(&mut self, ann: &Mailbox, bob: &Mailbox) -> Result<(), Report> {
        self.repository.write(pad::FILES).map_err(|error| git_report(&error))?;
        let hurry = pad::in_a_hurry(self.settings.bake);
        let good = self.push(&hurry, "Add pad").await?;
        let good = self.stage_of(&good, "landed").await?;
        let load = self.let_users_in().await?;
        let bad = self.push(&[pad::fail_more_and_more()], "Remember every visitor").await?;
        let bad = self.stage_of(&bad, "landed").await?;
        self.meets("the release passes every step and has all traffic", format!("flight {}", bad.id.short()));

        let page = self.paged(ann, "the symptom pages the primary, who does not answer").await?;
        self.paged(bob, "so it pages the secondary").await?;
        self.types(&["page", "list"]).await?;
        self.types(&["page", "ack", &page, "--by", "bob"]).await?;
        let budgets: Vec<Value> = self.get("/api/v1/budgets").await?;
        let budget = budgets.first().cloned().unwrap_or_default();
        let spent =
            at(&budget, "/spent").as_f64().map_or_else(String::new, |spent| format!("{:.0}% of it", spent * 100.0));
        self.expect("the error budget is spent", at(&budget, "/state") == "spent", spent);

        let incident = self.mitigate(&page, &bad).await?;
        let serves = self.client_status().await?;
        let back = serves.iter().any(|flight| *flight == good.id.to_string());
        self.expect("one command took it back", back, format!("flight {} serves again", good.id.short()));
        self.learn(&incident, &bad).await?;
        self.next(&incident).await?;
        load.stop().await;
        self.types(&["dora"]).await?;
        let dora: Value = serde_json::from_str(&self.runs(&["dora", "--json"]).await?).unwrap_or_default();
        let failed = at(&dora, "/total/failures");
        self.expect(
            "the measures know of it",
            at(failed, "/n") == 1,
            format!("{} of {} failed", at(failed, "/n"), at(failed, "/of")),
        );
        let verified = self.runs(&["journal", "verify"]).await.is_ok();
        self.expect("the journal is whole", verified, "each event is bound to the one before by its hash".to_owned());
        Ok(())
    }

    async fn mitigate(&mut self, page: &str, bad: &FlightSummary) -> Result<String, Report> {
        let place = ["-s", "pad", "-e", "production", "--severity", "SEV1", "--by", "bob"];
        let declare = [&["incident", "declare", "more and more requests fail"][..], &place].concat();
        let incident = self.types(&declare).await?.trim().to_owned();
        self.types(&["incident", "link", &incident, "--page", page, "--by", "bob"]).await?;
        self.types(&["incident", "suspects", &incident]).await?;
        let suspects: Vec<Value> = self.get(&format!("/api/v1/incidents/{incident}/suspects")).await?;
        let first = suspects.first().map(|suspect| at(suspect, "/commit").clone()).unwrap_or_default();
        let named = first == bad.commit.to_string();
        self.expect("the commit is the first suspect", named, bad.commit.short().to_owned());
        self.types(&["incident", "mitigate", &incident, "--rollback", "--by", "bob"]).await?;
        let path = format!("/api/v1/incidents/{incident}");
        self.until("the harm to end", async |cast| {
            let incident: Value = cast.get(&path).await?;
            Ok(at(&incident, "/mitigated_at").is_string().then_some(()))
        })
        .await?;
        let cause = "the longer it runs, the more requests fail";
        self.types(&["incident", "resolve", &incident, "--cause", cause, "--by", "bob"]).await?;
        Ok(incident)
    }

    async fn learn(&mut self, incident: &str, bad: &FlightSummary) -> Result<(), Report> {
        self.types(&["incident", "timeline", incident]).await?;
        let file = self.dir.join("postmortem.md");
        self.types(&["postmortem", "draft", incident, "--out", &file.display().to_string()]).await?;
        let draft = std::fs::read_to_string(&file).map_err(|error| Report::file("read", &file, &error))?;
        let named = draft.contains(bad.commit.as_str());
        self.expect(
            "the post-mortem is drafted with the commit in it",
            named,
            format!("{} lines", draft.lines().count()),
        );
        Ok(())
    }

    /// The next release waits for what was learned, and for the budget.
    async fn next(&mut self, incident: &str) -> Result<(), Report> {
        let item =
            ["--title", "test for an hour", "--owner", "ann", "--due", "2999-01-31", "--kind", "prevent", "--gate"];
        let add = [&["action", "add", incident, "--by", "bob"][..], &item].concat();
        let item = self.types(&add).await?.trim().to_owned();
        let greet = pad::greet(pad::FIRST_GREETING, "welcome to the pad");
        let next = self.push(&[pad::fail_no_more_and_more(), greet], "Greet more warmly").await?;
        let flight = self.stage_of(&next, "waiting").await?;
        let path = format!("/api/v1/flights/{}", flight.id);
        let action = format!("action/{item}");
        let holds = async |cast: &Self| {
            let view: Value = cast.get(&path).await?;
            let entries = at(&view, "/environments").as_array().cloned().unwrap_or_default();
            let holds = entries.iter().filter_map(|entry| at(entry, "/holds").as_array().cloned()).flatten();
            Ok::<Vec<String>, Report>(holds.filter_map(|hold| Some(at(&hold, "/id").as_str()?.to_owned())).collect())
        };
        let held = self.until("the gate to hold", async |cast| Ok(Some(holds(cast).await?).filter(|h| !h.is_empty())));
        let held = held.await?;
        self.expect("the next release waits for the action item", held.contains(&action), held.join(" and "));
        self.types(&["status"]).await?;
        self.types(&["action", "done", &item, "--note", "it was tested for an hour", "--by", "ann"]).await?;
        let over = ["--override", "budget/pad-availability", "--reason", "it mends what was spent", "--by", "bob"];
        self.types(&[&["approve", flight.id.as_str()][..], &over].concat()).await?;
        let flight = self.stage_of(&next, "landed").await?;
        self.meets("it lands once the item is done and a person overrides the budget", flight.id.short().to_owned());
        Ok(())
    }

    fn meets(&mut self, name: &'static str, detail: String) {
        self.expect(name, true, detail);
    }

    fn expect(&mut self, name: &'static str, met: bool, detail: String) {
        self.printer.note(if met { "Met" } else { "Not met" }, format_args!("{name}: {detail}"));
        self.met.push(Expectation { name, met, detail });
    }

    async fn push(&self, edits: &[pad::Edit], message: &str) -> Result<String, Report> {
        let pushed = async {
            self.repository.edit(edits)?;
            let commit = self.repository.commit(message).await?;
            self.repository.push().await?;
            Ok(commit)
        };
        let commit = pushed.await.map_err(|error| git_report(&error))?;
        self.printer.note("Pushed", format_args!("{} {message}", commit.get(..8).unwrap_or(&commit)));
        Ok(commit)
    }

    /// Waits until a commit's flight is at a stage.
    async fn stage_of(&self, commit: &str, stage: &str) -> Result<FlightSummary, Report> {
        let what = format!("the flight of {} to be {stage}", commit.get(..8).unwrap_or(commit));
        self.until(&what, async |cast| {
            let flights: Vec<FlightSummary> = cast.get("/api/v1/flights").await?;
            let flight = flights.into_iter().find(|flight| flight.commit.as_str() == commit);
            match flight {
                Some(flight) if flight.stage == stage => Ok(Some(flight)),
                Some(flight) if flight.ended_at.is_some() => {
                    let what = format!("the flight of {commit} is {}: {}", flight.stage, flight.detail);
                    Err(Report::new(report::DEMO, what))
                }
                Some(_) | None => Ok(None),
            }
        })
        .await
    }

    /// Waits until a person is paged; gives the page's name.
    async fn paged(&mut self, mailbox: &Mailbox, name: &'static str) -> Result<String, Report> {
        let letter = mailbox.letter(|letter| at(letter, "/status") == "firing", self.settings.timeout).await;
        let letter = letter.ok_or_else(|| Report::new(report::DEMO, format!("nobody was paged: {name}")))?;
        let text = |field: &str| at(&letter, &format!("/page/{field}")).as_str().unwrap_or_default().to_owned();
        self.meets(name, format!("{} told {}: {}", text("id"), text("person"), text("title")));
        Ok(text("id"))
    }

    async fn let_users_in(&self) -> Result<Load, Report> {
        let status: Value = self.get("/api/v1/status").await?;
        let targets = at(&status, "/targets").as_array().cloned().unwrap_or_default();
        let production = targets.iter().find(|target| at(target, "/environment") == "production");
        let address = production.and_then(|target| at(target, "/addresses/0").as_str()).unwrap_or_default();
        let uri = format!("{}/", address.trim_end_matches('/')).parse();
        let uri = uri.map_err(|_| Report::new(report::DEMO, "production has no address"))?;
        self.printer.note("Users", format_args!("send {} requests a second to {uri}", self.settings.rate));
        let options = LoadOptions { uri, rate: self.settings.rate, timeout: ANSWER_TIMEOUT };
        Ok(Load::start(options, Arc::new(Tallies::new(Vec::new()))))
    }

    /// The flights that serve in production.
    async fn client_status(&self) -> Result<Vec<String>, Report> {
        let status: Value = self.get("/api/v1/status").await?;
        let targets = at(&status, "/targets").as_array().cloned().unwrap_or_default();
        let production = targets.iter().filter(|target| at(target, "/environment") == "production");
        let versions = production.filter_map(|target| at(target, "/versions").as_array().cloned()).flatten();
        Ok(versions.filter_map(|version| Some(at(&version, "/flight").as_str()?.to_owned())).collect())
    }

    async fn get<T: DeserializeOwned + Send + 'static>(&self, path: &str) -> Result<T, Report> {
        let (client, path) = (self.client.clone(), path.to_owned());
        off_the_runtime(move || client.get(&path, &[])).await?
    }

    /// Waits until something is there, at most as long as a flight may take.
    async fn until<T>(&self, what: &str, look: impl AsyncFn(&Self) -> Result<Option<T>, Report>) -> Result<T, Report> {
        let began = Instant::now();
        loop {
            if let Some(found) = look(self).await? {
                return Ok(found);
            }
            if began.elapsed() > self.settings.timeout {
                return Err(Report::new(report::DEMO, format!("waited in vain for {what}")));
            }
            sleep(LOOK_PERIOD).await;
        }
    }

    /// Runs one of this program's commands as a person types it, and shows what it says.
    async fn types(&self, arguments: &[&str]) -> Result<String, Report> {
        let quote =
            |argument: &&str| if argument.contains(' ') { format!("'{argument}'") } else { (*argument).to_owned() };
        let quoted = arguments.iter().map(quote);
        self.printer.note("$", format_args!("prograde {}", quoted.collect::<Vec<_>>().join(" ")));
        let said = self.runs(arguments).await?;
        if !self.printer.style().quiet {
            let lines: Vec<&str> = said.lines().take(LINES_SHOWN).collect();
            let more = said.lines().count().saturating_sub(lines.len());
            let more = if more > 0 { format!("\n(and {more} lines more)") } else { String::new() };
            self.printer.hint(&format!("{}{more}\n", lines.join("\n")));
        }
        Ok(said)
    }

    async fn runs(&self, arguments: &[&str]) -> Result<String, Report> {
        let mut command = Command::new(&self.program);
        command.args(["--server", &self.url, "--token-file"]).arg(&self.token_file).args(arguments);
        let output = command.kill_on_drop(true).output().await;
        let output = output.map_err(|error| Report::new(report::SYSTEM, "a command can't be run").because(&error))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Report::new(report::DEMO, format!("`prograde {}` failed: {said}", arguments.join(" "))))
    }
}

/// All of it for programs.
pub(super) fn as_json(expectations: &[Expectation], took_ms: u64) -> Value {
    json!({"met": expectations.iter().all(|one| one.met), "duration_ms": took_ms, "expectations": expectations})
}

/// What is at a place in a document, as a JSON pointer (RFC 6901) names it; null where nothing is.
fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}
