//! What a seed chooses: the service's settings, the releases, the traffic, what people order, and what goes wrong.
//! Nothing is drawn later but by the world itself, so that a scenario can be read and written by hand.

use std::fmt::Write as _;
use std::time::Duration;

use prograde_control::config;
use prograde_model::Diagnostics;
use prograde_model::autoscale::{Autoscaling, Metric, ScalingRules, Target as Wanted};
use prograde_model::service::{Service, StrategyName};

use crate::character::Character;
use crate::random::Random;
use crate::trouble::{Part, Trouble, Window};
use crate::world::{Closing, Migrating};

/// A commit that arrives.
#[derive(Debug, Clone, Copy)]
pub struct Push {
    /// When, in milliseconds.
    pub at_ms: i64,
    /// Its number; its name is made of it.
    pub commit: u64,
    /// The number of the image that is made of it; a commit that undoes another gives an earlier image again.
    pub image: u64,
    /// What that is like.
    pub character: Character,
    /// What it does to its data before it runs, if anything.
    pub migrating: Option<Migrating>,
    /// Whether the controllers are told; else they find it when they look.
    pub announced: bool,
    /// Whether its message says that it is a fix.
    pub fix: bool,
}

/// What a person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Let a flight in.
    Approve,
    /// End a flight where it is.
    Abort,
    /// Take back what serves or is on its way.
    RollBack,
    /// Let a digest in again.
    Lift,
}

/// A wish and its moment.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    /// When, in milliseconds.
    pub at_ms: i64,
    /// What.
    pub wish: Wish,
    /// Who.
    pub by: &'static str,
    /// Draws which flight, environment or digest.
    pub which: u64,
    /// How long the person waits for the answer.
    pub patience: Duration,
}

/// How often, in a million calls, a call fails or is late. Every call has two such moments: before and after its work.
#[derive(Debug, Clone, Copy, Default)]
pub struct Noise {
    /// The answer is lost.
    pub lost: u64,
    /// It takes up to [`Noise::late_ms`] longer.
    pub late: u64,
    /// The longest delay.
    pub late_ms: i64,
}

/// A whole run, before it happens.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The number that it came from.
    pub seed: u64,
    /// The text of `prograde.yaml`.
    pub config: String,
    /// What it says.
    pub service: Service,
    /// `spec.replicas` of the manifests.
    pub replicas: u32,
    /// The `HorizontalPodAutoscaler` of the manifests, if there is one.
    pub autoscaling: Option<Autoscaling>,
    /// `spec.progressDeadlineSeconds` of the manifests.
    pub progress_deadline_s: u32,
    /// The commits.
    pub pushes: Vec<Push>,
    /// From when on how many requests arrive a second.
    pub traffic: Vec<(i64, i64)>,
    /// What people order, in time.
    pub orders: Vec<Order>,
    /// What goes wrong, and when.
    pub windows: Vec<Window>,
    /// When releases are kept out.
    pub closings: Vec<Closing>,
    /// How single calls go wrong.
    pub noise: Noise,
    /// After how many calls each life ends, and how long nobody lives then, in milliseconds.
    pub deaths: Vec<(u64, i64)>,
    /// How often the controllers look while something goes on.
    pub busy: Duration,
    /// From when on nothing goes wrong any more, in milliseconds.
    pub calm_ms: i64,
    /// When everything must be at rest, in milliseconds.
    pub end_ms: i64,
}

/// What the user decides instead of the seed.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The text of a `prograde.yaml`.
    pub config: Option<String>,
    /// How many requests arrive a second; else it changes.
    pub rate: Option<u32>,
}

const PEOPLE: [&str; 3] = ["ann", "bob", "eve"];

impl Scenario {
    /// The scenario of a seed. An error says what is wrong with the user's `prograde.yaml`.
    pub fn draw(seed: u64, settings: &Settings) -> Result<Self, Diagnostics> {
        let mut random = Random::new(seed);
        // From a number of its own, so that what is added here changes no other draw.
        let drawn = grouped(&service_text(&mut random.branch()), &mut Random::new(seed ^ 0x6772_6f75_7073));
        let drawn = merged(drawn, &mut Random::new(seed ^ 0x6d65_7267_6564));
        let config = settings.config.clone().unwrap_or(drawn);
        let service = config::read(&config)?;
        let (unit_ms, wait_ms) = lengths(&service);
        let calm_ms = random.between(unit_ms / 2, unit_ms * 3);
        let own = settings.config.is_none();
        let progress_deadline_s = if own { random.pick([8, 15, 30]) } else { 600 };
        let mut pushes = pushes(&mut random.branch(), unit_ms, calm_ms);
        if own {
            // From a stream of its own, as it came later than the others.
            migrations(&mut Random::new(seed ^ 0x0513_A7E0), &mut pushes);
        }
        let closings = closings(&mut Random::new(seed ^ 0x401D_401D_401D), calm_ms, &mut pushes);
        let windows = windows(&mut random.branch(), unit_ms, calm_ms);
        let wrong_ms: i64 = windows.iter().map(|w| if let Trouble::Clock(ms) = w.trouble { ms.abs() } else { 0 }).sum();
        let flight_ms = unit_ms + wait_ms + 4_000 * i64::from(progress_deadline_s) + 600_000;
        let flights = i64::try_from(pushes.len()).unwrap_or(i64::MAX).saturating_add(1);
        let busy_ms = if wrong_ms > 600_000 { 5_000 } else { random.pick([250, 500, 500, 1_000]) };
        Ok(Self {
            seed,
            replicas: random.pick([1, 2, 3, 4, 6]),
            // From a stream of its own, as it came later than the others.
            autoscaling: if own { autoscaling(&mut Random::new(seed ^ 0x5CA1_E000_5CA1_E000)) } else { None },
            progress_deadline_s,
            traffic: traffic(&mut random.branch(), settings.rate, calm_ms),
            orders: orders(&mut random.branch(), calm_ms),
            noise: noise(&mut random.branch()),
            deaths: deaths(&mut random.branch()),
            busy: Duration::from_millis(u64::try_from(busy_ms.max(unit_ms / 400)).unwrap_or(500)),
            // While the controllers' time waits for the clock to catch up it goes a tenth slower.
            end_ms: calm_ms + flight_ms * flights * 10 / 9,
            calm_ms,
            pushes,
            windows,
            closings,
            config,
            service,
        })
    }

    /// A scenario in which nothing happens but what is added to it.
    pub fn quiet(config: &str, replicas: u32, progress_deadline_s: u32) -> Result<Self, Diagnostics> {
        Ok(Self {
            seed: 0,
            service: config::read(config)?,
            config: config.to_owned(),
            replicas,
            autoscaling: None,
            progress_deadline_s,
            pushes: Vec::new(),
            traffic: vec![(0, 1_000)],
            orders: Vec::new(),
            windows: Vec::new(),
            closings: Vec::new(),
            noise: Noise::default(),
            deaths: Vec::new(),
            busy: Duration::from_millis(250),
            calm_ms: 0,
            end_ms: i64::MAX,
        })
    }

    pub(crate) fn busy_ms(&self) -> i64 {
        i64::try_from(self.busy.as_millis()).unwrap_or(i64::MAX)
    }
}

/// How long one way through all environments takes at least, and how long its steps may be held, in milliseconds.
fn lengths(service: &Service) -> (i64, i64) {
    let ms =
        |period: prograde_model::quantity::Period| i64::try_from(period.duration().as_millis()).unwrap_or(i64::MAX);
    let (mut unit, mut wait) = (8_000_i64, 0_i64);
    // The services of a group follow one another.
    let members = service.members();
    for environment in members.iter().flat_map(|_| &service.environments) {
        let steps = match environment.strategy {
            StrategyName::Canary => environment.canary_steps().iter().map(|step| ms(step.bake)).collect(),
            StrategyName::BlueGreen => [environment.preview, environment.keep].map(|p| p.map_or(300_000, ms)).to_vec(),
            StrategyName::Recreate | StrategyName::Rolling => Vec::new(),
        };
        let watch = environment.watch().map_or(0, |watch| ms(watch.period));
        unit = steps.iter().fold(unit.saturating_add(watch), |sum, step| sum.saturating_add(*step));
        let held = i64::try_from(steps.len()).unwrap_or(i64::MAX);
        wait = wait.saturating_add(held.saturating_mul(ms(environment.analysis.wait_max)));
    }
    (unit.min(1 << 40), wait.min(1 << 40))
}

fn service_text(random: &mut Random) -> String {
    let mut text = format!("version: 1\nservice: pad\n{ALONE}environments:\n");
    let names: &[&str] = match random.below(4) {
        0 => &["production"],
        3 => &["test", "staging", "production"],
        _ => &["test", "production"],
    };
    for name in names {
        let last = *name == "production";
        let _infallible = writeln!(text, "  - name: {name}");
        match random.below(100) {
            0..60 if last => canary_text(random, &mut text),
            0..15 => canary_text(random, &mut text),
            60..75 => blue_green_text(random, &mut text),
            75..82 => text.push_str("    strategy: recreate\n"),
            _ => text.push_str("    strategy: rolling\n"),
        }
        if last && random.chance(300) {
            let _infallible = writeln!(text, "    gate: {{ approvals: {} }}", random.between(1, 2));
        }
        if random.chance(400) {
            text.push_str("    checks: [{ get: /healthz }]\n");
        }
    }
    text
}

/// A service that flies by itself, and a group of two or three.
const ALONE: &str = "image: { artifact: pad, binary: pad }\n";
const GROUP: &str = "services:
  - { name: web, after: [api], image: { artifact: web, binary: web } }
  - { name: api, image: { artifact: api, binary: api } }
";
const THIRD: &str = "  - { name: mail, after: [web, api], image: { artifact: mail, binary: mail } }\n";

/// Now and then several services fly together.
fn grouped(text: &str, random: &mut Random) -> String {
    match random.below(100) {
        0..8 => text.replace(ALONE, GROUP),
        8..12 => text.replace(ALONE, &format!("{GROUP}{THIRD}")),
        _ => text.to_owned(),
    }
}

/// Now and then what comes into the last environment is merged by a person; a group is not proposed.
fn merged(text: String, random: &mut Random) -> String {
    if !random.chance(120) || text.contains("services:") {
        return text;
    }
    if text.contains("gate: {") {
        text.replace("gate: {", "gate: { merge: true,")
    } else {
        format!("{text}    gate: {{ merge: true }}\n")
    }
}

fn canary_text(random: &mut Random, text: &mut String) {
    text.push_str("    strategy: canary\n    steps:\n");
    if random.chance(150) {
        let share = random.pick([5, 50, 100]);
        let _infallible = writeln!(text, "      - {{ mirror: {share}, bake: {}s }}", random.between(1, 8));
    }
    let weights: &[u8] = random.pick([&[100][..], &[10, 100], &[5, 100], &[1, 10, 100], &[25, 50, 75, 100]]);
    for weight in weights {
        let _infallible = writeln!(text, "      - {{ weight: {weight}, bake: {}s }}", random.between(1, 8));
    }
    if random.chance(150) {
        text.push_str("    audience: { header: x-beta, value: \"1\" }\n");
    }
    if random.chance(150) {
        text.push_str("    stick_to: { cookie: user }\n");
    }
    analysis_text(random, text);
}

fn blue_green_text(random: &mut Random, text: &mut String) {
    let (preview, keep) = (random.between(0, 4), random.between(1, 8));
    let _infallible = writeln!(text, "    strategy: blue-green\n    preview: {preview}s\n    keep: {keep}s");
    analysis_text(random, text);
}

fn analysis_text(random: &mut Random, text: &mut String) {
    let detect = random.pick(["5%", "5%", "3%", "20%"]);
    let (wait, undecided) = (random.between(5, 40), random.pick(["extend", "extend", "extend", "ask"]));
    let analysis = format!("failure_share_detect: {detect}, wait_max: {wait}s, undecided: {undecided}");
    let _infallible = writeln!(text, "    watch: {}s\n    analysis: {{ {analysis} }}", random.pick([0, 3, 8]));
}

fn pushes(random: &mut Random, unit_ms: i64, calm_ms: i64) -> Vec<Push> {
    let mut pushes: Vec<Push> = Vec::new();
    let mut at_ms = 0;
    for number in 1..=random.pick([1, 2, 3, 4, 4, 5, 6]) {
        let (image, character) = match random.of(&pushes) {
            Some(earlier) if random.chance(120) => (earlier.image, earlier.character),
            // Something good serves first, as a rule, so that there is something to compare with.
            None if random.chance(800) => {
                (number, Character { start_ms: random.between(50, 3_000), ..Character::GOOD })
            }
            Some(_) | None => (number, Character::draw(random, unit_ms)),
        };
        let announced = random.chance(800);
        pushes.push(Push { at_ms, commit: number, image, character, migrating: None, announced, fix: false });
        at_ms = (at_ms + random.pick([500, unit_ms / 2, unit_ms, unit_ms * 2])).min(calm_ms);
        at_ms += i64::try_from(number).unwrap_or_default();
    }
    pushes
}

/// In some worlds, most releases do something to their data first.
fn migrations(random: &mut Random, pushes: &mut [Push]) {
    if !random.chance(300) {
        return;
    }
    for push in pushes.iter_mut() {
        let migrating = Migrating {
            takes_ms: random.pick([0, 200, 2_000, 8_000, 20_000]),
            fails: random.chance(200),
            for_good: random.chance(350),
        };
        push.migrating = random.chance(600).then_some(migrating);
    }
}

/// In some worlds releases are kept out for a while, and some are fixes.
fn closings(random: &mut Random, calm_ms: i64, pushes: &mut [Push]) -> Vec<Closing> {
    if !random.chance(250) {
        return Vec::new();
    }
    for push in pushes.iter_mut() {
        push.fix = random.chance(300);
    }
    let closing = |random: &mut Random| {
        let (a, b) = (random.between(0, calm_ms), random.between(0, calm_ms));
        Closing {
            from_ms: a.min(b),
            to_ms: a.max(b),
            fixes_pass: random.chance(700),
            last_only: random.chance(500),
            unknown: random.chance(200),
        }
    };
    (0..random.between(1, 4)).map(|_| closing(random)).collect()
}

/// By the requests that a replica answers, in windows that are short beside a rollout or long.
fn autoscaling(random: &mut Random) -> Option<Autoscaling> {
    if !random.chance(150) {
        return None;
    }
    let requests_milli = random.pick([5_000, 50_000, 400_000]);
    let window_s = random.pick([0, 20, 60]);
    Some(Autoscaling {
        min_replicas: random.pick([1, 2]),
        max_replicas: random.pick([3, 8, 20]),
        metrics: vec![Metric::Requests(Wanted::Average(requests_milli))],
        scale_up: ScalingRules::up(),
        scale_down: ScalingRules { stabilization_s: window_s, ..ScalingRules::down() },
    })
}

fn traffic(random: &mut Random, rate: Option<u32>, calm_ms: i64) -> Vec<(i64, i64)> {
    if let Some(rate) = rate {
        return vec![(0, i64::from(rate))];
    }
    let base = random.pick([5, 50, 300, 2_000]);
    let mut traffic = vec![(0, base)];
    for _ in 0..random.below(4) {
        let from_ms = random.between(0, calm_ms);
        traffic.push((from_ms, random.pick([0, base / 5, base, base * 10])));
    }
    // The end is as busy as the beginning: a service to which nobody comes can't be judged.
    traffic.push((calm_ms, base.max(50)));
    traffic.sort_unstable();
    traffic
}

fn orders(random: &mut Random, calm_ms: i64) -> Vec<Order> {
    let number = random.pick([0, 0, 0, 1, 2, 4]);
    let mut orders: Vec<Order> = (0..number)
        .map(|_| Order {
            at_ms: random.between(0, calm_ms),
            wish: random.pick([Wish::Approve, Wish::Approve, Wish::Abort, Wish::RollBack, Wish::RollBack, Wish::Lift]),
            by: random.pick(PEOPLE),
            which: random.bits(),
            patience: Duration::from_millis(random.pick([1, 5, 30_000, 30_000])),
        })
        .collect();
    orders.sort_by_key(|o| o.at_ms);
    orders
}

fn windows(random: &mut Random, unit_ms: i64, calm_ms: i64) -> Vec<Window> {
    let number = random.pick([0, 0, 1, 2, 3, 5]);
    let windows = (0..number).map(|_| {
        let from_ms = random.between(1, calm_ms - 1);
        let lasts_ms = random.between(100, unit_ms);
        let trouble = trouble(random);
        let at_once = matches!(trouble, Trouble::CountersReset | Trouble::ReplicaCrash);
        let to_ms = if at_once { from_ms + 1 } else { (from_ms + lasts_ms).min(calm_ms) };
        Window { from_ms, to_ms, trouble }
    });
    windows.collect()
}

fn trouble(random: &mut Random) -> Trouble {
    let part = random.pick([
        Part::Journal,
        Part::Source,
        Part::Pipelines,
        Part::Images,
        Part::Git,
        Part::Runtime,
        Part::Runtime,
        Part::Prober,
        Part::Notifier,
    ]);
    match random.below(100) {
        0..25 => Trouble::Down(part),
        25..35 if part != Part::Journal => Trouble::Silent(part),
        25..45 => Trouble::Slow(part, random.between(100, 8_000)),
        45..53 => Trouble::Blind,
        53..61 => Trouble::Stale,
        61..67 => Trouble::HidesFailures,
        67..73 => Trouble::InventsFailures,
        73..80 => Trouble::CountersReset,
        80..90 => Trouble::ReplicaCrash,
        90..98 => Trouble::Clock(random.between(-20_000, 20_000)),
        _ => Trouble::Clock(random.between(-3 * 3_600_000, 3 * 3_600_000)),
    }
}

fn noise(random: &mut Random) -> Noise {
    match random.below(3) {
        0 => Noise::default(),
        1 => Noise { lost: random.pick([1_000, 10_000, 50_000]), ..Noise::default() },
        _ => Noise {
            lost: random.pick([0, 10_000]),
            late: random.pick([10_000, 100_000]),
            late_ms: random.between(10, 5_000),
        },
    }
}

fn deaths(random: &mut Random) -> Vec<(u64, i64)> {
    let number = random.pick([0, 1, 1, 2, 3, 4]);
    let death = |random: &mut Random| {
        let most = random.pick([20, 80, 160, 400]);
        (random.below(most), random.pick([50, 1_000, 5_000, 40_000]))
    };
    (0..number).map(|_| death(random)).collect()
}
