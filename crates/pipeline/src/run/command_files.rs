//! The files through which a step tells the steps and jobs after it: `GITHUB_ENV`, `GITHUB_OUTPUT`, `GITHUB_PATH`
//! (GitHub's "Workflow commands", section "Environment files").

use std::io::Read as _;
use std::path::{Path, PathBuf};

/// The most bytes that one of the files may have.
pub(crate) const BYTES_MAX: u64 = 1024 * 1024;

/// Why such a file can't be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandFileError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("it has more than {BYTES_MAX} bytes")]
    TooLarge,
    #[error("{0:?} can't be the name and value of a variable")]
    Variable(String),
    #[error("it is not UTF-8")]
    NotText,
    #[error("line {line} is {text:?}, and must be `name=value` or `name<<delimiter`")]
    Line { line: usize, text: String },
    #[error("the value that starts in line {line} is never ended by a line {delimiter:?}")]
    Unended { line: usize, delimiter: String },
}

/// The files of one step.
pub(crate) struct CommandFiles {
    /// `GITHUB_ENV`.
    pub(crate) env: PathBuf,
    /// `GITHUB_OUTPUT`.
    pub(crate) output: PathBuf,
    /// `GITHUB_PATH`.
    pub(crate) path: PathBuf,
    /// `GITHUB_STEP_SUMMARY`.
    pub(crate) summary: PathBuf,
    /// `GITHUB_STATE`: of use to actions alone, and there for scripts that expect it.
    pub(crate) state: PathBuf,
}

impl CommandFiles {
    /// Makes the empty files in `directory`.
    pub(crate) fn create(directory: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let make = |name: &str| {
            let path = directory.join(name);
            std::fs::write(&path, "").map(|()| path)
        };
        Ok(Self {
            env: make("env")?,
            output: make("output")?,
            path: make("path")?,
            summary: make("summary")?,
            state: make("state")?,
        })
    }
}

/// A file's text; nothing where the step removed it.
pub(crate) fn read(path: &Path) -> Result<String, CommandFileError> {
    let file = match std::fs::symlink_metadata(path) {
        Ok(about) if about.is_file() => std::fs::File::open(path)?,
        Ok(_) => return Ok(String::new()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(CommandFileError::TooLarge);
    }
    let text = String::from_utf8(bytes).map_err(|_| CommandFileError::NotText)?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// The names and values in `GITHUB_ENV` or `GITHUB_OUTPUT`.
pub(crate) fn pairs(text: &str) -> Result<Vec<(String, String)>, CommandFileError> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let broken = || CommandFileError::Line { line: index + 1, text: line.chars().take(100).collect() };
        let (equals, heredoc) = (line.find('='), line.find("<<"));
        let (name, value) = match (equals, heredoc) {
            (_, Some(at)) if equals.is_none_or(|equals| at < equals) => {
                let (name, rest) = line.split_at(at);
                let delimiter = rest.get(2..).unwrap_or_default();
                if delimiter.is_empty() {
                    return Err(broken());
                }
                let mut value = Vec::new();
                loop {
                    match lines.next() {
                        Some((_, own)) if own == delimiter => break,
                        Some((_, own)) => value.push(own),
                        None => {
                            let delimiter = delimiter.chars().take(100).collect();
                            return Err(CommandFileError::Unended { line: index + 1, delimiter });
                        }
                    }
                }
                (name, value.join("\n"))
            }
            (Some(at), _) => {
                let (name, rest) = line.split_at(at);
                (name, rest.get(1..).unwrap_or_default().to_owned())
            }
            (None, _) => return Err(broken()),
        };
        if name.is_empty() {
            return Err(broken());
        }
        found.push((name.to_owned(), value));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_ways_of_writing_a_value_are_read() {
        let text = "A=1\nB<<END\nx=1\n\ny\nEND\n\nC=a<<b\nD<<E=F\nv\nE=F\n";
        let found = pairs(text).unwrap();
        let shown: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(shown, [("A", "1"), ("B", "x=1\n\ny"), ("C", "a<<b"), ("D", "v")]);
    }

    #[test]
    fn what_is_neither_is_refused_with_its_line() {
        for (text, message) in [
            ("A=1\nnothing", "line 2 is \"nothing\", and must be `name=value` or `name<<delimiter`"),
            ("=x", "line 1 is \"=x\", and must be `name=value` or `name<<delimiter`"),
            ("A<<", "line 1 is \"A<<\", and must be `name=value` or `name<<delimiter`"),
            ("\nA<<END\nx", "the value that starts in line 2 is never ended by a line \"END\""),
        ] {
            assert_eq!(pairs(text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn files_are_bounded_and_may_be_gone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("env");
        assert_eq!(read(&path).unwrap(), "");
        std::fs::write(&path, vec![b'x'; 1024 * 1024 + 1]).unwrap();
        assert!(matches!(read(&path), Err(CommandFileError::TooLarge)));
        std::fs::write(&path, b"\xff").unwrap();
        assert!(matches!(read(&path), Err(CommandFileError::NotText)));
    }

    proptest! {
        #[test]
        fn any_value_survives_with_a_delimiter_of_its_own(value in "[ -~\n]{0,60}") {
            prop_assume!(!value.lines().any(|line| line == "EOF-1"));
            let expected = value.lines().collect::<Vec<_>>().join("\n");
            let text = format!("X<<EOF-1\n{expected}\nEOF-1\n");
            let found = pairs(&text).unwrap();
            prop_assert_eq!(found[0].1.trim_end_matches('\n'), expected.trim_end_matches('\n'));
        }
    }
}
