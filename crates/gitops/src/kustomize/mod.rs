//! Kustomize in process: a tree of files in, Kubernetes objects out. No file system, no network, no program is touched,
//! and what goes beyond the supported fields is refused rather than passed over.
//!
//! The steps and their order are those of Kustomize 5: resources and bases, generators, patches, namespace, prefix,
//! suffix, labels, annotations, replicas, images; once at the end, hashes, references and the order of objects.

mod budget;
mod fields;
mod generate;
mod images;
mod json_patch;
mod kustomization;
mod load;
mod names;
mod order;
mod patch;
mod reader;
mod resource;
mod selector;
mod strategic;

pub use budget::{KUSTOMIZATIONS_MAX, NESTING_MAX, OBJECTS_MAX, WORK_BYTES_MAX};
pub use resource::{Id, Resource};

use prograde_model::{Diagnostic, Diagnostics};

use crate::codes;
use crate::located::{Located, Place, Value};
use crate::tree::{FileTree, join};
use budget::{Budget, too_large};
use fields::{ANNOTATIONS, FieldSpec, OWN_LABELS, REPLICAS, SELECTOR_LABELS, TEMPLATE_LABELS, put_pairs};
use kustomization::{Kustomization, Labels, Named, Replicas};
use load::{Found, Loader};

/// Renders the kustomization in the directory `dir` of a tree; the empty path is the tree's root.
pub fn render(tree: &FileTree, dir: &str) -> Result<Vec<Resource>, Diagnostics> {
    Ok(render_all(tree, dir)?)
}

fn render_all(tree: &FileTree, dir: &str) -> Result<Vec<Resource>, Diagnostic> {
    let shown = join(dir, "kustomization.yaml").unwrap_or_default();
    let place = Place { file: shown.into(), line: 0, column: 0 };
    let Some(dir) = join("", dir) else {
        return Err(place.diagnostic(codes::ESCAPE, "the directory is outside of the tree", ""));
    };
    let mut renderer = Renderer { loader: Loader::new(tree), budget: Budget::new(), open: Vec::new() };
    let mut resources = renderer.kustomization(&dir, &place)?;
    generate::add_hashes(&mut resources);
    names::follow(&mut resources)?;
    resources.retain(|resource| {
        resource.tree.text_at(&["metadata", "annotations", "config.kubernetes.io/local-config"]) != Some("true")
    });
    refuse_duplicates(&resources)?;
    order::sort(&mut resources);
    Ok(resources)
}

/// The walk through kustomizations that include each other.
struct Renderer<'a> {
    loader: Loader<'a>,
    budget: Budget,
    /// The directories that are being rendered, outermost first.
    open: Vec<String>,
}

impl Renderer<'_> {
    fn kustomization(&mut self, dir: &str, from: &Place) -> Result<Vec<Resource>, Diagnostic> {
        self.enter(dir, from)?;
        let tree = self.loader.kustomization(dir, from, &mut self.budget)?;
        let file = Kustomization::read(&tree)?;
        let mut resources = self.resources(&file, dir)?;
        for (generators, kind) in [(&file.config_maps, "ConfigMap"), (&file.secrets, "Secret")] {
            for generator in generators {
                generate::generate(&mut resources, generator, kind, &self.loader, dir)?;
                check_count(&resources, &generator.place)?;
            }
        }
        if resources.is_empty() {
            let message = "the kustomization has no objects";
            return Err(file.place.diagnostic(codes::MISSING, message, "list files or directories under `resources`"));
        }
        self.transform(&mut resources, &file, dir)?;
        self.open.pop();
        Ok(resources)
    }

    fn enter(&mut self, dir: &str, from: &Place) -> Result<(), Diagnostic> {
        if self.open.iter().any(|open| open == dir) {
            let mut way = self.open.clone();
            way.push(dir.to_owned());
            let message = format!("kustomizations include each other: {}", way.join(" > "));
            return Err(from.diagnostic(codes::CYCLE, message, "move what both need into a third directory"));
        }
        if self.open.len() >= NESTING_MAX {
            let message = format!("kustomizations are nested more than {NESTING_MAX} deep");
            return Err(from.diagnostic(codes::CYCLE, message, "include the inner ones directly"));
        }
        self.budget.enter(from)?;
        self.open.push(dir.to_owned());
        Ok(())
    }

    fn resources(&mut self, file: &Kustomization, dir: &str) -> Result<Vec<Resource>, Diagnostic> {
        let mut all: Vec<Resource> = Vec::new();
        for named in &file.resources {
            match self.loader.find(dir, named)? {
                Found::Directory(path) => all.extend(self.kustomization(&path, &named.place)?),
                Found::File(path) => {
                    refuse_kustomization_file(&path, named)?;
                    for document in self.loader.documents(
                        "",
                        &Named { text: path, place: named.place.clone() },
                        &mut self.budget,
                    )? {
                        self.budget.spend(document.weight(), &named.place)?;
                        all.push(Resource::new(document)?);
                    }
                }
            }
            check_count(&all, &named.place)?;
            refuse_duplicates(&all)?;
        }
        Ok(all)
    }

    fn transform(&mut self, resources: &mut Vec<Resource>, file: &Kustomization, dir: &str) -> Result<(), Diagnostic> {
        for patch in &file.patches {
            patch::apply(resources, patch, &self.loader, dir, &mut self.budget)?;
            refuse_duplicates(resources)?;
        }
        if let Some(namespace) = &file.namespace {
            names::namespace(resources, namespace)?;
        }
        if let Some(prefix) = &file.name_prefix {
            names::prefix(resources, prefix);
        }
        if let Some(suffix) = &file.name_suffix {
            names::suffix(resources, suffix);
        }
        for labels in &file.labels {
            self.labels(resources, labels, &file.place)?;
        }
        if !file.annotations.is_empty() {
            self.put(resources, &[&ANNOTATIONS], &file.annotations, &file.place)?;
        }
        file.replicas.iter().try_for_each(|replicas| set_replicas(resources, replicas))?;
        for image in &file.images {
            images::apply(resources, image);
        }
        Ok(())
    }

    fn labels(&mut self, resources: &mut [Resource], labels: &Labels, place: &Place) -> Result<(), Diagnostic> {
        let mut specs: Vec<&[FieldSpec]> = vec![&OWN_LABELS];
        if labels.selectors || labels.templates {
            specs.push(&TEMPLATE_LABELS);
        }
        if labels.selectors {
            specs.push(&SELECTOR_LABELS);
        }
        self.put(resources, &specs, &labels.pairs, place)
    }

    fn put(
        &mut self,
        resources: &mut [Resource],
        specs: &[&[FieldSpec]],
        pairs: &[(String, Located)],
        place: &Place,
    ) -> Result<(), Diagnostic> {
        let Some((_, first)) = pairs.first() else { return Ok(()) };
        let weight: usize = pairs.iter().map(|(key, value)| key.len() + value.weight()).sum();
        for resource in resources.iter_mut() {
            for spec in specs.iter().copied().flatten().filter(|spec| spec.is_of(resource)).copied().collect::<Vec<_>>()
            {
                let budget = &mut self.budget;
                spec.change(resource, &first.place, &mut |found| {
                    budget.spend(weight, place)?;
                    put_pairs(found, pairs)
                })?;
            }
        }
        Ok(())
    }
}

fn check_count(resources: &[Resource], place: &Place) -> Result<(), Diagnostic> {
    if resources.len() <= OBJECTS_MAX {
        return Ok(());
    }
    Err(too_large(place, format!("there are more than {OBJECTS_MAX} objects")))
}

fn refuse_kustomization_file(path: &str, named: &Named) -> Result<(), Diagnostic> {
    let name = path.rsplit('/').next().unwrap_or(path);
    if !load::KUSTOMIZATION_FILES.contains(&name) {
        return Ok(());
    }
    let message = format!("`{path}` is a kustomization, not objects");
    Err(named.place.diagnostic(codes::NOT_AN_OBJECT, message, "list its directory instead"))
}

fn set_replicas(resources: &mut [Resource], replicas: &Replicas) -> Result<(), Diagnostic> {
    let mut found = false;
    for resource in resources.iter_mut() {
        if !REPLICAS.contains(&resource.kind()) || !resource.any_id(|id| id.name == replicas.name.text) {
            continue;
        }
        found = true;
        let Some(spec) = resource.tree.map_at("spec", &replicas.name.place) else {
            return Err(resource.origin().diagnostic(
                codes::STRUCTURE,
                "`spec` is not a mapping",
                "correct the object",
            ));
        };
        spec.set("replicas", replicas.count.clone());
    }
    if found {
        return Ok(());
    }
    let message = format!("`replicas` names `{}`, which no Deployment or StatefulSet has", replicas.name.text);
    Err(replicas.name.place.diagnostic(codes::NO_TARGET, message, patch::here(resources)))
}

/// Two objects with one identity: the second is where the mistake is pointed at.
fn refuse_duplicates(resources: &[Resource]) -> Result<(), Diagnostic> {
    let mut seen = std::collections::BTreeMap::new();
    for resource in resources {
        let id = resource.id();
        let key = (id.group.clone(), id.version.clone(), id.kind.clone(), id.namespace.clone(), id.name.clone());
        if let Some(first) = seen.insert(key, resource.origin()) {
            let message = format!("{id} is there twice; the first is at {first}");
            return Err(resource.origin().diagnostic(codes::DUPLICATE, message, "remove one, or give it another name"));
        }
    }
    Ok(())
}

/// The objects as YAML documents, for people and snapshots. Values of `Secret`s are left out.
pub fn to_yaml(resources: &[Resource]) -> String {
    let mut text = String::new();
    for resource in resources {
        if !text.is_empty() {
            text.push_str("---\n");
        }
        let mut tree = resource.tree.clone();
        if resource.kind() == "Secret" {
            for field in ["data", "stringData"] {
                for entry in tree.get_mut(field).and_then(Located::entries_mut).into_iter().flatten() {
                    entry.value.value = Value::Text("***".into());
                }
            }
        }
        write_yaml(&tree, 0, &mut text);
    }
    text
}

/// Plain block style; texts are written as JSON strings where YAML could take them for something else.
fn write_yaml(tree: &Located, indent: usize, out: &mut String) {
    let pad = "  ".repeat(indent);
    for entry in tree.entries() {
        out.push_str(&pad);
        out.push_str(&scalar(&Value::Text(entry.name.clone())));
        out.push(':');
        write_child(&entry.value, indent + 1, out);
    }
    for item in tree.items() {
        out.push_str(&pad);
        out.push('-');
        write_child(item, indent + 1, out);
    }
}

fn write_child(child: &Located, indent: usize, out: &mut String) {
    if child.entries().is_empty() && child.items().is_empty() {
        out.push(' ');
        out.push_str(&scalar(&child.value));
        out.push('\n');
    } else {
        out.push('\n');
        write_yaml(child, indent, out);
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::List(_) => "[]".into(),
        Value::Map(_) => "{}".into(),
        Value::Text(text) => {
            let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./@".contains(c))
                && !matches!(
                    text.to_ascii_lowercase().as_str(),
                    "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n"
                );
            if plain { text.clone() } else { serde_json::Value::String(text.clone()).to_string() }
        }
    }
}
