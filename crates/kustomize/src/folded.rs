//! Texts that were written folded, after `>`: printed so by Kustomize's library and read again, some have more line breaks than
//! before (go.yaml.in/yaml/v3 3.0.5, `yaml_emitter_write_folded_scalar` and `yaml_parser_scan_block_scalar`).

use std::borrow::Cow;

use crate::emit::shape;

/// What a text comes back as.
pub(crate) fn again(text: &str) -> Cow<'_, str> {
    let has_break = text.trim_start_matches('\n').contains('\n');
    // What can't be a block is printed in quotes, and comes back as it was. Tabs may be in one here.
    if !has_break || !shape(&text.replace('\t', "x")).block {
        return Cow::Borrowed(text);
    }
    Cow::Owned(read(&printed(text), text))
}

/// The lines that are printed. A line break doubles, for it to be read as one, unless the line begins with a blank: that the next
/// one may is not looked at, but at the text's beginning.
fn printed(text: &str) -> String {
    let begins_blank = text.trim_start_matches('\n').chars().next().is_none_or(|first| matches!(first, ' ' | '\t'));
    let mut out = String::with_capacity(text.len() * 2);
    let (mut at_start, mut is_indented) = (true, true);
    for c in text.chars() {
        if c == '\n' {
            if !at_start && !is_indented && !begins_blank {
                out.push('\n');
            }
            at_start = true;
        } else {
            if at_start {
                is_indented = matches!(c, ' ' | '\t');
            }
            at_start = false;
        }
        out.push(c);
    }
    out
}

/// Lines after `>` as they are read; what is at the end counts as far as `text` has it there.
fn read(lines: &str, text: &str) -> String {
    let mut out = String::with_capacity(lines.len());
    // Line breaks since the last line with something in it, without its own.
    let mut breaks = 0;
    let (mut is_first, mut was_indented) = (true, false);
    for line in lines.split('\n') {
        if line.is_empty() {
            breaks += 1;
            continue;
        }
        let is_indented = line.starts_with([' ', '\t']);
        if !is_first && (was_indented || is_indented) {
            out.push('\n');
        } else if !is_first && breaks == 0 {
            out.push(' ');
        }
        out.extend(std::iter::repeat_n('\n', breaks));
        out.push_str(line);
        (breaks, is_first, was_indented) = (0, false, is_indented);
    }
    // The last line break was split off as an empty line.
    let own = usize::from(text.ends_with('\n'));
    let more = if text.ends_with("\n\n") { breaks.saturating_sub(1) } else { 0 };
    out.extend(std::iter::repeat_n('\n', own + more));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_as_kustomize_has_them() {
        // What `kustomize build` 5.8.2 prints of each after `>`.
        for (text, expected) in [
            ("a b", "a b"),
            ("a b\n", "a b\n"),
            ("a\nb\n", "a\nb\n"),
            ("a\n b", "a\n\n b"),
            ("a\n b\nc", "a\n\n b\nc"),
            (" a\nb\n", " a\nb\n"),
            ("a\n\n", "a\n\n\n"),
            ("a\n\n\n", "a\n\n\n\n"),
            ("a\n\tb\n", "a\n\n\tb\n"),
            ("\n\n\n", "\n\n\n"),
            ("\n\na\n", "\n\na\n"),
        ] {
            assert_eq!(again(text), expected, "{text:?}");
        }
    }
}
