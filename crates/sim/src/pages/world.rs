//! The world around paging: a journal, receivers, a clock, and what goes wrong with them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use prograde_control::Clock;
use prograde_control::duty::RosterLog;
use prograde_control::paging::{Call, Caller, PageLog};
use prograde_model::alert::Failure;
use prograde_model::oncall::{CallKey, PageFact, RosterFact, Rota};
use prograde_model::stored::{Fact as _, NotKept};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::check::Checker;
use crate::check::{Broken, Invariant};
use crate::random::Random;
use crate::story::{Kind, Line};

/// When every story begins: somebody else is on call half an hour later.
const BEGIN_SECOND: i64 = 1_800_000_000 - 1_800_000_000 % 86_400;

/// How often what goes wrong, in a thousand, until a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Faults {
    /// A receiver fails, and may work later.
    pub(super) passing: u64,
    /// A receiver refuses for ever.
    pub(super) lasting: u64,
    /// A receiver does not answer.
    pub(super) hanging: u64,
    /// The journal takes nothing.
    pub(super) append: u64,
    /// Seconds after the beginning.
    pub(super) until_secs: i64,
}

pub(super) struct World {
    state: Mutex<State>,
    death: Notify,
}

struct State {
    random: Random,
    faults: Faults,
    journal: Vec<(Timestamp, PageFact)>,
    /// Facts that it holds although whoever appended them was told that it failed.
    unanswered: Vec<(Timestamp, PageFact)>,
    check: Checker,
    story: Option<Vec<Line>>,
    /// The time when this life began, in milliseconds, and that moment on the runtime's clock.
    life: (i64, Option<Instant>),
    calls_left: Option<u64>,
    dead: bool,
}

impl World {
    pub(super) fn new(rota: Rota, faults: Faults, random: Random, telling: bool) -> Self {
        let check = Checker::new(rota);
        let story = telling.then(Vec::new);
        let (life, calls_left, dead) = ((0, None), None, false);
        let (journal, unanswered) = (Vec::new(), Vec::new());
        let state = State { random, faults, journal, unanswered, check, story, life, calls_left, dead };
        Self { state: Mutex::new(state), death: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin_life(&self, calls: Option<u64>) {
        let mut state = self.state();
        (state.calls_left, state.dead) = (calls, false);
        state.life.1 = None;
        state.tell(Kind::World, || "the process begins".to_owned());
    }

    /// The process is dead for so many seconds.
    pub(super) fn end_life(&self, dead_secs: i64) {
        let mut state = self.state();
        state.life = (state.now_ms() + dead_secs * 1_000, None);
        // The next one reads the whole journal.
        let unanswered = std::mem::take(&mut state.unanswered);
        for (at, fact) in &unanswered {
            state.known(fact, *at);
        }
        state.check.life_ended();
    }

    pub(super) async fn died(&self) {
        while !self.state().dead {
            self.death.notified().await;
        }
    }

    /// One call of paging: nothing happens after the last one of a life.
    async fn step(&self) {
        let dead = {
            let mut state = self.state();
            if let Some(left) = &mut state.calls_left {
                *left = left.saturating_sub(1);
            }
            state.dead |= state.calls_left == Some(0);
            if state.dead {
                state.tell(Kind::Fault, || "the process dies".to_owned());
            }
            state.dead
        };
        if dead {
            self.death.notify_waiters();
            self.death.notify_one();
            std::future::pending::<()>().await;
        }
    }

    pub(super) fn journal(&self) -> Vec<(Timestamp, PageFact)> {
        self.state().journal.clone()
    }

    pub(super) async fn sleep_until(&self, second: i64) {
        let left = second * 1_000 - self.state().now_ms();
        tokio::time::sleep(Duration::from_millis(u64::try_from(left).unwrap_or_default())).await;
    }

    pub(super) fn time(&self) -> Timestamp {
        self.state().time()
    }

    pub(super) fn tell(&self, kind: Kind, text: impl FnOnce() -> String) {
        self.state().tell(kind, text);
    }

    pub(super) fn demand(&self, holds: bool, text: impl FnOnce() -> String) {
        let mut state = self.state();
        if !holds {
            state.broke(text());
        }
    }

    /// Checks that whatever fires in the end has a page that waits or is in somebody's hands, and nothing else has.
    pub(super) fn check_groups(&self, fires: &BTreeMap<String, bool>) {
        let mut state = self.state();
        for text in state.check.groups(fires) {
            state.broke(text);
        }
    }

    pub(super) fn finish(&self) -> (Vec<Broken>, Vec<Line>, u64) {
        let mut state = self.state();
        let world_ms = u64::try_from(state.now_ms()).unwrap_or_default();
        (std::mem::take(&mut state.check.broken), state.story.take().unwrap_or_default(), world_ms)
    }
}

impl State {
    fn now_ms(&mut self) -> i64 {
        let began = *self.life.1.get_or_insert_with(Instant::now);
        let elapsed = i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.life.0.saturating_add(elapsed)
    }

    fn time(&mut self) -> Timestamp {
        let begin = Timestamp::from_second(BEGIN_SECOND).unwrap_or_default();
        begin.saturating_add(SignedDuration::from_millis(self.now_ms())).unwrap_or(Timestamp::MAX)
    }

    fn tell(&mut self, kind: Kind, text: impl FnOnce() -> String) {
        let at_ms = self.now_ms();
        if let Some(story) = &mut self.story {
            story.push(Line { at_ms, kind, text: text() });
        }
    }

    fn broke(&mut self, text: String) {
        let at_ms = self.now_ms();
        self.tell(Kind::Broken, || text.clone());
        self.check.broken.push(Broken { at_ms, invariant: Invariant::Pages, text });
    }

    /// Paging knows a fact, and so may whoever asked for it: an answer that was lost is none.
    fn known(&mut self, fact: &PageFact, at: Timestamp) {
        for text in self.check.fact(fact, at) {
            self.broke(text);
        }
    }

    /// A person knows.
    fn knows(&mut self, key: &CallKey) {
        self.tell(Kind::Person, || format!("{} knows of {}", key.person, key.page));
        for text in self.check.told(key) {
            self.broke(text);
        }
    }

    /// Whether something goes wrong that does so often.
    fn goes_wrong(&mut self, per_mille: u64) -> bool {
        let troubled = self.now_ms() < self.faults.until_secs * 1_000;
        troubled && self.random.chance(per_mille)
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        self.time()
    }
}

#[async_trait]
impl PageLog for World {
    async fn append(&self, facts: &[PageFact], at: Timestamp) -> Result<(), NotKept<PageFact>> {
        self.step().await;
        let is_answered = {
            let mut state = self.state();
            let often = state.faults.append;
            if state.goes_wrong(often) {
                state.tell(Kind::Fault, || "the journal takes nothing".to_owned());
                return Err(NotKept::Failed("the journal takes nothing".to_owned()));
            }
            let missed = std::mem::take(&mut state.unanswered);
            if !missed.is_empty() {
                state.tell(Kind::World, || "the journal says what it kept before".to_owned());
                for (at, fact) in &missed {
                    state.known(fact, *at);
                }
                return Err(NotKept::Missed(missed));
            }
            if facts.is_empty() {
                return Ok(());
            }
            let is_lost = state.goes_wrong(often);
            for fact in facts {
                state.tell(Kind::Fact, || format!("{} {}", fact.encode().0, fact.encode().1));
                state.journal.push((at, fact.clone()));
                if is_lost {
                    state.unanswered.push((at, fact.clone()));
                } else {
                    state.known(fact, at);
                }
            }
            if is_lost {
                state.tell(Kind::Fault, || "the journal's answer is lost".to_owned());
            }
            !is_lost
        };
        // The process may die when the facts are there and nobody knows it.
        self.step().await;
        if is_answered { Ok(()) } else { Err(NotKept::Failed("the journal does not answer".to_owned())) }
    }
}

/// Nobody changes who is on call in these stories.
#[async_trait]
impl RosterLog for World {
    async fn append(&self, _: &[RosterFact], _: Timestamp) -> Result<(), NotKept<RosterFact>> {
        Err(NotKept::Failed("nothing is changed here".to_owned()))
    }
}

#[async_trait]
impl Caller for World {
    async fn call(&self, call: &Call) -> Result<(), Failure> {
        self.step().await;
        let (failure, hangs) = {
            let mut state = self.state();
            let faults = state.faults;
            for text in state.check.call(&call.key) {
                state.broke(text);
            }
            let why = |why: &str| why.to_owned();
            let failure = if state.goes_wrong(faults.lasting) {
                Some(Failure::Lasting { why: why("refused") })
            } else if state.goes_wrong(faults.passing) {
                Some(Failure::Passing { why: why("not now"), retry_after: None })
            } else {
                None
            };
            (failure, state.goes_wrong(faults.hanging))
        };
        if hangs {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        if let Some(failure) = failure {
            return Err(failure);
        }
        self.state().knows(&call.key);
        // The process may die when the person knows and the record does not.
        self.step().await;
        Ok(())
    }
}
