//! Slow requests where nobody runs beside the candidate.
//!
//! Whatever else slows the machine for a while looks like the candidate then: there is nothing to compare with, and the slow
//! requests of such a while are not independent. So more than half of the parts into which marks cut the time are left out,
//! those that look worst. A candidate that is slow shows it in what is left too; a while that is no longer than half of the
//! time does not, nor anything else in the first two parts.

use super::float;
use super::marks::{Mark, Marks};
use super::mixture::Cell;

/// What the calmest parts since a mark, or since the beginning, say together. `all` is what there is until now, `bucket`
/// from which latency on a request is slow, `share` how many may be slow.
pub(super) fn calmest(marks: &Marks, from: Option<&Mark>, all: Cell, bucket: Option<&usize>, share: f64) -> Cell {
    let parts = bucket.and_then(|bucket| parts(marks, from, all, *bucket));
    let mut parts = parts.unwrap_or_default();
    let excess = |cell: &Cell| cell.hits - cell.of * share;
    parts.sort_by(|one, other| excess(one).total_cmp(&excess(other)));
    let kept = parts.len().saturating_sub(parts.len() / 2 + 1);
    let sum = |sum: Cell, part: &Cell| Cell { hits: sum.hits + part.hits, of: sum.of + part.of, ..sum };
    parts.iter().take(kept).fold(Cell::default(), sum)
}

/// One by one; none where a part was not counted or a counter went back.
fn parts(marks: &Marks, from: Option<&Mark>, all: Cell, bucket: usize) -> Option<Vec<Cell>> {
    let at = u16::try_from(bucket).ok()?;
    let counted = |mark: &Mark| {
        let hits = float(*mark.candidate.slow.get(&at)?);
        Some(Cell { hits, of: float(mark.candidate.timed), ..Cell::default() })
    };
    let mut before = from.map_or_else(|| Some(Cell::default()), counted)?;
    let later = marks.kept().filter(|mark| from.is_none_or(|from| mark.elapsed_ms > from.elapsed_ms));
    let ends: Vec<Cell> = later.map(counted).chain(std::iter::once(Some(all))).collect::<Option<_>>()?;
    let mut parts = Vec::with_capacity(ends.len());
    for end in ends {
        let part = Cell { hits: end.hits - before.hits, of: end.of - before.of, ..Cell::default() };
        if part.hits < 0.0 || part.of < part.hits {
            return None;
        }
        parts.push(part);
        before = end;
    }
    Some(parts)
}
