//! Requests at a constant rate from a few threads, each over one connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::time::Instant;

use crate::harness::pause;

const THREADS: u32 = 4;

/// A running load.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    failed: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Sends `rate` requests a second to `url`.
    pub(crate) fn start(url: &str, rate: u32) -> Self {
        let (stop, failed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let period = Duration::from_secs(1) * THREADS / rate;
        let threads = (0..THREADS).map(|_| {
            let (stop, failed, url) = (Arc::clone(&stop), Arc::clone(&failed), url.to_owned());
            std::thread::spawn(move || send(&url, period, &stop, &failed))
        });
        Self { threads: threads.collect(), stop, failed }
    }

    /// Ends it; how many requests failed.
    pub(crate) fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().ok();
        }
        self.failed.load(Ordering::Relaxed)
    }
}

fn send(url: &str, period: Duration, stop: &AtomicBool, failed: &AtomicU64) {
    let config =
        ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(10)));
    let agent: ureq::Agent = config.build().into();
    let mut next = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let answer = agent.get(url).call().ok().and_then(|mut response| {
            let status = response.status().as_u16();
            response.body_mut().read_to_vec().ok().map(|_| status)
        });
        if answer.is_none_or(|status| status >= 500) {
            failed.fetch_add(1, Ordering::Relaxed);
        }
        next += period;
        pause(next.saturating_duration_since(Instant::now()));
    }
}
