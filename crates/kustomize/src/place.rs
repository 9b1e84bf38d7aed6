//! Where something was written, and what to say about it.

use std::fmt;
use std::sync::Arc;

use prograde_model::Diagnostic;

/// Where something was written. Lines and columns count from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Path of the file within its tree.
    pub file: Arc<str>,
    /// Line of the first character; 0 when the whole file is meant.
    pub line: u32,
    /// Column of the first character.
    pub column: u32,
}

impl Place {
    /// A whole file.
    pub fn file(file: impl Into<Arc<str>>) -> Self {
        Self { file: file.into(), line: 0, column: 0 }
    }

    /// A finding at this place.
    pub fn diagnostic(&self, code: &str, message: impl Into<String>, hint: impl Into<String>) -> Diagnostic {
        Diagnostic::file(code, &*self.file, message, hint).at(self.line, self.column)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}
