//! A place in a body, and what both formats have in common.

use super::Wrong;

/// The one NaN that is stored for any that a target sends, so that none can pass for a marker of staleness.
///
/// Source: Prometheus 2.42, `model/value`.
const NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

#[derive(Debug)]
pub(super) struct Cursor<'a> {
    body: &'a [u8],
    at: usize,
}

pub(super) fn is_label_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

impl<'a> Cursor<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self { body, at: 0 }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.body.get(self.at..).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.body.len()
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// What lies between an earlier position and here.
    pub(super) fn since(&self, position: usize) -> &'a [u8] {
        self.body.get(position..self.at).unwrap_or_default()
    }

    pub(super) fn back_to(&mut self, position: usize) {
        self.at = position;
    }

    pub(super) fn skip(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes).min(self.body.len());
    }

    /// To the byte itself, or to the end.
    pub(super) fn skip_until(&mut self, byte: u8) {
        self.at += memchr::memchr(byte, self.rest()).unwrap_or(self.rest().len());
    }

    pub(super) fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    /// Takes a text if it is the next.
    pub(super) fn take(&mut self, text: &[u8]) -> bool {
        let is_next = self.rest().starts_with(text);
        if is_next {
            self.at += text.len();
        }
        is_next
    }

    pub(super) fn take_while(&mut self, accepts: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let length = rest.iter().position(|byte| !accepts(*byte)).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    /// A name of a label, or of a metric; empty where none begins.
    pub(super) fn name(&mut self, is_metric: bool) -> &'a [u8] {
        let colon = |byte: u8| is_metric && byte == b':';
        if self.peek().is_some_and(|byte| is_label_start(byte) || colon(byte)) {
            self.take_while(|byte| is_label_start(byte) || byte.is_ascii_digit() || colon(byte))
        } else {
            &[]
        }
    }

    /// What stands between quotation marks, with its escapes; `None` where it has no end.
    pub(super) fn quoted(&mut self, may_break_lines: bool) -> Option<&'a [u8]> {
        let inside = self.rest().strip_prefix(b"\"")?;
        let mut at = 0;
        loop {
            at += memchr::memchr3(b'"', b'\\', b'\n', inside.get(at..)?)?;
            match inside.get(at)? {
                b'"' => break,
                b'\n' if may_break_lines => at += 1,
                b'\\' if *inside.get(at + 1)? != b'\n' => at += 2,
                _ => return None,
            }
        }
        self.at += at + 2;
        inside.get(..at)
    }

    /// `="value"`, with blanks around where the format allows them.
    pub(super) fn label_value(&mut self, is_text: bool) -> Result<(), Wrong> {
        let blanks = |cursor: &mut Self| {
            if is_text {
                cursor.skip_blanks();
            }
        };
        blanks(self);
        if !self.take(b"=") {
            return Err("expected `=` after the label's name".into());
        }
        blanks(self);
        let begin = self.at;
        let Some(value) = self.quoted(is_text) else {
            return Err("expected the label's value in quotation marks on this line".into());
        };
        if let Err(error) = std::str::from_utf8(value) {
            self.at = begin + 1 + error.valid_up_to();
            return Err("the label's value is not UTF-8".into());
        }
        Ok(())
    }

    /// A number as Go reads it, but for hexadecimal ones and underscores, which Prometheus refuses.
    pub(super) fn number(&mut self, text: &[u8]) -> Result<f64, Wrong> {
        let parsed = std::str::from_utf8(text).ok().and_then(number);
        parsed.ok_or_else(|| {
            self.at -= text.len();
            format!("`{}` is not a number", String::from_utf8_lossy(text.get(..64).unwrap_or(text))).into()
        })
    }

    /// Line and column of this place, from 1.
    pub(super) fn place(&self) -> (u32, u32) {
        self.place_of(self.at)
    }

    /// Line and column of a position, from 1.
    pub(super) fn place_of(&self, position: usize) -> (u32, u32) {
        let before = self.body.get(..position).unwrap_or_default();
        let line = memchr::memchr_iter(b'\n', before).count();
        let begin = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
        let column = String::from_utf8_lossy(before.get(begin..).unwrap_or_default()).chars().count();
        let count = |number: usize| u32::try_from(number + 1).unwrap_or(u32::MAX);
        (count(line), count(column))
    }
}

fn number(text: &str) -> Option<f64> {
    let value = text.parse::<f64>().ok()?;
    let digits = text.trim_start_matches(['+', '-']);
    let is_word = digits.starts_with(|c: char| c.is_ascii_alphabetic());
    if value.is_nan() {
        // Go's NaN has no sign.
        return (digits.len() == text.len()).then_some(f64::from_bits(NAN_BITS));
    }
    // A number too large for Go is an error there and infinite here.
    (value.is_finite() || is_word).then_some(value)
}
