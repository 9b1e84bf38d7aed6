//! Reads a runbook: Markdown whose blocks of shell are its steps, and says what is wrong with it and where.
//!
//! Between lines of `---` at its beginning it may say which alerts it is for, how often it is drilled, and what its commands
//! need to know. A block that begins with ```` ```sh ```` or ```` ```bash ```` is a step; `dry-run` behind it makes it the
//! rehearsal of the next one, `check` the proof of the one before. Whatever else a block is, is text.

use std::collections::BTreeMap;
use std::path::Path;

use prograde_model::quantity::Period;
use prograde_model::runbook::{Command, Parameter, Runbook, Step, TIMEOUT};
use prograde_model::{Diagnostic, Diagnostics};
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use serde::Deserialize;

/// The code of everything that is wrong with a runbook.
pub const CODE: &str = "PG0690";

/// The largest file, in bytes.
pub const FILE_BYTES_MAX: usize = 1 << 20;
/// The most steps.
const STEPS_MAX: usize = 200;
/// The longest command, in bytes.
const COMMAND_BYTES_MAX: usize = 16 * 1024;
/// The most parameters.
const PARAMETERS_MAX: usize = 50;

/// What stands between the lines of `---`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    #[serde(default)]
    alerts: Vec<String>,
    drill_every: Option<Period>,
    #[serde(default)]
    parameters: BTreeMap<String, Parameter>,
}

/// Reads the text of a runbook. `file` is its name for messages, and its stem is the runbook's name.
pub fn read(file: &str, text: &str) -> Result<Runbook, Diagnostics> {
    if text.len() > FILE_BYTES_MAX {
        let message = format!("the file has {} bytes, more than the {FILE_BYTES_MAX} that are read", text.len());
        return Err(Diagnostic::file(CODE, file, message, "split it").into());
    }
    let mut reading = Reading { file, text, ..Reading::default() };
    for (event, range) in Parser::new_ext(text, Options::ENABLE_YAML_STYLE_METADATA_BLOCKS).into_offset_iter() {
        reading.take(event, range.start);
    }
    reading.finish()
}

/// What a block of shell is to the step that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Rehearsal,
    Command,
    Check,
}

/// What is being read just now.
#[derive(Debug)]
enum Within {
    Head {
        start: usize,
    },
    Heading,
    /// None of ours where there is no part.
    Block {
        start: usize,
        part: Option<(Part, Command)>,
    },
}

#[derive(Default)]
struct Reading<'a> {
    file: &'a str,
    text: &'a str,
    within: Option<Within>,
    /// The text of it so far.
    inner: String,
    head: Head,
    title: Option<String>,
    heading: String,
    about: String,
    rehearsal: Option<Command>,
    steps: Vec<Step>,
    found: Vec<Diagnostic>,
}

impl Reading<'_> {
    fn take(&mut self, event: Event<'_>, at: usize) {
        match event {
            Event::Start(Tag::MetadataBlock(_)) => self.enter(Within::Head { start: at }),
            Event::Start(Tag::Heading { .. }) => self.enter(Within::Heading),
            Event::Start(Tag::CodeBlock(kind)) => {
                let part = match kind {
                    CodeBlockKind::Fenced(info) => self.part(&info, at),
                    CodeBlockKind::Indented => None,
                };
                self.enter(Within::Block { start: at, part });
            }
            Event::End(TagEnd::MetadataBlock(_) | TagEnd::Heading(_) | TagEnd::CodeBlock) => self.leave(),
            Event::End(TagEnd::Paragraph | TagEnd::Item) => self.push("\n"),
            Event::Text(text) | Event::Code(text) => self.push(&text),
            Event::SoftBreak | Event::HardBreak => self.push(" "),
            Event::Start(_)
            | Event::End(_)
            | Event::InlineMath(_)
            | Event::DisplayMath(_)
            | Event::Html(_)
            | Event::InlineHtml(_)
            | Event::FootnoteReference(_)
            | Event::Rule
            | Event::TaskListMarker(_) => {}
        }
    }

    fn push(&mut self, text: &str) {
        if self.within.is_some() { self.inner.push_str(text) } else { self.about.push_str(text) }
    }

    fn enter(&mut self, within: Within) {
        self.within = Some(within);
        self.inner.clear();
    }

    fn leave(&mut self) {
        let inner = std::mem::take(&mut self.inner);
        match self.within.take() {
            Some(Within::Head { start }) => self.read_head(&inner, start),
            Some(Within::Heading) => {
                let heading = inner.trim().to_owned();
                self.title.get_or_insert_with(|| heading.clone());
                self.heading = heading;
                self.about.clear();
            }
            Some(Within::Block { start, part: Some((part, command)) }) => {
                self.add(part, Command { text: inner.trim_end().to_owned(), ..command }, start);
            }
            // A block of another language is something to read.
            Some(Within::Block { part: None, .. }) | None => {}
        }
    }

    fn line(&self, at: usize) -> u32 {
        let before = self.text.get(..at).unwrap_or_default();
        u32::try_from(before.matches('\n').count() + 1).unwrap_or(u32::MAX)
    }

    fn wrong(&mut self, at: usize, message: impl Into<String>, hint: &str) {
        let line = self.line(at);
        self.found.push(Diagnostic::file(CODE, self.file, message, hint).at(line, 1));
    }

    fn read_head(&mut self, inner: &str, start: usize) {
        // As many lines before it as in the file, so that errors name the right one.
        let lines = usize::try_from(self.line(start)).unwrap_or_default();
        let text = format!("{}{inner}", "\n".repeat(lines));
        if inner.trim().is_empty() {
            return;
        }
        match prograde_yaml::decode::<Head>(self.file, &text) {
            Ok(head) => self.head = head,
            Err(mut found) => {
                if found.hint.is_empty() {
                    "`alerts`, `drill_every` and `parameters` may stand here; docs/guides/runbooks.md shows them"
                        .clone_into(&mut found.hint);
                }
                self.found.push(found);
            }
        }
        let wrong_name = |name: &&String| {
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
            !(name.bytes().all(plain) && name.starts_with(|c: char| c.is_ascii_lowercase()))
        };
        if let Some(name) = self.head.parameters.keys().find(wrong_name).cloned() {
            let hint = "name it by small letters, digits and `_`, such as `replica`; commands use it as \"$replica\"";
            self.wrong(start, format!("the parameter {name:?} can't be an environment variable of a command"), hint);
        }
        if self.head.parameters.len() > PARAMETERS_MAX {
            self.wrong(start, format!("a runbook has at most {PARAMETERS_MAX} parameters"), "split it");
        }
    }

    /// What a block is by the words behind its fence; none where it is only to be read.
    fn part(&mut self, info: &str, at: usize) -> Option<(Part, Command)> {
        let mut words = info.split_ascii_whitespace();
        let shell = words.next().filter(|word| ["sh", "bash"].contains(word))?.to_owned();
        let line = self.line(at);
        let timeout_secs = TIMEOUT.as_secs();
        let mut command = Command { line, shell, text: String::new(), timeout_secs, is_recorded: true };
        let mut part = Part::Command;
        for word in words {
            match word {
                "no-run" => return None,
                "dry-run" => part = Part::Rehearsal,
                "check" => part = Part::Check,
                "no-record" => command.is_recorded = false,
                _ => match word.strip_prefix("timeout=").and_then(|time| time.parse::<Period>().ok()) {
                    Some(time) if !time.is_zero() => {
                        command.timeout_secs = time.duration().as_secs().unsigned_abs().max(1);
                    }
                    _ => {
                        let hint = "after `sh` or `bash` may stand `dry-run`, `check`, `no-run`, `no-record` and `timeout=90s`";
                        self.wrong(at, format!("{word:?} is nothing that a block can be"), hint);
                    }
                },
            }
        }
        Some((part, command))
    }

    fn add(&mut self, part: Part, command: Command, at: usize) {
        if command.text.trim().is_empty() || command.text.len() > COMMAND_BYTES_MAX {
            let message = format!("a command has 1 to {COMMAND_BYTES_MAX} bytes, not {}", command.text.len());
            return self.wrong(at, message, "put what is longer into a script, and call that");
        }
        let about = self.about.trim().to_owned();
        match part {
            Part::Rehearsal if self.rehearsal.is_some() => {
                self.wrong(at, "a second rehearsal of the same step", "put the command between them");
            }
            Part::Rehearsal => self.rehearsal = Some(command),
            Part::Command => {
                let (title, rehearsal) = (self.heading.clone(), self.rehearsal.take());
                self.steps.push(Step { title, about, rehearsal, command, check: None });
                self.about.clear();
            }
            Part::Check => match self.steps.last_mut() {
                Some(step) if step.check.is_none() && self.rehearsal.is_none() => {
                    step.check = Some(command);
                    self.about.clear();
                }
                Some(_) | None => {
                    self.wrong(at, "a check that no command stands before", "put it behind the command that it checks");
                }
            },
        }
    }

    fn finish(mut self) -> Result<Runbook, Diagnostics> {
        if let Some(rehearsal) = self.rehearsal.take() {
            let message = "a rehearsal that no command follows";
            let hint = "put it before the command that it rehearses";
            self.found.push(Diagnostic::file(CODE, self.file, message, hint).at(rehearsal.line, 1));
        }
        if self.steps.len() > STEPS_MAX {
            let message = format!("a runbook has at most {STEPS_MAX} steps, not {}", self.steps.len());
            self.found.push(Diagnostic::file(CODE, self.file, message, "split it"));
        }
        let title = self.title.take().filter(|title| !title.is_empty()).unwrap_or_else(|| {
            let hint = "begin it with one, such as `# Orders fail`";
            self.found.push(Diagnostic::file(CODE, self.file, "the runbook has no heading", hint));
            String::new()
        });
        for step in &mut self.steps {
            if step.title.is_empty() {
                step.title.clone_from(&title);
            }
        }
        if !self.found.is_empty() {
            return Err(Diagnostics(self.found));
        }
        let name =
            Path::new(self.file).file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        let Head { alerts, drill_every, parameters } = self.head;
        Ok(Runbook { name, title, alerts, drill_every, parameters, steps: self.steps })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
---
alerts: [OrdersFail]
drill_every: 90d
parameters:
  replica: { about: which replica, default: '1' }
---
# Orders fail

Users see errors.

## Look

What do the newest ones say?

```sh
tail -n 20 log
```

```text
not a command
```

## Restart

```sh dry-run
echo \"would restart $replica\"
```

Now for real.

```bash timeout=90s no-record
restart \"$replica\"
```

```sh check timeout=5s
curl --fail http://127.0.0.1/ready
```

```sh no-run
rm -rf /
```
";

    fn errors(text: &str) -> String {
        read("runbooks/orders.md", text).unwrap_err().to_string()
    }

    #[test]
    fn blocks_of_shell_are_steps_under_their_headings() {
        let book = read("runbooks/orders.md", GOOD).unwrap();
        assert_eq!(
            (&*book.name, &*book.title, &*book.alerts),
            ("orders", "Orders fail", &["OrdersFail".to_owned()][..])
        );
        assert_eq!(book.drill_every, Some("2160h".parse().unwrap()));
        assert_eq!(book.parameters["replica"].default.as_deref(), Some("1"));
        let [look, restart] = &book.steps[..] else { panic!("{:?}", book.steps) };
        assert_eq!((&*look.title, &*look.about), ("Look", "What do the newest ones say?"));
        assert_eq!((&*look.command.text, look.command.line, look.command.timeout_secs), ("tail -n 20 log", 15, 600));
        assert_eq!((&*restart.title, &*restart.about), ("Restart", "Now for real."));
        assert_eq!(
            (&*restart.command.shell, restart.command.timeout_secs, restart.command.is_recorded),
            ("bash", 90, false)
        );
        assert_eq!(restart.rehearsal.as_ref().unwrap().text, "echo \"would restart $replica\"");
        assert_eq!(restart.check.as_ref().unwrap().timeout_secs, 5);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, place, says) in [
            (GOOD.replace("drill_every", "drill"), ":3:", "unknown field `drill`"),
            (GOOD.replace("90d", "soon"), ":3:", "duration"),
            (GOOD.replace("replica:", "PATH:"), ":1:1", "\"PATH\" can't be an environment variable"),
            (GOOD.replace("timeout=90s", "timeout=never"), ":31:1", "\"timeout=never\" is nothing"),
            (GOOD.replace("timeout=90s", "timeout=0s"), ":31:1", "\"timeout=0s\" is nothing"),
            (GOOD.replace("```bash timeout=90s no-record", "```sh dry-run"), ":31:1", "a second rehearsal"),
            (GOOD.replace("```sh check", "```sh dry-run"), ":35:1", "a rehearsal that no command follows"),
            (GOOD.replace("tail -n 20 log", ""), ":15:1", "1 to 16384 bytes"),
            (GOOD.replace("```sh\ntail", "```sh check\ntail"), ":15:1", "a check that no command stands before"),
            ("```sh\nls\n```\n".to_owned(), "orders.md:", "no heading"),
            ("x".repeat(FILE_BYTES_MAX + 1), "orders.md:", "more than the 1048576"),
            (format!("# Many\n{}", "```sh\nls\n```\n".repeat(201)), "orders.md:", "at most 200 steps, not 201"),
        ] {
            let said = errors(&text);
            assert!(said.contains(place) && said.contains(says) && said.contains("hint: "), "{said}");
        }
    }

    #[test]
    fn text_alone_is_a_runbook_too() {
        let book = read("call-the-vendor.md", "# The disk array is full\n\nCall the vendor.\n").unwrap();
        assert!(book.steps.is_empty());
        // Nested as deep as a file can be, it is read in time.
        let deep = format!("# Deep\n{}\n", "> ".repeat(100_000));
        assert!(read("deep.md", &deep).is_ok());
    }
}
