//! The story: four commits are pushed one after the other while users keep on asking, and what comes of each is
//! written down. Nothing here steers the server; it is only pushed to, asked and listened to.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use prograde_model::event::Event;
use prograde_model::ids::FlightId;
use prograde_model::quantity::Period;
use serde_json::json;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

use super::chapter::Chapter;
use super::display::{Display, Present};
use super::expectations::{self, Expectation};
use super::feed::{Feed, Moment, off_the_runtime};
use super::load::{Load, LoadOptions};
use super::mailbox::Mailbox;
use super::pad;
use super::record::{Flown, PRODUCTION, Record};
use super::repository::{Repository, RepositoryError};
use super::tally::{Tallies, Tally};
use crate::client::Client;
use crate::printer::Printer;
use crate::report::{self, Report};
use crate::wire::{FlightView, Status};

/// How long users are watched once a flight is over.
const AFTERMATH: Duration = Duration::from_secs(2);
/// How long a user waits for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the author waits for a letter once the flight is over.
const LETTER_TIMEOUT: Duration = Duration::from_secs(20);
/// How often the server is asked what is going on.
const LOOK_PERIOD: Duration = Duration::from_millis(250);

/// How the story goes.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Users' requests in a second.
    pub(crate) rate: NonZeroU32,
    /// How long each step of production is watched at least.
    pub(crate) bake: Period,
    /// How long a flight may take.
    pub(crate) timeout: Duration,
}

/// Everything that takes part.
pub(crate) struct Scene {
    /// The server's API.
    pub(crate) client: Client,
    /// Where the author hears of flights.
    pub(crate) mailbox: Mailbox,
    /// What users see.
    pub(crate) tallies: Arc<Tallies>,
    /// The service's repository.
    pub(crate) repository: Repository,
    /// A clone of the deployment repository.
    pub(crate) deployments: Repository,
    /// The journal's facts.
    pub(crate) feed: Feed,
}

/// The story while it is told.
pub(crate) struct Story<'a> {
    scene: Scene,
    settings: Settings,
    printer: &'a Printer,
    display: Display<'a>,
    load: Option<Load>,
    record: Record,
    flying: Flying,
    look: Interval,
}

/// The chapter that is being told.
struct Flying {
    chapter: Chapter,
    since: Instant,
    flight: Option<FlightId>,
    view: Option<FlightView>,
}

impl<'a> Story<'a> {
    /// A story that has not begun.
    pub(crate) fn new(scene: Scene, settings: Settings, printer: &'a Printer, display: Display<'a>) -> Self {
        let mut look = interval(LOOK_PERIOD);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let flying = Flying { chapter: Chapter::First, since: Instant::now(), flight: None, view: None };
        Self { scene, settings, printer, display, load: None, record: Record::default(), flying, look }
    }

    /// Tells it to the end, or as far as it goes. Returns the record and every expectation.
    pub(crate) async fn tell(mut self) -> Result<(Record, Vec<Expectation>), Report> {
        let mut all = Vec::new();
        for chapter in Chapter::ALL {
            if self.record.cut_short.is_none() {
                self.fly(chapter).await?;
            }
            let expected = expectations::of_chapter(chapter, &self.record);
            // People read at the end what was not even tried; programs are told everything once, here.
            if self.printer.style().json || self.record.flown.contains_key(&chapter) {
                self.announce(&expected)?;
            }
            all.extend(expected);
        }
        self.close().await?;
        let expected = expectations::of_all(&self.record);
        self.announce(&expected)?;
        all.extend(expected);
        Ok((self.record, all))
    }

    fn announce(&mut self, expectations: &[Expectation]) -> Result<(), Report> {
        for expectation in expectations {
            if self.printer.style().json {
                self.printer.json_line(&json!({"type": "demo.expectation", "data": expectation}))?;
            } else {
                self.display.verdict(expectation);
            }
        }
        Ok(())
    }

    async fn fly(&mut self, chapter: Chapter) -> Result<(), Report> {
        self.flying = Flying { chapter, since: Instant::now(), flight: None, view: None };
        self.display.head(chapter);
        let before = self.scene.tallies.tally();
        let commit = self.push(chapter).await.map_err(|error| git_report(&error))?;
        let Some(flight) = self.flight_of(&commit).await? else {
            self.cut_short(&format!("no flight was opened for commit {commit}"));
            return Ok(());
        };
        self.flying.flight = Some(flight.clone());
        let ended = |event: &Event| matches!(event, Event::Ended { .. });
        if !self.happens(&flight, self.settings.timeout, ended).await? {
            let view = self.view(&flight).await?;
            let (stage, detail) = (view.summary.stage, view.summary.detail);
            self.cut_short(&format!("its flight did not end in time; it is {stage}: {detail}"));
            return Ok(());
        }
        let users_are_in = self.load.is_some() || self.let_users_in().await?;
        let over = self.scene.tallies.tally();
        let letter = if chapter.is_bad() { self.letter(&flight).await? } else { None };
        self.until(AFTERMATH, |_| None::<()>).await?;
        let flown = self.look_back(&flight, letter, &before, &over).await?;
        self.record.flown.insert(chapter, flown);
        if !users_are_in {
            self.cut_short("nothing serves in production");
        }
        Ok(())
    }

    fn cut_short(&mut self, why: &str) {
        self.record.cut_short = Some(format!("the {} commit: {why}", self.flying.chapter.name()));
    }

    /// Edits, commits and pushes, as an author does.
    async fn push(&mut self, chapter: Chapter) -> Result<String, RepositoryError> {
        if chapter == Chapter::First {
            self.scene.repository.write(pad::FILES)?;
            self.scene.repository.edit(&pad::in_a_hurry(self.settings.bake))?;
        }
        self.scene.repository.edit(&chapter.edits())?;
        let commit = self.scene.repository.commit(chapter.message()).await?;
        self.scene.repository.push().await?;
        Ok(commit)
    }

    async fn flight_of(&mut self, commit: &str) -> Result<Option<FlightId>, Report> {
        let opened = |moment: &Moment| {
            let Event::Opened(opened) = &moment.event else { return None };
            (opened.commit.as_str() == commit).then(|| moment.flight.clone())
        };
        self.until(self.settings.timeout, |moments| moments.iter().find_map(opened)).await
    }

    /// Waits for a fact about a flight; returns whether it came in time.
    async fn happens(
        &mut self,
        flight: &FlightId,
        patience: Duration,
        is: impl Fn(&Event) -> bool,
    ) -> Result<bool, Report> {
        let found = |moments: &[Moment]| moments.iter().any(|m| m.flight == *flight && is(&m.event)).then_some(());
        Ok(self.until(patience, found).await?.is_some())
    }

    /// What the author was told, if anything.
    async fn letter(&mut self, flight: &FlightId) -> Result<Option<serde_json::Value>, Report> {
        // The fact comes after the letter: the wait for it keeps the display alive.
        self.happens(flight, LETTER_TIMEOUT, |event| matches!(event, Event::AuthorNotified { .. })).await?;
        let about = |letter: &serde_json::Value| {
            letter
                .as_object()
                .is_some_and(|fields| fields.values().any(|value| value.as_str() == Some(flight.as_str())))
        };
        Ok(self.scene.mailbox.letter(about, Duration::from_secs(1)).await)
    }

    /// Sends requests to production from now on; returns whether it has an address.
    async fn let_users_in(&mut self) -> Result<bool, Report> {
        let status = self.status().await?;
        let production = status.targets.iter().find(|target| target.environment.as_str() == PRODUCTION);
        let address = production.and_then(|target| target.addresses.first());
        let Some(uri) = address.and_then(|address| format!("{}/", address.trim_end_matches('/')).parse().ok()) else {
            return Ok(false);
        };
        self.display.say("Users", &format!("send {} requests a second to {uri}", self.settings.rate));
        let options = LoadOptions { uri, rate: self.settings.rate, timeout: ANSWER_TIMEOUT };
        self.load = Some(Load::start(options, Arc::clone(&self.scene.tallies)));
        Ok(true)
    }

    async fn look_back(
        &mut self,
        flight: &FlightId,
        letter: Option<serde_json::Value>,
        before: &Tally,
        over: &Tally,
    ) -> Result<Flown, Report> {
        let now = self.scene.tallies.tally();
        let status = self.status().await?;
        let client = self.scene.client.clone();
        let quarantines = off_the_runtime(move || client.quarantine()).await??;
        let moments: Vec<Moment> = self.record.moments.iter().filter(|m| m.flight == *flight).cloned().collect();
        // Before the first deployment there is nothing to fetch.
        let is_reverted = moments.iter().any(|moment| matches!(moment.event, Event::Reverted { .. }));
        let deployments = if is_reverted { self.scene.deployments.fetched_log().await } else { Ok(Vec::new()) };
        let production = status.targets.into_iter().find(|target| target.environment.as_str() == PRODUCTION);
        Ok(Flown {
            moments,
            view: self.view(flight).await?,
            users: now.since(before),
            aftermath: now.since(over),
            production: production.map(|target| target.versions).unwrap_or_default(),
            quarantines,
            deployments: deployments.map_err(|error| git_report(&error))?,
            letter,
        })
    }

    /// Sends the users home, and has the journal verified.
    async fn close(&mut self) -> Result<(), Report> {
        if let Some(load) = self.load.take()
            && !load.stop().await
        {
            return Err(Report::new(report::DEMO, "the load generator broke down"));
        }
        self.display.clear();
        // For the counters of the version that served last.
        self.status().await?;
        self.record.users = self.scene.tallies.tally();
        self.record.latency = self.scene.tallies.latency();
        let client = self.scene.client.clone();
        let verified = off_the_runtime(move || client.verify()).await?;
        self.record.journal = Some(verified.map(|view| view.events).map_err(|report| report.summary));
        Ok(())
    }

    /// Takes in facts until `found` finds something in all that there are, or the time is over.
    async fn until<T>(
        &mut self,
        patience: Duration,
        found: impl Fn(&[Moment]) -> Option<T>,
    ) -> Result<Option<T>, Report> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(thing) = found(&self.record.moments) {
                return Ok(Some(thing));
            }
            tokio::select! {
                moment = self.scene.feed.next() => self.take_in(moment?)?,
                _ = self.look.tick() => self.refresh().await?,
                () = sleep_until(deadline) => return Ok(None),
            }
        }
    }

    fn take_in(&mut self, moment: Moment) -> Result<(), Report> {
        if self.printer.style().json {
            self.printer.json_line(&moment.view)?;
        } else {
            self.display.fact(&moment);
        }
        self.record.moments.push(moment);
        Ok(())
    }

    /// Looks at what is going on, for the display and for the counters of versions that will be gone.
    async fn refresh(&mut self) -> Result<(), Report> {
        let status = self.status().await?;
        if self.display.is_live()
            && let Some(flight) = self.flying.flight.clone()
        {
            self.flying.view = Some(self.view(&flight).await?);
        }
        let (record, flying) = (&self.record, &self.flying);
        let name_of = |flight: &FlightId| {
            let known = (flying.flight.as_ref() == Some(flight)).then_some(flying.chapter);
            known
                .or_else(|| record.chapter_of(flight))
                .map_or_else(|| flight.short().to_owned(), |c| c.name().to_owned())
        };
        self.display.show(&Present {
            since: flying.since,
            flight: flying.view.as_ref(),
            status: &status,
            name_of: &name_of,
            tallies: &self.scene.tallies,
        });
        Ok(())
    }

    async fn status(&mut self) -> Result<Status, Report> {
        let client = self.scene.client.clone();
        let status = off_the_runtime(move || client.status()).await??;
        let production = status.targets.iter().filter(|target| target.environment.as_str() == PRODUCTION);
        for version in production.flat_map(|target| &target.versions) {
            let counters = self.record.counters.entry(version.flight.clone()).or_default();
            if version.counters.requests >= counters.requests {
                *counters = version.counters;
            }
        }
        Ok(status)
    }

    async fn view(&self, flight: &FlightId) -> Result<FlightView, Report> {
        let (client, id) = (self.scene.client.clone(), flight.clone());
        off_the_runtime(move || client.flight(id.as_str())).await?
    }
}

/// Git's failure as the reader sees it.
pub(crate) fn git_report(error: &RepositoryError) -> Report {
    let report = Report::new(report::DEMO, error.to_string()).caused_by(error);
    match error {
        RepositoryError::NotInstalled(_) => report.hint("install Git 2.28 or later, and see that it is in PATH"),
        RepositoryError::Run(_)
        | RepositoryError::Failed { .. }
        | RepositoryError::Late { .. }
        | RepositoryError::File { .. }
        | RepositoryError::NothingToEdit { .. } => report,
    }
}
