//! Cells of the tables: a kind of candidate at a rate, under each rule, many times.

use super::rules::{Argo, Flagger, Ours, Wald};
use super::stream::{Candidate, Run, Streams, TICKS, float};
use crate::table::median;

/// Who decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Ours,
    ArgoOne,
    ArgoTwo,
    Flagger,
    Wald,
    WaldTolerating,
}

/// Everyone, in the order of the columns.
pub(super) const EVERYONE: [Who; 6] =
    [Who::Ours, Who::ArgoOne, Who::ArgoTwo, Who::Flagger, Who::Wald, Who::WaldTolerating];

impl Who {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ours => "prograde",
            Self::ArgoOne => "Argo Rollouts, failureLimit 0",
            Self::ArgoTwo => "Argo Rollouts, failureLimit 1",
            Self::Flagger => "Flagger",
            Self::Wald => "Wald, shares known",
            Self::WaldTolerating => "Wald, tolerating the same",
        }
    }

    /// Whether it is a limit that no rule can do better than, and no rule that anybody could use.
    pub(super) fn is_limit(self) -> bool {
        matches!(self, Self::Wald | Self::WaldTolerating)
    }

    fn run(self, streams: &Streams, candidate: Candidate, seed: u64) -> Run {
        match self {
            Self::Ours => streams.run(&mut Ours::new(streams.reference(seed)), seed),
            Self::ArgoOne => streams.run(&mut Argo::new(0), seed),
            Self::ArgoTwo => streams.run(&mut Argo::new(1), seed),
            Self::Flagger => streams.run(&mut Flagger::default(), seed),
            Self::Wald => streams.run(&mut Wald::of_equals(candidate), seed),
            Self::WaldTolerating => streams.run(&mut Wald::of_tolerated(candidate), seed),
        }
    }
}

/// What came of many runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    /// Share of the runs that were rolled back.
    pub(super) rolled_back: f64,
    /// Share of the runs in which the candidate was promoted, whether or not it was rolled back later.
    pub(super) promoted: f64,
    /// Share of the runs in which the candidate was promoted and never rolled back.
    pub(super) kept: f64,
    /// Share of the runs that were given up for want of evidence.
    pub(super) gave_up: f64,
    /// Harmed requests, on the mean.
    pub(super) harmed: f64,
    /// Seconds to the rollback, the median of those that were.
    pub(super) rolled_back_s: f64,
    /// Seconds to the promotion, the median of those that were.
    pub(super) promoted_s: f64,
}

/// What everyone did about releases of a kind at a rate.
#[derive(Debug)]
pub(super) struct Outcome {
    /// What is wrong with them.
    pub(super) name: &'static str,
    /// Requests a second.
    pub(super) rate: f64,
    pub(super) cells: Vec<(Who, Cell)>,
}

impl Outcome {
    /// What one of them did.
    pub(super) fn of(&self, who: Who) -> Option<&Cell> {
        self.cells.iter().find(|(of, _)| *of == who).map(|(_, cell)| cell)
    }
}

/// Runs a cell.
pub(super) fn measure(who: Who, rate: f64, candidate: Candidate, runs: u64) -> Cell {
    let streams = Streams::new(rate, candidate);
    let halves = [0, 1].map(|half| (1..=runs).filter(move |seed| seed % 2 == half));
    let all: Vec<Run> = std::thread::scope(|scope| {
        let streams = &streams;
        let threads = halves
            .map(|seeds| scope.spawn(move || seeds.map(|seed| who.run(streams, candidate, seed)).collect::<Vec<_>>()));
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    });
    let share = |wanted: fn(&Run) -> bool| float(all.iter().filter(|run| wanted(run)).count() as u64) / float(runs);
    let seconds = |when: fn(&Run) -> Option<u64>| {
        median(all.iter().filter_map(|run| Some(float(when(run)?) / float(TICKS))).collect())
    };
    Cell {
        rolled_back: share(|run| run.rolled_back.is_some()),
        promoted: share(|run| run.promoted.is_some()),
        kept: share(|run| run.promoted.is_some() && run.rolled_back.is_none()),
        gave_up: share(|run| run.gave_up),
        harmed: all.iter().map(|run| float(run.harmed)).sum::<f64>() / float(runs),
        rolled_back_s: seconds(|run| run.rolled_back),
        promoted_s: seconds(|run| run.promoted),
    }
}
