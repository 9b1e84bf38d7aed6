//! Rules, evaluated again and again: each group at a period of its own, its rules one after the other at the same time.
//!
//! What a group knows is kept in memory and told to whoever asks. Alerts that had been pending or firing before a restart
//! are found again in the series `ALERTS_FOR_STATE`.
//!
//! Source: Prometheus documentation, "Recording rules", "Alerting rules"; Prometheus 2.42, `rules/manager.go`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prograde_control::Control;
use prograde_model::{Diagnostic, Diagnostics};
use prograde_observe::evaluate::Options;
use prograde_observe::rules::alert::{self, Alerts};
use prograde_observe::rules::template::{self, External};
use prograde_observe::rules::{self, Group, Recorded, Rule, RuleError, record};
use prograde_observe::store::StoreError;
use prograde_observe::tsdb::Database;
use prograde_observe::{Append, HistogramSample, Incoming, IncomingHistogram, Labels, Sample};
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::moments::{self, Early, Moments, Turn};
use super::telling::{Posted, Receiver};
use crate::events::chain;

/// The largest file of rules, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// How many files of rules are read at most.
const FILES_MAX: usize = 1_000;

/// How a rule's last evaluation went.
#[derive(Debug, Clone, Default)]
pub(crate) struct RuleState {
    /// Its alerts; none for one that records.
    pub(crate) alerts: Alerts,
    /// The series that it wrote last.
    written: BTreeSet<Labels>,
    /// What went wrong.
    pub(crate) error: Option<String>,
    /// When it was, in milliseconds since 1970.
    pub(crate) at_ms: Option<i64>,
    /// How long it took, in seconds.
    pub(crate) took_s: f64,
}

/// A group of rules and how it goes.
#[derive(Debug)]
pub(crate) struct GroupState {
    /// The file that it is in.
    pub(crate) file: PathBuf,
    /// What is evaluated.
    pub(crate) group: Group,
    /// How often, in milliseconds.
    pub(crate) interval_ms: i64,
    states: Mutex<Vec<RuleState>>,
}

impl GroupState {
    /// A group of a file that has not been evaluated yet.
    pub(crate) fn new(file: &Path, group: Group, interval_ms: i64) -> Self {
        let states = Mutex::new(vec![RuleState::default(); group.rules.len()]);
        let interval_ms = group.interval_ms.unwrap_or(interval_ms).max(1);
        Self { file: file.to_owned(), group, interval_ms, states }
    }

    fn has_alerts(&self) -> bool {
        self.group.rules.iter().any(|rule| matches!(rule, Rule::Alerting(_)))
    }

    /// How each rule goes, in their order.
    pub(crate) fn states(&self) -> MutexGuard<'_, Vec<RuleState>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads files of rules; all that is wrong with any of them.
pub(crate) fn read(patterns: &[PathBuf], interval_ms: i64) -> Result<Vec<Arc<GroupState>>, Diagnostics> {
    let (mut groups, mut found) = (Vec::new(), Vec::new());
    for file in files(patterns, &mut found) {
        match read_file(&file) {
            Ok(of_file) => {
                let of_file = of_file.into_iter().map(|group| GroupState::new(&file, group, interval_ms));
                groups.extend(of_file.map(Arc::new));
            }
            Err(of_file) => found.extend(of_file.0),
        }
    }
    if found.is_empty() { Ok(groups) } else { Err(Diagnostics(found)) }
}

fn files(patterns: &[PathBuf], found: &mut Vec<Diagnostic>) -> Vec<PathBuf> {
    let mut files = BTreeSet::new();
    for pattern in patterns {
        match prograde_observe::scrape::discovery::expand(pattern) {
            Ok(matching) => files.extend(matching),
            Err(error) => found.push(unreadable(pattern, &error)),
        }
    }
    if files.len() > FILES_MAX {
        let message = format!("there are {} files of rules, more than the {FILES_MAX} that are read", files.len());
        found.push(Diagnostic::file(rules::CODE, "rule_files", message, "put rules into fewer files"));
        return Vec::new();
    }
    files.into_iter().collect()
}

fn read_file(file: &Path) -> Result<Vec<Group>, Diagnostics> {
    let size = std::fs::metadata(file).map_err(|error| unreadable(file, &error))?.len();
    if size > FILE_BYTES_MAX {
        let message = format!("the file has {size} bytes, more than the {FILE_BYTES_MAX} that are read");
        return Err(Diagnostic::file(rules::CODE, file.to_string_lossy(), message, "split it").into());
    }
    let text = std::fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
    rules::parse(&file.to_string_lossy(), &text)
}

fn unreadable(file: &Path, error: &std::io::Error) -> Diagnostic {
    let message = format!("the file can't be read: {error}");
    Diagnostic::file(rules::CODE, file.to_string_lossy(), message, "correct `rule_files`, or make it readable")
}

/// What evaluating needs.
#[derive(Clone)]
pub(crate) struct Evaluating {
    pub(crate) database: Arc<Database>,
    pub(crate) control: Control,
    pub(crate) external: Arc<External>,
    /// Where alerts go, if they go anywhere.
    pub(crate) receiver: Option<Receiver>,
    /// Moves with each scrape.
    pub(crate) scraped: watch::Receiver<u64>,
    pub(super) early: Arc<Early>,
    pub(crate) stop: CancellationToken,
}

/// What is done in one evaluation of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Round {
    /// Rules that record are left out: what they record is a period apart.
    alerting_only: bool,
    /// Alerts go on from where they were before the server was started. So it is up to the first regular evaluation, by when
    /// all targets have been scraped: an alert that is seen for the first time may be one of before.
    restores: bool,
}

impl Evaluating {
    /// Evaluates all groups until it is stopped.
    pub(crate) async fn run(self, groups: Vec<Arc<GroupState>>) {
        let mut tasks = JoinSet::new();
        for group in groups {
            tasks.spawn(self.clone().run_group(group));
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!("a group of rules is evaluated no more: {error}");
            }
        }
    }

    async fn run_group(self, group: Arc<GroupState>) {
        let moments = Moments::of(&group);
        let mut scraped = self.scraped.clone();
        let mut posted = Posted::default();
        let mut last_ms = moments.latest(self.control.now().as_millisecond());
        let mut regular_ms = moments.after(last_ms);
        let mut regular_is_over = false;
        let mut early_from = Instant::now();
        loop {
            let restores = !regular_is_over;
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.sleep_until(regular_ms) => {}
                turn = self.turn(&group, &mut scraped, (last_ms, early_from)), if group.has_alerts() => {
                    let at_ms = self.control.now().as_millisecond();
                    if at_ms < regular_ms && at_ms > last_ms {
                        self.evaluate_group(&group, at_ms, Round { alerting_only: true, restores }).await;
                        self.tell(&group, &mut posted).await;
                        last_ms = at_ms;
                    }
                    turn.end();
                    early_from = moments::early_from(Instant::now());
                    continue;
                }
            }
            // Where evaluating takes longer than the period, evaluations are left out, not run after each other.
            let at_ms = moments.latest(self.control.now().as_millisecond());
            if at_ms < regular_ms {
                continue;
            }
            self.evaluate_group(&group, at_ms, Round { alerting_only: false, restores }).await;
            regular_is_over = true;
            (last_ms, regular_ms) = (at_ms, moments.after(at_ms));
            self.tell(&group, &mut posted).await;
        }
    }

    /// Waits until an alert may have something to tell before the next regular evaluation: after a scrape, or when one that is
    /// pending is due. Gives a turn to evaluate it.
    async fn turn(
        &self,
        group: &GroupState,
        scraped: &mut watch::Receiver<u64>,
        (last_ms, early_from): (i64, Instant),
    ) -> Turn {
        let due_ms = moments::due_ms(group).filter(|due_ms| *due_ms > last_ms);
        let after_scrape = async {
            sleep_until(early_from).await;
            if scraped.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = after_scrape => {}
            () = self.sleep_until(due_ms.unwrap_or(i64::MAX)) => {}
        }
        self.early.turn().await
    }

    /// Waits for a time in milliseconds since 1970.
    async fn sleep_until(&self, at_ms: i64) {
        let wait_ms = at_ms.saturating_sub(self.control.now().as_millisecond());
        sleep(Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0))).await;
    }

    async fn evaluate_group(&self, group: &Arc<GroupState>, at_ms: i64, round: Round) {
        let (this, of) = (self.clone(), Arc::clone(group));
        let evaluated = spawn_blocking(move || this.evaluate(&of, at_ms, round)).await;
        if let Err(error) = evaluated {
            tracing::error!(group = group.group.name, "evaluating rules ended badly: {error}");
        }
    }

    async fn tell(&self, group: &GroupState, posted: &mut Posted) {
        if let Some(receiver) = &self.receiver {
            receiver.tell(group, posted, self.control.now().as_millisecond()).await;
        }
    }

    /// Evaluates rules of a group at one time.
    fn evaluate(&self, group: &GroupState, at_ms: i64, round: Round) {
        let deadline = Instant::now() + super::QUERY_TIMEOUT;
        let goes_on = || !self.stop.is_cancelled() && Instant::now() < deadline;
        let options = Options { goes_on: &goes_on, ..Options::default() };
        for (index, rule) in group.group.rules.iter().enumerate() {
            if self.stop.is_cancelled() {
                return;
            }
            if round.alerting_only && matches!(rule, Rule::Recording(_)) {
                continue;
            }
            let begun = Instant::now();
            let mut state = group.states().get(index).cloned().unwrap_or_default();
            let evaluated = self.evaluate_rule(&group.group, rule, &mut state, (at_ms, round), &options);
            state.error = evaluated.err().map(|error| chain(&*error));
            if let Some(error) = &state.error {
                tracing::warn!(group = group.group.name, rule = rule_name(rule), "a rule gives nothing: {error}");
            }
            (state.at_ms, state.took_s) = (Some(at_ms), begun.elapsed().as_secs_f64());
            if let Some(slot) = group.states().get_mut(index) {
                *slot = state;
            }
        }
    }

    fn evaluate_rule(
        &self,
        group: &Group,
        rule: &Rule,
        state: &mut RuleState,
        (at_ms, round): (i64, Round),
        options: &Options<'_>,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let store = &*self.database;
        let written = match rule {
            Rule::Recording(recording) => {
                let answer =
                    rules::whole_answer(&recording.expression, store, at_ms, options).map_err(RuleError::from)?;
                record::record(recording, answer, group.limit)?
            }
            Rule::Alerting(alerting) => {
                let answer = rules::answer(&alerting.expression, store, at_ms, options).map_err(RuleError::from)?;
                let context = template::Context { store, at_ms, options, external: &self.external };
                let expand = |template: &str, labels: &Labels, value: f64| {
                    template::filled(&alerting.alert, template, labels, value, &context)
                };
                let mut alerts = alert::next(alerting, &state.alerts, &answer, at_ms, group.limit, &expand)?;
                if round.restores {
                    let mut new = alerts.clone();
                    new.retain(|labels, _| !state.alerts.contains_key(labels));
                    alert::restore(alerting, &mut new, store, at_ms)?;
                    alerts.extend(new);
                }
                state.alerts = alerts;
                let series = alert::series(&state.alerts).into_iter();
                series.map(|(labels, value)| (labels, Recorded::Float(value))).collect()
            }
        };
        self.write(state, &written, at_ms)?;
        Ok(())
    }

    /// Writes what a rule gives, and that what it gave before and does not give any more has ended.
    fn write(&self, state: &mut RuleState, written: &[(Labels, Recorded)], at_ms: i64) -> Result<(), StoreError> {
        let ended = record::ended(&state.written, written);
        let markers = ended.iter().map(|labels| Incoming { labels, sample: Sample::stale(at_ms) });
        let floats = written.iter().filter_map(|(labels, recorded)| match recorded {
            Recorded::Float(value) => Some(Incoming { labels, sample: Sample { timestamp: at_ms, value: *value } }),
            Recorded::Histogram(_) => None,
        });
        let batch: Vec<Incoming<'_>> = markers.chain(floats).collect();
        let histograms: Vec<(&Labels, HistogramSample)> = written
            .iter()
            .filter_map(|(labels, recorded)| match recorded {
                Recorded::Float(_) => None,
                Recorded::Histogram(histogram) => {
                    Some((labels, HistogramSample { timestamp: at_ms, histogram: Arc::clone(histogram) }))
                }
            })
            .collect();
        let of_histograms: Vec<IncomingHistogram<'_>> =
            histograms.iter().map(|(labels, sample)| IncomingHistogram { labels, sample }).collect();
        let appended = self.database.append(&batch)?.plus(self.database.append_histograms(&of_histograms)?);
        if appended.left_out() > 0 {
            tracing::warn!(?appended, "some samples of rules were left out");
        }
        state.written = written.iter().map(|(labels, _)| labels.clone()).collect();
        Ok(())
    }
}

/// The name of what a rule makes.
pub(crate) fn rule_name(rule: &Rule) -> &str {
    match rule {
        Rule::Recording(rule) => &rule.record,
        Rule::Alerting(rule) => &rule.alert,
    }
}
