//! What was made of files before, and is used again where all that it was made from is the same: so that a change costs what it
//! touches. Invariant: what is used again is what would be made anew.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use prograde_kustomize::helm::Charts;
use prograde_kustomize::{Files, Link, Remotes};
use prograde_model::Diagnostics;

use crate::argo::application::Application;
use crate::argo::project::Rendered;
use crate::read::{Objects, read, read_objects};
use crate::render::render;
use crate::repository::Repositories;

/// Files that were read and applications that were rendered. Holds what was asked for last, and nothing from before that.
#[derive(Debug, Default)]
pub struct Memory {
    files: BTreeMap<String, (String, Arc<Objects>)>,
    before: BTreeMap<Key, Made>,
    now: BTreeMap<Key, Made>,
}

/// The namespace and the name of an application.
type Key = (String, String);

/// What was made of an application.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) application: Arc<Application>,
    /// What it deploys.
    pub(crate) rendered: Arc<[Rendered]>,
    /// The applications, ApplicationSets and projects among that.
    pub(crate) inner: Option<Arc<Objects>>,
    /// What that depends on; nothing where that is not known.
    asked: Option<Arc<[Asked]>>,
}

impl Memory {
    /// The objects of files, each given by its name and its text.
    pub fn read(&mut self, texts: Vec<(String, String)>) -> Objects {
        let mut before = std::mem::take(&mut self.files);
        let mut all = Objects::default();
        for (file, text) in texts {
            let kept = before.remove(&file).filter(|(known, _)| *known == text);
            let objects = kept.map_or_else(
                || {
                    let mut objects = Objects::default();
                    read(&file, &text, &mut objects);
                    Arc::new(objects)
                },
                |(_, objects)| objects,
            );
            all.add(&objects);
            self.files.insert(file, (text, objects));
        }
        all
    }

    /// What an application deploys.
    pub(crate) fn make(
        &mut self,
        application: Arc<Application>,
        repositories: &dyn Repositories,
    ) -> Result<Made, Diagnostics> {
        let key = (application.metadata.namespace.clone(), application.name().to_owned());
        let kept = self.before.remove(&key);
        if let Some(kept) = kept.filter(|kept| kept.holds(&application, repositories)) {
            self.now.insert(key, kept.clone());
            return Ok(kept);
        }
        let recording = Recording::of(&application, repositories);
        let rendered: Arc<[Rendered]> = render(&application, &recording)?.into();
        let inner = Some(read_objects(&rendered)).filter(|inner| !inner.is_empty()).map(Arc::new);
        let made = Made { application, rendered, inner, asked: recording.finish() };
        self.now.insert(key, made.clone());
        Ok(made)
    }

    /// All was asked for: what was not is forgotten.
    pub(crate) fn settle(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }
}

impl Made {
    fn holds(&self, application: &Arc<Application>, repositories: &dyn Repositories) -> bool {
        (Arc::ptr_eq(&self.application, application) || *self.application == **application)
            && self.asked.as_ref().is_some_and(|asked| asked.iter().all(|asked| asked.holds(repositories)))
    }
}

/// What was asked of a repository, and what it answered.
#[derive(Debug)]
struct Asked {
    url: String,
    /// Nothing where it is not known.
    answers: Option<Vec<Answer>>,
}

#[derive(Debug)]
enum Answer {
    Content(String, Option<Arc<[u8]>>),
    IsDirectory(String, bool),
    Link(String, Link),
    Below(String, Vec<String>),
}

impl Asked {
    fn holds(&self, repositories: &dyn Repositories) -> bool {
        match (repositories.find(&self.url), &self.answers) {
            (Some(tree), Some(answers)) => answers.iter().all(|answer| answer.holds(tree)),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

impl Answer {
    fn holds(&self, tree: &dyn Files) -> bool {
        match self {
            Self::Content(path, content) => tree.read(path).is_ok_and(|now| match (&now, content) {
                (Some(now), Some(before)) => Arc::ptr_eq(now, before) || now == before,
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            }),
            Self::IsDirectory(path, is) => tree.is_directory(path) == *is,
            Self::Link(path, link) => tree.link(path) == *link,
            Self::Below(path, paths) => tree.paths(path).is_ok_and(|now| now == *paths),
        }
    }
}

/// The repositories of one application's sources, with what is asked of them.
struct Recording<'a> {
    repositories: &'a dyn Repositories,
    trees: Vec<(String, Option<Recorded<'a>>)>,
    /// Whether all that was asked is known.
    is_whole: Cell<bool>,
}

struct Recorded<'a> {
    tree: &'a dyn Files,
    answers: RefCell<Vec<Answer>>,
    is_whole: Cell<bool>,
}

impl<'a> Recording<'a> {
    fn of(application: &Application, repositories: &'a dyn Repositories) -> Self {
        let mut trees: Vec<(String, Option<Recorded<'a>>)> = Vec::new();
        for source in application.sources() {
            if trees.iter().all(|(url, _)| *url != source.repo_url) {
                let recorded = |tree| Recorded { tree, answers: RefCell::default(), is_whole: Cell::new(true) };
                trees.push((source.repo_url.clone(), repositories.find(&source.repo_url).map(recorded)));
            }
        }
        Self { repositories, trees, is_whole: Cell::new(true) }
    }

    fn finish(self) -> Option<Arc<[Asked]>> {
        let are_whole = self.trees.iter().filter_map(|(_, tree)| tree.as_ref()).all(|tree| tree.is_whole.get());
        let asked = |(url, tree): (String, Option<Recorded<'_>>)| Asked {
            url,
            answers: tree.map(|tree| tree.answers.into_inner()),
        };
        (self.is_whole.get() && are_whole).then(|| self.trees.into_iter().map(asked).collect())
    }
}

impl Repositories for Recording<'_> {
    fn find(&self, url: &str) -> Option<&dyn Files> {
        let Some((_, tree)) = self.trees.iter().find(|(known, _)| known == url) else {
            self.is_whole.set(false);
            return self.repositories.find(url);
        };
        tree.as_ref().map(|tree| tree as &dyn Files)
    }

    fn charts(&self) -> Option<&dyn Charts> {
        // What a program makes of the same files may be another thing the next time.
        self.is_whole.set(false);
        self.repositories.charts()
    }
}

impl Recorded<'_> {
    fn note(&self, answer: Answer) {
        self.answers.borrow_mut().push(answer);
    }
}

impl Files for Recorded<'_> {
    fn read(&self, path: &str) -> Result<Option<Arc<[u8]>>, String> {
        let content = self.tree.read(path);
        match &content {
            Ok(content) => self.note(Answer::Content(path.to_owned(), content.clone())),
            Err(_) => self.is_whole.set(false),
        }
        content
    }

    fn is_directory(&self, path: &str) -> bool {
        let is = self.tree.is_directory(path);
        self.note(Answer::IsDirectory(path.to_owned(), is));
        is
    }

    fn link(&self, path: &str) -> Link {
        let link = self.tree.link(path);
        self.note(Answer::Link(path.to_owned(), link.clone()));
        link
    }

    /// For hints, which are part of nothing that is made.
    fn names(&self, dir: &str) -> Vec<String> {
        self.tree.names(dir)
    }

    /// Their bases are pinned to a commit, and always the same.
    fn remotes(&self) -> Option<&dyn Remotes> {
        self.tree.remotes()
    }

    fn charts(&self) -> Option<&dyn Charts> {
        self.is_whole.set(false);
        self.tree.charts()
    }

    fn paths(&self, dir: &str) -> Result<Vec<String>, String> {
        let paths = self.tree.paths(dir);
        match &paths {
            Ok(paths) => self.note(Answer::Below(dir.to_owned(), paths.clone())),
            Err(_) => self.is_whole.set(false),
        }
        paths
    }
}
