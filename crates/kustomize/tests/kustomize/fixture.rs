//! Fixtures: several files in one text, each after a `=== path` line.

use std::path::Path;

use prograde_kustomize::FileTree;

pub(crate) fn tree(text: &str) -> FileTree {
    let mut tree = FileTree::new();
    for part in format!("\n{text}").split("\n=== ").skip(1) {
        let (path, content) = part.split_once('\n').unwrap_or((part, ""));
        tree.insert(path.trim(), format!("{}\n", content.trim_end_matches('\n'))).unwrap();
    }
    tree
}

pub(crate) fn write(tree: &FileTree, into: &Path) {
    for (path, content) in tree.files() {
        let path = into.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

/// The text that is rendered, or what is said instead.
pub(crate) fn rendered(tree: &FileTree, dir: &str) -> Result<String, String> {
    prograde_kustomize::render(tree, dir).and_then(|done| done.to_yaml()).map_err(|error| error.to_string())
}
