//! Scraping: what real targets and hostile ones lead to, and that Prometheus itself makes the same of them.

mod config;
mod hostile;
mod life;
mod peer;
pub(crate) mod site;
mod tls;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prograde_observe::scrape::config::parse;
use prograde_observe::scrape::state::{ActiveTarget, Health};
use prograde_observe::scrape::{Clock, Config, Handle, Options, run};
use prograde_observe::store::StoreError;
use prograde_observe::{Append, Appended, Incoming, Labels, Sample};

/// Keeps all that is written.
#[derive(Default)]
struct Recorder(Mutex<Vec<(Labels, Sample)>>);

impl Append for Recorder {
    fn append(&self, batch: &[Incoming<'_>]) -> Result<Appended, StoreError> {
        let mut written = self.0.lock().unwrap();
        written.extend(batch.iter().map(|one| (one.labels.clone(), one.sample)));
        Ok(Appended { kept: batch.len(), ..Appended::default() })
    }
}

impl Recorder {
    /// The last sample of each series that has a label.
    fn last(&self, name: &str, value: &str) -> BTreeMap<String, Sample> {
        let written = self.0.lock().unwrap();
        let wanted = written.iter().filter(|(labels, _)| labels.get(name) == value);
        wanted.map(|(labels, sample)| (labels.to_string(), *sample)).collect()
    }

    /// All samples of a metric, in the order in which they were written.
    fn all(&self, metric: &str) -> Vec<Sample> {
        let written = self.0.lock().unwrap();
        written.iter().filter(|(labels, _)| labels.get("__name__") == metric).map(|(_, sample)| *sample).collect()
    }
}

struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "real targets live in real time")]
    fn now_ms(&self) -> i64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        i64::try_from(since.as_millis()).unwrap()
    }
}

fn config(text: &str) -> Config {
    parse("prometheus.yml", text, Path::new("")).unwrap_or_else(|found| panic!("{found}"))
}

/// Scraping that runs, and what it has written.
struct Scraper {
    handle: Handle,
    recorder: Arc<Recorder>,
}

impl Scraper {
    async fn start(text: &str) -> Self {
        let recorder = Arc::new(Recorder::default());
        let append = Arc::clone(&recorder) as Arc<dyn Append>;
        let handle = run(Options { jobs: config(text).jobs, append, clock: Arc::new(SystemClock) }).await;
        Self { handle, recorder }
    }

    /// Tries until a condition holds.
    async fn wait<T>(&self, what: &str, condition: impl Fn(&Self) -> Option<T>) -> T {
        for _ in 0..6_000 {
            if let Some(found) = condition(self) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("not in time that {what}: {:#?}", self.handle.targets());
    }

    /// All targets, once each has been scraped.
    async fn scraped(&self) -> Vec<ActiveTarget> {
        self.wait("all targets are scraped", |this| {
            let targets = this.handle.targets().active;
            let all = !targets.is_empty() && targets.iter().all(|target| target.status.health != Health::Unknown);
            all.then_some(targets)
        })
        .await
    }
}
