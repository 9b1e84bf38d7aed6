//! The places in the journal of facts that are no flight's.

use std::marker::PhantomData;
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use prograde_journal::{Journal, JournalError, NewEvent};
use prograde_model::alert::AlertEvent;
use prograde_model::application::ApplicationFact;
use prograde_model::incident::IncidentEvent;
use prograde_model::oncall::{PageFact, RosterFact};
use prograde_model::runbook::RunbookFact;
use prograde_model::stored::{DecodeError, Fact, Fold, NotKept};
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

use crate::events::chain;

/// How many facts are read at once.
const READ_CHUNK: usize = 1_000;
/// The subjects of all kinds; what stands under another is a flight's.
const SUBJECTS: [&str; 6] = [
    AlertEvent::SUBJECT,
    ApplicationFact::SUBJECT,
    IncidentEvent::SUBJECT,
    PageFact::SUBJECT,
    RosterFact::SUBJECT,
    RunbookFact::SUBJECT,
];

/// Whether a subject is one of those.
pub(crate) fn is_subject(subject: &str) -> bool {
    SUBJECTS.contains(&subject)
}

/// Why the facts of before can't be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// The journal can't be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A fact is none that this release knows.
    #[error("event {sequence} of the journal can't be read")]
    Fact {
        /// Its place.
        sequence: u64,
        /// Why.
        source: DecodeError,
    },
}

/// The place of one kind of facts in the journal. Nothing else appends there.
pub(crate) struct Records<F> {
    journal: Journal,
    known: Mutex<Known>,
    kind: PhantomData<fn() -> F>,
}

/// What is known of the place.
struct Known {
    /// How many facts there are.
    version: u64,
    /// Whether there may be more: an append was left before its answer came, or the answer was that it is not known.
    is_behind: bool,
}

impl<F: Fact> Records<F> {
    /// The place, and all facts of before in order.
    pub(crate) async fn open(journal: Journal) -> Result<(Self, Vec<(Timestamp, F)>), RecordsError> {
        let facts = read(&journal).await?;
        let known = Mutex::new(Known { version: count(facts.len()), is_behind: false });
        Ok((Self { journal, known, kind: PhantomData }, facts))
    }

    /// Appends all of the facts, or none; without any it only finds out what is not known of the ones before.
    pub(crate) async fn append(&self, facts: &[F], at: Timestamp) -> Result<(), NotKept<F>> {
        let events = facts.iter().map(|fact| {
            let (event_type, payload) = fact.encode();
            NewEvent { event_type, version: F::VERSION, payload }
        });
        let mut known = self.known.lock().await;
        if known.is_behind {
            self.catch_up(&mut known).await?;
        }
        if facts.is_empty() {
            return Ok(());
        }
        known.is_behind = true;
        match self.journal.append(F::SUBJECT, known.version, at, events.collect()).await {
            Ok(stored) => {
                known.version += count(stored.len());
                known.is_behind = false;
                Ok(())
            }
            // An append that was left has come before this one.
            Err(conflict @ JournalError::Conflict { .. }) => {
                self.catch_up(&mut known).await?;
                Err(NotKept::Failed(chain(&conflict)))
            }
            Err(error) => Err(NotKept::Failed(chain(&error))),
        }
    }

    /// Finds out what is stored. What was not known of is an error, for it must be applied before anything is decided.
    async fn catch_up(&self, known: &mut Known) -> Result<(), NotKept<F>> {
        let read = read_after(&self.journal, known.version).await;
        let missed = read.map_err(|error| NotKept::Failed(chain(&error)))?;
        known.version += count(missed.len());
        known.is_behind = false;
        if missed.is_empty() { Ok(()) } else { Err(NotKept::Missed(missed)) }
    }
}

/// Why nothing was recorded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeepError<E> {
    /// The product's rules forbid it.
    #[error(transparent)]
    Refused(#[from] E),
    /// It could not be recorded.
    #[error("it could not be recorded: {0}")]
    Record(String),
}

/// A state in memory that is the fold of its facts in the journal. One decides and writes at a time; looking never waits.
pub(crate) struct Kept<S: Fold> {
    state: RwLock<S>,
    /// Held by whoever decides and writes.
    records: Arc<Mutex<Records<S::Fact>>>,
    /// What is being written.
    writes: TaskTracker,
}

impl<S: Fold + Send + Sync + 'static> Kept<S>
where
    S::Fact: Send + Sync + 'static,
{
    /// With what the facts of before give.
    pub(crate) async fn open(journal: Journal) -> Result<Arc<Self>, RecordsError> {
        let (records, history) = Records::open(journal).await?;
        let mut state = S::default();
        for (at, fact) in &history {
            state.apply(fact, *at);
        }
        let (state, records) = (RwLock::new(state), Arc::new(Mutex::new(records)));
        Ok(Arc::new(Self { state, records, writes: TaskTracker::new() }))
    }

    /// Looks at what is known. Must be short: facts wait meanwhile.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&S) -> R) -> R {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Records what is decided on what is known: nothing can come in between. What was decided is written and known also if nobody
    /// waits for that any more.
    pub(crate) async fn record<E>(
        self: &Arc<Self>,
        now: Timestamp,
        decide: impl FnOnce(&S) -> Result<Vec<S::Fact>, E>,
    ) -> Result<Vec<S::Fact>, KeepError<E>> {
        let records = Arc::clone(&self.records).lock_owned().await;
        // It may not have been known whether what came before was stored.
        match records.append(&[], now).await {
            Ok(()) => {}
            Err(NotKept::Missed(facts)) => self.apply(&facts),
            Err(NotKept::Failed(why)) => return Err(KeepError::Record(why)),
        }
        let facts = self.with(decide).map_err(KeepError::Refused)?;
        if facts.is_empty() {
            return Ok(facts);
        }
        let this = Arc::clone(self);
        let written = self.writes.spawn(async move {
            let kept = records.append(&facts, now).await;
            let (facts, kept) = match kept {
                Ok(()) => (facts.into_iter().map(|fact| (now, fact)).collect(), Ok(())),
                Err(not_kept) => {
                    let why = not_kept.to_string();
                    (not_kept.missed(), Err(why))
                }
            };
            this.apply(&facts);
            kept.map(|()| facts.into_iter().map(|(_, fact)| fact).collect())
        });
        match written.await {
            Ok(written) => written.map_err(KeepError::Record),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => Err(KeepError::Record(error.to_string())),
            },
        }
    }

    fn apply(&self, facts: &[(Timestamp, S::Fact)]) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        for (at, fact) in facts {
            state.apply(fact, *at);
        }
    }
}

fn count(facts: usize) -> u64 {
    u64::try_from(facts).unwrap_or(u64::MAX)
}

/// All facts of a kind, in order.
pub(crate) async fn read<F: Fact>(journal: &Journal) -> Result<Vec<(Timestamp, F)>, RecordsError> {
    read_after(journal, 0).await
}

/// The facts of a kind after so many, in order.
async fn read_after<F: Fact>(journal: &Journal, version: u64) -> Result<Vec<(Timestamp, F)>, RecordsError> {
    let mut facts = Vec::new();
    loop {
        let chunk = journal.read_subject_after(F::SUBJECT, version + count(facts.len()), READ_CHUNK).await?;
        if chunk.is_empty() {
            return Ok(facts);
        }
        for stored in chunk {
            let sequence = stored.sequence;
            let fact = F::decode(&stored.event_type, stored.version, stored.payload);
            facts.push((stored.at, fact.map_err(|source| RecordsError::Fact { sequence, source })?));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail by panicking")]

    use std::convert::Infallible;
    use std::future::Future as _;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use prograde_model::application::{ApplicationId, Applications, Order};
    use prograde_model::incident::IncidentId;

    use super::*;

    fn noted(text: &str) -> IncidentEvent {
        let (incident, text, by) = (IncidentId::new(1), text.to_owned(), "ada".to_owned());
        IncidentEvent::NoteAdded { incident, text, about: at(0), by }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[tokio::test]
    async fn an_append_that_was_left_is_told_of_before_anything_else_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&folder.path().join("journal.db")).unwrap();
        let (records, history) = Records::<IncidentEvent>::open(journal.clone()).await.unwrap();
        assert!(history.is_empty());
        records.append(&[noted("first")], at(1)).await.unwrap();

        // Asked, and left before the answer.
        {
            let left = [noted("left"), noted("left too")];
            let mut append = pin!(records.append(&left, at(2)));
            assert!(append.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        let missed = match records.append(&[noted("decided without it")], at(3)).await {
            Err(NotKept::Missed(facts)) => facts,
            other => panic!("{other:?}"),
        };
        assert_eq!(missed, [(at(2), noted("left")), (at(2), noted("left too"))]);

        records.append(&[noted("last")], at(4)).await.unwrap();
        let texts: Vec<_> =
            read(&journal).await.unwrap().into_iter().map(|(_, fact): (_, IncidentEvent)| fact).collect();
        assert_eq!(texts, [noted("first"), noted("left"), noted("left too"), noted("last")]);
    }

    fn order(application: &str) -> Vec<ApplicationFact> {
        let of = ApplicationId { set: "main".parse().unwrap(), application: application.to_owned() };
        Applications::order(of, Order { prune: false, confirm_prune: false, by: "ada".to_owned() })
    }

    fn ordered(known: &Applications) -> Vec<String> {
        known.iter().map(|(of, _)| of.application.clone()).collect()
    }

    #[tokio::test]
    async fn what_was_decided_is_known_to_whoever_decides_next_also_if_it_was_left() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&folder.path().join("journal.db")).unwrap();
        let kept = Kept::<Applications>::open(journal.clone()).await.unwrap();
        let mut seen = Vec::new();
        // Left while it is written.
        {
            let mut record = pin!(kept.record(at(1), |_| Ok::<_, Infallible>(order("a"))));
            assert!(record.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        let decide = |known: &Applications| {
            seen = ordered(known);
            Ok::<_, Infallible>(order("b"))
        };
        kept.record(at(2), decide).await.unwrap();
        assert_eq!(seen, ["a"]);

        // Stored, and nobody knew.
        {
            let (records, facts) = (kept.records.lock().await, order("c"));
            let mut append = pin!(records.append(&facts, at(3)));
            assert!(append.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        while read::<ApplicationFact>(&journal).await.unwrap().len() < 3 {
            tokio::task::yield_now().await;
        }
        let decide = |known: &Applications| {
            seen = ordered(known);
            Ok::<_, Infallible>(Vec::new())
        };
        kept.record(at(4), decide).await.unwrap();
        assert_eq!(seen, ["a", "b", "c"]);
        assert_eq!(kept.with(ordered), seen);
    }
}
