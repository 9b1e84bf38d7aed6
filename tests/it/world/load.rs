//! Users of a service: requests at a steady rate over a few kept connections, each answer counted as what it is.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::http::Connection;
use super::wait::{now, pause};

/// Connections that are used side by side.
const CONNECTIONS: u32 = 4;
/// How many failures are kept with their text.
const TEXTS_MAX: usize = 10;

/// What one version of the service answered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answers {
    /// With status 200.
    pub(crate) good: u64,
    /// With another status.
    pub(crate) bad: u64,
    /// By which processes.
    pub(crate) pids: BTreeSet<u32>,
}

/// What came of all requests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    versions: BTreeMap<String, Answers>,
    /// Answered by something other than the service, and the first texts.
    pub(crate) foreign: (u64, Vec<String>),
    /// Not answered, and the first reasons.
    pub(crate) lost: (u64, Vec<String>),
}

impl Tally {
    /// The answers of the version that greets so.
    pub(crate) fn of(&self, greeting: &str) -> Answers {
        self.versions.get(greeting).cloned().unwrap_or_default()
    }

    /// Requests that users would complain about.
    pub(crate) fn failed(&self) -> u64 {
        self.foreign.0 + self.lost.0 + self.versions.values().map(|answers| answers.bad).sum::<u64>()
    }

    /// All requests.
    pub(crate) fn all(&self) -> u64 {
        self.failed() + self.versions.values().map(|answers| answers.good).sum::<u64>()
    }

    fn count(&mut self, answer: io::Result<(u16, String)>) {
        let (list, text) = match answer {
            Ok((status, body)) => {
                if let Some((greeting, pid)) = whoami(&body) {
                    let answers = self.versions.entry(greeting).or_default();
                    *(if status == 200 { &mut answers.good } else { &mut answers.bad }) += 1;
                    answers.pids.insert(pid);
                    return;
                }
                (&mut self.foreign, format!("{status} {body}"))
            }
            Err(error) => (&mut self.lost, error.to_string()),
        };
        list.0 += 1;
        if list.1.len() < TEXTS_MAX {
            list.1.push(text);
        }
    }
}

/// What the service says of itself: its greeting and its process.
pub(crate) fn whoami(body: &str) -> Option<(String, u32)> {
    let (greeting, pid) = body.trim().split_once(' ')?;
    Some((greeting.to_owned(), pid.parse().ok()?))
}

/// Users, until it is dropped.
pub(crate) struct Load {
    tally: Arc<Mutex<Tally>>,
    stop: Arc<AtomicBool>,
    users: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts to ask for `/`, `rate` times a second.
    pub(crate) fn start(address: SocketAddr, rate: u32) -> Self {
        let (tally, stop) = (Arc::<Mutex<Tally>>::default(), Arc::<AtomicBool>::default());
        let users = (0..CONNECTIONS).map(|_| {
            let (tally, stop) = (Arc::clone(&tally), Arc::clone(&stop));
            std::thread::spawn(move || ask(address, Duration::from_secs(1) * CONNECTIONS / rate, &tally, &stop))
        });
        Self { users: users.collect(), tally, stop }
    }

    /// What came so far.
    pub(crate) fn tally(&self) -> Tally {
        self.tally.lock().unwrap().clone()
    }

    /// Sends no more and tells what came of all.
    pub(crate) fn stop(mut self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        for user in self.users.drain(..) {
            user.join().unwrap();
        }
        self.tally()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn ask(address: SocketAddr, period: Duration, tally: &Mutex<Tally>, stop: &AtomicBool) {
    let mut due = now();
    let mut kept: Option<Connection> = None;
    while !stop.load(Ordering::Relaxed) {
        let connection = kept.take().map_or_else(|| Connection::open(address), Ok);
        let answer = connection.and_then(|mut connection| {
            let (status, body, stays) = connection.get("/")?;
            kept = stays.then_some(connection);
            Ok((status, body))
        });
        tally.lock().unwrap().count(answer);
        // A user that is late goes on from here instead of catching up.
        due = (due + period).max(now());
        pause(due.saturating_duration_since(now()));
    }
}
