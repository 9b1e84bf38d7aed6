//! The times at which something is evaluated.

use super::error::EvaluateError;

/// Evenly spaced times in milliseconds; never none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeline {
    start: i64,
    step: i64,
    count: usize,
}

impl Timeline {
    pub(super) fn instant(at: i64) -> Self {
        Self { start: at, step: 1, count: 1 }
    }

    pub(super) fn steps(start: i64, end: i64, step: i64, count_max: usize) -> Result<Self, EvaluateError> {
        if step <= 0 {
            return Err(EvaluateError::Step);
        }
        if end < start {
            return Err(EvaluateError::EndBeforeStart);
        }
        let beyond_first = i128::from(end) - i128::from(start);
        let count = usize::try_from(beyond_first / i128::from(step) + 1).unwrap_or(usize::MAX);
        if count > count_max {
            Err(EvaluateError::TooManySteps { max: count_max })
        } else {
            Ok(Self { start, step, count })
        }
    }

    /// The multiples of a step from a time to another, both included; none if there are none.
    pub(super) fn aligned(from: i64, to: i64, step: i64, count_max: usize) -> Result<Option<Self>, EvaluateError> {
        let remainder = from.rem_euclid(step);
        let start = if remainder == 0 { from } else { from.saturating_add(step - remainder) };
        if start > to { Ok(None) } else { Self::steps(start, to, step, count_max).map(Some) }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn first(&self) -> i64 {
        self.start
    }

    pub(super) fn last(&self) -> i64 {
        self.at(self.count.saturating_sub(1))
    }

    pub(super) fn at(&self, index: usize) -> i64 {
        self.start.saturating_add(self.step.saturating_mul(i64::try_from(index).unwrap_or(i64::MAX)))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = i64> {
        (0..self.count).map(|index| self.at(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_reached_only_if_the_steps_do() {
        let times: Vec<i64> = Timeline::steps(5, 26, 10, 9).unwrap().iter().collect();
        assert_eq!(times, [5, 15, 25]);
        assert!(matches!(Timeline::steps(0, 100, 10, 10), Err(EvaluateError::TooManySteps { max: 10 })));
        assert!(matches!(Timeline::steps(1, 0, 1, 9), Err(EvaluateError::EndBeforeStart)));
        assert!(matches!(Timeline::steps(i64::MIN, i64::MAX, 1, 9), Err(EvaluateError::TooManySteps { .. })));
    }

    #[test]
    fn steps_of_a_subquery_are_multiples() {
        let times = |from, to| Timeline::aligned(from, to, 10, 99).unwrap().map(|line| line.iter().collect::<Vec<_>>());
        assert_eq!(times(-15, 10), Some(vec![-10, 0, 10]));
        assert_eq!(times(20, 20), Some(vec![20]));
        assert_eq!(times(21, 29), None);
    }
}
