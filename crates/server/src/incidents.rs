//! Incidents as the server keeps them: their facts under a subject of their own, one who writes at a time, and what follows
//! from where releases are.

use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use prograde_control::paging::Paging;
use prograde_control::ports::{Gatekeeper, PortError};
use prograde_control::{Clock as _, Control, SystemClock};
use prograde_journal::Journal;
use prograde_model::entry::Standing;
use prograde_model::gate::Holds;
use prograde_model::ids::{FlightId, Target};
use prograde_model::incident::{self, IncidentEvent, Incidents, Refusal};
use prograde_model::stored::Fact as _;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::records::{KeepError, Kept, RecordsError};

/// How often it is looked where releases are and how requests go although nothing happened.
const LOOK_PERIOD: Duration = Duration::from_secs(5);
/// How many facts pages give in one look at most.
const PAGES_AT_ONCE: usize = 100;
/// How long to wait after a fact could not be recorded.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Why an order about an incident was not carried out.
pub(crate) type IncidentError = KeepError<Refusal>;

/// All incidents. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Desk(Arc<Inner>);

struct Inner {
    kept: Arc<Kept<Incidents>>,
    stop: CancellationToken,
    task: StdMutex<Option<JoinHandle<()>>>,
}

impl Desk {
    /// With what the facts of before give.
    pub(crate) async fn open(journal: Journal) -> Result<Self, RecordsError> {
        let kept = Kept::open(journal).await?;
        Ok(Self(Arc::new(Inner { kept, stop: CancellationToken::new(), task: StdMutex::default() })))
    }

    /// Looks at what is known. Must be short: facts wait meanwhile.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&Incidents) -> R) -> R {
        self.0.kept.with(look)
    }

    /// Records what is decided on what is known: nothing can come in between.
    pub(crate) async fn record(
        &self,
        now: Timestamp,
        decide: impl FnOnce(&Incidents) -> Result<Vec<IncidentEvent>, Refusal>,
    ) -> Result<Vec<IncidentEvent>, IncidentError> {
        self.0.kept.record(now, decide).await
    }

    /// Follows releases: what was begun to end the harm of an incident has an end.
    pub(crate) fn follow(&self, control: Control, pages: Option<Paging>) {
        let desk = self.clone();
        #[expect(clippy::disallowed_methods, reason = "owned: `shutdown` waits for it")]
        let task = tokio::spawn(async move { desk.run(control, pages).await });
        *self.0.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }

    async fn run(&self, control: Control, pages: Option<Paging>) {
        let mut facts = control.changed();
        loop {
            facts.borrow_and_update();
            let settle = |known: &Incidents| {
                control.with_fleet(|fleet| known.settle(|flight, target| is_out(fleet, flight, target)))
            };
            let mut wait = LOOK_PERIOD;
            let unhelped = |known: &Incidents, now| {
                control.with_fleet(|fleet| known.unhelped(fleet, |target| control.observe(target), now))
            };
            for declare in self.with(|known| unhelped(known, control.now())) {
                let now = control.now();
                match self.record(now, |known| known.declare(&declare, now)).await {
                    Ok(facts) => facts.iter().for_each(log),
                    Err(error) => tracing::error!("an incident could not be declared: {error}"),
                }
            }
            if let Some(pages) = &pages {
                self.follow_pages(&control, pages).await;
            }
            if !self.with(settle).is_empty() {
                match self.record(control.now(), |known| Ok(settle(known))).await {
                    Ok(facts) => facts.iter().for_each(log),
                    Err(error) => {
                        tracing::error!("an incident could not be brought up to date: {error}");
                        wait = RETRY_AFTER;
                    }
                }
            }
            tokio::select! {
                biased;
                () = self.0.stop.cancelled() => return,
                changed = facts.changed() => {
                    // Nobody is left who could change anything.
                    if changed.is_err() {
                        return;
                    }
                }
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Declares what pages declare, one after the other: each changes what the next is taken for.
    async fn follow_pages(&self, control: &Control, pages: &Paging) {
        let rota = pages.duty().rota();
        let declaring = pages.with_desk(|desk| incident::declaring(desk, &rota)).await;
        for _ in 0..PAGES_AT_ONCE {
            let now = control.now();
            let declared = self.record(now, |known| control.with_fleet(|fleet| known.paged(&declaring, fleet, now)));
            match declared.await {
                Ok(facts) if facts.is_empty() => return,
                Ok(facts) => facts.iter().for_each(log),
                Err(error) => {
                    tracing::error!("what a page declares could not be recorded: {error}");
                    return;
                }
            }
        }
    }

    /// Ends following.
    pub(crate) async fn shutdown(&self) {
        self.0.stop.cancel();
        let task = self.0.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!("following incidents ended badly: {error}");
        }
    }
}

fn log(fact: &IncidentEvent) {
    let (name, payload) = fact.encode();
    tracing::info!("{name} {payload}");
}

/// Whether a flight that was to be taken back is out, and what was before it serves.
fn is_out(fleet: &prograde_model::fleet::Fleet, flight: &FlightId, target: &Target) -> bool {
    let standing = fleet.flight(flight).map(|flight| flight.standing(target));
    matches!(standing, Some(Standing::Unreverted | Standing::Gone))
}

/// Releases wait for action items.
#[async_trait]
impl Gatekeeper for Desk {
    async fn held(&self) -> Result<Holds, PortError> {
        let now = SystemClock.now();
        Ok(self.with(|known| known.holds(now)))
    }
}
