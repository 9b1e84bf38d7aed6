//! `actions/checkout`: puts the pushed commit's files into the job's own workspace.

use std::fmt;
use std::path::{Path, PathBuf};

use futures_util::future::BoxFuture;
use prograde_model::CommitId;

use super::{Done, given};
use crate::files::{FilesError, make_directory, normal};

/// Puts a commit's files into a directory. Given by whoever can read the repository.
pub trait Checkout: Send + Sync {
    /// Writes all files of `commit` into `into`, which exists. Dropping the future may leave some of them behind.
    fn checkout<'a>(&'a self, commit: &'a CommitId, into: &'a Path) -> BoxFuture<'a, Result<(), CheckoutError>>;
}

/// Why a commit could not be checked out, in the words of whoever tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckoutError(pub String);

impl fmt::Display for CheckoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CheckoutError {}

/// Where a checkout goes: the workspace, or `path` below it, made where it is missing.
pub(crate) fn destination(workspace: &Path, inputs: &[(String, String)]) -> Result<PathBuf, FilesError> {
    let Some(path) = given(inputs, "path") else { return Ok(workspace.to_owned()) };
    let escapes = || FilesError::Escapes(path.to_owned());
    let into = normal(&workspace.join(path)).filter(|own| own.starts_with(workspace)).ok_or_else(escapes)?;
    make_directory(&into, workspace)?;
    Ok(into)
}

/// What a checkout has to say.
pub(crate) fn done(commit: &CommitId, reference: &str) -> Done {
    Done {
        outputs: vec![("commit".to_owned(), commit.as_str().to_owned()), ("ref".to_owned(), reference.to_owned())],
        lines: vec![format!("Checked out {commit}")],
    }
}
