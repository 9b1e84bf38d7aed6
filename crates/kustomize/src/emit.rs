//! Values as YAML text, byte for byte as Kustomize prints them: keys in natural order, lists not indented, and quotes
//! only where another reader would take a text for something else (go.yaml.in/yaml/v2 2.4.4).

use std::borrow::Cow;
use std::cmp::Ordering;
use std::convert::Infallible;
use std::fmt::Write as _;

use serde_json::Value as Json;

use crate::scalar::{Rules, Tag, go_float_text, tag_of};

/// Which library writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Keys in natural order.
    Sorted,
    /// Keys in the order in which they are.
    Kept,
}

/// What can be written.
pub(crate) trait Printed: Sized {
    /// Why it can't.
    type Problem;

    /// What it is; `is_top` says that it is a whole document.
    fn shown(&self, is_top: bool) -> Result<Shown<'_, Self>, Self::Problem>;
}

/// A value as it is written.
pub(crate) enum Shown<'a, T> {
    /// What is never quoted.
    Plain(Cow<'a, str>),
    Text(Cow<'a, str>),
    List(&'a [T]),
    Map(Vec<(&'a str, &'a T)>),
    /// A value of JSON stands for it.
    Json(Json),
}

impl Printed for Json {
    type Problem = Infallible;

    fn shown(&self, _: bool) -> Result<Shown<'_, Self>, Infallible> {
        Ok(match self {
            Self::Object(map) => Shown::Map(map.iter().map(|(name, value)| (name.as_str(), value)).collect()),
            Self::Array(items) => Shown::List(items),
            Self::Null => Shown::Plain("null".into()),
            Self::Bool(flag) => Shown::Plain(if *flag { "true" } else { "false" }.into()),
            Self::Number(number) => Shown::Plain(number_text(number).into()),
            Self::String(text) => Shown::Text(text.into()),
        })
    }
}

/// One document.
pub(crate) fn document(value: &Json) -> String {
    let mut out = String::new();
    let Ok(()) = add_document(&mut out, value);
    out
}

/// Writes one document behind what is there.
pub(crate) fn add_document<T: Printed>(out: &mut String, value: &T) -> Result<(), T::Problem> {
    Writer { out, order: Order::Sorted }.node(value, 0, Position::Top)
}

/// One document with its keys in the order in which they are.
pub(crate) fn document_in_order(value: &Json) -> String {
    let mut out = String::new();
    let Ok(()) = Writer { out: &mut out, order: Order::Kept }.node(value, 0, Position::Top);
    out
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Position {
    /// At the start of a document.
    Top,
    /// After `key:`.
    Value,
    /// After `- `.
    Item,
}

struct Writer<'a> {
    out: &'a mut String,
    order: Order,
}

impl Writer<'_> {
    fn node<T: Printed>(&mut self, value: &T, indent: usize, position: Position) -> Result<(), T::Problem> {
        self.write(value.shown(position == Position::Top)?, indent, position)
    }

    fn write<T: Printed>(&mut self, shown: Shown<'_, T>, indent: usize, position: Position) -> Result<(), T::Problem> {
        match shown {
            Shown::Map(entries) if entries.is_empty() => self.plain("{}", position),
            Shown::List([]) => self.plain("[]", position),
            Shown::Map(mut entries) => {
                if self.order == Order::Sorted {
                    entries.sort_by(|one, other| natural(one.0, other.0));
                }
                if position == Position::Value {
                    self.out.push('\n');
                }
                for (index, (name, value)) in entries.into_iter().enumerate() {
                    if index > 0 || position == Position::Value {
                        self.pad(indent);
                    }
                    self.key(name, indent);
                    let shown = value.shown(false)?;
                    let is_list = matches!(shown, Shown::List(_));
                    self.write(shown, if is_list { indent } else { indent + 2 }, Position::Value)?;
                }
            }
            Shown::List(items) => {
                if position == Position::Value {
                    self.out.push('\n');
                }
                for (index, item) in items.iter().enumerate() {
                    if position != Position::Item || index > 0 {
                        self.pad(indent);
                    }
                    self.out.push_str("- ");
                    self.node(item, indent + 2, Position::Item)?;
                }
            }
            Shown::Plain(text) => self.plain(&text, position),
            Shown::Text(text) => {
                if position == Position::Value {
                    self.out.push(' ');
                }
                let inner = if position == Position::Top { 0 } else { indent };
                scalar(self.out, &text, inner, false);
                self.out.push('\n');
            }
            Shown::Json(value) => {
                let Ok(()) = self.node(&value, indent, position);
            }
        }
        Ok(())
    }

    fn key(&mut self, name: &str, indent: usize) {
        if name.len() > 128 || name.contains('\n') {
            self.out.push_str("? ");
            scalar(self.out, name, indent + 2, false);
            self.out.push('\n');
            self.pad(indent);
        } else {
            scalar(self.out, name, indent, true);
        }
        self.out.push(':');
    }

    fn plain(&mut self, text: &str, position: Position) {
        if position == Position::Value {
            self.out.push(' ');
        }
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn pad(&mut self, indent: usize) {
        self.out.extend(std::iter::repeat_n(' ', indent));
    }
}

/// A number as it is printed: integers that fit 64 bits as they are, others as Go's shortest float.
fn number_text(number: &serde_json::Number) -> String {
    if number.is_i64() || number.is_u64() {
        return number.to_string();
    }
    let Some(float) = number.as_f64() else { return number.to_string() };
    // A float that JSON writes without a fraction is read back as an integer.
    if float.fract() == 0.0 && float.abs() < 1e21 {
        let whole = format!("{float:.0}");
        if whole.parse::<i64>().is_ok() || whole.parse::<u64>().is_ok() {
            return if whole == "-0" { "0".into() } else { whole };
        }
    }
    go_float_text(float, 6)
}

/// What the text is like, as far as its style depends on it.
#[derive(Default)]
pub(crate) struct Shape {
    multiline: bool,
    plain: bool,
    single: bool,
    /// Whether it may be written as a block of lines.
    pub(crate) block: bool,
}

pub(crate) fn shape(text: &str) -> Shape {
    // Most texts are names.
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'/' | b'_');
    if text.bytes().all(is_of_name) && !text.starts_with(['-', '.']) {
        return Shape { multiline: false, plain: true, single: true, block: true };
    }
    let (mut indicators, mut line_breaks, mut special) = (false, false, false);
    let (mut leading, mut trailing_space, mut trailing_break) = (false, false, false);
    let (mut break_space, mut space_break) = (false, false);
    let (mut previous_space, mut previous_break, mut after_blank) = (false, false, true);
    if text.starts_with("---") || text.starts_with("...") {
        indicators = true;
    }
    let mut chars = text.chars().peekable();
    let mut first = true;
    while let Some(c) = chars.next() {
        let last = chars.peek().is_none();
        let before_blank = chars.peek().is_none_or(|next| matches!(next, ' ' | '\t'));
        indicators |= match c {
            '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' if first => {
                true
            }
            '?' | '-' if first => before_blank,
            ':' => before_blank,
            '#' => after_blank,
            _ => false,
        };
        special |= !printable(c);
        let is_break = matches!(c, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}');
        if c == ' ' {
            leading |= first;
            trailing_space |= last;
            break_space |= previous_break;
        } else if is_break {
            line_breaks = true;
            leading |= first;
            trailing_break |= last;
            space_break |= previous_space;
        }
        previous_space = c == ' ';
        previous_break = is_break;
        after_blank = matches!(c, ' ' | '\t') || is_break;
        first = false;
    }
    let rough = space_break || special;
    Shape {
        multiline: line_breaks,
        plain: !(leading || trailing_space || trailing_break || break_space || rough || line_breaks || indicators),
        single: !(break_space || rough),
        block: !(trailing_space || rough),
    }
}

fn printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

/// Lines are folded at spaces behind this column.
const WIDTH: usize = 80;

/// Where the next character comes to stand.
fn column(out: &str) -> usize {
    out.chars().rev().take_while(|c| *c != '\n').count()
}

/// Writes a text without line breaks, folded where it is long.
fn folded(out: &mut String, text: &str, indent: usize, quoted: bool, escape: &dyn Fn(char, &mut String)) {
    let mut at = column(out);
    let mut spaces = false;
    let mut chars = text.chars().peekable();
    let mut first = true;
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        if c == ' ' {
            let inside = !quoted || (!first && next.is_some());
            if !spaces && at > WIDTH && next != Some(' ') && inside {
                out.push('\n');
                out.extend(std::iter::repeat_n(' ', indent));
                at = indent;
            } else {
                out.push(' ');
                at += 1;
            }
            spaces = true;
        } else {
            let before = out.len();
            escape(c, out);
            at += out.get(before..).unwrap_or_default().chars().count();
            spaces = false;
        }
        first = false;
    }
}

/// Writes a text in the style that it needs.
fn scalar(out: &mut String, text: &str, indent: usize, key: bool) {
    if text.is_empty() {
        out.push_str("\"\"");
        return;
    }
    let shape = shape(text);
    let is_text = tag_of(text, Rules::V2) == Tag::Str && !is_base_60(text);
    if text.contains('\n') {
        if shape.block && !key {
            return literal(out, text, indent);
        }
        return double_quoted(out, text, (!key).then_some(indent));
    }
    let fold = (!key).then_some(indent);
    if !is_text {
        return double_quoted(out, text, fold);
    }
    if shape.plain {
        match fold {
            Some(indent) if text.contains(' ') => folded(out, text, indent, false, &|c, out| out.push(c)),
            Some(_) | None => out.push_str(text),
        }
    } else if shape.single && !shape.multiline {
        out.push('\'');
        let escape = |c: char, out: &mut String| {
            out.push(c);
            if c == '\'' {
                out.push(c);
            }
        };
        match fold {
            Some(indent) => folded(out, text, indent, true, &escape),
            None => text.chars().for_each(|c| escape(c, out)),
        }
        out.push('\'');
    } else {
        double_quoted(out, text, fold);
    }
}

fn literal(out: &mut String, text: &str, indent: usize) {
    out.push('|');
    if text.starts_with([' ', '\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']) {
        out.push('2');
    }
    let trimmed = text.strip_suffix('\n');
    match trimmed {
        None => out.push('-'),
        Some(rest) if rest.is_empty() || rest.ends_with('\n') => out.push('+'),
        Some(_) => {}
    }
    let body = trimmed.unwrap_or(text);
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            out.extend(std::iter::repeat_n(' ', indent));
            out.push_str(line);
        }
    }
}

/// Writes a text in double quotes, folded at spaces behind the width where an indent is given.
fn double_quoted(out: &mut String, text: &str, fold: Option<usize>) {
    out.push('"');
    let mut at = column(out);
    let mut spaces = false;
    let mut chars = text.chars().peekable();
    let mut first = true;
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        if let Some(indent) = fold.filter(|_| c == ' ' && !spaces && at > WIDTH && !first && next.is_some()) {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            at = indent;
            if next == Some(' ') {
                out.push('\\');
                at += 1;
            }
        } else {
            let before = out.len();
            escaped(out, c);
            at += out.get(before..).unwrap_or_default().chars().count();
        }
        spaces = c == ' ';
        first = false;
    }
    out.push('"');
}

fn escaped(out: &mut String, c: char) {
    let plain = printable(c) && !matches!(c, '"' | '\\' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}');
    if plain {
        out.push(c);
        return;
    }
    let short = match c {
        '\0' => '0',
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\u{1b}' => 'e',
        '"' => '"',
        '\\' => '\\',
        '\u{85}' => 'N',
        '\u{a0}' => '_',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        other => {
            let code = u32::from(other);
            let (letter, width) = match code {
                0..=0xFF => ('x', 2),
                0x100..=0xFFFF => ('u', 4),
                _ => ('U', 8),
            };
            // Writing to a text can't fail.
            let _ = write!(out, "\\{letter}{code:0width$X}");
            return;
        }
    };
    out.push('\\');
    out.push(short);
}

/// `[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?`, which YAML 1.1 reads as a number of base 60.
fn is_base_60(text: &str) -> bool {
    let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = rest.split_once('.').map_or((rest, None), |(whole, fraction)| (whole, Some(fraction)));
    let mut parts = whole.split(':');
    let head = parts.next().unwrap_or_default();
    let head_good =
        head.starts_with(|c: char| c.is_ascii_digit()) && head.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let mut count = 0;
    let tail_good = parts.all(|part| {
        count += 1;
        match part.as_bytes() {
            [one] => one.is_ascii_digit(),
            [ten, one] => (b'0'..=b'5').contains(ten) && one.is_ascii_digit(),
            _ => false,
        }
    });
    head_good
        && tail_good
        && count > 0
        && fraction.is_none_or(|fraction| fraction.bytes().all(|b| b.is_ascii_digit() || b == b'_'))
}

/// The order of keys: letters before what is none, digits by the number that they make.
pub(crate) fn natural(one: &str, other: &str) -> Ordering {
    let differ = one.char_indices().zip(other.chars()).find(|((_, a), b)| a != b);
    let Some(((at, a), b)) = differ else { return one.len().cmp(&other.len()) };
    match (a.is_alphabetic(), b.is_alphabetic()) {
        (true, true) => a.cmp(&b),
        (false, true) => Ordering::Less,
        (true, false) => Ordering::Greater,
        (false, false) => {
            let (before, rest) = one.split_at(at);
            // Zeros are digits of a number that has begun before them.
            let begun = before.bytes().rev().take_while(u8::is_ascii_digit).any(|digit| digit != b'0');
            let start = i64::from(begun && (a == '0' || b == '0'));
            let number = |text: &str| {
                text.bytes().take_while(u8::is_ascii_digit).fold((start, 0), |(number, count): (i64, usize), digit| {
                    (number.wrapping_mul(10).wrapping_add(i64::from(digit - b'0')), count + 1)
                })
            };
            let other = other.get(at..).unwrap_or_default();
            number(rest).cmp(&number(other)).then(a.cmp(&b))
        }
    }
}

/// A tree as YAML with the styles and the order that it was read with.
pub(crate) fn styled(node: &crate::node::Node) -> String {
    let mut out = String::new();
    write_styled(&mut out, node, 0, Position::Top);
    out
}

fn write_styled(out: &mut String, node: &crate::node::Node, indent: usize, position: Position) {
    use crate::node::Value;
    let pad = |out: &mut String| out.extend(std::iter::repeat_n(' ', indent));
    match &node.value {
        Value::Map(entries) if !entries.is_empty() => {
            for (index, entry) in entries.iter().enumerate() {
                if position == Position::Value && index == 0 {
                    out.push('\n');
                }
                if index > 0 || position == Position::Value {
                    pad(out);
                }
                if entry.text_key {
                    scalar(out, &entry.name, indent, true);
                } else {
                    out.push_str(&entry.name);
                }
                out.push(':');
                let list = matches!(&entry.value.value, Value::List(items) if !items.is_empty());
                write_styled(out, &entry.value, if list { indent } else { indent + 2 }, Position::Value);
            }
        }
        Value::List(items) if !items.is_empty() => {
            if position == Position::Value {
                out.push('\n');
            }
            for (index, item) in items.iter().enumerate() {
                if index > 0 || position != Position::Item {
                    pad(out);
                }
                out.push_str("- ");
                write_styled(out, item, indent + 2, Position::Item);
            }
        }
        Value::Map(_) | Value::List(_) => {
            let space = if position == Position::Value { " " } else { "" };
            let text = if matches!(node.value, Value::Map(_)) { "{}" } else { "[]" };
            out.push_str(space);
            out.push_str(text);
            out.push('\n');
        }
        Value::Scalar(found) => {
            if position == Position::Value && !(found.tag == Tag::Null && found.text.is_empty()) {
                out.push(' ');
            }
            write_styled_scalar(out, found, if position == Position::Top { 0 } else { indent });
            out.push('\n');
        }
    }
}

fn write_styled_scalar(out: &mut String, found: &crate::node::Scalar, indent: usize) {
    use prograde_yaml::Style;
    let text = found.text.as_str();
    let shape = shape(text);
    let lines = text.contains('\n');
    let mistaken = found.tag == Tag::Str && tag_of(text, Rules::V3) != Tag::Str;
    let block = matches!(found.style, Style::Literal | Style::Folded) && !text.is_empty();
    let plain = found.style == Style::Plain && !mistaken;
    if shape.block && (block || (found.style == Style::Plain && lines)) {
        literal(out, text, indent);
    } else if plain && (text.is_empty() || shape.plain) {
        out.push_str(text);
    } else if shape.single && !lines && (plain || found.style == Style::Single) {
        out.push('\'');
        out.push_str(&text.replace('\'', "''"));
        out.push('\'');
    } else {
        double_quoted(out, text, None);
    }
}
