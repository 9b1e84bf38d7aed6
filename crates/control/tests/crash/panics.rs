//! A calculation that panics stops the rollout that it happened in, at its weights, tells people, and nothing else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use prograde_control::ports::{Notice, Notifier, PortError, ReplicaUse, RunVersion, Runtime};
use prograde_control::{Control, Options};
use prograde_model::ids::{FlightId, Target};
use prograde_model::runtime::{Observation, Routing};
use prograde_sim::{Character, Fate, Life, World, commit};
use tokio::sync::watch;

use super::{BEFORE, FLOWN, LATER, latest, quiet, target, until};

/// A runtime at which looking at production panics while it is armed, and somebody who hears what people are told.
struct Panicking {
    life: Arc<Life>,
    armed: AtomicBool,
    heard: Mutex<Vec<String>>,
}

#[async_trait]
impl Runtime for Panicking {
    async fn apply(&self, target: &Target, versions: Vec<RunVersion>, routing: Routing) -> Result<(), PortError> {
        self.life.apply(target, versions, routing).await
    }

    fn observe(&self, target: &Target) -> Observation {
        let armed = self.armed.load(Ordering::SeqCst) && target.environment.as_str() == "production";
        assert!(!armed, "a count below zero");
        self.life.observe(target)
    }

    async fn usage(&self, target: &Target) -> Vec<ReplicaUse> {
        self.life.usage(target).await
    }

    fn addresses(&self, target: &Target) -> Vec<(Option<String>, std::net::SocketAddr)> {
        self.life.addresses(target)
    }

    fn version_addresses(&self, target: &Target, version: &FlightId) -> Vec<std::net::SocketAddr> {
        self.life.version_addresses(target, version)
    }

    fn changed(&self) -> watch::Receiver<u64> {
        Runtime::changed(&*self.life)
    }
}

#[async_trait]
impl Notifier for Panicking {
    async fn notify(&self, notice: &Notice) -> Vec<(String, Result<(), String>)> {
        self.heard.lock().unwrap().push(notice.text.clone());
        vec![("log".into(), Ok(()))]
    }
}

async fn start(world: &Arc<World>) -> (Arc<Panicking>, Control) {
    let life = Arc::new(Life::new(world, Fate::default(), 0));
    let panicking =
        Arc::new(Panicking { life: Arc::clone(&life), armed: AtomicBool::new(false), heard: Mutex::default() });
    let mut ports = life.ports();
    (ports.runtime, ports.notifier) = (Arc::clone(&panicking) as _, Arc::clone(&panicking) as _);
    let options = Options {
        autoscale_period: std::time::Duration::from_secs(1),
        ..life.options(std::time::Duration::from_millis(250))
    };
    let control = Control::start(Arc::clone(&life) as _, ports, life, options).await.unwrap();
    (panicking, control)
}

#[tokio::test(start_paused = true)]
async fn a_panic_holds_one_rollout_at_its_weights_tells_people_once_and_an_order_ends_it() {
    let mut state = quiet(0);
    state.workload.autoscaling = Some(super::scaling::spec());
    state.push(BEFORE, Character::GOOD);
    let world = Arc::new(World::new(state));
    let (panicking, control) = start(&world).await;
    until(&world, &control, |fleet| latest(fleet) == Some(commit(BEFORE)) && fleet.active().next().is_none()).await;
    world.last().push(FLOWN, Character::GOOD);
    let running = || world.last().cluster.replicas(&target("production"));
    while running().len() < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let before = running();

    panicking.armed.store(true, Ordering::SeqCst);
    tokio::time::sleep(std::time::Duration::from_mins(2)).await;
    assert_eq!(running(), before, "what ran still runs, and nothing else");
    let heard = panicking.heard.lock().unwrap().clone();
    let flown = commit(FLOWN);
    let of = |text: &str| heard.iter().filter(|heard| heard.contains(text)).count();
    assert_eq!(of(&format!("pad {} stays as it is", flown.short())), 1, "{heard:#?}");
    for part in ["what runs stays as it is", "the number of replicas stays as it is"] {
        assert_eq!(
            of(&format!("production/pad: {part}, because deciding on it failed: a count below")),
            1,
            "{heard:#?}"
        );
    }

    // The others go on: a later commit is built and waits in the first environment's turn.
    world.last().push(LATER, Character::GOOD);
    until(&world, &control, |fleet| latest(fleet) == Some(commit(LATER))).await;

    panicking.armed.store(false, Ordering::SeqCst);
    let flight =
        control.with_fleet(|fleet| fleet.flights().find(|f| *f.commit() == flown).map(|f| f.id.clone())).unwrap();
    control.abort(&flight, "ann", "it hangs").await.unwrap();
    until(&world, &control, |fleet| fleet.active().next().is_none()).await;
    let serves = control.with_fleet(|fleet| {
        fleet.current(&target("production")).and_then(|id| fleet.flight(id)).map(|f| f.commit().clone())
    });
    assert_eq!(serves, Some(commit(LATER)));
    assert!(world.last().check.broken.is_empty(), "{}", super::told(&world.last()));
    control.shutdown().await;
}
