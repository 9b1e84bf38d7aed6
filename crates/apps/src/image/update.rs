//! Files brought up to what policies choose, as automations say. Invariant: a file that no automation looks at stays as it is,
//! and so does a value of a policy that none of those that look at its file takes.

use std::collections::{BTreeMap, BTreeSet};

use prograde_model::Diagnostic;

use crate::codes;
use crate::image::marker::{Change, ImageRef, is_marked, rewrite};
use crate::image::objects::{ImagePolicy, ImageUpdateAutomation, nearness};
use crate::read::Objects;

/// A file.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    /// The name by which it is told.
    pub file: &'a str,
    /// The path by which automations know it.
    pub path: &'a str,
    /// What is in it.
    pub text: &'a str,
}

/// What is to be done to files.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// Those that are not suspended; without any, all files are looked at and all policies taken.
    pub automations: &'a [&'a ImageUpdateAutomation],
    /// All policies, each with a name of its own.
    pub policies: &'a [&'a ImagePolicy],
    /// What they choose, by their markers.
    pub images: &'a BTreeMap<String, ImageRef>,
    /// Policies whose values stay as they are, by their markers: those that choose nothing.
    pub left: &'a BTreeSet<String>,
}

/// What comes out.
#[derive(Debug, Default)]
pub struct Updated {
    /// All files with markers that were looked at.
    pub looked: Vec<String>,
    /// Files that are different: each with its text before and after.
    pub files: Vec<(String, String, String)>,
    /// What is different in them.
    pub changes: Vec<Change>,
    /// Markers that can't be followed, and files that can't be read.
    pub problems: Vec<Diagnostic>,
}

/// The automations that are not suspended.
pub fn active(automations: &[ImageUpdateAutomation]) -> Vec<&ImageUpdateAutomation> {
    automations.iter().filter(|automation| !automation.suspend).collect()
}

/// The policies that markers name in files that an automation looks at: of several with one name, the one that is nearest to the
/// automation. Where that is none of them alone, none counts.
pub fn in_view<'p>(
    automation: &ImageUpdateAutomation,
    policies: &'p [ImagePolicy],
) -> (Vec<&'p ImagePolicy>, Vec<Diagnostic>) {
    let mut by_name: BTreeMap<String, Vec<&ImagePolicy>> = BTreeMap::new();
    for policy in policies {
        by_name.entry(policy.marker()).or_default().push(policy);
    }
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for (name, all) in by_name {
        let near = |policy: &&ImagePolicy| nearness(&policy.place, &automation.place);
        let most = all.iter().map(near).max();
        let mut nearest = all.into_iter().filter(|policy| Some(near(policy)) == most);
        match (nearest.next(), nearest.next()) {
            (Some(one), None) => found.push(one),
            (Some(one), Some(other)) if automation.takes(one) || automation.takes(other) => {
                let message = format!("the policy `{name}` is there twice, also at {}", other.place);
                let hint = "give one of them another name, or put each beside the ImageUpdateAutomation that takes it";
                problems.push(one.place.diagnostic(codes::DUPLICATE, message, hint));
            }
            (Some(_), Some(_)) | (None, _) => {}
        }
    }
    (found, problems)
}

/// Takes out what is wrong with objects. What is no YAML and has markers is told when the markers are looked for.
pub fn problems(objects: &mut Objects, is_marked: impl Fn(&str) -> bool) -> Vec<Diagnostic> {
    let mut found = std::mem::take(&mut objects.problems);
    found.retain(|problem| problem.code != prograde_yaml::CODE || !is_marked(&problem.file));
    found
}

/// Brings files up to date.
pub fn update<'a>(texts: impl IntoIterator<Item = Text<'a>>, plan: &Plan<'_>) -> Updated {
    let mut updated = Updated::default();
    for Text { file, path, text } in texts {
        if !is_marked(text) || !plan.is_looked_at(path) {
            continue;
        }
        updated.looked.push(file.to_owned());
        match rewrite(file, text, plan.images, &plan.left_in(path)) {
            Ok(done) => {
                updated.problems.extend(done.problems);
                if !done.changes.is_empty() {
                    updated.files.push((file.to_owned(), text.to_owned(), done.text));
                    updated.changes.extend(done.changes);
                }
            }
            Err(problem) => updated.problems.push(problem),
        }
    }
    updated
}

impl Plan<'_> {
    fn looking(&self, path: &str) -> impl Iterator<Item = &ImageUpdateAutomation> {
        self.automations.iter().copied().filter(move |automation| automation.looks_at(path))
    }

    fn is_looked_at(&self, path: &str) -> bool {
        self.automations.is_empty() || self.looking(path).next().is_some()
    }

    /// The policies whose values stay as they are in a file.
    fn left_in(&self, path: &str) -> BTreeSet<String> {
        let is_taken = |policy: &ImagePolicy| {
            self.automations.is_empty() || self.looking(path).any(|automation| automation.takes(policy))
        };
        let left = self.policies.iter().filter(|policy| !is_taken(policy));
        left.map(|policy| policy.marker()).chain(self.left.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: &str = "image: h/app:1 # {\"$imagepolicy\": \"f:app\"}\n";

    /// The files that are different, and how many problems there are, with automations of these `spec`s.
    fn told(automations: &[&str], left: &[&str]) -> String {
        let object = |kind: &str, spec: &str| {
            format!(
                "apiVersion: image.toolkit.fluxcd.io/v1\nkind: {kind}\nmetadata: {{name: app, namespace: f}}\nspec: {spec}\n---\n"
            )
        };
        let mut text = object("ImagePolicy", "{imageRepositoryRef: {name: app}, policy: {semver: {range: '*'}}}");
        text.extend(automations.iter().map(|spec| object("ImageUpdateAutomation", spec)));
        let mut objects = Objects::default();
        crate::read("a.yaml", &text, &mut objects);
        assert!(objects.problems.is_empty(), "{:?}", objects.problems);
        let image = ImageRef { name: "h/app".into(), tag: "2".into(), digest: String::new(), keeps: None };
        let images = [("f:app".to_owned(), image)].into();
        let left = left.iter().map(|policy| (*policy).to_owned()).collect();
        let automations = active(&objects.automations);
        let policies: Vec<&ImagePolicy> = objects.policies.iter().collect();
        let plan = Plan { automations: &automations, policies: &policies, images: &images, left: &left };
        let texts = [
            ("x/one.yaml", MARK),
            ("y/two.yaml", MARK),
            ("y/bad.yaml", "a: [ # {\"$imagepolicy\": \"f:app\"}\n"),
            ("no.yaml", "a: 1\n"),
        ];
        let done = update(texts.map(|(file, text)| Text { file, path: file, text }), &plan);
        let files: Vec<&str> = done.files.iter().map(|(file, ..)| file.as_str()).collect();
        format!("{} of {}, {} wrong", files.join(" "), done.looked.len(), done.problems.len())
    }

    #[test]
    fn automations_say_which_files_and_policies_count() {
        let automation = |more: &str| format!("{{interval: 1m, sourceRef: {{kind: GitRepository, name: r}}{more}}}");
        let (all, below) = (automation(""), automation(", update: {path: ./x}"));
        let (other, suspended) =
            (automation(", policySelector: {matchLabels: {a: b}}"), automation(", suspend: true, update: {path: ./x}"));
        assert_eq!(told(&[], &[]), "x/one.yaml y/two.yaml of 3, 1 wrong");
        assert_eq!(told(&[&all], &[]), "x/one.yaml y/two.yaml of 3, 1 wrong");
        assert_eq!(told(&[&below], &[]), "x/one.yaml of 1, 0 wrong");
        assert_eq!(told(&[&below, &other], &[]), "x/one.yaml of 3, 1 wrong");
        assert_eq!(told(&[&suspended], &[]), "x/one.yaml y/two.yaml of 3, 1 wrong");
        assert_eq!(told(&[&all], &["f:app"]), " of 3, 1 wrong");
    }

    #[test]
    fn of_policies_with_one_name_the_nearest_counts() {
        let object = |kind: &str, spec: &str| {
            format!(
                "apiVersion: image.toolkit.fluxcd.io/v1\nkind: {kind}\nmetadata: {{name: app, namespace: f}}\nspec: {spec}\n"
            )
        };
        let policy = object("ImagePolicy", "{imageRepositoryRef: {name: app}, policy: {semver: {range: '*'}}}");
        let automation = object("ImageUpdateAutomation", "{interval: 1m, sourceRef: {kind: GitRepository, name: r}}");
        let told = |of: &str| {
            let mut objects = Objects::default();
            for file in ["clusters/a/p.yaml", "clusters/b/p.yaml"] {
                crate::read(file, &policy, &mut objects);
            }
            crate::read(of, &automation, &mut objects);
            let (found, problems) = in_view(&objects.automations[0], &objects.policies);
            let files: Vec<&str> = found.iter().map(|policy| &*policy.place.file).collect();
            (files.join(" "), problems.first().map(|problem| problem.message.clone()).unwrap_or_default())
        };
        assert_eq!(told("clusters/a/auto.yaml"), ("clusters/a/p.yaml".to_owned(), String::new()));
        assert_eq!(told("clusters/b/in/auto.yaml"), ("clusters/b/p.yaml".to_owned(), String::new()));
        let twice = "the policy `f:app` is there twice, also at clusters/b/p.yaml:1";
        assert_eq!(told("clusters/auto.yaml"), (String::new(), twice.to_owned()));
    }
}
