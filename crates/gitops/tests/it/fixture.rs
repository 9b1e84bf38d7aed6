//! Fixtures: several files in one text, each after a `=== path` line.

use prograde_gitops::FileTree;

pub(crate) fn tree(text: &str) -> FileTree {
    let mut tree = FileTree::new();
    for part in text.split("=== ").filter(|part| !part.trim().is_empty()) {
        let (path, content) = part.split_once('\n').unwrap();
        tree.insert(path, content).unwrap();
    }
    tree
}
