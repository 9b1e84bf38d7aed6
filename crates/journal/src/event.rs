//! An event before and after it is stored, and the limits that every event keeps. Limits are checked before an append
//! is queued, in the caller's task: the writer meets only events that may be stored.

use std::io;

use jiff::Timestamp;
use serde_json::Value;

use crate::chain;
use crate::error::JournalError;

/// A subject's largest size, in bytes of UTF-8.
pub const SUBJECT_BYTES_MAX: usize = 256;
/// An event type's largest size, in bytes of UTF-8.
pub const TYPE_BYTES_MAX: usize = 128;
/// A payload's largest size, in bytes of JSON text.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// How deeply a payload's arrays and objects may be nested: less than the 127 that `serde_json` reads, so that there is
/// room for an envelope.
pub const PAYLOAD_DEPTH_MAX: usize = 100;
/// How many events one append may have.
pub const APPEND_EVENTS_MAX: usize = 1000;
/// How many bytes of payload one append may have in all.
pub const APPEND_BYTES_MAX: usize = 8 << 20;

/// An event to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// What happened, such as `flight.opened`: 1 to [`TYPE_BYTES_MAX`] bytes without control characters.
    pub event_type: String,
    /// The schema version of that type.
    pub version: u32,
    /// What the type's schema says: at most [`PAYLOAD_BYTES_MAX`] bytes and [`PAYLOAD_DEPTH_MAX`] levels.
    pub payload: Value,
}

/// An event as it is stored; it never changes.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredEvent {
    /// Its place in the journal: 1, 2, 3 without gaps.
    pub sequence: u64,
    /// What it is about, such as `flight/4bf92f3577b34da6a3ce929d0e0e4736`.
    pub subject: String,
    /// Its place in its subject: 1, 2, 3 without gaps.
    pub subject_version: u64,
    /// What happened.
    pub event_type: String,
    /// The schema version of that type.
    pub version: u32,
    /// When, as the caller said; may be earlier than the preceding event's, since clocks are set back.
    pub at: Timestamp,
    /// What the type's schema says.
    pub payload: Value,
    /// The preceding event's hash: 64 lower-case hex digits, all zero for event 1.
    pub previous_hash: String,
    /// Its hash: 64 lower-case hex digits.
    pub hash: String,
}

/// An event that keeps the limits, with its payload as the text that is stored.
#[derive(Debug)]
pub(crate) struct PreparedEvent {
    pub(crate) event_type: String,
    pub(crate) version: u32,
    pub(crate) payload: Value,
    pub(crate) text: String,
}

/// The events of one append with the sum of their payloads' bytes.
pub(crate) fn prepare(events: Vec<NewEvent>) -> Result<(Vec<PreparedEvent>, usize), JournalError> {
    let too_large = JournalError::AppendTooLarge { events: events.len() };
    if events.len() > APPEND_EVENTS_MAX {
        return Err(too_large);
    }
    let mut bytes = 0;
    let mut prepared = Vec::with_capacity(events.len());
    for NewEvent { event_type, version, payload } in events {
        check_name("event type", &event_type, TYPE_BYTES_MAX)?;
        let text = payload_text(&payload)?;
        bytes += text.len();
        if bytes > APPEND_BYTES_MAX {
            return Err(too_large);
        }
        prepared.push(PreparedEvent { event_type, version, payload, text });
    }
    Ok((prepared, bytes))
}

/// Checks a subject's size and characters.
pub(crate) fn check_subject(subject: &str) -> Result<(), JournalError> {
    check_name("subject", subject, SUBJECT_BYTES_MAX)
}

/// The time as it is stored.
pub(crate) fn stored_time(at: Timestamp) -> Result<String, JournalError> {
    chain::time_text(at).ok_or(JournalError::InvalidTime)
}

/// Subjects and types become CloudEvents attributes, whose characters are restricted (CloudEvents 1.0, "Type System").
fn check_name(what: &'static str, text: &str, bytes_max: usize) -> Result<(), JournalError> {
    let refuse = |reason| Err(JournalError::InvalidName { what, reason });
    if text.is_empty() {
        return refuse("it is empty");
    }
    if text.len() > bytes_max {
        return refuse("it is too long");
    }
    let noncharacter = |c: char| matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe;
    if text.chars().any(|c| c.is_control() || noncharacter(c)) {
        return refuse("it has a control character or noncharacter");
    }
    Ok(())
}

fn payload_text(payload: &Value) -> Result<String, JournalError> {
    // First the depth: the serialiser is recursive.
    if !depth_within(payload, PAYLOAD_DEPTH_MAX) {
        return Err(JournalError::PayloadTooDeep { limit: PAYLOAD_DEPTH_MAX });
    }
    let too_large = || JournalError::PayloadTooLarge { limit: PAYLOAD_BYTES_MAX };
    let mut text = Bounded { bytes: Vec::new(), left: PAYLOAD_BYTES_MAX };
    serde_json::to_writer(&mut text, payload).map_err(|_| too_large())?;
    // JSON text is UTF-8, and a `Value` has no other way to fail.
    String::from_utf8(text.bytes).map_err(|_| too_large())
}

fn depth_within(payload: &Value, limit: usize) -> bool {
    let mut open = vec![(payload, 1)];
    while let Some((value, depth)) = open.pop() {
        let nested = value.is_array() || value.is_object();
        if nested && depth > limit {
            return false;
        }
        if let Some(array) = value.as_array() {
            open.extend(array.iter().map(|inner| (inner, depth + 1)));
        } else if let Some(object) = value.as_object() {
            open.extend(object.values().map(|inner| (inner, depth + 1)));
        }
    }
    true
}

/// A buffer that refuses to grow past its limit, so that a huge payload is not written out before it is refused.
struct Bounded {
    bytes: Vec<u8>,
    left: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(more.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn event(payload: Value) -> NewEvent {
        NewEvent { event_type: "test.happened".into(), version: 1, payload }
    }

    fn nested(levels: usize) -> Value {
        (0..levels)
            .fold(Value::Null, |inner, level| if level % 2 == 0 { json!([inner]) } else { json!({ "a": inner }) })
    }

    #[test]
    fn payloads_are_stored_up_to_their_limits_and_refused_above() {
        let exactly = Value::String("x".repeat(PAYLOAD_BYTES_MAX - 2));
        let (prepared, bytes) = prepare(vec![event(exactly)]).unwrap();
        assert_eq!((prepared[0].text.len(), bytes), (PAYLOAD_BYTES_MAX, PAYLOAD_BYTES_MAX));
        let above = Value::String("x".repeat(PAYLOAD_BYTES_MAX - 1));
        assert!(matches!(prepare(vec![event(above)]), Err(JournalError::PayloadTooLarge { .. })));

        assert!(prepare(vec![event(nested(PAYLOAD_DEPTH_MAX))]).is_ok());
        let deep = prepare(vec![event(nested(PAYLOAD_DEPTH_MAX + 1))]);
        assert!(matches!(deep, Err(JournalError::PayloadTooDeep { limit: PAYLOAD_DEPTH_MAX })));
    }

    #[test]
    fn an_append_is_bounded_in_events_and_in_bytes() {
        let many = |count, payload: Value| prepare(vec![event(payload); count]);
        assert!(many(APPEND_EVENTS_MAX, Value::Null).is_ok());
        assert!(matches!(
            many(APPEND_EVENTS_MAX + 1, Value::Null),
            Err(JournalError::AppendTooLarge { events }) if events == APPEND_EVENTS_MAX + 1
        ));
        let megabyte = Value::String("x".repeat(PAYLOAD_BYTES_MAX - 2));
        assert!(many(8, megabyte.clone()).is_ok());
        assert!(matches!(many(9, megabyte), Err(JournalError::AppendTooLarge { events: 9 })));
    }

    #[test]
    fn names_are_short_and_printable() {
        for good in ["flight/1", "é", &"s".repeat(SUBJECT_BYTES_MAX)] {
            assert!(check_subject(good).is_ok(), "{good:?}");
        }
        for bad in ["", "a\0b", "a\nb", "a\u{85}b", "a\u{fffe}", "\u{fdd0}", "\u{1ffff}", &"é".repeat(129)] {
            assert!(matches!(check_subject(bad), Err(JournalError::InvalidName { what: "subject", .. })), "{bad:?}");
        }
        let unnamed = NewEvent { event_type: String::new(), version: 1, payload: Value::Null };
        assert!(matches!(prepare(vec![unnamed]), Err(JournalError::InvalidName { what: "event type", .. })));
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..4).prop_map(|fields| fields.into_iter().collect()),
            ]
        })
    }

    proptest! {
        /// What an export prints is what was hashed, digit for digit and in the same order.
        #[test]
        fn a_payload_read_back_is_the_same_and_prints_the_same(value in json_value()) {
            let text = payload_text(&value).unwrap();
            let read: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(read.to_string(), text);
            prop_assert_eq!(read, value);
        }
    }
}
