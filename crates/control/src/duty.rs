//! Who is on call: what the file says and what people change by command. A change is recorded before it has any effect.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use jiff::Timestamp;
use prograde_model::oncall::{Change, ChangeId, Made, Roster, RosterFact, RosterRefusal, Rota};
use prograde_model::stored::NotKept;
use tokio::sync::Mutex;

use crate::clock::Clock;
use crate::rota::zone;

/// Where facts about who is on call are kept. Nobody else appends there.
#[async_trait]
pub trait RosterLog: Send + Sync {
    /// Keeps facts, all or none, so that they are there after a crash once this returns.
    async fn append(&self, facts: &[RosterFact], at: Timestamp) -> Result<(), NotKept<RosterFact>>;
}

/// Why a change is not made.
#[derive(Debug, thiserror::Error)]
pub enum DutyError {
    /// It does not fit who is on call.
    #[error(transparent)]
    Refused(#[from] RosterRefusal),
    /// It could not be recorded.
    #[error("it could not be recorded: {0}")]
    Record(String),
}

/// Who is on call. Cheap to clone.
#[derive(Clone)]
pub struct Duty(Arc<Inner>);

struct Inner {
    /// What the file says, and what people changed; held by whoever changes either.
    said: Mutex<Said>,
    log: Arc<dyn RosterLog>,
    clock: Arc<dyn Clock>,
    /// The two laid over each other.
    current: RwLock<Arc<Rota>>,
}

struct Said {
    declared: Rota,
    roster: Roster,
}

impl Duty {
    /// With what the file says and the changes of before.
    pub fn new(
        declared: Rota,
        log: Arc<dyn RosterLog>,
        clock: Arc<dyn Clock>,
        history: &[(Timestamp, RosterFact)],
    ) -> Self {
        let mut roster = Roster::default();
        for (at, fact) in history {
            roster.apply(fact, *at);
        }
        let current = RwLock::new(Arc::new(roster.over(&declared)));
        Self(Arc::new(Inner { said: Mutex::new(Said { declared, roster }), log, clock, current }))
    }

    /// Who is on call as it is now.
    pub fn rota(&self) -> Arc<Rota> {
        Arc::clone(&self.0.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// All changes, in the order in which they were made.
    pub async fn changes(&self) -> Vec<Made> {
        self.0.said.lock().await.roster.changes().cloned().collect()
    }

    /// Changes who is on call.
    pub async fn change(&self, change: Change) -> Result<Made, DutyError> {
        self.record(|said, now| said.roster.change(&said.declared, &zone, change, now)).await
    }

    /// Takes a change back.
    pub async fn withdraw(&self, id: ChangeId, by: &str) -> Result<Made, DutyError> {
        self.record(|said, _| said.roster.withdraw(id, by)).await
    }

    /// Goes by another file from now on. What people changed stays laid over it.
    pub async fn declare(&self, declared: Rota) {
        let mut said = self.0.said.lock().await;
        said.declared = declared;
        self.lay(&said);
    }

    fn lay(&self, said: &Said) {
        let current = Arc::new(said.roster.over(&said.declared));
        *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = current;
    }

    async fn record(
        &self,
        decide: impl FnOnce(&Said, Timestamp) -> Result<RosterFact, RosterRefusal>,
    ) -> Result<Made, DutyError> {
        let mut said = self.0.said.lock().await;
        let now = self.0.clock.now();
        let fact = decide(&said, now)?;
        let (RosterFact::Changed { id, .. } | RosterFact::Withdrawn { id, .. }) = &fact;
        let id = *id;
        let kept = self.0.log.append(std::slice::from_ref(&fact), now).await;
        let (facts, failure) = match kept {
            Ok(()) => (vec![(now, fact)], None),
            Err(not_kept) => {
                let why = not_kept.to_string();
                (not_kept.missed(), Some(why))
            }
        };
        for (at, fact) in &facts {
            said.roster.apply(fact, *at);
        }
        self.lay(&said);
        if let Some(why) = failure {
            return Err(DutyError::Record(why));
        }
        said.roster.changes().find(|made| made.id == id).cloned().ok_or(DutyError::Refused(RosterRefusal::Unknown(id)))
    }
}
