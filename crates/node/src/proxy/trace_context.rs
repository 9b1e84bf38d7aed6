//! `traceparent` (W3C Trace Context, section 3.2): kept when valid, made when missing.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};

use http::{HeaderMap, HeaderName, HeaderValue};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Makes trace ids. They need to be unlike each other, not unguessable.
#[derive(Debug)]
pub(super) struct TraceIds {
    state: Cell<u64>,
    /// Sets workers, and restarts of them, apart.
    high: u64,
}

impl TraceIds {
    /// A source that is seeded by the system.
    pub(super) fn new() -> Self {
        let seed = || RandomState::new().build_hasher().finish();
        Self { state: Cell::new(seed()), high: seed() | 1 }
    }

    /// `SplitMix64`.
    fn next(&self) -> u64 {
        let state = self.state.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.state.set(state);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Leaves a request with exactly one valid `traceparent`. A new one says "sampled", or services that follow their
    /// parent's decision would never record a trace; it also drops a `tracestate`, which belongs to the old one.
    pub(super) fn ensure(&self, headers: &mut HeaderMap) {
        let mut values = headers.get_all(&TRACEPARENT).iter();
        if values.next().is_some_and(|value| is_valid(value.as_bytes())) && values.next().is_none() {
            return;
        }
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-01";
        let mut digits = text.iter_mut().filter(|byte| **byte != b'-').skip(2);
        // `| 1`: neither id may be all zero.
        for number in [self.high ^ self.next(), self.next() | 1, self.next() | 1] {
            for shift in (0..16).rev() {
                if let Some(digit) = digits.next() {
                    *digit = hex_digit(number >> (shift * 4));
                }
            }
        }
        if let Ok(value) = HeaderValue::from_bytes(&text) {
            headers.insert(TRACEPARENT, value);
            headers.remove(&TRACESTATE);
        }
    }
}

fn hex_digit(number: u64) -> u8 {
    match u8::try_from(number & 15).unwrap_or(0) {
        digit @ 0..=9 => b'0' + digit,
        digit => b'a' + digit - 10,
    }
}

/// Whether a `traceparent` can be passed on. Versions above 00 may have more fields at the end.
fn is_valid(value: &[u8]) -> bool {
    let is_hex = |part: &[u8]| part.iter().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b));
    let is_some = |part: &[u8]| is_hex(part) && part.iter().any(|b| *b != b'0');
    let mut parts = value.splitn(5, |b| *b == b'-');
    let mut part = |length: usize| parts.next().filter(|part| part.len() == length);
    let (Some(version), Some(trace), Some(span), Some(flags)) = (part(2), part(32), part(16), part(2)) else {
        return false;
    };
    is_hex(version)
        && version != b"ff"
        && is_some(trace)
        && is_some(span)
        && is_hex(flags)
        && (version != b"00" || value.len() == 55)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_trace_context_is_valid_and_new_each_time() {
        let ids = TraceIds::new();
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..1000 {
            let mut headers = HeaderMap::new();
            headers.insert(TRACESTATE, HeaderValue::from_static("vendor=1"));
            ids.ensure(&mut headers);
            let value = headers.get(TRACEPARENT).unwrap().to_str().unwrap().to_owned();
            assert!(is_valid(value.as_bytes()) && value.ends_with("-01"), "{value}");
            assert!(!headers.contains_key(TRACESTATE));
            assert!(seen.insert(value));
        }
    }

    #[test]
    fn only_a_valid_trace_context_is_passed_on() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let future = format!("{}-more", good.replacen("00", "cc", 1));
        for kept in [good, &future] {
            let mut headers = HeaderMap::new();
            headers.insert(TRACEPARENT, kept.parse().unwrap());
            TraceIds::new().ensure(&mut headers);
            assert_eq!(headers.get(TRACEPARENT).unwrap(), kept);
        }
        let long = format!("{good}-more");
        let upper = good.to_uppercase();
        let zero = good.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32));
        for replaced in ["", "00", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", &long, &upper, &zero] {
            let mut headers = HeaderMap::new();
            headers.insert(TRACEPARENT, replaced.parse().unwrap());
            TraceIds::new().ensure(&mut headers);
            assert_ne!(headers.get(TRACEPARENT).unwrap(), replaced);
        }
    }
}
