//! Files, as kustomizations name them. Invariant: nothing outside of its tree is read, each file is parsed once, and
//! what was read is known afterwards.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use prograde_model::Diagnostic;

use crate::codes;
use crate::files::{Files, Link};
use crate::helm::{self, ChartFiles, Charts};
use crate::node::{Node, Repeated};
use crate::options::Options;
use crate::place::Place;
use crate::remote::RemoteBase;
use crate::tree::{is_within, join};

/// The names that a kustomization file may have.
pub const KUSTOMIZATION_FILES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// How many symbolic links are followed for one path.
const LINKS_MAX: usize = 20;

/// Which files a rendering depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reads {
    /// The files that were read.
    pub files: BTreeSet<String>,
    /// The paths that were looked for and are not there: a rendering may change when one of them comes to be.
    pub missing: BTreeSet<String>,
    /// Whether a program made a part of it, which may make another the next time.
    pub program: bool,
}

/// A directory of one of the trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dir {
    tree: usize,
    pub(crate) path: String,
}

/// A text where it is written.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(crate) text: String,
    pub(crate) place: Place,
}

type Parsed = HashMap<(usize, String), Arc<Vec<Node>>>;

struct Fetched {
    prefix: String,
    tree: Arc<dyn Files>,
}

/// Reads trees.
pub(crate) struct Loader<'a> {
    main: &'a dyn Files,
    options: Options,
    fetched: RefCell<Vec<Fetched>>,
    parsed: RefCell<Parsed>,
    kustomizations: RefCell<Parsed>,
    reads: RefCell<Reads>,
}

impl<'a> Loader<'a> {
    pub(crate) fn new(main: &'a dyn Files, options: Options) -> Self {
        Self {
            main,
            options,
            fetched: RefCell::new(Vec::new()),
            parsed: RefCell::new(HashMap::new()),
            kustomizations: RefCell::new(HashMap::new()),
            reads: RefCell::new(Reads::default()),
        }
    }

    /// What was read since it was asked last.
    pub(crate) fn take_reads(&self) -> Reads {
        std::mem::take(&mut self.reads.borrow_mut())
    }

    /// A directory of the caller's tree.
    pub(crate) fn root(&self, path: &str, place: &Place) -> Result<Dir, Diagnostic> {
        let shown = || format!("`{path}` is outside of the tree");
        let Some(joined) = join("", path) else {
            return Err(place.diagnostic(codes::ESCAPE, shown(), ""));
        };
        let path = self.follow(0, &joined, place)?;
        Ok(Dir { tree: 0, path })
    }

    fn with_tree<T>(&self, tree: usize, take: impl FnOnce(&dyn Files) -> T) -> T {
        let fetched = tree.checked_sub(1).and_then(|at| self.fetched.borrow().get(at).map(|one| Arc::clone(&one.tree)));
        match fetched {
            Some(tree) => take(&*tree),
            None => take(self.main),
        }
    }

    fn read(&self, tree: usize, path: &str, place: &Place) -> Result<Option<Arc<[u8]>>, Diagnostic> {
        self.with_tree(tree, |files| files.read(path)).map_err(|why| {
            let message = format!("`{path}` can't be read: {why}");
            place.diagnostic(
                codes::MISSING,
                message,
                "check its permissions; make it smaller, or keep large files that nothing needs in another place",
            )
        })
    }

    /// How a file of a tree is named in messages.
    pub(crate) fn shown(&self, tree: usize, path: &str) -> String {
        match tree.checked_sub(1).and_then(|at| self.fetched.borrow().get(at).map(|fetched| fetched.prefix.clone())) {
            Some(prefix) => format!("{prefix}//{path}"),
            None => path.to_owned(),
        }
    }

    /// Where symbolic links within the tree lead.
    fn follow(&self, tree: usize, path: &str, place: &Place) -> Result<String, Diagnostic> {
        let mut path = path.to_owned();
        for _ in 0..LINKS_MAX {
            match self.with_tree(tree, |files| files.link(&path)) {
                Link::None => return Ok(path),
                Link::To(next) => path = next,
                Link::Outside(link) => {
                    let message = format!("`{link}` is a symbolic link that leads out of the tree");
                    return Err(place.diagnostic(codes::ESCAPE, message, "put the file itself there"));
                }
            }
        }
        Err(place.diagnostic(codes::CYCLE, "symbolic links lead to each other", "put the file itself there"))
    }

    /// The path that is meant, seen from a directory.
    fn resolve(&self, dir: &Dir, named: &Named) -> Result<String, Diagnostic> {
        let shown: String = named.text.chars().take(200).collect();
        let wrong = |message: String, hint: &str| Err(named.place.diagnostic(codes::ESCAPE, message, hint));
        if named.text.starts_with('/') {
            return wrong(format!("`{shown}` is absolute"), "name the path from the kustomization's directory");
        }
        match join(&dir.path, &named.text) {
            Some(path) => self.follow(dir.tree, &path, &named.place),
            None => wrong(format!("`{shown}` is outside of the tree"), "name what lies in the repository"),
        }
    }

    /// A file that lies in the directory or below it.
    pub(crate) fn file(&self, dir: &Dir, named: &Named) -> Result<(String, Arc<[u8]>), Diagnostic> {
        if named.text.starts_with("http://") || named.text.starts_with("https://") {
            let message = format!("`{}` is a file on another machine, which is not asked for", named.text);
            let hint = "download it once, commit it, and name it here: rendering reads the repository only";
            return Err(named.place.diagnostic(codes::REMOTE, message, hint));
        }
        let path = self.resolve(dir, named)?;
        if !self.options.reads_whole_tree && !dir.path.is_empty() && !is_within(&path, &dir.path) {
            let message = format!("`{}` is not in or below the directory of the kustomization", named.text);
            let hint = "files are read from the kustomization's own directory; put it there, or make it a base";
            return Err(named.place.diagnostic(codes::ESCAPE, message, hint));
        }
        if let Some(content) = self.read(dir.tree, &path, &named.place)? {
            self.note(dir.tree, &path, true);
            Ok((path, content))
        } else {
            self.note(dir.tree, &path, false);
            let message = format!("there is no file `{}`", named.text.chars().take(200).collect::<String>());
            Err(named.place.diagnostic(codes::MISSING, message, self.hint(dir.tree, &path)))
        }
    }

    fn hint(&self, tree: usize, path: &str) -> String {
        let above = path.rsplit_once('/').map_or("", |(above, _)| above);
        let names = self.with_tree(tree, |files| files.names(above));
        if names.is_empty() { String::new() } else { format!("in that directory: {}", names.join(", ")) }
    }

    /// Who runs Helm.
    pub(crate) fn charts(&self) -> Option<&dyn Charts> {
        self.main.charts()
    }

    /// A program made a part of what is rendered.
    pub(crate) fn note_program(&self) {
        self.reads.borrow_mut().program = true;
    }

    /// All files below a directory, by their paths from there; none where there is no such directory.
    pub(crate) fn below(&self, dir: &Dir, named: &Named) -> Result<Option<ChartFiles>, Diagnostic> {
        let path = self.resolve(dir, named)?;
        if !self.with_tree(dir.tree, |files| files.is_directory(&path)) {
            self.note(dir.tree, &path, false);
            return Ok(None);
        }
        let unreadable = |why: String| named.place.diagnostic(codes::MISSING, why, "");
        let (mut all, mut bytes) = (ChartFiles::new(), 0);
        for file in self.with_tree(dir.tree, |files| files.paths(&path)).map_err(unreadable)? {
            let real = self.follow(dir.tree, &file, &named.place)?;
            let Some(content) = self.read(dir.tree, &real, &named.place)? else { continue };
            self.note(dir.tree, &real, true);
            bytes += content.len();
            let inner = if path.is_empty() { file.as_str() } else { file.get(path.len() + 1..).unwrap_or_default() };
            all.insert(inner.to_owned(), content);
            if all.len() > helm::FILES_MAX || bytes > helm::BYTES_MAX {
                let message = format!("`{path}` has more than {} files or {} bytes", helm::FILES_MAX, helm::BYTES_MAX);
                return Err(named.place.diagnostic(codes::TOO_LARGE, message, "keep nothing else beside the chart"));
            }
        }
        Ok(Some(all))
    }

    fn note(&self, tree: usize, path: &str, there: bool) {
        if tree > 0 {
            return;
        }
        let mut reads = self.reads.borrow_mut();
        let set = if there { &mut reads.files } else { &mut reads.missing };
        set.insert(path.to_owned());
    }

    /// A file's text.
    pub(crate) fn text(&self, dir: &Dir, named: &Named) -> Result<(String, String), Diagnostic> {
        let (path, content) = self.file(dir, named)?;
        let shown = self.shown(dir.tree, &path);
        match std::str::from_utf8(&content) {
            Ok(text) => Ok((shown, text.to_owned())),
            Err(_) => Err(Diagnostic::file(prograde_yaml::CODE, shown, "the file is not UTF-8", "")),
        }
    }

    /// The documents of a file; each file is parsed once.
    pub(crate) fn documents(&self, dir: &Dir, named: &Named) -> Result<Arc<Vec<Node>>, Diagnostic> {
        let (path, content) = self.file(dir, named)?;
        self.parse(dir.tree, path, &content)
    }

    fn parse(&self, tree: usize, path: String, content: &[u8]) -> Result<Arc<Vec<Node>>, Diagnostic> {
        if let Some(known) = self.parsed.borrow().get(&(tree, path.clone())) {
            return Ok(Arc::clone(known));
        }
        let shown = self.shown(tree, &path);
        let Ok(text) = std::str::from_utf8(content) else {
            return Err(Diagnostic::file(prograde_yaml::CODE, shown, "the file is not UTF-8", ""));
        };
        let parsed = Arc::new(self.objects(&shown, text)?);
        self.parsed.borrow_mut().insert((tree, path), Arc::clone(&parsed));
        Ok(parsed)
    }

    /// The documents of a text, to be printed.
    pub(crate) fn objects(&self, file: &str, text: &str) -> Result<Vec<Node>, Diagnostic> {
        if self.options.keeps_texts { documents(file, text) } else { documents_to_print(file, text) }
    }

    /// The kustomization file of a directory, and what it is called.
    pub(crate) fn kustomization(&self, dir: &Dir, from: &Place) -> Result<(Place, String, Arc<Vec<Node>>), Diagnostic> {
        let mut found = Vec::new();
        for name in KUSTOMIZATION_FILES {
            let path = join(&dir.path, name).unwrap_or_default();
            let path = self.follow(dir.tree, &path, from)?;
            let content = self.read(dir.tree, &path, from)?;
            self.note(dir.tree, &path, content.is_some());
            if let Some(content) = content {
                found.push((name, path, content));
            }
        }
        let shown_dir = if dir.path.is_empty() { ".".to_owned() } else { self.shown(dir.tree, &dir.path) };
        let mut found = found.into_iter();
        match (found.next(), found.next()) {
            (None, _) => {
                let message = format!("`{shown_dir}` has no kustomization file");
                let hint = format!("expected one of {}", KUSTOMIZATION_FILES.join(", "));
                Err(from.diagnostic(codes::MISSING, message, hint))
            }
            (Some(_), Some(_)) => {
                let message = format!("`{shown_dir}` has more than one kustomization file");
                Err(from.diagnostic(codes::INVALID_FIELD, message, "keep one of them"))
            }
            (Some((name, path, content)), None) => {
                let place = Place::file(self.shown(dir.tree, &path));
                let shown = self.shown(dir.tree, &path);
                let key = (dir.tree, path);
                let known = self.kustomizations.borrow().get(&key).map(Arc::clone);
                let parsed = if let Some(parsed) = known {
                    parsed
                } else {
                    let parsed = Arc::new(kustomization_documents(&shown, &content)?);
                    self.kustomizations.borrow_mut().insert(key, Arc::clone(&parsed));
                    parsed
                };
                Ok((place, name.to_owned(), parsed))
            }
        }
    }

    /// The directory that a path means, seen from another.
    pub(crate) fn directory(&self, dir: &Dir, named: &Named) -> Result<Dir, Diagnostic> {
        if let Some(remote) = RemoteBase::parse(&named.text) {
            return self.fetch(&remote, &named.place);
        }
        if named.text.starts_with("http://") || named.text.starts_with("https://") {
            return self.file(dir, named).map(|_| dir.clone());
        }
        if named.text.is_empty() {
            return Err(named.place.diagnostic(codes::INVALID_FIELD, "a path must not be empty", ""));
        }
        let odd = |part: &str| !matches!(part, "" | "." | "..") && part.contains("..");
        if named.text.split('/').any(odd) {
            let message = format!("`{}` has `..` within a name", named.text.chars().take(200).collect::<String>());
            return Err(named.place.diagnostic(codes::MISSING, message, "correct the indentation of the list"));
        }
        let path = self.resolve(dir, named)?;
        if self.with_tree(dir.tree, |files| files.is_directory(&path)) {
            return Ok(Dir { tree: dir.tree, path });
        }
        self.note(dir.tree, &path, false);
        let message = format!("there is no file or directory `{}`", named.text.chars().take(200).collect::<String>());
        Err(named.place.diagnostic(codes::MISSING, message, self.hint(dir.tree, &path)))
    }

    /// Whether a path is a file; what is neither is told by `directory`.
    pub(crate) fn is_file(&self, dir: &Dir, named: &Named) -> bool {
        let Some(path) = join(&dir.path, &named.text) else { return false };
        let Ok(path) = self.follow(dir.tree, &path, &named.place) else { return false };
        !named.text.starts_with('/') && self.read(dir.tree, &path, &named.place).is_ok_and(|found| found.is_some())
    }

    fn fetch(&self, remote: &RemoteBase, place: &Place) -> Result<Dir, Diagnostic> {
        let Some(remotes) = self.main.remotes() else {
            let message = format!("`{}` lies on another machine", remote.url);
            let hint = "vendor it: commit a copy of the directory, and name that here";
            return Err(place.diagnostic(codes::REMOTE, message, hint));
        };
        if !remote.is_pinned() {
            let message = format!("`{}` is not pinned to a commit", remote.url);
            let hint = "write `?ref=` with the commit's whole id: a branch or tag means another content tomorrow";
            return Err(place.diagnostic(codes::REMOTE, message, hint));
        }
        let prefix = format!("{}?ref={}", remote.repository, remote.reference);
        let known = self.fetched.borrow().iter().position(|fetched| fetched.prefix == prefix);
        let tree = if let Some(at) = known {
            at + 1
        } else {
            let tree = remotes.fetch(remote).map_err(|why| {
                let message = format!("`{}` can't be had: {why}", remote.url);
                place.diagnostic(codes::REMOTE, message, "check the address and the commit, or vendor the directory")
            })?;
            let mut fetched = self.fetched.borrow_mut();
            fetched.push(Fetched { prefix, tree: Arc::new(tree) });
            fetched.len()
        };
        let path = self.follow(tree, &remote.path, place)?;
        Ok(Dir { tree, path })
    }
}

impl Dir {
    /// Whether this is, or holds, another directory: a base that is one of those that include it.
    pub(crate) fn holds(&self, other: &Dir) -> bool {
        self.tree == other.tree && (self.path.is_empty() || is_within(&other.path, &self.path))
    }
}

/// The documents of a text; empty ones are left out. Texts are as they are written, whatever Kustomize makes of them.
pub fn documents(file: &str, text: &str) -> Result<Vec<Node>, Diagnostic> {
    documents_to_print(file, text).map(as_written)
}

/// The documents of a text as Kustomize has them.
fn documents_to_print(file: &str, text: &str) -> Result<Vec<Node>, Diagnostic> {
    let name: Arc<str> = file.into();
    documents_at(file, text, &|line, column| Place { file: Arc::clone(&name), line, column }, Repeated::Refused)
}

fn as_written(mut documents: Vec<Node>) -> Vec<Node> {
    documents.iter_mut().for_each(Node::keep_texts);
    documents
}

/// The documents of a text in which the last of two keys counts, as for readers that are not strict.
pub fn documents_last_counts(file: &str, text: &str) -> Result<Vec<Node>, Diagnostic> {
    kustomization_documents(file, text.as_bytes())
}

/// The documents of a kustomization, in which the last of two keys counts.
fn kustomization_documents(file: &str, content: &[u8]) -> Result<Vec<Node>, Diagnostic> {
    let Ok(text) = std::str::from_utf8(content) else {
        return Err(Diagnostic::file(prograde_yaml::CODE, file, "the file is not UTF-8", ""));
    };
    let name: Arc<str> = file.into();
    let place = |line, column| Place { file: Arc::clone(&name), line, column };
    documents_at(file, text, &place, Repeated::LastCounts).map(as_written)
}

/// The documents of a text that stands within a file.
pub(crate) fn inner_documents(text: &str, at: &Place) -> Result<Vec<Node>, Diagnostic> {
    let place = |line: u32, _| Place { line: at.line.saturating_add(line), ..at.clone() };
    documents_at(&at.file, text, &place, Repeated::Refused).map_err(|found| Diagnostic {
        line: if found.code == prograde_yaml::CODE { at.line } else { found.line },
        ..found
    })
}

fn documents_at(
    file: &str,
    text: &str,
    place: &dyn Fn(u32, u32) -> Place,
    repeated: Repeated,
) -> Result<Vec<Node>, Diagnostic> {
    refuse_separator(file, text)?;
    let normal =
        if text.contains("\r\n") { text.replace("\r\n", "\n").into() } else { std::borrow::Cow::Borrowed(text) };
    let mut all = Vec::new();
    for document in prograde_yaml::syntax(file, &normal)? {
        let node = Node::from_syntax(document, place, repeated)?;
        if !node.is_null() {
            all.push(node);
        }
    }
    Ok(all)
}

/// Kustomize takes a line that begins with `---` for the end of a document, and refuses one that goes on.
fn refuse_separator(file: &str, text: &str) -> Result<(), Diagnostic> {
    for (number, line) in text.lines().enumerate().skip(1) {
        let Some(rest) = line.strip_prefix("---") else { continue };
        if !rest.trim().is_empty() && !rest.trim_start().starts_with('#') {
            let line = u32::try_from(number + 1).unwrap_or(u32::MAX);
            let message = "the line begins with `---` and goes on";
            return Err(
                Diagnostic::file(prograde_yaml::CODE, file, message, "put the rest on a line of its own").at(line, 1)
            );
        }
    }
    Ok(())
}
