//! Runs of runbooks as they stand, and which drills are due.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::declare::Runbook;
use super::fact::{End, Purpose, RunId, RunbookFact, Stepped};
use crate::stored::Fold;

/// The most steps of a run, those that were repeated included.
const STEPPED_MAX: usize = 1_000;
/// The longest name, title or reason, in bytes.
const LINE_BYTES_MAX: usize = 2_000;
/// The longest command and the longest output that are kept, in bytes.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its name.
    pub run: RunId,
    /// The runbook's name.
    pub runbook: String,
    /// The runbook's title.
    pub title: String,
    /// SHA-256 of the runbook's file.
    pub sha256: String,
    /// How many steps the runbook has.
    pub steps: u32,
    /// What for.
    pub purpose: Purpose,
    /// Who began it.
    pub by: String,
    /// When.
    pub begun_at: Timestamp,
    /// The steps that were gone through, and when each was over.
    pub stepped: Vec<(Timestamp, Stepped)>,
    /// When and how it ended.
    pub ended: Option<(Timestamp, End)>,
}

impl Run {
    /// Whether all of it was gone through.
    pub fn is_completed(&self) -> bool {
        matches!(self.ended, Some((_, End::Completed)))
    }
}

/// What somebody begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begin {
    /// The runbook's name.
    pub runbook: String,
    /// Its title.
    pub title: String,
    /// SHA-256 of its file, in hexadecimal digits.
    pub sha256: String,
    /// How many steps it has.
    pub steps: u32,
    /// What for.
    pub purpose: Purpose,
    /// Who.
    pub by: String,
}

/// Why a fact about a run is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunRefusal {
    /// There is no such run.
    #[error("there is no run {0}")]
    Unknown(RunId),
    /// It is over.
    #[error("{0} is over")]
    Ended(RunId),
    /// The runbook has no such step.
    #[error("{run} has {steps} steps, and no step {step}")]
    Step {
        /// The run.
        run: RunId,
        /// How many steps it has.
        steps: u32,
        /// Which was named.
        step: u32,
    },
    /// It was repeated too often.
    #[error("{0} has {STEPPED_MAX} steps already")]
    Full(RunId),
    /// Not all steps were gone through.
    #[error("{run} is not complete: step {step} was not gone through")]
    Incomplete {
        /// The run.
        run: RunId,
        /// The first that is missing.
        step: u32,
    },
    /// A text is missing or too long.
    #[error("{what} must be a text of 1 to {limit} bytes")]
    Text {
        /// Which.
        what: &'static str,
        /// How many bytes it may have.
        limit: usize,
    },
}

/// All runs: the fold of [`RunbookFact`]s.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Runs {
    runs: BTreeMap<RunId, Run>,
}

impl Fold for Runs {
    type Fact = RunbookFact;

    fn apply(&mut self, fact: &RunbookFact, at: Timestamp) {
        match fact {
            RunbookFact::Begun { run, runbook, title, sha256, steps, purpose, by } => {
                let begun = Run {
                    run: *run,
                    runbook: runbook.clone(),
                    title: title.clone(),
                    sha256: sha256.clone(),
                    steps: *steps,
                    purpose: *purpose,
                    by: by.clone(),
                    begun_at: at,
                    stepped: Vec::new(),
                    ended: None,
                };
                self.runs.insert(*run, begun);
            }
            RunbookFact::Stepped { run, stepped } => {
                if let Some(run) = self.runs.get_mut(run) {
                    run.stepped.push((at, stepped.clone()));
                }
            }
            RunbookFact::Ended { run, end, .. } => {
                if let Some(run) = self.runs.get_mut(run) {
                    run.ended = Some((at, end.clone()));
                }
            }
        }
    }
}

impl Runs {
    /// All runs, in the order in which they began.
    pub fn runs(&self) -> impl DoubleEndedIterator<Item = &Run> {
        self.runs.values()
    }

    /// One run.
    pub fn run(&self, run: RunId) -> Option<&Run> {
        self.runs.get(&run)
    }

    /// Somebody begins to go through a runbook.
    pub fn begin(&self, begin: Begin) -> Result<RunbookFact, RunRefusal> {
        check("the runbook's name", &begin.runbook, LINE_BYTES_MAX)?;
        check("the runbook's title", &begin.title, LINE_BYTES_MAX)?;
        check("the digest", &begin.sha256, 64)?;
        let last = self.runs.keys().next_back().map_or(0, |run| run.number());
        let Begin { runbook, title, sha256, steps, purpose, by } = begin;
        Ok(RunbookFact::Begun { run: RunId::new(last.saturating_add(1)), runbook, title, sha256, steps, purpose, by })
    }

    /// A step was gone through. Of what it printed the end is kept.
    pub fn step(&self, run: RunId, mut stepped: Stepped) -> Result<RunbookFact, RunRefusal> {
        let known = self.open(run)?;
        if !(1..=known.steps).contains(&stepped.step) {
            return Err(RunRefusal::Step { run, steps: known.steps, step: stepped.step });
        }
        if known.stepped.len() >= STEPPED_MAX {
            return Err(RunRefusal::Full(run));
        }
        check("the step's title", &stepped.title, LINE_BYTES_MAX)?;
        check("the command", &stepped.command, TEXT_BYTES_MAX)?;
        if stepped.output.len() > TEXT_BYTES_MAX {
            let from = stepped.output.ceil_char_boundary(stepped.output.len() - TEXT_BYTES_MAX);
            stepped.output.drain(..from);
        }
        Ok(RunbookFact::Stepped { run, stepped })
    }

    /// A run ends.
    pub fn end(&self, run: RunId, end: End, by: String) -> Result<RunbookFact, RunRefusal> {
        let known = self.open(run)?;
        match &end {
            End::Completed => {
                let is_missing = |step: &u32| !known.stepped.iter().any(|(_, stepped)| stepped.step == *step);
                if let Some(step) = (1..=known.steps).find(is_missing) {
                    return Err(RunRefusal::Incomplete { run, step });
                }
            }
            End::GivenUp { reason } => check("the reason", reason, LINE_BYTES_MAX)?,
        }
        Ok(RunbookFact::Ended { run, end, by })
    }

    fn open(&self, run: RunId) -> Result<&Run, RunRefusal> {
        let known = self.runs.get(&run).ok_or(RunRefusal::Unknown(run))?;
        if known.ended.is_some() { Err(RunRefusal::Ended(run)) } else { Ok(known) }
    }
}

fn check(what: &'static str, text: &str, limit: usize) -> Result<(), RunRefusal> {
    let is_good = !text.trim().is_empty() && text.len() <= limit;
    if is_good { Ok(()) } else { Err(RunRefusal::Text { what, limit }) }
}

/// When a runbook was last gone through, and when it is to be again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drill {
    /// The runbook's name.
    pub runbook: String,
    /// The last run that was completed; one in an incident is as good as a drill.
    pub last: Option<(RunId, Timestamp)>,
    /// When it is to be gone through again; at once where it never was.
    pub due_at: Timestamp,
    /// Whether that is past.
    pub is_due: bool,
}

/// The drills of those runbooks that have any, those that are due first.
pub fn drills<'a>(runbooks: impl IntoIterator<Item = &'a Runbook>, runs: &[Run], now: Timestamp) -> Vec<Drill> {
    let drill = |runbook: &Runbook| {
        let every = runbook.drill_every?;
        let completed = runs.iter().filter(|run| run.runbook == runbook.name && run.is_completed());
        let last = completed.filter_map(|run| Some((run.run, run.ended.as_ref()?.0))).max_by_key(|(_, at)| *at);
        let due_at = last.map_or(now, |(_, at)| at.saturating_add(every.duration()).unwrap_or(Timestamp::MAX));
        Some(Drill { runbook: runbook.name.clone(), last, due_at, is_due: due_at <= now })
    };
    let mut found: Vec<Drill> = runbooks.into_iter().filter_map(drill).collect();
    found.sort_by(|a, b| (a.due_at, &a.runbook).cmp(&(b.due_at, &b.runbook)));
    found
}
