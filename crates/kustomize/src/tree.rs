//! A directory's files in memory: what rendering reads instead of a disk. Invariant: every path is relative, in normal
//! form and inside the tree, and the whole is bounded.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

/// The most files in a tree.
pub const FILES_MAX: usize = 100_000;
/// The most bytes in all files of a tree.
pub const BYTES_MAX: usize = 64 * 1024 * 1024;
/// The longest path, in bytes.
pub const PATH_BYTES_MAX: usize = 1_024;

/// Why a file can't be put into a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// The path is not relative, has `.`, `..` or empty components, or control characters.
    #[error("{0:?} is not a plain relative path")]
    Path(String),
    /// Too many files, or too many bytes.
    #[error("the directory has more than {FILES_MAX} files or {BYTES_MAX} bytes")]
    TooLarge,
}

/// Files and symbolic links by path, with `/` between components. A copy shares the contents.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct FileTree {
    files: BTreeMap<String, Arc<[u8]>>,
    links: BTreeMap<String, String>,
    /// Files that are too large to be here, with their bytes.
    left_out: BTreeMap<String, u64>,
    bytes: usize,
}

impl FileTree {
    /// An empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// A tree of these files.
    pub fn from_files<P: Into<String>, C: Into<Vec<u8>>>(
        files: impl IntoIterator<Item = (P, C)>,
    ) -> Result<Self, TreeError> {
        let mut tree = Self::new();
        for (path, content) in files {
            tree.insert(path, content)?;
        }
        Ok(tree)
    }

    /// Puts a file in, replacing what was there.
    pub fn insert(&mut self, path: impl Into<String>, content: impl Into<Vec<u8>>) -> Result<(), TreeError> {
        let (path, content) = (checked(path.into())?, content.into());
        let replaced = self.files.get(&path).map_or(0, |before| before.len());
        let bytes = self.bytes - replaced + content.len();
        if bytes > BYTES_MAX || self.is_full() {
            return Err(TreeError::TooLarge);
        }
        self.bytes = bytes;
        self.files.insert(path, Arc::from(content));
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.files.len() + self.links.len() + self.left_out.len() >= FILES_MAX
    }

    /// Takes a file or a symbolic link out, if it is there.
    pub fn remove(&mut self, path: &str) {
        self.bytes -= self.files.remove(path).map_or(0, |content| content.len());
        self.links.remove(path);
        self.left_out.remove(path);
    }

    /// Says that there is a file of so many bytes, which is too large to be here: whoever reads it is told so.
    pub fn leave_out(&mut self, path: impl Into<String>, bytes: u64) -> Result<(), TreeError> {
        let path = checked(path.into())?;
        if self.is_full() {
            return Err(TreeError::TooLarge);
        }
        self.left_out.insert(path, bytes);
        Ok(())
    }

    /// The files that are too large to be here, with their bytes.
    pub fn left_out(&self) -> impl Iterator<Item = (&str, u64)> {
        self.left_out.iter().map(|(path, bytes)| (path.as_str(), *bytes))
    }

    /// How large a file is that is too large to be here.
    pub(crate) fn bytes_left_out(&self, path: &str) -> Option<u64> {
        self.left_out.get(path).copied()
    }

    /// Puts a symbolic link in. It is never followed; it is kept so that whoever needs the file is told what it is.
    pub fn insert_link(&mut self, path: impl Into<String>, target: impl Into<String>) -> Result<(), TreeError> {
        let path = checked(path.into())?;
        if self.is_full() {
            return Err(TreeError::TooLarge);
        }
        self.links.insert(path, target.into());
        Ok(())
    }

    /// A file's content.
    pub fn get(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(|content| &**content)
    }

    /// A file's content, to be kept.
    pub fn share(&self, path: &str) -> Option<Arc<[u8]>> {
        self.files.get(path).cloned()
    }

    /// All files in the order of their paths.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(path, content)| (path.as_str(), &**content))
    }

    /// All symbolic links with their targets.
    pub fn links(&self) -> impl Iterator<Item = (&str, &str)> {
        self.links.iter().map(|(path, target)| (path.as_str(), target.as_str()))
    }

    /// Where a symbolic link points.
    pub fn target(&self, link: &str) -> Option<&str> {
        self.links.get(link).map(String::as_str)
    }

    /// The paths of all files and symbolic links below a directory; the empty path is the whole tree.
    pub fn below(&self, dir: &str) -> Vec<String> {
        let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        let files = below(&self.files, &prefix).chain(below(&self.links, &prefix));
        files.chain(below(&self.left_out, &prefix)).cloned().collect()
    }

    /// The symbolic link that this path is, or lies below.
    pub fn link_on(&self, path: &str) -> Option<&str> {
        if self.links.is_empty() {
            return None;
        }
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        let above = ends.filter_map(|end| path.get(..end));
        above.filter_map(|part| self.links.get_key_value(part)).map(|(link, _)| link.as_str()).next()
    }

    /// Whether any file lies below the directory; the empty path is the whole tree.
    pub fn has_directory(&self, dir: &str) -> bool {
        dir.is_empty() || {
            let prefix = format!("{dir}/");
            below(&self.files, &prefix).chain(below(&self.left_out, &prefix)).next().is_some()
        }
    }

    /// Whether there is neither file nor link.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.links.is_empty() && self.left_out.is_empty()
    }

    /// The number of files.
    pub fn len(&self) -> usize {
        self.files.len()
    }
}

/// The paths that begin so.
fn below<'t, T>(paths: &'t BTreeMap<String, T>, prefix: &'t str) -> impl Iterator<Item = &'t String> {
    let from = paths.range::<str, _>((Bound::Included(prefix), Bound::Unbounded)).map(|(path, _)| path);
    from.take_while(move |path| path.starts_with(prefix))
}

/// Only paths and sizes: the contents may hold secrets.
impl fmt::Debug for FileTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.files.iter().map(|(path, content)| (path, content.len())))
            .entries(self.links.iter())
            .entries(self.left_out.iter())
            .finish()
    }
}

fn checked(path: String) -> Result<String, TreeError> {
    if is_plain(&path) { Ok(path) } else { Err(TreeError::Path(path.chars().take(200).collect())) }
}

/// Whether a path is relative, normal, free of control characters and not too long.
pub fn is_plain(path: &str) -> bool {
    path.len() <= PATH_BYTES_MAX
        && !path.chars().any(char::is_control)
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

/// Whether `path` is `dir` or lies below it.
pub fn is_within(path: &str, dir: &str) -> bool {
    path.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `path` as seen from the directory `base`, in normal form; `None` where it leaves the tree or is absolute.
pub fn join(base: &str, path: &str) -> Option<String> {
    if path.starts_with('/') || path.len() > PATH_BYTES_MAX || path.chars().any(char::is_control) {
        return None;
    }
    let mut parts: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_enter() {
        let mut tree = FileTree::new();
        for bad in ["", "/a", "a//b", "a/../b", "./a", "a/.", "a\nb", "a/", &"a".repeat(PATH_BYTES_MAX + 1)] {
            assert!(tree.insert(bad, "x").is_err(), "{bad:?}");
        }
        tree.insert("a/b.yaml", "x").unwrap();
        assert!(tree.has_directory("a") && tree.has_directory("") && !tree.has_directory("a/b"));
    }

    #[test]
    fn the_whole_is_bounded() {
        let mut tree = FileTree::new();
        tree.insert("big", vec![0; BYTES_MAX]).unwrap();
        assert_eq!(tree.insert("one", "x"), Err(TreeError::TooLarge));
        tree.insert("big", "small now").unwrap();
        tree.insert("one", "x").unwrap();
        let many = FileTree::from_files((0..=FILES_MAX).map(|n| (n.to_string(), "")));
        assert_eq!(many, Err(TreeError::TooLarge));
    }

    #[test]
    fn what_is_below_a_directory() {
        let mut tree = FileTree::from_files([("a/x", "1"), ("a/b/y", "2"), ("ab/z", "3"), ("a.yaml", "4")]).unwrap();
        tree.insert_link("a/link", "../ab").unwrap();
        assert_eq!(tree.below("a"), ["a/b/y", "a/x", "a/link"]);
        assert_eq!(tree.below("").len(), 5);
        assert_eq!(tree.below("a/x"), [""; 0]);
        assert_eq!(tree.link_on("a/link/below"), Some("a/link"));
        let copy = tree.clone();
        tree.remove("a/x");
        tree.remove("a/link");
        tree.remove("nowhere");
        assert_eq!((tree.below("a"), tree.link_on("a/link"), tree.bytes), (vec!["a/b/y".to_owned()], None, 3));
        assert_eq!((copy.get("a/x"), copy.bytes), (Some(&b"1"[..]), 4));
    }

    #[test]
    fn paths_join_inside_the_tree_only() {
        assert_eq!(join("a/b", "../c/./d.yaml").as_deref(), Some("a/c/d.yaml"));
        assert_eq!(join("a", "..").as_deref(), Some(""));
        assert_eq!(join("a", "../.."), None);
        assert_eq!(join("a", "/etc/passwd"), None);
    }

    #[test]
    fn contents_are_not_shown() {
        let mut tree = FileTree::from_files([("secret.yaml", "hunter2")]).unwrap();
        tree.insert_link("link", "../x").unwrap();
        assert!(!format!("{tree:?}").contains("hunter2"));
        assert_eq!(tree.link_on("link/below"), Some("link"));
    }
}
