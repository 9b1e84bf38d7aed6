//! A tracker in memory, and a journal that may fail at any call.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use prograde_model::ids::Target;
use prograde_model::incident::{ActionKind, ActionOrder, Declare, Incidents, NewAction, Origin, Route, Severity};
use prograde_model::stored::Fold as _;

use super::*;

#[derive(Default)]
struct Memory {
    tickets: Mutex<Vec<(ActionId, Option<Ending>)>>,
    calls: AtomicUsize,
    /// Calls that fail, by number: before they have an effect, and after.
    before: BTreeSet<usize>,
    after: BTreeSet<usize>,
    retry_after: Option<SignedDuration>,
}

impl Memory {
    fn call<T>(&self, effect: impl FnOnce(&mut Vec<(ActionId, Option<Ending>)>) -> T) -> Result<T, Failure> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        let failure = || Failure::Passing { why: "it broke".into(), retry_after: self.retry_after };
        if self.before.contains(&number) {
            return Err(failure());
        }
        let done = effect(&mut self.tickets.lock().unwrap());
        if self.after.contains(&number) { Err(failure()) } else { Ok(done) }
    }
}

fn ticket(index: usize) -> Ticket {
    Ticket { id: index.to_string(), url: format!("https://example.com/{index}") }
}

#[async_trait]
impl Tracker for Memory {
    async fn find(&self, action: ActionId) -> Result<Option<Ticket>, Failure> {
        self.call(|tickets| tickets.iter().position(|(of, _)| *of == action).map(ticket))
    }
    async fn open(&self, draft: &Draft) -> Result<Ticket, Failure> {
        self.call(|tickets| {
            tickets.push((draft.action, None));
            ticket(tickets.len() - 1)
        })
    }
    async fn look(&self, ticket: &str) -> Result<Option<Ending>, Failure> {
        self.call(|tickets| tickets[ticket.parse::<usize>().unwrap()].1)
    }
    async fn close(&self, ticket: &str, ending: Ending, _: &str) -> Result<(), Failure> {
        self.call(|tickets| tickets[ticket.parse::<usize>().unwrap()].1 = Some(ending))
    }
}

/// A clock that goes on by itself: each look is a minute later.
struct Minutes(AtomicUsize);

impl Clock for Minutes {
    fn now(&self) -> Timestamp {
        let minutes = self.0.fetch_add(1, Ordering::SeqCst);
        Timestamp::from_second(1_800_000_000 + 60 * i64::try_from(minutes).unwrap()).unwrap()
    }
}

struct Items {
    known: Mutex<Incidents>,
    automatic: bool,
    /// How many facts can't be kept at first.
    broken: AtomicUsize,
}

impl Items {
    fn new(automatic: bool) -> Self {
        let mut known = Incidents::default();
        let at = Timestamp::from_second(1_800_000_000).unwrap();
        let declare = Declare {
            title: "orders are lost".into(),
            severity: Severity::Sev2,
            target: Target { service: "pad".parse().unwrap(), environment: "production".parse().unwrap() },
            since: None,
            origin: Origin::Person { by: "Ann".into() },
        };
        for fact in known.declare(&declare, at).unwrap() {
            known.apply(&fact, at);
        }
        let incident = known.incidents().next().unwrap().id;
        let new = NewAction {
            incident,
            title: "test with locks".into(),
            owner: "Bob".into(),
            due: "2030-01-01".parse().unwrap(),
            kind: ActionKind::Prevent,
            gate: true,
        };
        for fact in known.add_action(&new, "Ann", at).unwrap() {
            known.apply(&fact, at);
        }
        Self { known: Mutex::new(known), automatic, broken: AtomicUsize::new(0) }
    }

    fn keep(
        &self,
        decide: impl FnOnce(&Incidents) -> Vec<prograde_model::incident::IncidentEvent>,
    ) -> Result<(), String> {
        if self.broken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err("the disk is full".into());
        }
        let mut known = self.known.lock().unwrap();
        for fact in decide(&known) {
            known.apply(&fact, Timestamp::from_second(1_800_000_100).unwrap());
        }
        Ok(())
    }

    fn state(&self) -> String {
        let known = self.known.lock().unwrap();
        let action = known.actions().next().unwrap();
        let ticket =
            action.filed.as_ref().map_or("no ticket".into(), |filed| format!("{} {}", filed.ticket, filed.closed));
        format!("{} {ticket}", action.state.word())
    }
}

#[async_trait]
impl ActionItems for Items {
    fn tasks(&self, tracker: &str) -> Vec<TicketTask> {
        let routes = [Route { tracker: "memory".into(), services: Vec::new(), automatic: self.automatic }];
        self.known.lock().unwrap().ticket_tasks(tracker, &routes, |incident| format!("https://prograde/{incident}"))
    }
    async fn filed(&self, action: ActionId, tracker: &str, ticket: &Ticket) -> Result<(), String> {
        self.keep(|known| known.ticket_filed(action, tracker, &ticket.id, &ticket.url).unwrap())
    }
    async fn closed(&self, action: ActionId, ending: Ending) -> Result<(), String> {
        self.keep(|known| known.ticket_closed(action, ending).unwrap())
    }
}

struct World {
    tracker: Arc<Memory>,
    items: Arc<Items>,
    worker: Worker,
}

impl World {
    fn new(tracker: Memory, items: Items) -> Self {
        let (tracker, items) = (Arc::new(tracker), Arc::new(items));
        let worker = Self::worker(&tracker, &items);
        Self { tracker, items, worker }
    }

    fn worker(tracker: &Arc<Memory>, items: &Arc<Items>) -> Worker {
        let clock = Arc::new(Minutes(AtomicUsize::new(0)));
        let filing = Filing::start(Vec::new(), Arc::clone(items) as _, clock);
        let named =
            Named { name: "memory".into(), every: SignedDuration::from_mins(5), tracker: Arc::clone(tracker) as _ };
        Worker { inner: filing.0, named, waits: BTreeMap::new(), paused_until: None }
    }

    /// Rounds until nothing more fails, as after so many minutes.
    async fn rounds(&mut self, count: usize) {
        for _ in 0..count {
            self.worker.round().await;
        }
    }

    fn order(&self, order: &ActionOrder) {
        self.items
            .keep(|known| {
                let id = known.actions().next().unwrap().id;
                known.decide_action(id, order, "Ann", Timestamp::from_second(1_800_000_050).unwrap()).unwrap()
            })
            .unwrap();
    }

    fn opened(&self) -> usize {
        self.tracker.tickets.lock().unwrap().len()
    }
}

#[tokio::test]
async fn a_ticket_is_opened_once_whatever_call_dies() {
    for number in 0..6 {
        for after in [false, true] {
            for restart in [false, true] {
                let mut memory = Memory::default();
                if after {
                    memory.after.insert(number)
                } else {
                    memory.before.insert(number)
                };
                let mut world = World::new(memory, Items::new(true));
                for _ in 0..12 {
                    world.rounds(1).await;
                    if restart {
                        world.worker = World::worker(&world.tracker, &world.items);
                    }
                }
                assert_eq!((world.opened(), world.items.state()), (1, "open 0 false".to_owned()), "{number} {after}");
            }
        }
    }
}

#[tokio::test]
async fn a_death_between_the_call_and_the_fact_opens_nothing_twice() {
    for broken in 1..5 {
        let items = Items::new(true);
        items.broken.store(broken, Ordering::SeqCst);
        let mut world = World::new(Memory::default(), items);
        for _ in 0..8 {
            world.rounds(1).await;
            world.worker = World::worker(&world.tracker, &world.items);
        }
        assert_eq!((world.opened(), world.items.state()), (1, "open 0 false".to_owned()));
    }
}

#[tokio::test]
async fn without_being_asked_only_automatic_trackers_open() {
    let mut world = World::new(Memory::default(), Items::new(false));
    world.rounds(3).await;
    assert_eq!(world.opened(), 0);
    world.order(&ActionOrder::File { tracker: Some("other".into()) });
    world.rounds(3).await;
    assert_eq!(world.opened(), 0);
    world.order(&ActionOrder::File { tracker: None });
    world.rounds(3).await;
    assert_eq!(world.opened(), 1);
}

#[tokio::test]
async fn each_is_closed_by_the_other() {
    let mut world = World::new(Memory::default(), Items::new(true));
    world.rounds(2).await;
    world.order(&ActionOrder::Done { note: "commit abc".into() });
    world.rounds(4).await;
    assert_eq!(world.tracker.tickets.lock().unwrap()[0].1, Some(Ending::Done));
    assert_eq!(world.items.state(), "done 0 true");

    for (ending, state) in [(Ending::Done, "done 0 true"), (Ending::Dropped, "dropped 0 true")] {
        let mut world = World::new(Memory::default(), Items::new(true));
        world.rounds(2).await;
        world.tracker.tickets.lock().unwrap()[0].1 = Some(ending);
        world.rounds(12).await;
        assert_eq!(world.items.state(), state);
    }
}

#[tokio::test]
async fn a_failure_is_told_and_a_wish_to_be_left_alone_is_heeded() {
    let memory =
        Memory { before: (0..1).collect(), retry_after: Some(SignedDuration::from_mins(20)), ..Memory::default() };
    let mut world = World::new(memory, Items::new(true));
    world.rounds(10).await;
    let action = world.items.known.lock().unwrap().actions().next().unwrap().id;
    let problem = world.worker.inner.problems.lock().unwrap().get(&action).cloned();
    assert_eq!((problem.as_deref(), world.tracker.calls.load(Ordering::SeqCst)), (Some("memory: it broke"), 1));
    world.rounds(30).await;
    assert_eq!(world.opened(), 1);
    assert!(world.worker.inner.problems.lock().unwrap().is_empty());
}

#[test]
fn waits_double_up_to_a_cap() {
    let action = ActionId::new(7);
    let waits: Vec<i64> = [1, 2, 3, 20, u32::MAX].map(|failures| backoff(failures, action).as_secs()).into();
    assert!((4..=5).contains(&waits[0]) && (8..=10).contains(&waits[1]) && (16..=20).contains(&waits[2]), "{waits:?}");
    assert!((720..=900).contains(&waits[3]) && (720..=900).contains(&waits[4]), "{waits:?}");
}
