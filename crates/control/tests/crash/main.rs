//! The controllers may die between any two lines, and any call may fail before or after it did its work: the flight
//! ends the same way all the same, nothing is done twice, and no failed candidate gets traffic again.
//!
//! Each story is flown once undisturbed, and then once for every point at which it can be disturbed.
#![cfg(test)]

mod panics;
mod scaling;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use prograde_control::{Control, Options};
use prograde_model::event::{Event, Outcome};
use prograde_model::fleet::Fleet;
use prograde_model::flight::Flight;
use prograde_model::ids::{CommitId, FlightId, Target, Weight};
use prograde_model::rollout::RolloutEvent;
use prograde_sim::{
    APPEND_TAKES, Character, Fate, Life, Migrating, Part, Readiness, Scenario, State, Trouble, Window, World, Wrote,
    commit, merge_open, paused_runtime, take_in_merges,
};

fn config(approvals: u32) -> String {
    format!("{CONFIG}    gate: {{ approvals: {approvals} }}\n")
}

const CONFIG: &str = "\
version: 1
service: pad
image: { artifact: pad, binary: pad }
environments:
  - name: test
    checks:
      - { get: /healthz }
  - name: production
    strategy: canary
    steps:
      - { weight: 10, bake: 2s }
      - { weight: 100, bake: 2s }
    watch: 2s
    analysis:
      wait_max: 1m
      metrics:
        - name: depth
          prometheus: { url: 'http://127.0.0.1:9090', query: 'max(depth{flight=\"{{flight}}\"})' }
          below: 100
          every: 1s
    checks:
      - { get: /healthz }
";

/// How long a life may last: far more than any story needs.
const LIFE_MAX: Duration = Duration::from_mins(10);
/// The commit that serves before, the one that flies, and one that comes later.
const BEFORE: u64 = 1;
const FLOWN: u64 = 2;
const LATER: u64 = 3;

/// A world in which nothing goes wrong by itself.
fn quiet(approvals: u32) -> State {
    State::new(&scenario(approvals))
}

fn scenario(approvals: u32) -> Scenario {
    Scenario::quiet(&config(approvals), 2, 8).unwrap()
}

fn death(point: u64) -> Fate {
    Fate { death: Some(point), ..Fate::default() }
}

fn failure(point: u64) -> Fate {
    Fate { failure: Some(point), ..Fate::default() }
}

/// How a life ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Died,
    /// Nothing more happens; so many points were passed.
    Rest(u64),
}

/// Starts the controllers on a world and lets them live until nothing more happens, or until they die. Dropping their
/// runtime ends every task where it is, as a killed process would.
fn live(world: &Arc<World>, fate: &Fate) -> End {
    let runtime = paused_runtime().unwrap();
    let end = runtime.block_on(async {
        let life = Arc::new(Life::new(world, fate.clone(), 0));
        tokio::select! {
            biased;
            () = life.died() => End::Died,
            () = rest(world, &life) => End::Rest(life.points()),
        }
    });
    drop(runtime);
    end
}

/// The controllers of a life, started.
async fn start(life: &Arc<Life>) -> Control {
    let options = Options { autoscale_period: Duration::from_secs(1), ..life.options(Duration::from_millis(250)) };
    let begin = || Control::start(Arc::clone(life) as _, life.ports(), Arc::clone(life) as _, options.clone());
    match begin().await {
        Ok(control) => control,
        // Whoever starts the process starts it again.
        Err(_) => begin().await.unwrap(),
    }
}

async fn rest(world: &World, life: &Arc<Life>) {
    let control = start(life).await;
    let head = world.last().head();
    until(world, &control, |fleet| latest(fleet) == head && fleet.active().next().is_none()).await;
    control.shutdown().await;
}

/// Waits until the fleet is as wanted.
async fn until(world: &World, control: &Control, wanted: impl Fn(&Fleet) -> bool) {
    let done = async {
        while !control.with_fleet(&wanted) {
            merge_open(world, control);
            take_in_merges(world, control).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let came = tokio::time::timeout(LIFE_MAX, done).await;
    assert!(came.is_ok(), "it does not come to that: {}", told(&world.last()));
}

/// The commit of the last flight.
fn latest(fleet: &Fleet) -> Option<CommitId> {
    fleet.latest(&"pad".parse().unwrap()).map(|f| f.commit().clone())
}

fn told(state: &State) -> String {
    let words = state.journal.iter().map(|r| format!("{} {}", r.flight.short(), r.event.encode().0));
    format!("{}\nbroken: {:#?}", words.collect::<Vec<_>>().join("\n"), state.check.broken)
}

fn target(environment: &str) -> Target {
    Target { environment: environment.parse().unwrap(), service: "pad".parse().unwrap() }
}

/// How the last flight of a story has to end.
struct Story {
    character: Character,
    /// The outcome's stored name.
    outcome: &'static str,
    /// The environments that it enters, and the ones that it is taken back from.
    entered: &'static [&'static str],
    reverted: &'static [&'static str],
    /// Whether another release serves before.
    second: bool,
    /// What it does to its data first.
    migrating: Option<Migrating>,
    /// Whether production's gate asks for a merge.
    merge: bool,
}

impl Story {
    /// The world in which the commit has just been pushed.
    fn begin(&self) -> State {
        let gate = if self.merge { "    gate: { merge: true }\n" } else { "" };
        let mut state = State::new(&Scenario::quiet(&format!("{CONFIG}{gate}"), 2, 8).unwrap());
        if self.second {
            state.push(BEFORE, Character::GOOD);
            let world = Arc::new(World::new(state));
            assert!(matches!(live(&world, &Fate::default()), End::Rest(_)));
            state = world.last().clone();
        }
        state.push_migrating(FLOWN, self.character, self.migrating);
        state
    }

    /// Flies it through all faults, one life each, and a last life without.
    fn fly(&self, begin: &State, faults: &[Fate]) -> (State, End) {
        let world = Arc::new(World::new(begin.clone()));
        let mut end = End::Died;
        for fate in faults.iter().chain([&Fate::default()]) {
            end = live(&world, fate);
            if end != End::Died {
                break;
            }
            let mut state = world.last();
            let later_ms = state.now_ms + 3_000;
            state.pass(later_ms);
        }
        let state = world.last().clone();
        self.check(&state, faults);
        (state, end)
    }

    fn check(&self, state: &State, faults: &[Fate]) {
        let context = || format!("{faults:?}\n{}", told(state));
        assert!(state.check.broken.is_empty(), "{}", context());
        let mut fleet = Fleet::default();
        for recorded in &state.journal {
            assert_eq!(fleet.apply(recorded), Ok(()), "{}", context());
        }
        let of_commit: Vec<&Flight> = fleet.flights().filter(|f| *f.commit() == commit(FLOWN)).collect();
        let [flight] = of_commit.as_slice() else { panic!("a commit is one flight: {}", context()) };
        assert_eq!(outcome(flight), Some(self.outcome), "{}", context());
        self.check_git(state, &flight.id, &context);
        for name in ["test", "production"] {
            check_agreement(state, &fleet, &target(name), &context);
        }
        let told = state.notices.iter().filter(|n| n.flight == flight.id).count();
        let news = self.outcome != "landed";
        assert!(told >= usize::from(news) && told <= (1 + faults.len()) * usize::from(news), "{told}: {}", context());
    }

    fn check_git(&self, state: &State, flight: &FlightId, context: &dyn Fn() -> String) {
        let mut commits: BTreeMap<(Wrote, String), usize> = BTreeMap::new();
        for commit in state.git.commits.iter().filter(|c| c.flight == *flight) {
            *commits.entry((commit.wrote, commit.target.environment.to_string())).or_default() += 1;
        }
        let wanted = |wrote, names: &[&str]| names.iter().map(|n| ((wrote, (*n).to_owned()), 1)).collect::<Vec<_>>();
        let both = [wanted(Wrote::Deploy, self.entered), wanted(Wrote::Revert, self.reverted)].concat();
        assert_eq!(commits, both.into_iter().collect(), "{}", context());
    }

    /// Disturbs it at every point. Returns how many there were.
    fn disturb(&self, fault: impl Fn(u64) -> Vec<Fate>) -> u64 {
        let begin = self.begin();
        let (_, End::Rest(points)) = self.fly(&begin, &[]) else { panic!("nobody killed it") };
        for point in 0..points {
            self.fly(&begin, &fault(point));
        }
        points
    }
}

fn outcome(flight: &Flight) -> Option<&'static str> {
    flight.outcome.as_ref().map(|outcome| match outcome {
        Outcome::Landed => "landed",
        Outcome::Refused { .. } => "refused",
        Outcome::Rejected { .. } => "rejected",
        Outcome::Stopped { .. } => "stopped",
        Outcome::RolledBack { .. } => "rolled back",
        Outcome::Kept { .. } => "kept",
        Outcome::Aborted { .. } => "aborted",
        Outcome::Superseded { .. } => "superseded",
    })
}

/// At rest Git, the journal and the runtime agree, and one version has all traffic or nothing runs.
fn check_agreement(state: &State, fleet: &Fleet, target: &Target, context: &dyn Fn() -> String) {
    let current = fleet.current(target).cloned();
    assert_eq!(state.git.named(target), current, "{target}: {}", context());
    let running = state.cluster.running(target);
    let wanted: Vec<_> = current.into_iter().map(|flight| (flight, Weight::ALL)).collect();
    assert_eq!(running, wanted, "{target}: {}", context());
}

const FIRST: Story = Story {
    character: Character::GOOD,
    outcome: "landed",
    entered: &["test", "production"],
    reverted: &[],
    second: false,
    migrating: None,
    merge: false,
};
const GOOD: Story = Story { second: true, ..FIRST };
const BAD: Story = Story {
    character: Character { failing: 5_000, ..Character::GOOD },
    outcome: "rolled back",
    entered: &["test", "production"],
    reverted: &["production"],
    second: true,
    migrating: None,
    merge: false,
};
const UNREADY: Story = Story {
    character: Character { readiness: Readiness::Never, ..Character::GOOD },
    entered: &["test"],
    reverted: &["test"],
    ..BAD
};
const FIRST_UNREADY: Story = Story { second: false, ..UNREADY };
const OVER_LIMIT: Story = Story { character: Character { over_limit: true, ..Character::GOOD }, ..BAD };
const UNCHECKED: Story = Story { character: Character { check_fails: true, ..Character::GOOD }, ..BAD };
const FIRST_UNCHECKED: Story = Story { second: false, ..UNCHECKED };

const MIGRATES: Migrating = Migrating { takes_ms: 2_000, fails: false, for_good: false };
const MIGRATED: Story = Story { migrating: Some(MIGRATES), ..GOOD };
const FIRST_MIGRATED: Story = Story { second: false, ..MIGRATED };
const MIGRATED_BAD: Story = Story { migrating: Some(MIGRATES), ..BAD };
const UNMIGRATED: Story = Story { migrating: Some(Migrating { fails: true, ..MIGRATES }), ..UNREADY };
const FIRST_UNMIGRATED: Story = Story { second: false, ..UNMIGRATED };

const FIRST_MERGED: Story = Story { merge: true, ..FIRST };
const MERGED: Story = Story { merge: true, ..GOOD };
const MERGED_BAD: Story = Story { merge: true, ..BAD };

const STORIES: [(&str, &Story); 16] = [
    ("first", &FIRST),
    ("good", &GOOD),
    ("bad", &BAD),
    ("over limit", &OVER_LIMIT),
    ("unready", &UNREADY),
    ("first unready", &FIRST_UNREADY),
    ("unchecked", &UNCHECKED),
    ("first unchecked", &FIRST_UNCHECKED),
    ("migrated", &MIGRATED),
    ("first migrated", &FIRST_MIGRATED),
    ("migrated, but bad", &MIGRATED_BAD),
    ("unmigrated", &UNMIGRATED),
    ("first unmigrated", &FIRST_UNMIGRATED),
    ("first merged", &FIRST_MERGED),
    ("merged", &MERGED),
    ("merged, but bad", &MERGED_BAD),
];

#[test]
fn stories_end_as_they_should() {
    for (name, story) in STORIES {
        let (state, end) = story.fly(&story.begin(), &[]);
        assert!(matches!(end, End::Rest(_)), "{name}");
        let set = state.journal.iter().filter(|r| matches!(r.event, Event::Quarantined { .. })).count();
        assert_eq!(set, story.reverted.len(), "{name}: what is taken back is in quarantine");
    }
}

/// The requests of such a canary are good: it is the metric that takes it back, and the journal says so.
#[test]
fn a_metric_takes_a_release_back() {
    let (state, _) = OVER_LIMIT.fly(&OVER_LIMIT.begin(), &[]);
    let failed = state.journal.iter().find_map(|r| {
        let Event::Rollout { event: RolloutEvent::Failed { cause, metrics, .. }, .. } = &r.event else { return None };
        Some((cause, metrics))
    });
    let (cause, metrics) = failed.unwrap();
    assert_eq!(cause.to_string(), "step 1 failed: metric depth: 512 is not below 100");
    assert_eq!((metrics[0].failed, metrics[0].value), (1, Some(512.0)));
    let (good, _) = GOOD.fly(&GOOD.begin(), &[]);
    let counts: Vec<u32> = good
        .journal
        .iter()
        .filter_map(|r| {
            let Event::Rollout { event, .. } = &r.event else { return None };
            let (RolloutEvent::StepPassed { metrics, .. } | RolloutEvent::Watched { metrics, .. }) = event else {
                return None;
            };
            Some(metrics.first()?.good)
        })
        .collect();
    // The first release has a watch, the second has two steps and one.
    assert_eq!(counts.len(), 4, "{counts:?}");
    assert!(counts.iter().all(|good| (1..=3).contains(good)), "each was measured anew: {counts:?}");
}

#[test]
fn a_death_anywhere_changes_nothing() {
    for (name, story) in STORIES {
        let points = story.disturb(|point| vec![death(point)]);
        assert!(points > 50, "{name} was disturbed at {points} points");
    }
}

#[test]
fn neither_do_two() {
    let stories =
        [("good", &GOOD), ("bad", &BAD), ("unchecked", &UNCHECKED), ("migrated", &MIGRATED), ("merged", &MERGED)];
    for (name, story) in stories {
        // The second life dies at another point each time, often before it has come as far as the first.
        let points = story.disturb(|point| vec![death(point), death(point * 7 % 41)]);
        assert!(points > 50, "{name} was disturbed at {points} points");
    }
}

#[test]
fn a_failure_anywhere_changes_nothing() {
    for (name, story) in STORIES {
        let points = story.disturb(|point| vec![failure(point)]);
        assert!(points > 50, "{name} was disturbed at {points} points");
    }
}

#[test]
fn a_part_that_is_down_for_long_is_waited_for() {
    for (after, part) in [(Part::Images, Part::Journal), (Part::Git, Part::Journal), (Part::Git, Part::Git)] {
        let mut begin = GOOD.begin();
        begin.after_work = Some((after, Trouble::Down(part), 180_000));
        let (state, _) = GOOD.fly(&begin, &[]);
        assert!(state.after_work.is_none() && state.check.disturbed, "{part} was down after {after}");
    }
}

/// A world in which a flight waits before production for one approval.
fn waiting() -> State {
    let mut state = quiet(1);
    state.push(FLOWN, Character::GOOD);
    state
}

fn at_gate(fleet: &Fleet) -> bool {
    fleet.active().any(|f| f.waits_at(&target("production").environment))
}

#[tokio::test(start_paused = true)]
async fn an_order_whose_giver_went_away_is_carried_out() {
    let world = Arc::new(World::new(waiting()));
    let control = start(&Arc::new(Life::new(&world, Fate::default(), 0))).await;
    until(&world, &control, at_gate).await;
    let flight = control.with_fleet(|fleet| fleet.active().next().unwrap().id.clone());
    let order = control.approve(&flight, None, "ann");
    assert!(tokio::time::timeout(APPEND_TAKES / 2, order).await.is_err(), "the giver does not wait for the answer");
    until(&world, &control, |fleet| fleet.active().next().is_none()).await;
    control.shutdown().await;
    FIRST.check(&world.last(), &[]);
}

#[tokio::test(start_paused = true)]
async fn a_push_is_found_without_news_of_it_while_another_flight_waits() {
    let world = Arc::new(World::new(waiting()));
    let life = Arc::new(Life::new(&world, Fate::default(), 0));
    let control = start(&life).await;
    until(&world, &control, at_gate).await;
    world.last().push(LATER, Character::GOOD);
    until(&world, &control, |fleet| latest(fleet) == Some(commit(LATER))).await;
    control.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_source_that_does_not_answer_holds_nothing_up() {
    let mut begin = FIRST_UNREADY.begin();
    begin.after_work = Some((Part::Git, Trouble::Silent(Part::Source), i64::MAX));
    let world = Arc::new(World::new(begin));
    let control = start(&Arc::new(Life::new(&world, Fate::default(), 0))).await;
    until(&world, &control, |fleet| latest(fleet) == Some(commit(FLOWN)) && fleet.active().next().is_none()).await;
    control.shutdown().await;
    let state = world.last();
    FIRST_UNREADY.check(&state, &[]);
    assert!(state.after_work.is_none());
    let flown = state.journal.last().unwrap().at.duration_since(state.journal.first().unwrap().at);
    assert!(flown.as_secs() < 15, "given up after the eight seconds that its manifests give it: {flown:?}");
}

/// A world in which one release serves and another has taken its place, and the controllers that brought it there.
async fn served_twice() -> (Arc<World>, Control) {
    let mut state = quiet(0);
    state.push(BEFORE, Character::GOOD);
    let world = Arc::new(World::new(state));
    let control = start(&Arc::new(Life::new(&world, Fate::default(), 0))).await;
    let rests = |number| move |fleet: &Fleet| latest(fleet) == Some(commit(number)) && fleet.active().next().is_none();
    until(&world, &control, rests(BEFORE)).await;
    world.last().push(FLOWN, Character::GOOD);
    until(&world, &control, rests(FLOWN)).await;
    (world, control)
}

#[tokio::test(start_paused = true)]
async fn an_order_whose_giver_went_away_while_nothing_else_happens_is_carried_out_at_once() {
    let (world, control) = served_twice().await;
    let production = target("production");
    let before = world.last().git.named(&production);
    let order = control.roll_back(&production.service, &production.environment, (None, false), "ann", "a bad feeling");
    assert!(tokio::time::timeout(APPEND_TAKES / 2, order).await.is_err(), "the giver does not wait for the answer");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(control.with_fleet(|fleet| fleet.current(&production) != before.as_ref()), "it serves no more");
    control.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_candidate_that_is_ended_while_its_manifests_are_rendered_gets_no_traffic() {
    let mut state = quiet(0);
    state.push(FLOWN, Character::GOOD);
    state.after_work = Some((Part::Git, Trouble::Slow(Part::Git, 5_000), 60_000));
    let world = Arc::new(World::new(state));
    let control = start(&Arc::new(Life::new(&world, Fate::default(), 0))).await;
    let rolls = |fleet: &Fleet| fleet.active().any(|f| f.phase(&target("test")).is_some());
    until(&world, &control, rolls).await;
    let flight = control.with_fleet(|fleet| fleet.active().next().unwrap().id.clone());
    assert_eq!(world.last().cluster.running(&target("test")), [], "it is still being rendered");
    control.abort(&flight, "ann", "a bad feeling").await.unwrap();
    until(&world, &control, |fleet| fleet.active().next().is_none()).await;
    control.shutdown().await;
    assert_eq!(world.last().check.broken, []);
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_was_down_is_brought_to_what_it_should_run_soon_after() {
    let (world, control) = served_twice().await;
    let test = target("test");
    let versions = || world.last().cluster.running(&test).len();
    world.last().push(LATER, Character { readiness: Readiness::Never, ..Character::GOOD });
    control.commits_arrived();
    until(&world, &control, |_| versions() == 2).await;
    // While the runtime sees nothing, what leaves is taken to be gone, and the flight ends before the runtime answers.
    let from_ms = world.last().now_ms;
    for trouble in [Trouble::Blind, Trouble::Down(Part::Runtime)] {
        world.last().windows.push(Window { from_ms, to_ms: from_ms + 20_000, trouble });
    }
    until(&world, &control, |fleet| fleet.active().next().is_none()).await;
    assert!(versions() == 2 && control.trouble_at(&test).is_some());
    let left_ms = from_ms + 21_000 - world.last().now_ms;
    tokio::time::sleep(Duration::from_millis(u64::try_from(left_ms).unwrap())).await;
    assert!(versions() == 1 && control.trouble_at(&test).is_none());
    control.shutdown().await;
}
