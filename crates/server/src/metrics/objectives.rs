//! Error budgets: read from the files of objectives, measured again and again, and what they keep out of environments.
//!
//! A budget that can't be measured once is as it was: what it held it holds on, and `prograde budget` says why.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use prograde_control::ports::{Gatekeeper, PortError};
use prograde_model::gate::Holds;
use prograde_model::metric::Found;
use prograde_model::objective::{Budget, Measured, Objective, Spending};
use prograde_model::rollout::Caution;
use prograde_model::{Diagnostic, Diagnostics, duration};
use prograde_observe::evaluate::Options;
use prograde_observe::labels::METRIC_NAME;
use prograde_observe::objective::{self, rules as generated};
use prograde_observe::store::StoreError;
use prograde_observe::tsdb::Database;
use prograde_observe::{Append as _, Incoming, Labels, Sample, Store, promql, rules};

use super::elsewhere::Elsewhere;
use super::rules::GroupState;
use crate::events::chain;

/// The largest file, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// How many files are read at most.
const FILES_MAX: usize = 1_000;
/// Where rules of objectives stand for whoever asks: in no file of the user's.
const FILE: &str = "objectives";
/// How long another server may take for a query over a month.
const ELSEWHERE_TIMEOUT: Duration = Duration::from_mins(1);
/// The code of a window that is longer than samples are kept.
const RETENTION_CODE: &str = "PG0683";

/// An objective and what is left of its budget.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) objective: Objective,
    /// What was measured last, and when.
    pub(crate) budget: Option<(Budget, Timestamp)>,
    /// Why it could not be measured at the last try.
    pub(crate) problem: Option<String>,
}

/// The budgets, for those who ask.
#[derive(Debug, Default)]
pub(crate) struct Budgets(Mutex<Vec<State>>);

/// What the files say.
#[derive(Default)]
pub(crate) struct Objectives {
    pub(crate) objectives: Vec<Objective>,
    pub(crate) groups: Vec<Arc<GroupState>>,
}

/// Reads the files that are named, and all `.yml` and `.yaml` files in the folders that are; all that is wrong with them.
pub(crate) fn read(paths: &[PathBuf], (interval_ms, retention_ms): (i64, i64)) -> Result<Objectives, Diagnostics> {
    let read = objective::read(&texts(paths)?)?;
    for notice in &read.notices {
        tracing::warn!("{notice}");
    }
    let too_long = read.objectives.iter().filter(|objective| objective.window.longest_ms() > retention_ms);
    let found: Vec<Diagnostic> = too_long.map(|objective| kept_too_short(objective, retention_ms)).collect();
    if !found.is_empty() {
        return Err(Diagnostics(found));
    }
    let groups = rules::parse(FILE, &generated::file(&read.objectives))?;
    let groups = groups.into_iter().map(|group| GroupState::new(Path::new(FILE), group, interval_ms));
    Ok(Objectives { groups: groups.map(Arc::new).collect(), objectives: read.objectives })
}

fn kept_too_short(objective: &Objective, retention_ms: i64) -> Diagnostic {
    let hours = objective.window.longest_ms() / 3_600_000 + 24;
    let message = format!(
        "{} looks back over {}, and samples are kept for {}",
        objective.id,
        objective.window,
        duration::format(retention_ms)
    );
    let hint = format!("start with `--metrics-retention {hours}h`, or write a shorter window");
    Diagnostic::file(RETENTION_CODE, FILE, message, hint)
}

/// The files with their texts.
fn texts(paths: &[PathBuf]) -> Result<Vec<(String, String)>, Diagnostics> {
    let mut files = Vec::new();
    for path in paths {
        let unreadable = |error: &std::io::Error| unusable(path, format!("it can't be read: {error}"));
        if !std::fs::metadata(path).map_err(|error| unreadable(&error))?.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut inside = Vec::new();
        for entry in std::fs::read_dir(path).map_err(|error| unreadable(&error))? {
            inside.push(entry.map_err(|error| unreadable(&error))?.path());
        }
        inside.retain(|file| file.extension().is_some_and(|ending| ending == "yml" || ending == "yaml"));
        inside.sort();
        files.extend(inside);
    }
    if files.len() > FILES_MAX {
        let message = format!("there are {} files of objectives, more than the {FILES_MAX} that are read", files.len());
        return Err(Diagnostic::file(objective::CODE, FILE, message, "put objectives into fewer files").into());
    }
    files.iter().map(|file| Ok((file.display().to_string(), text(file)?))).collect()
}

fn text(file: &Path) -> Result<String, Diagnostic> {
    let size = std::fs::metadata(file).map_err(|error| unusable(file, format!("it can't be read: {error}")))?.len();
    if size > FILE_BYTES_MAX {
        return Err(unusable(file, format!("it has {size} bytes, more than the {FILE_BYTES_MAX} that are read")));
    }
    std::fs::read_to_string(file).map_err(|error| unusable(file, format!("it can't be read: {error}")))
}

fn unusable(file: &Path, message: String) -> Diagnostic {
    Diagnostic::file(objective::CODE, file.display().to_string(), message, "correct `--objectives`, or the file")
}

impl Budgets {
    fn lock(&self) -> MutexGuard<'_, Vec<State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them.
    pub(crate) fn states(&self) -> Vec<State> {
        self.lock().clone()
    }

    /// Looks after these objectives from now on; what is known of one that stays as it was is kept.
    pub(crate) fn follow(&self, objectives: Vec<Objective>) {
        let mut states = self.lock();
        let before = std::mem::take(&mut *states);
        let state = |objective: Objective| {
            let known = before.iter().find(|state| state.objective == objective);
            known.cloned().unwrap_or(State { objective, budget: None, problem: None })
        };
        *states = objectives.into_iter().map(state).collect();
    }

    /// Measures all budgets by the embedded store.
    pub(crate) fn measure(&self, store: &dyn Store, now: Timestamp, options: &Options<'_>) {
        for objective in self.objectives() {
            let measured = Questions::of(&objective, now).and_then(|questions| {
                let answers = questions.all().map(|query| Ok((query.clone(), number(query, store, now, options)?)));
                questions.concluded(&objective, &answers.collect::<Result<_, String>>()?, now)
            });
            self.measured(&objective, measured, now);
        }
    }

    /// Measures all budgets by another server.
    pub(crate) async fn measure_elsewhere(&self, elsewhere: &Elsewhere, now: Timestamp) {
        for objective in self.objectives() {
            let measured = match Questions::of(&objective, now) {
                Ok(questions) => questions.ask(elsewhere, &objective, now).await,
                Err(why) => Err(why),
            };
            self.measured(&objective, measured, now);
        }
    }

    fn objectives(&self) -> Vec<Objective> {
        self.lock().iter().map(|state| state.objective.clone()).collect()
    }

    fn measured(&self, objective: &Objective, measured: Result<Budget, String>, now: Timestamp) {
        let mut states = self.lock();
        let Some(state) = states.iter_mut().find(|state| state.objective == *objective) else { return };
        match measured {
            Ok(budget) => (state.budget, state.problem) = (Some((budget, now)), None),
            Err(why) => {
                if state.problem.is_none() {
                    tracing::error!(objective = objective.id, "the error budget can't be measured: {why}");
                }
                state.problem = Some(why);
            }
        }
    }

    /// Writes down what is left of them.
    pub(crate) fn keep(&self, database: &Database, now: Timestamp) {
        if let Err(error) = self.write(database, now) {
            tracing::error!("what is left of error budgets could not be kept: {}", chain(&error));
        }
    }

    fn write(&self, database: &Database, now: Timestamp) -> Result<(), StoreError> {
        let timestamp = now.as_millisecond();
        let left: Vec<(Labels, Sample)> = self
            .lock()
            .iter()
            .filter_map(|state| {
                let value = state.budget.as_ref()?.0.left()?;
                Some((labels(&state.objective), Sample { timestamp, value }))
            })
            .collect();
        let batch: Vec<Incoming<'_>> =
            left.iter().map(|(labels, sample)| Incoming { labels, sample: *sample }).collect();
        database.append(&batch).map(|_| ())
    }
}

fn labels(objective: &Objective) -> Labels {
    let own = [
        (METRIC_NAME, generated::LEFT),
        ("sloth_id", objective.id.as_str()),
        ("sloth_service", objective.service.as_str()),
        ("sloth_slo", objective.name.as_str()),
    ];
    let given = objective.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    given.filter(|(name, _)| own.iter().all(|(known, _)| known != name)).chain(own).collect()
}

/// The queries that say what is left of a budget.
struct Questions {
    bad_ratio: String,
    /// With what its answer is multiplied.
    events: Option<(String, f64)>,
    over: Vec<(i64, String)>,
}

/// What they gave, by query; nothing where there is no such series, or no events.
type Answers = BTreeMap<String, Option<f64>>;

const ENDS: &str = "the calendar ends before its window does";

impl Questions {
    fn of(objective: &Objective, now: Timestamp) -> Result<Self, String> {
        let (from, _) = objective.window.at(now).ok_or(ENDS)?;
        let since_ms = now.as_millisecond().saturating_sub(from.as_millisecond()).max(1_000);
        let windows = generated::windows(objective).into_iter();
        Ok(Self {
            bad_ratio: generated::bad_ratio(objective, since_ms),
            events: generated::events(objective, since_ms),
            over: windows.map(|window_ms| (window_ms, generated::bad_ratio(objective, window_ms))).collect(),
        })
    }

    fn all(&self) -> impl Iterator<Item = &String> {
        let of_events = self.events.iter().map(|(query, _)| query);
        [&self.bad_ratio].into_iter().chain(of_events).chain(self.over.iter().map(|(_, query)| query))
    }

    async fn ask(&self, elsewhere: &Elsewhere, objective: &Objective, now: Timestamp) -> Result<Budget, String> {
        let mut answers = Answers::new();
        for query in self.all() {
            let found = elsewhere.number(query, now, ELSEWHERE_TIMEOUT).await.map_err(|error| error.to_string())?;
            let number = match found {
                Found::Value(number) => Some(number.max(0.0)),
                Found::Judged { value, .. } => value,
                Found::Nothing { .. } | Found::Infinite { .. } => None,
                Found::Error { why, .. } => return Err(why),
            };
            answers.insert(query.clone(), number);
        }
        self.concluded(objective, &answers, now)
    }

    fn concluded(&self, objective: &Objective, answers: &Answers, now: Timestamp) -> Result<Budget, String> {
        let of = |query: &String| answers.get(query).copied().flatten();
        let measured = Measured {
            bad_ratio: of(&self.bad_ratio),
            events: self.events.as_ref().and_then(|(query, factor)| Some(of(query)? * factor)),
            over: self.over.iter().map(|(window_ms, query)| (*window_ms, of(query))).collect(),
        };
        Budget::of(objective, measured, now).ok_or_else(|| ENDS.to_owned())
    }
}

/// The one number that a query gives; none where there is no such series, or no events.
fn number(query: &str, store: &dyn Store, now: Timestamp, options: &Options<'_>) -> Result<Option<f64>, String> {
    let expression = promql::parse(query).map_err(|error| error.to_string())?;
    let answer = rules::answer(&expression, store, now.as_millisecond(), options);
    match answer.map_err(|error| chain(&error))?.as_slice() {
        [] => Ok(None),
        [(_, value)] => Ok(Some(value.max(0.0)).filter(|_| value.is_finite())),
        [_, _, ..] => Err("the query gives several series: aggregate them, such as with `sum(...)`".to_owned()),
    }
}

/// Features wait where the budget is spent.
#[async_trait]
impl Gatekeeper for Budgets {
    async fn held(&self) -> Result<Holds, PortError> {
        let mut holds = Holds::default();
        for State { objective, budget, .. } in &*self.lock() {
            let is_spent = budget.as_ref().is_some_and(|(budget, _)| budget.spending() == Spending::All);
            let Some((service, environment)) = &objective.gate else { continue };
            if is_spent {
                holds.add(service.clone(), environment.clone(), objective.hold());
            }
            let left = budget.as_ref().and_then(|(budget, _)| budget.left());
            if let Some(caution) = left.and_then(|left| Caution::of(&objective.id, left)) {
                holds.slow_down(service.clone(), environment.clone(), caution);
            }
        }
        Ok(holds)
    }
}

/// How often budgets are measured, for rules that are evaluated so often: each costs a query over its whole window.
pub(crate) fn period(interval_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(interval_ms).unwrap_or(60_000)).max(Duration::from_secs(1))
}
