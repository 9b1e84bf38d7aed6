//! Which applications can be synchronised with a cluster, and why the others can't.

use std::sync::Arc;

use prograde_apps::forest::{Forest, Found};
use prograde_model::{Diagnostic, Diagnostics};

use crate::codes;
use crate::connect::Connection;
use crate::target::{Target, instance};

/// An application, or why it can't be synchronised.
#[derive(Debug)]
pub struct Chosen {
    /// Its name.
    pub name: String,
    /// What it wants.
    pub target: Result<Arc<Target>, Diagnostics>,
}

/// What an application of a forest wants of a cluster. `before` is what it wanted before, and is used again where it was made
/// of the same.
pub fn choose(found: &Found, forest: &Forest, connection: &Connection, before: Option<&Arc<Target>>) -> Chosen {
    let application = &found.application;
    let name = instance(application);
    let wrong = |problems: Vec<Diagnostic>| Chosen { name: name.clone(), target: Err(Diagnostics(problems)) };
    let problems = application.problems();
    if !problems.is_empty() {
        return wrong(problems);
    }
    if !found.broken.is_empty() {
        let told = found.broken.iter().map(|broken| Diagnostic {
            line: broken.line,
            ..Diagnostic::file(codes::NOT_HERE, &broken.file, &broken.message, "see the AppProject of the application")
        });
        return wrong(told.collect());
    }
    if !connection.is(&application.spec.destination) {
        let destination = &application.spec.destination;
        let there = if destination.server.is_empty() { &destination.name } else { &destination.server };
        let message = format!("`{name}` goes to the cluster `{there}`, and this is `{}`", connection.shown);
        let hint = "choose the context of its cluster with --context, or other applications with --app";
        return wrong(vec![application.place.diagnostic(codes::NOT_HERE, message, hint)]);
    }
    let Some(rendered) = &found.objects else {
        return wrong(forest.not_rendered.get(application.name()).cloned().unwrap_or_default());
    };
    if let Some(before) = before.filter(|before| before.is_of(application, rendered)) {
        return Chosen { target: Ok(Arc::clone(before)), name };
    }
    Chosen { target: Target::of(application, rendered).map(Arc::new), name }
}
