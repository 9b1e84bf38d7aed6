//! What keeps releases out, asked of everyone who may know before each look. Where one does not answer, its last answer
//! holds, and the author of each flight that stands at a gate meanwhile is told so, once.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::tz::TimeZone;
use prograde_model::flight::Stage;
use prograde_model::gate::Holds;
use prograde_model::ids::FlightId;

use crate::controller::Inner;
use crate::halted::called;
use crate::ports::Notice;

/// How long one may take to answer; they answer from what they know already.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// What was answered last.
#[derive(Default)]
pub(crate) struct Holding(Mutex<State>);

#[derive(Default)]
struct State {
    /// All answers together, as gates are given them.
    all: Arc<Holds>,
    /// The last answer of each, and what is wrong with it since.
    answers: Vec<(Holds, Option<String>)>,
    /// The flights whose authors know that something is wrong.
    told: BTreeSet<FlightId>,
}

impl Holding {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What keeps releases out, as it is known.
    pub(crate) fn known(&self) -> Arc<Holds> {
        Arc::clone(&self.lock().all)
    }

    /// Takes the answers; the troubles that are new.
    fn take(&self, answers: Vec<Result<Holds, String>>) -> Vec<String> {
        let mut state = self.lock();
        state.answers.resize_with(answers.len(), Default::default);
        let mut news = Vec::new();
        for ((last, trouble), answer) in state.answers.iter_mut().zip(answers) {
            match answer {
                Ok(holds) => (*last, *trouble) = (holds, None),
                Err(why) => {
                    if trouble.is_none() {
                        news.push(why.clone());
                    }
                    *trouble = Some(why);
                }
            }
        }
        let mut all = Holds::default();
        state.answers.iter().for_each(|(last, _)| all.extend(last));
        if *state.all != all {
            state.all = Arc::new(all);
        }
        if state.answers.iter().all(|(_, trouble)| trouble.is_none()) {
            state.told.clear();
        }
        news
    }

    /// What is wrong now.
    fn trouble(&self) -> Option<String> {
        let state = self.lock();
        let troubles: Vec<&str> = state.answers.iter().filter_map(|(_, trouble)| trouble.as_deref()).collect();
        (!troubles.is_empty()).then(|| troubles.join("; "))
    }
}

impl Inner {
    /// Asks what keeps releases out.
    pub(crate) async fn look_at_holds(&self) {
        let mut answers = Vec::with_capacity(self.ports.holds.len());
        for port in &self.ports.holds {
            answers.push(match tokio::time::timeout(ANSWER_TIMEOUT, port.held()).await {
                Ok(answer) => answer.map_err(|error| error.to_string()),
                Err(_) => Err(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs())),
            });
        }
        let now = self.clock.now();
        let mut promotion = Holds::default();
        self.ledger.with(|fleet| promotion.add_promotion(fleet, now, &|name: &str| TimeZone::get(name).ok()));
        answers.push(Ok(promotion));
        for why in self.holding.take(answers) {
            tracing::error!("what holds gates can't be known, what was known last holds on: {why}");
        }
        if let Some(why) = self.holding.trouble() {
            self.untold_of(&why).into_iter().for_each(|notice| self.tell(notice));
        }
    }

    /// What those are to be told who wait at a gate and do not know yet.
    fn untold_of(&self, why: &str) -> Vec<Notice> {
        let mut state = self.holding.lock();
        self.ledger.with(|fleet| {
            let at_gate = fleet.active().filter_map(|flight| match flight.stage() {
                Stage::At(target, _) if flight.waits_at(&target.environment) => Some((flight, target.environment)),
                Stage::At(..) | Stage::Reading | Stage::Building | Stage::Imaging | Stage::Notifying | Stage::Done => {
                    None
                }
            });
            let news = at_gate.filter(|(flight, _)| state.told.insert(flight.id.clone()));
            let notices = news.map(|(flight, environment)| {
                let of = called(flight);
                let text = format!(
                    "{of}: what may hold the gate of {environment} can't be known, what was known last holds on: {why}"
                );
                Notice::of(flight, text)
            });
            notices.collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use prograde_model::gate::Hold;

    use super::*;

    fn holds(id: &str) -> Holds {
        let mut holds = Holds::default();
        let hold = Hold { id: id.into(), reason: "the budget is spent".into(), fixes_pass: true };
        holds.add("pad".parse().unwrap(), None, hold);
        holds
    }

    fn known(holding: &Holding) -> String {
        holding.known().all().map(|(_, _, hold)| hold.id.clone()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_last_answer_holds_while_there_is_no_other_and_each_trouble_is_said_once() {
        let holding = Holding::default();
        assert!(holding.take(vec![Ok(holds("budget/a")), Ok(holds("action/1"))]).is_empty());
        assert_eq!(known(&holding), "budget/a action/1");
        let lost = || Err("the answer was lost".to_owned());
        assert_eq!(holding.take(vec![lost(), Ok(Holds::default())]), ["the answer was lost"]);
        assert_eq!(known(&holding), "budget/a");
        assert!(holding.take(vec![lost(), Ok(Holds::default())]).is_empty());
        assert_eq!(holding.trouble().as_deref(), Some("the answer was lost"));
        assert!(holding.take(vec![Ok(Holds::default()), Ok(Holds::default())]).is_empty());
        assert_eq!((known(&holding).as_str(), holding.trouble()), ("", None));
    }
}
