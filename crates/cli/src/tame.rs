//! Output of programs, made harmless for a terminal: colours pass (ECMA-48, "Select Graphic Rendition"), and whatever
//! could move the cursor, set the title or answer in the user's place does not.

/// The longest colour sequence that passes, in bytes.
const SEQUENCE_BYTES_MAX: usize = 32;

/// A filter over a stream of bytes that may be cut anywhere.
#[derive(Debug, Default)]
pub(crate) struct Tamer {
    /// The beginning of a sequence whose end has not come yet.
    pending: Vec<u8>,
}

impl Tamer {
    /// The harmless part of the next bytes.
    pub(crate) fn tame(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            self.take(byte, &mut out);
        }
        out
    }

    fn take(&mut self, byte: u8, out: &mut Vec<u8>) {
        match self.pending.as_slice() {
            [] => match byte {
                0x1b | 0xc2 => self.pending.push(byte),
                b'\n' | b'\t' => out.push(byte),
                0..0x20 | 0x7f => {}
                _ => out.push(byte),
            },
            // In UTF-8, 0xc2 begins the C1 control characters as well as harmless ones.
            [0xc2] => {
                self.pending.clear();
                if !(0x80..0xa0).contains(&byte) {
                    out.push(0xc2);
                    self.take(byte, out);
                }
            }
            [0x1b] if byte == b'[' => self.pending.push(byte),
            [0x1b, b'[', ..]
                if matches!(byte, b'0'..=b'9' | b';' | b':') && self.pending.len() < SEQUENCE_BYTES_MAX =>
            {
                self.pending.push(byte);
            }
            [0x1b, b'[', ..] if byte == b'm' => {
                out.append(&mut self.pending);
                out.push(byte);
            }
            // Not a colour: without its escape character it is text.
            [_, rest @ ..] => {
                out.extend_from_slice(rest);
                self.pending.clear();
                self.take(byte, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tamed(parts: &[&[u8]]) -> String {
        let mut tamer = Tamer::default();
        String::from_utf8(parts.iter().flat_map(|part| tamer.tame(part)).collect()).unwrap()
    }

    #[test]
    fn colours_and_text_pass() {
        let text = "plain\t\x1b[1;31mred\x1b[0m é ° ü\n";
        assert_eq!(tamed(&[text.as_bytes()]), text);
        let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(tamed(&bytes), text);
    }

    #[test]
    fn what_steers_a_terminal_does_not() {
        assert_eq!(tamed(&[b"a\x1b[2Jb\x07\r\x08\x7fc"]), "a[2Jbc");
        assert_eq!(tamed(&[b"\x1b]0;title\x07x"]), "]0;titlex");
        assert_eq!(tamed(&["a\u{9b}31mb".as_bytes()]), "a31mb");
        assert_eq!(tamed(&[b"\x1b\x1b[2K"]), "[2K");
        let endless = [b"\x1b[".as_slice(), &[b'1'; 100], b"m"].concat();
        assert!(!tamed(&[&endless]).contains('\x1b'));
    }
}
