//! W3C Trace Context: a request's place in a trace (<https://www.w3.org/TR/trace-context/>, section 3.2).

use std::fmt;

/// The header's name.
pub const TRACEPARENT: &str = "traceparent";

/// One span of a trace. Ids are never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The trace.
    pub trace_id: u128,
    /// This span.
    pub span_id: u64,
    /// The span that asked, if one did.
    pub parent_id: Option<u64>,
    /// The flags: bit 0 says that the caller records the trace.
    pub flags: u8,
}

impl Span {
    /// The span for one request: a child of the caller's, or the first of a new trace when there is no valid header.
    pub fn of_request(header: Option<&str>) -> Self {
        let span_id = fastrand::u64(1..);
        match header.and_then(parse) {
            Some((trace_id, parent_id, flags)) => Self { trace_id, span_id, parent_id: Some(parent_id), flags },
            None => Self { trace_id: fastrand::u128(1..), span_id, parent_id: None, flags: 0 },
        }
    }
}

impl fmt::Display for Span {
    /// As a `traceparent` header.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

/// Trace id, parent id and flags. Versions above 00 may go on after the flags, version ff is forbidden.
fn parse(header: &str) -> Option<(u128, u64, u8)> {
    let mut parts = header.splitn(5, '-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_known = version == "00" && parts.next().is_none();
    let is_later = version != "00" && version != "ff" && hex(version, 2).is_some();
    let (trace, parent, flags) = (hex(trace, 32)?, hex(parent, 16)?, hex(flags, 2)?);
    let valid = (is_known || is_later) && trace != 0 && parent != 0;
    valid.then_some((trace, u64::try_from(parent).ok()?, u8::try_from(flags & 1).ok()?))
}

/// Exactly `digits` lower-case hex digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let valid = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if valid { u128::from_str_radix(text, 16).ok() } else { None }
}
