//! Workflow commands: lines such as `::add-mask::text` that a step writes to its output (GitHub's "Workflow commands").

/// What a line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// `::add-mask::text`.
    AddMask(String),
    /// `::set-output name=…::value`, deprecated and still carried out.
    SetOutput { name: String, value: String },
    /// `::stop-commands::token`.
    Stop(String),
    /// `::token::` of the command that stopped them.
    Resume,
    /// A command that GitHub turned off for good, by name.
    Disabled(String),
    /// `::error::`, `::group::` and whatever else is only shown.
    Shown,
}

/// Reads the commands in a step's lines, and knows whether they are stopped.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    stopped_by: Option<String>,
}

impl Commands {
    /// The command in a line, if it is one that counts now.
    pub(crate) fn read(&mut self, line: &str) -> Option<Command> {
        let (head, data) = line.trim_start().strip_prefix("::")?.split_once("::")?;
        if let Some(token) = &self.stopped_by {
            if head != token {
                return None;
            }
            self.stopped_by = None;
            return Some(Command::Resume);
        }
        let (name, properties) = head.split_once(' ').unwrap_or((head, ""));
        Some(match name.to_ascii_lowercase().as_str() {
            "add-mask" => Command::AddMask(unescaped(data)),
            "set-output" => {
                let name = properties.split(',').find_map(|property| property.trim().strip_prefix("name="));
                Command::SetOutput { name: unescaped(name.unwrap_or_default()), value: unescaped(data) }
            }
            "stop-commands" if !data.trim().is_empty() => {
                self.stopped_by = Some(data.trim().to_owned());
                Command::Stop(data.trim().to_owned())
            }
            disabled @ ("set-env" | "add-path") => Command::Disabled(disabled.to_owned()),
            _ => Command::Shown,
        })
    }
}

/// A command's text as it was before it was made to fit into one line.
fn unescaped(text: &str) -> String {
    text.replace("%0D", "\r").replace("%0A", "\n").replace("%3A", ":").replace("%2C", ",").replace("%25", "%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_and_stopped_by_their_token() {
        let mut commands = Commands::default();
        assert_eq!(commands.read("::add-mask::a%0Ab%25"), Some(Command::AddMask("a\nb%".into())));
        assert_eq!(
            commands.read("::set-output name=x::1::2"),
            Some(Command::SetOutput { name: "x".into(), value: "1::2".into() })
        );
        assert_eq!(commands.read("  ::error file=a.rs,line=1::broken"), Some(Command::Shown));
        assert_eq!(commands.read("::set-env name=A::b"), Some(Command::Disabled("set-env".into())));
        assert_eq!(commands.read("::stop-commands::t0"), Some(Command::Stop("t0".into())));
        assert_eq!(commands.read("::add-mask::x"), None);
        assert_eq!(commands.read("::t0::"), Some(Command::Resume));
        assert_eq!(commands.read("::add-mask::x"), Some(Command::AddMask("x".into())));
        for text in ["", "::", ":::", "plain", "a ::add-mask::x", "std::vec"] {
            assert_eq!(commands.read(text), None, "{text}");
        }
    }
}
