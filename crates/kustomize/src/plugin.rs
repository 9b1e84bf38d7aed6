//! Files under `generators`, `transformers` and `validators` that configure what is built in. Programs are refused.

use prograde_model::Diagnostic;

use crate::codes;
use crate::generate::{self, Made};
use crate::helm::Chart;
use crate::kustomization::{self, Generator, generator};
use crate::load::{Dir, Loader};
use crate::node::Node;
use crate::patch;
use crate::reader::{Mode, Reader};
use crate::replacement::Replacement;
use crate::resource::Resource;
use crate::selector::Target;
use crate::transform::{Subjects, Transformer, ValueTarget, image_pattern};

/// The generator of what Helm makes of a chart.
pub(crate) const CHART: &str = "HelmChartInflationGenerator";
const GENERATORS: [&str; 4] = ["ConfigMapGenerator", "SecretGenerator", "IAMPolicyGenerator", CHART];
const TRANSFORMERS: &str = "AnnotationsTransformer, ImageTagTransformer, LabelTransformer, NamespaceTransformer, \
    PatchTransformer, PatchJson6902Transformer, PatchStrategicMergeTransformer, PrefixTransformer, SuffixTransformer, \
    ReplacementTransformer, ReplicaCountTransformer, ValueAddTransformer";

fn refuse_programs(resource: &Resource) -> Result<(), Diagnostic> {
    if resource.tree.text_at(&["apiVersion"]) == "builtin" {
        return Ok(());
    }
    let message = format!("{} is a program, which rendering does not run", resource.kind());
    let hint = "use what is built in (`apiVersion: builtin`), or commit what the program makes";
    Err(resource.place().diagnostic(codes::PLUGIN, message, hint))
}

/// The chart that a generator's file configures.
pub(crate) fn chart(resource: &Resource) -> Result<Chart, Diagnostic> {
    refuse_programs(resource)?;
    let mut reader = Reader::new(&resource.tree, "a generator", Mode::Loose)?;
    let home = reader.text_or_empty("chartHome")?;
    Chart::read(&mut reader, resource.place(), &home)
}

/// Makes what a generator's file configures.
pub(crate) fn generate(resource: &Resource, loader: &Loader, dir: &Dir) -> Result<Resource, Diagnostic> {
    refuse_programs(resource)?;
    let made = match resource.kind() {
        "ConfigMapGenerator" => Made::ConfigMap,
        "SecretGenerator" => Made::Secret,
        "IAMPolicyGenerator" => return iam_policy(resource),
        other => {
            let message = format!("there is no built-in generator `{other}`");
            return Err(resource.place().diagnostic(
                codes::PLUGIN,
                message,
                format!("there is: {}", GENERATORS.join(", ")),
            ));
        }
    };
    let mut reader = Reader::new(&resource.tree, "a generator", Mode::Loose)?;
    let mut found: Generator = generator(&mut reader, made == Made::Secret, None)?;
    if found.name.is_empty() {
        resource.name().clone_into(&mut found.name);
    }
    if found.namespace.is_empty() {
        resource.namespace().clone_into(&mut found.namespace);
    }
    generate::generate(&found, made, loader, dir)
}

/// A service account of Kubernetes that stands for one of Google's cloud.
fn iam_policy(resource: &Resource) -> Result<Resource, Diagnostic> {
    let place = resource.place();
    let at = |path: &[&str]| resource.tree.text_at(path);
    if at(&["cloud"]) != "gke" {
        let message = format!("the cloud `{}` is not known", at(&["cloud"]));
        return Err(place.diagnostic(codes::INVALID_FIELD, message, "the only one is `gke`"));
    }
    let (account, project) = (at(&["serviceAccount", "name"]), at(&["serviceAccount", "projectId"]));
    let text = |text: &str| Node::text(place, text);
    let mut annotations = Node::map(place);
    let address = format!("{account}@{project}.iam.gserviceaccount.com");
    annotations.set("iam.gke.io/gcp-service-account", text(&address));
    let mut metadata = Node::map(place);
    metadata.set("annotations", annotations);
    metadata.set("name", text(at(&["kubernetesService", "name"])));
    let namespace = at(&["kubernetesService", "namespace"]);
    if !namespace.is_empty() {
        metadata.set("namespace", text(namespace));
    }
    let mut object = Node::map(place);
    object.set("apiVersion", text("v1"));
    object.set("kind", text("ServiceAccount"));
    object.set("metadata", metadata);
    Ok(Resource::new(object))
}

/// The transformation that a file configures.
pub(crate) fn transformer(resource: &Resource, loader: &Loader, dir: &Dir) -> Result<Transformer, Diagnostic> {
    refuse_programs(resource)?;
    let tree = &resource.tree;
    let mut reader = Reader::new(tree, "a transformer", Mode::Loose)?;
    let wrong = |code: &str, message: String, hint: &str| Err(resource.place().diagnostic(code, message, hint));
    let specs = |reader: &mut Reader<'_>| reader.field_specs("fieldSpecs");
    let missing = |what: &str| wrong(codes::INVALID_FIELD, format!("the {} has no `{what}`", resource.kind()), "");
    Ok(match resource.kind() {
        "LabelTransformer" => Transformer::Labels { pairs: reader.pairs("labels")?, specs: specs(&mut reader)? },
        "AnnotationsTransformer" => {
            Transformer::Annotations { pairs: reader.pairs("annotations")?, specs: specs(&mut reader)? }
        }
        "NamespaceTransformer" => namespace(resource, &mut reader)?,
        "PrefixTransformer" | "SuffixTransformer" | "PrefixSuffixTransformer" => {
            if reader.get("fieldSpecs").is_none() {
                return missing("fieldSpecs");
            }
            let specs = specs(&mut reader)?;
            let (front, back) = (resource.kind() != "SuffixTransformer", resource.kind() != "PrefixTransformer");
            Transformer::Affix {
                prefix: reader.text_or_empty("prefix")?,
                suffix: reader.text_or_empty("suffix")?,
                prefix_specs: if front { specs.clone() } else { Vec::new() },
                suffix_specs: if back { specs } else { Vec::new() },
            }
        }
        "ImageTagTransformer" => {
            let none = Node::null(resource.place());
            let image = kustomization::image(reader.get("imageTag").unwrap_or(&none), Mode::Loose)?;
            let pattern = image_pattern(&image.name);
            Transformer::Image { image: Box::new(image), pattern, specs: specs(&mut reader)? }
        }
        "ReplicaCountTransformer" => {
            let none = Node::null(resource.place());
            let replicas = kustomization::replica(reader.get("replica").unwrap_or(&none), Mode::Loose)?;
            Transformer::Replicas { replicas, specs: specs(&mut reader)? }
        }
        "PatchTransformer" => {
            let entry = kustomization::patch(&mut reader, "patch")?;
            Transformer::Patch(Box::new(patch::prepare(&entry, loader, dir)?))
        }
        "PatchJson6902Transformer" => {
            let entry = kustomization::patch(&mut reader, "jsonOp")?;
            Transformer::Patch(Box::new(patch::prepare_json(&entry, loader, dir)?))
        }
        "PatchStrategicMergeTransformer" => strategic(resource, &mut reader, loader, dir)?,
        "ReplacementTransformer" => {
            let all = Replacement::read_list(&mut reader)?;
            Transformer::Replacements(Replacement::load(&all, loader, dir)?)
        }
        "HashTransformer" => Transformer::Hash,
        "ValueAddTransformer" => value_add(resource, &mut reader, loader, dir)?,
        other => {
            let message = format!("there is no built-in transformer `{other}`");
            return wrong(codes::PLUGIN, message, &format!("there is: {TRANSFORMERS}"));
        }
    })
}

fn strategic(
    resource: &Resource,
    reader: &mut Reader<'_>,
    loader: &Loader,
    dir: &Dir,
) -> Result<Transformer, Diagnostic> {
    let mut entries = reader.texts("paths")?;
    if let Some(node) = reader.get("patches") {
        let text = reader.text_or_empty("patches")?;
        entries.push(crate::load::Named { text, place: node.place.clone() });
    }
    let patches = patch::prepare_strategic(&entries, loader, dir)?;
    if patches.is_empty() {
        return Err(resource.place().diagnostic(codes::PATCH, "there is no patch", "write `paths` or `patches`"));
    }
    Ok(Transformer::Strategic(patches))
}

fn namespace(resource: &Resource, reader: &mut Reader<'_>) -> Result<Transformer, Diagnostic> {
    let subjects = match reader.text_or_empty("setRoleBindingSubjects")?.as_str() {
        "" | "defaultOnly" => Subjects::Default,
        "allServiceAccounts" => Subjects::All,
        "none" => Subjects::None,
        other => {
            let message = format!("`setRoleBindingSubjects` is `{other}`");
            let hint = "expected `defaultOnly`, `allServiceAccounts` or `none`";
            return Err(resource.place().diagnostic(codes::INVALID_FIELD, message, hint));
        }
    };
    Ok(Transformer::Namespace {
        namespace: resource.namespace().to_owned(),
        specs: reader.field_specs("fieldSpecs")?,
        unset_only: reader.flag("unsetOnly")?,
        subjects,
    })
}

fn value_add(
    resource: &Resource,
    reader: &mut Reader<'_>,
    loader: &Loader,
    dir: &Dir,
) -> Result<Transformer, Diagnostic> {
    let mut value = reader.text_or_empty("value")?.trim().to_owned();
    if value.is_empty() {
        dir.path.rsplit('/').next().unwrap_or_default().clone_into(&mut value);
    }
    let mut targets = value_targets(reader)?;
    if let Some(path) = reader.text("targetFilePath")?.filter(|path| !path.is_empty()) {
        let named = crate::load::Named { text: path, place: resource.place().clone() };
        let documents = loader.documents(dir, &named)?;
        if let Some(document) = documents.first() {
            targets.extend(value_targets(&mut Reader::new(document, "a file of targets", Mode::Loose)?)?);
        }
    }
    if targets.is_empty() {
        return Err(resource.place().diagnostic(codes::INVALID_FIELD, "there is no target", "write `targets`"));
    }
    Ok(Transformer::Value { value, targets })
}

fn value_targets(reader: &mut Reader<'_>) -> Result<Vec<ValueTarget>, Diagnostic> {
    reader
        .items("targets")?
        .iter()
        .map(|item| {
            let mut inner = Reader::new(item, "a target", Mode::Loose)?;
            let selector = inner.get("selector");
            let target = |node: &Node| Target::read(node, Reader::new(node, "a selector", Mode::Loose)?);
            let found = ValueTarget {
                selector: selector.map(target).transpose()?,
                path: inner.text_or_empty("fieldPath")?,
                position: inner.integer("filePathPosition")?.unwrap_or(0),
            };
            if found.path.is_empty() || found.position < 0 {
                let message = "a target needs a `fieldPath`, and a `filePathPosition` that is not negative";
                return Err(item.place.diagnostic(codes::INVALID_FIELD, message, ""));
            }
            Ok(found)
        })
        .collect()
}
