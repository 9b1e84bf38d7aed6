//! One run: the real controllers on a world, life after life, until everything is at rest.

use std::sync::Arc;
use std::time::Duration;

use prograde_control::{Control, OrderError};
use prograde_model::event::Outcome;
use prograde_model::fleet::Fleet;
use prograde_model::flight::Flight;
use prograde_model::ids::{FlightId, Target};
use prograde_model::rollout::{Cause, Phase};
use serde::Serialize;
use tokio::runtime::Runtime;

use crate::check::{Broken, Invariant};
use crate::life::{Fate, Life};
use crate::merging::{merge_open, take_in_merges};
use crate::random::Random;
use crate::scenario::{Order, Scenario, Wish};
use crate::story::{Kind, Line};
use crate::world::{Mutant, State, World, cause_of, judged};

/// How long the runtime may take to be what the journal says once nothing else happens, in milliseconds: two looks of
/// controllers that are idle.
const SETTLE_MS: i64 = 70_000;

/// How a run ended.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    /// Its seed.
    pub seed: u64,
    /// The promises that were broken; a run ends with the first tick that breaks one.
    pub broken: Vec<Broken>,
    /// What came of it.
    pub tally: Tally,
    /// What happened, where it was told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub story: Vec<Line>,
}

/// What came of a run, or of many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Lives of the controllers' process.
    pub lives: u64,
    /// Looks at the world.
    pub ticks: u64,
    /// Time that went by in the world, in milliseconds.
    pub world_ms: u64,
    /// Flights that were opened.
    pub flights: u64,
    /// Flights that serve, or served until a later one came.
    pub landed: u64,
    /// Rollouts of good releases that were judged, in runs in which the runtime showed nothing but what was.
    pub good_judged: u64,
    /// Of these, the ones that were rolled back because of their requests: the judge's false alarms.
    pub good_failed: u64,
    /// Of these, the ones that were rolled back because there were too few requests to judge.
    pub good_unjudged: u64,
    /// Rollouts of releases that surely fail too often, judged likewise.
    pub bad_judged: u64,
    /// Of these, the ones that were promoted.
    pub bad_promoted: u64,
    /// User requests that failed because of these.
    pub bad_harmed: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.lives += other.lives;
        self.ticks += other.ticks;
        self.world_ms += other.world_ms;
        self.flights += other.flights;
        self.landed += other.landed;
        self.good_judged += other.good_judged;
        self.good_failed += other.good_failed;
        self.good_unjudged += other.good_unjudged;
        self.bad_judged += other.bad_judged;
        self.bad_promoted += other.bad_promoted;
        self.bad_harmed += other.bad_harmed;
    }
}

/// How a life ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Died,
    /// It is at rest, or something broke.
    Over,
}

/// A runtime whose time passes when everything waits. Dropping it ends every task where it is, as a killed process would.
///
/// An error is the operating system's.
pub fn paused_runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()
}

/// Runs a scenario. With `telling`, the story is told. An error is the operating system's.
pub fn run(scenario: &Scenario, telling: bool) -> std::io::Result<Run> {
    run_mutant(scenario, telling, None)
}

/// Runs a scenario in a world with a defect.
pub fn run_mutant(scenario: &Scenario, telling: bool, mutant: Option<Mutant>) -> std::io::Result<Run> {
    let mut state = State::new(scenario);
    state.story = telling.then(Vec::new);
    state.mutant = mutant;
    let world = Arc::new(World::new(state));
    let mut random = Random::new(scenario.seed ^ 0x11FE);
    let mut tally = Tally::default();
    let mut deaths = scenario.deaths.iter();
    loop {
        let death = deaths.next();
        let noise = Some((scenario.noise, random.branch()));
        let fate = Fate { death: death.map(|(point, _)| *point), failure: None, noise };
        tally.lives += 1;
        if live(&world, scenario, fate, &mut tally)? == End::Over {
            break;
        }
        let dead_ms = death.map_or(0, |(_, dead_ms)| *dead_ms);
        let mut state = world.last();
        let now_ms = state.now_ms.saturating_add(dead_ms);
        state.check.disturbed = true;
        state.forget_answer();
        if state.mutant == Some(Mutant::ForgetsFact) {
            state.journal.pop();
        }
        state.pass(now_ms);
        state.tell(Kind::World, || "the process is started again".to_owned());
    }
    let mut state = world.last();
    tally.world_ms = u64::try_from(state.now_ms).unwrap_or_default();
    state.count(&mut tally);
    let story = state.story.take().unwrap_or_default();
    Ok(Run { seed: scenario.seed, broken: state.check.broken.clone(), tally, story })
}

fn live(world: &Arc<World>, scenario: &Scenario, fate: Fate, tally: &mut Tally) -> std::io::Result<End> {
    let runtime = paused_runtime()?;
    let end = runtime.block_on(async {
        let life = Arc::new(Life::new(world, fate, scenario.calm_ms));
        tokio::select! {
            biased;
            () = life.died() => End::Died,
            () = attend(world, scenario, &life, tally) => End::Over,
        }
    });
    drop(runtime);
    Ok(end)
}

/// Starts the controllers, as whoever starts the process does: again, until they come up.
async fn start(life: &Arc<Life>, scenario: &Scenario) -> Control {
    loop {
        let options = life.options(scenario.busy);
        let started = Control::start(Arc::clone(life) as _, life.ports(), Arc::clone(life) as _, options).await;
        match started {
            Ok(control) => return control,
            Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
}

/// Looks at the world at every tick, and gives people's orders, until it is at rest or something broke.
async fn attend(world: &Arc<World>, scenario: &Scenario, life: &Arc<Life>, tally: &mut Tally) {
    let control = start(life, scenario).await;
    let begin_ms = life.now_ms();
    let mut orders = scenario.orders.iter().filter(|o| o.at_ms >= begin_ms).peekable();
    let mut news = scenario.pushes.iter().filter(|p| p.announced && p.at_ms >= begin_ms).peekable();
    let mut quiet_since = None;
    loop {
        let now_ms = life.now_ms();
        if news.next_if(|push| push.at_ms <= now_ms).is_some() {
            control.commits_arrived();
        }
        if let Some(order) = orders.next_if(|o| o.at_ms <= now_ms) {
            give(world, &control, life, order).await;
            continue;
        }
        if now_ms >= scenario.calm_ms {
            approve_all(&control).await;
            merge_open(world, &control);
        }
        take_in_merges(world, &control).await;
        tally.ticks += 1;
        if look(world, scenario, &control, life.now_ms(), &mut quiet_since) {
            break;
        }
        tokio::time::sleep(scenario.busy).await;
    }
    control.shutdown().await;
}

/// Checks what must be so now; whether it is over. `quiet_since` is when nothing was left to do.
fn look(world: &World, scenario: &Scenario, control: &Control, now_ms: i64, quiet_since: &mut Option<i64>) -> bool {
    let quiet = now_ms >= scenario.calm_ms && is_quiet(world, control, now_ms);
    *quiet_since = quiet.then(|| quiet_since.unwrap_or(now_ms));
    let mut state = world.at(now_ms);
    let at_rest = control.with_fleet(|fleet| {
        state.check_tick(fleet);
        // What was appended a moment ago may still be on its way into memory; for ever it may not.
        let caught_up = state.journal.last().is_none_or(|last| last.sequence <= fleet.sequence());
        let at_rest = quiet_since.is_some_and(|since| now_ms - since > SETTLE_MS || (caught_up && state.agrees(fleet)));
        if at_rest {
            state.check_rest(fleet);
        } else if now_ms > scenario.end_ms {
            let active: Vec<_> = fleet.active().map(|f| format!("{} {:?}", f.id.short(), f.stage())).collect();
            state.broke(Invariant::Ends, format!("it does not come to rest: {}", active.join(", ")));
        }
        at_rest
    });
    at_rest || !state.check.broken.is_empty()
}

/// Whether the newest commit has flown and no flight has anything left to do.
fn is_quiet(world: &World, control: &Control, now_ms: i64) -> bool {
    let (service, head) = {
        let state = world.at(now_ms);
        (state.service.service.clone(), state.head())
    };
    control.with_fleet(|fleet| {
        fleet.active().next().is_none() && fleet.latest(&service).map(Flight::commit) == head.as_ref()
    })
}

/// Once it is calm, people let in whatever waits for them.
async fn approve_all(control: &Control) {
    let waiting: Vec<FlightId> = control.with_fleet(|fleet| {
        let waits = |f: &Flight| {
            f.service_config().is_some_and(|s| s.environments.iter().any(|e| s.approvals(e) > 0 && f.waits_at(&e.name)))
        };
        fleet.active().filter(|f| waits(f)).map(|f| f.id.clone()).collect()
    });
    for flight in waiting {
        for by in ["fay", "gil"] {
            // What it refuses was approved before, or needs nobody any more.
            let _refused = control.approve(&flight, None, by).await;
        }
    }
}

/// A person gives an order, and may go away before the answer comes.
async fn give(world: &World, control: &Control, life: &Life, order: &Order) {
    let mut random = Random::new(order.which);
    let said = match tokio::time::timeout(order.patience, obey(world, control, order, &mut random)).await {
        Ok(Ok(done)) => done,
        Ok(Err(refused)) => format!("{:?}: {refused}", order.wish),
        Err(_) => format!("{:?}: did not wait for the answer", order.wish),
    };
    world.at(life.now_ms()).tell(Kind::Person, || format!("{}: {said}", order.by));
}

async fn obey(world: &World, control: &Control, order: &Order, random: &mut Random) -> Result<String, OrderError> {
    let (flights, quarantines) = control.with_fleet(|fleet| {
        let mut flights: Vec<&FlightId> = fleet.active().map(|f| &f.id).collect();
        flights.extend(fleet.flights().map(|f| &f.id));
        let quarantines: Vec<_> = fleet.quarantines().map(|q| (q.target.clone(), q.digest.clone())).collect();
        (flights.into_iter().cloned().collect::<Vec<_>>(), quarantines)
    });
    let drawn = random.of(&flights).cloned();
    let target = drawn_target(world, random);
    match (order.wish, drawn) {
        (Wish::Lift, _) => match random.of(&quarantines) {
            Some((target, digest)) => {
                control.lift_quarantine(target, digest, order.by, "it was the network").await?;
                Ok(format!("lifts the quarantine of {} in {target}", digest.short()))
            }
            None => Ok("finds no quarantine to lift".to_owned()),
        },
        (_, None) => Ok("finds no flight".to_owned()),
        (Wish::Approve, Some(flight)) => {
            // Whoever looks at one release looks at what is proposed as well.
            if merge_open(world, control) > 0 {
                return Ok("merges what is proposed".to_owned());
            }
            control.approve(&flight, None, order.by).await?;
            Ok(format!("approves {}", flight.short()))
        }
        (Wish::Abort, Some(flight)) => {
            control.abort(&flight, order.by, "a bad feeling").await?;
            Ok(format!("aborts {}", flight.short()))
        }
        (Wish::RollBack, Some(flight)) => {
            let to = random.chance(300).then_some(flight);
            let Some(Target { environment, service }) = target else { return Ok("finds no environment".to_owned()) };
            let past = random.chance(300);
            let (left, _) = control.roll_back(&service, &environment, (to, past), order.by, "a bad feeling").await?;
            Ok(format!("takes {} back from {environment}", left.short()))
        }
    }
}

fn drawn_target(world: &World, random: &mut Random) -> Option<Target> {
    let state = world.last();
    random.of(&state.targets()).cloned()
}

impl State {
    /// Counts what came of the flights.
    fn count(&self, tally: &mut Tally) {
        let mut fleet = Fleet::default();
        for recorded in &self.journal {
            // What does not fit was found by the checks.
            let _unfit = fleet.apply(recorded);
        }
        for flight in fleet.flights() {
            tally.flights += 1;
            tally.landed += u64::from(flight.outcome == Some(Outcome::Landed));
            if self.check.misled {
                continue;
            }
            for (target, entry) in flight.entries.iter().filter(|(_, e)| judged(e.rollout.as_ref())) {
                let Some(release) = flight.release(target) else { continue };
                let character = self.character(&release.digest);
                let rules = self.service.environment(&target.environment);
                let detect = rules.map_or(1.0, |e| e.analysis.failure_share_detect.ratio());
                let cause = entry.rollout.as_ref().and_then(cause_of);
                if character.is_good() {
                    tally.good_judged += 1;
                    tally.good_failed += u64::from(matches!(cause, Some(Cause::Judged { .. })));
                    tally.good_unjudged += u64::from(matches!(cause, Some(Cause::NotJudged { .. })));
                } else if character.is_clearly_bad(detect) {
                    let promoted = matches!(entry.rollout.as_ref().map(|r| &r.phase), Some(Phase::Promoted(_)));
                    tally.bad_judged += 1;
                    tally.bad_promoted += u64::from(promoted && cause.is_none());
                    tally.bad_harmed += entry.requests.failures;
                }
            }
        }
    }
}
