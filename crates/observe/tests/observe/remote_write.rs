//! Samples as Prometheus takes them in bit by bit: its remote write protocol carries markers of staleness and any NaN,
//! which no text format does.
//!
//! Source: Prometheus documentation, "Remote write specification 1.0"; Protocol Buffers, "Encoding"; Snappy, "Format
//! description".

use prograde_observe::Series;

/// The body of a write request.
pub(crate) fn request(series: &[Series]) -> Vec<u8> {
    let mut message = Vec::new();
    for series in series.iter().filter(|series| !series.samples.is_empty()) {
        let mut one = Vec::new();
        for label in series.labels.iter() {
            let mut pair = Vec::new();
            field(&mut pair, 1, label.name.as_bytes());
            field(&mut pair, 2, label.value.as_bytes());
            field(&mut one, 1, &pair);
        }
        for sample in &series.samples {
            let mut pair = vec![(1 << 3) | 1];
            pair.extend(sample.value.to_bits().to_le_bytes());
            pair.push(2 << 3);
            varint(&mut pair, sample.timestamp.cast_unsigned());
            field(&mut one, 2, &pair);
        }
        field(&mut message, 1, &one);
    }
    snappy(&message)
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// A field of a known length.
fn field(out: &mut Vec<u8>, number: u8, content: &[u8]) {
    out.push((number << 3) | 2);
    varint(out, content.len() as u64);
    out.extend(content);
}

/// Snappy's format, of which nothing but literals is needed.
fn snappy(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint(&mut out, content.len() as u64);
    for chunk in content.chunks(1 << 16) {
        out.push(61 << 2);
        out.extend(u16::try_from(chunk.len() - 1).unwrap().to_le_bytes());
        out.extend(chunk);
    }
    out
}
