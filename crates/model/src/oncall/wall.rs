//! Wall clocks: which moment is meant by a date and a time somewhere.
//!
//! A time that the clock skips, because it is set forward, is the moment at which it is set; a time that it shows twice is the
//! first of the two. So later times are never earlier moments, and a turn is an hour shorter or longer, never lost.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

/// The moment of a wall-clock time. Beyond what can be counted (years -9999 to 9999) it is the last one.
pub(crate) fn moment(at: DateTime, zone: &TimeZone) -> Timestamp {
    let found = zone.to_ambiguous_timestamp(at);
    match found.offset() {
        AmbiguousOffset::Gap { .. } => {
            let before = found.earlier().unwrap_or(Timestamp::MAX);
            zone.following(before).next().map_or(before, |transition| transition.timestamp())
        }
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => found.earlier().unwrap_or(Timestamp::MAX),
    }
}
