//! The largest or smallest of some values.
//!
//! Which of equal values are left, and in what order, the documentation leaves open. Here they are chosen as Prometheus
//! does: by a heap of the kept values with the least wanted on top, which goes when a better one comes.

use std::cmp::Ordering;

use super::error::EvaluateError;
use crate::functions::values::nan_last;

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// As of `topk`
    Largest,
    /// As of `bottomk`
    Smallest,
}

/// The number that `topk` was given, less its fraction; less than one is none.
pub(super) fn count(value: f64) -> Result<usize, EvaluateError> {
    // As Prometheus compares: the upper bound rounds up to what no longer fits.
    if value.is_nan() || !(-9_223_372_036_854_775_808.0..=9_223_372_036_854_775_808.0).contains(&value) {
        return Err(EvaluateError::Count(value));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates: less than none is none")]
    let count = value as usize;
    Ok(count)
}

/// The wanted values, best first.
pub(super) fn first(order: Order, count: usize, values: impl Iterator<Item = (usize, f64)>) -> Vec<(usize, f64)> {
    let mut heap: Vec<(usize, f64)> = Vec::new();
    if count == 0 {
        return heap;
    }
    for entry in values {
        if heap.len() < count {
            heap.push(entry);
            rise(&mut heap, order);
            continue;
        }
        let Some(least) = heap.first() else { continue };
        let is_better = match order {
            Order::Largest => least.1 < entry.1,
            Order::Smallest => least.1 > entry.1,
        };
        if is_better || (least.1.is_nan() && !entry.1.is_nan()) {
            // The last takes the place of the first before the new one comes, as Go's heap does it: it decides which of
            // equal values is the next to go.
            heap.swap_remove(0);
            sink(&mut heap, order);
            heap.push(entry);
            rise(&mut heap, order);
        }
    }
    heap.sort_by(|a, b| nan_last(order == Order::Largest, a.1, b.1));
    heap
}

/// True if one is less wanted than another.
fn is_worse(order: Order, one: f64, other: f64) -> bool {
    let comparison = one.partial_cmp(&other);
    one.is_nan()
        || match order {
            Order::Largest => comparison == Some(Ordering::Less),
            Order::Smallest => comparison == Some(Ordering::Greater),
        }
}

fn entry_is_worse(heap: &[(usize, f64)], order: Order, one: usize, other: usize) -> bool {
    match (heap.get(one), heap.get(other)) {
        (Some(one), Some(other)) => is_worse(order, one.1, other.1),
        (Some(_) | None, Some(_) | None) => false,
    }
}

/// Moves the last entry up until none above it is more wanted.
fn rise(heap: &mut [(usize, f64)], order: Order) {
    let mut child = heap.len().saturating_sub(1);
    while child > 0 {
        let parent = (child - 1) / 2;
        if !entry_is_worse(heap, order, child, parent) {
            return;
        }
        heap.swap(child, parent);
        child = parent;
    }
}

/// Moves the first entry down until none below it is less wanted.
fn sink(heap: &mut [(usize, f64)], order: Order) {
    let mut parent = 0;
    loop {
        let left = 2 * parent + 1;
        if left >= heap.len() {
            return;
        }
        let right = left + 1;
        let child = if right < heap.len() && entry_is_worse(heap, order, right, left) { right } else { left };
        if !entry_is_worse(heap, order, child, parent) {
            return;
        }
        heap.swap(child, parent);
        parent = child;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(order: Order, count: usize, values: &[f64]) -> Vec<f64> {
        first(order, count, values.iter().copied().enumerate()).into_iter().map(|(_, value)| value).collect()
    }

    #[test]
    fn the_best_come_first_and_nan_last() {
        let values = [3.0, f64::NAN, 5.0, 1.0, 4.0, 5.0];
        assert_eq!(of(Order::Largest, 3, &values), [5.0, 5.0, 4.0]);
        assert_eq!(of(Order::Smallest, 2, &values), [1.0, 3.0]);
        assert!(of(Order::Largest, 9, &values)[5].is_nan());
        assert!(of(Order::Largest, 0, &values).is_empty());
    }

    #[test]
    fn counts_are_whole_and_bounded() {
        assert_eq!(count(2.9).unwrap(), 2);
        assert_eq!(count(-1.0).unwrap(), 0);
        assert!(count(f64::NAN).is_err() && count(f64::INFINITY).is_err());
    }
}
