//! The shifts that `PagerDuty` itself calculated, where they are exported: the proof of what was made of the layers.

use jiff::{SignedDuration, Timestamp};
use prograde_model::Diagnostic;
use prograde_model::dora::Span;
use prograde_model::oncall::{Schedule, Shift};

use super::Find;
use crate::reader::At;

/// The most shifts that are compared.
const ENTRIES_MAX: usize = 100_000;
/// For how long they are compared.
const LONGEST: SignedDuration = SignedDuration::from_hours(400 * 24);

/// One shift of the source.
pub(super) struct Entry<'a> {
    pub(super) at: At<'a>,
    pub(super) span: Span,
    /// The user's id.
    pub(super) user: &'a str,
    /// The user's name.
    pub(super) summary: Option<&'a str>,
}

/// The entries of a subschedule, in order; none where it was not asked for.
pub(super) fn entries(at: Option<At<'_>>) -> Result<Vec<Entry<'_>>, Diagnostic> {
    let mut entries = Vec::new();
    for entry in at.map_or(Ok(Vec::new()), |at| at.list("rendered_schedule_entries"))?.into_iter().take(ENTRIES_MAX) {
        let span = Span { from: entry.need("start")?.instant()?, until: entry.need("end")?.instant()? };
        if span.from >= span.until {
            return Err(entry.wrong("it ends before it begins", ""));
        }
        let (user, summary) = super::reference(&entry.need("user")?)?;
        entries.push(Entry { at: entry, span, user, summary });
    }
    entries.sort_by_key(|entry| entry.span.from);
    Ok(entries)
}

/// The first moment at which a schedule has somebody else than the source; `expected` are the source's shifts by our names.
pub(super) fn differs(schedule: &Schedule, expected: &[(Span, String)], zones: Find<'_>) -> Option<Timestamp> {
    let from = expected.first()?.0.from;
    let until = expected.iter().map(|(span, _)| span.until).max()?.min(from.saturating_add(LONGEST).ok()?);
    // What is too long to be calculated at once can't be compared.
    let ours = schedule.shifts(Span { from, until }, &zones).ok()?;
    let mut times: Vec<Timestamp> = expected.iter().flat_map(|(span, _)| [span.from, span.until]).collect();
    times.extend(ours.iter().flat_map(|shift| [shift.span.from, shift.span.until]));
    times.sort_unstable();
    times.dedup();
    let mut theirs = expected.iter().peekable();
    let mut ours = ours.iter().peekable();
    for at in times.into_iter().filter(|at| *at < until) {
        while theirs.peek().is_some_and(|(span, _)| span.until <= at) {
            theirs.next();
        }
        while ours.peek().is_some_and(|shift| shift.span.until <= at) {
            ours.next();
        }
        let their = theirs.peek().filter(|(span, _)| span.contains(at)).map(|(_, person)| person);
        let our = ours.peek().filter(|shift: &&&Shift| shift.span.contains(at)).map(|shift| &shift.person);
        if their != our {
            return Some(at);
        }
    }
    None
}
