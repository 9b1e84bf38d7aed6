//! Where files come from: a tree in memory, or whatever a caller reads from. Paths are relative to one root, with `/`.

use std::ops::Deref;
use std::sync::Arc;

use crate::helm::Charts;
use crate::remote::Remotes;
use crate::tree::{BYTES_MAX, FileTree, join};

/// Where a path leads when symbolic links are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// No part of the path is a link.
    None,
    /// The first link on the path leads here, and the rest of the path is put behind it.
    To(String),
    /// The link of this name leads out of the root.
    Outside(String),
}

/// What rendering reads from. Answers must not change during a rendering.
pub trait Files {
    /// A file's content; nothing where there is no such file, and why where it can't be read.
    fn read(&self, path: &str) -> Result<Option<Arc<[u8]>>, String>;
    /// Whether there is such a directory; the empty path is the root.
    fn is_directory(&self, path: &str) -> bool;
    /// Where the first symbolic link on a path leads.
    fn link(&self, path: &str) -> Link;
    /// Some names of what is in a directory, for hints.
    fn names(&self, dir: &str) -> Vec<String>;
    /// The paths of all files and links below a directory that belong to the repository, in any order; the empty path is the
    /// root.
    fn paths(&self, dir: &str) -> Result<Vec<String>, String>;
    /// Who answers for bases of other repositories that are pinned to a commit; by default nobody.
    fn remotes(&self) -> Option<&dyn Remotes> {
        None
    }
    /// Who runs Helm; by default nobody.
    fn charts(&self) -> Option<&dyn Charts> {
        None
    }
}

/// Files, and who is asked for what they name and do not hold.
#[derive(Debug)]
pub struct Surrounded<F, R, C> {
    /// The files.
    pub files: F,
    /// Who answers for bases; nobody else is asked.
    pub remotes: Option<R>,
    /// Who runs Helm; nobody else does.
    pub charts: Option<C>,
}

impl<F, R, C> Files for Surrounded<F, R, C>
where
    F: Deref<Target: Files>,
    R: Deref<Target: Remotes + Sized>,
    C: Deref<Target: Charts + Sized>,
{
    fn read(&self, path: &str) -> Result<Option<Arc<[u8]>>, String> {
        self.files.read(path)
    }

    fn is_directory(&self, path: &str) -> bool {
        self.files.is_directory(path)
    }

    fn link(&self, path: &str) -> Link {
        self.files.link(path)
    }

    fn names(&self, dir: &str) -> Vec<String> {
        self.files.names(dir)
    }

    fn paths(&self, dir: &str) -> Result<Vec<String>, String> {
        self.files.paths(dir)
    }

    fn remotes(&self) -> Option<&dyn Remotes> {
        self.remotes.as_deref().map(|remotes| remotes as &dyn Remotes)
    }

    fn charts(&self) -> Option<&dyn Charts> {
        self.charts.as_deref().map(|charts| charts as &dyn Charts)
    }
}

/// Files of which one is another, or is there as well.
pub struct Replaced<'a> {
    /// The files.
    pub files: &'a dyn Files,
    /// The path of that one.
    pub path: String,
    /// Its content.
    pub content: Arc<[u8]>,
}

impl Files for Replaced<'_> {
    fn read(&self, path: &str) -> Result<Option<Arc<[u8]>>, String> {
        if path == self.path { Ok(Some(Arc::clone(&self.content))) } else { self.files.read(path) }
    }

    fn is_directory(&self, path: &str) -> bool {
        self.files.is_directory(path)
    }

    fn link(&self, path: &str) -> Link {
        self.files.link(path)
    }

    fn names(&self, dir: &str) -> Vec<String> {
        self.files.names(dir)
    }

    fn paths(&self, dir: &str) -> Result<Vec<String>, String> {
        self.files.paths(dir)
    }

    fn remotes(&self) -> Option<&dyn Remotes> {
        self.files.remotes()
    }

    fn charts(&self) -> Option<&dyn Charts> {
        self.files.charts()
    }
}

impl Files for FileTree {
    fn read(&self, path: &str) -> Result<Option<Arc<[u8]>>, String> {
        match self.bytes_left_out(path) {
            None => Ok(self.share(path)),
            Some(bytes) => Err(format!(
                "it has {bytes} bytes, and all files together more than {BYTES_MAX}, so the largest are left out"
            )),
        }
    }

    fn is_directory(&self, path: &str) -> bool {
        self.has_directory(path)
    }

    fn link(&self, path: &str) -> Link {
        let Some(link) = self.link_on(path) else { return Link::None };
        let target = self.target(link).unwrap_or_default();
        let rest = path.get(link.len()..).unwrap_or_default();
        let above = link.rsplit_once('/').map_or("", |(above, _)| above);
        join(above, &format!("{target}{rest}")).map_or_else(|| Link::Outside(link.to_owned()), Link::To)
    }

    fn names(&self, dir: &str) -> Vec<String> {
        let inside = |name: &str| {
            let rest = if dir.is_empty() { Some(name) } else { name.strip_prefix(dir)?.strip_prefix('/') };
            rest.filter(|rest| !rest.contains('/')).map(str::to_owned)
        };
        self.files().filter_map(|(name, _)| inside(name)).take(12).collect()
    }

    fn paths(&self, dir: &str) -> Result<Vec<String>, String> {
        Ok(self.below(dir))
    }
}
