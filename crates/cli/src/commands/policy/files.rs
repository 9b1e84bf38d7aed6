//! Files and folders that are named on the command line or by tests.

use std::path::{Path, PathBuf};

use prograde_policy::testing::Files;
use prograde_policy::{Signature, SignedBy};
use prograde_server::policies::files::{searched, yaml};
pub(super) use prograde_server::policies::files::{texts, unusable};

use super::signatures::Lookup;
use crate::commands::rules::files::text;

/// How deep folders are searched.
const DEPTH_MAX: usize = 32;

/// What a test may reach.
pub(super) struct Beside<'p> {
    /// The folder that its paths begin at.
    pub(super) folder: &'p Path,
    /// Who looks signatures up.
    pub(super) lookup: Option<&'p Lookup<'p>>,
}

impl Files for Beside<'_> {
    fn read(&self, path: &str) -> Result<Vec<(String, String)>, String> {
        if path.contains("://") {
            return Err("only files are read, nothing is fetched".to_owned());
        }
        let mut found = Vec::new();
        for file in yaml(&self.folder.join(path), false)? {
            let read =
                text(&file).map_err(|error| error.0.first().map_or_else(String::new, |first| first.message.clone()))?;
            found.push((file.display().to_string(), read));
        }
        Ok(found)
    }

    fn signature(&self, asked: &SignedBy) -> Option<Signature> {
        self.lookup.map(|lookup| lookup.ask(asked))
    }
}

/// The tests at a path.
pub(super) fn tests(path: &Path) -> Result<Vec<PathBuf>, String> {
    if !path.is_dir() {
        return if path.exists() { Ok(vec![path.to_owned()]) } else { Err("there is no such file".to_owned()) };
    }
    searched(path, DEPTH_MAX, &|path| {
        path.file_name().is_some_and(|name| name == "kyverno-test.yaml" || name == "kyverno-test.yml")
    })
}
