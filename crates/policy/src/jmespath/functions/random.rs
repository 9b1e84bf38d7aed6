//! `random`: a text that fits a pattern, out of a seed that somebody gives. Without one it is an error: evaluation has no
//! randomness of its own.

use regex_syntax::hir::{Class, Hir, HirKind};
use sha2::{Digest, Sha256};

/// How often a part without an upper bound is repeated beyond its lower one, at most.
const SPARE: u32 = 10;
/// The longest text that is made, in bytes.
const LENGTH_MAX: usize = 64 * 1024;

/// Numbers out of a seed: the digests of the seed with a counter.
struct Numbers {
    seed: u64,
    draw: u64,
    at: u64,
}

impl Numbers {
    /// A number below a bound.
    fn below(&mut self, bound: u64) -> u64 {
        self.at += 1;
        let digest = Sha256::new()
            .chain_update(self.seed.to_be_bytes())
            .chain_update(self.draw.to_be_bytes())
            .chain_update(self.at.to_be_bytes())
            .finalize();
        let number = digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        number.checked_rem(bound).unwrap_or(0)
    }
}

/// The text for the draw of that number.
pub(super) fn text(pattern: &str, seed: u64, draw: u64) -> Result<String, String> {
    if pattern.is_empty() {
        return Err("there is no pattern".to_owned());
    }
    let hir = regex_syntax::Parser::new().parse(pattern).map_err(|error| error.to_string())?;
    let mut made = Vec::new();
    write(&hir, &mut Numbers { seed, draw, at: 0 }, &mut made)?;
    String::from_utf8(made).map_err(|error| error.to_string())
}

fn write(hir: &Hir, numbers: &mut Numbers, made: &mut Vec<u8>) -> Result<(), String> {
    if made.len() > LENGTH_MAX {
        return Err(format!("the text would have more than {LENGTH_MAX} bytes"));
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => made.extend_from_slice(&literal.0),
        HirKind::Class(class) => made.extend(one_of(class, numbers).to_string().into_bytes()),
        HirKind::Capture(capture) => write(&capture.sub, numbers, made)?,
        HirKind::Concat(parts) => {
            for part in parts {
                write(part, numbers, made)?;
            }
        }
        HirKind::Alternation(parts) => {
            let index = numbers.below(parts.len() as u64);
            if let Some(part) = usize::try_from(index).ok().and_then(|index| parts.get(index)) {
                write(part, numbers, made)?;
            }
        }
        HirKind::Repetition(repetition) => {
            let most = repetition.max.unwrap_or_else(|| repetition.min.saturating_add(SPARE));
            let spare = u64::from(most.saturating_sub(repetition.min)).saturating_add(1);
            for _ in 0..u64::from(repetition.min).saturating_add(numbers.below(spare)) {
                write(&repetition.sub, numbers, made)?;
            }
        }
    }
    Ok(())
}

/// A character of a class, of its printable ones in ASCII where it has any.
fn one_of(class: &Class, numbers: &mut Numbers) -> char {
    let ranges: Vec<(u32, u32)> = match class {
        Class::Unicode(class) => class.iter().map(|range| (u32::from(range.start()), u32::from(range.end()))).collect(),
        Class::Bytes(class) => class.iter().map(|range| (u32::from(range.start()), u32::from(range.end()))).collect(),
    };
    let printable: Vec<(u32, u32)> = ranges
        .iter()
        .map(|(start, end)| ((*start).max(0x20), (*end).min(0x7e)))
        .filter(|(start, end)| start <= end)
        .collect();
    let ranges = if printable.is_empty() { ranges } else { printable };
    let count = ranges.iter().map(|(start, end)| u64::from(end - start) + 1).sum();
    let mut index = numbers.below(count);
    for (start, end) in ranges {
        let length = u64::from(end - start) + 1;
        if index < length {
            let code = start.saturating_add(u32::try_from(index).unwrap_or(0));
            return char::from_u32(code).or_else(|| char::from_u32(start)).unwrap_or(char::REPLACEMENT_CHARACTER);
        }
        index -= length;
    }
    char::REPLACEMENT_CHARACTER
}
