//! Applications that deploy applications, and ApplicationSets that make them: what there is in all. Invariant: nesting and
//! number are bounded, and an application that contains itself is an error, never a loop.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use prograde_model::Diagnostic;

use crate::argo::application::Application;
use crate::argo::project::{AppProject, Broken, Rendered};
use crate::codes;
use crate::generate::{World, generate};
use crate::memory::{Made, Memory};
use crate::read::Objects;

/// How deep applications may contain each other.
pub const DEPTH_MAX: usize = 8;
/// The most applications in all.
pub const APPLICATIONS_MAX: usize = 10_000;

/// An application among the others.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The application.
    pub application: Arc<Application>,
    /// The application that deploys it.
    pub parent: Option<String>,
    /// What it deploys, where its sources are here.
    pub objects: Option<Arc<[Rendered]>>,
    /// What its project does not allow.
    pub broken: Vec<Broken>,
    /// Whether what it has in the cluster goes once nothing names it any more: it has the finalizer, and neither the
    /// ApplicationSet that makes it nor the application that deploys it would leave it.
    pub goes: bool,
}

/// All applications.
#[derive(Debug, Default)]
pub struct Forest {
    /// In the order of their names.
    pub applications: Vec<Found>,
    /// What is wrong.
    pub problems: Vec<Diagnostic>,
    /// What can't be rendered here: by the application's name.
    pub not_rendered: BTreeMap<String, Vec<Diagnostic>>,
}

struct Growing<'a> {
    world: &'a World<'a>,
    memory: &'a mut Memory,
    forest: Forest,
    projects: BTreeMap<String, AppProject>,
}

/// All applications of these objects, those that ApplicationSets make, and those that others deploy. What is remembered from
/// before is not made again.
pub fn grow(objects: &Objects, world: &World<'_>, now: Timestamp, memory: &mut Memory) -> Forest {
    let mut growing = Growing { world, memory, forest: Forest::default(), projects: BTreeMap::new() };
    growing.add(objects, &mut Vec::new());
    growing.memory.settle();
    let Growing { mut forest, mut projects, .. } = growing;
    projects.entry("default".to_owned()).or_insert_with(AppProject::default_project);
    for found in &mut forest.applications {
        let application = &found.application;
        if let Some(project) = projects.get(application.project()) {
            let rendered = found.objects.as_deref().unwrap_or_default();
            found.broken = project.permits(application, rendered, now);
        } else {
            let message = format!("the project `{}` of `{}` is not there", application.project(), application.name());
            let hint = "add an AppProject of this name to the files, or use `default`";
            // What is not known to be allowed is not.
            found.broken = vec![Broken {
                limit: "project",
                message: message.clone(),
                file: application.place.file.to_string(),
                line: application.place.line,
            }];
            forest.problems.push(application.place.diagnostic(codes::PROJECT, message, hint));
        }
        forest.problems.extend(application.problems());
    }
    forest.applications.sort_by(|left, right| left.application.name().cmp(right.application.name()));
    duplicates(&mut forest);
    ends(&mut forest);
    forest
}

/// Says of each application whether what it has goes with it.
fn ends(forest: &mut Forest) {
    let prunes = |found: &&Found| {
        let automated = found.application.spec.sync_policy.as_ref().and_then(|policy| policy.automated);
        found.application.is_automated() && automated.is_some_and(|automated| automated.prune.unwrap_or(false))
    };
    let pruning: BTreeSet<String> =
        forest.applications.iter().filter(prunes).map(|found| found.application.name().to_owned()).collect();
    for found in &mut forest.applications {
        let application = &found.application;
        let would_leave = found.parent.as_ref().is_some_and(|parent| !pruning.contains(parent));
        found.goes = application.finalizer().is_some() && !application.outlives_set && !would_leave;
    }
}

fn duplicates(forest: &mut Forest) {
    let mut problems = Vec::new();
    for pair in forest.applications.windows(2) {
        let [left, right] = pair else { continue };
        let same = left.application.name() == right.application.name()
            && left.application.metadata.namespace == right.application.metadata.namespace;
        if same {
            let message = format!(
                "the application `{}` is there twice, also at {}",
                right.application.name(),
                left.application.place
            );
            problems.push(right.application.place.diagnostic(
                codes::DUPLICATE,
                message,
                "give one of them another name",
            ));
        }
    }
    forest.problems.extend(problems);
}

impl Growing<'_> {
    /// Adds objects that the last of a chain of applications deploys.
    fn add(&mut self, objects: &Objects, chain: &mut Vec<String>) {
        self.forest.problems.extend_from_slice(&objects.problems);
        for project in &objects.projects {
            self.projects.insert(project.metadata.name.clone(), project.clone());
        }
        let mut applications = objects.applications.clone();
        for set in &objects.sets {
            match generate(set, self.world) {
                Ok(made) => applications.extend(made.into_iter().map(Arc::new)),
                Err(problems) => self.forest.problems.extend(problems.0),
            }
        }
        for application in applications {
            self.plant(application, chain);
        }
    }

    fn plant(&mut self, application: Arc<Application>, chain: &mut Vec<String>) {
        let name = application.name().to_owned();
        let parent = chain.last().cloned();
        if chain.contains(&name) {
            // An application that deploys itself is how it is brought up to date: that alone is no cycle.
            if parent.as_deref() != Some(&name) {
                let message = format!("applications contain each other: {} > {name}", chain.join(" > "));
                let hint = "let the inner one deploy a directory without the outer one";
                self.forest.problems.push(application.place.diagnostic(codes::CYCLE, message, hint));
            }
            return;
        }
        if chain.len() >= DEPTH_MAX || self.forest.applications.len() >= APPLICATIONS_MAX {
            let (code, message) = if chain.len() >= DEPTH_MAX {
                (codes::CYCLE, format!("applications are nested more than {DEPTH_MAX} deep: {}", chain.join(" > ")))
            } else {
                (codes::TOO_LARGE, format!("there are more than {APPLICATIONS_MAX} applications"))
            };
            self.forest.problems.push(application.place.diagnostic(code, message, "deploy the inner ones directly"));
            return;
        }
        let (application, rendered, inner) = match self.memory.make(Arc::clone(&application), self.world.repositories) {
            Ok(Made { application, rendered, inner, .. }) => (application, Some(rendered), inner),
            Err(problems) => {
                self.forest.not_rendered.insert(name.clone(), problems.0);
                (application, None, None)
            }
        };
        self.forest.applications.push(Found {
            application,
            parent,
            objects: rendered,
            broken: Vec::new(),
            goes: false,
        });
        if let Some(inner) = inner {
            chain.push(name);
            self.add(&inner, chain);
            chain.pop();
        }
    }
}
