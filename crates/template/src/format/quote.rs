//! Texts in quotes.
//!
//! Source: Go 1.26, documentation of `strconv`, `Quote`.

use std::fmt::Write as _;

/// In double quotes, with escapes; all but ASCII is escaped if it is asked for.
pub(crate) fn quote(text: &str, ascii: bool) -> String {
    within('"', text.chars(), ascii)
}

/// A character in single quotes.
pub(crate) fn quote_character(letter: char, ascii: bool) -> String {
    within('\'', std::iter::once(letter), ascii)
}

fn within(mark: char, letters: impl Iterator<Item = char>, ascii: bool) -> String {
    let mut quoted = String::from(mark);
    for letter in letters {
        push(&mut quoted, mark, letter, ascii);
    }
    quoted.push(mark);
    quoted
}

fn push(quoted: &mut String, mark: char, letter: char, ascii: bool) {
    let simple = match letter {
        '\x07' => 'a',
        '\x08' => 'b',
        '\x0c' => 'f',
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        '\x0b' => 'v',
        '\\' => '\\',
        _ if letter == mark => mark,
        _ if is_printable(letter) && (letter.is_ascii() || !ascii) => return quoted.push(letter),
        _ => {
            let code = u32::from(letter);
            // Writing to a text can't fail.
            let _ = match code {
                0..0x20 | 0x7f => write!(quoted, "\\x{code:02x}"),
                0x20..0x1_0000 => write!(quoted, "\\u{code:04x}"),
                0x1_0000.. => write!(quoted, "\\U{code:08x}"),
            };
            return;
        }
    };
    quoted.extend(['\\', simple]);
}

/// Whether a character shows: not a control character, not unassigned, and of spaces only the plain one.
pub(crate) fn is_printable(letter: char) -> bool {
    // What is debugged after another letter is escaped if it does not show, but not for being a combining mark.
    letter.is_ascii_graphic()
        || letter == ' '
        || (!letter.is_ascii() && {
            let mut both = String::from("a");
            both.push(letter);
            both.escape_debug().nth(1) == Some(letter)
        })
}
