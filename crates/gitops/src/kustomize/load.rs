//! Files of the tree, as kustomizations name them. Invariant: nothing outside the tree is named, and no link followed.

use std::sync::Arc;

use prograde_model::Diagnostic;

use super::budget::Budget;
use super::kustomization::Named;
use crate::codes;
use crate::located::{Located, Place};
use crate::tree::{FileTree, join};

/// The names that a kustomization file may have.
pub(super) const KUSTOMIZATION_FILES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Reads a tree.
pub(super) struct Loader<'a> {
    tree: &'a FileTree,
}

/// What a path leads to.
pub(super) enum Found {
    /// A file.
    File(String),
    /// A directory.
    Directory(String),
}

impl<'a> Loader<'a> {
    pub(super) fn new(tree: &'a FileTree) -> Self {
        Self { tree }
    }

    /// The path within the tree that `named` means, seen from the directory.
    fn resolve(&self, dir: &str, named: &Named) -> Result<String, Diagnostic> {
        let wrong = |message: String, hint: &str| Err(named.place.diagnostic(codes::ESCAPE, message, hint));
        let shown: String = named.text.chars().take(200).collect();
        if named.text.contains("://") || named.text.starts_with("git@") || named.text.contains("?ref=") {
            return wrong(
                format!("`{shown}` is not in this repository"),
                "copy what it has into the repository; a release must be complete",
            );
        }
        let Some(path) = join(dir, &named.text) else {
            return wrong(format!("`{shown}` is outside of the manifests' directory"), "move the file into it");
        };
        match self.tree.link_on(&path) {
            None => Ok(path),
            Some(link) => wrong(format!("`{link}` is a symbolic link, which is not followed"), "name the file itself"),
        }
    }

    /// A file's path and content.
    pub(super) fn file(&self, dir: &str, named: &Named) -> Result<(String, &'a [u8]), Diagnostic> {
        let path = self.resolve(dir, named)?;
        match self.tree.get(&path) {
            Some(content) => Ok((path, content)),
            None => Err(missing(named, &path)),
        }
    }

    /// The file or directory that an entry of `resources` means.
    pub(super) fn find(&self, dir: &str, named: &Named) -> Result<Found, Diagnostic> {
        let path = self.resolve(dir, named)?;
        if self.tree.get(&path).is_some() {
            Ok(Found::File(path))
        } else if self.tree.has_directory(&path) {
            Ok(Found::Directory(path))
        } else {
            Err(missing(named, &path))
        }
    }

    /// The documents of a YAML file.
    pub(super) fn documents(&self, dir: &str, named: &Named, budget: &mut Budget) -> Result<Vec<Located>, Diagnostic> {
        let (path, content) = self.file(dir, named)?;
        budget.spend(content.len(), &named.place)?;
        parse(&path, content)
    }

    /// The one kustomization file of a directory.
    pub(super) fn kustomization(&self, dir: &str, from: &Place, budget: &mut Budget) -> Result<Located, Diagnostic> {
        let paths: Vec<String> = KUSTOMIZATION_FILES
            .iter()
            .filter_map(|name| join(dir, name))
            .filter(|path| self.tree.get(path).is_some() || self.tree.link_on(path).is_some())
            .collect();
        let shown = if dir.is_empty() { "." } else { dir };
        let path = match paths.as_slice() {
            [path] => path,
            [] => {
                let message = format!("the directory `{shown}` has no `kustomization.yaml`");
                return Err(from.diagnostic(codes::MISSING, message, "add one, or list the directory's files"));
            }
            [..] => {
                let message = format!("the directory `{shown}` has several kustomization files");
                return Err(from.diagnostic(codes::INVALID_FIELD, message, "keep `kustomization.yaml`"));
            }
        };
        let named = Named { text: path.clone(), place: from.clone() };
        let mut documents = self.documents("", &named, budget)?;
        match (documents.pop(), documents.is_empty()) {
            (Some(document), true) => Ok(document),
            (Some(second), false) => Err(second.place.diagnostic(
                codes::INVALID_FIELD,
                "a kustomization file must be one document",
                "move objects into files of their own and list them under `resources`",
            )),
            (None, _) => {
                Err(Diagnostic::file(codes::INVALID_FIELD, path, "the kustomization is empty", "list `resources`"))
            }
        }
    }

    /// The documents of a text inside a kustomization, with places in that file.
    pub(super) fn inline(&self, text: &Named, budget: &mut Budget) -> Result<Vec<Located>, Diagnostic> {
        budget.spend(text.text.len(), &text.place)?;
        let (line_offset, column_offset) = self.block_offset(text);
        let file = text.place.file.clone();
        let place = |line: u32, column: u32| Place {
            file: file.clone(),
            line: line.saturating_add(line_offset),
            column: column.saturating_add(column_offset),
        };
        let found = prograde_yaml::documents(&text.place.file, &text.text).map_err(|mut error| {
            let at = place(error.line, error.column);
            (error.line, error.column) = (at.line, at.column);
            error
        })?;
        found.into_iter().map(|node| Located::from_node(node, &place)).collect()
    }

    /// How far a block scalar's text is from the place where the scalar begins: the text is on the next line, indented.
    fn block_offset(&self, text: &Named) -> (u32, u32) {
        let start = text.place.line;
        let lines: Vec<&str> = self
            .tree
            .get(&text.place.file)
            .and_then(|content| std::str::from_utf8(content).ok())
            .map(|content| {
                content.lines().skip(usize::try_from(start).unwrap_or(usize::MAX).saturating_sub(1)).take(2).collect()
            })
            .unwrap_or_default();
        let first = text.text.lines().next().unwrap_or_default();
        let column = |line: &str| u32::try_from(line.len().saturating_sub(first.len())).unwrap_or(0);
        match lines.as_slice() {
            // The scalar's place is the line of its first character, or that of its `|`, whichever the reader gives.
            [line, ..] if line.trim_start() == first.trim_start() => (start.saturating_sub(1), column(line)),
            [_, line] if line.trim_start() == first.trim_start() => (start, column(line)),
            _ => (start.saturating_sub(1), 0),
        }
    }
}

fn missing(named: &Named, path: &str) -> Diagnostic {
    let shown = if path.is_empty() { "." } else { path };
    named.place.diagnostic(
        codes::MISSING,
        format!("`{shown}` is not there"),
        "check the name; it is relative to this file",
    )
}

/// The documents of a file.
pub(super) fn parse(path: &str, content: &[u8]) -> Result<Vec<Located>, Diagnostic> {
    let Ok(text) = std::str::from_utf8(content) else {
        return Err(Diagnostic::file(codes::NOT_AN_OBJECT, path, "the file is not UTF-8", "save it as UTF-8"));
    };
    let file: Arc<str> = path.into();
    let place = |line: u32, column: u32| Place { file: file.clone(), line, column };
    prograde_yaml::documents(path, text)?.into_iter().map(|node| Located::from_node(node, &place)).collect()
}
