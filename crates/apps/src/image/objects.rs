//! Flux's objects: the repository that is scanned, the policy that chooses, the automation that writes.

use std::collections::BTreeMap;
use std::time::Duration;

use prograde_kustomize::Place;
use prograde_model::Diagnostic;
use prograde_model::pattern::Pattern;
use serde_json::Value as Json;

use crate::application::Metadata;
use crate::codes;
use crate::selector::Selector;
use crate::semver::Range;

/// The group of Flux's objects.
pub(crate) const GROUP: &str = "image.toolkit.fluxcd.io/";
/// What a repository leaves out unless it says otherwise: signatures that are kept as tags.
const EXCLUSIONS: [&str; 1] = [r"^.*\.sig$"];
/// The most expressions of an exclusion list, as Flux allows.
const EXCLUSIONS_MAX: usize = 25;

/// What of an automation needs a program with a working copy, or a cluster: see [`ImageUpdateAutomation::carried_out`].
const FOREIGN: [&str; 7] = [
    "spec.git.commit.signingKey",
    "spec.git.push.refspec",
    "spec.git.push.options",
    "spec.git.checkout.ref.tag",
    "spec.git.checkout.ref.semver",
    "spec.git.checkout.ref.name",
    "spec.git.checkout.ref.commit",
];

/// An image that is looked for in a registry.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageRepository {
    /// Where it is written.
    pub place: Place,
    /// Its metadata.
    pub metadata: Metadata,
    /// The image without tag, such as `ghcr.io/stefanprodan/podinfo`.
    pub image: String,
    /// Tags that are not looked at.
    pub exclusions: Vec<Pattern>,
    /// Whether it is not scanned at present.
    pub suspend: bool,
    /// Whether the registry speaks plain HTTP.
    pub insecure: bool,
    /// How often it is scanned, where it says so.
    pub interval: Option<Duration>,
}

/// Which of an image's tags is the one to deploy.
#[derive(Debug, Clone, PartialEq)]
pub struct ImagePolicy {
    /// Where it is written.
    pub place: Place,
    /// Its metadata.
    pub metadata: Metadata,
    /// Name and namespace of the image's repository; without a namespace, that of the policy.
    pub repository: (String, String),
    /// The order in which tags come.
    pub order: Order,
    /// Which tags count, and what of them is compared.
    pub filter: Option<Filter>,
    /// Whether the digest is written too.
    pub digests: Digests,
    /// Whether it chooses nothing at present.
    pub suspend: bool,
    /// How often it is looked whether its tag was moved, where it says so.
    pub interval: Option<Duration>,
}

/// The order in which tags come.
#[derive(Debug, Clone, PartialEq)]
pub enum Order {
    /// The highest version of a range.
    Semver(Range),
    /// The last, or with `true` the first, of the alphabet.
    Alphabetical(bool),
    /// The highest, or with `true` the lowest, number.
    Numerical(bool),
}

/// Which tags count.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// What a tag has to match.
    pub pattern: Pattern,
    /// What of it is compared; empty for all of it.
    pub extract: String,
}

/// Whether the digest of an image is written beside its tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digests {
    /// Not.
    Never,
    /// When the tag is chosen, and then no more.
    IfNotPresent,
    /// Also when the tag is moved.
    Always,
}

/// Where images are written, and how that is committed.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageUpdateAutomation {
    /// Where it is written.
    pub place: Place,
    /// Its metadata.
    pub metadata: Metadata,
    /// The directory below which files are looked at; empty for all.
    pub path: String,
    /// Labels of the policies that count.
    pub(crate) selector: Option<Selector>,
    /// The message of its commits; empty for Flux's own.
    pub message: String,
    /// What the message is also given.
    pub message_values: BTreeMap<String, String>,
    /// Name and address of the author.
    pub author: (String, String),
    /// The branch that is pushed to; empty for the one that was checked out.
    pub push_branch: String,
    /// Whether it writes nothing at present.
    pub suspend: bool,
    /// The branch whose files are looked at; empty for the one that the repository is known by.
    pub branch: String,
    /// How often it looks at them, where it says so.
    pub interval: Option<Duration>,
    /// Its fields that only a program with a working copy or a cluster can do something about.
    pub(crate) foreign: Vec<&'static str>,
}

/// How many directories two objects have in common: clusters that are kept in one repository have objects of the same names.
pub(crate) fn nearness(one: &Place, other: &Place) -> usize {
    let directories = |place: &Place| -> Vec<String> {
        let parts = place.file.rsplit_once('/').map_or("", |(directory, _)| directory).split('/');
        parts.map(str::to_owned).collect()
    };
    directories(one).iter().zip(&directories(other)).take_while(|(one, other)| one == other).count()
}

fn text(object: &Json, pointer: &str) -> String {
    object.pointer(pointer).and_then(Json::as_str).unwrap_or_default().to_owned()
}

fn flag(object: &Json, pointer: &str) -> bool {
    object.pointer(pointer).and_then(Json::as_bool).unwrap_or(false)
}

/// A field's place in an object, from how people write it.
fn pointer(field: &str) -> String {
    format!("/{}", field.replace('.', "/"))
}

/// How often something is done.
fn interval(place: &Place, object: &Json) -> Result<Option<Duration>, Diagnostic> {
    let said = text(object, "/spec/interval");
    if said.is_empty() {
        return Ok(None);
    }
    let read = crate::time::go_duration(&said).filter(|time| !time.is_zero());
    let wrong = || {
        let message = format!("`spec.interval` is no time: `{}`", crate::schema::shortened(&said));
        place.diagnostic(codes::VALUE, message, "write it like `5m` or `1h30m`")
    };
    read.map(Some).ok_or_else(wrong)
}

fn metadata(place: &Place, object: &Json) -> Result<Metadata, Diagnostic> {
    let part = object.get("metadata").cloned().unwrap_or_else(|| Json::Object(serde_json::Map::new()));
    serde_json::from_value(part)
        .map_err(|problem| place.diagnostic(codes::FIELD, format!("it can't be read: {problem}"), ""))
}

fn pattern(place: &Place, source: &str) -> Result<Pattern, Diagnostic> {
    Pattern::anywhere(source)
        .map_err(|why| place.diagnostic(codes::POLICY, why.to_string(), "write it in RE2's syntax, as Go reads it"))
}

impl ImageRepository {
    pub(crate) fn new(place: Place, object: &Json) -> Result<Self, Diagnostic> {
        let image = text(object, "/spec/image");
        if image.is_empty() || image.contains("://") {
            let hint = "write it without scheme and tag, such as `ghcr.io/stefanprodan/podinfo`";
            return Err(place.diagnostic(codes::VALUE, "`spec.image` is no image", hint));
        }
        let list = object.pointer("/spec/exclusionList").and_then(Json::as_array);
        let written: Vec<&str> = list.into_iter().flatten().filter_map(Json::as_str).collect();
        if written.len() > EXCLUSIONS_MAX {
            let message = format!("`spec.exclusionList` has more than {EXCLUSIONS_MAX} expressions");
            return Err(place.diagnostic(codes::VALUE, message, "join some of them with `|`"));
        }
        let sources = if list.is_some() { written } else { EXCLUSIONS.to_vec() };
        Ok(Self {
            metadata: metadata(&place, object)?,
            exclusions: sources.into_iter().map(|source| pattern(&place, source)).collect::<Result<_, _>>()?,
            suspend: flag(object, "/spec/suspend"),
            insecure: flag(object, "/spec/insecure"),
            interval: interval(&place, object)?,
            image,
            place,
        })
    }
}

impl ImagePolicy {
    pub(crate) fn new(place: Place, object: &Json) -> Result<Self, Diagnostic> {
        let filter = object.pointer("/spec/filterTags").map(|_| text(object, "/spec/filterTags/pattern"));
        let filter = match filter.filter(|source| !source.is_empty()) {
            None => None,
            Some(source) => {
                Some(Filter { pattern: pattern(&place, &source)?, extract: text(object, "/spec/filterTags/extract") })
            }
        };
        Ok(Self {
            metadata: metadata(&place, object)?,
            repository: (
                text(object, "/spec/imageRepositoryRef/name"),
                text(object, "/spec/imageRepositoryRef/namespace"),
            ),
            order: order(&place, object)?,
            digests: digests(&place, object)?,
            suspend: flag(object, "/spec/suspend"),
            interval: interval(&place, object)?,
            filter,
            place,
        })
    }

    /// The name by which markers refer to it.
    pub fn marker(&self) -> String {
        format!("{}:{}", self.metadata.namespace, self.metadata.name)
    }
}

fn order(place: &Place, object: &Json) -> Result<Order, Diagnostic> {
    let wrong = |message: String, hint: &str| Err(place.diagnostic(codes::POLICY, message, hint));
    let Some(choice) = object.pointer("/spec/policy").and_then(Json::as_object).filter(|choice| choice.len() == 1)
    else {
        return wrong(
            "a policy has exactly one order".to_owned(),
            "set one of `semver`, `alphabetical` and `numerical`",
        );
    };
    let descends = |kind: &str| match text(object, &format!("/spec/policy/{kind}/order")).to_lowercase().as_str() {
        "" | "asc" => Ok(false),
        "desc" => Ok(true),
        other => wrong(format!("`{}` is no order", crate::schema::shortened(other)), "write `asc` or `desc`")
            .map(|_: Order| false),
    };
    match choice.keys().next().map(String::as_str) {
        Some("semver") => match Range::parse(&text(object, "/spec/policy/semver/range")) {
            Ok(range) => Ok(Order::Semver(range)),
            Err(why) => wrong(why.to_string(), "write it like `5.1.x`, `^1.0.0` or `>=1.0.0 <2.0.0`"),
        },
        Some("alphabetical") => descends("alphabetical").map(Order::Alphabetical),
        _ => descends("numerical").map(Order::Numerical),
    }
}

fn digests(place: &Place, object: &Json) -> Result<Digests, Diagnostic> {
    let has_interval = object.pointer("/spec/interval").is_some();
    let said = text(object, "/spec/digestReflectionPolicy");
    let digests = match said.as_str() {
        "" | "Never" => Digests::Never,
        "IfNotPresent" => Digests::IfNotPresent,
        "Always" => Digests::Always,
        other => {
            let message = format!("`digestReflectionPolicy` is `{}`", crate::schema::shortened(other));
            return Err(place.diagnostic(codes::POLICY, message, "write `Never`, `IfNotPresent` or `Always`"));
        }
    };
    if has_interval == (digests == Digests::Always) {
        return Ok(digests);
    }
    let hint = "`interval` belongs to `digestReflectionPolicy: Always`, and to nothing else";
    Err(place.diagnostic(codes::POLICY, "`interval` and `digestReflectionPolicy` don't fit together", hint))
}

impl ImageUpdateAutomation {
    pub(crate) fn new(place: Place, object: &Json) -> Result<Self, Diagnostic> {
        let strategy = text(object, "/spec/update/strategy");
        if !["", "Setters"].contains(&strategy.as_str()) {
            let message = format!("there is no strategy `{}`", crate::schema::shortened(&strategy));
            return Err(place.diagnostic(codes::VALUE, message, "write `Setters`"));
        }
        let path = text(object, "/spec/update/path");
        let Some(path) = prograde_kustomize::join("", path.trim_start_matches('/')) else {
            let message = format!("`spec.update.path` leaves the repository: `{}`", crate::schema::shortened(&path));
            return Err(place.diagnostic(codes::VALUE, message, "write it as seen from the repository's root"));
        };
        let selector = Selector::read(object.pointer("/spec/policySelector"))
            .map_err(|why| place.diagnostic(codes::VALUE, why, ""))?;
        let values = object.pointer("/spec/git/commit/messageTemplateValues").and_then(Json::as_object);
        let value = |(name, value): (&String, &Json)| (name.clone(), value.as_str().unwrap_or_default().to_owned());
        Ok(Self {
            metadata: metadata(&place, object)?,
            message: text(object, "/spec/git/commit/messageTemplate"),
            message_values: values.into_iter().flatten().map(value).collect(),
            author: (text(object, "/spec/git/commit/author/name"), text(object, "/spec/git/commit/author/email")),
            push_branch: text(object, "/spec/git/push/branch"),
            suspend: flag(object, "/spec/suspend"),
            branch: text(object, "/spec/git/checkout/ref/branch"),
            interval: interval(&place, object)?,
            foreign: FOREIGN.into_iter().filter(|field| object.pointer(&pointer(field)).is_some()).collect(),
            path,
            selector,
            place,
        })
    }

    /// Whether a policy counts for it: one of its namespace whose labels it wants.
    pub fn takes(&self, policy: &ImagePolicy) -> bool {
        let same = self.metadata.namespace.is_empty()
            || policy.metadata.namespace.is_empty()
            || self.metadata.namespace == policy.metadata.namespace;
        same && self.selector.as_ref().is_none_or(|selector| selector.holds(&policy.metadata.labels))
    }

    /// Fails where it says something that a server which writes into its own repository can't do.
    pub fn carried_out(&self) -> Result<(), Diagnostic> {
        let Some(field) = self.foreign.first() else { return Ok(()) };
        let message = format!("`{field}` is not supported by the server");
        let hint = "take it out, or let a pipeline run `prograde image update --push` and suspend this automation";
        Err(self.place.diagnostic(codes::UNSUPPORTED, message, hint))
    }

    /// Whether it looks at a file.
    pub fn looks_at(&self, path: &str) -> bool {
        self.path.is_empty() || prograde_kustomize::is_within(path, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use crate::Objects;

    /// An automation with more in its `spec`: what it reads, or what is wrong.
    fn told(more: &str) -> String {
        let text = format!(
            "apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImageUpdateAutomation\nmetadata: {{name: a, namespace: f}}\nspec:\n  \
             sourceRef: {{kind: GitRepository, name: g}}\n{more}"
        );
        let mut objects = Objects::default();
        crate::read("a.yaml", &text, &mut objects);
        match (objects.automations.first(), objects.problems.first()) {
            (Some(one), _) => match one.carried_out() {
                Ok(()) => format!("{:?} {:?}", one.branch, one.interval),
                Err(problem) => problem.message,
            },
            (None, problem) => problem.unwrap().message.clone(),
        }
    }

    #[test]
    fn what_the_server_can_not_do_is_told() {
        assert_eq!(told("  interval: 1m30s\n"), "\"\" Some(90s)");
        assert_eq!(told("  interval: soon\n"), "`spec.interval` is no time: `soon`");
        assert_eq!(told("  interval: 0s\n"), "`spec.interval` is no time: `0s`");
        let git = |part: &str| format!("  interval: 1m\n  git: {{commit: {{author: {{email: a@b}}}}, {part}}}\n");
        assert_eq!(told(&git("checkout: {ref: {branch: live}}")), "\"live\" Some(60s)");
        for (part, field) in [
            ("push: {refspec: 'refs/heads/a:refs/heads/b'}", "spec.git.push.refspec"),
            ("push: {branch: b, options: {a: b}}", "spec.git.push.options"),
            ("checkout: {ref: {tag: v1}}", "spec.git.checkout.ref.tag"),
        ] {
            assert_eq!(told(&git(part)), format!("`{field}` is not supported by the server"));
        }
        let signed = "  interval: 1m\n  git: {commit: {author: {email: a@b}, signingKey: {secretRef: {name: s}}}}\n";
        assert_eq!(told(signed), "`spec.git.commit.signingKey` is not supported by the server");
    }
}
