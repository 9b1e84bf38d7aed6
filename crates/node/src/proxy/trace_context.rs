//! `traceparent` (W3C Trace Context, section 3.2): kept when valid, made when missing.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};

/// The text of a `traceparent` of version 00.
pub(super) type TraceParent = [u8; 55];

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
    fn number(&self) -> u64 {
        let state = self.state.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.state.set(state);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A new trace with its first span. It says "sampled", or services that follow their parent's decision would never
    /// record a trace.
    pub(super) fn next(&self) -> TraceParent {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-01";
        let (version_trace, span_flags) = text.split_at_mut(36);
        let (high, low) = version_trace.split_at_mut(19);
        // `| 1`: neither id may be all zero.
        write_hex(high, 3, self.high ^ self.number());
        write_hex(low, 0, self.number() | 1);
        write_hex(span_flags, 0, self.number() | 1);
        text
    }
}

/// Writes 16 digits, after `skip` characters.
fn write_hex(text: &mut [u8], skip: usize, number: u64) {
    for (digit, nibble) in text.iter_mut().skip(skip).zip((0..16).rev()) {
        *digit = hex_digit(number >> (nibble * 4));
    }
}

fn hex_digit(number: u64) -> u8 {
    match u8::try_from(number & 15).unwrap_or(0) {
        digit @ 0..=9 => b'0' + digit,
        digit => b'a' + digit - 10,
    }
}

/// Whether a `traceparent` can be passed on as it is. Versions above 00 may have more fields at the end.
pub(super) fn is_valid(value: &[u8]) -> bool {
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
            let made = String::from_utf8(ids.next().to_vec()).unwrap();
            assert!(is_valid(made.as_bytes()) && made.ends_with("-01"), "{made}");
            let ids: Vec<_> = made.split('-').map(str::to_owned).collect();
            assert!(seen.insert(ids[1].clone()) && seen.insert(ids[2].clone()), "{made}");
        }
    }

    #[test]
    fn only_a_valid_trace_context_is_passed_on() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(is_valid(good.as_bytes()));
        assert!(is_valid(format!("{}-more", good.replacen("00", "cc", 1)).as_bytes()), "a later version may say more");
        let long = format!("{good}-more");
        let upper = good.to_uppercase();
        let no_trace = good.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32));
        let no_span = good.replace("b7ad6b7169203331", &"0".repeat(16));
        let forbidden = good.replacen("00", "ff", 1);
        for bad in ["", "00", "-", &forbidden, &long, &upper, &no_trace, &no_span, &good[..54]] {
            assert!(!is_valid(bad.as_bytes()), "{bad}");
        }
    }
}
