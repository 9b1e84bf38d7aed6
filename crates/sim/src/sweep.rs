//! Many seeds at once, on as many threads as are wanted. Which thread runs a seed changes nothing in it.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use prograde_model::Diagnostics;
use serde::Serialize;

use crate::pages::run_pages;
use crate::run::{Run, Tally, run};
use crate::scenario::{Scenario, Settings};

/// How many failing seeds are kept; the rest are counted.
const KEPT_MAX: usize = 20;

/// What came of many seeds.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Sweep {
    /// How many were run.
    pub seeds: u64,
    /// How many broke a promise.
    pub failed: u64,
    /// The first of these, by seed, told.
    pub failures: Vec<Run>,
    /// All together.
    pub tally: Tally,
}

/// Why seeds could not be run.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The settings can't be used.
    #[error(transparent)]
    Settings(#[from] Diagnostics),
    /// The system refuses a timer or a thread.
    #[error("the system gives no runtime")]
    System(#[from] std::io::Error),
}

/// Runs `number` seeds from `from` on. Stops early, between two seeds, when `stop` is set.
pub fn sweep(
    from: u64,
    number: u64,
    settings: &Settings,
    threads: NonZeroUsize,
    stop: &AtomicBool,
) -> Result<Sweep, SweepError> {
    let next = AtomicU64::new(0);
    let found: Mutex<Result<Sweep, SweepError>> = Mutex::new(Ok(Sweep::default()));
    std::thread::scope(|scope| {
        for _ in 0..threads.get() {
            scope.spawn(|| {
                let worked = work(from, number, settings, &next, stop);
                let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                match (worked, found.as_mut()) {
                    (Ok(part), Ok(whole)) => whole.join(part),
                    (Err(error), Ok(_)) => *found = Err(error),
                    (_, Err(_)) => {}
                }
            });
        }
    });
    let mut whole = found.into_inner().unwrap_or_else(PoisonError::into_inner)?;
    whole.failures.sort_by_key(|run| run.seed);
    whole.failures.truncate(KEPT_MAX);
    Ok(whole)
}

fn work(from: u64, number: u64, settings: &Settings, next: &AtomicU64, stop: &AtomicBool) -> Result<Sweep, SweepError> {
    let mut part = Sweep::default();
    loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        if at >= number || stop.load(Ordering::Relaxed) {
            return Ok(part);
        }
        let scenario = Scenario::draw(from.wrapping_add(at), settings)?;
        let seed = scenario.seed;
        let ran = run(&scenario, false)?;
        let paged = run_pages(seed, false)?;
        part.seeds += 1;
        part.tally.add(&ran.tally);
        part.tally.lives += paged.tally.lives;
        part.failed += u64::from(!ran.broken.is_empty() || !paged.broken.is_empty());
        // The same seed gives the same story; only now is it worth telling.
        if !ran.broken.is_empty() && part.failures.len() < KEPT_MAX {
            part.failures.push(run(&scenario, true)?);
        }
        if !paged.broken.is_empty() && part.failures.len() < KEPT_MAX {
            part.failures.push(run_pages(seed, true)?);
        }
    }
}

impl Sweep {
    fn join(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.failed += other.failed;
        self.failures.extend(other.failures);
        self.tally.add(&other.tally);
    }
}
