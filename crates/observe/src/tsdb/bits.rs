//! Single bits, the highest of each byte first.

/// Bits that have been written.
#[derive(Debug, Clone, Default)]
pub(super) struct BitWriter {
    full: Vec<u8>,
    /// The bits after the last full byte, in the lowest places.
    pending: u8,
    pending_count: u32,
}

impl BitWriter {
    /// Adds the `count` lowest bits of a value, at most 64; all bits above must be 0.
    pub(super) fn write(&mut self, value: u64, count: u32) {
        debug_assert!(count <= 64 && (count == 64 || value >> count == 0), "{value:x} has more than {count} bits");
        let bits = (u128::from(self.pending) << count) | u128::from(value);
        let mut left = self.pending_count + count;
        if left >= 8 {
            // Aligned at the top, the bytes are in the order in which they are wanted.
            let bytes = (bits << (128 - left)).to_be_bytes();
            self.full.extend_from_slice(bytes.get(..(left / 8) as usize).unwrap_or_default());
            left %= 8;
        }
        let [lowest, ..] = bits.to_le_bytes();
        self.pending = lowest & !(u8::MAX << left);
        self.pending_count = left;
    }

    /// How many bytes the bits take.
    pub(super) fn byte_count(&self) -> usize {
        self.full.len() + usize::from(self.pending_count > 0)
    }

    /// How many bytes are set aside for them.
    pub(super) fn capacity(&self) -> usize {
        self.full.capacity()
    }

    /// All bits; those that are missing to a full byte are 0.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.byte_count());
        bytes.extend_from_slice(&self.full);
        if self.pending_count > 0 {
            bytes.push(self.pending << (8 - self.pending_count));
        }
        bytes
    }
}

/// Bits to be read.
#[derive(Debug, Clone)]
pub(super) struct BitReader<'a> {
    rest: &'a [u8],
    /// Bits that have been taken from `rest` and not read yet, in the lowest places.
    ahead: u64,
    ahead_count: u32,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, ahead: 0, ahead_count: 0 }
    }

    /// The next `count` bits, at most 64; `None` if there are fewer.
    #[inline]
    pub(super) fn read(&mut self, count: u32) -> Option<u64> {
        if count > 32 {
            let high = self.read(count - 32)?;
            return Some((high << 32) | self.read(32)?);
        }
        if self.ahead_count < count {
            self.look_ahead();
        }
        self.ahead_count = self.ahead_count.checked_sub(count)?;
        Some((self.ahead >> self.ahead_count) & ((1 << count) - 1))
    }

    /// Takes bytes until there are 32 bits, or none are left.
    fn look_ahead(&mut self) {
        if let Some((four, rest)) = self.rest.split_first_chunk() {
            self.rest = rest;
            self.ahead = (self.ahead << 32) | u64::from(u32::from_be_bytes(*four));
            self.ahead_count += 32;
            return;
        }
        for byte in self.rest {
            self.ahead = (self.ahead << 8) | u64::from(*byte);
            self.ahead_count += 8;
        }
        self.rest = &[];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bits_come_back(values in proptest::collection::vec((any::<u64>(), 1_u32..=64), 0..100)) {
            let low = |value: u64, count: u32| value & (u64::MAX >> (64 - count));
            let mut writer = BitWriter::default();
            for (value, count) in &values {
                writer.write(low(*value, *count), *count);
            }
            let bytes = writer.to_bytes();
            prop_assert_eq!(bytes.len(), writer.byte_count());
            let mut reader = BitReader::new(&bytes);
            for (value, count) in values {
                prop_assert_eq!(reader.read(count), Some(low(value, count)));
            }
            let padding = bytes.len() * 8;
            prop_assert!((0..padding).take_while(|_| reader.read(1).is_some()).count() < 8);
        }
    }
}
