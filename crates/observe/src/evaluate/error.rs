//! Why a query has no answer.

use crate::labels::Labels;
use crate::promql::expression::Kind;
use crate::store::StoreError;

/// What went wrong while a query was evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// The store has no answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// More samples than the limit were read or made.
    #[error("the query reads and makes more than {max} samples; ask for less time, fewer series or larger steps")]
    TooManySamples {
        /// The limit.
        max: u64,
    },
    /// More steps than the limit.
    #[error("the query has more than {max} steps; ask for less time or larger steps")]
    TooManySteps {
        /// The limit.
        max: usize,
    },
    /// Whoever asked no longer wants to know.
    #[error("the query was given up")]
    GivenUp,
    /// A step of nothing, or backwards.
    #[error("a step must be greater than 0")]
    Step,
    /// The end lies before the start.
    #[error("the end must not be before the start")]
    EndBeforeStart,
    /// A range query of what has no value at a step.
    #[error("a range query gives a scalar or an instant vector, not {0}")]
    Kind(Kind),
    /// Two series of the same name at the same time.
    #[error("the result has two series with the labels {0}")]
    SameLabels(Labels),
    /// A side of an operator that should be unique is not.
    #[error("several series of the {side} hand side match by {group}; matching labels must be unique on one side")]
    ManyToMany {
        /// `left` or `right`.
        side: &'static str,
        /// The labels that match.
        group: Labels,
    },
    /// A side of an operator is not unique, and nothing says that it may not be.
    #[error("several series match by {0}; matching many to one must be explicit (group_left, group_right)")]
    ManyToOne(Labels),
    /// The number of series that `topk` or `bottomk` should leave.
    #[error("{0} is no number of series")]
    Count(f64),
    /// `holt_winters` smooths by a share.
    #[error("the {name} factor must lie between 0 and 1, not be {value}")]
    SmoothingFactor {
        /// `smoothing` or `trend`.
        name: &'static str,
        /// What was given.
        value: f64,
    },
}
