//! What a policy chooses where somebody knows the tags: again and again, while what was chosen turns out to be in quarantine.

use std::collections::BTreeSet;
use std::sync::Arc;

use prograde_model::Diagnostic;

use crate::codes;
use crate::image::marker::ImageRef;
use crate::image::objects::{Digests, ImagePolicy, ImageRepository, nearness};
use crate::image::policy::{Choice, NoChoice, Reason, Tag, choose};

/// How often another tag is tried because the one before is in quarantine.
const TRIES_MAX: usize = 100;

/// Knows the tags of images. A port: a registry, or a file.
pub trait Registry {
    /// All tags of an image.
    fn tags(&self, repository: &ImageRepository) -> Result<Vec<Tag>, NotKnown>;
    /// What a tag stands for.
    fn digest(&self, repository: &ImageRepository, tag: &str) -> Result<String, NotKnown>;
}

/// Why tags or digests are not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotKnown {
    /// The reason.
    pub why: String,
    /// What can be done.
    pub hint: String,
}

/// What is asked of a choice beside what the policy says.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// The digests that must not be chosen.
    pub quarantined: &'a BTreeSet<String>,
    /// Whether digests are written whatever the policy says.
    pub pin: bool,
}

/// An image that was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The image.
    pub image: ImageRef,
    /// Why each of the other tags was not.
    pub others: Vec<(String, Reason)>,
}

impl ImagePolicy {
    /// The repository that it chooses from: of several with one name, the one that is nearest to it.
    pub fn repository_in<'r>(&self, repositories: &'r [ImageRepository]) -> Result<&'r ImageRepository, Diagnostic> {
        let (name, namespace) = &self.repository;
        let namespace = if namespace.is_empty() { &self.metadata.namespace } else { namespace };
        let is_it = |repository: &&ImageRepository| {
            repository.metadata.name == *name
                && (repository.metadata.namespace == *namespace
                    || namespace.is_empty()
                    || repository.metadata.namespace.is_empty())
        };
        // Of those that are equally near, the first.
        let found = repositories.iter().rev().filter(is_it).max_by_key(|one| nearness(&one.place, &self.place));
        found.ok_or_else(|| {
            let message = format!("the ImageRepository `{name}` of the policy `{}` is not there", self.marker());
            self.place.diagnostic(codes::POLICY, message, "add it to the files")
        })
    }
}

/// The policies that choose nothing at present, by their markers: they or their images are suspended.
pub fn suspended(policies: &[ImagePolicy], repositories: &[ImageRepository]) -> BTreeSet<String> {
    let is_suspended =
        |policy: &&ImagePolicy| policy.suspend || policy.repository_in(repositories).is_ok_and(|found| found.suspend);
    policies.iter().filter(is_suspended).map(ImagePolicy::marker).collect()
}

/// Chooses an image.
pub fn chosen(
    policy: &ImagePolicy,
    repository: &ImageRepository,
    registry: &dyn Registry,
    terms: Terms<'_>,
) -> Result<Chosen, Diagnostic> {
    let wants_digest = terms.pin || policy.digests != Digests::Never;
    let choice = tag(policy, repository, registry, (terms.quarantined, wants_digest))?;
    let digest = choice.tag.digest.filter(|_| wants_digest).unwrap_or_default();
    let keeps = (policy.digests == Digests::IfNotPresent && !terms.pin).then(|| Arc::new(terms.quarantined.clone()));
    let image = ImageRef { name: repository.image.clone(), tag: choice.tag.name, digest, keeps };
    Ok(Chosen { image, others: choice.others })
}

/// Chooses, and chooses again where the digest of what was chosen turns out to be in quarantine.
fn tag(
    policy: &ImagePolicy,
    repository: &ImageRepository,
    registry: &dyn Registry,
    (quarantined, wants_digest): (&BTreeSet<String>, bool),
) -> Result<Choice, Diagnostic> {
    let place = &policy.place;
    let unknown = |what: String, found: NotKnown| {
        place.diagnostic(codes::TAGS, format!("{what} not known: {}", found.why), found.hint)
    };
    let image = &repository.image;
    let mut tags = registry.tags(repository).map_err(|found| unknown(format!("the tags of `{image}` are"), found))?;
    for _ in 0..TRIES_MAX {
        let choice = choose(policy, &repository.exclusions, &tags, quarantined).map_err(|why| {
            let hint = match &why {
                NoChoice::NoNumber(_) => "leave it out with `filterTags.pattern`",
                NoChoice::TooMany(_) | NoChoice::None(_) => "see which tags there are, and `policy` and `filterTags`",
            };
            let message = format!("the policy `{}` chooses nothing of `{image}`: {why}", policy.marker());
            place.diagnostic(codes::NO_TAG, message, hint)
        })?;
        if choice.tag.digest.is_some() || (!wants_digest && quarantined.is_empty()) {
            return Ok(choice);
        }
        let name = &choice.tag.name;
        let digest = registry
            .digest(repository, name)
            .map_err(|found| unknown(format!("the digest of `{image}:{name}` is"), found))?;
        if let Some(tag) = tags.iter_mut().find(|tag| tag.name == choice.tag.name) {
            tag.digest = Some(digest);
        }
    }
    let message = format!("{TRIES_MAX} tags of `{image}` are in quarantine");
    Err(place.diagnostic(codes::NO_TAG, message, "lift one, or build another one"))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeMap;

    use super::*;
    use crate::Objects;

    /// Digests by tag; counts what it is asked.
    struct Known(BTreeMap<&'static str, &'static str>, Cell<usize>);

    impl Registry for Known {
        fn tags(&self, _: &ImageRepository) -> Result<Vec<Tag>, NotKnown> {
            Ok(self.0.keys().map(|name| Tag { name: (*name).to_owned(), digest: None }).collect())
        }

        fn digest(&self, _: &ImageRepository, tag: &str) -> Result<String, NotKnown> {
            self.1.set(self.1.get() + 1);
            let found = self.0.get(tag).filter(|digest| !digest.is_empty());
            found.map(|digest| (*digest).to_owned()).ok_or(NotKnown { why: "away".into(), hint: "wait".into() })
        }
    }

    /// What is chosen, and how many digests were asked for.
    fn told(more: &str, tags: &[(&'static str, &'static str)], quarantined: &[&str], pin: bool) -> (String, usize) {
        let text = format!(
            "apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImageRepository\nmetadata: {{name: app}}\nspec: {{image: h/app}}\n---\n\
             apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImagePolicy\nmetadata: {{name: app, namespace: f}}\nspec:\n  \
             imageRepositoryRef: {{name: app}}\n  policy: {{semver: {{range: '*'}}}}\n{more}"
        );
        let mut objects = Objects::default();
        crate::read("a.yaml", &text, &mut objects);
        assert!(objects.problems.is_empty(), "{:?}", objects.problems);
        let (policy, known) = (&objects.policies[0], Known(tags.iter().copied().collect(), Cell::new(0)));
        let quarantined = quarantined.iter().map(|digest| (*digest).to_owned()).collect();
        let terms = Terms { quarantined: &quarantined, pin };
        let repository = policy.repository_in(&objects.repositories).unwrap();
        let text = match chosen(policy, repository, &known, terms) {
            Ok(chosen) => chosen.image.to_string(),
            Err(problem) => problem.message,
        };
        (text, known.1.get())
    }

    #[test]
    fn a_digest_in_quarantine_is_never_chosen_and_others_are_not_asked_for() {
        let tags = [("1.0.0", "sha256:a"), ("1.1.0", "sha256:b"), ("1.2.0", "sha256:c")];
        assert_eq!(told("", &tags, &[], false), ("h/app:1.2.0".to_owned(), 0));
        assert_eq!(told("", &tags, &["sha256:c", "sha256:b"], false), ("h/app:1.0.0".to_owned(), 3));
        assert_eq!(told("", &tags, &["sha256:c"], true), ("h/app:1.1.0@sha256:b".to_owned(), 2));
        let reflected = "  digestReflectionPolicy: IfNotPresent\n";
        assert_eq!(told(reflected, &tags, &[], false), ("h/app:1.2.0@sha256:c".to_owned(), 1));
        let (none, _) = told("", &tags, &["sha256:a", "sha256:b", "sha256:c"], false);
        assert!(none.contains("chooses nothing of `h/app`: none of the 3 tags"), "{none}");
        // What can't be looked up is not chosen either.
        let (unknown, _) = told("", &[("1.0.0", "")], &["sha256:x"], false);
        assert_eq!(unknown, "the digest of `h/app:1.0.0` is not known: away");
    }
}
