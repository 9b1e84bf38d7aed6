//! Pages: the real paging in a world that one seed decides.
//!
//! Alerts begin and end, people are on call by turns and answer or don't, receivers fail, hang and refuse, the journal fails,
//! and the process dies between any two calls. What is promised: none is lost, none goes to a person who is not on call,
//! nobody is told once somebody has taken it, and nobody is told twice without a crash in between.

mod check;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use prograde_control::duty::Duty;
use prograde_control::paging::{Paging, PagingOptions};
use prograde_model::alert::{ALERT_NAME, Alert, Cause, Retry};
use prograde_model::oncall::page::State;
use prograde_model::oncall::{Notified, Rota};
use serde_json::json;

use crate::random::Random;
use crate::run::{Run, Tally, paused_runtime};
use crate::story::Kind;
use world::{Faults, World};

/// For how long alerts begin and end and things go wrong, in seconds.
const TROUBLED_SECS: i64 = 3_600;
/// How long it takes at most until everything is as it will be: all steps of all passes, and the longest wait for another
/// attempt.
const CALM_SECS: i64 = 3 * 3_600;

/// What happens to a group of alerts, or what a person does.
#[derive(Debug, Clone)]
enum Act {
    /// So many of its alerts fire now.
    Fire { group: u64, count: i64, cause: Cause },
    /// Somebody takes the newest page.
    Take { person: String },
    /// Somebody puts the newest page off.
    Snooze { person: String, minutes: i64 },
}

/// A story to be.
struct Plot {
    rota: Rota,
    /// When in seconds, and what.
    acts: Vec<(i64, Act)>,
    /// After how many calls each life ends, and for how long the process is dead.
    deaths: Vec<(u64, i64)>,
    faults: Faults,
}

impl Plot {
    fn draw(random: &mut Random) -> Self {
        let people = ["ann", "bob", "cem", "dan"];
        let turn = |random: &mut Random, name: &str| {
            let first = usize::try_from(random.below(4)).unwrap_or_default();
            let order: Vec<&str> = people.iter().cycle().skip(first).take(4).copied().collect();
            // Turns of an hour: somebody else is on call before a story is over.
            json!({"name": name, "time_zone": "UTC", "holes_allowed": true, "layers": [
                {"name": "hours", "from": "2026-01-05T00:30", "every": "1h", "people": order,
                 "only": if random.chance(200) { json!([{"from": "00:00", "until": "01:15"}]) } else { json!([]) }}
            ]})
        };
        let schedules = [turn(random, "primary"), turn(random, "secondary")];
        let mut steps = vec![json!({"schedules": ["primary"], "wait": format!("{}m", random.between(1, 5))})];
        if random.chance(700) {
            steps.push(json!({"schedules": ["secondary"], "wait": format!("{}m", random.between(1, 5))}));
        }
        if random.chance(300) {
            steps.push(json!({"schedules": ["primary", "secondary"], "people": ["dan"], "wait": "10m"}));
        }
        let known: BTreeMap<&str, _> = people.iter().map(|name| (*name, json!({"receiver": name}))).collect();
        let rota = serde_json::from_value(json!({
            "version": 1, "people": known, "schedules": schedules,
            "escalations": {"pad": {"steps": steps, "repeat": random.between(0, 2)}},
        }));
        let acts = Self::acts(random, people);
        let deaths = (0..random.below(4)).map(|_| (random.below(40), random.between(0, 400))).collect();
        let faults = Faults {
            passing: random.pick([0, 0, 100, 500]),
            lasting: random.pick([0, 0, 0, 50]),
            hanging: random.pick([0, 0, 50]),
            append: random.pick([0, 0, 100]),
            until_secs: TROUBLED_SECS,
        };
        // What is written here is a rota; an empty one would page nobody and break the promise that pages reach people.
        Self { rota: rota.unwrap_or_else(|_| Rota::default()), acts, deaths, faults }
    }

    fn acts(random: &mut Random, people: [&str; 4]) -> Vec<(i64, Act)> {
        let mut acts = Vec::new();
        for group in 0..random.between(1, 3).unsigned_abs() {
            let mut at = random.between(0, 600);
            let mut fires = false;
            while at < TROUBLED_SECS {
                let count = if fires && random.chance(500) { 0 } else { random.between(1, 3) };
                let cause = match (fires, count) {
                    (false, _) => Cause::First,
                    (true, 0) => Cause::Resolved,
                    (true, _) => random.pick([Cause::Changed, Cause::Repeat]),
                };
                fires = count > 0;
                acts.push((at, Act::Fire { group, count, cause }));
                at += random.between(1, 1_200);
            }
        }
        for _ in 0..random.below(4) {
            let (at, person) = (random.between(0, TROUBLED_SECS), random.pick(people).to_owned());
            let minutes = random.between(1, 30);
            let act = if random.chance(700) { Act::Take { person } } else { Act::Snooze { person, minutes } };
            acts.push((at, act));
        }
        acts.sort_by_key(|(at, _)| *at);
        acts
    }
}

/// Runs the pages of a seed. With `telling`, the story is told. An error is the operating system's.
pub fn run_pages(seed: u64, telling: bool) -> std::io::Result<Run> {
    let mut random = Random::new(seed ^ 0x9A6E);
    let plot = Plot::draw(&mut random);
    let world = Arc::new(World::new(plot.rota.clone(), plot.faults, random.branch(), telling));
    let mut deaths = plot.deaths.iter();
    let mut done = 0;
    let mut tally = Tally::default();
    loop {
        let death = deaths.next();
        tally.lives += 1;
        world.begin_life(death.map(|(calls, _)| *calls));
        let runtime = paused_runtime()?;
        let over = runtime.block_on(async {
            tokio::select! {
                biased;
                () = world.died() => false,
                () = live(&plot, &world, &mut done) => true,
            }
        });
        drop(runtime);
        if over {
            break;
        }
        world.end_life(death.map_or(0, |(_, dead)| *dead));
    }
    let (broken, story, world_ms) = world.finish();
    tally.world_ms = world_ms;
    Ok(Run { seed, broken, tally, story })
}

/// Lives through what is left of the acts, and a calm time after them.
async fn live(plot: &Plot, world: &Arc<World>, done: &mut usize) {
    let options = PagingOptions {
        duty: Duty::new(plot.rota.clone(), Arc::clone(world) as _, Arc::clone(world) as _, &[]),
        log: Arc::clone(world) as _,
        caller: Arc::clone(world) as _,
        clock: Arc::clone(world) as _,
        retry: Retry::default(),
    };
    let paging = Paging::start(options, &world.journal());
    while let Some((at, act)) = plot.acts.get(*done) {
        world.sleep_until(*at).await;
        // Whoever says it says it again until it is taken, as alerts' routing does, over deaths too.
        while !carry_out(&paging, world, act).await {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        *done += 1;
    }
    world.sleep_until(TROUBLED_SECS + CALM_SECS).await;
    let open = paging.with_desk(|desk| {
        let pages =
            desk.pages().map(|(page, entry)| (page, entry.page.state.clone(), entry.page.outstanding().count()));
        pages.collect::<Vec<_>>()
    });
    for (page, state, outstanding) in open.await {
        let rests = match &state {
            State::At { .. } | State::Deferred { .. } | State::Snoozed { .. } => false,
            State::Exhausted | State::Acknowledged { .. } | State::Resolved => outstanding == 0,
        };
        world.demand(rests, || format!("{page} is {state:?} in the end, and {outstanding} people wait to be told"));
    }
    world.check_groups(&last_words(plot));
    paging.shutdown().await;
}

/// Whether a group fires in the end.
fn last_words(plot: &Plot) -> BTreeMap<String, bool> {
    let mut last = BTreeMap::new();
    for (_, act) in &plot.acts {
        if let Act::Fire { group, count, .. } = act {
            last.insert(key(*group), *count > 0);
        }
    }
    last
}

fn key(group: u64) -> String {
    format!("{{}}:{{group=\"{group}\"}}")
}

/// Whether it was taken; what does not fit any more is.
async fn carry_out(paging: &Paging, world: &World, act: &Act) -> bool {
    use prograde_control::paging::PageOrderError;
    world.tell(Kind::World, || format!("{act:?}"));
    let newest = paging.with_desk(|desk| desk.pages().next_back().map(|(page, _)| page)).await;
    let answered = match act {
        Act::Fire { group, count, cause } => {
            let now = world.time();
            let alert = |n: i64| Alert {
                labels: [(ALERT_NAME, "Slow"), ("n", &n.to_string())].into_iter().collect(),
                annotations: BTreeMap::new(),
                starts_at: now,
                ends_at: now.saturating_add(SignedDuration::from_mins(5)).unwrap_or(now),
                timeout: true,
                updated_at: now,
                generator_url: String::new(),
            };
            let firing = (0..*count).map(alert).collect();
            let said = Notified { escalation: "pad".to_owned(), group: key(*group), firing, cause: *cause };
            return paging.notified(&said).await.is_ok();
        }
        Act::Take { person } => match newest {
            Some(page) => paging.answer(page, |page, _| page.acknowledge(person)).await,
            None => return true,
        },
        Act::Snooze { person, minutes } => match newest {
            Some(page) => {
                let until = world.time().saturating_add(SignedDuration::from_mins(*minutes));
                let until = until.unwrap_or(world.time());
                paging.answer(page, |page, now| page.snooze(person, until, now)).await
            }
            None => return true,
        },
    };
    !matches!(answered, Err(PageOrderError::Record(_)))
}
