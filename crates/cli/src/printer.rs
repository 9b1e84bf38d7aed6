//! The one place that writes to the terminal: data to stdout, everything else to stderr.
//!
//! Colour is an addition, never the only carrier of a meaning. What comes from outside, such as a commit's subject, is
//! cleaned of control characters before it reaches a terminal.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use prograde_control::{Clock, SystemClock};
use serde::Serialize;

use crate::report::Report;
use crate::tame::Tamer;

/// How things are written.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Style {
    /// As JSON, one document a command or one line an item.
    pub(crate) json: bool,
    /// With colour on stdout.
    pub(crate) colour: bool,
    /// With colour on stderr.
    pub(crate) colour_errors: bool,
    /// For a person at a terminal: relative times, cut columns.
    pub(crate) terminal: bool,
    /// Without notes.
    pub(crate) quiet: bool,
}

impl Style {
    /// What fits where the output goes. `colour` is what was asked for, if anything was; `plain` says that the
    /// surroundings want none.
    pub(crate) fn detect(json: bool, quiet: bool, colour: Option<bool>, plain: bool) -> Self {
        let (out, err) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        Self {
            json,
            quiet,
            terminal: out,
            colour: !json && colour.unwrap_or(out && !plain),
            colour_errors: !json && colour.unwrap_or(err && !plain),
        }
    }
}

/// What a piece of text means; decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing special.
    Plain,
    /// A heading.
    Strong,
    /// Of less interest.
    Dim,
    /// Well.
    Good,
    /// To be watched.
    Warning,
    /// Broken.
    Bad,
}

impl Tone {
    /// Text in this tone (ECMA-48, "Select Graphic Rendition").
    pub(crate) fn paint(self, text: &str, colour: bool) -> String {
        let code = match self {
            Self::Plain => return text.to_owned(),
            Self::Strong => "1",
            Self::Dim => "2",
            Self::Good => "32",
            Self::Warning => "33",
            Self::Bad => "31;1",
        };
        if colour && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// How many bytes of JSON are written at once.
const JSON_BUFFER: usize = 64 * 1024;

type Sink = Mutex<Box<dyn Write + Send>>;

/// Writes what commands have to say.
pub(crate) struct Printer {
    out: Sink,
    err: Sink,
    style: Style,
    tamer: Mutex<Tamer>,
    now: Option<Timestamp>,
}

impl Printer {
    /// To the process's own streams.
    pub(crate) fn new(style: Style) -> Self {
        let (out, err) = (Mutex::new(Box::new(io::stdout()) as _), Mutex::new(Box::new(io::stderr()) as _));
        Self { out, err, style, tamer: Mutex::default(), now: None }
    }

    /// How things are written.
    pub(crate) fn style(&self) -> Style {
        self.style
    }

    /// The time to which relative times refer.
    pub(crate) fn now(&self) -> Timestamp {
        self.now.unwrap_or_else(|| SystemClock.now())
    }

    /// One line of data.
    pub(crate) fn line(&self, text: impl Display) -> Result<(), Report> {
        self.text(format!("{text}\n"))
    }

    /// Data as it is, without a line's end.
    pub(crate) fn text(&self, text: impl AsRef<[u8]>) -> Result<(), Report> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.write_all(text.as_ref()).and_then(|()| out.flush()).map_err(|error| Report::output(&error))
    }

    /// What another program printed: as it is for a pipe, without what steers a terminal for a terminal.
    pub(crate) fn output(&self, bytes: impl AsRef<[u8]>) -> Result<(), Report> {
        if !self.style.terminal {
            return self.text(bytes);
        }
        let tamed = self.tamer.lock().unwrap_or_else(PoisonError::into_inner).tame(bytes.as_ref());
        self.text(tamed)
    }

    /// What another program printed that is not this command's data: to stderr, without what steers a terminal.
    pub(crate) fn told(&self, bytes: &[u8]) {
        let tamed = self.tamer.lock().unwrap_or_else(PoisonError::into_inner).tame(bytes);
        let mut err = self.err.lock().unwrap_or_else(PoisonError::into_inner);
        // There is nowhere left to say that stderr can't be written.
        let _unwritable = err.write_all(&tamed).and_then(|()| err.flush());
    }

    /// One JSON document, for people and for pipes, written while it is made: it can be larger than memory.
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<(), Report> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = io::BufWriter::with_capacity(JSON_BUFFER, &mut *out);
        let written = serde_json::to_writer_pretty(&mut out, value).map_err(io::Error::from);
        written.and_then(|()| writeln!(out)).and_then(|()| out.flush()).map_err(|error| Report::output(&error))
    }

    /// One line of JSON, as an item of a stream.
    pub(crate) fn json_line(&self, value: &impl Serialize) -> Result<(), Report> {
        let text = serde_json::to_string(value).map_err(|error| Report::output(&io::Error::other(error)))?;
        self.line(text)
    }

    /// What the command did, as an aligned verb and its object. Not data; silent with `--quiet` and `--json`.
    pub(crate) fn note(&self, verb: &str, text: impl Display) {
        if !self.style.quiet && !self.style.json {
            let verb = Tone::Good.paint(&format!("{verb:>12}"), self.style.colour_errors);
            self.err(&format!("{verb} {text}"));
        }
    }

    /// What to do next. Not data; silent with `--quiet` and `--json`.
    pub(crate) fn next(&self, text: impl Display) {
        if !self.style.quiet && !self.style.json {
            let verb = Tone::Dim.paint(&format!("{:>12}", "next"), self.style.colour_errors);
            self.err(&format!("{verb} {text}"));
        }
    }

    /// A piece of a display that is redrawn in place, control sequences and all. Only for a stderr that is a terminal.
    pub(crate) fn draw(&self, text: &str) {
        let mut err = self.err.lock().unwrap_or_else(PoisonError::into_inner);
        let _unwritable = write!(err, "{text}").and_then(|()| err.flush());
    }

    /// Advice of several lines. Not data; silent with `--quiet` and `--json`.
    pub(crate) fn hint(&self, text: &str) {
        if !self.style.quiet && !self.style.json {
            self.err(text);
        }
    }

    /// Something that the user should know although the command goes on.
    pub(crate) fn warning(&self, text: impl Display) {
        let word = Tone::Warning.paint("warning", self.style.colour_errors);
        self.err(&format!("{word}: {text}"));
    }

    /// Why the command failed.
    pub(crate) fn report(&self, report: &Report) {
        if report.is_silent() {
            return;
        }
        if self.style.json {
            self.err(&report.to_json().to_string());
            return;
        }
        self.err(&rendered(report, self.style.colour_errors));
    }

    fn err(&self, text: &str) {
        let mut err = self.err.lock().unwrap_or_else(PoisonError::into_inner);
        // There is nowhere left to say that stderr can't be written.
        let _unwritable = writeln!(err, "{text}").and_then(|()| err.flush());
    }
}

fn rendered(report: &Report, colour: bool) -> String {
    let word = Tone::Bad.paint(&format!("error[{}]", report.code), colour);
    let mut text = format!("{word}: {}", cleaned(&report.summary));
    for cause in &report.causes {
        text.extend([format!("\n  caused by: {}", cleaned(cause))]);
    }
    for hint in &report.hints {
        text.extend([format!("\n  {} {}", Tone::Good.paint("hint:", colour), cleaned(hint))]);
    }
    text
}

/// Text without control characters but line ends and tabs, so that it can't move the cursor or fake a line.
pub(crate) fn cleaned(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// The same, in one line.
pub(crate) fn one_line(text: &str) -> String {
    cleaned(text).replace(['\n', '\t'], " ")
}

#[cfg(test)]
pub(crate) mod testing {
    //! A printer whose output can be read.

    use std::sync::Arc;

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What a command writes to stdout and stderr, at noon of the first of February 2026.
    pub(crate) fn printed(style: Style, command: impl FnOnce(&Printer) -> Result<(), Report>) -> (String, String) {
        let (out, err) = (Shared::default(), Shared::default());
        let printer = Printer {
            out: Mutex::new(Box::new(out.clone())),
            err: Mutex::new(Box::new(err.clone())),
            style,
            tamer: Mutex::default(),
            now: Some("2026-02-01T12:00:00Z".parse().unwrap()),
        };
        command(&printer).unwrap();
        let text = |sink: Shared| String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        (text(out), text(err))
    }
}

#[cfg(test)]
mod tests {
    use super::testing::printed;
    use super::*;

    #[test]
    fn a_report_is_a_code_a_summary_causes_and_hints() {
        let report = Report::new("PG0901", "can't reach the server").because(&io::Error::other("refused")).hint("try");
        let (_, err) = printed(Style::default(), |p| {
            p.report(&report);
            Ok(())
        });
        insta::assert_snapshot!(err, @r"
        error[PG0901]: can't reach the server
          caused by: refused
          hint: try
        ");
        let (_, err) = printed(Style { json: true, ..Style::default() }, |p| {
            p.report(&report);
            Ok(())
        });
        insta::assert_snapshot!(err, @r#"{"error":{"code":"PG0901","message":"can't reach the server","causes":["refused"],"hints":["try"],"exit":2}}"#);
    }

    #[test]
    fn text_from_outside_can_not_steer_the_terminal() {
        assert_eq!(cleaned("a\x1b[2Jb\rc\n\td"), "a\u{fffd}[2Jb\u{fffd}c\n\td");
        assert_eq!(one_line("a\nb\tc\x07"), "a b c\u{fffd}");
    }

    #[test]
    fn colour_is_an_addition() {
        assert_eq!(Tone::Bad.paint("failed", true), "\x1b[31;1mfailed\x1b[0m");
        assert_eq!(Tone::Bad.paint("failed", false), "failed");
    }
}
