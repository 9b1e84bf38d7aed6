//! Objects in a file's text. Invariant: an object that is wrong leaves the others of the file alone, and is told.

use std::sync::Arc;

use prograde_kustomize::{Node, documents};
use prograde_model::Diagnostic;
use serde_json::Value as Json;

use crate::argo::application::{API_VERSION, Application};
use crate::argo::fields;
use crate::argo::project::{AppProject, Rendered};
use crate::argo::set::ApplicationSet;
use crate::codes;
use crate::generate::Cluster;
use crate::image::fields as image_fields;
use crate::image::objects::{GROUP, ImagePolicy, ImageRepository, ImageUpdateAutomation};
use crate::schema::{Struct, Type, check, nearest};

/// What was found in files.
#[derive(Debug, Default)]
pub struct Objects {
    /// Applications.
    pub applications: Vec<Arc<Application>>,
    /// ApplicationSets.
    pub sets: Vec<ApplicationSet>,
    /// Projects.
    pub projects: Vec<AppProject>,
    /// Clusters, from their Secrets.
    pub clusters: Vec<Cluster>,
    /// Images that are looked for in registries.
    pub repositories: Vec<ImageRepository>,
    /// Which of their tags are chosen.
    pub policies: Vec<ImagePolicy>,
    /// Where that is written.
    pub automations: Vec<ImageUpdateAutomation>,
    /// What is wrong.
    pub problems: Vec<Diagnostic>,
}

impl Objects {
    /// Whether nothing of ours is there.
    pub fn is_empty(&self) -> bool {
        self.applications.is_empty() && self.sets.is_empty() && self.projects.is_empty() && self.problems.is_empty()
    }

    /// Puts others with these.
    pub(crate) fn add(&mut self, others: &Self) {
        self.applications.extend_from_slice(&others.applications);
        self.sets.extend_from_slice(&others.sets);
        self.projects.extend_from_slice(&others.projects);
        self.clusters.extend_from_slice(&others.clusters);
        self.repositories.extend_from_slice(&others.repositories);
        self.policies.extend_from_slice(&others.policies);
        self.automations.extend_from_slice(&others.automations);
        self.problems.extend_from_slice(&others.problems);
    }
}

/// Reads the objects of a file and puts them with the others. What is none of ours is left alone.
pub fn read(file: &str, text: &str, into: &mut Objects) {
    match documents(file, text) {
        Err(problem) => into.problems.push(problem),
        Ok(all) => all.iter().for_each(|node| read_node(node, into)),
    }
}

/// The applications, ApplicationSets and projects among rendered objects.
pub(crate) fn read_objects(rendered: &[Rendered]) -> Objects {
    let mut found = Objects::default();
    for one in rendered {
        let version = one.object.get("apiVersion").and_then(Json::as_str).unwrap_or_default();
        if version.starts_with("argoproj.io/") {
            read_node(&Node::from_json(&one.object, &one.place), &mut found);
        }
    }
    found
}

fn read_node(node: &Node, into: &mut Objects) {
    if node.text_at(&["kind"]) == "List" {
        node.get("items").map(Node::items).unwrap_or_default().iter().for_each(|item| read_node(item, into));
        return;
    }
    match (node.text_at(&["apiVersion"]), node.text_at(&["kind"])) {
        (API_VERSION, kind) => argo(node, kind, into),
        (version, kind)
            if version.starts_with("argoproj.io/")
                && ["Application", "ApplicationSet", "AppProject"].contains(&kind) =>
        {
            let message = format!("`{kind}` has the unknown version `{}`", crate::schema::shortened(version));
            into.problems.push(node.place.diagnostic(
                codes::VALUE,
                message,
                "write `apiVersion: argoproj.io/v1alpha1`",
            ));
        }
        (version, kind) if version.starts_with(GROUP) => flux(node, kind, into),
        ("v1", "Secret") => into.clusters.extend(node.to_json().ok().and_then(|json| Cluster::from_secret(&json))),
        _ => {}
    }
}

fn argo(node: &Node, kind: &str, into: &mut Objects) {
    let place = node.place.clone();
    let told = match kind {
        "Application" => checked(node, &fields::APPLICATION, into)
            .map(|json| Application::new(place, None, &json).map(|one| into.applications.push(Arc::new(one)))),
        "ApplicationSet" => checked(node, &fields::APPLICATION_SET, into)
            .map(|json| ApplicationSet::new(place, &json).map(|one| into.sets.push(one))),
        "AppProject" => {
            if let Some(json) = checked(node, &fields::PROJECT, into) {
                match AppProject::new(place, &json) {
                    Ok(project) => into.projects.push(project),
                    Err(mut found) => into.problems.append(&mut found.0),
                }
            }
            None
        }
        other => {
            // Argo's other products have kinds of the same group: Rollouts, Workflows, Events.
            let near = nearest(other, &["Application", "ApplicationSet", "AppProject"]);
            near.map(|near| {
                let message = format!("there is no kind `{}`", crate::schema::shortened(other));
                Err(place.diagnostic(codes::VALUE, message, format!("did you mean `{near}`?")))
            })
        }
    };
    if let Some(Err(problem)) = told {
        into.problems.push(problem);
    }
}

fn flux(node: &Node, kind: &str, into: &mut Objects) {
    let place = node.place.clone();
    let told = match kind {
        "ImageRepository" => checked(node, &image_fields::REPOSITORY, into)
            .map(|json| ImageRepository::new(place, &json).map(|one| into.repositories.push(one))),
        "ImagePolicy" => checked(node, &image_fields::POLICY, into)
            .map(|json| ImagePolicy::new(place, &json).map(|one| into.policies.push(one))),
        "ImageUpdateAutomation" => checked(node, &image_fields::AUTOMATION, into)
            .map(|json| ImageUpdateAutomation::new(place, &json).map(|one| into.automations.push(one))),
        other => {
            let message = format!("there is no kind `{}`", crate::schema::shortened(other));
            let hint = "there are `ImageRepository`, `ImagePolicy` and `ImageUpdateAutomation`";
            Some(Err(place.diagnostic(codes::VALUE, message, hint)))
        }
    };
    if let Some(Err(problem)) = told {
        into.problems.push(problem);
    }
}

/// The object as JSON, if every field of it is right.
fn checked(node: &Node, shape: &'static Struct, into: &mut Objects) -> Option<Json> {
    let mut problems = Vec::new();
    let json = check(node, Type::Struct(shape), "", &mut problems);
    let is_good = problems.is_empty();
    into.problems.append(&mut problems);
    is_good.then_some(json)
}
