//! Pushes that may do nothing but put folders into a state that is known: `git receive-pack` asks a hook before it takes
//! them, and the hook compares the trees. The hook and the states that it knows live in a directory of one push.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::TempDir;

use super::{GitError, Takes};

/// How the names of such directories begin.
pub(super) const PREFIX: &str = "push-";

/// A folder, and the tree that it may become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderState {
    /// The folder's path, two parts deep.
    pub path: String,
    /// The id of a tree.
    pub tree: String,
}

/// The folders that a push may change, and into what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderRules {
    /// What they may become.
    pub allowed: Vec<FolderState>,
    /// What they may not become, with the reason that is said then.
    pub refused: Vec<(FolderState, String)>,
    /// What is said to whoever pushes something else.
    pub hint: String,
}

impl FolderRules {
    /// Why a folder may not become a tree, or go where there is none. The same as what [`HOOK`] says.
    pub(crate) fn refusal(&self, path: &str, tree: Option<&str>) -> Option<String> {
        let Some(tree) = tree else { return Some(format!("{path} would go")) };
        let is = |state: &FolderState| state.path == path && state.tree == tree;
        if self.allowed.iter().any(is) {
            return None;
        }
        Some(match self.refused.iter().find(|(state, _)| is(state)) {
            Some((_, why)) => format!("{path} can't be merged: {why}"),
            None => format!("{path} would become something that no release was there"),
        })
    }
}

/// Reads the updates of references on its input and refuses all of them if one is not as it should be (githooks,
/// "pre-receive"). What it says is shown to whoever pushes.
const HOOK: &str = r#"#!/bin/sh
set -u
here=$(dirname "$0")
refuse() {
    echo "$1" >&2
    cat "$here/hint" >&2
    exit 1
}
while read -r old new name; do
    [ "$name" = refs/heads/main ] || refuse "only main can be pushed to, not $name"
    case $new in *[!0]*) ;; *) refuse "main can't be deleted" ;; esac
    case $old in
    *[!0]*) ;;
    *)
        [ -s "$here/allowed" ] || refuse "nothing was deployed yet"
        old=$(git hash-object -t tree /dev/null)
        ;;
    esac
    git diff-tree -r --no-renames --name-only "$old" "$new" >"$here/files" || refuse "the commits can't be compared"
    cut -d/ -f1,2 "$here/files" | sort -u >"$here/folders"
    while read -r folder; do
        tree=$(git rev-parse --verify --quiet "$new:$folder") || refuse "$folder would go"
        grep -qxF "$folder $tree" "$here/allowed" && continue
        why=$(grep -F "$folder $tree " "$here/refused" | head -n 1 | cut -d ' ' -f 3-)
        [ -z "$why" ] || refuse "$folder can't be merged: $why"
        refuse "$folder would become something that no release was there"
    done <"$here/folders"
done
"#;

/// Refuses everything.
const CLOSED: &str = r#"#!/bin/sh
cat "$(dirname "$0")/hint" >&2
exit 1
"#;

/// The directory of hooks for one push, which is gone when dropped; none where everything is taken.
pub(super) fn hooks(repository: &Path, takes: &Takes) -> Result<Option<TempDir>, GitError> {
    let (hook, allowed, refused, hint) = match takes {
        Takes::All => return Ok(None),
        Takes::Folders(rules) => (HOOK, rules.allowed.as_slice(), rules.refused.as_slice(), &rules.hint),
        Takes::Nothing(hint) => (CLOSED, [].as_slice(), [].as_slice(), hint),
    };
    let refusal = |(state, why): &(FolderState, String)| {
        let why: String = why.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        format!("{} {} {why}\n", state.path, state.tree)
    };
    let write = || {
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(repository)?;
        let lines: String = allowed.iter().flat_map(|state| [&state.path, " ", &state.tree, "\n"]).collect();
        fs::write(dir.path().join("allowed"), lines)?;
        fs::write(dir.path().join("refused"), refused.iter().map(refusal).collect::<String>())?;
        fs::write(dir.path().join("hint"), format!("{hint}\n"))?;
        let path = dir.path().join("pre-receive");
        fs::write(&path, hook)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
        Ok::<_, io::Error>(Some(dir))
    };
    write().map_err(|source| GitError::Disk { path: repository.to_owned(), source })
}
