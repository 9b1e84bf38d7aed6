//! The built-in transformations, whoever asks for them: a field of a kustomization or a file under `transformers`.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use prograde_model::Diagnostic;
use regex_lite::{Regex, RegexBuilder};

use crate::codes;
use crate::fields::{FieldSpec, Made, put_text, set_scalar, split};
use crate::generate;
use crate::id::{Gvk, Id};
use crate::kustomization::{Image, Replicas};
use crate::node::{Kind, Node, Value};
use crate::patch::{self, Ready, here};
use crate::replacement::{self, Replacement};
use crate::resource::Resource;
use crate::scalar::Tag;
use crate::schema::Schemas;
use crate::selector::Target;

/// Which subjects of role bindings are given the namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subjects {
    /// Those that are called `default`.
    Default,
    /// All service accounts.
    All,
    /// None.
    None,
}

/// Where `ValueAddTransformer` puts its value.
#[derive(Debug, Clone)]
pub(crate) struct ValueTarget {
    pub(crate) selector: Option<Target>,
    pub(crate) path: String,
    pub(crate) position: i64,
}

/// One transformation with its settings.
#[derive(Debug, Clone)]
pub(crate) enum Transformer {
    Strategic(Vec<Resource>),
    Patch(Box<Ready>),
    Namespace { namespace: String, specs: Vec<FieldSpec>, unset_only: bool, subjects: Subjects },
    Affix { prefix: String, suffix: String, prefix_specs: Vec<FieldSpec>, suffix_specs: Vec<FieldSpec> },
    Labels { pairs: BTreeMap<String, String>, specs: Vec<FieldSpec> },
    Annotations { pairs: BTreeMap<String, String>, specs: Vec<FieldSpec> },
    Replicas { replicas: Replicas, specs: Vec<FieldSpec> },
    Image { image: Box<Image>, pattern: Option<Regex>, specs: Vec<FieldSpec> },
    Replacements(Vec<Replacement>),
    Hash,
    Value { value: String, targets: Vec<ValueTarget> },
}

/// The expression that an image's reference must match to be meant.
pub(crate) fn image_pattern(name: &str) -> Option<Regex> {
    let rest = "(:[a-zA-Z0-9_.{}-]*)?(@[a-zA-Z0-9]+([.+_-][a-zA-Z0-9]+)*:[a-zA-Z0-9_.{}-]*)?$";
    RegexBuilder::new(&format!("^{name}{rest}")).size_limit(1 << 20).build().ok()
}

impl Transformer {
    /// Carries the transformation out.
    pub(crate) fn apply(&self, resources: &mut Vec<Resource>, schemas: &Schemas) -> Result<(), Diagnostic> {
        match self {
            Self::Strategic(patches) => patch::apply_strategic(resources, patches, schemas)?,
            Self::Patch(ready) => patch::apply(resources, ready, schemas)?,
            Self::Namespace { namespace, specs, unset_only, subjects } => {
                if !namespace.is_empty() {
                    let settings = NamespaceSettings { namespace, specs, unset_only: *unset_only, subjects: *subjects };
                    settings.apply(resources, schemas)?;
                }
            }
            Self::Affix { prefix, suffix, prefix_specs, suffix_specs } => {
                affix(resources, prefix, prefix_specs, schemas, true)?;
                affix(resources, suffix, suffix_specs, schemas, false)?;
            }
            Self::Labels { pairs, specs } | Self::Annotations { pairs, specs } => put_pairs(resources, pairs, specs)?,
            Self::Replicas { replicas, specs } => set_replicas(resources, replicas, specs, schemas)?,
            Self::Image { image, pattern, specs } => {
                if let Some(pattern) = pattern {
                    images(resources, image, pattern, specs)?;
                }
            }
            Self::Replacements(all) => replacement::apply(resources, all)?,
            Self::Hash => generate::add_hashes(resources, schemas)?,
            Self::Value { value, targets } => add_value(resources, value, targets, schemas)?,
        }
        resources.retain(|resource| !resource.is_deleted());
        Ok(())
    }
}

fn put_pairs(
    resources: &mut [Resource],
    pairs: &BTreeMap<String, String>,
    specs: &[FieldSpec],
) -> Result<(), Diagnostic> {
    if pairs.is_empty() {
        return Ok(());
    }
    let made = Some(Made { kind: Kind::Map, tag: Tag::Open });
    for resource in resources {
        for spec in specs.iter().filter(|spec| spec.is_of(&resource.tree)).collect::<Vec<_>>() {
            for (name, text) in pairs {
                spec.change(&mut resource.tree, made, &mut |node| put_text(node, name, text))?;
            }
        }
    }
    Ok(())
}

struct NamespaceSettings<'a> {
    namespace: &'a str,
    specs: &'a [FieldSpec],
    unset_only: bool,
    subjects: Subjects,
}

impl NamespaceSettings<'_> {
    fn apply(&self, resources: &mut [Resource], schemas: &Schemas) -> Result<(), Diagnostic> {
        let mut present: HashMap<_, usize> = HashMap::with_capacity(resources.len());
        for resource in resources.iter() {
            *present.entry(resource.id(schemas).key()).or_default() += 1;
        }
        // A chart was told its namespace.
        let is_meant = |resource: &&mut Resource| !resource.is_deleted() && !resource.from_chart;
        for resource in resources.iter_mut().filter(is_meant) {
            let before = resource.id(schemas).key();
            self.change(resource, schemas)?;
            let id = resource.id(schemas);
            if let Some(count) = present.get_mut(&before) {
                *count -= 1;
            }
            let count = present.entry(id.key()).or_default();
            *count += 1;
            if *count != 1 {
                let message = format!("{id} is there twice once both are in the namespace `{}`", self.namespace);
                let hint = "give one of them another name";
                return Err(resource.place().diagnostic(codes::DUPLICATE, message, hint));
            }
        }
        Ok(())
    }

    fn change(&self, resource: &mut Resource, schemas: &Schemas) -> Result<(), Diagnostic> {
        resource.remember(schemas);
        let id = resource.id(schemas);
        let mut set = |node: &mut Node| {
            if self.unset_only && !node.is_null() && !node.raw().is_empty() {
                return Ok(());
            }
            set_scalar(node, Tag::Str, self.namespace)
        };
        let made = Some(Made { kind: Kind::Scalar, tag: Tag::Str });
        if !id.cluster_scoped {
            FieldSpec::everywhere("metadata/namespace", true).change(&mut resource.tree, made, &mut set)?;
        }
        let is_binding = |kind: &str| matches!(kind, "RoleBinding" | "ClusterRoleBinding");
        let binding = is_binding(&id.gvk.kind);
        if binding && let Some(list) = resource.tree.get_mut("subjects").and_then(Node::items_mut) {
            for subject in list {
                let meant = match self.subjects {
                    Subjects::None => false,
                    Subjects::Default => subject.text_at(&["name"]) == "default",
                    Subjects::All => subject.text_at(&["kind"]) == "ServiceAccount",
                };
                if meant {
                    if subject.get("namespace").is_none() {
                        let empty = Node::scalar(&subject.place, Tag::Open, "");
                        subject.set("namespace", empty);
                    }
                    if let Some(found) = subject.get_mut("namespace") {
                        set(found)?;
                    }
                }
            }
        }
        let core = resource.tree.text_at(&["apiVersion"]) == "v1";
        for spec in self.specs {
            let own = spec.path == "metadata/namespace" || (spec.path == "metadata/name" && !core);
            let done = binding && is_binding(&spec.gvk.kind) && spec.path == "subjects/namespace";
            if !own && !done {
                spec.change(&mut resource.tree, made, &mut set)?;
            }
        }
        Ok(())
    }
}

/// Kinds whose names are left alone.
fn keeps_name(id: &Id) -> bool {
    match id.gvk.kind.as_str() {
        "CustomResourceDefinition" | "Namespace" => true,
        "APIService" => id.gvk.group == "apiregistration.k8s.io",
        _ => false,
    }
}

fn affix(
    resources: &mut [Resource],
    text: &str,
    specs: &[FieldSpec],
    schemas: &Schemas,
    front: bool,
) -> Result<(), Diagnostic> {
    for resource in resources {
        let first = resource.first_id(schemas);
        if keeps_name(&first) {
            continue;
        }
        for spec in specs.iter().filter(|spec| first.gvk.is_selected(&spec.gvk)) {
            if spec.path == "metadata/name" && !text.is_empty() {
                if front {
                    resource.prefixes.push(text.to_owned());
                } else {
                    resource.suffixes.push(text.to_owned());
                }
                resource.remember(schemas);
            }
            let made = Some(Made { kind: Kind::Scalar, tag: Tag::Str });
            spec.change(&mut resource.tree, made, &mut |node| {
                let name = if front { format!("{text}{}", node.raw()) } else { format!("{}{text}", node.raw()) };
                set_scalar(node, Tag::Open, &name)
            })?;
        }
    }
    Ok(())
}

fn set_replicas(
    resources: &mut [Resource],
    replicas: &Replicas,
    specs: &[FieldSpec],
    schemas: &Schemas,
) -> Result<(), Diagnostic> {
    let mut found = false;
    let made = Some(Made { kind: Kind::Scalar, tag: Tag::Int });
    for spec in specs {
        for resource in resources.iter_mut() {
            if resource.any_id(schemas, |id| id.name == replicas.name && id.gvk.is_selected(&spec.gvk)) {
                found = true;
                let count = replicas.count.to_string();
                spec.change(&mut resource.tree, made, &mut |node| set_scalar(node, Tag::Int, &count))?;
            }
        }
    }
    if found {
        return Ok(());
    }
    let message = format!("`replicas` names `{}`, which no object with replicas is called", replicas.name);
    Err(replicas.place.diagnostic(codes::NO_TARGET, message, here(resources)))
}

fn images(resources: &mut [Resource], image: &Image, pattern: &Regex, specs: &[FieldSpec]) -> Result<(), Diagnostic> {
    for resource in resources.iter_mut().filter(|resource| resource.kind() != "CustomResourceDefinition") {
        containers(&mut resource.tree, image, pattern)?;
    }
    for resource in resources.iter_mut().filter(|resource| resource.kind() != "CustomResourceDefinition") {
        for spec in specs {
            spec.change(&mut resource.tree, None, &mut |node| set_image(node, image, pattern))?;
        }
    }
    Ok(())
}

/// Changes the image in every `containers` and `initContainers`, wherever they are in the object.
fn containers(node: &mut Node, image: &Image, pattern: &Regex) -> Result<(), Diagnostic> {
    match &mut node.value {
        Value::Scalar(_) => Ok(()),
        Value::List(items) => items.iter_mut().try_for_each(|item| containers(item, image, pattern)),
        Value::Map(entries) => {
            for entry in entries {
                containers(&mut entry.value, image, pattern)?;
                if !matches!(entry.name.as_str(), "containers" | "initContainers") {
                    continue;
                }
                for container in entry.value.items_mut().into_iter().flatten().filter(|item| !item.is_null()) {
                    if container.kind() != Kind::Map {
                        let message = format!("a container must be a mapping, found {}", container.kind_text());
                        return Err(container.place.diagnostic(codes::STRUCTURE, message, "correct the object"));
                    }
                    if let Some(found) = container.get_mut("image") {
                        set_image(found, image, pattern)?;
                    }
                }
            }
            Ok(())
        }
    }
}

fn set_image(node: &mut Node, image: &Image, pattern: &Regex) -> Result<(), Diagnostic> {
    if node.kind() != Kind::Scalar {
        let message = format!("an image must be a text, found {}", node.kind_text());
        return Err(node.place.diagnostic(codes::STRUCTURE, message, "correct the object"));
    }
    if !pattern.is_match(node.raw()) {
        return Ok(());
    }
    let (mut name, mut tag, mut digest) = split_image(node.raw());
    if !image.new_name.is_empty() {
        name.clone_from(&image.new_name);
    }
    match (image.new_tag.is_empty(), image.digest.is_empty()) {
        (false, false) => {
            tag.clone_from(&image.new_tag);
            digest.clone_from(&image.digest);
        }
        (false, true) => {
            tag.clone_from(&image.new_tag);
            digest.clear();
        }
        (true, false) => {
            tag.clear();
            digest.clone_from(&image.digest);
        }
        (true, true) if !image.tag_suffix.is_empty() => {
            tag.push_str(&image.tag_suffix);
            digest.clear();
        }
        (true, true) => {}
    }
    if !tag.is_empty() {
        name = format!("{name}:{tag}");
    }
    if !digest.is_empty() {
        name = format!("{name}@{digest}");
    }
    set_scalar(node, Tag::Open, &name)
}

/// Name, tag and digest of a reference; a colon in front of the first slash belongs to a registry's port.
fn split_image(reference: &str) -> (String, String, String) {
    let start = reference.find('/').filter(|at| *at > 0).unwrap_or(0);
    let (registry, rest) = reference.split_at(start);
    let (rest, digest) = match rest.find(['@', ':']) {
        Some(at) if rest.get(at..).is_some_and(|rest| rest.starts_with('@')) => {
            let (front, back) = rest.split_at(at);
            return (format!("{registry}{front}"), String::new(), back.trim_start_matches('@').to_owned());
        }
        _ => rest.split_once('@').unwrap_or((rest, "")),
    };
    let (name, tag) = rest.split_once(':').unwrap_or((rest, ""));
    (format!("{registry}{name}"), tag.to_owned(), digest.to_owned())
}

fn add_value(
    resources: &mut [Resource],
    value: &str,
    targets: &[ValueTarget],
    schemas: &Schemas,
) -> Result<(), Diagnostic> {
    for target in targets {
        for at in 0..resources.len() {
            let Some(resource) = resources.get_mut(at) else { continue };
            if target.selector.as_ref().is_some_and(|selector| !selector.matches(resource, schemas)) {
                continue;
            }
            if target.path == "metadata/namespace" {
                if !resource.id(schemas).cluster_scoped {
                    let made = Some(Made { kind: Kind::Scalar, tag: Tag::Str });
                    let spec = FieldSpec::everywhere("metadata/namespace", true);
                    spec.change(&mut resource.tree, made, &mut |node| set_scalar(node, Tag::Str, value))?;
                }
                continue;
            }
            let spec = FieldSpec { gvk: Gvk::default(), path: target.path.clone().into(), create: true };
            let made = Some(Made { kind: Kind::Scalar, tag: Tag::Open });
            spec.change(&mut resource.tree, made, &mut |node| {
                let text = match usize::try_from(target.position).ok().filter(|position| *position > 0) {
                    Some(position) => insert_part(node.raw(), position - 1, value),
                    None => value.to_owned(),
                };
                set_scalar(node, Tag::Open, &text)
            })?;
        }
    }
    Ok(())
}

/// A path with one more part at a position.
fn insert_part(path: &str, position: usize, part: &str) -> String {
    let absolute = path.starts_with('/');
    let mut parts: Vec<Cow<'_, str>> = split(path, '/').into_iter().filter(|part| !part.is_empty()).collect();
    let at = position.min(parts.len());
    parts.insert(at, part.into());
    format!("{}{}", if absolute { "/" } else { "" }, parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_taken_apart() {
        for (reference, name, tag, digest) in [
            ("nginx", "nginx", "", ""),
            ("nginx:1", "nginx", "1", ""),
            ("r:5000/a/b:1@sha256:x", "r:5000/a/b", "1", "sha256:x"),
            ("a@sha256:x", "a", "", "sha256:x"),
        ] {
            assert_eq!(split_image(reference), (name.to_owned(), tag.to_owned(), digest.to_owned()));
        }
    }
}
